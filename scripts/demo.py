"""
A tour: real requests to the project's own server on a free port of this machine, printed with their answers.

Run it with `scripts/demo`. Everything goes over real sockets; nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
from httpx._cli.echo_server import EchoServer


def show(title: str) -> None:
    print(f"\n== {title}")


def result(what: str, value: object, expected: object = ...) -> None:
    """Prints what came out of a request; ends the demo if it is not what it should be."""
    print(f"    {what}: {value}")
    if expected is not ... and value != expected:
        sys.exit(f"expected {expected}")


def sent(request: httpx.Request) -> None:
    """A hook: prints a request as it goes out."""
    print(f"  > {request.method} {request.url}")
    for name, value in request.headers.items():
        if name.lower() in ("content-type", "content-length", "transfer-encoding", "cookie", "authorization"):
            print(f"  > {name}: {value}")


def came_back(response: httpx.Response) -> None:
    """A hook: prints the head of an answer."""
    version = response.http_version
    print(f"  < {version} {response.status_code} {response.reason_phrase}")
    for name in ("content-type", "content-encoding", "location", "set-cookie"):
        if name in response.headers:
            print(f"  < {name}: {response.headers[name]}")


HOOKS = {"request": [sent], "response": [came_back]}


async def sent_async(request: httpx.Request) -> None:
    sent(request)


async def came_back_async(response: httpx.Response) -> None:
    came_back(response)


ASYNC_HOOKS = {"request": [sent_async], "response": [came_back_async]}


def sync_tour(url: str) -> None:
    # trust_env: a proxy that the environment names could not reach this machine's own server.
    with httpx.Client(base_url=url, event_hooks=HOOKS, trust_env=False) as client:
        show("a GET with query parameters")
        response = client.get("/get", params={"q": "hello", "tag": ["a", "b"]})
        result("args", response.json()["args"], {"q": "hello", "tag": ["a", "b"]})
        result("headers", response.json()["headers"])

        show("JSON")
        person = {"name": "Ada", "born": 1815}
        result("json", client.post("/post", json=person).json()["json"], person)

        show("a form")
        form = {"name": "Ada", "languages": ["en", "fr"]}
        result("form", client.post("/post", data=form).json()["form"], form)

        uploads(client)
        downloads(client)
        credentials(client)
        failures(client)


def uploads(client: httpx.Client) -> None:
    show("a file upload")
    file = io.BytesIO(b"the content of a file, " * 1000)
    response = client.post("/upload", files={"document": ("notes.txt", file, "text/plain")})
    (part,) = response.json()["parts"]
    result("SHA-256 of what arrived", part["sha256"], hashlib.sha256(file.getvalue()).hexdigest())
    result("file", (part["filename"], part["content_type"], part["size"]), ("notes.txt", "text/plain", 23_000))

    show("a streamed upload, whose size is not known before")
    response = client.post("/upload", content=(b"piece %d, " % index for index in range(1000)))
    result("chunked", response.json()["chunked"], True)
    result("size", response.json()["size"], 10_890)


def downloads(client: httpx.Client) -> None:
    show("a streamed download")
    with client.stream("GET", "/stream/3") as streamed:
        for index, line in enumerate(streamed.iter_lines()):
            result("line", json.loads(line)["id"], index)

    show("a redirect, followed, with a cookie on the way")
    response = client.get("/cookies/set", params={"seen": "yes"}, follow_redirects=True)
    result("history", [each.status_code for each in response.history], [302])
    result("cookies", response.json()["cookies"], {"seen": "yes"})

    show("a compressed answer")
    result("gzipped", client.get("/gzip").json()["gzipped"], True)


def credentials(client: httpx.Client) -> None:
    show("Basic and Digest authentication")
    response = client.get("/basic-auth/ada/secret", auth=("ada", "secret"))
    result("authenticated", response.json()["authenticated"], True)
    response = client.get("/digest-auth/auth/ada/secret/SHA-256", auth=httpx.DigestAuth("ada", "secret"))
    result("authenticated", response.json()["authenticated"], True)


def failures(client: httpx.Client) -> None:
    show("an error status, and a timeout")
    try:
        client.get("/status/404").raise_for_status()
        sys.exit("a 404 passed as a success")
    except httpx.HTTPStatusError as exc:
        result(type(exc).__name__, str(exc).splitlines()[0])
    try:
        client.get("/delay/5", timeout=0.2)
        sys.exit("an answer came before its time")
    except httpx.ReadTimeout as exc:
        result(type(exc).__name__, exc)


async def async_tour(url: str, gather: Callable[[list[Callable[[], Awaitable[None]]]], Awaitable[None]]) -> None:
    async with httpx.AsyncClient(base_url=url, event_hooks=ASYNC_HOOKS, trust_env=False) as client:
        response = await client.get("/get", params={"q": "hello"})
        result("args", response.json()["args"], {"q": "hello"})
        async with client.stream("GET", "/stream/2") as streamed:
            result("lines", [json.loads(line)["id"] async for line in streamed.aiter_lines()], [0, 1])

    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        statuses: list[int] = []

        async def one() -> None:
            statuses.append((await client.get("/delay/0.2")).status_code)

        started = time.perf_counter()
        await gather([one] * 20)
        result("20 requests of 0.2 s each, at once", f"{time.perf_counter() - started:.2f} s")
        result("statuses", statuses, [200] * 20)


async def gather_asyncio(functions: list[Callable[[], Awaitable[None]]]) -> None:
    await asyncio.gather(*(function() for function in functions))


async def gather_trio(functions: list[Callable[[], Awaitable[None]]]) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(function)


def main() -> int:
    with EchoServer() as server:
        print(f"httpx {httpx.__version__} on Python {sys.version.split()[0]}, server at {server.url}")
        sync_tour(server.url)
        show("the same client on asyncio")
        asyncio.run(async_tour(server.url, gather_asyncio))
        show("and on trio")
        try:
            import trio
        except ImportError:
            print("    trio is not installed: pip install 'httpx[trio]'")
        else:
            trio.run(async_tour, server.url, gather_trio)
    print("\nall answers were what they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
