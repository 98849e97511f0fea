"""A peer of HTTP/2 that is there and says nothing: `Limits(ping_interval=...)` tells it from one that is slow."""

from __future__ import annotations

import pytest

import httpx
from httpx._protocol import frames
from support.servers import Conn, ScriptedServer, send, silence

SETTINGS = frames.settings({})
PING = frames.frame(frames.PING, 0, 0, bytes(8))
PONG = frames.frame(frames.PING, frames.ACK, 0, bytes(8))
ANSWER = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, b"\x88")  # `:status: 200`, indexed

# Seconds: long enough for a busy machine to answer, short enough to wait for.
INTERVAL = 0.1


def options(server: ScriptedServer, **given: object) -> dict[str, object]:
    return {
        "base_url": server.url,
        "http1": False,
        "http2": True,
        "timeout": None,
        "trust_env": False,
        "limits": httpx.Limits(ping_interval=INTERVAL),
        **given,
    }


def expect_ping(conn: Conn) -> None:
    conn.read_until(PING)


async def get(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/")


def test_a_peer_that_answers_neither_request_nor_ping_is_given_up(driver):
    """A connection that a router forgot is silent for ever; without a timeout the request waited as long."""
    given_up = pytest.raises(httpx.ReadError, match=r"silent for 0\.1 s, and as long again after a PING")
    with ScriptedServer([send(SETTINGS), expect_ping, silence()]) as server, given_up:
        driver.run(get, **options(server))
    assert server.received[0].count(PING) == 1


def test_a_peer_that_answers_pings_may_take_its_time(driver):
    steps = [expect_ping, send(PONG)] * 3
    with ScriptedServer([send(SETTINGS), *steps, send(ANSWER), silence()]) as server:
        assert driver.run(get, **options(server)).status_code == 200
    assert server.received[0].count(PING) == 3


def test_a_peer_is_not_asked_by_default_before_a_request_has_waited_in_vain(driver):
    """After that the connection is suspect, and a PING tells whether it can be used again."""

    async def impatient(client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=3 * INTERVAL)

    with ScriptedServer([send(SETTINGS), silence()]) as server:
        driver.run(impatient, **options(server, limits=httpx.Limits()))
    assert server.received[0].count(PING) <= 1
    reset = frames.frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08")
    if PING in server.received[0]:  # with or after the reset of the request that waited in vain
        assert abs(server.received[0].index(PING) - server.received[0].index(reset)) <= len(PING + reset)


@pytest.mark.parametrize("seconds", [0, -1, -0.5])
def test_an_interval_of_no_time_is_refused(seconds):
    with pytest.raises(ValueError, match="ping_interval must"):
        httpx.Limits(ping_interval=seconds)
