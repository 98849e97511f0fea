"""
ASGI servers in processes of their own, each over http and https, with one small application.

    with ASGIServer("hypercorn") as server:
        httpx.get(f"{server.url}/id?id=7").text == "7"

Paths: `/id` (its own query's id), `/digest` (length and SHA-256 of the request's body), `/pieces` (20 chunks), `/cut`
(ends in the middle of a chunked body), `/unread` (answers before the body was read), `/bytes` (as many as its query's
number), `/feed` (an event stream by sse-starlette, see `feed`); a websocket at `/echo`.

This file is also what runs in the process, so it must not import anything of the tests there.

Not here: early hints and trailers, which none of these servers sends over HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import Any, Callable, Optional
from urllib.parse import parse_qs

# The server's name -> the modules that it needs.
KINDS = {
    "uvicorn-h11": ("uvicorn", "h11", "websockets"),
    "uvicorn-httptools": ("uvicorn", "httptools", "wsproto"),
    "hypercorn": ("hypercorn",),
}

PIECE = b"a piece of a body that is sent in twenty\n"

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def missing(kind: str) -> list[str]:
    """The modules that a server needs and that are not installed."""
    return [name for name in KINDS[kind] if importlib.util.find_spec(name) is None]


class ASGIServer:
    """
    One server, until `close`.

    Args:
        kind: a key of `KINDS`.

    Attributes:
        kind: the same.
    """

    def __init__(self, kind: str) -> None:
        from .certs import leaf_files
        from .servers import free_ports, wait_for_port

        self.kind = kind
        chain, key = leaf_files()
        for _ in range(3):  # a port may be taken between finding and using it
            self.port, self.tls_port = free_ports(2)
            command = [sys.executable, __file__, kind, str(self.port), str(self.tls_port), str(chain), str(key)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            ready = [wait_for_port(port, self._process, timeout=15) for port in (self.port, self.tls_port)]
            if all(ready):
                return
            self.close()
        raise RuntimeError(f"{kind} does not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://localhost:{self.tls_port}"

    def close(self) -> None:
        """End the process that was started."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> ASGIServer:
        return self

    def __exit__(
        self,
        exc_type: Optional[type[BaseException]] = None,
        exc_value: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
    ) -> None:
        self.close()


# What runs in the process.


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The application."""
    if scope["type"] == "http":
        await PATHS[scope["path"]](scope, receive, send)
    elif scope["type"] == "websocket":
        await echo_messages(receive, send)
    else:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return


def fields_of(scope: Message, *fields: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    host, port = scope["client"][:2]
    return [(b"content-type", b"text/plain"), (b"x-connection", f"{host}:{port}".encode("ascii")), *fields]


async def answer(scope: Message, send: Send, body: bytes, *fields: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode("ascii"))
    await send({"type": "http.response.start", "status": 200, "headers": fields_of(scope, length, *fields)})
    await send({"type": "http.response.body", "body": body})


async def tell_id(scope: Message, receive: Receive, send: Send) -> None:
    query = parse_qs(scope["query_string"].decode("ascii"))
    await answer(scope, send, query["id"][0].encode("ascii"))


async def digest(scope: Message, receive: Receive, send: Send) -> None:
    received, length, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        received.update(message.get("body", b""))
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(scope, send, f"{length} {received.hexdigest()}".encode("ascii"))


async def pieces(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": fields_of(scope)})
    for number in range(20):
        await send({"type": "http.response.body", "body": PIECE, "more_body": number < 19})


async def cut(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": fields_of(scope)})
    await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    raise RuntimeError("the application ends in the middle")


async def leave_unread(scope: Message, receive: Receive, send: Send) -> None:
    await answer(scope, send, b"unread")


async def send_bytes(scope: Message, receive: Receive, send: Send) -> None:
    number = int(parse_qs(scope["query_string"].decode("ascii"))["number"][0])
    await answer(scope, send, (bytes(range(256)) * (number // 256 + 1))[:number])


async def feed(scope: Message, receive: Receive, send: Send) -> None:
    """
    Send events `?first` to `?count`, at most `?each` on a connection, after the id that the client had last; then 204.

    With `?hold` the stream goes on after them, without events.
    """
    from sse_starlette import EventSourceResponse, ServerSentEvent

    query = {name: int(values[0]) for name, values in parse_qs(scope["query_string"].decode("ascii")).items()}
    last = dict(scope["headers"]).get(b"last-event-id")
    first = 0 if last is None else int(last) + 1
    if first >= query["count"]:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return

    async def events() -> AsyncIterator[Any]:
        for number in range(first, min(first + query.get("each", query["count"]), query["count"])):
            data = f"{number}\u2028é\nsecond line"
            yield ServerSentEvent(data, event="tick", id=str(number), retry=1, comment="a comment")
        if "hold" in query:
            await asyncio.sleep(60)

    await EventSourceResponse(events())(scope, receive, send)


async def echo_messages(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"].upper()})


PATHS = {
    "/id": tell_id,
    "/digest": digest,
    "/pieces": pieces,
    "/cut": cut,
    "/unread": leave_unread,
    "/bytes": send_bytes,
    "/feed": feed,
}


async def serve_uvicorn(kind: str, port: int, tls_port: int, chain: str, key: str) -> None:
    import uvicorn

    http, websocket = KINDS[kind][1:]
    common: Any = {"log_config": None, "access_log": False, "http": http, "ws": websocket, "lifespan": "off"}
    plain = uvicorn.Server(uvicorn.Config(app, port=port, **common))
    secure = uvicorn.Server(uvicorn.Config(app, port=tls_port, ssl_certfile=chain, ssl_keyfile=key, **common))
    await asyncio.gather(plain.serve(), secure.serve())


async def serve_hypercorn(port: int, tls_port: int, chain: str, key: str) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind, config.insecure_bind = [f"127.0.0.1:{tls_port}"], [f"127.0.0.1:{port}"]
    config.certfile, config.keyfile = chain, key
    config.loglevel = "CRITICAL"
    application: Any = app  # hypercorn's types are narrower than ours
    await serve(application, config)


def main(kind: str, port: str, tls_port: str, chain: str, key: str) -> None:
    if kind == "hypercorn":
        asyncio.run(serve_hypercorn(int(port), int(tls_port), chain, key))
    else:
        asyncio.run(serve_uvicorn(kind, int(port), int(tls_port), chain, key))


if __name__ == "__main__":
    main(*sys.argv[1:])
