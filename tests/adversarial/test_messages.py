"""
What a hostile peer gets into messages: at most 20 bytes of its text, 200 characters of a URL, no control character.

Each scenario sends a long text of the peer's where some reader looks; whatever exceptions, warnings and log lines of
the logger `httpx` come of it are held to these bounds. That a secret is hidden is tested in test_leaks_of_secrets.py.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest

import httpx
from support.drivers import Driver
from support.servers import ScriptedServer, answer, expect_head, repeat, send

# Every 21 characters of it occur once, so that a part of it is found in a message wherever it is from.
TEXT = "".join(f"<{number:x}>" for number in range(1000, 9000))[:30_000]
CONTROLS = "\x1b]0;title\x07\x1b[31m\x7f"
# Text for a URL: no character that ends it.
PATH = "".join(f"/{number:x}" for number in range(1000, 9000))[:30_000]


def respond(*fields: str, body: bytes = b"", status: str = "200 OK") -> Any:
    return [repeat(answer(body, *[field.encode("latin-1") for field in fields], status=status.encode("latin-1")))]


def raw(text: str) -> Any:
    return [repeat(expect_head(), send(text.encode("latin-1")))]


HEAD = "HTTP/1.1 200 OK\r\n"
SCENARIOS: dict[str, Any] = {
    "status line": raw(TEXT + "\r\n\r\n"),
    "version": raw(f"HTTP/{TEXT} 200 OK\r\n\r\n"),
    "status": raw(f"HTTP/1.1 {TEXT} OK\r\n\r\n"),
    "reason": respond(status=f"200 {TEXT}"),
    "reason of an error": respond(status=f"404 {TEXT}"),
    "controls in a reason": respond(status=f"404 {CONTROLS}{TEXT}"),
    "line without a colon": raw(f"{HEAD}{TEXT}\r\n\r\n"),
    "name of a field": raw(f"{HEAD}{TEXT}: 1\r\n\r\n"),
    "controls in a name": raw(f"{HEAD}{CONTROLS}: 1\r\n\r\n"),
    "NUL in a value": raw(f"{HEAD}X: {TEXT}\0\r\n\r\n"),
    "length": raw(f"{HEAD}Content-Length: {TEXT}\r\n\r\n"),
    "long number as a length": raw(f"{HEAD}Content-Length: {'123456789' * 999}\r\n\r\n"),
    "two lengths": raw(f"{HEAD}Content-Length: 1\r\nContent-Length: {'123456789' * 99}\r\n\r\n"),
    "transfer coding": raw(f"{HEAD}Transfer-Encoding: {TEXT}\r\n\r\n"),
    "chunk size": raw(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{TEXT}\r\n"),
    "chunk extension": raw(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n1;{TEXT}\r\nx{TEXT}"),
    "trailer": raw(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n{TEXT}\r\n\r\n"),
    "location": respond(f"Location: {PATH}", status="302 Found"),
    "location that is not a URL": respond(f"Location: http://{TEXT}", status="302 Found"),
    "location with a bad port": respond(f"Location: http://example.org:{TEXT}", status="302 Found"),
    "location with a bad address": respond(f"Location: http://[{TEXT}]/", status="302 Found"),
    "location with a long host": respond(f"Location: http://{PATH.replace('/', 'a.')}/", status="302 Found"),
    "location with an international host": respond(f"Location: http://{'xn--a' * 30}/", status="302 Found"),
    "location with controls": respond(f"Location: /{CONTROLS}{TEXT}", status="302 Found"),
    "location with a bad scheme": respond(f"Location: x{PATH[:40].replace('/', '')}:x", status="302 Found"),
    "two locations": respond(f"Location: /{TEXT}", f"Location: /b{TEXT}", status="302 Found"),
    "challenge": respond(f"WWW-Authenticate: Digest {TEXT}", status="401 Unauthorized"),
    "algorithm": respond(f'WWW-Authenticate: Digest realm="a", nonce="b", algorithm="{TEXT}"', status="401 No"),
    "quality of protection": respond(f'WWW-Authenticate: Digest realm="a", nonce="b", qop="{TEXT}"', status="401 No"),
    "realm": respond(f'WWW-Authenticate: Digest realm="{TEXT}", nonce="{TEXT}"', status="401 No"),
    "gzip": respond("Content-Encoding: gzip", body=TEXT.encode()),
    "deflate": respond("Content-Encoding: deflate", body=TEXT.encode()),
    "br": respond("Content-Encoding: br", body=TEXT.encode()),
    "zstd": respond("Content-Encoding: zstd", body=TEXT.encode()),
    "many codings": respond(f"Content-Encoding: {'gzip, ' * 999}", body=b"a"),
    "unknown coding": respond(f"Content-Encoding: {TEXT}", body=b"a"),
    "charset": respond(f"Content-Type: text/html; charset={TEXT}", body=b"\xff"),
    "JSON": respond("Content-Type: application/json", body=TEXT.encode()),
    "cookie": respond(f"Set-Cookie: a={TEXT}; Domain={TEXT}; Expires={TEXT}; Max-Age={TEXT}"),
    "link": respond(f"Link: <{TEXT}"),
}  # fmt: skip


def parts_of_the_peer(message: str, most: int) -> list[str]:
    """What of the peer's text is in a message, in parts longer than `most`."""
    wide = most + 1
    return [
        message[at : at + wide]
        for at in range(len(message) - most)
        if message[at : at + wide] in TEXT or message[at : at + wide] in PATH
    ]


def check(message: str, most: int) -> None:
    # A line break of our own sets the place of a redirect apart.
    assert message.replace("\n", "").isprintable(), ascii(message[:300])
    assert parts_of_the_peer(message, most) == []
    assert len(message) < 900


async def read_everything(client: Any, url: str) -> None:
    """Send a request, and read all that a peer can put a text into; errors are collected by the caller."""
    response = await client.get(url, follow_redirects=True, auth=httpx.DigestAuth("ann", "pw"))
    response.raise_for_status()
    with contextlib.suppress(ValueError):
        response.json()
    _ = response.text, response.links, response.cookies, response.encoding, response.reason_phrase


@pytest.mark.parametrize("name", SCENARIOS)
def test_messages_hold_little_of_a_peer(driver: Driver, caplog: pytest.LogCaptureFixture, name: str):
    """Harm: messages of 60,000 characters filled logs, and escape sequences of a peer reached terminals."""

    errors: list[BaseException] = []
    with caplog.at_level(logging.DEBUG, "httpx"), ScriptedServer(SCENARIOS[name]) as server:
        for follow in (False, True):

            async def run(client: Any, follow: bool = follow) -> None:
                try:
                    if follow:
                        await read_everything(client, server.url)
                    else:
                        (await client.get(server.url)).raise_for_status()
                except (httpx.HTTPError, httpx.InvalidURL) as exc:
                    errors.append(exc)

            driver.run(run, timeout=2, max_redirects=2)
    for error in errors:
        place = 200 if "Redirect location" in str(error) else 20
        check(str(error), place)
    for record in caplog.records:
        check(record.getMessage(), 200)
