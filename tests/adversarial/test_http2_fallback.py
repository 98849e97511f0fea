"""A request that HTTP/2 did not carry out and HTTP/1.1 does: what is told of it afterwards is about HTTP/1.1."""

from __future__ import annotations

from typing import Any

import httpx
from httpx._protocol import frames
from support import certs
from support.drivers import Driver
from support.servers import Conn, ScriptedServer, answer, repeat


def test_a_request_that_goes_on_over_http1_is_traced_as_one_of_http1(driver: Driver):
    """It was told in the words of the first attempt: http2.receive_response_headers, for an answer of HTTP/1.1."""
    context = certs.server_context(alpn=("h2", "http/1.1"))
    events: list[tuple[str, Any]] = []

    def go_away(conn: Conn) -> None:
        conn.read_until(frames.frame(frames.DATA, frames.END_STREAM, 1, b"x"))
        context.set_alpn_protocols(["http/1.1"])
        conn.sendall(frames.settings({}) + frames.goaway(0, frames.NO_ERROR))
        conn.read_to_end()

    def note(name: str, info: dict[str, Any]) -> Any:
        events.append((name, info))
        return driver.pause(0) if driver.is_async else None

    async def scenario(client: Any) -> httpx.Response:
        return await client.post("/", content=b"x", extensions={"trace": note})

    options: dict[str, Any] = {"http2": True, "verify": certs.client_context(), "trust_env": False}
    with ScriptedServer([go_away], [repeat(answer())], tls=context) as server:
        response = driver.run(scenario, base_url=server.url.replace("http:", "https:"), **options)
    assert (response.http_version, response.text) == ("HTTP/1.1", "ok")
    names = [name for name, _ in events]
    again = names.index("http11.send_request_headers.started")
    assert any(name.startswith("http2.") for name in names[:again])
    assert all(name.startswith("http11.") for name in names[again:])
    assert "stream_id" not in dict(events)["http11.receive_response_headers.started"]
