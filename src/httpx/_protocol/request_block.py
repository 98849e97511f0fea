"""
The header blocks of requests over HTTP/2, and what is remembered of them (RFC 9113, section 8.3).

    RequestFields(fields)            the fields of a request, checked, as HTTP/2 sends them
    RequestBlocks.fields_of(fields)  -> RequestFields, those of the last request if they are the same
    RequestBlocks.encode(...)        -> the header block of a request
    RequestBlocks.encode_connect(...)  -> that of a CONNECT

Most requests of a connection differ in their path only. The encoded fields before and after `:path` are kept for as
long as the encoder's table stays the same, so that a block is three pieces joined.

Not here: compression (`hpack`), frames and streams (`http2`), the grammar of names and values (`http1`).
"""

from __future__ import annotations

import re

from .._exceptions import LocalProtocolError
from . import hpack
from .exchange import Fields
from .fields import TOKEN, WrittenFields

# Targets of the last requests that are remembered, and the longest of them in bytes.
MAX_TARGETS = 256
MAX_REMEMBERED_TARGET = 256

_NOT_TARGET = re.compile(rb"[^\x21-\x7e]")
# Fields of the connection, not of the message: HTTP/2 does not send them (RFC 9113 8.2.2). Host becomes `:authority`.
_OF_HTTP1 = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host"))


class _SentNames(dict[bytes, bytes]):
    """Name of a request's field -> the name that HTTP/2 sends, or b"" for a field that it does not send. Bounded."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        sent = b"" if lower in _OF_HTTP1 else lower
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()
            self[name] = sent
        return sent


_NAME_OF = _SentNames()


class RequestFields:
    """
    The fields of a request as HTTP/2 sends them; they pass the same checks as those of HTTP/1.1.

    Attributes:
        source: the fields that these were made of.
        written: what the checks found out: length, framing, expectations.
        authority: the value of Host.
        fields: the other fields, names in lower case.
        blocks: (scheme, method) -> version of the encoder's table, the encoded fields before and after `:path`.

    Raises:
        LocalProtocolError: as `WrittenFields`, or the value of Host is not an authority.
    """

    __slots__ = ("authority", "blocks", "fields", "source", "written")

    def __init__(self, source: Fields) -> None:
        self.written = WrittenFields(source)
        self.source = self.written.fields
        self.authority = b""
        self.blocks: dict[tuple[bytes, bytes], tuple[int, bytes, bytes]] = {}
        self.fields: Fields = []
        for name, value in source:
            sent = _NAME_OF[name]
            value = value.strip(b" \t")
            if sent:
                if sent != b"te" or value == b"trailers":
                    self.fields.append((sent, value))
            elif name.lower() == b"host":
                self.authority = value
        if not self.authority or 0x40 in self.authority or _NOT_TARGET.search(self.authority) is not None:
            raise LocalProtocolError(f"Host {self.authority[:20]!r} must be a host and an optional port")


class RequestBlocks:
    """
    The header blocks of the requests on one connection, in the order in which they are sent.

    Attributes:
        encoder: the sending side of header compression.
        last: the fields of the last request, or None.
        paths: targets of the last requests, checked -> `:path` as it may stand in any block.
    """

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()
        self.last: RequestFields | None = None
        self.paths: dict[bytes, bytes] = {}
        # (method, scheme, authority) as fields -> version of the table, the encoded fields.
        self._starts: dict[tuple[tuple[bytes, bytes], ...], tuple[int, bytes]] = {}

    def fields_of(self, fields: Fields) -> RequestFields:
        """
        Return the fields of a request, checked.

        Raises:
            LocalProtocolError: see `RequestFields`.
        """
        last = self.last
        if last is None or last.source != fields:
            last = self.last = RequestFields(fields)
        return last

    def encode(self, known: RequestFields, scheme: bytes, method: bytes, target: bytes) -> bytes:
        """Return the header block of a request; the encoder's table changes with it, so it must be sent."""
        encoder = self.encoder
        around = known.blocks.get((scheme, method))
        if around is None or around[0] != encoder.version:
            version = encoder.version
            start = (b":method", method), (b":scheme", scheme), (b":authority", known.authority)
            before = self._starts.get(start)
            if before is None or before[0] != version:
                before = (version, encoder.encode([*start]))
                if encoder.version == version:
                    self._starts = {start: before}  # one is enough: it serves clients whose other fields change
            around = (version, before[1], encoder.encode(known.fields))
            if encoder.version == version:
                known.blocks[scheme, method] = around
        path = self.paths.get(target)
        if path is None:
            path = hpack.path_field(target)
            if len(self.paths) >= MAX_TARGETS:
                self.paths.clear()
            if len(target) <= MAX_REMEMBERED_TARGET:
                self.paths[target] = path
        return around[1] + path + around[2]

    def encode_connect(self, known: RequestFields, scheme: bytes, target: bytes, protocol: bytes) -> bytes:
        """Return the header block of a CONNECT, with a protocol or without one (RFC 9113 8.5, RFC 8441 4)."""
        if protocol:
            pseudo = [
                (b":method", b"CONNECT"),
                (b":protocol", protocol),
                (b":scheme", scheme),
                (b":authority", known.authority),
                (b":path", target),
            ]
        else:
            pseudo = [(b":method", b"CONNECT"), (b":authority", target)]
        return self.encoder.encode(pseudo + known.fields)


def check_request_line(method: bytes, target: bytes) -> None:
    """Raise LocalProtocolError if the method or the target is not legal."""
    if TOKEN.fullmatch(method) is None:
        raise LocalProtocolError(f"method {method[:20]!r} is not a token")
    if not target or _NOT_TARGET.search(target) is not None:
        raise LocalProtocolError(f"request target {target[:20]!r} must be visible ASCII characters")


def check_body(written: WrittenFields, body: bytes, streaming: bool) -> None:
    """Raise LocalProtocolError if the body does not agree with the fields that announce it."""
    length = written.length
    if length is None and not streaming and not written.chunked:
        raise LocalProtocolError("a request with a body needs Content-Length or Transfer-Encoding: chunked")
    if length is not None and (length < len(body) or (length > len(body) and not streaming)):
        raise LocalProtocolError(f"the request's body has {len(body)} bytes, and its Content-Length says {length}")


def check_connect(method: bytes, written: WrittenFields, streaming: bool, protocol: bytes) -> None:
    """Raise LocalProtocolError if a request is not a legal CONNECT; `protocol` is b"" for a plain one."""
    if method != b"CONNECT" or TOKEN.fullmatch(protocol or b"none") is None:
        raise LocalProtocolError(f"protocol {protocol[:20]!r} must be a token, and the method CONNECT, got {method!r}")
    if not streaming or written.length is not None or written.chunked:
        raise LocalProtocolError("a CONNECT request must be streamed, without a length")
