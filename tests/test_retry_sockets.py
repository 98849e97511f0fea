"""`httpx.Retry` through the public clients, over real sockets where those fail, and with what clients do themselves."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import httpx
import httpx.testing
from support.drivers import Driver
from support.garbage import Garbage
from support.scripted import Script
from support.servers import ScriptedServer, answer, close, expect_end, expect_head, expect_request, reset, send

LATER = b"HTTP/1.1 503 Not Now\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater"


def told(outcome: Any) -> list[tuple[int | None, str | None, str]]:
    """Status, class of the error, and reason of each attempt."""
    return [(one.status, one.error and one.error.partition(":")[0], one.reason) for one in outcome.attempts]


# Over the network.


def test_a_connection_that_is_reset_before_the_head(driver: Driver):
    async def scenario(client: Any) -> Any:
        return await client.get(server.url)

    scripts = [expect_head(), reset()], [answer(b"fine"), expect_end()]
    with ScriptedServer(*scripts) as server, httpx.testing.virtual_time() as time:
        response = driver.run(scenario, middleware=[httpx.Retry()])
    assert response.text == "fine"
    assert told(response) == [(None, "ReadError", "broken"), (200, None, "done")]
    assert time.slept == [0.1]


def test_a_post_that_may_have_arrived_is_not_sent_again(driver: Driver):
    async def scenario(client: Any) -> Any:
        with pytest.raises(httpx.ReadError) as caught:
            await client.post(server.url, content=b"pay")
        return caught.value

    with ScriptedServer([expect_request(b"pay"), reset()]) as server:
        error = driver.run(scenario, middleware=[httpx.Retry()])
        assert server.connections == 1
    assert error.attempts == ()


def test_a_post_with_a_key_is(driver: Driver):
    async def scenario(client: Any) -> Any:
        return await client.post(server.url, content=b"pay")

    with ScriptedServer([expect_request(b"pay"), reset()], [answer(), expect_end()]) as server:
        with httpx.testing.virtual_time():
            response = driver.run(scenario, middleware=[httpx.Retry(idempotency_key=True)])
        first, second = [head.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for head in server.received]
    assert response.is_success
    assert first == second
    assert first.startswith(b'"')


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_body_that_breaks_in_the_middle(driver: Driver, framing: bytes):
    """No retry below the client sees this: the head was there, and the response returned."""
    piece = b"5\r\nbegin\r\n" if b"chunked" in framing else b"begin"
    broken = send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + piece)

    async def scenario(client: Any) -> Any:
        return await client.get(server.url)

    scripts = [expect_head(), broken, close()], [answer(b"whole"), expect_end()]
    with ScriptedServer(*scripts) as server, httpx.testing.virtual_time() as time:
        response = driver.run(scenario, middleware=[httpx.Retry()])
    assert response.text == "whole"
    assert told(response) == [(200, "RemoteProtocolError", "broken"), (200, None, "done")]
    assert time.slept == [0.1]


def test_a_body_with_a_limit_on_its_size_counts_too(driver: Driver):
    broken = send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin")

    async def scenario(client: Any) -> Any:
        return await client.get(server.url)

    scripts = [expect_head(), broken, close()], [answer(b"whole"), expect_end()]
    with ScriptedServer(*scripts) as server, httpx.testing.virtual_time():
        response = driver.run(scenario, middleware=[httpx.Retry()], max_response_size=20)
    assert response.text == "whole"


def test_a_stream_that_breaks_is_the_callers_business(driver: Driver):
    broken = send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin")

    async def scenario(client: Any) -> None:
        async with client.stream("GET", server.url) as response:
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()

    with ScriptedServer([expect_head(), broken, close()]) as server:
        driver.run(scenario, middleware=[httpx.Retry()])


def test_a_503_is_waited_for_and_its_connection_used_again(driver: Driver):
    async def scenario(client: Any) -> Any:
        return await client.get(server.url)

    with ScriptedServer([expect_head(), send(LATER), answer(b"now"), expect_end()]) as server:
        with httpx.testing.virtual_time() as time:
            response = driver.run(scenario, middleware=[httpx.Retry()])
        assert server.connections == 1
    assert time.slept == pytest.approx([7.7])
    assert told(response) == [(503, None, "status"), (200, None, "done")]
    assert response.attempts[1].waited == pytest.approx(7.7)


def test_a_port_without_a_listener(driver: Driver):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    async def scenario(client: Any) -> Any:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.post(url, content=b"pay")
        return caught.value

    with httpx.testing.virtual_time() as time:
        error = driver.run(scenario, middleware=[httpx.Retry()])
    assert [reason for _, _, reason in told(error)] == ["not sent", "not sent", "attempts"]
    assert time.slept == [0.1, 0.2]


def test_a_certificate_that_does_not_verify_is_not_asked_for_again(driver: Driver, tls_echo_server: Any):
    async def scenario(client: Any) -> Any:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed") as caught:
            await client.get(tls_echo_server.url)
        return caught.value

    with httpx.testing.virtual_time() as time:
        assert driver.run(scenario, middleware=[httpx.Retry()]).attempts == ()
    assert time.slept == []


def test_a_pin_that_does_not_match_is_not_either(driver: Driver, tls_echo_server: Any, trusting: Any):
    async def scenario(client: Any) -> Any:
        with pytest.raises(httpx.ConnectError, match="no pin") as caught:
            await client.get(tls_echo_server.url)
        return caught.value

    pins = {"localhost": ["sha256//" + "A" * 43 + "="]}
    error = driver.run(scenario, middleware=[httpx.Retry()], verify=trusting, pins=pins)
    assert error.attempts == ()


@pytest.mark.parametrize(
    ("code", "calls"),
    [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3), (socket.EAI_FAIL, 3)],
    ids=["unknown", "again", "fail"],
)
@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_name_that_does_not_exist_is_looked_up_once(driver: Driver, code: int, calls: int, is_awaited: bool):
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        raise socket.gaierror(code, "said the resolver")

    async def aresolve(host: str, port: int) -> list[str]:
        return resolve(host, port)

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match="said the resolver"):
            await client.post("http://unknown.example/")

    resolver = aresolve if is_awaited and driver.is_async else resolve
    with httpx.testing.virtual_time():
        driver.run(scenario, middleware=[httpx.Retry()], resolver=resolver)
    assert len(asked) == calls


def test_a_name_without_an_address_is_looked_up_once(driver: Driver):
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return []

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match="no address is known"):
            await client.get("http://unknown.example/")

    driver.run(scenario, middleware=[httpx.Retry()], resolver=resolve)
    assert len(asked) == 1


def test_a_destination_that_the_guard_refuses_is_not_tried_again(driver: Driver):
    asked: list[str] = []

    def guard(host: str, address: Any, port: int) -> bool:
        asked.append(host)
        return False

    async def scenario(client: Any) -> Any:
        with pytest.raises(httpx.DestinationRefused) as caught:
            await client.get("http://127.0.0.1:1/")
        return caught.value

    assert driver.run(scenario, middleware=[httpx.Retry()], guard=guard).attempts == ()
    assert len(asked) == 1


# With what clients do themselves.


def test_a_key_is_kept_on_redirects_of_its_origin_and_dropped_on_others(driver: Driver):
    seen: list[tuple[str, str | None]] = []
    places = {"/1": "/2", "/2": "http://b.example/3", "/3": "http://a.example/4"}

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("idempotency-key")))
        where = places.get(request.url.path)
        return httpx.Response(200) if where is None else httpx.Response(307, headers={"Location": where})

    async def scenario(client: Any) -> None:
        await client.post("http://a.example/1", json={"amount": 7})

    driver.run(
        scenario,
        transport=httpx.MockTransport(handler),
        middleware=[httpx.Retry(idempotency_key=True)],
        follow_redirects=True,
    )
    assert [url for url, _ in seen] == [
        f"http://{path}" for path in ("a.example/1", "a.example/2", "b.example/3", "a.example/4")
    ]
    first, second, third, fourth = [key for _, key in seen]
    assert first == second is not None
    assert third is fourth is None


def test_a_digest_authentication_has_one_key(driver: Driver):
    keys: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("idempotency-key"))
        if "authorization" in request.headers:
            return httpx.Response(503 if len(keys) < 3 else 200)
        return httpx.Response(
            401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}
        )

    async def scenario(client: Any) -> Any:
        return await client.post("http://a.example/", content=b"pay", auth=httpx.DigestAuth("user", "password"))

    with httpx.testing.virtual_time():
        response = driver.run(
            scenario, transport=httpx.MockTransport(handler), middleware=[httpx.Retry(idempotency_key=True)]
        )
    assert response.status_code == 200
    assert len(keys) == 3
    assert len({*keys}) == 1 != keys.count(None)


def test_two_calls_with_one_request_have_two_keys(driver: Driver):
    script = Script("200 200")

    async def scenario(client: Any) -> None:
        request = client.build_request("POST", "http://a.example/")
        for _ in range(2):
            await client.send(request)
            keys.append(request.headers["Idempotency-Key"])

    keys: list[str] = []
    driver.run(scenario, transport=httpx.MockTransport(script), middleware=[httpx.Retry(idempotency_key=True)])
    assert keys[0] != keys[1]


def test_files_are_sent_whole_each_time(driver: Driver, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"0123456789" + b"x" * 100_000)

    async def scenario(client: Any) -> Any:
        return await client.put(server.url, content=file)

    script = [expect_request(b"x" * 100_000), send(LATER)] * 2 + [answer(b"now"), expect_end()]
    with ScriptedServer(script) as server, open(tmp_path / "file", "rb") as file:
        file.seek(10)
        with httpx.testing.virtual_time():
            assert driver.run(scenario, middleware=[httpx.Retry()]).text == "now"
        assert server.received[0].count(b"x" * 100_000) == 3


def test_requests_of_many_threads_share_a_budget():
    retry = httpx.Retry(budget=20)
    count = 0
    lock = threading.Lock()

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal count
        with lock:
            count += 1
        return httpx.Response(500)

    def work() -> None:
        with httpx.Client(transport=httpx.MockTransport(handler), middleware=[retry]) as client:
            for _ in range(25):
                client.get("http://a.example/")

    with httpx.testing.virtual_time():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert count == 120


def test_a_cancelled_pause_sends_nothing_more():
    retry = httpx.Retry(backoff=60, max_backoff=60)
    script = Script("ConnectError")

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(script), middleware=[retry]) as client:
            task = asyncio.ensure_future(client.get("http://a.example/"))
            for _ in range(20):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert len(script.sent) == 1
    assert retry._budget.low == {}  # type: ignore[union-attr]


def test_a_rate_of_retries_per_call_is_seen_by_middleware_inside(driver: Driver):
    """What stands inside sees each attempt, what stands outside one request."""
    inside: list[int] = []
    outside: list[int] = []

    def counts(into: list[int]) -> Any:
        def middleware(request: httpx.Request) -> Any:
            response = yield request
            into.append(response.status_code)
            return response

        return middleware

    async def scenario(client: Any) -> None:
        await client.get("http://a.example/")

    with httpx.testing.virtual_time():
        driver.run(
            scenario,
            transport=httpx.MockTransport(Script("500 502 200")),
            middleware=[counts(outside), httpx.Retry(), counts(inside)],
        )
    assert inside == [500, 502, 200]
    assert outside == [200]


SCRIPTS = [
    "200",
    "503 200",
    "503 503 503",
    "ReadError 200",
    "200!ReadError 200",
    "ReadError ReadError ReadError",
    "final:ConnectError",
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.skipif(not hasattr(gc, "DEBUG_SAVEALL"), reason="another kind of garbage collector")
def test_no_outcome_leaves_work_to_the_garbage_collector(script: str):
    def ask() -> None:
        transport = httpx.MockTransport(Script(script))
        with httpx.testing.virtual_time(), httpx.Client(transport=transport, middleware=[retry]) as client:
            try:
                client.get("http://a.example/")
            except httpx.RequestError:
                pass

    retry = httpx.Retry()
    ask()
    garbage = Garbage()
    with garbage.watched():
        for _ in range(3):
            ask()
    assert not garbage.ours, garbage.story()
