"""
Requests as commands of curl, in both directions, and held against a real bash and a real curl.

The requests are made at random, the same ones in every run. There are 100 of them, or as many as HTTPX_CURL_REQUESTS
says: a change of the code should be tried with 1,000.
"""

from __future__ import annotations

import base64
import os
import random
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._curl import quoted
from httpx._curl_command import HARMLESS, OTHERS_WITH_VALUE
from support.curls import Recorder, needs_curl, sent_by_curl, sent_by_us, words_of

REQUESTS = int(os.environ.get("HTTPX_CURL_REQUESTS", "100"))
BATCH = 250  # of words for one curl

METHODS = ("GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "M-SEARCH", "X!$'y")
PATHS = (
    "/",
    "/a",
    "/a b",
    "/it's",
    '/"q"',
    "/é/日本",
    "/{a,b}",
    "/[1-3]",
    "/a%2Fb",
    "/..%2f",
    "/%2e%2e/x",
    "/$HOME",
    "/`x`",
)
MORE_PATHS = ("/a\\b", "/!x", "/~", "/a;b=c", "/@x", "/*", "/(x)", "/a|b", "/<x>", "/^", "//x", "/a//b", "/:")
QUERIES = ("", "?", "?a=b&c=d", "?q=it's", "?x=[1-3]", "?{}", "?a=b c", "?ü", "?a?b", "?!$&'()*+,;=:@/~", "?%00", '?"')
NAMES = ("X-A", "x-b", "X-!#$%&'*+.^_`|~", "Accept", "User-Agent", "accept-encoding", "Referer", "Range", "TE", "X-A")
MORE_NAMES = ("Authorization", "Cookie", "Connection", "If-None-Match", "Origin", "Content-Type", "Cache-Control")
VALUES = (
    "",
    "a",
    "*/*",
    "it's",
    '"q"',
    "a b\tc",
    "$HOME `x` $(x) \\ !",
    "gzip",
    "close",
    "a;b",
    "@x",
    "-x",
    "ü",
    "a: b",
)
TEXTS = (
    "a=b",
    '{"a": "it\'s", "b": [1]}',
    "@x",
    "@-",
    "-x",
    "=x",
    "",
    "two\nlines\r\nand\ttab",
    "\x1b[31m\x07",
    "日本 ü",
    "$HOME `x` !x",
)
CHARACTERS = "".join(map(chr, range(1, 256))) + "日🙂\u202e"


def random_request(dice: random.Random, origin: str) -> httpx.Request:
    """A request as programs may send it, with a preference for what is special to shells and to curl."""
    url = origin + dice.choice(PATHS + MORE_PATHS) + dice.choice(QUERIES)
    headers: list[tuple[bytes, bytes]] = []
    for _ in range(dice.randrange(5)):
        value = dice.choice(VALUES) if dice.random() < 0.7 else any_text(dice, 20)
        encoded = value.encode(dice.choice(("utf-8", "latin-1")), "ignore")
        clean = bytes(byte for byte in encoded if byte >= 32 or byte == 9).replace(b"\x7f", b"").strip()
        headers.append((dice.choice(NAMES + MORE_NAMES).encode(), clean))
    if dice.random() < 0.2:
        headers.append((dice.choice((b"Host", b"host")), b"other.example:81"))
    content: Any = None
    if dice.random() < 0.6:
        size = 1_200_000 if dice.random() < 0.02 else dice.randrange(200)
        kinds = (dice.choice(TEXTS), any_text(dice, 40), dice.randbytes(size) if size < 1_000_000 else "x" * size)
        content = dice.choice(kinds)
        if dice.random() < 0.1:
            headers.append((b"Transfer-Encoding", b"chunked"))
    extensions = {"target": dice.choice((b"*", b"/a/../b", b"/x"))} if dice.random() < 0.1 else {}
    request = httpx.Request(dice.choice(METHODS), url, headers=headers, content=content, extensions=extensions)
    if dice.random() < 0.1:
        request.headers.pop("Content-Length" if not content else "Content-Type", None)
    return request


def any_text(dice: random.Random, longest: int) -> str:
    return "".join(dice.choice(CHARACTERS) for _ in range(dice.randrange(longest)))


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        yield server


def random_requests(origin: str) -> list[httpx.Request]:
    return [random_request(random.Random(f"curl {number}"), origin) for number in range(REQUESTS)]


@needs_curl
def test_bash_and_curl_send_what_we_would_have_sent(recorder: Recorder, tmp_path: Path):
    requests = random_requests(recorder.url)
    words = words_of([request.to_curl(mask=False) for request in requests], tmp_path)
    assert len(words) == len(requests)
    for start in range(0, REQUESTS, BATCH):
        batch = requests[start : start + BATCH]
        sent = sent_by_curl(words[start : start + BATCH], recorder)
        for request, theirs in zip(batch, sent):
            assert theirs == sent_by_us(request), request.to_curl()
        assert len(sent) == len(batch)


def test_what_we_write_we_read_as_the_same_request():
    for request in random_requests("http://a.example:8000"):
        command = request.to_curl(mask=False)
        again = httpx.Request.from_curl(command)
        assert sent_by_us(again) == sent_by_us(request), command
        assert again.to_curl(mask=False) == command


# The command.


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (httpx.Request("GET", "http://a/?b=c&d#e"), "curl -H Accept: -H User-Agent: 'http://a/?b=c&d'"),
        (
            httpx.Request("POST", "http://a/", json={"a": 1}, headers={"Accept": "*/*", "User-Agent": "me"}),
            "curl -H 'Accept: */*' -H 'User-Agent: me' -H 'Content-Type: application/json' --data-raw '{\"a\":1}' http://a/",
        ),
        (
            httpx.Request("HEAD", "http://a/", headers={"Accept": "x", "User-Agent": "y", "X-Empty": "", "Host": "b"}),
            "curl -I -H 'Host: b' -H 'Accept: x' -H 'User-Agent: y' -H 'X-Empty;' http://a/",
        ),
        (
            httpx.Request("PUT", "http://a/", content=b"\0\xff", headers={"Accept": "x", "User-Agent": "y"}),
            "printf %s AP8= | base64 -d | curl -X PUT -H 'Accept: x' -H 'User-Agent: y' -H Content-Type: "
            "--data-binary @- http://a/",
        ),
        (
            httpx.Request(
                "GET", "http://a/%2e%2e/[1]", headers={"Accept-Encoding": "gzip", "Accept": "x", "User-Agent": "y"}
            ),
            "curl -H 'Accept-Encoding: gzip' -H 'Accept: x' -H 'User-Agent: y' --compressed --path-as-is -g "
            "'http://a/%2e%2e/[1]'",
        ),
        (
            httpx.Request("POST", "http://a/", headers={"Accept": "x", "User-Agent": "y"}),
            "curl -H 'Accept: x' -H 'User-Agent: y' -H Content-Type: --data-raw '' http://a/",
        ),
        (
            httpx.Request("OPTIONS", "http://a/", headers={"Accept": "x"}, extensions={"target": "*"}),
            "curl -X OPTIONS --request-target '*' -H 'Accept: x' -H User-Agent: http://a/",
        ),
    ],
)
def test_a_request_becomes_a_command(request_: httpx.Request, command: str):
    assert request_.to_curl() == command


def test_secrets_are_hidden_unless_they_are_asked_for():
    headers = {"Authorization": "Bearer secret1", "Cookie": "a=secret2", "X-Api-Key": "secret3"}
    url = "http://ann:secret4@a/?token=secret5"
    for body in (
        {"data": {"password": "secret6", "a": "b"}},
        {"json": {"x": [{"client_secret": "secret6"}], "n": 1}},
        {"data": {"api_key": "secret6"}, "files": {"f": (None, "text")}},
    ):
        request = httpx.Request("POST", url, headers=headers, **body)  # type: ignore[arg-type]  # one of several
        request.read()
        masked = request.to_curl()
        assert "secret1" not in masked.replace("client_secret", "")
        assert not [number for number in range(1, 7) if f"secret{number}" in masked]
        assert "Authorization: Bearer ***" in masked
        assert "Content-Length" not in masked, "it would be the length of what is not there any more"
        shown = request.to_curl(mask=False)
        assert all(f"secret{number}" in shown for number in range(1, 7))


def test_secrets_of_a_target_of_its_own_are_hidden():
    request = httpx.Request("GET", "http://a/", extensions={"target": "/x?token=secret&a=b"})
    assert "--request-target '/x?token=***&a=b'" in request.to_curl()
    assert "token=secret" in request.to_curl(mask=False)


@pytest.mark.parametrize("path", ["/", "/redirect"])
def test_what_the_client_keeps_private_is_hidden(path: str):
    """A header of a client's `sensitive_headers`, whose name says nothing, was in commands for tickets."""

    def respond(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(302, headers={"location": "/"}) if request.url.path == "/redirect" else httpx.Response(200)
        )

    transport = httpx.MockTransport(respond)
    headers = {"X-Mine": "s3cret"}
    with httpx.Client(
        transport=transport, sensitive_headers=["X-Mine"], headers=headers, follow_redirects=True
    ) as client:
        url = f"http://a{path}"
        requests = [
            client.build_request("GET", url),
            client.build_request("POST", url, content="x"),
            client.get(url).request,
            client.send(httpx.Request("GET", url, headers=headers)).request,
        ]
    for request in requests:
        assert "-H 'X-Mine: ***'" in request.to_curl()
        assert "-H 'X-Mine: s3cret'" in request.to_curl(mask=False)


def test_a_copy_for_another_origin_leaves_out_what_its_client_keeps_private():
    """Without middleware the copy took the header along, unlike a redirect."""
    with httpx.Client(sensitive_headers=["X-Mine"], headers={"X-Mine": "s3cret"}) as client:
        request = client.build_request("GET", "http://a/")
    assert "X-Mine" in request.copy_with(url="/b").headers
    assert "X-Mine" not in request.copy_with(url="http://b/").headers
    assert "X-Mine" in request.copy_with(url="http://b/", keep_secrets=True).headers


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_secrets_of_a_compressed_body_are_hidden(coding: str):
    """The harm: a masked command had the password, compressed."""
    with httpx.Client(compress=coding) as client:
        secret = client.build_request("POST", "http://a/", json={"password": "s3cret", "text": "x" * 2000})
        harmless = client.build_request("POST", "http://a/", json={"text": "x" * 2000})
    assert secret.headers["Content-Encoding"] == coding
    masked = secret.to_curl()
    assert '{"password":"***","text":"xxx' in masked
    assert "Content-Encoding" not in masked, "it is not true of what is shown"
    assert "Content-Length" not in masked
    assert httpx.Request.from_curl(secret.to_curl(mask=False)).content == secret.content
    again = httpx.Request.from_curl(harmless.to_curl())
    assert (again.content, again.headers["Content-Encoding"]) == (harmless.content, coding)


def test_a_body_that_cannot_be_decoded_is_hidden():
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    request = httpx.Request("POST", "http://a/", headers=headers, content=b'{"password":"s3cret"}')
    assert "--data-raw '***'" in request.to_curl()


def test_a_masked_command_can_be_read():
    request = httpx.Request("POST", "http://a/?token=x", data={"password": "x"}, headers={"Cookie": "a=b"})
    again = httpx.Request.from_curl(request.to_curl())
    assert str(again.url) == "http://a/?token=***"
    assert again.headers["Cookie"] == "***"
    assert again.content == b"password=***"


def test_a_body_that_is_not_there_and_a_url_without_a_host_are_errors():
    with pytest.raises(httpx.RequestNotRead):
        httpx.Request("POST", "http://a/", content=iter([b"a"])).to_curl()
    with pytest.raises(ValueError, match="must be absolute"):
        httpx.Request("GET", "/a").to_curl()


def test_nothing_in_a_command_moves_a_terminal():
    value = "".join(map(chr, range(1, 32))).replace("\n", "").replace("\r", "") + "\x7f\u202e\x9b"
    request = httpx.Request("POST", "http://a/", content="\x1b[2J\x03\x15\r\n" + value)
    command = request.to_curl()
    assert command.isprintable()
    assert httpx.Request.from_curl(command).content == request.content


@needs_curl
def test_bash_reads_every_word_as_it_was(tmp_path: Path):
    dice = random.Random("words")
    written = [chr(number) for number in range(1, 256)] + [
        "=x",
        "=it's",
        "",
        "~",
        "!x",
        "\ud8ff".replace("\ud8ff", "\udcff"),
    ]
    written += [any_text(dice, 12) for _ in range(300)]
    [found] = words_of(["curl " + " ".join(map(quoted, written))], tmp_path)
    assert found == [word.encode("utf-8", "surrogateescape") for word in written]


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_we_read_every_word_as_it_was(word: str):
    from httpx._shell_words import words

    assert words(quoted(word)) == [word]


# The request.


def made(command: str, **options: Any) -> httpx.Request:
    return httpx.Request.from_curl(command, **options)


def fields(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}


OURS = {"user-agent": f"python-httpx/{httpx.__version__}", "accept": "*/*"}


@pytest.mark.parametrize(
    ("command", "method", "url", "headers", "content"),
    [
        ("curl a.b/c", "GET", "http://a.b/c", OURS, b""),
        ("curl -I https://a/", "HEAD", "https://a/", OURS, b""),
        ("curl -A me -H Accept: http://a/", "GET", "http://a/", {"user-agent": "me"}, b""),
        (
            "curl -A '' -e 'http://b/;auto' -H 'accept: x' http://a/",
            "GET",
            "http://a/",
            {"accept": "x", "referer": "http://b/"},
            b"",
        ),
        (
            "curl -d a=1 -d 'b= 2' http://a/",
            "POST",
            "http://a/",
            {**OURS, "content-type": "application/x-www-form-urlencoded"},
            b"a=1&b= 2",
        ),
        (
            "curl --json '{}' http://a/",
            "POST",
            "http://a/",
            {**OURS, "accept": "application/json", "content-type": "application/json"},
            b"{}",
        ),
        ("curl -d x -H Content-Type: http://a/", "POST", "http://a/", OURS, b"x"),
        ("curl -X POST http://a/", "POST", "http://a/", OURS, b""),
        (
            "curl -u ann:p:w http://a/",
            "GET",
            "http://a/",
            {**OURS, "authorization": "Basic " + base64.b64encode(b"ann:p:w").decode()},
            b"",
        ),
        ("curl -u ann:pw -H 'Authorization: x' http://a/", "GET", "http://a/", {**OURS, "authorization": "x"}, b""),
        ("curl --oauth2-bearer t http://a/", "GET", "http://a/", {**OURS, "authorization": "Bearer t"}, b""),
        (
            "curl -b 'a=b' -b c=d -r 0-9 http://a/",
            "GET",
            "http://a/",
            {**OURS, "cookie": "a=b; c=d", "range": "bytes=0-9"},
            b"",
        ),
        ("curl -sSfL -k -o out -H 'Host: b' http://a/", "GET", "http://a/", OURS, b""),
        ("curl -g 'http://a/{b}[1]'", "GET", "http://a/%7Bb%7D[1]", OURS, b""),
        ("curl 'http://[::1]:8000/x'", "GET", "http://[::1]:8000/x", OURS, b""),
    ],
)
def test_a_command_becomes_a_request(command: str, method: str, url: str, headers: dict[str, str], content: bytes):
    request = made(command)
    assert (request.method, str(request.url), fields(request), request.content) == (method, url, headers, content)


def test_the_host_is_kept():
    request = made("curl -H 'Host: b.example' http://127.0.0.1/")
    assert request.headers.raw[0] == (b"Host", b"b.example")
    assert "-H 'Host: b.example'" in request.to_curl()


def test_a_post_without_a_body_has_no_length_and_one_with_an_empty_body_has():
    assert "content-length" not in made("curl -X POST http://a/").headers
    assert made("curl -d '' http://a/").headers["content-length"] == "0"


def test_compressed_asks_for_what_we_can_decode():
    assert made("curl --compressed http://a/").headers["accept-encoding"].startswith("gzip, deflate")
    assert made("curl --compressed -H 'Accept-Encoding: x' http://a/").headers["accept-encoding"] == "x"


@pytest.mark.parametrize(
    ("command", "extensions"),
    [
        ("curl http://a/", {}),
        (
            "curl -m 3 --connect-timeout 1.5 http://a/",
            {"timeout": {"connect": 1.5, "read": None, "write": None, "pool": None, "total": 3.0}},
        ),
        (
            "curl --connect-timeout 1 http://a/",
            {"timeout": {"connect": 1.0, "read": None, "write": None, "pool": None}},
        ),
        (
            "curl -m 2 http://a/",
            {"timeout": {"connect": None, "read": None, "write": None, "pool": None, "total": 2.0}},
        ),
        ("curl -x p:8080 http://a/", {"proxy": "http://p:8080"}),
        ("curl -x https://u:p@p http://a/", {"proxy": "https://u:p@p"}),
        ("curl -x p -U 'u:p@ss' http://a/", {"proxy": "http://u:p%40ss@p"}),
        ("curl --socks5-hostname p:1 http://a/", {"proxy": "socks5h://p:1"}),
        ("curl -x p --noproxy '*' http://a/", {"proxy": None}),
        ("curl -x p --noproxy b,.example.org http://www.example.org/", {"proxy": None}),
        ("curl -x p --noproxy b http://a/", {"proxy": "http://p"}),
        ("curl --noproxy b http://a/", {}),
        ("curl --request-target '*' -X OPTIONS http://a/", {"target": b"*"}),
        ("curl --path-as-is http://a/b/../c?d#e", {"target": b"/b/../c?d"}),
        ("curl --path-as-is http://a/b", {}),
    ],
)
def test_what_a_request_can_say_of_its_way_is_in_its_extensions(command: str, extensions: dict[str, Any]):
    assert made(command).extensions == extensions


def test_a_form_becomes_a_multipart_body(tmp_path: Path):
    (tmp_path / "x.txt").write_text("file")
    command = (
        f"""curl -F 'a="it''s; \\"q\\""' -F 'b={{}};type=application/json' -F 'f=@"{tmp_path}/x.txt";type=a/b' """
        f"""-F 't=<{tmp_path}/x.txt' -F 'g=@{tmp_path}/x.txt;filename=y' -F 'h=1;headers="X-Y: z"' http://a/"""
    )
    with pytest.raises(ValueError, match="files=True"):
        made(command)
    request = made(command, files=True)
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    boundary = request.headers["content-type"].partition("boundary=")[2]
    parts = request.read().decode().split(f"--{boundary}")[1:-1]
    assert [part.strip("\r\n") for part in parts] == [
        'Content-Disposition: form-data; name="a"\r\n\r\nits; "q"',
        'Content-Disposition: form-data; name="b"\r\nContent-Type: application/json\r\n\r\n{}',
        'Content-Disposition: form-data; name="f"; filename="x.txt"\r\nContent-Type: a/b\r\n\r\nfile',
        'Content-Disposition: form-data; name="t"\r\n\r\nfile',
        'Content-Disposition: form-data; name="g"; filename="y"\r\nContent-Type: text/plain\r\n\r\nfile',
        'Content-Disposition: form-data; name="h"\r\nX-Y: z\r\n\r\n1',
    ]


NETRC = "machine a login ann password pw\n"
COOKIES = (
    "# Netscape HTTP Cookie File\na.example\tFALSE\t/\tFALSE\t0\tname\tvalue\nb.example\tFALSE\t/\tFALSE\t0\tx\ty\n"
)


def test_files_are_read_only_if_that_is_allowed(tmp_path: Path):
    for name, text in (("netrc", NETRC), ("cookies", COOKIES), ("config", 'header = "X-A: b"\n'), ("body", "a\nb")):
        (tmp_path / name).write_text(text)
    commands = {
        f"curl --netrc-file {tmp_path}/netrc http://a/": ("authorization", "Basic YW5uOnB3"),
        f"curl -b {tmp_path}/cookies http://a.example/": ("cookie", "name=value"),
        f"curl -K {tmp_path}/config http://a/": ("x-a", "b"),
        f"curl --data-binary @{tmp_path}/body http://a/": ("content-length", "3"),
        f"curl -T {tmp_path}/body http://a/": ("content-length", "3"),
        f"curl --url-query @{tmp_path}/body http://a/": ("host", "a"),
    }
    for command, (name, value) in commands.items():
        with pytest.raises(ValueError, match="`files=True`"):
            made(command)
        assert made(command, files=True).headers[name] == value


def test_a_netrc_file_without_the_host_changes_nothing_and_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "netrc").write_text(NETRC)
    assert "authorization" not in made(f"curl --netrc-file {tmp_path}/netrc http://b/", files=True).headers
    (tmp_path / "netrc").write_text("nonsense pw")
    (tmp_path / "cookies").write_text("nonsense")
    with pytest.raises(ValueError, match="netrc' is not a netrc file") as caught:
        made(f"curl --netrc-file {tmp_path}/netrc http://b/", files=True)
    assert "pw" not in str(caught.value)
    with pytest.raises(ValueError, match="has no cookies"):
        made(f"curl -b {tmp_path}/cookies http://b/", files=True)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("curl --unix-socket /run/x http://a/", r"--unix-socket is not a part of a request: give a client `transport="),
        ("curl --resolve a:80:127.0.0.1 http://a/", "--resolve"),
        ("curl --connect-to ::b: http://a/", "--connect-to"),
        ("curl --digest -u a:b http://a/", "DigestAuth"),
        ("curl -E c.pem http://a/", "-E is not a part of a request: give a client `cert=`"),
        ("curl -C 100 http://a/", "-C is not a part of a request$"),
        ("curl -u ann http://a/", "password of -u"),
        ("curl -m x http://a/", "-m must be a number of seconds, got 'x'"),
        ("curl --connect-timeout 0 http://a/", "--connect-timeout"),
        ("curl --nonsense http://a/", "--nonsense cannot be converted"),
    ],
)
def test_what_a_request_cannot_say_is_an_error(command: str, message: str):
    with pytest.raises(ValueError, match=message):
        made(command)


def test_options_that_change_no_request_are_left_out():
    words = [word for name in sorted(HARMLESS) for word in ([name, "x"] if name in OTHERS_WITH_VALUE else [name])]
    assert made(shlex.join(["curl", *words, "http://a/"])).to_curl() == made("curl http://a/").to_curl()


# Against curl.

COMMANDS = [
    "-d a=1 -d 'b= ü' {url}",
    "--json '{\"a\":' --json '1}' {url}",
    "-G -d a=b --data-urlencode 'c=d e&' --data-urlencode '=x y' {url}?x#frag",
    "--url-query 'a=b c' --url-query '+raw=d%20e' {url}/x?y",
    "-G -d a=1 --url-query b=2 {url}",
    "-X PATCH --data-raw @x -H 'Content-Type: a/b' {url}",
    "-d x -H Content-Type: {url}",
    "-d '' {url}",
    "-X POST {url}",
    "-I {url}/a/../b",
    "--path-as-is {url}/a/../b?c",
    "-u ann:pw -A me -e 'http://x/;auto' -b 'a=b; c=d' {url}",
    "-A '' -e '' -H 'Accept;' {url}",
    "-H 'X-A:' -H 'X-B;' -H 'x-c:  d  ' -H 'Host: other' {url}",
    "-r 0-9 --oauth2-bearer t {url}",
    "--request-target '*' -X OPTIONS {url}",
    "-g '{url}/a[b]?[1-3]'",
    "-H 'Transfer-Encoding: chunked' -d abc {url}",
    "-T '{file}' -H Expect: {url}/x/",
    "-T '{file}' -H Expect: -H 'Content-Type: a/b' {url}/x?y",
    "-d @'{file}' {url}",
    "--data-urlencode n@'{file}' {url}",
    "--data-binary $'a\\nb\\x01\\101\\'\\u00e9\\cA\\z' {url}",
    "--data-urlencode 'a=ü~_.-*' {url}",
    "-fsSL --compressed -H 'Accept-Encoding: x' --tlsv1.3 --ssl-no-revoke --create-dirs "
    "--location-trusted -c /dev/null {url}",
]


@needs_curl
def test_curl_sends_what_its_commands_say(recorder: Recorder, tmp_path: Path):
    """In another order: curl has its own fields first. Its name is not ours."""
    (tmp_path / "up load").write_bytes(b"a\r\nb\n")
    replaced = {"{url}": recorder.url, "{file}": str(tmp_path / "up load")}
    commands = ["curl " + re.sub(r"\{\w+\}", lambda name: replaced[name[0]], command) for command in COMMANDS]
    sent = sent_by_curl(words_of(commands, tmp_path), recorder)
    assert len(sent) == len(commands)
    for command, theirs in zip(commands, sent):
        ours = sent_by_us(httpx.Request.from_curl(command, files=True))
        names = [
            sorted(
                (name.lower(), b"" if value.startswith((b"curl/", b"python-httpx/")) else value)
                for name, value in fields
            )
            for fields in (theirs.fields, ours.fields)
        ]
        assert (theirs.line, names[0], theirs.body) == (ours.line, names[1], ours.body), command


FORMS = [
    "-F a=1 -F 'b=x;y' -F 'c=\"it; is\"' -F 'd=\"a\\\\b\\\"c\"' -F 'e= f ' --form-string 'g=@x;y'",
    "-F 'a={};type=application/json' -F 'b=x;type=text/plain; charset=utf-8' -F 'c=1;headers=\"X-Y: z\"'",
    "-F 'f=@{file};type=a/b' -F 'g=@\"{file}\";filename=other.txt' -F 'h=<{file};type=c/d' "
    "-F 'i=@{file};filename=\"q;r\"'",
    "-F 'a=\"open' -F 'b==x' -F 'c='",
]


@needs_curl
def test_curl_sends_the_form_that_its_command_says(recorder: Recorder, tmp_path: Path):
    (tmp_path / "up load.txt").write_text("file")
    commands = [f"curl {form.replace('{file}', str(tmp_path / 'up load.txt'))} {recorder.url}" for form in FORMS]
    sent = sent_by_curl(words_of(commands, tmp_path), recorder)
    assert len(sent) == len(commands)
    for command, theirs in zip(commands, sent):
        request = httpx.Request.from_curl(command, files=True)
        request.read()
        assert parts_of(sent_by_us(request)) == parts_of(theirs), command


def parts_of(sent: Any) -> list[Any]:
    kind = dict(sent.fields)[b"Content-Type"]
    boundary = b"--" + kind.partition(b"boundary=")[2]
    heads_and_contents = [part.strip(b"\r\n").partition(b"\r\n\r\n") for part in sent.body.split(boundary)[1:-1]]
    return [(sorted(head.split(b"\r\n")), content) for head, _, content in heads_and_contents]
