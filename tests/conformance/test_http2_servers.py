"""
HTTP/2 with servers that others wrote: nginx, nghttpd (of nghttp2) and hypercorn, over TLS and by prior knowledge.

On every engine, and from many threads on one client; each answer is checked against its own request.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import httpx
from support import certs
from support.asgi_servers import ASGIServer, missing
from support.drivers import Driver, run_without_loop
from support.engines import ALL_NAMES, driver_named
from support.http2 import prior, trusted
from support.leaks import settled
from support.running import started
from support.servers import NginxServer, ServerMissing, find_program, free_ports, wait_for_port
from support.together import in_threads, together

BIG = random.Random("big").randbytes(3_000_007)  # does not compress, and no block of it is like another


def digest(body: bytes) -> str:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


class Site(Protocol):
    """A server, as the scenarios see it; `client` has the async interface."""

    plain: str
    secure: str

    async def mark(self, client: Any, mark: str) -> str:
        """What the server says to a request with this mark: the same."""
        ...

    async def upload(self, client: Any, body: Any) -> str:
        """What the server says of a body: its digest."""
        ...

    def download(self) -> tuple[str, bytes]:
        """A path, and what is there."""
        ...

    def close(self) -> None: ...


def _taken(file: Path) -> bytes:
    content = file.read_bytes()
    file.unlink()
    return content


class Nginx:
    """nginx: a file is what it makes of an upload."""

    LOCATIONS = """
        root FOLDER/files;
        default_type application/octet-stream;
        proxy_set_header Content-Length "";
        client_max_body_size 64m;
        keepalive_requests 100000;
        location = /id { default_type text/plain; return 200 $arg_id; }
        location = /upload {
            client_body_in_file_only on;
            add_header X-Body-File $request_body_file;
            proxy_pass_request_body off;
            proxy_pass http://unix:FOLDER/inner:/id?id=uploaded;
        }
    """

    def __init__(self) -> None:
        chain, key = certs.leaf_files()
        tls = f"ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {chain}; ssl_certificate_key {key}; "
        sites = {
            "plain": "listen 127.0.0.1:PORT http2; " + self.LOCATIONS,
            "secure": "listen 127.0.0.1:PORT ssl http2; " + tls + self.LOCATIONS,
            "inner": "listen unix:FOLDER/inner; location = /id { return 200 $arg_id; }",
        }
        self._server = NginxServer([("big.bin", BIG)], sites)
        self.plain = f"http://127.0.0.1:{self._server.ports['plain']}"
        self.secure = f"https://localhost:{self._server.ports['secure']}"

    async def mark(self, client: Any, mark: str) -> str:
        return str((await client.get(f"/id?id={mark}")).text)

    async def upload(self, client: Any, body: Any) -> str:
        response = await client.post("/upload", content=body)
        assert response.text == "uploaded"
        return digest(_taken(Path(response.headers["X-Body-File"])))

    def download(self) -> tuple[str, bytes]:
        return "/big.bin", BIG

    def close(self) -> None:
        self._server.close()


class Nghttpd:
    """nghttpd: it sends back what is uploaded, with padding, and a trailer after every body."""

    def __init__(self) -> None:
        program = find_program("nghttpd")
        if program is None:
            raise ServerMissing("nghttpd is not installed (Debian: apt-get install nghttp2-server)")
        self._folder = tempfile.mkdtemp(prefix="httpx-nghttpd-")
        Path(self._folder, "big.bin").write_bytes(BIG)
        chain, key = certs.leaf_files()
        common = [
            program,
            "-a",
            "127.0.0.1",
            "-d",
            self._folder,
            "--echo-upload",
            "-b",
            "20",
            "--trailer",
            "x-end: here",
        ]
        self._processes: list[subprocess.Popen[bytes]] = []
        port, tls_port = free_ports(2)
        self.plain, self.secure = f"http://127.0.0.1:{port}", f"https://localhost:{tls_port}"
        for number, arguments in ((port, ["--no-tls", str(port)]), (tls_port, [str(tls_port), str(key), str(chain)])):
            process = subprocess.Popen([*common, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self._processes.append(process)
            assert wait_for_port(number, process), "nghttpd does not start"

    async def mark(self, client: Any, mark: str) -> str:
        response = await client.post("/", content=mark.encode())
        assert response.extensions["trailers"] == [(b"x-end", b"here")]
        return str(response.text)

    async def upload(self, client: Any, body: Any) -> str:
        return digest((await client.post("/", content=body)).content)

    def download(self) -> tuple[str, bytes]:
        return "/big.bin", BIG

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        shutil.rmtree(self._folder)


class Hypercorn:
    """hypercorn: a small application says what was received."""

    def __init__(self) -> None:
        absent = missing("hypercorn")
        if absent:
            raise ServerMissing(f"not installed: {', '.join(absent)}")
        self._server = ASGIServer("hypercorn")
        self.plain, self.secure = self._server.url, self._server.tls_url

    async def mark(self, client: Any, mark: str) -> str:
        return str((await client.get(f"/id?id={mark}")).text)

    async def upload(self, client: Any, body: Any) -> str:
        return str((await client.post("/digest", content=body)).text)

    def download(self) -> tuple[str, bytes]:
        return "/bytes?number=3000000", (bytes(range(256)) * 11_719)[:3_000_000]

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module", params=[Nginx, Nghttpd, Hypercorn])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    site: Site = started(request.param)
    yield site
    site.close()


@pytest.fixture(params=["plain", "secure"])
def url(request: pytest.FixtureRequest, site: Site) -> str:
    return str(getattr(site, request.param))


@pytest.fixture(params=ALL_NAMES)
def driver(request: pytest.FixtureRequest) -> Driver:
    return driver_named(request.param)


@pytest.fixture(autouse=True)
def _nothing_left(site: Site, no_leaks: None) -> None:
    pass


def run_on(driver: Driver, url: str, scenario: Any, **options: Any) -> None:
    async def whole(client: Any) -> None:
        await scenario(client)
        await settled(client)

    driver.run(whole, **prior(url, **{"timeout": 20, **options}))


def test_small_answers_come_over_one_connection(driver: Driver, site: Site, url: str):
    async def scenario(client: Any) -> None:
        path, _ = site.download()
        first = await client.head(path)
        assert (first.http_version, first.extensions["stream_id"]) == ("HTTP/2", 1)
        for number in range(10):
            assert await site.mark(client, f"n{number}") == f"n{number}"
        last = await client.head(path)
        assert last.extensions["stream_id"] == 23
        assert last.content == b""

    run_on(driver, url, scenario)


def test_large_downloads(driver: Driver, site: Site, url: str):
    async def scenario(client: Any) -> None:
        path, content = site.download()
        assert (await client.get(path)).content == content
        received = hashlib.sha256()
        async with client.stream("GET", path) as response:
            async for piece in response.aiter_bytes(50_000):
                received.update(piece)
                await driver.pause()
        assert received.digest() == hashlib.sha256(content).digest()
        async with client.stream("GET", path) as response:
            async for _ in response.aiter_raw():
                break
        assert await site.mark(client, "after") == "after"

    run_on(driver, url, scenario)


def test_large_uploads(driver: Driver, site: Site, url: str):
    async def scenario(client: Any) -> None:
        for size in (1, 70_000, len(BIG)):
            assert await site.upload(client, BIG[:size]) == digest(BIG[:size])
        halves = [BIG[:1_000_000], BIG[1_000_000:]]
        assert await site.upload(client, driver.body(halves)) == digest(BIG)
        small = [b"%d," % number for number in range(300)]
        assert await site.upload(client, driver.body(small)) == digest(b"".join(small))
        assert await site.mark(client, "after") == "after"

    run_on(driver, url, scenario)


@pytest.mark.parametrize("name", ["asyncio", "uvloop", "trio"])
def test_two_hundred_requests_at_once_get_each_its_own_answer(name: str, site: Site, url: str):
    async def scenario(client: Any) -> None:
        marks = [f"n{number}" for number in range(200)]
        assert await together([lambda mark=mark: site.mark(client, mark) for mark in marks]) == marks
        path, content = site.download()

        async def whole(_: str) -> str:
            return digest((await client.get(path)).content)

        sizes = [1, 100_000, 300_001]
        results = await together(
            [
                *[lambda mark=mark: site.mark(client, mark) for mark in marks[:50]],
                *[lambda: whole("")] * 3,
                *[lambda size=size: site.upload(client, BIG[:size]) for size in sizes],
            ]
        )
        assert results == [*marks[:50], *[digest(content)] * 3, *[digest(BIG[:size]) for size in sizes]]

    run_on(driver_named(name), url, scenario, timeout=60)


def test_sixteen_threads_on_one_client_get_each_its_own_answers(site: Site, url: str):
    from support.drivers import SyncAdapter

    def work(worker: int) -> list[str]:
        wrong = []
        for number in range(15):
            mark = f"{worker}-{number}"
            if number % 5 == 3:
                body = BIG[worker : worker + 20_000 * number]
                text, mark = run_without_loop(site.upload(client, body)), digest(body)
            elif number % 5 == 4:
                with client.inner.stream("GET", path) as response:
                    piece = b""
                    for each in response.iter_raw():
                        piece += each
                        if len(piece) > 1000 * worker:
                            break
                text, mark = digest(piece), digest(content[: len(piece)])
            else:
                text = run_without_loop(site.mark(client, mark))
            if text != mark:
                wrong.append(f"{text!r} and not {mark!r}")
        return wrong

    path, content = site.download()
    with httpx.Client(**prior(url, timeout=60)) as inner:
        client = SyncAdapter(inner)
        assert in_threads([lambda worker=worker: work(worker) for worker in range(16)]) == [[]] * 16
        run_without_loop(settled(inner))


def test_a_time_out_resets_its_stream_only(driver: Driver, site: Site, url: str):
    async def scenario(client: Any) -> None:
        path, content = site.download()
        assert await site.mark(client, "before") == "before"
        with pytest.raises(httpx.TimeoutException):
            await client.get(path, timeout=httpx.Timeout(20, total=0.0005))
        await trusted(client)
        response = await client.get(path)
        assert response.content == content
        assert response.extensions["stream_id"] > 1

    run_on(driver, url, scenario)
