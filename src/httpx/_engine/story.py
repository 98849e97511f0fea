"""
What happens to a request, as events for the `trace` extension and as log lines.

Not here: delivering the events, which is the shells'.
"""

from __future__ import annotations

from typing import Any, Callable

from .._loggers import DEBUG, logger_of
from .._models import Request
from .._protocol.exchange import BODY, OUTPUT, PAUSE, Exchange

Event = tuple[str, dict[str, Any]]

_LOGGERS = {name: logger_of(f"httpcore.{name}") for name in ("connection", "http11", "http2", "pool", "proxy", "socks")}
HTTP11_LOGGER, CONNECTION_LOGGER = _LOGGERS["http11"], _LOGGERS["connection"]


class Narrator:
    """
    What happens to a request, as events for the `trace` extension and for the loggers "httpcore.*" at DEBUG.

    Each step has `<name>.started` and then `.complete` or `.failed`. The shells call a method at each turn and deliver
    the events that it returns; nothing of this exists while there is no listener.
    """

    def __init__(self, request: Request, callback: Callable[[str, dict[str, Any]], Any] | None) -> None:
        self._protocol = "http11"
        self._info: dict[str, Any] = {"request": request}
        self.callback = callback
        self._open: str | None = None
        self._exchange: Exchange | None = None

    def over_http2(self, identifier: int) -> None:
        """The exchange is a stream of HTTP/2, with this number."""
        self._protocol = "http2"
        self._info = {"request": self._info["request"], "stream_id": identifier}

    def over_http1(self) -> None:
        """The exchange has a connection of HTTP/1.1 to itself; so it is until something else is said."""
        self._protocol = "http11"
        self._info = {"request": self._info["request"]}

    def start(self, name: str, **info: Any) -> list[Event]:
        """A step begins."""
        self._open = name
        return _told((f"{name}.started", info))

    def complete(self, value: Any = None) -> list[Event]:
        """The step that began last is done."""
        name, self._open = self._open, None
        return [] if name is None else _told((f"{name}.complete", {"return_value": value}))

    def failed(self, exc: BaseException) -> list[Event]:
        """The step that began last failed."""
        name, self._open = self._open, None
        return [] if name is None else _told((f"{name}.failed", {"exception": exc}))

    def turn(self, exchange: Exchange, settings: dict[str, int] | None = None) -> list[Event]:
        """
        After each turn of the pump: which steps of the exchange ended and began with it.

        Args:
            exchange: the request's.
            settings: the peer's, of HTTP/2, if some came in this turn; they are told in the middle of another step.
        """
        self._exchange = exchange
        events: list[Event] = []
        if settings is not None:
            name = "http2.receive_remote_settings"
            events += _told((f"{name}.started", {})) + _told((f"{name}.complete", {"return_value": settings}))
        if self._open is None and exchange.head is None:
            events += self._begin("send_request_headers")
            if self._protocol == "http2":  # they left when the stream was opened, and the next turn is after a wait
                events += self.complete() + self._begin("send_request_body")
        elif self._is_open("send_request_headers"):
            events += self.complete() + self._begin("send_request_body")
        # A response may come before the upload is over; then that goes on without being told of.
        is_sent = exchange.need not in (OUTPUT, BODY, PAUSE) and not exchange.uploading
        if self._is_open("send_request_body") and (is_sent or exchange.head is not None):
            events += self.complete() + self._begin("receive_response_headers")
        if self._is_open("receive_response_headers") and exchange.head is not None:
            status, reason, fields, version = exchange.head
            # As 0.28.1 has it: HTTP/2 has no reason, and its version is not a part of the head.
            events += self.complete(
                (status, fields) if self._protocol == "http2" else (version, status, reason, fields)
            )
        return events

    def body(self) -> list[Event]:
        """The caller begins to read the body."""
        return self._begin("receive_response_body")

    def closed(self) -> list[Event]:
        """The exchange is over, and the connection free or closed; a body that was given up has failed."""
        whole = self._exchange is None or self._exchange.finished
        events = self.complete() if whole else self.failed(GeneratorExit())
        return events + self.start(f"{self._protocol}.response_closed") + self.complete()

    def _begin(self, step: str) -> list[Event]:
        return self.start(f"{self._protocol}.{step}", **self._info)

    def _is_open(self, step: str) -> bool:
        return self._open == f"{self._protocol}.{step}"


def _told(event: Event) -> list[Event]:
    """The event, after the logger was told of it."""
    name, info = event
    family, _, step = name.partition(".")
    logger = _LOGGERS[family]
    if logger.isEnabledFor(DEBUG):
        known = {key: value for key, value in info.items() if key != "return_value" or value is not None}
        logger.debug("%s", " ".join([step, *(f"{key}={_loggable(value)}" for key, value in known.items())]))
    return [event]


def _loggable(value: Any) -> str:
    """A value as text for a log: heads without their fields' values, which may be private."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], list):
        return f"({value[0]}, {[name for name, _ in value[1]]!r})"
    if isinstance(value, tuple) and len(value) == 4 and isinstance(value[3], list):
        version, status, reason, fields = value
        return f"({version!r}, {status}, {reason!r}, {[name for name, _ in fields]!r})"
    return repr(value)
