"""Trace events and log lines."""

from __future__ import annotations

import logging
from typing import Any, Optional

import pytest

from httpx import Request
from httpx._engine.job import Job
from httpx._engine.story import Narrator
from httpx._exceptions import (
    ConnectError,
)
from httpx._protocol.exchange import BODY, INPUT, OUTPUT, PAUSE
from httpx._protocol.http1 import HTTP1Exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Secret: s3cret\r\n\r\nok"

TO_THE_HEAD = [
    "http11.send_request_headers.started",
    "http11.send_request_headers.complete",
    "http11.send_request_body.started",
    "http11.send_request_body.complete",
    "http11.receive_response_headers.started",
    "http11.receive_response_headers.complete",
]

TO_THE_END = [
    "http11.receive_response_body.started",
    "http11.receive_response_body.complete",
    "http11.response_closed.started",
    "http11.response_closed.complete",
]


def job(method: str = "GET", url: str = "https://example.org/", now: float = 0, **options: Any) -> Job:
    return Job(Request(method, url, **options), now)


def timed(now: float = 1000, **timeout: Optional[float]) -> Job:
    return job(now=now, extensions={"timeout": timeout})


# Where it goes.


def narrated(request: Request, *arriving: bytes) -> tuple[Narrator, HTTP1Exchange, list[tuple[str, dict[str, Any]]]]:
    """The events of a request whose connection is there already, up to the head of its answer, as an engine asks."""
    exchange = HTTP1Exchange(*Job(request, 0).arguments)
    narrator = Narrator(request, None)
    pieces, arrivals = Job(request, 0).sync_pieces(), iter(arriving)
    events = narrator.turn(exchange)
    while exchange.head is None or exchange.need <= BODY:
        if exchange.need == OUTPUT:
            exchange.take()
        elif exchange.need == BODY:
            exchange.feed(next(pieces, None))
        elif exchange.need in (INPUT, PAUSE):
            exchange.receive(next(arrivals))
        else:
            break
        events += narrator.turn(exchange)
    return narrator, exchange, events


def names(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, _ in events]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("cuts", ["whole", "bytes"])
@pytest.mark.parametrize(
    "body",
    [
        dict,
        lambda: {"content": b"hello"},
        lambda: {"content": b"x" * 300_000},
        lambda: {"content": iter([b"hel", b"lo"])},
        lambda: {"content": b"hello", "headers": {"Expect": "100-continue"}},
    ],
    ids=["nothing", "small", "large", "streamed", "waits for consent"],
)
def test_an_exchange_has_the_same_steps_whatever_it_carries(method, body, cuts):
    request = Request(method, "http://example.org/", **body())
    arriving = [OK] if cuts == "whole" else [OK[index : index + 1] for index in range(len(OK))]
    if "Expect" in request.headers:
        arriving.insert(0, b"HTTP/1.1 100 Continue\r\n\r\n")
    narrator, exchange, events = narrated(request, *arriving)
    assert names(events) == TO_THE_HEAD
    assert events[0] == ("http11.send_request_headers.started", {"request": request})
    assert events[1] == ("http11.send_request_headers.complete", {"return_value": None})
    head = (b"HTTP/1.1", 200, b"OK", [(b"Content-Length", b"2"), (b"X-Secret", b"s3cret")])
    assert events[-1][1] == {"return_value": head}
    while not exchange.finished:
        exchange.receive(b"ok"[len(b"".join(exchange.chunks)) :])
    assert names(narrator.body() + narrator.closed()) == TO_THE_END


def test_a_body_that_waits_for_consent_is_not_sent_yet():
    request = Request("POST", "http://example.org/", content=b"hello", headers={"Expect": "100-continue"})
    exchange, narrator = HTTP1Exchange(*Job(request, 0).arguments), Narrator(request, None)
    events = narrator.turn(exchange)
    exchange.take()
    assert names(events + narrator.turn(exchange) + narrator.turn(exchange)) == TO_THE_HEAD[:3]
    exchange.proceed()
    assert narrator.turn(exchange) == []
    exchange.take()
    assert names(narrator.turn(exchange)) == TO_THE_HEAD[3:5]


def test_a_refusal_of_an_expectation_ends_the_upload():
    request = Request("POST", "http://example.org/", content=b"hello", headers={"Expect": "100-continue"})
    _, _, events = narrated(request, b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    assert names(events) == TO_THE_HEAD


def test_a_body_nobody_wanted_is_only_closed():
    narrator, _, _ = narrated(Request("GET", "http://example.org/"), OK)
    assert names(narrator.closed()) == TO_THE_END[2:]


def test_a_body_that_is_given_up_has_failed():
    narrator, exchange, _ = narrated(Request("GET", "http://example.org/"), OK[:-1])
    assert not exchange.finished
    assert names(narrator.body()) == TO_THE_END[:1]
    failure, *rest = narrator.closed()
    assert failure[0] == "http11.receive_response_body.failed"
    assert isinstance(failure[1]["exception"], GeneratorExit)
    assert names(rest) == TO_THE_END[2:]


def test_a_step_that_fails_says_why():
    narrator = Narrator(Request("GET", "http://example.org/"), None)
    error = ConnectError("refused")
    assert narrator.start("connection.connect_tcp", host="example.org", port=80) == [
        ("connection.connect_tcp.started", {"host": "example.org", "port": 80})
    ]
    assert narrator.failed(error) == [("connection.connect_tcp.failed", {"exception": error})]
    assert narrator.failed(error) == []
    assert narrator.complete() == []
    assert names(narrator.closed()) == TO_THE_END[2:]


def test_a_request_that_is_sent_again_is_told_again():
    narrator, exchange, _ = narrated(Request("GET", "http://example.org/"), b"")
    assert exchange.error is not None
    assert names(narrator.failed(exchange.error)) == ["http11.receive_response_headers.failed"]
    assert names(narrator.turn(HTTP1Exchange(*job().arguments))) == TO_THE_HEAD[:1]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("httpcore.http11", "httpcore.connection"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)
        logging.getLogger(name).manager._clear_cache()


def test_nothing_is_told_while_nobody_listens(quiet):
    one = job()
    assert one.narrator is None
    one.begin_dial()
    assert one.narrator is None


def test_a_callback_is_told(quiet):
    def callback(name: str, info: dict[str, Any]) -> None:
        pass

    one = job(extensions={"trace": callback})
    assert one.narrator is not None
    assert one.narrator.callback is callback
    narrator = one.narrator
    one.begin_dial()
    assert one.narrator is narrator


def test_a_logger_is_told(quiet, caplog):
    caplog.set_level(logging.DEBUG, "httpcore.http11")
    assert job().narrator is not None


def test_a_logger_of_connections_alone_is_told_about_those(quiet, caplog):
    caplog.set_level(logging.DEBUG, "httpcore.connection")
    one = job()
    assert one.narrator is None
    one.begin_dial()
    assert one.narrator is not None
    one.narrator.start("connection.connect_tcp", host="example.org", port=443, timeout=5.0)
    one.narrator.complete()
    one.narrator.start("http11.send_request_headers")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("httpcore.connection", "connect_tcp.started host='example.org' port=443 timeout=5.0"),
        ("httpcore.connection", "connect_tcp.complete"),
    ]


def test_the_log_has_no_values_of_headers_and_no_secrets_of_the_url(quiet, caplog):
    """Cookies and tokens end up there, and logs are read by many."""
    caplog.set_level(logging.DEBUG, "httpcore")
    for name in ("httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, name)
    request = Request("GET", "http://user:s3cret@example.org/?token=s3cret", headers={"Authorization": "s3cret"})
    narrator, _, _ = narrated(request, OK)
    narrator.body()
    narrator.closed()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("send_request_headers.started request=<Request('GET'")
    assert lines[5] == (
        "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', [b'Content-Length', b'X-Secret'])"
    )
    assert lines[-2:] == ["response_closed.started", "response_closed.complete"]
    assert {record.name for record in caplog.records} == {"httpcore.http11"}
    assert "s3cret" not in "".join(lines)


# Forks.
