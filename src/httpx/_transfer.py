"""
What is requested, compared and written to bring a file over whole, as a generator without I/O.

`download` yields the next step and is sent its outcome; `_transports.carrying` carries the steps out:

    step      value                          outcome
    SEND      header fields                  the response, unread; the one before is closed
    COPY      a `Copy`                       -     (the body goes to the target)
    FILE      a function                     its result; it may block
    PAUSE     seconds                        -
    REFUSE    response                       -     (its body is read, if it is short, and it is closed)
    PARTS     (generators, width, response)  -     (so many of them run at once; the first one has the open response)

    find draft ─► SEND ─► 200: begin ─► COPY ─► length, digests ─► finish
         │          │  └► 206: compare ─┘ │
         └──────────┴─── pause ◄──────────┘ broken: resume from what was written (RFC 9110, 13.1.5 If-Range, 14.2 Range)

A draft grows only by bytes of the version that its validator names, a strong one; everything that a 206 says is
compared with what is known. Whatever does not fit begins anew or is an error: never a mixture of two versions.

Not here: files (`_transports.drafts`, whose `Target` is passed in), sending, waiting, threads.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from . import _clock
from ._exceptions import (
    ContentMismatch,
    HTTPStatusError,
    NetworkError,
    RemoteProtocolError,
    RequestError,
    ResponseTooLarge,
    TimeoutException,
)
from ._fields import parse_date
from ._filenames import fit_name, name_in, server_name
from ._retry_after import retry_after
from ._secrets import shortened

if TYPE_CHECKING:
    from pathlib import Path

    from ._response import Response

SEND, COPY, FILE, PAUSE, REFUSE, PARTS = range(6)

Steps = Generator["tuple[int, Any]", Any, Any]
Progress = Callable[[int, Optional[int]], object]

_BROKEN = (NetworkError, TimeoutException, RemoteProtocolError)
# Statuses of a server that is busy, or is being replaced: worth another attempt.
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
# Bytes that an attempt must bring to count as a success, so that a long download over a bad line goes on, and one from
# a server that sends a byte each time does not.
PROGRESS = 65_536
# Bytes of the smallest part: with smaller ones the requests cost more than they gain.
MIN_PART = 8 << 20
MAX_PARTS = 64
# Bytes, and seconds, after which what has arrived is written.
_BATCH_SECONDS = 0.25

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)$")
_LENGTH = re.compile(r"[0-9]{1,18}")
# RFC 9530, and their bytes. Other algorithms are insecure, or checksums.
_SIZES = {"sha-256": 32, "sha-512": 64}

# What ends in this is named as coded data, so that is what is stored.
_CODED_ENDINGS = {
    "gzip": (".gz", ".tgz", ".gzip", ".svgz", ".emz", ".wmz"),
    "x-gzip": (".gz", ".tgz", ".gzip", ".svgz", ".emz", ".wmz"),
    "br": (".br",),
    "zstd": (".zst", ".tzst", ".zstd"),
    "compress": (".z",),
}


class Digest(NamedTuple):
    """
    A digest that a file must have.

    Attributes:
        name: of the hash, as in hashlib.
        value: its bytes.
    """

    name: str
    value: bytes


class Order(NamedTuple):
    """
    How a file is to be downloaded.

    Attributes:
        url: of the request, for a file name.
        resume: whether a draft and a complete file of an earlier run count.
        parts: ranges that are requested at once.
        digest: that the file must have.
        max_size: bytes.
        progress: called with the bytes that are there, and the length or None.
        attempts: in a row that may fail, without an earlier draft's.
        backoff, max_backoff: seconds, of the pauses between them.
        max_wait: seconds, the most that a Retry-After may ask for.
        deadline: of all of it, on the clock of `_clock`.
        checks_status: whether a status that is not 2xx is an error.
    """

    url: str
    resume: bool = True
    parts: int = 1
    digest: Digest | None = None
    max_size: int | None = None
    progress: Progress | None = None
    attempts: int = 3
    backoff: float = 0.1
    max_backoff: float = 20.0
    max_wait: float = 60.0
    deadline: float | None = None
    checks_status: bool = True


class Patience:
    """Whether another attempt is worth it, and how long to wait before."""

    def __init__(self, order: Any) -> None:
        self._order = order
        self._failures = 0

    def reset(self) -> None:
        """Begin anew: an attempt was a success."""
        self._failures = 0

    def after(self, brought: int, response: Response | None = None) -> float | None:
        """
        Return the pause before the next attempt, after one that failed and brought so many bytes; None for none.

        Args:
            response: of the attempt, if its status was the failure; it may ask for a longer pause.
        """
        order: Order = self._order
        self._failures = 1 if brought >= PROGRESS else self._failures + 1
        if self._failures >= order.attempts:
            return None
        pause = _clock.jitter() * min(order.max_backoff, order.backoff * 2.0 ** min(self._failures - 1, 64))
        asked = None if response is None else retry_after(response.headers)
        if asked is not None:
            if asked > order.max_wait:
                return None
            pause = max(pause, asked)
        if order.deadline is not None and _clock.monotonic() + pause >= order.deadline:
            return None
        return pause


class Copy:
    """
    A body on its way to a file.

    Args:
        response: unread.
        target: of the file.
        at: the position of its first byte in the file.
        end: the position after its last; None if that is not known.
        is_part: whether only the beginning of the body is wanted, up to `end`.
        most: the largest position that is allowed; None for no limit.
        is_decoded: whether its Content-Encoding is removed.
        segment: that moves with what is written.
        tell: called with the position.
    """

    def __init__(
        self,
        response: Response,
        target: Any,
        at: int,
        end: int | None,
        *,
        most: int | None = None,
        is_part: bool = False,
        is_decoded: bool = False,
        segment: list[int] | None = None,
        tell: Callable[[int], object] | None = None,
    ) -> None:
        self.response = response
        self.is_decoded = is_decoded or hasattr(response, "_content")  # read already, as by a middleware
        self.start = at
        self.at = at  # of the next byte to arrive
        self.is_over = is_part and at == end
        self._target = target
        self._epoch = target.epoch
        self._end = end
        self._is_part = is_part
        self._most = most
        self._segment = segment
        self._tell = tell
        self._pieces: list[bytes] = []
        self._pieces_at = at  # the position of the first of them
        self._last = 0.0

    def take(self, piece: bytes, batch: int) -> bool:
        """
        Take what has arrived; return whether it should be written now, as a batch.

        Args:
            batch: bytes that are worth a write; 0 if any are.

        Raises:
            ResponseTooLarge: the file is larger than `max_size`.
            RemoteProtocolError: there is more of it than its length says.
        """
        at = self.at + len(piece)
        if self._end is not None and at >= self._end:
            if at > self._end and not self._is_part:
                raise _not_the_file(self.response, f"the body has more than the {self._end} bytes of its length")
            piece = piece[: self._end - self.at]
            at = self._end
            self.is_over = self._is_part
        if self._most is not None and at > self._most:
            raise _too_large(self._most, self.response)
        self.at = at
        if piece:
            self._pieces.append(piece)
        if self._tell is not None:
            self._tell(at)
        if not batch:
            return True
        moment = _clock.monotonic()
        if self.is_over or at - self._pieces_at >= batch or moment - self._last >= _BATCH_SECONDS:
            self._last = moment
            return True
        return False

    @property
    def waiting(self) -> int:
        """Return how many bytes were taken and are in no batch."""
        return self.at - self._pieces_at

    def batch(self) -> Callable[[], None]:
        """Return a function that writes what was taken until now, while more is taken. Batches are written in order."""
        pieces, self._pieces = self._pieces, []
        at, self._pieces_at = self._pieces_at, self.at
        return partial(self._write, at, pieces)

    def _write(self, at: int, pieces: list[bytes]) -> None:
        if pieces:
            self._target.write(at, pieces, self._segment, self._epoch)

    def write(self) -> None:
        """Write what was taken."""
        self.batch()()

    def check(self) -> None:
        """Raise RemoteProtocolError if the body has ended too early."""
        if self._end is not None and self.at < self._end:
            raise _not_the_file(self.response, f"the body ended at byte {self.at} of {self._end}")


class UnfitResponse(RemoteProtocolError):
    """A response that does not fit to the draft: what the server has now must be requested from its beginning."""


class _NoParts(Exception):
    """The server does not send parts any more, or the file has changed."""


class _TooManyParts(Exception):
    """The server refuses so many requests at once."""


def download(target: Any, order: Order, *, expects_complete: bool = True) -> Steps:
    """
    Return the steps of a download; their result is the path.

    Args:
        target: a `_transports.drafts.Target`.
        expects_complete: whether there may be nothing to send, because a file has its digest already.

    Raises:
        As said in `Client.download`.
    """
    run = _Run(target, order)
    is_done, keep = False, True
    try:
        path: Path = yield from run.steps(expects_complete)
        is_done = True
        return path
    except Exception as exc:
        keep = not isinstance(exc, (ContentMismatch, ResponseTooLarge))
        yield FILE, target.wait  # so that the caller can begin again at once
        raise
    finally:
        if not is_done:
            target.leave(keep)


class _Run:
    """
    One download.

    Attributes:
        part: what is on disk and can be continued: (size, validator, length, segments); None if nothing is.
        began: whether a response brought a part of the file.
    """

    def __init__(self, target: Any, order: Order) -> None:
        self.target = target
        self.order = order
        self.patience = Patience(order)
        self.part: Any = None
        self.began = False
        self.width = order.parts
        self.digests: dict[str, bytes] = {}
        self.modified: int | None = None
        self.copy: Copy | None = None
        self._told = Lock()

    def steps(self, expects_complete: bool) -> Steps:
        order, target = self.order, self.target
        if order.digest is not None and expects_complete:
            self.digests = {order.digest.name: order.digest.value}
            name = fit_name(name_in(order.url))
            whole = yield FILE, partial(target.complete, name, None, None, self.digests)
            if whole is not None:
                return whole
        self.part = yield FILE, target.find
        while True:
            try:
                return (yield from self._attempt())
            except _NoParts:
                self.width, self.part = 1, None
                continue
            except _TooManyParts:
                self.width = 1
                continue
            except (*_BROKEN, HTTPStatusError) as exc:
                if not self.began or (isinstance(exc, HTTPStatusError) and exc.response.status_code not in _PASSING):
                    raise
                brought = yield from self._settle(isinstance(exc, UnfitResponse))
                pause = self.patience.after(brought, exc.response if isinstance(exc, HTTPStatusError) else None)
                if pause is None:
                    raise
            yield PAUSE, pause

    def _settle(self, is_distrusted: bool) -> Steps:
        """Write what has arrived, and see what of it can be continued; return how many bytes it was."""
        copy, self.copy = self.copy, None
        brought = 0
        if copy is not None:
            yield FILE, copy.write
            brought = copy.at - copy.start
            known = self.part
            if known is not None and known.segments is None:
                size = self.target.size()
                is_fit = size > 0 and (known.length is None or size <= known.length)
                self.part = known._replace(size=size) if is_fit else None
        if is_distrusted:
            self.part = None
        return brought if self.part is not None else 0

    def _attempt(self) -> Steps:
        part = self.part
        if part is not None and part.segments is not None:
            return (yield from self._parallel(None))
        fields = dict(_FIELDS)
        if part is not None and part.size:
            fields.update({"Range": f"bytes={part.size}-", "If-Range": part.validator})
        response = yield SEND, fields
        status = response.status_code
        if status == 206:
            return (yield from self._continue(response))
        if status == 416 and part is not None and _is_whole(response, part) and self._learn(response):
            return (yield from self._finish())
        if not 200 <= status < 300 and (self.order.checks_status or part is not None):
            with suppress(RequestError):  # the status is what is wrong
                yield REFUSE, response
            if status == 416:
                self.began = True
                raise UnfitResponse("the server does not have the rest of the file", request=response._request)
            response.raise_for_status()
            # A 304, which is not an error of a request that asked for it: there is no file.
            text = f"expected a file from {shortened(response.url._redacted())}, got status {status}"
            raise HTTPStatusError(text, request=response.request, response=response)
        return (yield from self._begin(response))

    def _continue(self, response: Response) -> Steps:
        """Append the rest to the draft."""
        part = self.part
        self.began = True  # so that it may be tried anew
        if part is None or not part.size:
            raise UnfitResponse(
                "the server sent a part of the file, which was not requested", request=response._request
            )
        end = _rest(response, part)
        if end is None or (part.length is not None and part.length != end) or not self._learn(response):
            raise UnfitResponse("the server did not send the part that is missing", request=response._request)
        self._check_size(end, response)
        self.copy = Copy(response, self.target, part.size, end, most=self.order.max_size, tell=self._tell_of(end))
        yield COPY, self.copy
        self.copy.check()
        yield from self._check_content(self.copy)
        return (yield from self._finish())

    def _begin(self, response: Response) -> Steps:
        """Take the whole file."""
        order, target = self.order, self.target
        name = server_name(response.headers, order.url)
        is_decoded = is_to_be_decoded(response, name)
        length = None if is_decoded else _length(response)
        validator = None if is_decoded else validator_of(response)
        self.digests = {} if order.digest is None else {order.digest.name: order.digest.value}
        self.modified = modified_in(response.headers) if response.is_success else None
        self.part = None
        if not is_decoded:
            self._learn(response)
        whole = yield FILE, partial(target.complete, name, length, self.modified, self.digests)
        if whole is not None:
            return whole
        self._check_size(length, response)
        yield FILE, partial(target.begin, name, validator, length)
        self.began = True
        if validator is not None and not target.is_device:
            self.part = _Part(0, validator, length, None)
            if self._may_split(response, length):
                return (yield from self._parallel(response))
        target.hash({*self.digests, *_content_digests(response)})
        self.copy = Copy(
            response,
            target,
            0,
            length,
            most=order.max_size,
            is_decoded=is_decoded,
            tell=self._tell_of(length),
        )
        yield COPY, self.copy
        self.copy.check()
        if not is_decoded:
            yield from self._check_content(self.copy)
        return (yield from self._finish())

    def _finish(self) -> Steps:
        """Compare the digests, and let the draft become the file."""
        target = self.target
        for name, wanted in self.digests.items():
            found = yield FILE, partial(target.digest, name)
            if found != wanted:
                raise _mismatch("the file", name, found, wanted, None if self.copy is None else self.copy.response)
        return (yield FILE, partial(target.finish, self.modified if self.order.resume else None))

    def _check_content(self, copy: Copy) -> Steps:
        """Compare the digests of this response's own bytes, and learn those that came after them (RFC 9530)."""
        response = copy.response
        if not self._learn(response, trailers=True):
            raise UnfitResponse("the server sent another digest of the file than before", request=response._request)
        if self.target.is_device:
            self.digests = {name: value for name, value in self.digests.items() if name in _hashes(self, response)}
        for name, wanted in _content_digests(response).items():
            if self.target.is_device and name not in _hashes(self, response):
                continue
            found = yield FILE, partial(self.target.digest, name, copy.start, copy.at)
            if found != wanted:
                raise _mismatch("the body", name, found, wanted, response)

    def _learn(self, response: Response, trailers: bool = False) -> bool:
        """Remember the digests of the whole file that a response has; return False if they differ from others."""
        if response.status_code != 416 and "content-encoding" in response.headers and self.part is not None:
            return False
        for name, value in _digests_in(response, "repr-digest", trailers).items():
            if self.order.digest is not None and name == self.order.digest.name:
                continue  # which is compared with the file itself
            if self.digests.setdefault(name, value) != value:
                return False
        if self.modified is None:
            self.modified = modified_in(response.headers)
        return True

    def _check_size(self, length: int | None, response: Response) -> None:
        most = self.order.max_size
        if most is not None and length is not None and length > most:
            raise _too_large(most, response)

    def _tell_of(self, length: int | None) -> Callable[[int], object] | None:
        progress = self.order.progress
        return None if progress is None else lambda at: progress(at, length)

    # In parts.

    def _may_split(self, response: Response, length: int | None) -> bool:
        """Return whether to request parts; if so, note them."""
        count = min(self.width, MAX_PARTS, (length or 0) // MIN_PART)
        if count < 2 or response.status_code != 200 or response.headers.get("accept-ranges", "").lower() != "bytes":
            return False
        assert length is not None  # or there were no parts
        bounds = [length * number // count for number in range(count + 1)]
        self.part = self.part._replace(segments=[list(pair) for pair in zip(bounds, bounds[1:])])
        return True

    def _parallel(self, response: Response | None) -> Steps:
        """Fill the segments; the open response is the first one's."""
        part, target = self.part, self.target
        self.began = True
        self._check_size(part.length, response)  # type: ignore[arg-type]  # for its request only
        if response is not None:
            yield FILE, partial(target.split, part.segments)
        missing = [segment for segment in part.segments if segment[0] < segment[1]]
        first = [response, *[None] * len(missing)]
        runs = [self._segment(segment, opened) for segment, opened in zip(missing, first)]
        try:
            if runs:  # or a run before had them all, and ended before it gave the file its name
                yield PARTS, (runs, self.width, response)
        except BaseException:
            target.epoch += 1  # a thread that is late must not write any more
            raise
        return (yield from self._finish())

    def _segment(self, segment: list[int], response: Response | None) -> Steps:
        """Fill one segment, in as many attempts as it takes."""
        patience = Patience(self.order)
        length = self.part.length
        tell = None if self.order.progress is None else partial(self._tell_of_parts, length)
        while segment[0] < segment[1]:
            copy = None
            try:
                if response is None:
                    last = segment[1] - 1
                    fields = {"Range": f"bytes={segment[0]}-{last}", "If-Range": self.part.validator}
                    response = yield SEND, {**_FIELDS, **fields}
                    self._check_segment(response, segment)
                copy = Copy(response, self.target, *segment, segment=segment, is_part=True, tell=tell)
                yield COPY, copy
                copy.check()
                if response.status_code == 206:
                    yield from self._check_content(copy)
            except _BROKEN as exc:
                if copy is not None:
                    yield FILE, copy.write
                pause = patience.after(copy.at - copy.start if copy is not None else 0)
                if pause is None:
                    if self.width > 1 and isinstance(exc, NetworkError) and copy is None:
                        raise _TooManyParts from None
                    raise
                yield PAUSE, pause
            response = None

    def _check_segment(self, response: Response, segment: list[int]) -> None:
        """
        Compare a response with the segment that was requested.

        Raises:
            _NoParts, _TooManyParts, HTTPStatusError: it does not bring it.
        """
        status = response.status_code
        if status in _PASSING and self.width > 1:
            raise _TooManyParts
        if status >= 400 and status != 416:
            response.raise_for_status()
        match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
        if (
            status != 206
            or match is None
            or match.groups() != (str(segment[0]), str(segment[1] - 1), str(self.part.length))
            or not _is_same_version(response, self.part.validator)
            or not self._learn(response)
        ):
            raise _NoParts

    def _tell_of_parts(self, length: int, at: int) -> None:
        with self._told:
            missing = sum(end - at for at, end in self.part.segments)
            self.order.progress(length - missing, length)  # type: ignore[misc]  # asked before


class _Part(NamedTuple):
    """What is on disk, as in `_transports.drafts.Part`."""

    size: int
    validator: str
    length: int | None
    segments: list[list[int]] | None


# A Range is of the bytes that are stored, so they must not be coded on the way.
_FIELDS = {"Accept-Encoding": "identity", "Want-Repr-Digest": "sha-256=10"}


def _hashes(run: _Run, response: Response) -> set[str]:
    """Return the hashes that were computed while the body arrived: those that were known from the head."""
    given = set() if run.order.digest is None else {run.order.digest.name}
    names = {*_digests_in(response, "repr-digest", False), *_digests_in(response, "content-digest", False)}
    return given | names


def validator_of(response: Response) -> str | None:
    """
    Return the validator to request the rest of a body with: a strong entity tag, or a date that counts as strong.

    RFC 9110, 8.8.1 and 8.8.2.2.
    """
    headers = response.headers
    if (
        response.status_code not in (200, 206)
        or headers.get("accept-ranges") == "none"
        or "content-encoding" in headers
    ):
        return None
    tag: str = headers.get("etag", "")
    if tag.startswith('"') and tag.endswith('"') and len(tag) > 1:
        return tag if tag.isascii() and tag.isprintable() else None
    return str(headers["last-modified"]) if modified_in(headers) is not None else None


def modified_in(headers: Mapping[str, str]) -> int | None:
    """Return Last-Modified, in seconds since 1970, if it is strong: before Date (RFC 9110, 8.8.2.2)."""
    changed, now = parse_date(headers.get("last-modified", "")), parse_date(headers.get("date", ""))
    return changed if changed is not None and now is not None and now > changed else None


def is_to_be_decoded(response: Response, name: str) -> bool:
    """
    Return whether the Content-Encoding of a body is to be removed, so that the file is what its name says.

    "a.tar.gz" is stored as it is if the server calls its gzip a coding, which many do; "a.html" is decoded.
    """
    codings = [coding.strip().lower() for coding in response.headers.get("content-encoding", "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return False
    return (
        len(codings) > 1
        or hasattr(response, "_content")
        or not name.lower().endswith(_CODED_ENDINGS.get(codings[0], ()))
    )


def parse_digest(text: str) -> Digest:
    """
    Return a digest from its name and value, such as "sha256:9f86...".

    Raises:
        ValueError: it does not have this form.
    """
    import hashlib

    name, _, value = text.partition(":")
    name, value = name.lower().replace("-", ""), value.strip().lower()
    try:
        size = hashlib.new(name).digest_size
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a digest: expected a form such as sha256:<64 digits>") from None
    if size == 0 or not re.fullmatch(rf"[0-9a-f]{{{size * 2}}}", value):
        raise ValueError(f"a digest of {name} has {size * 2} hexadecimal digits")
    return Digest(name, bytes.fromhex(value))


def _content_digests(response: Response) -> dict[str, bytes]:
    return _digests_in(response, "content-digest", True)


def _digests_in(response: Response, field: str, trailers: bool) -> dict[str, bytes]:
    """Return the digests in a field, by their name in hashlib; those after the body, too, if there are trailers."""
    values = [response.headers.get(field, "")]
    if trailers:
        for name, value in response.extensions.get("trailers", ()):
            if _text(name).lower() == field:
                values.append(_text(value))
    found = {}
    for value in values:
        for name, digest in dictionary(value).items():
            if isinstance(digest, bytes) and len(digest) == _SIZES.get(name):
                found[name.replace("-", "")] = digest
    return found


def dictionary(value: str) -> dict[str, Any]:
    """Return the values of a field that is a dictionary of RFC 9651, without parameters; {} if it is not valid."""
    if not value:
        return {}
    from ._structured import parse_dictionary  # few responses have one

    try:
        return {name: item.value for name, item in parse_dictionary(value).items()}
    except ValueError:
        return {}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _length(response: Response) -> int | None:
    value = response.headers.get("content-length", "")
    return int(value) if _LENGTH.fullmatch(value) else None


def _total(response: Response) -> int | None:
    match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    return int(match[3]) if match is not None and match[3] != "*" else None


def _is_whole(response: Response, part: Any) -> bool:
    """Return whether a 416 says that the draft is the whole file."""
    length = part.size if part.length is None else part.length
    return part.size == length == _total(response) and _is_same_version(response, part.validator)


def _rest(response: Response, part: Any) -> int | None:
    """
    Return the length of the file if a 206 has all that a draft lacks, of the same version, uncoded; else None.

    RFC 9110, 14.4 and 15.3.7.
    """
    match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    if match is None or match[1] is None or int(match[1]) != part.size or "content-encoding" in response.headers:
        return None
    end = int(match[2]) + 1
    if match[3] != "*" and end != int(match[3]):
        return None
    length = _length(response)
    if end <= part.size or (length is not None and length != end - part.size):
        return None
    return end if _is_same_version(response, part.validator) else None


def _is_same_version(response: Response, validator: str) -> bool:
    field = "etag" if validator.startswith('"') else "last-modified"
    return bool(response.headers.get(field, validator) == validator)


def _not_the_file(response: Response, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, request=response._request)


def _too_large(most: int, response: Response | None) -> ResponseTooLarge:
    request = None if response is None else response._request
    return ResponseTooLarge(f"the file is larger than max_size, {most} bytes", request=request)


def _mismatch(what: str, name: str, found: bytes, wanted: bytes, response: Response | None) -> ContentMismatch:
    text = f"{what} has the digest {name}:{found.hex()}, and not {name}:{wanted.hex()}"
    return ContentMismatch(text, request=None if response is None else response._request)
