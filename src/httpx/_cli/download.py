"""
Save a body, whole or not at all: `download` of the library, shown on a terminal.

    download = Download("photos/", url)         a folder, or "" for the current one: the server chooses the name
    request.headers.update(download.headers())
    ...
    path = download.save(response)

What is written where, requested and compared is said in `_transfer` and `_transports.drafts`. Here each attempt has one
request, which the command line sends itself, and any status is saved. On a terminal, standard error shows a bar with
size, speed and time left. Not here: standard output and other targets that are written in place (`targets`).
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._exceptions import ContentMismatch, HTTPStatusError
from .._filenames import fit_name, name_in, server_name
from .._transfer import FILE, SEND, Order, Progress, Steps, UnfitResponse, download, parse_digest
from .._transports.carrying import carry_out
from .._transports.drafts import Target, folder_of
from .exits import OTHER_DIGEST, Failure
from .notes import note, shows_progress

if TYPE_CHECKING:
    from httpx import Response


class OtherDigest(Failure):
    """The file does not have the requested digest."""

    code = OTHER_DIGEST


class NotResumed(Failure):
    """The server did not send the rest of the file."""


class Download:
    """
    A body to be saved to a file.

    Args:
        target: a file, a folder, or "" for the current folder.
        url: of the request, for a file name if the server gives none.
        resume: continue the draft of an earlier run.
        digest: name of a hash and its value, such as "sha256:9f86...".
        skips: read no body whose file is there already.
        present: names in the folder that count as that; None for those that are there now. Several downloads of a run
            that have one name must not skip each other.

    Attributes:
        was_skipped: the file was there already, so the body was not read.

    Raises:
        ValueError: the digest does not have this form.
    """

    def __init__(
        self,
        target: str,
        url: str,
        *,
        resume: bool = False,
        digest: str | None = None,
        skips: bool = False,
        present: Container[str] | None = None,
    ) -> None:
        self._path = target
        self._url = url
        self._digest = None if digest is None else parse_digest(digest)
        self._resume = resume
        self._skips = skips
        self._present = present
        self.was_skipped = False
        self._target: Target | None = None
        self._steps: Steps | None = None
        self._step: tuple[int, Any] = (SEND, {})
        self._tell: Progress | None = None

    @property
    def makes_file(self) -> bool:
        """Return whether the body becomes a file."""
        return not self.was_skipped

    @property
    def is_repeatable(self) -> bool:
        """Return whether the body can be saved again after it broke: not where its beginning was written for good."""
        return folder_of(self._path) is not None or not os.path.exists(self._path) or os.path.isfile(self._path)

    @property
    def kept(self) -> str | None:
        """Return the path of the draft that `resume` would continue; None if there is none."""
        draft = None if self._target is None else self._target.draft
        return draft if draft and os.path.exists(draft) else None

    @property
    def existing(self) -> str | None:
        """Return the path of the file if it is there already, in a folder that of the URL's name; None if it is not."""
        folder = folder_of(self._path)
        if folder is not None:
            return self._in(folder, fit_name(name_in(self._url)))
        return self._path if os.path.isfile(self._path) else None

    def _in(self, folder: str, name: str) -> str | None:
        path = os.path.join(folder, name)
        is_there = os.path.lexists(path) if self._present is None else name in self._present
        return path if name and is_there else None

    def headers(self) -> dict[str, str]:
        """Return header fields for the request; a Range needs a body that is not compressed."""
        if self._steps is None:
            self._target = Target(self._path, self._url, resume=self._resume)
            order = Order(
                self._url,
                resume=self._resume,
                digest=self._digest,
                progress=self._progress if shows_progress() else None,
                attempts=1,
                checks_status=False,
            )
            self._steps = download(self._target, order, expects_complete=False)
            self._step = next(self._steps)
            while self._step[0] == FILE:
                self._step = self._steps.send(self._step[1]())
        return dict(self._step[1])

    def save(self, response: Response) -> str:
        """
        Write an unread body, or the rest of it; return the path. One that is not wanted, because its file is there
        already, stays unread.

        Raises:
            OSError: the file cannot be written.
            RequestError: the body did not arrive completely.
            OtherDigest: the body has another digest.
            NotResumed: the server did not send the rest.
        """
        named = self._named_by(response) if self._skips else None
        if named is not None:
            note(f"{named!r} is there already, its body was not read")
            response.close()
            self.was_skipped = True
            if self._steps is not None:
                self._steps.close()
                self._steps = None
            return named
        self.headers()
        steps, target, self._steps = self._steps, self._target, None
        assert steps is not None  # `headers` has made both
        assert target is not None
        self._resume = True  # if the request is sent again, it asks for the rest
        try:
            with _progress(target.path.name or server_name(response.headers, self._url), self):
                return str(carry_out(steps, lambda fields: response, self._step))
        except ContentMismatch as exc:
            raise OtherDigest(str(exc)) from None
        except UnfitResponse as exc:
            raise NotResumed(f"{exc}{_kept(target)}") from None
        except HTTPStatusError:
            raise NotResumed(f"the server responded with {response.status_code}{_kept(target)}") from None

    def _named_by(self, response: Response) -> str | None:
        """Return the path of the file with the server's name if it is in the folder already."""
        folder = folder_of(self._path)
        if folder is None or not response.is_success:
            return None
        return self._in(folder, server_name(response.headers, self._url))

    def _progress(self, done: int, length: int | None) -> None:
        if self._tell is not None:
            self._tell(done, length)


def _kept(target: Target) -> str:
    return f"; {target.draft!r} is kept" if target.draft and os.path.exists(target.draft) else ""


@contextmanager
def _progress(name: str, download: Download) -> Iterator[None]:
    """Show a bar on a terminal."""
    from .bar import bar

    with bar(name) as tell:
        download._tell = tell
        try:
            yield
        finally:
            download._tell = None
