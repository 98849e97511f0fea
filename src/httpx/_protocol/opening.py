"""
The opening handshake of a WebSocket: what the request says, and what its response must say.

    opening = Opening(nonce, subprotocols, wanted)
    opening.fields           for a GET over HTTP/1.1 (RFC 6455, section 4.1)
    opening.tunnel_fields    for a CONNECT with `:protocol` over HTTP/2 (RFC 8441, section 5)
    opening.accept(...)      what was agreed on; raises `BadOpening`
    opening.accept_tunnel(...)

Only what was offered is accepted: another subprotocol, another extension or a wrong Sec-WebSocket-Accept means that the
peer did not understand the request, and bytes that another program put into its response must not become messages.

Not here: the request around the fields (method, target, Host), compression itself (`deflate`), frames (`websocket`).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha1
from typing import NamedTuple

from .._exceptions import LocalProtocolError
from .deflate import NAME, BadAgreement, Codec, Deflate, Parameter, agreed, offers
from .exchange import Fields
from .fields import TOKEN

# RFC 6455 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
NONCE_SIZE = 16

# Fields that belong to the handshake: a request that is to become one must not have them already.
OWN_NAMES = frozenset(
    (
        *(b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key"),
        *(b"sec-websocket-protocol", b"sec-websocket-version"),
    )
)

# One step over a list of extensions (RFC 6455 9.1). Each part begins with something else than the one before, so that
# no input makes the search go back.
_EXTENSION_NAME = re.compile(rb"[ \t]*(%b)[ \t]*" % TOKEN.pattern)
_PARAMETER = re.compile(
    rb";[ \t]*(%b)[ \t]*"
    rb'(?:=[ \t]*(?:(%b)|"(%b)")[ \t]*)?' % (TOKEN.pattern, TOKEN.pattern, TOKEN.pattern)
)
_NEXT = re.compile(rb",[ \t,]*")


class BadOpening(ValueError):
    """The response does not open a WebSocket; the text says why."""


class Agreement(NamedTuple):
    """
    What both sides agreed on.

    Attributes:
        subprotocol: one of those offered, None if the server chose none.
        codec: compresses messages; None without compression.
    """

    subprotocol: bytes | None
    codec: Codec | None


class Opening:
    """
    One opening handshake.

    Args:
        nonce: 16 bytes that were never used before, from a source that cannot be foreseen.
        subprotocols: offered, the preferred one first.
        wanted: compression to offer, None for none.

    Raises:
        LocalProtocolError: a subprotocol is not a token or comes twice.
    """

    __slots__ = ("_key", "_offered", "_wanted", "fields")

    def __init__(self, nonce: bytes, subprotocols: Sequence[bytes] = (), wanted: Deflate | None = None) -> None:
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"nonce must have {NONCE_SIZE} bytes, got {len(nonce)}")
        for index, name in enumerate(subprotocols):
            if TOKEN.fullmatch(name) is None:
                raise LocalProtocolError(
                    f"subprotocol {name[:20]!r} is not a token (letters, digits and !#$%&'*+-.^_`|~)"
                )
            if name in subprotocols[:index]:
                raise LocalProtocolError(f"subprotocol {name[:20]!r} is offered twice")
        self._key = b64encode(nonce)
        self._offered = tuple(subprotocols)
        self._wanted = wanted
        common = [(b"Sec-WebSocket-Version", _VERSION)]
        if subprotocols:
            common.append((b"Sec-WebSocket-Protocol", b", ".join(subprotocols)))
        if wanted is not None:
            common.append((b"Sec-WebSocket-Extensions", offers(wanted)))
        self.fields: Fields = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            *common,
        ]

    @property
    def tunnel_fields(self) -> Fields:
        """Return the fields over HTTP/2: without what belongs to a connection, and without the key."""
        # HTTP/2 itself says that the peer has understood the request.
        return [(name.lower(), value) for name, value in self.fields[3:]]

    def accept(self, status: int, fields: Fields) -> Agreement:
        """
        Return what a response over HTTP/1.1 agrees to.

        Args:
            status: of the final response; 101 is the only one that opens.
            fields: of its head, names in any case.

        Raises:
            BadOpening: it does not open a WebSocket. RFC 6455, section 4.1.
        """
        if status != 101:
            raise BadOpening(_refusal(status, fields, "101 (Switching Protocols)"))
        upgrade = b", ".join(_values(fields, b"upgrade"))
        if upgrade.lower() != b"websocket":
            raise BadOpening(f"the response's Upgrade is {upgrade[:20]!r}, expected 'websocket'")
        options = b",".join(_values(fields, b"connection")).lower().split(b",")
        if b"upgrade" not in [option.strip(b" \t") for option in options]:
            raise BadOpening("the response's Connection does not name 'upgrade'")
        accepts = _values(fields, b"sec-websocket-accept")
        if not accepts:
            raise BadOpening("the response has no Sec-WebSocket-Accept")
        if accepts != [expected_accept(self._key)]:
            raise BadOpening("the response's Sec-WebSocket-Accept does not belong to the request's key")
        return self._agreement(fields)

    def accept_tunnel(self, status: int, fields: Fields) -> Agreement:
        """
        Return what a response over HTTP/2 agrees to; arguments as for `accept`.

        Raises:
            BadOpening: its status is not 2xx, or what it chose was not offered. RFC 8441, section 5.
        """
        if not 200 <= status <= 299:
            raise BadOpening(_refusal(status, fields, "2xx"))
        return self._agreement(fields)

    def accept_messages(self, status: int, fields: Fields) -> Agreement:
        """
        Return what a response agrees to whose transport passes messages instead of bytes; arguments as for `accept`.

        Raises:
            BadOpening: its status is not 101, or the subprotocol was not offered.
        """
        if status != 101:
            raise BadOpening(_refusal(status, fields, "101 (Switching Protocols)"))
        return Agreement(self._subprotocol(fields), None)

    def _agreement(self, fields: Fields) -> Agreement:
        return Agreement(self._subprotocol(fields), self._codec(fields))

    def _subprotocol(self, fields: Fields) -> bytes | None:
        chosen = _values(fields, b"sec-websocket-protocol")
        if not chosen:
            return None
        if len(chosen) > 1:
            raise BadOpening("the response has more than one Sec-WebSocket-Protocol")
        if chosen[0] not in self._offered:
            raise BadOpening(f"the response chose subprotocol {chosen[0][:20]!r}, which was not offered")
        return chosen[0]

    def _codec(self, fields: Fields) -> Codec | None:
        codec = None
        for name, parameters in extensions(b",".join(_values(fields, b"sec-websocket-extensions"))):
            if self._wanted is None or name != NAME:
                raise BadOpening(f"the response chose extension {name[:20]!r}, which was not offered")
            if codec is not None:
                raise BadOpening("the response chose permessage-deflate twice")
            try:
                codec = agreed(self._wanted, parameters)
            except BadAgreement as exc:
                raise BadOpening(str(exc)) from None
        return codec


def expected_accept(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (RFC 6455 4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def extensions(value: bytes) -> list[tuple[bytes, list[Parameter]]]:
    """
    Return the extensions in the value of Sec-WebSocket-Extensions, each with its parameters.

    Names are in lower case. Values are without quotes, and None where there is none. Takes linear time.

    Raises:
        BadOpening: it is not a list of extensions. RFC 6455, section 9.1.
    """
    found = []
    value = value.strip(b" \t,")  # empty elements of a list mean nothing (RFC 9110 5.6.1.2)
    at, size = 0, len(value)
    while at < size:
        match = _EXTENSION_NAME.match(value, at)
        if match is None:
            raise _bad_extensions(value, at)
        at = match.end()
        parameters: list[Parameter] = []
        found.append((match[1].lower(), parameters))
        while parameter := _PARAMETER.match(value, at):
            parameters.append((parameter[1].lower(), parameter[2] or parameter[3]))
            at = parameter.end()
        if at < size:
            separator = _NEXT.match(value, at)
            if separator is None:
                raise _bad_extensions(value, at)
            at = separator.end()
    return found


def _bad_extensions(value: bytes, at: int) -> BadOpening:
    return BadOpening(f"the response's Sec-WebSocket-Extensions is not legal at {value[at : at + 20]!r}")


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value.strip(b" \t") for each, value in fields if each.lower() == name]


def _refusal(status: int, fields: Fields, expected: str) -> str:
    versions = _values(fields, b"sec-websocket-version")
    if versions:  # RFC 6455 4.4
        return f"the response is {status}, and the server speaks version {versions[0][:20]!r} of WebSocket, not 13"
    return f"the response is {status}, expected {expected}"
