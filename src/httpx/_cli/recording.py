"""
`--har FILE` and `--from-har FILE [N]`: record what is sent and received, and send it again.

    recorder = Recorder("a.har", secrets=False)
    ...                                     recorder.watch is the innermost middleware of the client
    recorder.settle()                       after each run: the entries are complete
    recorder.save()                         writes the file in one step
    part = recorder.part()                  for one of several runs at the same time: part.watch, part.settle()

Each attempt and each redirect is an entry of its own. A body is copied as it passes, so that it is shown or saved as
without the option; one above `MAX_BODY` is not kept. The file is new or replaced; only its owner can read it.

Not here: the format (`har`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from datetime import datetime, timezone
from itertools import islice
from threading import Lock
from typing import Any

import click

import httpx

from . import exits
from .building import method_and_url
from .har import Received, entries_of, entry_of, log_of, replayed, secrets_in, title_of, without
from .notes import note
from .screen import Screen

# Bytes of a body, before and after decoding. A file of many such bodies is hard to open.
MAX_BODY = 16 << 20
# Values that are looked for in all entries: each is one pass over their text.
_MAX_SECRETS = 1000
# A larger file is not read: its objects in memory are several times as large.
MAX_FILE = 1 << 30


class Copying(httpx.SyncByteStream):
    """
    A stream that keeps a copy of what passes.

    Attributes:
        pieces: what has passed; None after more than `MAX_BODY` bytes.
        size: bytes that have passed.
    """

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream
        self.pieces: list[bytes] | None = []
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        """Return an iterator over the body."""
        for piece in self._stream:
            self.size += len(piece)
            if self.pieces is not None:
                self.pieces.append(piece)
                if self.size > MAX_BODY:
                    self.pieces = None
            yield piece

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class Recording:
    """
    A recorder of the requests of one run.

    Args:
        secrets: keep them.

    Attributes:
        entries: of the file.
        secrets: the values that it may not have.
    """

    def __init__(self, secrets: bool = False) -> None:
        self._keeps_secrets = secrets
        self._pending: list[tuple[httpx.Request, str, Any, Any]] = []
        self.secrets: set[str] = set()
        self.entries: list[dict[str, Any]] = []

    def watch(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        """Note each request with its response or failure. A middleware."""
        started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        try:
            response = yield request
        except httpx.HTTPError as exc:
            self._pending.append((request, started, exc, None))
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)  # of a sync client
        response.stream = copy = Copying(response.stream)
        self._pending.append((response.request, started, response, copy))
        return response

    def settle(self) -> None:
        """Make the entries of what was noted; the bodies have arrived, or will not."""
        for request, started, outcome, copy in self._pending:
            if isinstance(outcome, httpx.Response):
                received, timings, error = _received(outcome, copy), outcome.timings, ""
            else:
                received, timings, error = None, outcome.timings, type(outcome).__name__
            if not self._keeps_secrets:
                self.secrets |= secrets_in(request, received)
            self.entries.append(entry_of(request, received, started, timings, error=error, secrets=self._keeps_secrets))
        self._pending.clear()


class Recorder(Recording):
    """
    A recorder of all requests of a run, and of runs at the same time.

    Args:
        path: of the file.
        secrets: keep them.

    Raises:
        click.UsageError: the file cannot be written. This is known before anything is sent.
    """

    def __init__(self, path: str, secrets: bool = False) -> None:
        super().__init__(secrets)
        self._path = path
        self._lock = Lock()
        folder = os.path.dirname(os.path.realpath(path))
        if os.path.isdir(path) or not os.path.isdir(folder):
            raise click.UsageError(f"--har {path!r} must be a file in a folder that exists")
        if not os.access(path if os.path.exists(path) else folder, os.W_OK):
            raise click.UsageError(f"--har {path!r} cannot be written")

    def part(self) -> Part:
        """Return the recorder of one of the runs, whose entries come here when it is settled."""
        return Part(self, self._keeps_secrets)

    def take(self, part: Recording) -> None:
        """Take the entries of a part, in any thread."""
        with self._lock:
            self.secrets |= part.secrets
            self.entries += part.entries

    def save(self) -> None:
        """
        Write the file; a device or a pipe is written to directly.

        Raises:
            exits.Failure: it cannot be written. A file that was there before is as it was.
        """
        try:
            self._write()
        except OSError as exc:
            raise exits.Failure(f"--har {self._path!r} was not written: {exc.strerror or exc}") from None

    def _write(self) -> None:
        # At the end: the first request may have what only the last one names.
        self.entries.sort(key=lambda entry: str(entry["startedDateTime"]))
        known = list(islice(self.secrets, _MAX_SECRETS))
        entries = [without(entry, known) for entry in self.entries] if known else self.entries
        text = json.dumps(log_of(entries, httpx.__version__), ensure_ascii=False, indent=1)
        content = (text + "\n").encode("utf-8", "backslashreplace")
        path = os.path.realpath(self._path)
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as device:
                device.write(content)
            return
        # `mkstemp` creates it with mode 0600.
        descriptor, draft = tempfile.mkstemp(prefix=".", suffix=".har", dir=os.path.dirname(path))
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise


class Part(Recording):
    """A recorder of one of several runs at the same time."""

    def __init__(self, whole: Recorder, secrets: bool) -> None:
        super().__init__(secrets)
        self._whole = whole

    def settle(self) -> None:
        """Make the entries of what was noted, and hand them over."""
        super().settle()
        self._whole.take(self)


def _received(response: httpx.Response, copy: Copying) -> Received:
    """Return a response with its body, if it was read."""
    try:
        body = response.content
    except (httpx.StreamError, httpx.HTTPError):  # it was shown or saved as it came, or is broken
        pass
    else:
        return _bounded(response, body, copy.size or len(body))
    if copy.pieces is None:
        return Received(response, None, copy.size, f"the body has more than {MAX_BODY >> 20} MiB, and is not recorded")
    coding = response.headers.get("content-encoding")
    raw = httpx.Response(200, headers={"Content-Encoding": coding} if coding else {}, content=iter(copy.pieces))
    out = bytearray()
    try:
        for piece in raw.iter_bytes():
            out += piece
            if len(out) > MAX_BODY:
                break
    except httpx.HTTPError:
        return Received(response, None, copy.size, "the body cannot be decoded, and is not recorded")
    return _bounded(response, bytes(out), copy.size)


def _bounded(response: httpx.Response, body: bytes, size: int) -> Received:
    if len(body) > MAX_BODY:
        return Received(response, None, size, f"the body has more than {MAX_BODY >> 20} MiB, and is not recorded")
    return Received(response, body, size)


def replay(options: dict[str, Any]) -> int:
    """
    Send an entry of a HAR file again, or list the entries; return the exit code.

    Args:
        options: the parsed arguments; the first word is the number of the entry, and items may follow.

    Raises:
        click.UsageError: the file is invalid, or has no such entry.
    """
    path, words = options["from_har"], list(options["words"])
    entries = _entries(path)
    if not words or options["list"]:
        return _list(entries, path)
    word = words.pop(0)
    if not word.isdigit() or not 0 < int(word[:9]) <= len(entries):
        raise click.UsageError(f"{path!r} has entries 1 to {len(entries)}, got {word[:20]!r}")
    try:
        found = replayed(entries[int(word) - 1])
    except ValueError as exc:
        raise click.UsageError(f"entry {word} of {path!r}: {exc}") from None
    given = {name.lower() for name, _ in options["headers"]}
    given |= {word.partition(":")[0].lower() for word in words if ":" in word}
    left_out = sorted({name for name in found.masked if name.lower() not in given})
    if left_out:
        note(f"left out, because their values are masked in {path!r}: {', '.join(left_out)}")
    options["headers"] = (*(pair for pair in found.headers if pair[0].lower() not in given), *options["headers"])
    options["words"] = (found.url, *words)
    options["globoff"] = True  # what was sent has no patterns
    if options["urls"] is not None:
        raise click.UsageError("--from-har and --urls exclude each other")
    method_and_url(options["words"], None)  # or the recorded header fields would go to a second one
    options["method"] = options["method"] or found.method
    if found.body and all(options[name] is None for name in ("content", "raw", "json")):
        options["content"] = found.body.decode("utf-8", "surrogateescape")
    from .exchange import perform

    return perform(options)


def _entries(path: str) -> list[dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ValueError(f"it has more than {MAX_FILE >> 20} MiB")
        return entries_of(json.loads(content.decode("utf-8-sig")))
    except OSError as exc:
        raise click.UsageError(f"--from-har: {exc}") from None
    except (ValueError, RecursionError) as exc:
        raise click.UsageError(f"--from-har {path!r}: {exc}") from None


def _list(entries: list[dict[str, Any]], path: str) -> int:
    screen = Screen(sys.stdout)
    for number, entry in enumerate(entries, 1):
        try:
            method, url, status = title_of(entry)
        except ValueError as exc:
            raise click.UsageError(f"entry {number} of {path!r}: {exc}") from None
        screen.write(f"{number:>4}  {status or '-':>3}  {method} {url}\n")
    return exits.OK
