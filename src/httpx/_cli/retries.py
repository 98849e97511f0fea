"""
`--retry N`: `httpx.Retry` with the settings of a person who waits at a terminal.

    retry = Retries(3, tell=print)                      middleware of the client; tells of each pause
    saving(download, done)                              middleware that saves a body within its attempt
    showing(show)                                       middleware that shows each head

What is repeated, and when, is said in `httpx.Retry`. Here each attempt has its whole body read or saved, so that one
whose body broke is repeated, too.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Callable

import httpx

if TYPE_CHECKING:
    from .download import Download
    from .targets import Direct

# Seconds. A busy server (429, 503) gets ten times that. A person at a terminal does not wait longer than a minute.
_BACKOFF = 0.2
_MAX_PAUSE = 60.0

Steps = Generator["httpx.Request | httpx.Step", Any, httpx.Response]


class Retries(httpx.Retry):
    """
    Middleware for one run.

    Args:
        most: the number of retries.
        tell: called with a line before each pause.

    Attributes:
        count: the number of retries so far.
    """

    def __init__(self, most: int, tell: Callable[[str], None]) -> None:
        # One run is one request: there is nothing for a budget to bound.
        super().__init__(most + 1, backoff=_BACKOFF, max_backoff=_MAX_PAUSE, max_wait=_MAX_PAUSE, budget=None)
        self._most = most
        self._say = tell
        self.count = 0

    def _tell(self, request: httpx.Request, what: str, number: int, pause: float) -> None:
        self.count += 1
        self._say(f"{what}; retrying in {pause:.3g} s ({number - 1} of {self._most})")


def saving(download: Download | Direct, done: Callable[[str], None]) -> Callable[[httpx.Request], Steps]:
    """
    Return middleware that saves the body of a success, and requests the rest of what an attempt before has left.

    Args:
        done: called with the path of the file.
    """
    ours = download.headers()  # which the request has already, unless the user gave others

    def save(request: httpx.Request) -> Steps:
        nonlocal ours
        fields = download.headers()
        for name in {**ours, **fields}:
            if request.headers.get(name) == ours.get(name):
                request.headers.pop(name, None)
                request.headers.update({name: fields[name]} if name in fields else {})
        ours = fields
        response: httpx.Response = yield request
        if response.is_success:  # a response that is followed, or sent again, is not the file
            done((yield httpx.Step.call(download.save, response)))
        return response

    return save


def showing(show: Callable[[httpx.Response], None]) -> Callable[[httpx.Request], Steps]:
    """Return middleware that shows the head of each response, also of those that are not the last."""

    def watch(request: httpx.Request) -> Steps:
        response: httpx.Response = yield request
        show(response)
        return response

    return watch
