"""
HTTP/2 through whole clients: one scenario, run by every engine, against a server of streams or one made of frames.

What may go wrong is in `adversarial/test_http2_trouble.py`; what only one engine does in the tests of its module.
"""

from __future__ import annotations

import hashlib
import pickle
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._engine import limits
from httpx._protocol import frames
from support.drivers import Driver
from support.frame_reader import Frame
from support.http2 import FramePeer, StreamServer, data, frames_of, h2_context, prior
from support.leaks import counts_of, engines_of, settled, trusting_context, wait_for
from support.peer import Peer
from support.proxies import ScriptedProxy
from support.servers import ScriptedServer, answer
from support.steps import until
from support.together import in_threads, together

BIG = random.Random("big").randbytes(5_000_003)

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=[False, True], ids=["prior knowledge", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    with StreamServer(tls=request.param) as server:
        yield server


def digest(body: bytes) -> str:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


# What a response is like.


def test_a_response_says_that_it_came_over_http2(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        response = await client.get("/id", headers={"X-Id": "first"})
        assert response.text == "first"
        assert response.http_version == "HTTP/2"
        assert response.extensions["http_version"] == b"HTTP/2"
        assert response.extensions["stream_id"] == 1
        assert "reason_phrase" not in response.extensions
        assert response.reason_phrase == "OK"
        stream = response.extensions["network_stream"]
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.port)
        assert (stream.get_extra_info("ssl_object") is not None) == server.url.startswith("https")
        assert (await client.get("/status/404")).reason_phrase == "Not Found"
        assert (await client.get("/id")).extensions["stream_id"] == 5
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


def test_answers_without_a_body(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        head = await client.head("/bytes/1000")
        assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "1000")
        for status in (204, 304, 404):
            response = await client.get(f"/status/{status}")
            assert (response.status_code, response.content) == (status, b"")
        assert (await client.get("/bytes/0")).content == b""
        await settled(client)

    driver.run(scenario, **prior(server.url))


def test_header_names_are_sent_in_lower_case_and_hop_by_hop_fields_are_not_sent(driver: Driver):
    seen: list[Any] = []

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        seen.append(asked.fields)
        peer.answer(asked.stream)
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/path?query=1", headers={"X-Upper": "Value", "Connection": "close", "TE": "trailers"})

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
    names = [name for name, _ in seen[0]]
    assert names[:4] == [b":method", b":scheme", b":authority", b":path"]
    assert dict(seen[0])[b":authority"] == server.url.partition("://")[2].encode()
    assert dict(seen[0])[b":path"] == b"/path?query=1"
    assert dict(seen[0])[b"x-upper"] == b"Value"
    assert dict(seen[0])[b"te"] == b"trailers"
    assert b"connection" not in names
    assert b"host" not in names


def test_trailers_come_with_the_response(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        response = await client.get("/trailers", headers={"X-Id": "with-sum"})
        expected = [(b"x-sum", hashlib.sha256(b"with-sum").hexdigest().encode())]
        assert response.extensions["trailers"] == expected
        async with client.stream("GET", "/trailers", headers={"X-Id": "with-sum"}) as streamed:
            await streamed.aread()
        assert streamed.extensions["trailers"] == expected

    driver.run(scenario, **prior(server.url))


def test_interim_answers_come_with_the_response(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        response = await client.get("/hints")
        assert response.status_code == 200
        assert response.extensions["informational"] == [(103, [(b"link", b"</style.css>")])]

    driver.run(scenario, **prior(server.url))


def test_redirects_and_cookies(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        response = await client.get("/moved/7", follow_redirects=True, headers={"X-Id": "there"})
        assert response.text == "there"
        assert [each.status_code for each in response.history] == [302]
        assert (await client.get("/cookies")).text == "n=7"

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


def test_compressed_answers(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        response = await client.get("/gzip", headers={"X-Id": "compressed"})
        assert response.text == "compressed"
        assert 0 < response.num_bytes_downloaded != len("compressed")

    driver.run(scenario, **prior(server.url))


def test_a_response_over_http2_can_be_pickled(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> Any:
        return await client.get("/id", headers={"X-Id": "kept"})

    response = driver.run(scenario, **prior(server.url))
    copy = pickle.loads(pickle.dumps(getattr(response, "inner", response)))
    assert (copy.text, copy.http_version, copy.status_code) == ("kept", "HTTP/2", 200)


def test_a_client_that_was_pickled_speaks_http2_on_a_connection_of_its_own(driver: Driver):
    async def scenario(client: Any) -> None:
        await client.get("/id")

    with StreamServer() as server:
        options = prior(server.url)
        del options["verify"]
        made = httpx.AsyncClient(**options) if driver.is_async else httpx.Client(**options)
        copy = pickle.loads(pickle.dumps(made))
        assert copy._transport is not made._transport

        async def main() -> None:
            from support.drivers import SyncAdapter

            async with copy if driver.is_async else SyncAdapter(copy) as client:
                assert (await client.get("/id")).http_version == "HTTP/2"

        driver.run_bare(main)
        assert server.connections == 1


# Uploads.


def test_uploads_of_all_kinds(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        for size in (0, 1, 70_000, len(BIG)):
            assert (await client.post("/digest", content=BIG[:size])).text == digest(BIG[:size])
        halves = [BIG[:1_000_000], BIG[1_000_000:2_000_000]]
        assert (await client.put("/digest", content=driver.body(halves))).text == digest(BIG[:2_000_000])
        small = [b"%d," % number for number in range(500)]
        assert (await client.post("/digest", content=driver.body(small))).text == digest(b"".join(small))
        assert (await client.post("/digest", content=driver.body([]))).text == digest(b"")
        response = await client.post("/digest", files={"file": ("name.bin", BIG[:300_000])})
        assert int(response.text.split()[0]) > 300_000
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.resets == []


def test_an_upload_waits_for_a_window_that_is_small(driver: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.post("/digest", content=BIG[:200_000])).text == digest(BIG[:200_000])
        assert (await client.post("/digest", content=driver.body([BIG[:100_000]] * 2))).text == digest(
            BIG[:100_000] * 2
        )

    with StreamServer(window=1000) as server:
        driver.run(scenario, **prior(server.url))


def test_each_piece_of_an_upload_leaves_when_it_is_there(driver: Driver):
    """The pieces of a slow producer stayed in the client until the window was full, or the body at its end."""
    arrived: list[bytes] = []

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        while True:
            _, flags, _, piece = peer.expect(frames.DATA)
            arrived.append(piece)
            if flags & frames.END_STREAM:
                break
        peer.answer(asked.stream, b"thanks")
        peer.rest()

    async def pieces() -> Any:
        from support.steps import until

        for number in range(3):
            await until(lambda: len(arrived) == number)  # noqa: B023 - used before it changes
            yield b"piece"

    def sync_pieces() -> Iterator[bytes]:
        from support.leaks import wait_for

        for number in range(3):
            wait_for(lambda: len(arrived) == number)  # noqa: B023 - used before it changes
            yield b"piece"

    async def scenario(client: Any) -> None:
        content = pieces() if driver.is_async else sync_pieces()
        assert (await client.post("/", content=content)).text == "thanks"

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
    assert b"".join(arrived) == b"piece" * 3


def test_an_upload_that_asks_first_is_sent_after_100(driver: Driver):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        assert asked[b"expect"] == b"100-continue"
        assert not asked.ended
        peer.send(peer.head(asked.stream, 100))
        assert peer.body() == b"the body"
        peer.answer(asked.stream, b"thanks")
        peer.rest()

    async def scenario(client: Any) -> None:
        headers = {"Expect": "100-continue"}
        response = await client.post("/", content=b"the body", headers=headers)
        assert response.text == "thanks"
        assert response.extensions["informational"] == [(100, [])]

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))


def test_an_upload_that_asks_first_is_not_sent_after_a_final_answer(driver: Driver):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.answer(asked.stream, b"no", 413)
        assert not [frame for frame in peer.rest() if frame[0] == frames.DATA and frame[3]]

    async def scenario(client: Any) -> None:
        response = await client.post("/", content=b"the body", headers={"Expect": "100-continue"})
        assert (response.status_code, response.text) == (413, "no")
        await settled(client)

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))


def test_an_upload_that_asks_a_server_that_does_not_know_the_question_is_sent_after_a_moment(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "PATIENCE", 0.03)

    async def scenario(client: Any) -> None:
        response = await client.post("/digest", content=b"body", headers={"Expect": "100-continue"})
        assert response.text == digest(b"body")

    with StreamServer() as server:
        driver.run(scenario, **prior(server.url))


def test_a_refusal_in_the_middle_of_an_upload_ends_the_upload(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        for content in (BIG, driver.body([BIG[:500_000]] * 20)):
            response = await client.post("/refuse", content=content)
            assert response.status_code == 413
        assert (await client.get("/id", headers={"X-Id": "next"})).text == "next"
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


def test_a_refusal_is_seen_while_a_producer_makes_small_pieces_without_end(driver: Driver):
    """Nobody listened until the window was full, which may take an endless upload of a slow producer for ever."""
    made = []

    def pieces() -> Iterator[bytes]:
        while len(made) < 200_000:
            made.append(1)
            yield b"x"

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.send(frames.window_update(0, 10_000_000), frames.window_update(asked.stream, 10_000_000))
        peer.answer(asked.stream, b"no", 413)
        peer.rest()

    async def slow_pieces() -> Any:
        from support.steps import turns

        for piece in pieces():
            await turns()
            yield piece

    async def scenario(client: Any) -> None:
        response = await client.post("/", content=slow_pieces() if driver.is_async else pieces())
        assert (response.status_code, response.text) == (413, "no")
        await settled(client)

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
    assert len(made) < 200_000


def test_an_answer_before_the_end_of_the_upload_is_the_answer(driver: Driver):
    """A complete answer ends the upload, whatever its status (RFC 9113 8.1)."""

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.answer(asked.stream, b"enough")
        assert peer.resets() == [(asked.stream, frames.NO_ERROR)]
        peer.serve()

    async def scenario(client: Any) -> None:
        assert (await client.post("/", content=BIG)).text == "enough"
        assert (await client.get("/")).text == "ok"
        await settled(client)

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))


def test_a_body_that_has_not_the_announced_length_is_refused_and_resets_its_stream_only(
    driver: Driver, server: StreamServer
):
    async def scenario(client: Any) -> None:
        for pieces in ([b"too short"], [b"much too long for that"]):
            with pytest.raises(httpx.LocalProtocolError, match="Content-Length"):
                await client.post("/digest", content=driver.body(pieces), headers={"Content-Length": "12"})
        assert (await client.get("/id")).text == "-"
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1
    assert [code for _, code in server.resets] == [frames.CANCEL] * 2


def test_an_iterator_that_raises_resets_its_stream_only(driver: Driver, server: StreamServer):
    class Broken(Exception):
        pass

    def pieces() -> Iterator[bytes]:
        yield b"first"
        raise Broken

    async def later() -> Any:
        for piece in pieces():
            yield piece

    async def scenario(client: Any) -> None:
        with pytest.raises(Broken):
            await client.post("/digest", content=later() if driver.is_async else pieces())
        assert (await client.get("/id")).text == "-"
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


def test_a_request_that_is_no_legal_http_takes_nothing(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        await client.get("/id")
        with pytest.raises(httpx.LocalProtocolError):
            await client.request("NO TOKEN", "/id")
        with pytest.raises(httpx.LocalProtocolError):
            await client.request("CONNECT", "/id")
        assert (await client.get("/id")).extensions["stream_id"] == 3
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


# Downloads.


def test_downloads_of_all_sizes(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        for size in (1, 16_384, 16_385, 70_000, 5_000_000):
            content = (await client.get(f"/bytes/{size}")).content
            assert len(content) == size
            assert content[:1000] == (bytes(range(256)) * 4)[: min(size, 1000)]
        async with client.stream("GET", "/bytes/5000000") as response:
            seen = 0
            async for chunk in response.aiter_raw():
                seen += len(chunk)
            assert response.num_bytes_downloaded == seen == 5_000_000
        await settled(client)

    driver.run(scenario, **prior(server.url))


def test_a_stream_that_is_closed_half_read_is_reset_and_the_connection_goes_on(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        for _ in range(3):
            async with client.stream("GET", "/bytes/10000000") as response:
                async for _ in response.aiter_raw():
                    break
        assert (await client.get("/id", headers={"X-Id": "next"})).text == "next"
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1
    assert server.resets == [(1, frames.CANCEL), (3, frames.CANCEL), (5, frames.CANCEL)]


def test_an_iterator_that_is_abandoned_frees_its_place(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/bytes/10000000") as response:
            iterator = response.aiter_bytes()
            async for _ in iterator:
                break
            await iterator.aclose()
            assert (await client.get("/id")).text == "-"
        await settled(client)
        assert counts_of(client)[:2] == (1, 1)

    driver.run(scenario, **prior(server.url))


def test_a_slow_reader_does_not_stop_the_others_and_bounds_what_waits(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/bytes/10000000") as slow:
            for number in range(20):
                response = await client.get("/bytes/300000", headers={"X-Id": str(number)})
                assert len(response.content) == 300_000
            (engine,) = engines_of(client)
            (connection,) = engine.pool.connections
            waiting = sum(map(len, connection.multiplexer.session.machine.streams[1].chunks))
            assert 0 < waiting <= 2_097_152
            assert len(await slow.aread()) == 10_000_000
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


def test_many_responses_are_read_by_turns(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        import contextlib

        async with contextlib.AsyncExitStack() as stack:
            responses = [
                await stack.enter_async_context(client.stream("GET", f"/bytes/{1_000_000 + number}"))
                for number in range(5)
            ]
            iterators = [response.aiter_raw() for response in responses]
            sizes = [0] * 5
            alive = set(range(5))
            while alive:
                for number in list(alive):
                    try:
                        sizes[number] += len(await iterators[number].__anext__())
                    except StopAsyncIteration:
                        alive.remove(number)
            assert sizes == [1_000_000 + number for number in range(5)]
        await settled(client)

    driver.run(scenario, **prior(server.url))
    assert server.connections == 1


# Which protocol is spoken.


def test_without_http2_it_is_not_spoken(driver: Driver):
    async def scenario(client: Any) -> None:
        response = await client.get("/")
        assert (response.http_version, response.text) == ("HTTP/1.1", "ok")

    with ScriptedServer([answer()], tls=h2_context()) as server:
        driver.run(scenario, **{**prior(server.url), "http2": False})


def test_a_server_that_does_not_agree_gets_http1(driver: Driver):
    async def scenario(client: Any) -> None:
        for number in range(3):
            response = await client.get("/echo", headers={"X-Id": f"n{number}"})
            assert (response.http_version, response.text) == ("HTTP/1.1", f"n{number}")
            assert "stream_id" not in response.extensions
        with pytest.raises(httpx.LocalProtocolError):
            await client.request("NO TOKEN", "/echo")
        await settled(client)

    with Peer(tls=True) as peer:
        driver.run(scenario, **prior(peer.url))
        assert peer.connections == 1


def test_a_server_that_knows_no_alpn_gets_http1(driver: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).http_version == "HTTP/1.1"

    from support import certs

    with ScriptedServer([answer()], tls=certs.server_context(alpn=())) as server:
        driver.run(scenario, **prior(server.url))


def test_over_plain_tcp_http1_is_spoken_if_it_may_be(driver: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).http_version == "HTTP/1.1"

    with ScriptedServer([answer()]) as server:
        driver.run(scenario, **{**prior(server.url), "http1": True})


def refuse_preface(conn: Any, _: Any) -> None:
    """What a server of HTTP/1.1 does."""
    conn.read_exactly(len(frames.PREFACE))
    conn.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    conn.read_to_end()


def test_without_http1_a_server_that_speaks_nothing_else_is_an_error(driver: Driver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.TransportError):
            await client.get("/echo")
        await settled(client)
        assert counts_of(client) == (0, 0, 0, 0)

    from support import certs

    for tls in (None, certs.server_context()):
        with ScriptedServer(refuse_preface, tls=tls) as server:
            driver.run(scenario, **{**prior(server.url), "http1": False})


def test_a_server_of_http1_that_is_taken_for_one_of_http2_is_a_protocol_error(driver: Driver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")

    with ScriptedServer(refuse_preface) as server:
        driver.run(scenario, **prior(server.url))


def test_websockets_are_never_offered_http2(driver: Driver):
    offered = []

    async def scenario(client: Any) -> None:
        response = await client.get(server.url.replace("https", "wss"), headers={"Upgrade": "websocket"})
        assert response.http_version == "HTTP/1.1"

    def look(conn: Any, _: Any) -> None:
        offered.append(conn.sock.selected_alpn_protocol())
        answer()(conn)

    with ScriptedServer(look, tls=h2_context()) as server:
        driver.run(scenario, **prior(server.url))
    assert offered == ["http/1.1"]


def test_websockets_beside_http2_have_a_connection_of_their_own(driver: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).http_version == "HTTP/2"
        assert (await client.get(server.url.replace("https", "wss"))).http_version == "HTTP/1.1"
        assert (await client.get("/")).http_version == "HTTP/2"

    def either(conn: Any, recorded: Any) -> None:
        if conn.sock.selected_alpn_protocol() == "h2":
            frames_of(FramePeer.serve)(conn, recorded)  # type: ignore[operator]
        else:
            answer()(conn)

    with ScriptedServer(either, tls=h2_context()) as server:
        driver.run(scenario, **prior(server.url))
        assert server.connections == 2


def test_prior_knowledge_over_a_unix_socket(driver: Driver, tmp_path: Path):
    async def main() -> None:
        async with driver.client(
            transport=driver.transport(uds=str(tmp_path / "socket"), http1=False, http2=True)
        ) as client:
            assert (await client.get("http://localhost/id", headers={"X-Id": "there"})).text == "there"
            assert (await client.get("http://localhost/id")).http_version == "HTTP/2"

    with StreamServer(uds=str(tmp_path / "socket")) as server:
        driver.run_bare(main)
        assert server.connections == 1


def test_http2_inside_of_a_tunnel(driver: Driver):
    async def scenario(client: Any) -> None:
        responses = [await client.get("/id", headers={"X-Id": str(number)}) for number in range(3)]
        assert [response.text for response in responses] == ["0", "1", "2"]
        assert {response.http_version for response in responses} == {"HTTP/2"}

    with StreamServer(tls=True) as server, ScriptedProxy() as proxy:
        driver.run(scenario, proxy=proxy.url, **prior(server.url))
        assert server.connections == 1
        assert proxy.connections == 1


def test_settings_that_come_in_one_piece_with_the_handshake_are_not_lost(driver: Driver):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "ok"

    with ScriptedServer(frames_of(FramePeer.serve), tls=h2_context("h2")) as server:
        for _ in range(3):
            driver.run(scenario, **prior(server.url))


# What is told.


def traced(events: list[tuple[str, dict[str, Any]]], driver: Driver) -> Any:
    def trace(name: str, info: dict[str, Any]) -> None:
        events.append((name, info))

    async def async_trace(name: str, info: dict[str, Any]) -> None:
        events.append((name, info))

    return async_trace if driver.is_async else trace


def test_trace_events_are_those_of_0_28_1(driver: Driver, server: StreamServer):
    events: list[tuple[str, dict[str, Any]]] = []

    async def scenario(client: Any) -> None:
        for _ in range(2):
            await client.post("/id", content=b"body", extensions={"trace": traced(events, driver)})
        await settled(client)

    driver.run(scenario, **prior(server.url))
    names = [name for name, _ in events]
    assert names.count("http2.send_connection_init.started") == 1
    first = names.index("http2.send_request_headers.started")
    steps = ["send_request_headers", "send_request_body", "receive_response_headers", "receive_response_body"]
    told = [f"http2.{step}.{end}" for step in [*steps, "response_closed"] for end in ("started", "complete")]
    answered = told.index("http2.receive_response_headers.complete")
    settings = [f"http2.receive_remote_settings.{end}" for end in ("started", "complete")]
    assert names[first:] == [*told[:answered], *settings, *told[answered:], *told]
    assert names[:first][-2:] == ["http2.send_connection_init.started", "http2.send_connection_init.complete"]
    assert [event["stream_id"] for name, event in events if name == "http2.send_request_headers.started"] == [1, 3]
    for name, event in events[first:]:
        if name.endswith(".started") and name.split(".")[1] not in ("response_closed", "receive_remote_settings"):
            assert event["request"].method == "POST"
    status, fields = next(e for n, e in events if n == "http2.receive_response_headers.complete")["return_value"]
    assert status == 200
    assert (b"content-length", b"5") in fields


def test_the_logger_is_told_the_same(driver: Driver, server: StreamServer, caplog: pytest.LogCaptureFixture):
    async def scenario(client: Any) -> None:
        await client.get("/id", headers={"Authorization": "secret"})

    with caplog.at_level("DEBUG", logger="httpcore"):
        driver.run(scenario, **prior(server.url))
    messages = [record.getMessage() for record in caplog.records if record.name == "httpcore.http2"]
    assert [message.split()[0] for message in messages if message.split()[0].endswith("started")] == [
        "send_connection_init.started",
        "send_request_headers.started",
        "send_request_body.started",
        "receive_response_headers.started",
        "receive_remote_settings.started",
        "receive_response_body.started",
        "response_closed.started",
    ]
    assert "secret" not in caplog.text


def test_settings_are_told_to_whom_they_come_to(driver: Driver):
    """Once, and not those that came for a request before."""
    limit = frames.MAX_CONCURRENT_STREAMS

    def serve(peer: FramePeer) -> None:
        for most in (None, 8, None, 9):
            stream = peer.request().stream
            news = b"" if most is None else frames.settings({limit: most, frames.INITIAL_WINDOW_SIZE: 10})
            peer.send(news, peer.whole(stream, b"ok"))

    async def scenario(client: Any) -> None:
        told: list[Any] = []
        for traces in (True, False, True, True):
            events: list[tuple[str, dict[str, Any]]] = []
            extensions = {"trace": traced(events, driver)} if traces else {}
            assert (await client.get("/", extensions=extensions)).text == "ok"
            told.append([e["return_value"] for n, e in events if n == "http2.receive_remote_settings.complete"])
        assert told == [
            [{"MAX_CONCURRENT_STREAMS": 7}],
            [],
            [],
            [{"MAX_CONCURRENT_STREAMS": 9, "INITIAL_WINDOW_SIZE": 10}],
        ]

    with ScriptedServer(frames_of(serve, {limit: 7})) as server:
        driver.run(scenario, **prior(server.url))


def test_a_stream_that_is_given_up_is_told_as_failed(driver: Driver, server: StreamServer):
    events: list[tuple[str, dict[str, Any]]] = []

    async def scenario(client: Any) -> None:
        trace = {"trace": traced(events, driver)}
        async with client.stream("GET", "/bytes/10000000", extensions=trace) as response:
            async for _ in response.aiter_raw():
                break
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/silent", extensions={**trace, "timeout": {"read": 0.02}})

    driver.run(scenario, **prior(server.url))
    names = [name for name, _ in events]
    assert "http2.receive_response_body.failed" in names
    assert names[-1] == "http2.receive_response_headers.failed"
    assert isinstance(events[-1][1]["exception"], httpx.ReadTimeout)


def test_a_request_that_waits_for_a_place_is_told_of(driver: Driver, server: StreamServer):
    events: list[str] = []

    def trace(name: str, info: dict[str, Any]) -> None:
        events.append(name)

    async def async_trace(name: str, info: dict[str, Any]) -> None:
        events.append(name)

    async def scenario(client: Any) -> None:
        extensions = {"trace": async_trace if driver.is_async else trace}
        await client.get("/id")
        if driver.is_async:

            async def second() -> None:
                await until(lambda: len(server.asked) == 2)
                await client.get("/id", extensions=extensions)

            async def let_go() -> None:
                await until(lambda: counts_of(client)[3] == 1)
                server.let_go()

            await together([lambda: client.get("/held"), second, let_go])
        else:

            def second_in_thread() -> None:
                wait_for(lambda: len(server.asked) == 2)
                client.inner.get("/id", extensions=extensions)

            def let_go_in_thread() -> None:
                wait_for(lambda: counts_of(client)[3] == 1)
                server.let_go()

            in_threads([lambda: client.inner.get("/held"), second_in_thread, let_go_in_thread])

    server.max_streams = 1
    limits = httpx.Limits(max_connections=1)
    driver.run(scenario, limits=limits, **prior(server.url))
    assert events[:2] == ["pool.acquire_connection.started", "pool.acquire_connection.complete"]
    assert "http2.response_closed.complete" in events


# The connection's life.


def test_an_idle_connection_expires(driver: Driver, server: StreamServer):
    async def scenario(client: Any) -> None:
        await client.get("/id")
        assert counts_of(client)[:2] in ((0, 0), (1, 1))
        await driver.pause(0.02)
        if not driver.is_async:
            threading.Event().wait(0.02)
        await client.get("/id")

    driver.run(scenario, limits=httpx.Limits(keepalive_expiry=0.01), **prior(server.url))
    assert [number for number, *_ in server.asked] == [1, 2]


def test_a_closing_client_says_goodbye(driver: Driver):
    seen: list[Frame] = []

    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.answer(asked.stream)
        seen.extend(peer.rest())

    async def scenario(client: Any) -> None:
        await client.get("/")

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
        server.wait_until_idle()
    assert seen[-1][0] == frames.GOAWAY
    assert frames.number(seen[-1][3][4:]) == frames.NO_ERROR


def test_a_connection_that_the_peer_closed_while_it_was_idle_is_not_used(driver: Driver):
    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream, b"once")

    async def scenario(client: Any) -> None:
        for number in range(3):
            assert (await client.post("/", content=b"x" * number)).text == "once"
            server.wait_until_idle(number + 1)
        await settled(client)

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
        assert server.connections == 3


def test_a_ping_is_answered_with_the_next_request_at_the_latest(driver: Driver):
    ping = frames.frame(frames.PING, 0, 0, b"8 bytes.")
    pongs = []

    def script(peer: FramePeer) -> None:
        peer.answer(peer.request().stream)
        peer.send(ping)
        asked = None
        while not pongs or asked is None:
            kind, flags, stream, payload = peer.frame()
            if kind == frames.PING:
                pongs.append((flags, payload))
            elif kind == frames.HEADERS:
                asked = stream
        peer.answer(asked)
        peer.rest()

    async def scenario(client: Any) -> None:
        await client.get("/")
        await client.get("/")

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
    assert pongs == [(frames.ACK, b"8 bytes.")]


def test_the_top_level_functions_speak_http2_when_asked():
    with StreamServer(tls=True) as server:
        response = httpx.get(f"{server.url}/id", headers={"X-Id": "top"}, http2=True, verify=trusting_context())
        assert (response.text, response.http_version) == ("top", "HTTP/2")
        with httpx.stream("GET", f"{server.url}/bytes/100000", http2=True, verify=trusting_context()) as streamed:
            assert len(streamed.read()) == 100_000


def test_data_in_small_frames_and_padding(driver: Driver):
    def script(peer: FramePeer) -> None:
        asked = peer.request()
        peer.send(peer.head(asked.stream))
        for number in range(50):
            padding = bytes([number]) + b"x" + bytes(number)
            peer.send(frames.frame(frames.DATA, frames.PADDED, asked.stream, padding))
        peer.send(data(asked.stream, b"end", True))
        peer.rest()

    async def scenario(client: Any) -> None:
        assert (await client.get("/")).content == b"x" * 50 + b"end"

    with ScriptedServer(frames_of(script)) as server:
        driver.run(scenario, **prior(server.url))
