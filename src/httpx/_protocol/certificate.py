"""
The parts of a certificate that pins and error messages need; and the pins themselves.

A certificate comes as DER (X.690): elements of a tag, a length and a content. Only what RFC 5280 allows is read:
definite lengths in their shortest form, and the fields of a certificate in their order. Anything else is
`NotACertificate`: a pin must never match bytes that OpenSSL, which checked the certificate, reads in another way.
Reading is linear in the size of the certificate.

    key_pin(der)       "sha256//..." of the public key, as in curl's `--pinnedpubkey`
    fingerprint(der)   SHA-256 of the whole certificate, as hexadecimal digits
    names_of(der)      the DNS names and IP addresses that it is for
    Pins               which keys and certificates a host may have

Not here: whether a certificate is to be trusted, which is OpenSSL's business.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from ipaddress import ip_address

from .._types import PinTypes

KEY_PREFIX = "sha256//"

_INTEGER, _OCTETS, _OID, _SEQUENCE, _BOOLEAN = 0x02, 0x04, 0x06, 0x30, 0x01
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_SUBJECT_ALT_NAME = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17
_FINGERPRINT = re.compile(r"(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}")


class NotACertificate(ValueError):
    """These bytes are not a certificate as RFC 5280 describes it."""


class _Element:
    """One element: its tag, where it begins (with the tag), and where its content begins and ends."""

    __slots__ = ("begin", "content", "end", "tag")

    def __init__(self, der: bytes, at: int, limit: int) -> None:
        if at + 2 > limit:
            raise NotACertificate(f"an element is cut off at byte {at}")
        self.begin, self.tag, length = at, der[at], der[at + 1]
        if self.tag & 0x1F == 0x1F:
            raise NotACertificate(f"a tag of more than one byte at byte {at}")
        self.content = at + 2
        if length >= 0x80:
            size = length & 0x7F
            digits = der[self.content : self.content + size]
            self.content += size
            length = int.from_bytes(digits, "big")
            # 0x80 would be an indefinite length; DER has none, and each length in its shortest form only.
            if not 1 <= size <= 4 or len(digits) != size or digits[0] == 0 or length < 0x80:
                raise NotACertificate(f"a length that is not DER at byte {at}")
        self.end = self.content + length
        if self.end > limit:
            raise NotACertificate(f"an element at byte {at} is longer than what holds it")


def _children(der: bytes, parent: _Element) -> list[_Element]:
    found = []
    at = parent.content
    while at < parent.end:
        element = _Element(der, at, parent.end)
        found.append(element)
        at = element.end
    return found


def _fields(der: bytes) -> list[_Element]:
    """Return the fields of a certificate from its serial number on, at least six (RFC 5280 section 4.1)."""
    outer = _Element(der, 0, len(der))
    parts = _children(der, outer)
    if outer.tag != _SEQUENCE or outer.end != len(der) or len(parts) != 3 or parts[0].tag != _SEQUENCE:
        raise NotACertificate("not a sequence of a certificate, an algorithm and a signature")
    fields = _children(der, parts[0])
    if fields and fields[0].tag == _VERSION:
        del fields[0]
    # Serial number, signature algorithm, issuer, validity, subject, public key.
    if [field.tag for field in fields[:6]] != [_INTEGER, *[_SEQUENCE] * 5]:
        raise NotACertificate("its fields are not those of a certificate")
    return fields


def public_key_of(der: bytes) -> bytes:
    """
    Return the SubjectPublicKeyInfo of a certificate, as DER: algorithm and key.

    Raises:
        NotACertificate: `der` is not a certificate.
    """
    key = _fields(der)[5]
    return der[key.begin : key.end]


def names_of(der: bytes) -> list[str]:
    """
    Return the DNS names and IP addresses that a certificate is for (RFC 5280 section 4.2.1.6); [] if it names none.

    Raises:
        NotACertificate: `der` is not a certificate.
    """
    names = []
    for field in _fields(der)[6:]:
        if field.tag == _EXTENSIONS:
            for extension in _children(der, _Element(der, field.content, field.end)):
                names += _alternative_names(der, _children(der, extension))
    return names


def _alternative_names(der: bytes, extension: list[_Element]) -> list[str]:
    if len(extension) < 2 or der[extension[0].content : extension[0].end] != _SUBJECT_ALT_NAME:
        return []
    names = []
    holder = extension[-1]
    for name in _children(der, _Element(der, holder.content, holder.end)):
        content = der[name.content : name.end]
        if name.tag == _DNS_NAME:
            names.append(content.decode("ascii", "backslashreplace"))
        elif name.tag == _IP_ADDRESS and len(content) in (4, 16):
            names.append(str(ip_address(content)))
    return names


def key_pin(der: bytes) -> str:
    """Return the pin of a certificate's public key: "sha256//" and the Base64 of its SHA-256 (RFC 7469 section 2.4)."""
    return KEY_PREFIX + b64encode(sha256(public_key_of(der)).digest()).decode("ascii")


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a whole certificate, as 64 hexadecimal digits."""
    return sha256(der).hexdigest()


class Pins:
    """
    Which certificates a host may have, in addition to what authorities say.

    Args:
        pins: for every host one pin or several, of which one must match; or a mapping from host to the same. A host
            that begins with "*." stands for all names below it; the longest entry wins; hosts that are not in the
            mapping may have any certificate. A pin is "sha256//" and the Base64 of the SHA-256 of the public key, or
            the SHA-256 of the whole certificate as 64 hexadecimal digits, with or without colons.

    Raises:
        TypeError: `pins` has another type.
        ValueError: a pin that cannot match any certificate, or a host without a pin.
    """

    def __init__(self, pins: PinTypes) -> None:
        self._everywhere: frozenset[str] | None = None
        self._by_host: dict[str, frozenset[str]] = {}
        if isinstance(pins, Mapping):
            for host, several in pins.items():
                if not isinstance(host, str) or not host:
                    raise TypeError(f"a pinned host must be a str that is not empty, not {host!r}")
                self._by_host[_plain(host)] = _pin_set(several, f" for {host!r}")
        else:
            self._everywhere = _pin_set(pins, "")

    def of(self, host: str) -> frozenset[str] | None:
        """Return the pins of a host, or None if it has none."""
        host = _plain(host)
        found = self._by_host.get(host, self._everywhere)
        while found is None and host:
            host = host.partition(".")[2]
            found = self._by_host.get(f"*.{host}")
        return found

    def check(self, hosts: Sequence[str], der: bytes | None) -> str | None:
        """
        Return why the certificate `der` must not be used for these names of the peer, or None if it may.

        Args:
            hosts: the peer's names; the pins of each that has some must match.
            der: None if the peer showed no certificate.
        """
        for host in hosts:
            pins = self.of(host)
            if pins is None:
                continue
            if der is None:
                return f"{host!r} is pinned, but its peer showed no certificate"
            try:
                seen = key_pin(der)
            except NotACertificate as exc:
                return f"{host!r} is pinned, but its certificate cannot be read: {exc}"
            whole = fingerprint(der)
            if seen not in pins and whole not in pins:
                return f"no pin of {host!r} matches its certificate, which has the key {seen} and the SHA-256 {whole}"
        return None


def _plain(host: str) -> str:
    """Return a host as it is compared: an address in its shortest form, a name in lower case without a final dot."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")


def _pin_set(pins: object, where: str) -> frozenset[str]:
    if isinstance(pins, str):
        pins = (pins,)
    if not isinstance(pins, (Sequence, frozenset, set)) or isinstance(pins, (bytes, bytearray)):
        raise TypeError(f"pins{where} must be a str or several of them, not {type(pins).__name__}")
    if not pins:
        raise ValueError(f"no pin{where}: an empty list would refuse every certificate")
    return frozenset(_pin(pin, where) for pin in pins)


def _pin(pin: object, where: str) -> str:
    """Return a pin as it is compared. What cannot match is refused: a mistyped pin must not look like a pin."""
    if not isinstance(pin, str):
        raise TypeError(f"a pin{where} must be a str, not {type(pin).__name__}")
    if pin.startswith(KEY_PREFIX):
        try:
            digest = b64decode(pin[len(KEY_PREFIX) :], validate=True)
        except ValueError:
            digest = b""
        if len(digest) == 32:
            return KEY_PREFIX + b64encode(digest).decode("ascii")
    elif _FINGERPRINT.fullmatch(pin.lower()):
        return pin.lower().replace(":", "")
    raise ValueError(
        f"not a pin{where}: {pin!r}, expected '{KEY_PREFIX}' and the Base64 of a SHA-256, or 64 hexadecimal digits"
    )
