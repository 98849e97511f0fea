"""
Responses and failures in a row, written in one line; a handler for `httpx.MockTransport`, and a client's part by hand.

    Script("503;Retry-After=7 ReadTimeout@5 200!ReadError 200")

Outcomes are separated by spaces. Each is a status with header fields after semicolons (`~` stands for a space in them),
or the name of an exception of httpx (`final:ConnectError` for one that would come again). `!Error` is a body that
breaks with that error after its first piece. `@5` makes the outcome take five seconds of the clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, Optional

import httpx
from httpx import _clock
from httpx._exceptions import final
from httpx._flow import CLOSE, DRAIN
from httpx._steps import CALL, PAUSE, READ


class BrokenBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks after its first piece; one without an error ends well."""

    def __init__(self, error: Optional[str] = None) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield b"begin"
        if self._error is not None:
            raise getattr(httpx, self._error)("the body broke")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class Script:
    """
    The outcomes of requests, one after the other.

    Args:
        text: as the module says.
        clock: anything with `advance(seconds)`; None if no outcome takes time.

    Attributes:
        sent: the requests.
    """

    def __init__(self, text: str, clock: Any = None) -> None:
        self._rest = text.split()
        self._clock = clock
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        outcome, _, seconds = self._rest.pop(0).partition("@")
        if seconds:
            self._clock.advance(float(seconds))
        return outcome_of(outcome)

    @property
    def is_over(self) -> bool:
        """Whether every outcome was played."""
        return not self._rest


def outcome_of(text: str) -> httpx.Response:
    """The response of one outcome; raises if it is an exception."""
    head, _, broken = text.partition("!")
    status, *fields = head.split(";")
    if not status.isdigit():
        is_final, name = status.startswith("final:"), status.rpartition(":")[2]
        raise final(getattr(httpx, name)("it failed"), is_final)
    headers = dict(field.replace("~", " ").split("=", 1) for field in fields)
    return httpx.Response(int(status), headers=headers, stream=BrokenBody(broken or None))


class Clock:
    """Time and chance that stand still, but for `advance`; put in place of those of `_clock`."""

    def __init__(self, monkeypatch: Any, chance: float = 0.5) -> None:
        self.now = 1000.0
        self.chance = chance
        monkeypatch.setattr(_clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(_clock, "wall", lambda: 1_700_000_000 + self.now)
        monkeypatch.setattr(_clock, "jitter", lambda: self.chance)

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Player:
    """
    A client's part for middleware, by hand: sends to a script, and carries out steps at once.

    Attributes:
        sent: the requests.
        paused: the seconds of each pause.
        steps: the kinds of the other steps.
    """

    def __init__(self, script: str, clock: Optional[Clock] = None) -> None:
        self._clock = clock
        self.script = Script(script, clock)
        self.sent = self.script.sent
        self.paused: list[float] = []
        self.steps: list[int] = []

    def play(self, middleware: Any, request: httpx.Request) -> httpx.Response:
        """The response that the middleware returns; raises what it raises."""
        steps: Generator[Any, Any, httpx.Response] = middleware(request)
        try:
            asked = next(steps)
            while True:
                try:
                    outcome = self._outcome(asked)
                except Exception as exc:
                    asked = steps.throw(exc)
                else:
                    asked = steps.send(outcome)
        except StopIteration as stop:
            response: httpx.Response = stop.value
            return response

    def _outcome(self, asked: Any) -> Any:
        if isinstance(asked, httpx.Request):
            return self.script(asked)
        if asked._kind == PAUSE:
            self.paused.append(round(asked._value, 6))
            if self._clock is not None:
                self._clock.advance(asked._value)
            return None
        if asked._kind == CALL:
            function, arguments, _ = asked._value
            return function(*arguments)
        self.steps.append(asked._kind)
        return {READ: asked._value.read, DRAIN: asked._value._drain, CLOSE: asked._value.close}[asked._kind]()
