"""
Requests as HTTP/2 has them, and what is remembered of them.

Not here: how a block is compressed (`hpack`), frames and streams (`http2`).
"""

from __future__ import annotations

import re

from .._exceptions import LocalProtocolError
from .exchange import Fields
from .http1 import WrittenFields

# Targets of the last requests that are remembered, and how long they may be.
MAX_TARGETS = 256
MAX_REMEMBERED_TARGET = 256

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_TARGET = re.compile(rb"[^\x21-\x7e]")
# Fields of the connection and not of the message: HTTP/2 has no place for them (RFC 9113 8.2.2).
_OF_HTTP1 = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"host"))


class _SentNames(dict[bytes, bytes]):
    """Field name of a request -> as HTTP/2 has it, or b"" where it has no place for it. Remembered, bounded."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        sent = b"" if lower in _OF_HTTP1 else lower
        if len(name) <= 64:
            if len(self) >= 1024:
                self.clear()
            self[name] = sent
        return sent


_NAME_OF = _SentNames()


class HTTP2Fields:
    """
    A request's fields as HTTP/2 has them, through the same gate as those of HTTP/1.1; remembered for the next.

    Attributes:
        authority: the value of Host.
        fields: the others, names in lower case.
        blocks: (scheme, method) -> state of the encoder's table, what stands before and behind `:path` in the block.

    Raises:
        LocalProtocolError: as `WrittenFields`, or the Host is no authority.
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
            raise LocalProtocolError(f"Host {self.authority[:20]!r} is not a host and perhaps a port")


def _check_request_line(method: bytes, target: bytes) -> None:
    if _TOKEN.fullmatch(method) is None:
        raise LocalProtocolError(f"method {method[:20]!r} is not a token")
    if not target or _NOT_TARGET.search(target) is not None:
        raise LocalProtocolError(f"request target {target[:20]!r} has a character that is not visible ASCII")


def _check_body(written: WrittenFields, body: bytes, streaming: bool) -> None:
    """Does the body agree with the fields that announce it?"""
    length = written.length
    if length is None and not streaming and not written.chunked:
        raise LocalProtocolError("a request with a body needs Content-Length or Transfer-Encoding: chunked")
    if length is not None and (length < len(body) or (length > len(body) and not streaming)):
        raise LocalProtocolError(f"the request's body has {len(body)} bytes, and its Content-Length says {length}")
