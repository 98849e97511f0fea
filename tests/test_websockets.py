"""`_websockets.py` and `websockets.py`: sessions over real sockets, the same scenarios on threads, asyncio and trio."""

from __future__ import annotations

import gc
import ssl
import threading
from typing import Any, ClassVar, Optional

import pytest

import httpx
from httpx import websockets
from httpx.websockets import (
    Deflate,
    WebSocketDisconnect,
    WebSocketException,
    WebSocketInvalidTypeReceived,
    WebSocketNetworkError,
    WebSocketTimeout,
    WebSocketUpgradeError,
)
from support.depth import depth
from support.drivers import NAMES, Driver, SyncSession, _Connecting, missing
from support.proxies import ScriptedProxy
from support.servers import Conn, ScriptedServer, answer, close, expect_end, expect_head, reset, send, silence
from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    accept_of,
    close_frame,
    echo,
    expect_close,
    expect_frame,
    frame,
    opened,
    read_frame,
)

DRIVERS = depth(NAMES, ("sync", "asyncio", "trio"))

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=("sync", "asyncio", "trio"))
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each way of waiting; the other loops of asyncio are for `every_driver`."""
    return Driver(request.param)


@pytest.fixture(params=DRIVERS)
def every_driver(request: pytest.FixtureRequest) -> Driver:
    """Each engine in turn."""
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    return Driver(request.param)


def run(driver: Any, server: ScriptedServer, talk: Any, path: str = "/", client: Any = None, **options: Any) -> Any:
    """What `talk(session)` returns, over a new client and a new session."""

    async def scenario(client: Any) -> Any:
        async with client.websocket(server.url + path, **options) as ws:
            return await talk(ws)

    return driver.run(scenario, **(client or {}))


def fails(kind: type[BaseException], match: str = "") -> Any:
    return pytest.raises(kind, match=match or None)


# Opening.


def test_text_bytes_and_json_go_both_ways(every_driver: Any):
    async def talk(ws: Any) -> Any:
        await ws.send("text")
        await ws.send(b"bytes")
        await ws.send(bytearray(b"array"))
        await ws.send_text("κ")
        await ws.send_bytes(memoryview(b"view"))
        await ws.send_json({"a": ["é", None]})
        await ws.send_json([1], mode="binary")
        return [
            *[await ws.receive() for _ in range(3)],
            await ws.receive_text(),
            await ws.receive_bytes(),
            await ws.receive_json(),
            await ws.receive_json(mode="binary"),
        ]

    with ScriptedServer([opened(), echo]) as server:
        assert run(every_driver, server, talk) == ["text", b"bytes", b"array", "κ", b"view", {"a": ["é", None]}, [1]]


def test_the_handshake_says_what_the_rfc_asks_for(driver: Any):
    async def talk(ws: Any) -> Any:
        return ws.subprotocol, ws.compression, ws.http_version, ws.response.status_code, ws.response.request.method

    with ScriptedServer([opened(b"Sec-WebSocket-Protocol: b"), echo]) as server:
        found = run(driver, server, talk, "/a?b", subprotocols=["a", "b"], params={"c": "d"}, headers={"X-Own": "1"})
        assert found == ("b", False, "HTTP/1.1", 101, "GET")
        head = server.received[0].partition(b"\r\n\r\n")[0].lower() + b"\r\n"
    for line in (
        *(
            b"get /a?c=d http/1.1\r\n",
            b"\r\nupgrade: websocket\r\n",
            b"\r\nconnection: upgrade\r\n",
            b"\r\nx-own: 1\r\n",
        ),
        *(b"\r\nsec-websocket-version: 13\r\n", b"\r\nsec-websocket-protocol: a, b\r\n"),
    ):
        assert line in head, line
    assert head.count(b"connection:") == head.count(b"sec-websocket-key:") == 1
    assert b"extensions" not in head


def test_every_handshake_has_a_key_of_its_own(driver: Any):
    async def scenario(client: Any, url: str) -> None:
        for _ in range(2):
            async with client.websocket(url):
                pass

    with ScriptedServer([opened(), echo]) as server:
        driver.run(scenario, server.url)
        assert accept_of(server.received[0]) != accept_of(server.received[1])


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_the_schemes_of_websockets_and_of_http_are_the_same(driver: Any, scheme: str):
    async def scenario(client: Any) -> Any:
        async with client.websocket("/chat") as ws:
            await ws.send("x")
            return await ws.receive(), str(ws.response.url.scheme)

    with ScriptedServer([opened(), echo]) as server:
        base = server.url.replace("http", scheme)
        assert driver.run(scenario, base_url=base + "/api") == ("x", "http")
        assert server.received[0].startswith(b"GET /api/chat HTTP/1.1\r\n")


@pytest.mark.parametrize("scheme", ["wss", "https"])
@pytest.mark.parametrize("http2", [False, True])
def test_a_websocket_over_tls(driver: Any, ca: Any, trusting: ssl.SSLContext, scheme: str, http2: bool):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:
            await ws.send("x" * 300_000)
            return await ws.receive(), ws.http_version

    with ScriptedServer([opened(), echo], tls=ca.server_context(), host="localhost") as server:
        url = server.url.replace("https", scheme)
        assert driver.run(scenario, url, verify=trusting, http2=http2) == ("x" * 300_000, "HTTP/1.1")


def test_a_websocket_goes_through_a_tunnel_of_a_proxy(driver: Any):
    async def talk(ws: Any) -> Any:
        await ws.send("x")
        return await ws.receive()

    with ScriptedServer([opened(), echo]) as server, ScriptedProxy() as proxy:
        assert run(driver, server, talk, client={"proxy": proxy.url}) == "x"
        assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1" % server.port)


def test_the_handshake_authenticates(driver: Any):
    """A 401 is answered as for every other request: else no WebSocket opens where a challenge comes first."""

    async def talk(ws: Any) -> Any:
        return [response.status_code for response in ws.response.history]

    challenge = answer(b"", b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"', status=b"401 Unauthorized")
    with ScriptedServer([challenge, opened(), echo]) as server:
        assert run(driver, server, talk, auth=httpx.DigestAuth("me", "pw")) == [401]
        assert b'Authorization: Digest username="me"' in server.received[0]


def test_redirects_are_followed_if_asked_for(driver: Any):
    async def talk(ws: Any) -> Any:
        return str(ws.response.url.path)

    moved = answer(b"", b"Location: /there", status=b"302 Found")
    with ScriptedServer([moved, opened(), echo]) as server:
        assert run(driver, server, talk, follow_redirects=True) == "/there"
    with ScriptedServer([moved, silence()]) as server, fails(WebSocketUpgradeError, "302, expected 101"):
        run(driver, server, talk)


def test_cookies_are_sent_and_stored(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url, cookies={"own": "1"}):
            pass
        return dict(client.cookies)

    with ScriptedServer([opened(b"Set-Cookie: session=2"), echo]) as server:
        assert driver.run(scenario, server.url, cookies={"kept": "3"}) == {"session": "2", "kept": "3"}
        assert b"own=1" in server.received[0]
        assert b"kept=3" in server.received[0]


def test_hooks_see_the_handshake(driver: Any):
    async def talk(ws: Any) -> None:
        pass

    seen: list[Any] = []
    hooks = {
        "request": [driver.hook(lambda request: seen.append(request.headers["upgrade"]))],
        "response": [driver.hook(lambda response: seen.append(response.status_code))],
    }
    with ScriptedServer([opened(), echo]) as server:
        run(driver, server, talk, client={"event_hooks": hooks})
    assert seen == ["websocket", 101]


def test_a_transport_mounted_for_websockets_comes_before_the_one_for_http(driver: Any):
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.scheme)
        return httpx.Response(403)

    async def scenario(client: Any) -> None:
        with fails(WebSocketUpgradeError):
            async with client.websocket("wss://example.org/"):
                pass

    mock = httpx.MockTransport(handler)
    other = httpx.MockTransport(lambda request: httpx.Response(500))
    driver.run(scenario, mounts={"https://": other, "wss://": mock})
    driver.run(scenario, mounts={"https://": mock, "all://": other})
    assert seen == ["wss", "https"]


@pytest.mark.parametrize("name", ["Upgrade", "connection", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"])
def test_fields_of_the_handshake_are_not_the_callers(driver: Any, name: str):
    async def scenario(client: Any) -> None:
        async with client.websocket("ws://127.0.0.1:9/", headers={name: "x"}):
            pass

    with fails(TypeError, f"header '{name}' belongs to the opening handshake"):
        driver.run(scenario)


def test_a_refusal_has_the_response_with_its_body(driver: Any):
    async def talk(ws: Any) -> None:
        raise AssertionError

    refusal = answer(b'{"why": "full"}', b"Content-Type: application/json", status=b"503 Service Unavailable")
    with ScriptedServer([refusal, silence()]) as server, fails(WebSocketUpgradeError) as caught:
        run(driver, server, talk)
    assert str(caught.value) == "the response is 503, expected 101 (Switching Protocols)"
    assert caught.value.response.status_code == 503
    assert caught.value.response.json() == {"why": "full"}
    assert caught.value.request.url == caught.value.response.url
    assert isinstance(caught.value, (WebSocketException, httpx.TransportError))


def test_of_a_large_refusal_64_kib_are_read(driver: Any):
    """A server that sends gigabytes in place of a WebSocket must not fill the memory."""

    async def talk(ws: Any) -> None:
        raise AssertionError

    def handler(conn: Conn, recorded: Any) -> None:
        conn.read_head()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        try:
            while True:
                conn.sendall(b"x" * 65_536)
        except OSError:
            pass

    with ScriptedServer(handler) as server, fails(WebSocketUpgradeError) as caught:
        run(driver, server, talk)
    assert len(caught.value.response.content) == 65_536


def test_a_refusal_that_breaks_off_is_a_refusal(driver: Any):
    async def talk(ws: Any) -> None:
        raise AssertionError

    half = [expect_head(), send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nhalf"), close()]
    with ScriptedServer(half) as server, fails(WebSocketUpgradeError) as caught:
        run(driver, server, talk)
    assert caught.value.response.content in (b"half", b"")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n", "does not belong to"),
        (b"Upgrade: websocket\r\nConnection: Upgrade\r\n", "has no Sec-WebSocket-Accept"),
    ],
)
def test_what_another_program_answers_opens_nothing(driver: Any, lines: bytes, problem: str):
    """Cross-protocol attack: bytes that an attacker had stored elsewhere must not become messages."""

    async def talk(ws: Any) -> None:
        raise AssertionError

    script = [expect_head(), send(b"HTTP/1.1 101 Switching\r\n" + lines + b"\r\n" + frame(TEXT, b"x")), expect_end()]
    with ScriptedServer(script) as server, fails(WebSocketUpgradeError, problem):
        run(driver, server, talk)


def test_what_was_not_offered_opens_nothing(driver: Any):
    async def talk(ws: Any) -> None:
        raise AssertionError

    for field in (b"Sec-WebSocket-Protocol: b", b"Sec-WebSocket-Extensions: permessage-deflate"):
        with ScriptedServer([opened(field), expect_end()]) as server, fails(WebSocketUpgradeError, "not offered"):
            run(driver, server, talk, subprotocols=["a"])


def test_the_connection_of_a_refusal_is_used_again(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        with fails(WebSocketUpgradeError):
            async with client.websocket(url):
                pass
        async with client.websocket(url) as ws:
            await ws.send("x")
            return await ws.receive()

    with ScriptedServer([answer(b"no", status=b"403 Forbidden"), opened(), echo]) as server:
        assert driver.run(scenario, server.url) == "x"
        assert server.connections == 1


def test_a_server_that_does_not_respond_is_a_read_timeout(driver: Any):
    async def talk(ws: Any) -> None:
        raise AssertionError

    with ScriptedServer([expect_head(), silence()]) as server, fails(httpx.ReadTimeout):
        run(driver, server, talk, timeout=0.05)


def test_messages_that_come_in_one_piece_with_the_handshake_are_received(driver: Any):
    async def talk(ws: Any) -> Any:
        return [message async for message in ws]

    first = frame(TEXT, b"1") + frame(BINARY, b"2") + close_frame(1001, b"bye")
    with ScriptedServer([opened(then=first), expect_frame(CLOSE, b"\x03\xe9")]) as server:
        assert run(driver, server, talk) == ["1", b"2"]


def test_a_connector_opens_one_session_at_a_time(driver: Any):
    async def scenario(client: Any, url: str) -> None:
        connector = client.websocket(url)
        async with connector:
            with fails(RuntimeError, "is open"):
                await connector.__aenter__()
        async with connector as ws:
            assert not ws.closed

    with ScriptedServer([opened(), echo]) as server:
        driver.run(scenario, server.url)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("subprotocols", "chat", TypeError),
        ("subprotocols", ["a b"], httpx.LocalProtocolError),
        ("max_message_size_bytes", -1, ValueError),
        ("queue_size", 0, ValueError),
        ("keepalive_ping_interval_seconds", 0, ValueError),
        ("keepalive_ping_timeout_seconds", float("nan"), ValueError),
        ("close_timeout", True, ValueError),
    ],
)
def test_options_are_checked(driver: Any, option: str, value: Any, error: type[Exception]):
    async def scenario(client: Any) -> None:
        async with client.websocket("ws://127.0.0.1:9/", **{option: value}):
            pass

    with fails(error):
        driver.run(scenario)


def test_a_session_is_opened_without_a_client():
    with ScriptedServer([opened(), echo]) as server, httpx.websocket(server.url) as ws:
        ws.send("x")
        assert ws.receive(timeout=5) == "x"


def test_the_ways_of_httpx_ws_open_a_session(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        names = ("AsyncWebSocketClient", "aconnect_ws") if driver.is_async else ("WebSocketClient", "connect_ws")
        make, connect = (getattr(websockets, name) for name in names)
        given = client if driver.is_async else client.inner
        opened = [make(given, queue_size=3).connect(url, ["a"]), connect(url, given), connect(url)]
        for manager in opened:
            async with entered(manager) as ws:
                await ws.send("x")
                assert await ws.receive() == "x"

    def entered(manager: Any) -> Any:
        return manager if driver.is_async else _Connecting(manager)

    with ScriptedServer([opened(), echo]) as server:
        driver.run(scenario, server.url)
        assert b"Sec-WebSocket-Protocol: a\r\n" in server.received[0]


def test_events_of_wsproto_are_sent_as_httpx_ws_does(driver: Any):
    from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

    async def talk(ws: Any) -> Any:
        await ws.send(TextMessage(data="x"))
        await ws.send(BytesMessage(data=b"y"))
        await ws.send(Ping(b"z"))
        with fails(TypeError):
            await ws.send(Pong())
        found = [await ws.receive(), await ws.receive()]
        await ws.send(CloseConnection(3000, "enough"))
        return [*found, ws.close_code]

    with ScriptedServer([opened(), echo]) as server:
        assert run(driver, server, talk) == ["x", b"y", 3000]


# Messages.


def test_the_wrong_kind_of_message_is_not_lost(driver: Any):
    async def talk(ws: Any) -> Any:
        found = []
        for receive in (ws.receive_bytes, ws.receive_text, ws.receive_json):
            with fails(WebSocketInvalidTypeReceived) as caught:
                await receive()
            found.append((caught.value.message, str(caught.value)))
        return found

    data = frame(TEXT, b"t") + frame(BINARY, b"b") * 2
    with ScriptedServer([opened(then=data), echo]) as server:
        assert run(driver, server, talk) == [
            ("t", "expected a message of bytes, received text"),
            (b"b", "expected a message of text, received bytes"),
            (b"b", "expected a message of text, received bytes"),
        ]


def test_what_cannot_be_sent_leaves_the_session_open(driver: Any):
    async def talk(ws: Any) -> Any:
        for bad in (1, None, ["x"]):
            with fails(TypeError):
                await ws.send(bad)
        with fails(TypeError):
            await ws.send_text(b"x")
        with fails(TypeError):
            await ws.send_bytes("x")
        with fails(httpx.LocalProtocolError, "surrogate at position 1"):
            await ws.send("a\ud800")
        with fails(ValueError, "mode must be"):
            await ws.send_json({}, mode="xml")
        with fails(httpx.LocalProtocolError, "at most 125 bytes"):
            await ws.ping(b"x" * 126)
        await ws.send("fine")
        return await ws.receive()

    with ScriptedServer([opened(), echo]) as server:
        assert run(driver, server, talk) == "fine"


def test_a_timeout_of_receive_loses_nothing(driver: Any):
    """httpx2#1065: half of a message had arrived when time was up."""

    async def talk(ws: Any) -> Any:
        with fails(WebSocketTimeout, "no message arrived within 0.02 s") as caught:
            await ws.receive(timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        await ws.send("go on")
        return await ws.receive(timeout=5)

    whole = frame(TEXT, b"x" * 1000)
    with ScriptedServer([opened(then=whole[:500]), expect_frame(TEXT), send(whole[500:]), echo]) as server:
        assert run(driver, server, talk) == "x" * 1000


def test_a_quiet_websocket_outlives_the_read_timeout(driver: Any):
    async def talk(ws: Any) -> Any:
        with fails(WebSocketTimeout):
            await ws.receive(timeout=0.08)
        await ws.send("x")
        return await ws.receive()

    with ScriptedServer([opened(), echo]) as server:
        assert run(driver, server, talk, timeout=httpx.Timeout(5, read=0.02)) == "x"


def test_a_message_beyond_the_limit_ends_the_session_before_it_is_there(driver: Any):
    """64-bit length: memory must not be taken for what a head announces (CVE-2026-1528 and others)."""

    async def talk(ws: Any) -> Any:
        assert await ws.receive() == "x" * 100
        with fails(WebSocketNetworkError, "more than 100 bytes") as caught:
            await ws.receive()
        assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)
        return caught.value.code, ws.close_code, ws.closed

    data = frame(TEXT, b"x" * 100) + frame(BINARY, b"", length=2**62)
    with ScriptedServer([opened(then=data), expect_frame(CLOSE)]) as server:
        assert run(driver, server, talk, max_message_size_bytes=100) == (1006, 1006, True)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x", reserved=0x40), 1002),
        (frame(3, b"x"), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (b"\x81\x81abcdx", 1002),
    ],
)
def test_a_fault_of_the_peer_is_answered_with_its_code(driver: Any, data: bytes, code: int):
    async def talk(ws: Any) -> None:
        with fails(WebSocketNetworkError):
            await ws.receive()
        with fails(WebSocketNetworkError):
            await ws.send("x")

    with ScriptedServer([opened(then=data), lambda conn: codes.append(read_frame(conn).payload[:2])]) as server:
        codes: list[bytes] = []
        run(driver, server, talk)
    assert codes == [code.to_bytes(2, "big")]


def test_messages_are_compressed_if_both_sides_want_it(driver: Any):
    async def talk(ws: Any) -> Any:
        await ws.send("x" * 10_000)
        return ws.compression, await ws.receive()

    def shout(conn: Conn) -> None:
        found = read_frame(conn)
        assert found.reserved == 0x40
        assert len(found.payload) < 100
        conn.sendall(frame(TEXT, found.payload, reserved=0x40))
        echo(conn)

    field = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10"
    for compression in (True, Deflate(window_bits=11)):
        with ScriptedServer([opened(field), shout]) as server:
            assert run(driver, server, talk, compression=compression) == (True, "x" * 10_000)
            assert b"permessage-deflate; server_max_window_bits=12" in server.received[0]


def test_a_decompression_bomb_is_cut_at_the_limit(driver: Any):
    """CVE-2018-1000518, CVE-2026-1526: 6 MB that expand to a gigabyte."""
    import zlib

    async def talk(ws: Any) -> None:
        with fails(WebSocketNetworkError, "more than 1000 bytes"):
            await ws.receive()

    compressor = zlib.compressobj(wbits=-15)
    bomb = (compressor.compress(b"\0" * 10_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    then = frame(BINARY, bomb, reserved=0x40)
    script = [opened(b"Sec-WebSocket-Extensions: permessage-deflate", then=then), expect_frame(CLOSE)]
    with ScriptedServer(script) as server:
        run(driver, server, talk, compression=True, max_message_size_bytes=1000)


def test_more_messages_than_the_queue_holds_arrive_in_order(every_driver: Any):
    async def talk(ws: Any) -> Any:
        return [message async for message in ws]

    data = b"".join(frame(TEXT, b"%d" % number) for number in range(1000)) + close_frame(1000)
    with ScriptedServer([opened(), send(data), expect_frame(CLOSE)]) as server:
        assert run(every_driver, server, talk, queue_size=7) == [str(number) for number in range(1000)]


def test_large_messages_go_both_ways(every_driver: Any):
    async def talk(ws: Any) -> Any:
        for size in (65_535, 65_536, 3_000_000):
            await ws.send(b"x" * size)
            assert await ws.receive() == b"x" * size

    with ScriptedServer([opened(), echo]) as server:
        run(every_driver, server, talk)


def test_while_a_send_waits_input_is_taken(every_driver: Any):
    """Both sides send more than the sockets hold, and neither reads before: they must not block each other."""
    size = 12_000_000

    async def talk(ws: Any) -> Any:
        await ws.send(b"x" * size)
        return len(await ws.receive())

    def handler(conn: Conn) -> None:
        conn.sendall(frame(BINARY, b"y" * size))
        assert len(read_frame(conn).payload) == size
        echo(conn)

    with ScriptedServer([opened(), handler]) as server:
        assert run(every_driver, server, talk) == size


def test_a_peer_that_takes_nothing_ends_the_session(driver: Any):
    async def talk(ws: Any) -> None:
        with fails(WebSocketNetworkError, "write timeout of 0.1 s") as caught:
            await ws.send(b"x" * 20_000_000)
        assert isinstance(caught.value.__cause__, httpx.WriteTimeout)
        with fails(WebSocketNetworkError):
            await ws.send("x")

    over = threading.Event()
    with ScriptedServer([opened(), lambda conn: conn.sock.recv(1) and over.wait(5)]) as server:
        try:
            run(driver, server, talk, timeout=httpx.Timeout(5, write=0.1), close_timeout=0.1)
        finally:
            over.set()


# Ping and pong.


def test_a_ping_is_answered_with_its_latency(driver: Any):
    async def talk(ws: Any) -> Any:
        pong = await ws.ping(b"hello")
        assert await pong.wait(timeout=5)
        assert await pong.wait()
        return pong.is_set(), pong.latency > 0

    with ScriptedServer([opened(), echo]) as server:
        assert run(driver, server, talk) == (True, True)


def test_waiting_for_a_pong_keeps_messages(driver: Any):
    async def talk(ws: Any) -> Any:
        pong = await ws.ping()
        assert not pong.is_set()
        assert not await pong.wait(timeout=0.02)
        assert pong.latency is None
        await ws.send("go on")
        assert await pong.wait(timeout=5)
        return await ws.receive()

    def handler(conn: Conn) -> None:
        found = read_frame(conn)
        assert read_frame(conn).payload == b"go on"
        conn.sendall(frame(TEXT, b"first") + frame(PONG, found.payload))
        echo(conn)

    with ScriptedServer([opened(), handler]) as server:
        assert run(driver, server, talk) == "first"


def test_a_pong_that_does_not_come_says_how_the_session_ended(driver: Any):
    async def talk(ws: Any) -> None:
        pong = await ws.ping()
        with fails(WebSocketDisconnect):
            await pong.wait()

    with ScriptedServer([opened(), expect_frame(PING), send(close_frame(1001)), expect_frame(CLOSE)]) as server:
        run(driver, server, talk)


def test_pings_are_answered_while_a_message_is_waited_for(driver: Any):
    async def talk(ws: Any) -> Any:
        return await ws.receive()

    script = [opened(), send(frame(PING, b"1")), expect_frame(PONG, b"1"), send(frame(TEXT, b"x")), expect_close()]
    with ScriptedServer(script) as server:
        assert run(driver, server, talk) == "x"


def test_pings_are_answered_while_nothing_is_received(driver: Any):
    """A program that computes between two messages must not be given up by its server."""

    async def talk(ws: Any) -> Any:
        await driver.pause(0.3)
        if driver.name == "sync":
            assert answered.wait(5)
        return await ws.receive(timeout=5)

    answered = threading.Event()
    script = [
        *(opened(), send(frame(PING, b"1")), expect_frame(PONG, b"1"), lambda conn: answered.set()),
        *(send(frame(TEXT, b"x")), lambda conn: read_frame(conn)),
    ]
    with ScriptedServer(script) as server:
        assert run(driver, server, talk, keepalive_ping_interval_seconds=0.2, close_timeout=0.1) == "x"


def test_a_silent_peer_gets_a_ping_and_is_given_up(every_driver: Any):
    async def talk(ws: Any) -> None:
        with fails(WebSocketNetworkError, "sent nothing for 0.04 s, and did not answer a ping within 0.04 s") as caught:
            await ws.receive(timeout=5)
        assert caught.value.code == 1006
        assert isinstance(caught.value, httpx.NetworkError)

    options: Any = {"keepalive_ping_interval_seconds": 0.04, "keepalive_ping_timeout_seconds": 0.04}
    with ScriptedServer([opened(), expect_frame(PING), silence()]) as server:
        run(every_driver, server, talk, **options)


def test_a_peer_that_answers_pings_is_kept(driver: Any):
    async def talk(ws: Any) -> Any:
        with fails(WebSocketTimeout):
            await ws.receive(timeout=0.3)
        await ws.send("x")
        return await ws.receive(timeout=5)

    options: Any = {"keepalive_ping_interval_seconds": 0.04, "keepalive_ping_timeout_seconds": 0.04}
    with ScriptedServer([opened(), echo]) as server:
        assert run(driver, server, talk, **options) == "x"


def test_a_slow_caller_does_not_end_a_healthy_session(driver: Any):
    """httpx-ws#50, websockets#1620: nothing is read while messages wait, so silence says nothing about the peer."""

    async def talk(ws: Any) -> Any:
        assert await ws.receive() == "0"
        await driver.pause(0.3)
        if driver.name == "sync":
            threading.Event().wait(0.3)
        return [await ws.receive(timeout=5) for _ in range(9)]

    data = b"".join(frame(TEXT, b"%d" % number) for number in range(10))
    options: Any = {"keepalive_ping_interval_seconds": 0.04, "keepalive_ping_timeout_seconds": 0.04, "queue_size": 3}
    with ScriptedServer([opened(then=data), echo]) as server:
        assert run(driver, server, talk, **options) == [str(number) for number in range(1, 10)]


# Closing.


def test_leaving_the_block_closes_with_1000(every_driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url) as ws:
            assert (ws.closed, ws.close_code, ws.close_reason) == (False, None, None)
            assert "[open]" in repr(ws)
        assert "[closed with 1000]" in repr(ws)
        return ws.closed, ws.close_code, ws.close_reason

    with ScriptedServer([opened(), expect_close(1000), close()]) as server:
        assert every_driver.run(scenario, server.url) == (True, 1000, "")


def test_an_exception_in_the_block_closes_with_1001(driver: Any):
    async def talk(ws: Any) -> None:
        raise ZeroDivisionError

    with ScriptedServer([opened(), expect_close(1001)]) as server, fails(ZeroDivisionError):
        run(driver, server, talk)


def test_an_interrupt_in_the_block_closes_without_waiting(driver: Any):
    async def talk(ws: Any) -> None:
        raise KeyboardInterrupt

    with ScriptedServer([opened(), expect_frame(CLOSE, b"\x03\xe9"), expect_end()]) as server, fails(KeyboardInterrupt):
        run(driver, server, talk)


def test_closing_takes_a_code_and_a_reason_once(driver: Any):
    async def talk(ws: Any) -> Any:
        for bad in (1005, 999, 5000):
            with fails(httpx.LocalProtocolError):
                await ws.close(bad)
        with fails(httpx.LocalProtocolError, "at most 123 bytes"):
            await ws.close(1000, "x" * 124)
        await ws.close(3000, "enough")
        await ws.close(3001)
        with fails(WebSocketDisconnect) as caught:
            await ws.send("x")
        with fails(WebSocketDisconnect):
            await ws.receive()
        with fails(WebSocketDisconnect):
            await ws.ping()
        assert not caught.value.by_peer
        return caught.value.code, [message async for message in ws]

    with ScriptedServer([opened(), expect_close(3000)]) as server:
        assert run(driver, server, talk) == (3000, [])
        assert server.connections == 1


def test_messages_before_the_peers_close_are_received_and_then_it_raises(driver: Any):
    async def talk(ws: Any) -> Any:
        first = await ws.receive()
        with fails(WebSocketDisconnect, "closed by the peer with code 3000: enough") as caught:
            await ws.receive()
        with fails(WebSocketDisconnect):
            await ws.send("x")
        return first, caught.value.code, caught.value.reason, caught.value.by_peer

    data = frame(TEXT, b"x") + close_frame(3000, b"enough")
    with ScriptedServer([opened(then=data), expect_frame(CLOSE, (3000).to_bytes(2, "big"))]) as server:
        assert run(driver, server, talk) == ("x", 3000, "enough", True)


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_an_iteration_ends_with_a_normal_close(driver: Any, code: Optional[int]):
    async def talk(ws: Any) -> Any:
        return [message async for message in ws], ws.close_code

    with ScriptedServer([opened(then=frame(TEXT, b"x") + close_frame(code)), lambda conn: read_frame(conn)]) as server:
        assert run(driver, server, talk) == (["x"], 1005 if code is None else code)


def test_an_iteration_raises_for_another_close(driver: Any):
    async def talk(ws: Any) -> Any:
        with fails(WebSocketDisconnect, "1011"):
            async for _ in ws:
                pass

    with ScriptedServer([opened(then=close_frame(1011)), lambda conn: read_frame(conn)]) as server:
        run(driver, server, talk)


@pytest.mark.parametrize("how", [close(), reset()])
def test_an_end_without_a_close_is_an_error(driver: Any, how: Any):
    async def talk(ws: Any) -> Any:
        assert await ws.receive() == "x"
        with fails(WebSocketNetworkError) as caught:
            await ws.receive()
        with fails(WebSocketNetworkError):
            async for _ in ws:
                pass
        with fails(WebSocketNetworkError):
            await ws.send("x")
        assert caught.value.__cause__ is not None
        return ws.close_code

    with ScriptedServer([opened(then=frame(TEXT, b"x")), expect_frame(TEXT), how]) as server:

        async def first(ws: Any) -> Any:
            await ws.send("go")
            return await talk(ws)

        assert run(driver, server, first) == 1006


def test_closing_waits_no_longer_than_its_timeout(driver: Any):
    """websocket-client#592: closing a dead link took a quarter of an hour."""

    async def talk(ws: Any) -> Any:
        await ws.close()
        return ws.close_code

    with ScriptedServer([opened(), expect_frame(CLOSE), silence()]) as server:
        assert run(driver, server, talk, close_timeout=0.05) == 1006


def test_closing_drops_what_still_arrives(driver: Any):
    async def talk(ws: Any) -> Any:
        first = await ws.receive()
        await ws.close()
        return first, ws.close_code

    late = frame(TEXT, b"late") * 2000 + frame(PING, b"late") + close_frame(1000)
    with ScriptedServer([opened(then=frame(TEXT, b"x")), expect_frame(CLOSE), send(late)]) as server:
        assert run(driver, server, talk) == ("x", 1000)


def test_closing_with_unread_messages_in_the_way(every_driver: Any):
    async def talk(ws: Any) -> Any:
        await ws.receive()
        await ws.close()
        return ws.close_code, await ws.receive()

    with ScriptedServer([opened(then=frame(TEXT, b"x") * 50), expect_close()]) as server:
        assert run(every_driver, server, talk, queue_size=2) == (1000, "x")


def test_a_session_counts_in_the_pool_until_it_is_closed(driver: Any):
    async def scenario(client: Any, url: str) -> Any:
        async with client.websocket(url):
            with fails(httpx.PoolTimeout):
                await client.get(url, timeout=httpx.Timeout(5, pool=0.02))
        return (await client.get(url)).text

    with ScriptedServer([opened(), echo], [answer(b"ok")]) as server:
        assert driver.run(scenario, server.url, limits=httpx.Limits(max_connections=1)) == "ok"


def test_closing_the_client_ends_its_sessions(every_driver: Any):
    async def scenario(client: Any, url: str) -> None:
        async with client.websocket(url) as ws:
            await client.aclose()
            with fails(WebSocketNetworkError):
                await ws.receive()
            with fails(WebSocketNetworkError):
                await ws.send("x")

    with ScriptedServer([opened(), silence()]) as server:
        every_driver.run(scenario, server.url)


def test_a_session_that_is_dropped_closes_its_connection(every_driver: Any):
    async def scenario(client: Any, url: str) -> None:
        ws = await client.websocket(url).__aenter__()
        await ws.send("x")
        del ws
        gc.collect()
        await every_driver.pause(0.01)
        if every_driver.name == "sync":
            (await client.get(url)).raise_for_status()

    with ScriptedServer([opened(), expect_frame(TEXT), expect_end()], [answer(b"ok")]) as server:
        every_driver.run(scenario, server.url)
        server.wait_until_idle()


def test_no_outcome_leaves_work_to_the_garbage_collector(driver: Any):
    """A cycle keeps a connection and its buffers until a collection, which a busy program may not see for minutes."""

    async def scenario(client: Any, url: str) -> None:
        async with client.websocket(url) as ws:
            await ws.send("x")
            await ws.receive()
            try:
                await ws.receive(timeout=0.001)
            except WebSocketTimeout:
                pass
        try:
            await ws.receive()
        except WebSocketDisconnect:
            pass
        del ws

    with ScriptedServer([opened(), echo]) as server:

        async def measured(client: Any) -> int:
            await scenario(client, server.url)
            gc.collect()
            gc.disable()
            try:
                await scenario(client, server.url)
                await driver.pause()
                gc.set_debug(gc.DEBUG_SAVEALL)
                gc.collect()
                return len([each for each in gc.garbage if type(each).__module__.startswith("httpx")])
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

        assert driver.run(measured) == 0


# Transports that are not ours.


def test_a_handler_answers_with_one_end_of_a_pair(driver: Any):
    async def scenario(make: Any) -> Any:
        here, there = make()
        transport = httpx.MockTransport(lambda request: httpx.Response(101, extensions={"websocket": there}))
        async with driver.client(transport=transport) as client, client.websocket("ws://test/") as ws:
            await ws.send("hello")
            await ws.send(bytearray(b"x"))
            got = [await here.receive(), await here.receive()]
            await here.send("back")
            with fails(TypeError):
                await here.send(1)
            with fails(httpx.LocalProtocolError):
                await here.send("\ud800")
            got.append(await ws.receive())
            pong = await ws.ping()
            assert pong.is_set()
            assert await pong.wait()
            with fails(WebSocketTimeout):
                await ws.receive(timeout=0.01)
            await here.close(3000, "bye")
            with fails(WebSocketDisconnect, "3000: bye"):
                await ws.receive()
            with fails(WebSocketDisconnect):
                await ws.send("x")
            with fails(WebSocketDisconnect):
                await ws.ping()
            assert (here.closed, ws.closed, ws.close_code, ws.close_reason) == (True, True, 3000, "bye")
            with fails(RuntimeError, "pair"):
                assert here.response
            return got

    def make() -> Any:
        if driver.is_async:
            return websockets.async_pair()
        here, there = websockets.pair()
        return SyncSession(here), there

    assert driver.run_bare(lambda: scenario(make)) == ["hello", b"x", "back"]


def test_a_transport_may_pass_messages_by_an_object_of_its_own(driver: Any):
    class Messages:
        sent: ClassVar[list[Any]] = []

        def _result(self, value: Any) -> Any:
            async def later() -> Any:
                return value

            return later() if driver.is_async else value

        def send(self, message: Any) -> Any:
            self.sent.append(message)
            return self._result(None)

        def receive(self, timeout: Optional[float] = None) -> Any:
            return self._result("answer")

        def ping(self, payload: bytes) -> Any:
            return self._result("pong")

        def close(self, code: int, reason: Optional[str]) -> Any:
            self.sent.append((code, reason))
            return self._result(None)

    async def scenario(client: Any) -> Any:
        async with client.websocket("ws://test/", subprotocols=["a"]) as ws:
            await ws.send("question")
            return await ws.receive(), ws.subprotocol, ws.closed

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(101, headers={"Sec-WebSocket-Protocol": "a"}, extensions={"websocket": Messages()})

    assert driver.run(scenario, transport=httpx.MockTransport(handler)) == ("answer", "a", False)
    assert Messages.sent == ["question", (1000, None)]


def test_a_response_without_a_stream_opens_nothing(driver: Any):
    async def scenario(client: Any) -> None:
        async with client.websocket("ws://test/"):
            pass

    def handler(request: httpx.Request) -> httpx.Response:
        key = b"\r\nsec-websocket-key: " + request.headers["sec-websocket-key"].encode()
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_of(key).decode()}
        return httpx.Response(101, headers=fields)

    with fails(WebSocketUpgradeError, "network_stream"):
        driver.run(scenario, transport=httpx.MockTransport(handler))


# The module.


def test_the_names_of_httpx_ws_are_there():
    assert websockets.HTTPXWSException is WebSocketException
    assert set(websockets.__all__) <= set(dir(websockets))
    assert httpx.websockets is websockets
    for name in websockets.__all__:
        assert getattr(websockets, name).__module__ == "httpx.websockets"


def test_the_reason_of_a_close_brings_no_control_character_into_the_message():
    """A message is printed: a server could clear the terminal, or write other words there."""
    closed = WebSocketDisconnect(4000, "\x1b[2Jgüt\u202e")
    assert str(closed) == "the WebSocket was closed by the peer with code 4000: \\x1b[2Jgüt\\u202e"
    assert closed.reason == "\x1b[2Jgüt\u202e"


def test_exceptions_can_be_pickled():
    import pickle

    for exc in (
        WebSocketDisconnect(3000, "why", by_peer=False),
        WebSocketNetworkError("gone"),
        WebSocketInvalidTypeReceived(b"x"),
        WebSocketTimeout("late"),
        WebSocketUpgradeError(httpx.Response(403)),
    ):
        copy = pickle.loads(pickle.dumps(exc))
        assert (type(copy), str(copy), copy.__dict__.keys()) == (type(exc), str(exc), exc.__dict__.keys())
    assert str(WebSocketUpgradeError(httpx.Response(403))) == "the response 403 does not open a WebSocket"
