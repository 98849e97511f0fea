"""What is read from certificates, with the package cryptography as the second opinion, and the pins."""

from __future__ import annotations

import hashlib
import ssl
from base64 import b64encode
from typing import Any, Optional

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._protocol.certificate import NotACertificate, Pins, fingerprint, key_pin, names_of, public_key_of
from support import certs
from support.linear import linear

KEY = "sha256//" + b64encode(bytes(range(32))).decode()
OTHER_KEY = "sha256//" + b64encode(bytes(32)).decode()
WHOLE = "ab" * 32


def der_of(kind: str = "good") -> bytes:
    return ssl.PEM_cert_to_DER_cert(certs.leaf(kind).cert_chain_pems[0].bytes().decode())


def root_der() -> bytes:
    return ssl.PEM_cert_to_DER_cert(certs.authority_pem().decode())


def bundle() -> list[bytes]:
    """The certificates of all authorities that are trusted by default."""
    import certifi

    return ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)


# What is in a certificate.


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # one of them has a serial number of zero
def test_the_key_of_every_authority_is_found():
    """They are of all kinds: RSA and elliptic curves, versions 1 and 3, with and without extensions."""
    ders = [*bundle(), der_of(), der_of("client"), root_der()]
    assert len(ders) > 100
    for der in ders:
        key = x509.load_der_x509_certificate(der).public_key()
        assert public_key_of(der) == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_pins_are_what_openssl_and_curl_compute():
    der = der_of()
    assert key_pin(der) == "sha256//" + b64encode(hashlib.sha256(public_key_of(der)).digest()).decode()
    assert fingerprint(der) == hashlib.sha256(der).hexdigest()


def test_the_names_of_a_certificate_are_its_hosts_and_addresses():
    assert names_of(der_of()) == list(certs.NAMES)
    assert names_of(der_of("other-name")) == ["other.example"]
    assert names_of(der_of("client")) == []  # an e-mail address is no host
    assert names_of(root_der()) == []


def test_a_certificate_without_extensions_has_no_names():
    assert names_of(sequence(sequence(*FIELDS[1:]), sequence(), bit_string())) == []


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes((tag, size) if size < 128 else (tag, 0x82, *size.to_bytes(2, "big"))) + content


def sequence(*parts: bytes) -> bytes:
    return element(0x30, b"".join(parts))


def bit_string() -> bytes:
    return element(0x03, b"\0")


# Version, serial number, algorithm, issuer, validity, subject, key: as short as can be.
FIELDS = [element(0xA0, element(2, b"\2")), element(2, b"\1"), *[sequence()] * 4, sequence(bit_string())]


def test_the_shortest_certificate_is_read():
    assert public_key_of(sequence(sequence(*FIELDS), sequence(), bit_string())) == FIELDS[-1]


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x80\0\0",
        b"no certificate at all",
        sequence(),
        sequence(sequence(*FIELDS), sequence()),
        sequence(sequence(*FIELDS), sequence(), bit_string()) + b"\0",
        sequence(element(0x31, b"".join(FIELDS)), sequence(), bit_string()),
        sequence(sequence(*FIELDS[:6]), sequence(), bit_string()),
        sequence(sequence(*FIELDS[::-1]), sequence(), bit_string()),
        sequence(sequence(*FIELDS[:1], b"\x02\x81\x01\1", *FIELDS[2:]), sequence(), bit_string()),  # a longer form
        sequence(sequence(*FIELDS[:1], b"\x02\x82\x00\x81" + bytes(129), *FIELDS[2:]), sequence(), bit_string()),
        sequence(sequence(*FIELDS[:1], b"\x1f\x02\x01\1", *FIELDS[2:]), sequence(), bit_string()),
        b"\x30\x85\1\0\0\0\0" + bytes(20),
        b"\x30\x82\x01",
    ],
)
def test_what_is_no_certificate_is_refused(der: bytes):
    with pytest.raises(NotACertificate):
        public_key_of(der)
    with pytest.raises(NotACertificate):
        names_of(der)


@given(cut=st.integers(0, 400), at=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=200)
def test_a_damaged_certificate_never_fails_in_another_way(cut: int, at: int, byte: int):
    der = bytearray(der_of())
    der[at] = byte
    for damaged in (bytes(der), bytes(der[:cut])):
        for read in (public_key_of, names_of):
            try:
                read(damaged)
            except NotACertificate:
                pass


# Pins.


def fits(pins: Any, host: str, der: Optional[bytes] = None) -> bool:
    return Pins(pins).check([host], der_of() if der is None else der) is None


def test_a_pin_is_the_key_or_the_whole_certificate():
    digest = fingerprint(der_of())
    colons = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    for pin in (key_pin(der_of()), digest, digest.upper(), colons, colons.upper()):
        assert fits(pin, "localhost")
        assert fits([OTHER_KEY, pin], "localhost")
        assert fits((WHOLE, pin), "localhost")
        assert not fits(pin, "localhost", der_of("other-name"))
        assert fits({"localhost": pin}, "localhost")
    assert not fits(OTHER_KEY, "localhost")
    assert not fits(WHOLE, "localhost")


def test_a_new_certificate_for_the_same_key_keeps_the_pin_of_the_key():
    old = x509.load_der_x509_certificate(der_of())
    again = sequence(old.tbs_certificate_bytes, sequence(), bit_string())
    assert again != der_of()
    assert fits(key_pin(der_of()), "localhost", again)
    assert not fits(fingerprint(der_of()), "localhost", again)


@pytest.mark.parametrize(
    ("host", "pinned"),
    [
        ("example.org", {KEY}),
        ("EXAMPLE.org.", {KEY}),
        ("www.example.org", {OTHER_KEY}),
        ("a.b.example.org", {OTHER_KEY}),
        ("deep.www.example.org", {OTHER_KEY}),
        ("x.special.example.org", {WHOLE}),
        ("special.example.org", {OTHER_KEY}),
        ("example.com", None),
        ("notexample.org", None),
        ("org", None),
        ("", None),
        ("192.0.2.1", {KEY}),
        ("2001:db8::1", {WHOLE}),
        ("2001:DB8:0:0::1", {WHOLE}),
    ],
)
def test_the_entry_that_says_the_most_about_a_host_counts(host: str, pinned: Any):
    pins = Pins(
        {
            "Example.org": KEY,
            "*.example.org": [OTHER_KEY],
            "*.special.example.org": WHOLE,
            "192.0.2.1": KEY,
            "2001:db8::1": WHOLE,
        }
    )
    assert pins.of(host) == pinned


def test_pins_without_hosts_are_for_all():
    assert Pins([KEY, WHOLE]).of("example.org") == {KEY, WHOLE}


def test_every_name_of_the_peer_that_is_pinned_has_to_agree():
    """Otherwise another name for TLS would undo the pin of the host in the URL."""
    good, bad = key_pin(der_of()), OTHER_KEY
    assert Pins({"a": good}).check(["a", "b"], der_of()) is None
    assert Pins({"a": good, "b": good}).check(["a", "b"], der_of()) is None
    for pins in ({"a": bad}, {"b": bad}, {"a": good, "b": bad}, {"a": bad, "b": good}):
        assert Pins(pins).check(["a", "b"], der_of()) is not None


def test_the_reason_names_the_host_and_what_was_seen():
    reason = Pins(OTHER_KEY).check(["localhost"], der_of())
    assert reason == (
        f"no pin of 'localhost' matches its certificate, which has the key {key_pin(der_of())} "
        f"and the SHA-256 {fingerprint(der_of())}"
    )


def test_a_peer_that_shows_nothing_or_nonsense_does_not_fit():
    assert Pins(KEY).check(["a"], None) == "'a' is pinned, but its peer showed no certificate"
    assert "cannot be read" in (Pins(KEY).check(["a"], b"nonsense") or "")
    assert Pins({"b": KEY}).check(["a"], None) is None


@pytest.mark.parametrize(
    "pin",
    [
        "",
        "sha256//",
        "sha256//AAAA",
        "sha256//" + "A" * 43,
        KEY + "A",
        KEY.replace("sha256//", "sha256/"),
        KEY.replace("sha256//", "sha1//"),
        "ab" * 31,
        "ab" * 33,
        "xy" * 32,
        WHOLE + ":",
        "example.org",
    ],
)
def test_a_pin_that_can_fit_nothing_is_refused_where_it_is_given(pin: str):
    """A slip would lock the user out, at a time when nobody looks."""
    with pytest.raises(ValueError, match="not a pin"):
        Pins(pin)
    with pytest.raises(ValueError, match="not a pin for 'a'"):
        Pins({"a": [KEY, pin]})


@pytest.mark.parametrize("pins", [[], (), {"a": []}])
def test_a_host_without_a_pin_is_refused(pins: Any):
    with pytest.raises(ValueError, match="no pin"):
        Pins(pins)


@pytest.mark.parametrize("pins", [5, None, KEY.encode(), [KEY.encode()], {"a": None}, {"": KEY}, {5: KEY}, {"a": [5]}])
def test_what_is_no_set_of_pins_is_a_type_error(pins: Any):
    with pytest.raises(TypeError):
        Pins(pins)


def test_no_hosts_is_no_pin():
    assert Pins({}).check(["a"], None) is None


# Certificates of hostile peers.


def tlv(tag: int, content: bytes) -> bytes:
    """An element of DER."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


def certificate(extensions: bytes) -> bytes:
    """A certificate of which only the extensions hold anything."""
    fields = tlv(2, b"\1") + tlv(0x30, b"") * 5 + tlv(0xA3, tlv(0x30, extensions))
    return tlv(0x30, tlv(0x30, fields) + tlv(0x30, b"") + tlv(3, b""))


def alternative_names(names: bytes) -> bytes:
    return tlv(0x30, tlv(6, b"\x55\x1d\x11") + tlv(4, tlv(0x30, names)))


HOSTILE = {
    "many names": lambda size: certificate(alternative_names(b"\x82\1a" * (size // 3))),
    "a long name": lambda size: certificate(alternative_names(tlv(0x82, b"\xff" * size))),
    "many addresses": lambda size: certificate(alternative_names(tlv(0x87, bytes(16)) * (size // 18))),
    "many extensions": lambda size: certificate(alternative_names(b"") * (size // 13)),
    "many empty elements": lambda size: certificate(b"\x30\0" * (size // 2)),
    "deep elements": lambda size: certificate(b"\x30\x7f" * (size // 2)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_certificate_costs_time_in_proportion_to_its_size(kind: str):
    """It is read while an error is told, or a pin checked: before anybody trusts it."""

    def prepare(size: int) -> Any:
        der = HOSTILE[kind](size)

        def work() -> None:
            try:
                names_of(der)
                key_pin(der)
            except NotACertificate:
                assert kind == "deep elements"

        return work

    linear(prepare)
    assert names_of(HOSTILE["many names"](30)) == ["a"] * 10
