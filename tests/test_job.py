"""One request on its way: its limits, its errors, whether it may be sent again, and what is told about it."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import Any, Optional

import pytest

from httpx import ByteStream, Request
from httpx._engine.job import Job, next_piece, refuse_awaitable, shown
from httpx._exceptions import (
    CloseError,
    ConnectError,
    ConnectTimeout,
    LocalProtocolError,
    PoolTimeout,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    UnsupportedProtocol,
    WriteError,
    WriteTimeout,
)
from httpx._models import Response
from httpx._protocol.exchange import Exchange
from httpx._protocol.http1 import HTTP1Exchange


def job(method: str = "GET", url: str = "https://example.org/", now: float = 0, **options: Any) -> Job:
    return Job(Request(method, url, **options), now)


def timed(now: float = 1000, **timeout: Optional[float]) -> Job:
    return job(now=now, extensions={"timeout": timeout})


# Where it goes.


def test_requests_of_one_origin_share_their_connections():
    assert job(url="https://example.org/a").key == job(url="https://EXAMPLE.org:443/b?c#d").key
    keys = [
        job(url=url).key
        for url in ("https://example.org", "http://example.org", "https://example.org:444", "https://www.example.org")
    ]
    assert len(set(keys)) == 4


def test_a_server_name_of_its_own_makes_a_connection_of_its_own():
    """Otherwise a request would go out on a connection whose certificate was checked for another name."""
    plain, named, other = job(), *(job(extensions={"sni_hostname": name}) for name in ("a.example", "b.example"))
    assert len({plain.key, named.key, other.key}) == 3
    assert plain.server_name() == "example.org"
    assert named.server_name() == "a.example"


@pytest.mark.parametrize("name", [None, ""])
def test_no_server_name_means_the_host(name):
    """With `None` no name at all was checked."""
    without = job(extensions={"sni_hostname": name})
    assert without.key == job().key
    assert without.server_name() == "example.org"


def test_the_server_name_is_the_host_as_it_was_parsed():
    assert job(url="https://[::1]:8443/").server_name() == "::1"
    assert job(url="https://bücher.example/").server_name() == "xn--bcher-kva.example"


@pytest.mark.parametrize("url", ["http://example.org", "https://example.org", "ws://example.org", "wss://example.org"])
def test_schemes_that_go_over_a_connection(url):
    assert job(url=url).key[1] == "example.org"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org/", "the scheme 'ftp' of the request's URL is not supported"),
        ("mailto:me@example.org", "the scheme 'mailto' of the request's URL is not supported"),
        ("//example.org/", "the request's URL has no scheme"),
        ("/path", "the request's URL has no scheme"),
        ("http:///path", "the request's URL has no host: it should begin with 'http://' and a host"),
    ],
)
def test_other_urls_are_not_supported(url, message):
    with pytest.raises(UnsupportedProtocol, match=message):
        job(url=url)


# What the machine is made of.


def test_the_machine_gets_what_goes_on_the_wire():
    request = Request("POST", "https://example.org/a b?c=d#e", content=b"hello")
    assert Job(request, 0).arguments == (b"POST", b"/a%20b?c=d", request.headers.raw, b"hello", False)


def test_a_body_that_streams_is_fed_later():
    *_, body, streaming = job("POST", content=iter([b"a", b"b"])).arguments
    assert (body, streaming) == (b"", True)


@pytest.mark.parametrize("target", ["*", b"*"])
def test_a_target_may_be_given_as_text_or_bytes(target):
    assert job("OPTIONS", extensions={"target": target}).arguments[1] == b"*"


@pytest.mark.parametrize(("method", "target"), [("GÉT", b"/"), ("GET", "/é"), ("GET", b"/a b"), ("GET", "/\r\n")])
def test_what_is_not_legal_on_the_wire_is_refused_by_the_machine(method, target):
    """And not by a UnicodeError from somewhere before it."""
    request = Request("GET", "https://example.org/")
    request.method, request.extensions = method, {"target": target}  # past the checks where a request is made
    with pytest.raises(LocalProtocolError):
        HTTP1Exchange(*Job(request, 0).arguments)


def test_the_pieces_of_a_body():
    assert list(job("POST", content=iter([b"a", b"b"])).sync_pieces()) == [b"a", b"b"]


async def an_async_body() -> Any:
    yield b"a"
    yield b"b"


def test_an_async_body_is_not_for_a_sync_client():
    with pytest.raises(RuntimeError, match="async stream"):
        job("POST", content=an_async_body()).sync_pieces()


@pytest.mark.parametrize("content", [an_async_body, lambda: iter([b"a", b"b"])])
def test_an_async_client_takes_both_kinds(content):
    async def main() -> list[Optional[bytes]]:
        pieces = job("POST", content=content()).async_pieces()
        return [await next_piece(pieces) for _ in range(3)]

    assert asyncio.run(main()) == [b"a", b"b", None]


# How long it may take.


def test_without_timeouts_there_are_no_limits():
    for one in (job(), job(extensions={"timeout": {}}), job(extensions={"timeout": None}), timed(read=None)):
        assert one.deadline is None
        assert one.read is None
        assert one.limit("read", 5) is None


def test_a_phase_is_limited_by_its_own_timeout():
    one = timed(read=5, connect=7)
    assert one.read == 5
    assert one.limit("read", 1000) == 1005
    assert one.limit("read", 1100) == 1105
    assert one.limit("connect", 1000) == 1007
    assert one.limit("write", 1000) is None


def test_the_total_timeout_limits_every_phase():
    one = timed(read=5, total=12)
    assert one.deadline == 1012
    assert one.limit("read", 1000) == 1005
    assert one.limit("read", 1010) == 1012
    assert one.limit("write", 1010) == 1012


@pytest.mark.parametrize("seconds", [2_000_000.0, 1e10, float("inf")])
def test_a_timeout_of_weeks_is_none(seconds):
    """poll() raised OverflowError from 25 days on."""
    one = timed(read=seconds, connect=seconds, total=seconds)
    assert one.read is None
    assert one.deadline is None
    assert one.limit("connect", 1000) is None
    assert timed(read=1_999_999).read == 1_999_999


def test_the_error_says_which_timeout_it_was_and_of_which_host():
    timeout = {"read": 5, "write": 2, "pool": 1, "total": 12}
    one = job(url="https://example.org:8443/", now=1000, extensions={"timeout": timeout})
    host = " (a request to example.org:8443)"
    error = one.timed_out(ReadTimeout, "read", 1005, "nothing arrived")
    assert type(error) is ReadTimeout
    assert str(error) == "nothing arrived within the read timeout of 5 s" + host
    assert error.request is one.request
    idle = job(extensions={"timeout": {"read": 2}})
    idle.idle(30)
    assert "within the idle timeout of 30 s" in str(idle.timed_out(ReadTimeout, "read", 1005, "nothing arrived"))
    error = one.timed_out(WriteTimeout, "write", 1012, "the peer took nothing")
    assert type(error) is WriteTimeout
    assert str(error) == "the peer took nothing within the total timeout of 12 s" + host
    assert (
        str(one.queue_timed_out(1001)) == "no connection of the pool became free within the pool timeout of 1 s" + host
    )
    assert type(one.queue_timed_out(1001)) is PoolTimeout
    error = one.timed_out(ConnectTimeout, "connect", 1001, "no TLS session with example.org:8443")
    assert str(error).count("example.org") == 1
    one = job(url="http://proxy/", now=1000, extensions={"timeout": {"connect": 1}})
    error = one.timed_out(ConnectTimeout, "connect", 1001, "no tunnel through the proxy")
    assert str(error).endswith("timeout of 1 s (a request to proxy)")


def test_the_time_to_wait_for_another_ones_dial_is_that_of_a_dial_and_that_of_the_pool():
    one = timed(connect=5, pool=1)
    assert one.queue_limit(1000, awaits_dial=False) == 1001
    assert one.queue_limit(1000, awaits_dial=True) == 1006
    assert timed(pool=1).queue_limit(1000, awaits_dial=True) is None
    assert timed(connect=5, pool=1, total=3).queue_limit(1000, awaits_dial=True) == 1003


def test_a_timer_that_fires_a_little_early_does_not_change_which_timeout_it_was():
    """It said "the read timeout of 0 s" for a request that has a total timeout only."""
    error = timed(total=12).timed_out(ReadTimeout, "read", 1011.999, "nothing arrived")
    assert "total timeout of 12 s" in str(error)


def test_a_timeout_of_nothing_is_said_so():
    assert "read timeout of 0 s" in str(timed(read=0).timed_out(ReadTimeout, "read", 1000, "nothing arrived"))


# Whether it may be sent again.


def failed_exchange(*, touched: bool = False) -> Exchange:
    exchange = Exchange()
    exchange.untouched = not touched
    return exchange


@pytest.mark.parametrize(
    ("method", "replayed"),
    [
        *((method, True) for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY")),
        *((method, False) for method in ("POST", "PATCH", "CONNECT", "PROPFIND", "get it")),
    ],
)
def test_only_what_can_be_done_twice_is_sent_twice(method, replayed):
    request = Request("GET", "https://example.org/", content=b"body")
    request.method = method
    assert Job(request, 0).may_replay(failed_exchange(), ReadError("reset")) is replayed


@pytest.mark.parametrize(
    ("error", "replayed"),
    [
        (ReadError("reset"), True),
        (WriteError("broken pipe"), True),
        (CloseError("?"), True),
        (ConnectError("?"), True),
        (RemoteProtocolError("the peer closed the connection without an answer"), True),
        (ReadTimeout("silence"), False),
        (WriteTimeout("stuck"), False),
        (LocalProtocolError("the body is too long"), False),
        (RuntimeError("a bug"), False),
        (KeyboardInterrupt(), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_only_a_connection_that_was_dead_already_is_a_reason(error, replayed):
    assert job().may_replay(failed_exchange(), error) is replayed


def test_not_once_a_byte_of_an_answer_arrived():
    exchange = HTTP1Exchange(*job().arguments)
    exchange.take()
    assert job().may_replay(exchange, ReadError("reset"))
    exchange.receive(b"H")
    assert not job().may_replay(exchange, ReadError("reset"))
    assert not job().may_replay(failed_exchange(touched=True), ReadError("reset"))


def test_not_with_a_body_that_is_gone():
    streamed = job("PUT", content=iter([b"a"]))
    assert not streamed.may_replay(failed_exchange(), ReadError("reset"))
    refused = failed_exchange()
    refused.refused = True
    assert streamed.may_replay(refused, ReadError("reset")), "nothing of it was read"
    streamed.next_piece()
    assert not streamed.may_replay(refused, ReadError("reset"))
    read = Request("PUT", "https://example.org/", content=iter([b"a"]))
    read.read()
    assert Job(read, 0).may_replay(failed_exchange(), ReadError("reset"))
    assert job("PUT", stream=ByteStream(b"a")).may_replay(failed_exchange(), ReadError("reset"))


def test_a_refusal_for_the_sake_of_others_does_not_count():
    """Of many at once a server with a low limit refuses some more than three times."""
    unlucky = job("POST", content=b"a")
    for _ in range(100):
        assert unlucky.may_replay(failed_exchange(), RemoteProtocolError("refused"), True, True)


def test_refusals_end_all_the_same():
    unlucky = job("POST", content=b"a")
    assert (
        sum(unlucky.may_replay(failed_exchange(), RemoteProtocolError("refused"), True, True) for _ in range(2000))
        < 1010
    )


# What comes around the answer.


def test_interim_answers_and_trailers_are_extensions_of_the_response():
    exchange = HTTP1Exchange(*job().arguments)
    exchange.take()
    exchange.receive(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    exchange.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nSum: 1\r\n\r\n")
    response = Response(200)
    job().annotate(response, exchange)
    assert response.extensions == {
        "informational": [(103, [(b"Link", b"</a.css>")])],
        "trailers": [(b"Sum", b"1")],
    }


def test_each_interim_answer_but_100_is_for_the_function_once():
    asked = job()
    asked.request.extensions["informational"] = print
    exchange = HTTP1Exchange(*asked.arguments)
    assert asked.next_interim(exchange) is None
    exchange.informational = [(103, [(b"Link", b"</a>")]), (100, []), (102, [])]
    first, second = asked.next_interim(exchange), asked.next_interim(exchange)
    assert first is not None
    assert second is not None
    assert (first.status_code, first.headers["link"], first.request) == (103, "</a>", asked.request)
    assert (second.status_code, asked.next_interim(exchange)) == (102, None)


def test_without_a_function_interim_answers_are_passed_over():
    asked = job()
    exchange = HTTP1Exchange(*asked.arguments)
    exchange.informational = [(103, [])]
    assert asked.next_interim(exchange) is None
    assert exchange.told == 1


def test_a_function_of_a_sync_client_must_not_be_async():
    class Later:
        def __await__(self) -> Any:
            raise AssertionError("not awaited")

    refuse_awaitable(None)
    with pytest.raises(TypeError, match="a sync client cannot await"):
        refuse_awaitable(Later())


def test_without_them_there_is_nothing_to_see():
    response = Response(200)
    job().annotate(response, HTTP1Exchange(*job().arguments))
    assert response.extensions == {}


def test_an_upgraded_connection_is_its_own_network_stream(monkeypatch):
    monkeypatch.delitem(sys.modules, "httpcore", raising=False)
    connection = object()
    assert shown(connection) is connection


def test_where_httpcore_is_imported_it_is_one_of_its_streams_too(monkeypatch):
    compat = types.ModuleType("httpx._transports.compat")
    compat.network_stream = lambda connection: ("wrapped", connection)  # type: ignore[attr-defined]  # that is the fake
    monkeypatch.setitem(sys.modules, "httpcore", types.ModuleType("httpcore"))
    monkeypatch.setitem(sys.modules, "httpx._transports.compat", compat)
    assert shown("connection") == ("wrapped", "connection")


# What is told. The names and their order are those of the `trace` extension in 0.28.1.

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Secret: s3cret\r\n\r\nok"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.org", b"http://example.org/"),
        ("http://example.org:81/a?b=c#d", b"http://example.org:81/a?b=c"),
        ("http://user:secret@example.org/", b"http://example.org/"),
        ("http://[::1]:81/", b"http://[::1]:81/"),
        ("https://example.org/a", b"/a"),  # through a tunnel, at whose end there is no proxy
        ("ws://example.org/a", b"/a"),
    ],
)
def test_a_forwarded_request_has_the_whole_url_as_its_target(url: str, target: bytes):
    forwarded = Job(Request("GET", url), 0.0)
    forwarded.forward([(b"X-Team", b"blue")])
    assert forwarded.arguments[1] == target
    assert ((b"X-Team", b"blue") in forwarded.arguments[2]) is url.startswith("http:")


def test_what_is_for_a_proxy_is_left_out_of_a_tunnel():
    """The harm: the origin would read the login of the proxy."""
    headers = {"proxy-AUTHORIZATION": "Basic secret", "X-A": "1"}
    for scheme, kept in (("http", True), ("https", False)):
        forwarded = Job(Request("GET", f"{scheme}://example.org/", headers=headers), 0.0)
        forwarded.forward([])
        names = [name.lower() for name, _ in forwarded.arguments[2]]
        assert (b"proxy-authorization" in names) is kept
        assert b"x-a" in names


def test_a_tunnel_leaves_the_fields_as_they_are_if_there_is_none_for_a_proxy():
    """The list is the one whose text is remembered from request to request."""
    request = Request("GET", "https://example.org/")
    forwarded = Job(request, 0.0)
    forwarded.forward([])
    assert forwarded.arguments[2] is request.headers._raw


def test_a_target_that_is_no_path_is_forwarded_as_it_is():
    forwarded = Job(Request("OPTIONS", "http://example.org/", extensions={"target": b"*"}), 0.0)
    forwarded.forward([])
    assert forwarded.arguments[1] == b"*"


def test_fields_for_the_proxy_do_not_double_those_of_the_request_nor_stay_with_it():
    request = Request("GET", "http://example.org/", headers={"x-team": "red"})
    before = list(request.headers.raw)
    forwarded = Job(request, 0.0)
    forwarded.forward([(b"X-Team", b"blue"), (b"Host", b"other"), (b"Proxy-Authorization", b"Basic x")])
    assert forwarded.arguments[2] == [*before, (b"Proxy-Authorization", b"Basic x")]
    assert request.headers.raw == before
