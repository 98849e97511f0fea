"""
The engines against nginx, as deployed: over http and https, on every driver.

Every scenario ends with a look at the pool (nothing in use) and at the descriptors (nothing left open). What a server
never does by itself is in `tests/adversarial`; what only other servers do is in `test_real_servers.py`.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import select
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

import httpx
from support import certs
from support.drivers import Driver, missing
from support.engines import ALL_NAMES, ASYNC_NAMES, driver_named
from support.leaks import engines_of, settled, trusting_context
from support.running import started
from support.servers import NginxServer
from support.together import in_threads, together

BIG = random.Random("big").randbytes(3_000_007)  # does not compress, and no block of it is like another
PAGE = b"".join(b"%d: a page of text that compresses well\n" % number for number in range(20_000))
SLOW = BIG[:81_920]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


# What both sites answer. X-Connection tells connections apart; where a location adds a header it must say it again.
LOCATIONS = """
    root FOLDER/files;
    default_type application/octet-stream;
    add_header X-Connection $connection always;
    proxy_set_header Content-Length "";
    location = /id { default_type text/plain; return 200 $arg_id; }
    location = /empty { return 204; }
    location = /missing { return 404 "missing"; }
    location = /moved { return 302 /id?id=moved; }
    location = /moved-on { return 301 /moved; }
    location = /see-other { return 303 /id?id=other; }
    location = /repeat { return 307 /upload; }
    location = /around { return 302 /around; }
    location = /secure { return 302 https://localhost:$arg_port/id?id=secure; }
    location = /three { keepalive_requests 3; return 200 "three"; }
    location = /brief { keepalive_timeout 50ms; return 200 "brief"; }
    location = /once { keepalive_timeout 0; return 200 "once"; }
    location /gzip/ { alias FOLDER/files/; gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0; }
    location /chunked/ { alias FOLDER/files/; ssi on; ssi_types *; }
    location /until-end/ { alias FOLDER/files/; ssi on; ssi_types *; chunked_transfer_encoding off; }
    location /trailers/ { alias FOLDER/files/; add_trailer X-Id $arg_id; }
    location /slow/ { alias FOLDER/files/; limit_rate 64k; }
    # A body is read only where it is passed on; the file it was put into stays for the test to look at.
    location = /upload {
        client_body_in_file_only on;
        add_header X-Connection $connection always;
        add_header X-Body-File $request_body_file;
        add_header X-Length $request_length;
        add_header X-Method $request_method;
        proxy_pass_request_body off;
        proxy_hide_header X-Connection;
        proxy_pass http://unix:FOLDER/http:/id?id=uploaded;
    }
    location = /narrow { client_max_body_size 1k; proxy_pass http://unix:FOLDER/http:/id?id=narrow; }
    location = /rude { client_max_body_size 1k; lingering_close off; proxy_pass http://unix:FOLDER/http:/id?id=rude; }
"""


def https(kind: str, *directives: str) -> str:
    """The directives of a site with a certificate of `certs.leaf(kind)`."""
    chain, key = certs.leaf_files(kind)
    # Said here because nginx before 1.23.4 has TLS 1.3 off unless it is asked for.
    more = " ".join(["" if "ssl_protocols" in directives[0] else "ssl_protocols TLSv1.2 TLSv1.3;", *directives])
    return f"listen 127.0.0.1:PORT ssl; ssl_certificate {chain}; ssl_certificate_key {key}; {more} "


def sites(locations: str) -> dict[str, str]:
    answer = "location / { return 200 $ssl_protocol; }"
    ask = f"ssl_client_certificate {certs.authority_file()}; ssl_verify_client on;"
    other_listen = "listen [::1]:PORT{0}; listen unix:FOLDER/{1}{0};" if has_ipv6() else "listen unix:FOLDER/{1}{0};"
    return {
        "http": "listen 127.0.0.1:PORT; " + other_listen.format("", "http") + locations,
        "https": https("good", other_listen.format(" ssl", "https"), locations),
        "TLSv1.2": https("good", "ssl_protocols TLSv1.2;", answer),
        "TLSv1.3": https("good", "ssl_protocols TLSv1.3;", answer),
        "expired": https("expired", answer),
        "early": https("early", answer),
        "other-name": https("other-name", answer),
        "stranger": https("stranger", answer),
        "asks": https("good", ask, "location / { return 200 $ssl_client_verify; }"),
    }


@pytest.fixture(scope="module")
def server() -> Iterator[NginxServer]:
    files = [("big.bin", BIG), ("page.txt", PAGE), ("slow.bin", SLOW), ("empty.bin", b"")]
    with started(lambda: NginxServer(files, sites(LOCATIONS))) as server:
        yield server


@pytest.fixture(params=ALL_NAMES)
def driver(request: pytest.FixtureRequest) -> Driver:
    return driver_named(request.param)


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _nothing_left(server: NginxServer, no_leaks: None) -> None:
    pass


def options_for(server: NginxServer, site: str, **options: Any) -> dict[str, Any]:
    """Options of a client for a site."""
    scheme = "http" if site == "http" else "https"
    host = "127.0.0.1" if site == "http" else "localhost"
    base_url = f"{scheme}://{host}:{server.ports[site]}"
    if "transport" not in options:  # which has a context of its own
        options.setdefault("verify", trusting_context())
    return {"base_url": base_url, "trust_env": False, **options}


@pytest.fixture
def run(driver: Driver, scheme: str, server: NginxServer) -> Callable[..., Any]:
    """Runs a scenario on the driver with a client for the site; nothing may be in use afterwards."""
    return functools.partial(run_on, driver, server, scheme)


def run_on(driver: Driver, server: NginxServer, site: str, scenario: Callable[..., Any], **options: Any) -> Any:
    async def whole(client: Any) -> Any:
        result = await scenario(client)
        await settled(client)
        return result

    return driver.run(whole, **options_for(server, site, **options))


async def next_is_fine(client: Any) -> None:
    """The client goes on, with an answer that belongs to its request."""
    assert (await client.get("/id?id=after")).text == "after"


# Downloads.


def test_small_answers_come_over_one_connection(run: Any):
    async def scenario(client: Any) -> None:
        responses = [await client.get("/id", params={"id": str(number)}) for number in range(10)]
        assert [response.text for response in responses] == [str(number) for number in range(10)]
        assert len({response.headers["X-Connection"] for response in responses}) == 1
        first = responses[0]
        assert first.status_code == 200
        assert first.reason_phrase == "OK"
        assert first.http_version == "HTTP/1.1"
        assert first.headers["Server"].startswith("nginx")

    run(scenario)


def test_a_large_file_arrives_unharmed(run: Any):
    async def scenario(client: Any) -> None:
        first = await client.get("/big.bin")
        assert digest(first.content) == digest(BIG)
        async with client.stream("GET", "/big.bin") as streamed:
            pieces = [piece async for piece in streamed.aiter_bytes()]
        assert digest(b"".join(pieces)) == digest(BIG)
        assert len(pieces) > 1
        async with client.stream("GET", "/big.bin") as streamed:
            sizes = [len(piece) async for piece in streamed.aiter_bytes(100_000)]
        assert sizes == [100_000] * 30 + [7]
        assert streamed.headers["X-Connection"] == first.headers["X-Connection"]

    run(scenario)


def test_an_empty_file_is_an_empty_answer(run: Any):
    async def scenario(client: Any) -> None:
        response = await client.get("/empty.bin")
        assert (response.status_code, response.content) == (200, b"")
        await next_is_fine(client)

    run(scenario)


def test_head_has_the_fields_and_no_body(run: Any):
    async def scenario(client: Any) -> None:
        plain = await client.head("/big.bin")
        assert plain.headers["Content-Length"] == str(len(BIG))
        zipped = await client.head("/gzip/page.txt")
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert plain.content == zipped.content == b""
        after = await client.get("/id?id=after")
        assert after.text == "after"
        assert plain.headers["X-Connection"] == zipped.headers["X-Connection"] == after.headers["X-Connection"]

    run(scenario)


def test_answers_without_a_body_keep_the_connection(run: Any):
    async def scenario(client: Any) -> None:
        whole = await client.get("/big.bin")
        by_tag = await client.get("/big.bin", headers={"If-None-Match": whole.headers["ETag"]})
        by_date = await client.get("/big.bin", headers={"If-Modified-Since": whole.headers["Last-Modified"]})
        empty = await client.get("/empty")
        assert [by_tag.status_code, by_date.status_code, empty.status_code] == [304, 304, 204]
        assert by_tag.content == by_date.content == empty.content == b""
        by_tag.raise_for_status()  # it answers a condition of the caller's, so it is a success
        after = await client.get("/id?id=after")
        assert after.text == "after"
        assert after.headers["X-Connection"] == whole.headers["X-Connection"]

    run(scenario)


def test_parts_of_a_file(run: Any):
    async def scenario(client: Any) -> None:
        part = await client.get("/big.bin", headers={"Range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, BIG[1000:2000])
        assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(BIG)}"
        end = await client.get("/big.bin", headers={"Range": "bytes=-7"})
        assert (end.status_code, end.content) == (206, BIG[-7:])
        several = await client.get("/big.bin", headers={"Range": "bytes=0-9,100-109"})
        assert several.headers["Content-Type"].startswith("multipart/byteranges")
        assert BIG[:10] in several.content
        assert BIG[100:110] in several.content
        beyond = await client.get("/big.bin", headers={"Range": "bytes=9999999-"})
        assert beyond.status_code == 416
        changed = await client.get("/big.bin", headers={"Range": "bytes=0-9", "If-Range": '"another"'})
        assert (changed.status_code, digest(changed.content)) == (200, digest(BIG))

    run(scenario)


def test_chunked_answers(run: Any):
    async def scenario(client: Any) -> None:
        for name, content in (("big.bin", BIG), ("page.txt", PAGE)):
            response = await client.get(f"/chunked/{name}")
            assert response.headers["Transfer-Encoding"] == "chunked"
            assert digest(response.content) == digest(content)
        after = await client.get("/id?id=after")
        assert after.headers["X-Connection"] == response.headers["X-Connection"]

    run(scenario)


def test_an_answer_that_ends_with_the_connection(run: Any):
    """As of a server that speaks HTTP/1.0: no length, no chunks."""

    async def scenario(client: Any) -> None:
        response = await client.get("/until-end/big.bin")
        assert not {"Content-Length", "Transfer-Encoding"} & set(response.headers)
        assert digest(response.content) == digest(BIG)
        after = await client.get("/id?id=after")
        assert after.headers["X-Connection"] != response.headers["X-Connection"]

    run(scenario)


def test_trailers_are_kept(run: Any):
    async def scenario(client: Any) -> None:
        response = await client.get("/trailers/page.txt?id=7")
        assert response.content == PAGE
        assert response.extensions["trailers"] == [(b"X-Id", b"7")]
        async with client.stream("GET", "/trailers/big.bin?id=8") as streamed:
            assert digest(await streamed.aread()) == digest(BIG)
        assert streamed.extensions["trailers"] == [(b"X-Id", b"8")]
        await next_is_fine(client)

    run(scenario)


def test_what_nginx_compresses_is_decompressed(run: Any):
    async def scenario(client: Any) -> None:
        response = await client.get("/gzip/page.txt")
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.content == PAGE
        assert response.num_bytes_downloaded < len(PAGE) / 4
        async with client.stream("GET", "/gzip/page.txt") as streamed:
            lines = [line async for line in streamed.aiter_lines()]
        assert len(lines) == 20_000
        assert lines[-1] == "19999: a page of text that compresses well"
        async with client.stream("GET", "/gzip/big.bin") as streamed:
            raw = b"".join([piece async for piece in streamed.aiter_raw()])
        assert digest(zlib.decompress(raw, 31)) == digest(BIG)
        plain = await client.get("/gzip/page.txt", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.content == PAGE

    run(scenario)


def test_a_server_that_sends_slowly(server: NginxServer):
    """nginx counts in whole seconds, so this takes one: all drivers share it."""

    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/slow/slow.bin") as response:
            received = b"".join([piece async for piece in response.aiter_raw()])
        assert digest(received) == digest(SLOW)
        await next_is_fine(client)

    names = [name for name in ALL_NAMES if missing(name) is None]
    runs = [
        functools.partial(run_on, driver_named(name), server, site, scenario)
        for name in names
        for site in ("http", "https")
    ]
    in_threads(runs)


def test_a_client_that_reads_slowly(run: Any, driver: Driver):
    """Everything waits in the kernel's buffers and ours meanwhile, and is still in order."""

    async def scenario(client: Any) -> None:
        received = hashlib.sha256()
        async with client.stream("GET", "/big.bin") as response:
            async for piece in response.aiter_bytes(60_000):
                received.update(piece)
                await driver.pause(0.001)
        assert received.hexdigest() == digest(BIG)
        after = await client.get("/id?id=after")
        assert after.headers["X-Connection"] == response.headers["X-Connection"]

    run(scenario)


def test_a_stream_that_is_left_in_the_middle_gives_up_its_connection(run: Any):
    async def scenario(client: Any) -> None:
        for size in (1, 70_000):
            async with client.stream("GET", "/big.bin") as response:
                async for piece in response.aiter_bytes(size):
                    assert piece == BIG[:size]
                    break
            after = await client.get("/id?id=after")
            assert after.text == "after"
            assert after.headers["X-Connection"] != response.headers["X-Connection"]
        async with client.stream("GET", "/big.bin") as response:
            pass
        await next_is_fine(client)

    run(scenario)


def test_two_streams_at_once_have_a_connection_each(run: Any):
    async def scenario(client: Any) -> None:
        async with client.stream("GET", "/big.bin") as one, client.stream("GET", "/page.txt") as other:
            assert one.headers["X-Connection"] != other.headers["X-Connection"]
            assert digest(await other.aread()) == digest(PAGE)
            assert digest(await one.aread()) == digest(BIG)
        await next_is_fine(client)

    run(scenario)


# The life of connections.


def test_the_request_after_the_last_of_a_connection_goes_on(run: Any):
    async def scenario(client: Any) -> None:
        responses = [await client.get("/three") for _ in range(10)]
        assert [response.text for response in responses] == ["three"] * 10
        connections = [response.headers["X-Connection"] for response in responses]
        assert len(set(connections)) == 4
        assert [connections.count(each) for each in dict.fromkeys(connections)] == [3, 3, 3, 1]

    run(scenario)


def test_a_connection_that_nginx_closed_meanwhile_is_not_used(run: Any):
    """The end is there, but no loop has run since, so nothing but the look before the request can see it."""

    async def scenario(client: Any) -> None:
        for _ in range(2):
            response = await client.get("/brief")
            stream = response.extensions["network_stream"]
            assert select.select([stream.get_extra_info("socket")], [], [], 5)[0]
            after = await client.post("/brief", content=b"a POST is not replayed")
            assert after.text == "brief"
            assert after.headers["X-Connection"] != response.headers["X-Connection"]

    run(scenario)


@pytest.mark.parametrize("path", ["/once", "/id?id=once"])
def test_a_connection_that_one_side_does_not_want_to_keep(run: Any, path: str):
    async def scenario(client: Any) -> None:
        headers = {} if path == "/once" else {"Connection": "close"}
        responses = [await client.get(path, headers=headers) for _ in range(3)]
        assert {response.text for response in responses} == {"once"}
        assert {response.headers["Connection"] for response in responses} == {"close"}
        assert len({response.headers["X-Connection"] for response in responses}) == 3

    run(scenario)


def test_errors_keep_the_connection(run: Any):
    async def scenario(client: Any) -> None:
        one = await client.get("/missing")
        other = await client.get("/no/such/file")
        assert (one.status_code, other.status_code, one.text) == (404, 404, "missing")
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            one.raise_for_status()
        after = await client.get("/id?id=after")
        assert one.headers["X-Connection"] == other.headers["X-Connection"] == after.headers["X-Connection"]

    run(scenario)


def test_a_head_that_nginx_does_not_want(run: Any):
    """nginx answers before it has read everything, and closes."""

    async def scenario(client: Any) -> None:
        long_field = await client.get("/id?id=1", headers={"X-Long": "x" * 9_000})
        many_fields = await client.get("/id?id=2", headers=[(f"X-{number}", "y" * 1_000) for number in range(60)])
        long_target = await client.get("/id", params={"id": "z" * 9_000})
        assert [long_field.status_code, many_fields.status_code, long_target.status_code] == [400, 400, 414]
        await next_is_fine(client)

    run(scenario)


def test_a_client_with_one_connection(run: Any):
    async def scenario(client: Any) -> None:
        for number in range(5):
            assert (await client.get(f"/id?id={number}")).text == str(number)
        async with client.stream("GET", "/big.bin") as response:
            with pytest.raises(httpx.PoolTimeout):
                await client.get("/id", timeout=httpx.Timeout(5, pool=0.01))
            assert digest(await response.aread()) == digest(BIG)
        await next_is_fine(client)

    run(scenario, limits=httpx.Limits(max_connections=1))


# Uploads.


def uploaded(response: Any) -> bytes:
    """The body that nginx received: it is in a file, which is removed."""
    assert response.status_code == 200, response
    path = Path(response.headers["X-Body-File"])
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize("size", [0, 1, 10_000, len(BIG)])
def test_uploads_of_a_known_length(run: Any, size: int):
    async def scenario(client: Any) -> None:
        for method in ("POST", "PUT"):
            response = await client.request(method, "/upload", content=BIG[:size])
            assert response.headers["X-Method"] == method
            assert response.request.headers["Content-Length"] == str(size)
            assert int(response.headers["X-Length"]) > size
            assert digest(uploaded(response)) == digest(BIG[:size])
        await next_is_fine(client)

    run(scenario)


def test_uploads_in_chunks(run: Any, driver: Driver):
    async def scenario(client: Any) -> None:
        connections = set()
        for size in (100, 1_000, 65_536, 1_000_000):
            content = BIG[: size * 3]
            pieces = [content[start : start + size] for start in range(0, len(content), size)]
            response = await client.post("/upload", content=driver.body([*pieces, b""]))
            assert response.request.headers["Transfer-Encoding"] == "chunked"
            assert digest(uploaded(response)) == digest(content)
            connections.add(response.headers["X-Connection"])
        assert len(connections) == 1

    run(scenario)


def test_an_upload_that_asks_first(run: Any, driver: Driver):
    async def scenario(client: Any) -> None:
        for content in (BIG[:100_000], driver.body([b"one", b"two"])):
            response = await client.post("/upload", content=content, headers={"Expect": "100-continue"})
            assert [status for status, _ in response.extensions["informational"]] == [100]
            received = uploaded(response)
            assert received == (content if isinstance(content, bytes) else b"onetwo")
        refused = await client.post("/narrow", content=BIG, headers={"Expect": "100-continue"})
        assert refused.status_code == 413
        assert "informational" not in refused.extensions
        await next_is_fine(client)

    run(scenario)


def test_forms_and_files(run: Any):
    async def scenario(client: Any) -> None:
        form = await client.post("/upload", data={"a": "1", "b": ["2", "3"]})
        assert uploaded(form) == b"a=1&b=2&b=3"
        document = await client.post("/upload", json={"a": [1, 2]})
        assert uploaded(document) == b'{"a":[1,2]}'
        files = await client.post("/upload", data={"a": "1"}, files={"big": ("big.bin", BIG)})
        received = uploaded(files)
        assert BIG in received
        assert files.request.headers["Content-Length"] == str(len(received))

    run(scenario)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_that_is_too_large_gets_its_answer(run: Any, driver: Driver, chunked: bool):
    """nginx answers at once, drains what is on its way, and closes."""

    async def scenario(client: Any) -> None:
        for _ in range(2):
            content = driver.body([BIG[:500_000]] * 12) if chunked else BIG * 2
            response = await client.post("/narrow", content=content)
            assert response.status_code == 413
            assert "Request Entity Too Large" in response.text
            await next_is_fine(client)

    run(scenario)


def test_an_upload_that_is_cut_off(run: Any):
    """nginx answers and closes without draining: the reset may destroy the answer, and then it is an error of ours."""

    async def scenario(client: Any) -> None:
        for _ in range(5):
            try:
                response = await client.post("/rude", content=BIG * 2)
            except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
                pass
            else:
                assert response.status_code == 413
            await next_is_fine(client)

    run(scenario)


# Redirects.


def test_redirects(run: Any):
    async def scenario(client: Any) -> None:
        stopped = await client.get("/moved-on")
        assert stopped.status_code == 301
        assert stopped.has_redirect_location
        assert stopped.next_request.url.path == "/moved"
        followed = await client.get("/moved-on", follow_redirects=True)
        assert followed.text == "moved"
        assert [response.status_code for response in followed.history] == [301, 302]
        other = await client.post("/see-other", content=b"body", follow_redirects=True)
        assert (other.text, other.request.method) == ("other", "GET")
        again = await client.post("/repeat", content=BIG, follow_redirects=True)
        assert again.headers["X-Method"] == "POST"
        assert digest(uploaded(again)) == digest(BIG)
        with pytest.raises(httpx.TooManyRedirects):
            await client.get("/around", follow_redirects=True)
        await next_is_fine(client)

    run(scenario)


def test_a_redirect_from_http_to_https(driver: Driver, server: NginxServer):
    async def scenario(client: Any) -> None:
        response = await client.get(f"/secure?port={server.ports['https']}", follow_redirects=True)
        assert response.text == "secure"
        assert response.url.scheme == "https"
        assert response.headers["X-Connection"] != response.history[0].headers["X-Connection"]
        assert response.extensions["network_stream"].get_extra_info("ssl_object") is not None
        assert response.history[0].extensions["network_stream"].get_extra_info("ssl_object") is None

    run_on(driver, server, "http", scenario)


# Many at once.


@pytest.mark.parametrize("name", ASYNC_NAMES)
@pytest.mark.parametrize("limits", [httpx.Limits(), httpx.Limits(max_connections=7)], ids=["default", "seven"])
def test_a_hundred_requests_at_once_get_their_own_answers(
    name: str, scheme: str, server: NginxServer, limits: httpx.Limits
):
    async def scenario(client: Any) -> None:
        async def get(number: int) -> str:
            response = await client.get("/id", params={"id": f"n{number}"})
            assert response.text == f"n{number}"
            return str(response.headers["X-Connection"])

        for start in (0, 100):
            requests = [functools.partial(get, number) for number in range(start, start + 100)]
            connections = set(await together(requests))
            assert len(connections) <= (limits.max_connections or 100)

    run_on(driver_named(name), server, scheme, scenario, limits=limits)


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_large_files_at_once_arrive_unharmed(name: str, scheme: str, server: NginxServer):
    async def scenario(client: Any) -> None:
        async def get(number: int) -> None:
            start = 100_000 * number
            if number % 2:
                response = await client.get("/big.bin", headers={"Range": f"bytes={start}-"})
                assert digest(response.content) == digest(BIG[start:])
            else:
                response = await client.post("/upload", content=BIG[start:])
                assert digest(uploaded(response)) == digest(BIG[start:])

        await together([functools.partial(get, number) for number in range(20)])

    run_on(driver_named(name), server, scheme, scenario, limits=httpx.Limits(max_connections=8))


def test_sixteen_threads_on_one_client_get_their_own_answers(scheme: str, server: NginxServer):
    with httpx.Client(**options_for(server, scheme, limits=httpx.Limits(max_connections=8))) as client:

        def work(thread: int) -> set[str]:
            connections = set()
            for number in range(20):
                response = client.get("/id", params={"id": f"{thread}-{number}"})
                assert response.text == f"{thread}-{number}"
                connections.add(response.headers["X-Connection"])
            start = 1_000 * thread
            with client.stream("GET", "/big.bin", headers={"Range": f"bytes={start}-{start + 200_000}"}) as streamed:
                assert digest(streamed.read()) == digest(BIG[start : start + 200_001])
            return connections

        connections = in_threads([functools.partial(work, thread) for thread in range(16)])
        # As many as the limit at the most, and some that came after one that was closed between two requests.
        assert len(set().union(*connections)) <= 8
        asyncio.run(settled(client))


# Where the server is.


def test_a_unix_socket(run: Any, driver: Driver, scheme: str, server: NginxServer):
    async def scenario(client: Any) -> None:
        responses = [await client.get(f"/id?id={number}") for number in range(3)]
        assert [response.text for response in responses] == ["0", "1", "2"]
        assert len({response.headers["X-Connection"] for response in responses}) == 1
        assert digest((await client.get("/big.bin")).content) == digest(BIG)
        assert digest(uploaded(await client.post("/upload", content=BIG))) == digest(BIG)

    transport = driver.transport(uds=str(server.folder / scheme), verify=trusting_context())
    run(scenario, transport=transport, base_url=f"{scheme}://localhost")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6(run: Any, scheme: str, server: NginxServer):
    async def scenario(client: Any) -> None:
        response = await client.get("/id?id=six")
        assert response.text == "six"
        assert response.request.headers["Host"] == f"[::1]:{server.ports[scheme]}"
        stream = response.extensions["network_stream"]
        assert stream.get_extra_info("server_addr")[0] == "::1"

    run(scenario, base_url=f"{scheme}://[::1]:{server.ports[scheme]}")


def test_a_name_with_several_addresses(run: Any, scheme: str, server: NginxServer):
    async def scenario(client: Any) -> None:
        assert (await client.get("/id?id=name")).text == "name"

    run(scenario, base_url=f"{scheme}://localhost:{server.ports[scheme]}")


# TLS.


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_versions_of_tls(driver: Driver, server: NginxServer, version: str):
    async def scenario(client: Any) -> None:
        sockets = set()
        for _ in range(3):
            response = await client.get("/")
            assert response.text == version
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("ssl_object").version() == version
            sockets.add(stream.get_extra_info("client_addr"))
        assert len(sockets) == 1  # the session tickets that came with the first answer do not make it unusable

    run_on(driver, server, version, scenario)


def test_session_tickets_in_the_middle_of_an_upload_are_no_answer(driver: Driver, server: NginxServer):
    """The harm: who saw input waited for an answer, while nginx waited for the rest of the body."""

    async def scenario(client: Any) -> None:
        def pieces() -> Iterator[bytes]:
            (connection,) = engines_of(client)[0].pool.connections
            # They may have been taken already, and then nothing more comes.
            select.select([connection.wire.sock], [], [], 0.1)
            yield b"one"
            yield b"two"
            yield BIG

        response = await client.post("/upload", content=driver.body(pieces()))
        assert digest(uploaded(response)) == digest(b"onetwo" + BIG)

    run_on(driver, server, "https", scenario)


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        ("stranger", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("early", "certificate is not yet valid"),
        ("other-name", "Hostname mismatch, certificate is not valid for 'localhost'"),
    ],
)
def test_a_certificate_that_is_not_good_enough(driver: Driver, server: NginxServer, site: str, reason: str):
    async def scenario(client: Any) -> None:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError, match=reason) as caught:
                await client.get("/")
            assert caught.value.request.url.port == server.ports[site]
        good = await client.get(f"https://localhost:{server.ports['https']}/id?id=good")
        assert good.text == "good"

    run_on(driver, server, site, scenario)


@pytest.mark.parametrize("site", ["stranger", "expired", "other-name"])
def test_verification_can_be_switched_off(driver: Driver, server: NginxServer, site: str):
    async def scenario(client: Any) -> None:
        assert (await client.get("/")).text == "TLSv1.3"

    run_on(driver, server, site, scenario, verify=False)


def test_a_client_certificate(driver: Driver, server: NginxServer):
    async def with_it(client: Any) -> None:
        assert (await client.get("/")).text == "SUCCESS"

    async def without_it(client: Any) -> None:
        response = await client.get("/")
        assert response.status_code == 400
        assert "No required SSL certificate was sent" in response.text

    run_on(driver, server, "asks", with_it, verify=certs.client_context(client_cert=True))
    run_on(driver, server, "asks", without_it)


def test_the_wrong_scheme(driver: Driver, server: NginxServer):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match=r"wrong version number|record layer failure"):
            await client.get(f"https://localhost:{server.ports['http']}/id?id=1")
        plain = await client.get(f"http://localhost:{server.ports['https']}/id?id=1")
        assert plain.status_code == 400
        assert "plain HTTP request was sent to HTTPS port" in plain.text

    run_on(driver, server, "https", scenario)
