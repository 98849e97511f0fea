"""
What is sent to upload a file, as a generator without I/O: at once, or so that it survives a broken connection.

`upload` yields steps like those of `_transfer`, and is sent their outcomes:

    SEND      a `Message`             the response, read
    FILE      a function              its result; it may block
    PAUSE     seconds                 -

    create ─► append ─► complete? done
                │  ▲
         broken │  │ offset
                ▼  │
               ask ┘

The two protocols differ in words, which are two tables: tus 1.0.0 (tus.io), and draft-ietf-httpbis-resumable-upload-12,
of which the interop version is 8. The upload is created without content, so that its URL is known before a byte is sent
that could be lost.

Not here: reading the file (`_transports.slices`), the requests' other parts (`_transfer_arguments`).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from ._exceptions import NetworkError, RemoteProtocolError, TimeoutException
from ._transfer import FILE, PAUSE, SEND, Patience, dictionary
from ._transfer import PROGRESS as _PROGRESS

if TYPE_CHECKING:
    from ._response import Response
    from ._urls import URL

Steps = Generator["tuple[int, Any]", Any, Any]

_BROKEN = (NetworkError, TimeoutException, RemoteProtocolError)
# Of an append that was not accepted, perhaps because the one before is still at work (409, 423 in tus), or of a server
# that is busy: ask where to go on.
_PASSING = frozenset((408, 409, 423, 425, 429, 500, 502, 503, 504))
_NUMBER = re.compile(r"[0-9]{1,15}")


class Message(NamedTuple):
    """
    A request of an upload.

    Attributes:
        method, url: of the request.
        fields: header fields that it must have.
        start, end: of the part of the file that is its body; the same for none.
    """

    method: str
    url: URL
    fields: dict[str, str]
    start: int
    end: int


class Order(NamedTuple):
    """
    How a file is to be uploaded.

    Attributes:
        method, url: of the request that uploads it, or creates the upload.
        name: of the file, or None.
        chunk: bytes of each append; None for all that is left.
        attempts, backoff, max_backoff, max_wait, deadline: as in `_transfer.Order`.
    """

    method: str
    url: URL
    name: str | None = None
    chunk: int | None = None
    attempts: int = 3
    backoff: float = 0.1
    max_backoff: float = 20.0
    max_wait: float = 60.0
    deadline: float | None = None


class Protocol(NamedTuple):
    """
    The words of a protocol.

    Attributes:
        fields: of every request.
        append_type: the Content-Type of an append.
        says_complete: whether Upload-Complete is sent and read; else the offset tells.
    """

    fields: dict[str, str]
    append_type: str
    says_complete: bool


PROTOCOLS = {
    "tus": Protocol({"Tus-Resumable": "1.0.0"}, "application/offset+octet-stream", False),
    "ietf": Protocol({"Upload-Draft-Interop-Version": "8"}, "application/partial-upload", True),
}


def upload(source: Any, order: Order, protocol: Protocol | None) -> Steps:
    """
    Return the steps of an upload; their result is the last response.

    Args:
        source: a `_transports.slices.Source`.
        protocol: one of `PROTOCOLS`; None to send the file in one request.

    Raises:
        As said in `Client.upload`.
    """
    size = yield FILE, source.measure
    if protocol is None:
        response = yield SEND, Message(order.method, order.url, {}, 0, size)
        return response.raise_for_status()
    return (yield from _Run(order, protocol, size).steps())


class _Run:
    """One resumable upload of `size` bytes."""

    def __init__(self, order: Order, protocol: Protocol, size: int) -> None:
        self.order = order
        self.protocol = protocol
        self.size = size
        self.url = order.url
        self.most = order.chunk
        self.patience = Patience(order)
        self.reached = 0
        self.end = 0  # of the last append

    def steps(self) -> Steps:
        response = yield from self._create()
        offset: int | None = 0
        if not self.protocol.says_complete and not self.size:
            return response
        while True:
            error = None
            try:
                before = offset
                if before is None:
                    response = yield SEND, self._message("HEAD")
                    offset = None if response.status_code in _PASSING else self._offset(response.raise_for_status())
                else:
                    response, offset = yield from self._append(before)
                if offset is not None and self._is_complete(response, offset):
                    return response
                busy = response if offset is None else None
                has_failed = offset is None or not self._is_progress(before, offset)
            except _BROKEN as exc:
                error, offset, has_failed, busy = exc, None, True, None
            if has_failed:
                pause = self.patience.after(0, busy)
                if pause is None:
                    try:
                        raise error or self._given_up(response)
                    finally:
                        error = None  # a traceback that holds its own frame
                yield PAUSE, pause

    def _is_progress(self, before: int | None, offset: int) -> bool:
        """
        Return whether an append went as far as it should; `before` is None for an offset that was asked for.

        Only what goes further than ever before gives new patience: a server may lose what it had, or say so.
        """
        is_far = before is None or offset == self.end or offset - before >= _PROGRESS
        if offset - self.reached >= (_PROGRESS if before is None or offset != self.end else 1):
            self.patience.reset()
        self.reached = max(offset, self.reached)
        return is_far and (before is None or offset > before)

    def _create(self) -> Steps:
        """Create the upload; take its URL and its limits."""
        fields = {"Upload-Length": str(self.size)}
        if self.protocol.says_complete:
            fields["Upload-Complete"] = "?0"
        elif self.order.name is not None:
            fields["Upload-Metadata"] = f"filename {_base64(self.order.name)}"
        response = yield SEND, self._message(self.order.method, fields)
        response.raise_for_status()
        location = response.headers.get("location")
        if response.status_code != 201 or not location:
            text = f"no upload was created: expected 201 and Location, got {response.status_code}"
            raise RemoteProtocolError(text, request=response.request)
        url = response.url.join(location)
        if url._origin != self.order.url._origin:
            # It would get the credentials that are meant for the target.
            raise RemoteProtocolError("the upload was created on another origin", request=response.request)
        self.url = url.copy_with(fragment=None)
        self._heed_limits(response)
        return response

    def _heed_limits(self, response: Response) -> None:
        """Read Upload-Limit."""
        if not self.protocol.says_complete:
            return
        limits = dictionary(response.headers.get("upload-limit", ""))
        size, append = limits.get("max-size"), limits.get("max-append-size")
        if isinstance(size, int) and self.size > size:
            text = f"the server takes at most {size} bytes (max-size of Upload-Limit), the file has {self.size}"
            raise RemoteProtocolError(text, request=response.request)
        if isinstance(append, int) and append > 0:
            self.most = min(append, self.most or append)

    def _append(self, offset: int) -> Steps:
        """Send the next part; return the response and the offset after it, None if that must be asked for."""
        end = self.end = min(self.size, offset + (self.most or self.size))
        fields = {"Upload-Offset": str(offset), "Content-Type": self.protocol.append_type}
        if self.protocol.says_complete:
            fields["Upload-Complete"] = "?1" if end == self.size else "?0"
        response = yield SEND, self._message("PATCH", fields, offset, end)
        if response.status_code in _PASSING:
            return response, None
        response.raise_for_status()
        if self.protocol.says_complete and end == self.size and _complete(response) != "?0":
            return response, end  # the response of the target itself, which may say nothing of an upload
        return response, self._offset(response) if "upload-offset" in response.headers else None

    def _message(self, method: str, fields: dict[str, str] | None = None, start: int = 0, end: int = 0) -> Message:
        return Message(method, self.url, {**self.protocol.fields, **(fields or {})}, start, end)

    def _offset(self, response: Response) -> int:
        value = response.headers.get("upload-offset", "")
        if not _NUMBER.fullmatch(value) or int(value) > self.size:
            text = f"invalid Upload-Offset {value[:20]!r}, expected a number up to {self.size}"
            raise RemoteProtocolError(text, request=response.request)
        self._heed_limits(response)
        return int(value)

    def _is_complete(self, response: Response, offset: int) -> bool:
        if offset < self.size:
            return False
        if not self.protocol.says_complete:
            return True
        said = _complete(response)
        return said == "?1" or (said != "?0" and response.request.method == "PATCH")

    def _given_up(self, response: Response) -> RemoteProtocolError:
        text = f"the server took no more of the upload in {self.order.attempts} attempts"
        return RemoteProtocolError(f"{text}, last status {response.status_code}", request=response.request)


def _complete(response: Response) -> str:
    value: str = response.headers.get("upload-complete", "")
    return value.strip()


def _base64(text: str) -> str:
    from binascii import b2a_base64

    return b2a_base64(text.encode("utf-8", "replace"), newline=False).decode("ascii")
