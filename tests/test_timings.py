"""
Where the time of a request went: the same on every engine, over every kind of connection, and after every failure.

The tests compare which phases are there, and check that they add up. They do not check how long these take.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._timings import Dialled, Stamps, Timings, dialled_of, of_failure, of_response
from support import certs
from support.drivers import Driver
from support.http2 import StreamServer, prior
from support.proxies import ScriptedProxy, ScriptedSocksProxy
from support.servers import (
    ScriptedServer,
    answer,
    close,
    expect_head,
    expect_request,
    repeat,
    reset,
    send,
    silence,
    wait,
)

PHASES = ("queue", "resolve", "connect", "tls", "send", "wait", "receive")
WARM = ["queue", "send", "wait", "receive"]
NEW = ["queue", "connect", "send", "wait", "receive"]


def known(timings: Timings | None) -> list[str]:
    """The phases that are known; checked to be times that add up."""
    assert timings is not None
    seconds = {phase: getattr(timings, phase) for phase in PHASES if getattr(timings, phase) is not None}
    assert min([*seconds.values(), timings.total]) >= 0.0
    assert sum(seconds.values()) == pytest.approx(timings.total, abs=0.002)  # two clocks read one after the other
    return list(seconds)


def of_error(exc: httpx.HTTPError) -> Timings:
    assert exc.timings is not None
    return exc.timings


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([repeat(answer(b"0123456789"))]) as server:
        yield server


# Responses.


def test_a_new_connection_has_its_phases_and_a_warm_one_has_not(driver: Driver, server: ScriptedServer):
    async def scenario(client: Any) -> list[Timings]:
        return [(await client.get(server.url)).timings for _ in range(2)]

    new, warm = driver.run(scenario, trust_env=False)
    assert known(new) == NEW
    assert known(warm) == WARM
    assert (new.reused, warm.reused) == (False, True)
    assert new.remote == warm.remote == ("127.0.0.1", server.port)
    assert new.protocol == warm.protocol == "HTTP/1.1"
    assert warm.queue == warm.send == 0.0


def test_a_name_is_resolved_once(driver: Driver, server: ScriptedServer):
    async def scenario(client: Any) -> list[Timings]:
        url = f"http://name.example:{server.port}/"
        return [(await client.get(url, headers={"Connection": "close"})).timings for _ in range(2)]

    first, second = driver.run(scenario, trust_env=False, resolver=lambda host, port: ["127.0.0.1"])
    assert known(first) == ["queue", "resolve", *NEW[1:]]
    assert known(second)[-3:] == NEW[-3:]
    assert not first.reused


def test_tls_is_a_phase(driver: Driver):
    async def scenario(client: Any) -> list[Timings]:
        return [(await client.get(server.url)).timings for _ in range(2)]

    with ScriptedServer([repeat(answer())], tls=certs.server_context()) as server:
        new, warm = driver.run(scenario, verify=certs.client_context(), trust_env=False)
    assert known(new) == ["queue", "connect", "tls", "send", "wait", "receive"]
    assert known(warm) == WARM


def test_http_2(driver: Driver):
    async def scenario(client: Any) -> list[Timings]:
        sizes = ("/bytes/10", "/bytes/10", "/bytes/200000")
        return [(await client.get(server.url + path)).timings for path in sizes]

    with StreamServer() as server:
        new, warm, large = driver.run(scenario, **prior(server.url))
    assert known(new)[-3:] == ["send", "wait", "receive"]
    assert new.connect is not None
    assert known(warm) == known(large) == WARM
    assert (new.reused, warm.reused, warm.protocol) == (False, True, "HTTP/2")


def test_requests_that_wait_for_the_connection_of_another_one():
    """The first dial of an origin is waited for by all where it may end in HTTP/2."""

    async def main(url: str) -> list[Timings]:
        async with httpx.AsyncClient(**prior(url)) as client:
            return [response.timings for response in await asyncio.gather(*(client.get(url + "/id") for _ in range(3)))]

    with StreamServer() as server:
        timings = asyncio.run(main(server.url))
    assert sorted(one.reused is True for one in timings) == [False, True, True]
    for one in timings:
        assert known(one)[0] == "queue"
        assert (one.connect is None) == bool(one.reused)


@pytest.mark.parametrize("kind", ["http", "tunnel", "socks"])
def test_a_proxy_is_where_the_connection_leads(driver: Driver, kind: str):
    async def scenario(client: Any) -> Timings:
        timings: Timings = (await client.get(url)).timings
        return timings

    tls = None if kind == "http" else certs.server_context()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(ScriptedServer([repeat(answer())], tls=tls))
        routes = {"example.org:443": origin.port, "example.org:80": origin.port}
        if kind == "http":
            proxy: Any = origin
        else:
            proxy = stack.enter_context(ScriptedProxy(routes) if kind == "tunnel" else ScriptedSocksProxy(routes))
        url = "http://example.org/" if kind == "http" else "https://example.org/"
        timings = driver.run(scenario, proxy=proxy.url, verify=certs.client_context(), trust_env=False)
        assert timings.remote == ("127.0.0.1", proxy.port)
    assert known(timings) == [phase for phase in (*NEW[:2], "tls", *NEW[2:]) if phase != "tls" or tls]


def test_a_unix_socket_has_a_path(driver: Driver, tmp_path: Path):
    async def scenario(client: Any) -> Any:
        return (await client.get("http://localhost/")).timings.remote

    path = str(tmp_path / "s")
    with ScriptedServer([answer()], uds=path):
        assert driver.run(scenario, transport=driver.transport(uds=path)) == path


def test_a_request_that_waits_for_room_in_the_pool_has_a_queue():
    async def main(url: str) -> list[Timings]:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1), trust_env=False) as client:
            return [response.timings for response in await asyncio.gather(client.get(url), client.get(url))]

    with ScriptedServer([repeat(answer())]) as server:
        first, second = asyncio.run(main(server.url))
    assert known(first) == NEW
    assert known(second) == WARM
    assert second.queue is not None
    assert second.queue > 0.0
    assert second.reused


@pytest.mark.parametrize("content", ["bytes", "pieces"])
def test_an_upload_that_the_socket_does_not_take_at_once_is_sent_over_a_time(driver: Driver, content: str):
    async def scenario(client: Any) -> Timings:
        body = bytes(5_000_000) if content == "bytes" else driver.body([bytes(1_000_000)] * 5)
        timings: Timings = (await client.post(server.url, content=body)).timings
        return timings

    with ScriptedServer([repeat(expect_request(), send(b"HTTP/1.1 204 No Content\r\n\r\n"))]) as server:
        timings = driver.run(scenario, trust_env=False)
    assert known(timings) == NEW
    assert timings.send is not None
    assert timings.send > 0.0


def test_an_upload_over_http_2_is_sent_over_a_time(driver: Driver):
    async def scenario(client: Any) -> Timings:
        body = driver.body([bytes(300_000)] * 3)
        timings: Timings = (await client.post(server.url + "/echo", content=body)).timings
        return timings

    with StreamServer() as server:
        timings = driver.run(scenario, **prior(server.url))
    assert timings.send is not None
    assert timings.send > 0.0
    assert known(timings)[-3:] == ["send", "wait", "receive"]


def test_while_a_body_streams_there_is_no_end_yet(driver: Driver, server: ScriptedServer):
    async def scenario(client: Any) -> tuple[Timings, Timings]:
        async with client.stream("GET", server.url) as response:
            before = response.timings
            await response.aread()
        return before, response.timings

    before, after = driver.run(scenario, trust_env=False)
    assert known(before) == NEW[:-1]
    assert known(after) == NEW
    assert before.wait == after.wait


def test_each_hop_has_its_own(driver: Driver):
    moved = send(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")

    async def scenario(client: Any) -> list[Timings]:
        response = await client.get(server.url, follow_redirects=True)
        return [one.timings for one in (*response.history, response)]

    with ScriptedServer([expect_head(), moved, repeat(answer())]) as server:
        first, second = driver.run(scenario, trust_env=False)
    assert known(first) == NEW
    assert known(second) == WARM


def test_a_request_that_is_sent_again_on_a_new_connection_has_the_lost_time_in_its_queue(driver: Driver):
    async def scenario(client: Any) -> list[Timings]:
        return [(await client.get(server.url)).timings for _ in range(2)]

    with ScriptedServer([answer(), expect_head(), close()], [repeat(answer())]) as server:
        _, again = driver.run(scenario, trust_env=False)
    assert known(again) == NEW
    assert not again.reused


def test_an_upgraded_connection(driver: Driver):
    switching = send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")

    async def scenario(client: Any) -> Timings:
        headers = {"Upgrade": "x", "Connection": "Upgrade"}
        async with client.stream("GET", server.url, headers=headers) as response:
            timings: Timings = response.timings
            return timings

    with ScriptedServer([expect_head(), switching, silence()]) as server:
        timings = driver.run(scenario, trust_env=False)
    assert known(timings) == NEW[:-1]
    assert timings.remote == ("127.0.0.1", server.port)


def test_only_wait_and_receive_are_known_of_a_transport_that_is_not_the_network(driver: Driver):
    async def scenario(client: Any) -> Timings:
        timings: Timings = (await client.get("http://a/")).timings
        return timings

    timings = driver.run(scenario, transport=httpx.MockTransport(lambda request: httpx.Response(200, text="ok")))
    assert known(timings) == ["wait", "receive"]
    assert timings[-3:] == (None, None, None)


def test_applications_in_this_process():
    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [b"ok"]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    for transport in (httpx.WSGITransport(app=wsgi), httpx.ASGITransport(app=asgi)):
        with httpx.Client(transport=transport) as client:
            timings = client.get("http://a/").timings
        assert known(timings) == ["wait", "receive"]
        assert timings.reused is timings.remote is None


def test_a_transport_around_the_network_shows_what_it_passes_on(driver: Driver, server: ScriptedServer):
    """A response that it makes anew, with the extensions of another one, says nothing of the other's phases."""

    class Copies(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self.inner = driver.transport()

        def copied(self, response: httpx.Response) -> httpx.Response:
            return httpx.Response(200, stream=response.stream, extensions=response.extensions)

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return self.copied(self.inner.handle_request(request))

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return self.copied(await self.inner.handle_async_request(request))

        def close(self) -> None:
            self.inner.close()

        async def aclose(self) -> None:
            await self.inner.aclose()

    async def scenario(client: Any) -> Timings:
        timings: Timings = (await client.get(server.url)).timings
        return timings

    timings = driver.run(scenario, transport=Copies())
    assert known(timings) == ["wait", "receive"]
    assert timings.reused is None
    assert timings.remote == ("127.0.0.1", server.port)


def test_a_response_that_was_made_by_hand_has_none():
    with pytest.raises(RuntimeError, match="received through a client"):
        _ = httpx.Response(200).timings
    error = httpx.HTTPStatusError("x", request=httpx.Request("GET", "http://a/"), response=httpx.Response(500))
    assert error.timings is None


def test_timings_survive_a_pickle_and_a_closed_connection(server: ScriptedServer):
    with httpx.Client(trust_env=False) as client:
        response = client.get(server.url)
    timings = response.timings
    assert pickle.loads(pickle.dumps(timings)) == timings
    copy = pickle.loads(pickle.dumps(response))
    assert copy.timings == timings
    assert pickle.loads(pickle.dumps(copy)).timings == timings


def test_elapsed_is_until_the_head_and_then_until_the_end(server: ScriptedServer):
    with httpx.Client(trust_env=False) as client, client.stream("GET", server.url) as response:
        before = response.timings
        assert response.elapsed.total_seconds() == pytest.approx(before.total, abs=1e-5)
        response.read()
        assert response.elapsed.total_seconds() == pytest.approx(response.timings.total, abs=1e-5)


# Failures.


def failure(driver: Driver, url: str, **options: Any) -> httpx.HTTPError:
    content = options.pop("content", None)

    async def scenario(client: Any) -> httpx.HTTPError:
        with pytest.raises(httpx.HTTPError) as caught:
            await client.request("GET" if content is None else "POST", url, content=content)
        return caught.value

    return driver.run(scenario, **{"trust_env": False, **options})


def test_a_connection_that_is_refused(driver: Driver):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and does not listen
        exc = failure(driver, f"http://127.0.0.1:{sock.getsockname()[1]}/")
    assert isinstance(exc, httpx.ConnectError)
    assert known(exc.timings) == ["queue", "connect"]
    assert of_error(exc)[-3:] == (None, None, None)


def test_retries_of_a_dial_and_the_pauses_between_them_are_one_phase(driver: Driver):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        exc = failure(driver, f"http://127.0.0.1:{sock.getsockname()[1]}/", transport=driver.transport(retries=2))
    assert known(exc.timings) == ["queue", "connect"]


def test_a_name_that_is_unknown(driver: Driver):
    def resolver(host: str, port: int) -> list[str]:
        raise OSError("unknown")

    exc = failure(driver, "http://name.example/", resolver=resolver)
    assert known(exc.timings) == ["queue", "resolve"]


def test_a_certificate_that_is_refused(driver: Driver):
    with ScriptedServer([silence()], tls=certs.server_context()) as server:
        exc = failure(driver, server.url, verify=True)
        server.refused.clear()
    assert isinstance(exc, httpx.ConnectError)
    assert known(exc.timings) == ["queue", "connect", "tls"]
    assert of_error(exc).remote == ("127.0.0.1", server.port)


def test_a_response_that_does_not_come(driver: Driver):
    with ScriptedServer([expect_head(), silence()]) as server:
        exc = failure(driver, server.url, timeout=httpx.Timeout(5, read=0.02))
    assert isinstance(exc, httpx.ReadTimeout)
    assert known(exc.timings) == ["queue", "connect", "send", "wait"]
    assert of_error(exc)[-3:] == (False, ("127.0.0.1", server.port), "HTTP/1.1")


def test_a_warm_connection_that_fails_says_that_it_was_reused(driver: Driver):
    async def scenario(client: Any) -> httpx.HTTPError:
        await client.get(server.url)
        with pytest.raises(httpx.ReadTimeout) as caught:
            await client.get(server.url, timeout=httpx.Timeout(5, read=0.02))
        return caught.value

    with ScriptedServer([answer(), expect_head(), silence()]) as server:
        exc = driver.run(scenario, trust_env=False)
        assert of_error(exc)[-3:] == (True, ("127.0.0.1", server.port), "HTTP/1.1")
    assert known(exc.timings) == ["queue", "send", "wait"]


def test_a_response_that_does_not_come_over_http_2(driver: Driver):
    with StreamServer() as server:
        exc = failure(driver, server.url + "/silent", **{**prior(server.url), "timeout": httpx.Timeout(5, read=0.02)})
    assert isinstance(exc, httpx.ReadTimeout)
    assert known(exc.timings)[-2:] == ["send", "wait"]
    assert of_error(exc)[-3:] == (False, ("127.0.0.1", server.port), "HTTP/2")


def test_a_peer_that_does_not_take_the_request(driver: Driver):
    done = threading.Event()
    with ScriptedServer([expect_head(), wait(done)]) as server:
        exc = failure(driver, server.url, content=bytes(10_000_000), timeout=httpx.Timeout(5, write=0.05))
        done.set()
    assert isinstance(exc, httpx.WriteTimeout)
    assert known(exc.timings) == ["queue", "connect", "send"]


def test_a_body_that_breaks_off(driver: Driver):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    with ScriptedServer([expect_head(), send(head), reset()]) as server:
        exc = failure(driver, server.url)
    assert known(exc.timings) == NEW


def test_a_body_that_is_too_large(driver: Driver, server: ScriptedServer):
    exc = failure(driver, server.url, max_response_size=3)
    assert isinstance(exc, httpx.ResponseTooLarge)
    assert known(exc.timings) == NEW


def test_a_status_that_is_an_error(driver: Driver, server: ScriptedServer):
    async def scenario(client: Any) -> None:
        response = await client.get(server.url)
        response.status_code = 500
        with pytest.raises(httpx.HTTPStatusError) as caught:
            response.raise_for_status()
        assert caught.value.timings == response.timings

    driver.run(scenario, trust_env=False)


def test_no_room_in_the_pool(driver: Driver):
    async def scenario(client: Any) -> httpx.HTTPError:
        async with client.stream("GET", server.url):
            with pytest.raises(httpx.PoolTimeout) as caught:
                await client.get(server.url)
        return caught.value

    large = send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    timeout, limits = httpx.Timeout(5, pool=0.02), httpx.Limits(max_connections=1)
    with ScriptedServer([expect_head(), large, silence()]) as server:
        exc = driver.run(scenario, timeout=timeout, limits=limits, trust_env=False)
    assert known(exc.timings) == ["queue"]


def test_a_request_that_cannot_be_sent(driver: Driver):
    exc = failure(driver, "ftp://a/")
    assert isinstance(exc, httpx.UnsupportedProtocol)
    assert known(exc.timings) == ["wait"]


def test_an_error_of_a_transport_that_is_not_the_network(driver: Driver):
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    exc = failure(driver, "http://a/", transport=httpx.MockTransport(refuse))
    assert known(exc.timings) == ["wait"]
    assert pickle.loads(pickle.dumps(exc)).timings == exc.timings


def test_the_total_timeout_of_a_transport_that_is_not_the_network(driver: Driver):
    async def wait_long(request: httpx.Request) -> httpx.Response:
        await driver.pause(30)
        raise AssertionError

    def spin(request: httpx.Request) -> httpx.Response:
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            pass
        return httpx.Response(200)

    transport = httpx.MockTransport(wait_long if driver.is_async else spin)
    exc = failure(driver, "http://a/", transport=transport, timeout=httpx.Timeout(None, total=0.01))
    assert isinstance(exc, httpx.ReadTimeout)
    assert known(exc.timings) == ["wait"]


def test_too_many_redirects_are_not_the_failure_of_one_request(driver: Driver):
    moved = httpx.Response(302, headers={"Location": "/"})
    exc = failure(driver, "http://a/", transport=httpx.MockTransport(lambda request: moved), follow_redirects=True)
    assert isinstance(exc, httpx.TooManyRedirects)
    assert exc.timings is None


# What is worked out, on a clock that stands still.


class Stream:
    def __init__(self, dial: Any) -> None:
        self.dial = dial

    def get_extra_info(self, info: str) -> Any:
        assert info == "dial"
        if isinstance(self.dial, Exception):
            raise self.dial
        return self.dial


def dialled(**seconds: float) -> Dialled:
    dial = Dialled()
    now = 10.0
    for phase, took in seconds.items():
        dial.enter(phase, now)
        now += took
    dial.enter(None, now)
    dial.remote, dial.protocol = ("192.0.2.1", 80), "HTTP/1.1"
    return dial


def stamps(acquired: float | None = None, sent: float | None = None, dial: Dialled | None = None) -> Stamps:
    made = Stamps(10.0)
    made.acquired, made.sent, made.dial = acquired, sent, dial
    return made


def test_the_phases_of_a_dial_are_sums_of_their_parts():
    dial = Dialled()
    for phase, now in (("resolve", 1.0), ("connect", 2.0), ("tls", 4.0), ("connect", 5.0), ("tls", 7.5), (None, 8.0)):
        dial.enter(phase, now)
    assert dial.seconds == {"resolve": 1.0, "connect": 4.5, "tls": 1.5}


def test_what_is_left_is_the_queue_before_and_the_wait_after():
    dial = dialled(resolve=1.0, connect=2.0, tls=3.0)
    timings = of_response(20.0, 24.0, stamps(17.0, 20.0, dial), Stream(dial), "HTTP/1.1")
    assert timings == (1.0, 1.0, 2.0, 3.0, 3.0, 10.0, 4.0, 24.0, False, ("192.0.2.1", 80), "HTTP/1.1")


def test_the_connection_of_another_request_is_no_phase_of_this_one():
    timings = of_response(20.0, None, stamps(17.0, None, dialled(connect=1.0)), Stream(dialled(connect=2.0)), "HTTP/2")
    assert timings == (7.0, None, None, None, 0.0, 13.0, None, 20.0, True, ("192.0.2.1", 80), "HTTP/2")


def test_clocks_that_disagree_give_no_negative_times():
    timings = of_response(1.0, 0.5, stamps(17.0, 16.0), Stream(dialled()), None)
    assert timings[:8] == (7.0, None, None, None, 0.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize("stream", [None, object(), Stream(None), Stream(KeyError()), Stream("x")])
def test_a_stream_of_another_transport_is_not_asked_for_more(stream: Any):
    assert dialled_of(stream) is None
    assert of_response(1.0, 2.0, False, stream, None)[:3] == (None, None, None)


def test_a_failure_has_the_rest_in_the_phase_that_failed():
    def failed(exc: Any, made: Stamps, used: Dialled | None = None) -> tuple[Any, ...]:
        exc._stamps, made.failed_on = made, used
        timings = of_failure(exc, 20.0)
        assert "_stamps" not in vars(exc)
        return tuple(timings)

    dial = dialled(connect=2.0)
    assert failed(httpx.PoolTimeout("x"), stamps())[:8] == (20.0, None, None, None, None, None, None, 20.0)
    assert failed(httpx.ConnectTimeout("x"), stamps(None, None, dial))[:3] == (18.0, None, 2.0)
    assert failed(httpx.WriteTimeout("x"), stamps(13.0, 14.0, dial), dial)[:6] == (1.0, None, 2.0, None, 17.0, None)
    assert failed(httpx.ReadTimeout("x"), stamps(13.0, 14.0, dial), dial)[:6] == (1.0, None, 2.0, None, 1.0, 16.0)
    assert failed(httpx.ReadTimeout("x"), stamps(13.0, 14.0, dial), dial)[8] is False
    assert failed(httpx.ReadTimeout("x"), stamps(13.0))[8:] == (None, None, None)
