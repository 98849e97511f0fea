"""Commands of curl, in both directions; where there is a curl, it is asked what a command of ours sends."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._cli import exits
from httpx._cli.curl import from_curl, to_curl
from httpx._cli.echo_server import EchoServer

pytest.importorskip("click")

# Behind the line above, because it imports click.
from httpx._cli.command import run

Capture = pytest.CaptureFixture[bytes]
CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (httpx.Request("GET", "http://a/?b=c&d"), "curl 'http://a/?b=c&d'"),
        (httpx.Request("DELETE", "http://a/"), "curl -X DELETE http://a/"),
        (httpx.Request("HEAD", "http://a/"), "curl -I http://a/"),
        (
            httpx.Request("POST", "http://a/", content=b"it's"),
            """curl -H Content-Type: --data-raw 'it'"'"'s' http://a/""",
        ),
        (
            httpx.Request("PUT", "http://a/", json={"a": 1}),
            "curl -X PUT -H 'Content-Type: application/json' --data-raw '{\"a\":1}' http://a/",
        ),
        (
            httpx.Request("GET", "http://a/", headers={"X-A": "b c", "X-E": ""}),
            "curl -H 'X-A: b c' -H 'X-E;' http://a/",
        ),
        (
            httpx.Request("POST", "http://a/", content=b"\0\xff"),
            "printf %s AP8= | base64 -d | curl -H Content-Type: --data-binary @- http://a/",
        ),
    ],
)
def test_a_request_becomes_a_command(request_: httpx.Request, command: str):
    assert to_curl(request_) == command


def test_secrets_are_hidden_unless_they_are_asked_for():
    headers = {"Authorization": "Bearer secret1", "Cookie": "a=secret2", "Proxy-Authorization": "secret3"}
    request = httpx.Request("GET", "http://ann:secret4@a/", headers=headers)
    options = {"proxy": "http://u:secret5@b:80"}
    masked = to_curl(request, options=options)
    assert "secret" not in masked
    assert "Authorization: Bearer ***" in masked
    shown = to_curl(request, mask=False, options=options)
    assert all(f"secret{number}" in shown for number in range(1, 6))


def test_options_about_the_connection_are_taken_along(capfdbinary: Capture):
    argv = [
        *("a.invalid/x", "--curl", "--follow-redirects", "--max-redirects", "3", "--no-verify", "--max-time", "1.5"),
        *(
            "--http-version",
            "2-prior-knowledge",
            "-4",
            "--proxy",
            "http://u:pw@b:1",
            "-o",
            "file",
            "--resolve",
            "a:1:::1",
        ),
    ]
    assert run(argv) == exits.OK
    assert capfdbinary.readouterr().out.decode() == (
        "curl -L --max-redirs 3 -k --http2-prior-knowledge -4 -x 'http://***@b:1' -f -m 1.5 -o file --resolve a:1:::1 "
        "https://a.invalid/x\n"
    )


def test_the_password_is_in_the_command_only_if_it_is_asked_for(capfdbinary: Capture):
    argv = ["a.invalid", "--auth", "ann", "pw", "--curl"]
    assert run(argv) == exits.OK
    assert capfdbinary.readouterr().out == b"curl -H 'Authorization: Basic ***' https://a.invalid\n"
    assert run([*argv, "--with-secrets"]) == exits.OK
    assert b"YW5uOnB3" in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("curl http://a/", "http://a/"),
        ("curl a.b/c", "http://a.b/c"),
        ("/usr/bin/curl --url http://a/", "http://a/"),
        ("curl -sSL -XPOST http://a/", "--follow-redirects -m POST http://a/"),
        (
            "curl -H 'X-A: b' -H'X-B:c' -H 'Accept:' -H 'X-C;' http://a/",
            "-h X-A b -h X-B c -h X-C '' http://a/ Accept:",
        ),
        (
            "curl -d a=1 --data b=2 http://a/",
            "-c 'a=1&b=2' -h Content-Type application/x-www-form-urlencoded http://a/",
        ),
        ("curl -G -d a=1 -d b=2 http://a/", "'http://a/?a=1&b=2'"),
        ("curl -G -d b=2 http://a/?a=1", "'http://a/?a=1&b=2'"),
        ("curl --data-urlencode 'a=b c&' -G http://a/", "'http://a/?a=b+c%26'"),
        ("curl --data-urlencode 'b c' -G http://a/", "'http://a/?b+c'"),
        ("curl --data-raw @x -H 'Content-Type: a/b' http://a/", "-c @x -h Content-Type a/b http://a/"),
        ("curl --json '{}' http://a/", "-c '{}' -h Accept application/json -h Content-Type application/json http://a/"),
        (
            "curl -F a=1 -F 'b=@x;type=text/plain' -F 'c=<y' a.b",
            "--multipart http://a.b a=1 'b@x;type=text/plain' c=@y",
        ),
        ("curl --form-string 'a:b=@x' http://a/", "--multipart http://a/ 'a\\:b=\\@x'"),
        ("curl -u ann:p:w http://a/", "--auth ann p:w http://a/"),
        ("curl --digest -u ann http://a/", "--auth ann - --digest http://a/"),
        ("curl -b 'a=b; c=d' -A me -e you http://a/", "-h User-Agent me -h Referer you -h Cookie 'a=b; c=d' http://a/"),
        (
            "curl -k -x http://p -m 3 --connect-timeout 2 --http1.1 -I http://a/",
            "--no-verify --proxy http://p --max-time 3 --timeout 2 --http-version 1.1 -m HEAD http://a/",
        ),
        ("$ curl -b a=b -b c=d http://a/", "-h Cookie 'a=b; c=d' http://a/"),
        (
            "curl --json '{' --json '}' -H 'accept: x/y' http://a/",
            "-c '{}' -h accept x/y -h Content-Type application/json http://a/",
        ),
        ("curl -r 0-9 -OJ --tlsv1.2 http://a/", "--download . --no-fail -h Range bytes=0-9 http://a/"),
        (
            'curl ^"http://a/?b=c^&d=e^" ^\n  -X ^"PUT^" ^\n  -H ^"X-A: b^" ^\n  --data-raw ^"^{^\\^"a^\\^":1^}^"',
            "-c '{\"a\":1}' -h X-A b -h Content-Type application/x-www-form-urlencoded -m PUT 'http://a/?b=c&d=e'",
        ),
        ("curl -o f -O -N -v -4 -6 http://a/", "-o f --download . --stream -v -4 -6 --no-fail http://a/"),
        ("curl -f -o f -i http://a/", "-o f -i http://a/"),
        ("curl --fail-with-body -o f http://a/", "-o f --no-fail http://a/"),
        ("curl --compressed -s \\\n  -X 'PUT' \\\r\n http://a/", "-m PUT http://a/"),
        (
            "curl --data-raw $'it\\'s\\n\\u00e9\\x41' http://a/",
            "-c 'it'\"'\"'s\néA' -h Content-Type application/x-www-form-urlencoded http://a/",
        ),
        ("curl 'http://{a,b}/[1-3]' -f -o '#1'", "-o '#1' 'http://{a,b}/[1-3]'"),
        ("curl -g 'http://a/[1-3]'", "--globoff 'http://a/[1-3]'"),
        ("curl -g 'http://[::1]/{id}'", "'http://[::1]/{id}'"),
        ("curl -G -d 'q=[1-3]' http://a/", "--globoff 'http://a/?q=[1-3]'"),
        (
            (
                "curl --cert c.pem:pw --key k --cacert ca --capath cas --unix-socket s --retry 2 --resolve "
                "a:1:b -w x --oauth2-bearer t --http2 http://a/"
            ),
            (
                "--cert c.pem --cert-key k --ca ca --ca cas --unix-socket s --retry 2 --resolve a:1:b -w x "
                "--http2 --bearer t http://a/"
            ),
        ),
    ],
)
def test_a_command_becomes_our_arguments(command: str, arguments: str):
    assert from_curl(command) == shlex.split(arguments)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("curl", "one URL"),
        ("curl http://a/ http://b/", "one URL, got 2"),
        ("curl --ftp-pasv http://a/", "--ftp-pasv cannot be converted"),
        ("curl -Q x http://a/", "-Q cannot be converted"),
        ("curl http://a/ -H", "-H lacks its value"),
        ("curl 'http://a/", "a quote"),
        ("curl -b jar http://a/", "--session"),
        ("curl --request-target x http://a/", "--request-target"),
        ("curl 'http://a/{id}'", "several requests of '{id}'"),
        ("curl 'http://a/[1-3]{id}'", "several requests of '{id}'"),
        ("curl 'http://a/\\[1-3]'", "several requests"),
        ("curl 'http://a/[3-1]'", "goes down"),
        ("curl -G -d 'q=[1-3]' 'http://a/[1-3]'", "patterns in the URL only"),
        ("curl --connect-to ::b: http://a/", "--connect-to cannot be converted"),
        ("curl -F 'a=b;type=c/d' http://a/", "of a text"),
        ("curl -d @- http://a/", "standard input"),
        ("curl http://a/ | jq .", "the shell's '\\|'"),
        ('curl -H "X: $TOKEN" http://a/', "the shell's \\$TOKEN"),
        ("curl -F x http://a/", "NAME=VALUE"),
    ],
)
def test_what_cannot_be_taken_over_is_told(command: str, message: str):
    with pytest.raises(ValueError, match=message):
        from_curl(command)


def test_bodies_come_from_files_as_curl_reads_them(tmp_path: Path):
    path = tmp_path / "body"
    path.write_bytes(b"a\r\nb\n")
    assert from_curl(f"curl -d @{path} http://a/")[1] == "ab"
    assert from_curl(f"curl --data-binary @{path} http://a/")[1] == "a\r\nb\n"
    assert from_curl(f"curl -G --data-urlencode n@{path} http://a/") == ["http://a/?n=a%0D%0Ab%0A"]


def test_a_pasted_command_runs_with_more_options_on_top(echo_server: EchoServer, capfdbinary: Capture):
    command = f"curl -X PATCH -H 'X-A: b' -F 'n=v' {echo_server.url}/anything"
    assert run(["--from-curl", command, "-h", "X-B", "c", "--print", "b"]) == exits.OK
    sent = json.loads(capfdbinary.readouterr().out)
    assert sent["method"] == "PATCH"
    assert sent["form"] == {"n": "v"}
    assert (sent["headers"]["X-A"], sent["headers"]["X-B"]) == ("b", "c")


def test_a_command_that_cannot_be_taken_over_is_bad_usage(capfdbinary: Capture):
    assert run(["--from-curl", "curl --nonsense x"]) == exits.USAGE
    assert b"--nonsense cannot be converted" in capfdbinary.readouterr().err


@CURL
@pytest.mark.parametrize(
    "argv",
    [
        ["/anything?a=b&c='"],
        ["/anything", "name=it's", "n:=[1]", "X-A:b", "X-E;"],
        ["PUT", "/anything", "--form", "a=1 2", "b=ü"],
        ["PATCH", "/anything", "-c", '@text\n"quoted" $HOME `x` \\ é'],
        ["/anything", "--auth", "ann", "s3 cret"],
        ["DELETE", "/anything"],
        ["/anything?a[b]={1,2}", "--globoff"],
        ["/anything", "Accept:", "User-Agent:"],
        ["/anything", "--form", "a= @/;x", 'up@up,load "1".txt;type=text/x', "b@up.bin;filename=other.bin", "c=<d"],
        ["/anything", "--form", "a b=1", "x=y=z", "up@up.bin"],
    ],
)
def test_curl_sends_the_same(
    echo_server: EchoServer, capfdbinary: Capture, argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'up,load "1".txt').write_text("text")
    (tmp_path / "up.bin").write_bytes(b"\0\xff\r\n--")
    argv = [word if not word.startswith("/anything") else echo_server.url + word for word in argv]
    assert run([*argv, "--print", "b"]) == exits.OK
    ours = json.loads(capfdbinary.readouterr().out)
    assert run([*argv, "--curl", "--with-secrets"]) == exits.OK
    command = capfdbinary.readouterr().out.decode()
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=True)
    theirs = json.loads(done.stdout)
    if "multipart/form-data" in ours["headers"].get("Content-Type", ""):
        for name in ("Content-Type", "Content-Length"):  # each has a boundary of its own
            ours["headers"].pop(name), theirs["headers"].pop(name)
    for name in ("Accept-Encoding", "Connection", "User-Agent"):
        ours["headers"].pop(name, None), theirs["headers"].pop(name, None)
    assert theirs == ours


@CURL
def test_curl_sends_bytes_that_are_no_text(echo_server: EchoServer, capfdbinary: Capture, tmp_path: Path):
    (tmp_path / "body").write_bytes(bytes(range(256)))
    argv = [f"{echo_server.url}/upload", f"@{tmp_path / 'body'}", "--curl"]
    assert run(argv) == exits.OK
    command = capfdbinary.readouterr().out.decode()
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=True)
    assert json.loads(done.stdout)["size"] == 256


def round_trip(request: httpx.Request) -> Any:
    return from_curl(to_curl(request, mask=False))


def test_what_we_write_we_can_read():
    request = httpx.Request("PUT", "http://a/?b=c", json={"x": "it's"}, headers={"X-A": "b"})
    assert round_trip(request) == [
        *(
            "-c",
            '{"x":"it\'s"}',
            "-h",
            "X-A",
            "b",
            "-h",
            "Content-Type",
            "application/json",
            "-m",
            "PUT",
            "http://a/?b=c",
        )
    ]
    assert shlex.split(to_curl(request))[0] == "curl"


def test_more_than_credentials_is_secret():
    request = httpx.Request("GET", "http://a/?access_token=secret1&b=c", headers={"X-Api-Key": "secret2"})
    assert to_curl(request) == "curl -H 'X-Api-Key: ***' 'http://a/?access_token=***&b=c'"
    assert "secret1" in to_curl(request, mask=False)
    assert "secret2" in to_curl(request, mask=False)


def test_a_challenge_is_left_to_curl(capfdbinary: Capture):
    argv = ["a.invalid", "--auth", "ann", "pw", "--digest", "--retry", "2", "--download", "--curl"]
    assert run(argv) == exits.OK
    command = capfdbinary.readouterr().out
    assert command == b"curl --digest -u 'ann:***' --retry 2 -f -O -J https://a.invalid\n"


def test_parts_of_a_form_become_options(capfdbinary: Capture, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    argv = ["a.invalid", "a=1", f"up@{tmp_path / 'x.png'}", "--curl"]
    assert run(argv) == exits.OK
    assert capfdbinary.readouterr().out.decode() == (
        f"curl --form-string a=1 -F 'up=@{tmp_path / 'x.png'};type=image/png' https://a.invalid\n"
    )


def test_a_form_that_curl_cannot_make_is_sent_as_it_is():
    request = httpx.Request("POST", "http://a/", files={"a": ("nowhere.txt", b"text")})
    request.read()
    assert "--data-raw" in to_curl(request)
    assert "boundary=" in to_curl(request)


@CURL
@pytest.mark.parametrize(
    "fields",
    [
        ["-F", "a=1", "-F", "a==2", "-F", "b:=3", "--form-string", "c=@x", "--form-string", "d=\\@x"],
        ["-F", "up=@text;type=text/x", "-F", "n=ü", "-F", "inline=<text"],
    ],
)
def test_we_send_the_form_that_curl_sends(
    echo_server: EchoServer,
    capfdbinary: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: list[str],
):
    """A text that begins with "@" would otherwise be taken for a file, and the file sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("one")
    (tmp_path / "x").write_text("private")
    command = ["curl", "-s", *fields, f"{echo_server.url}/anything"]
    theirs = json.loads(subprocess.run(command, capture_output=True, timeout=30, check=True).stdout)
    assert run(["--from-curl", shlex.join(command), "--print", "b"]) == exits.OK
    ours = json.loads(capfdbinary.readouterr().out)
    assert (ours["form"], ours["files"]) == (theirs["form"], theirs["files"])
    assert ours["headers"]["Content-Type"].partition(";")[0] == "multipart/form-data"


def test_a_netrc_file_becomes_a_name_and_a_password(tmp_path: Path):
    (tmp_path / "netrc").write_text("machine a login ann password pw\n")
    assert from_curl(f"curl --netrc-file {tmp_path}/netrc http://a/") == ["--auth", "ann", "pw", "http://a/"]
    assert from_curl(f"curl --netrc-file {tmp_path}/netrc http://b/") == ["http://b/"]
    assert from_curl(f"curl --netrc-file {tmp_path}/netrc --oauth2-bearer t http://a/") == [
        "--bearer",
        "t",
        "http://a/",
    ]


def test_options_that_concern_only_curl_cost_nothing():
    words = "-fsS --tlsv1.3 --ssl-no-revoke --create-dirs -c jar --compressed --fail-with-body"
    assert from_curl(f"curl {words} --location-trusted http://a/") == ["--follow-redirects", "http://a/"]
    assert from_curl("curl --path-as-is http://a/b") == ["http://a/b"]
    assert from_curl("curl -x p --noproxy b http://a/") == ["--proxy", "p", "http://a/"]
    assert from_curl("curl -x p --noproxy a,b http://a/") == ["http://a/"]
    with pytest.raises(ValueError, match="--path-as-is cannot be converted"):
        from_curl("curl --path-as-is http://a/b/../c")


def test_postman_writes_its_own_quotes(tmp_path: Path):
    (tmp_path / "x").write_text("text")
    command = f"""curl --location 'http://a/' --form 'n="v"' --form 'f=@"{tmp_path}/x"'"""
    assert from_curl(command) == ["--follow-redirects", "--multipart", "http://a/", "n=v", f"f@{tmp_path}/x"]


def test_a_file_is_uploaded_as_a_body(tmp_path: Path):
    (tmp_path / "x").write_text("text")
    assert from_curl(f"curl -T {tmp_path}/x http://a/")[:2] == ["-c", "text"]
    assert from_curl(f"curl -T {tmp_path}/x http://a/")[-3:] == ["-m", "PUT", "http://a/x"]


def test_secret_parts_of_a_form_are_hidden():
    request = httpx.Request("POST", "http://a/", files={"token": (None, "secret"), "a": (None, "b")})
    request.read()
    assert to_curl(request) == "curl --form-string 'token=***' --form-string a=b http://a/"
    assert "token=secret" in to_curl(request, mask=False)
    form = httpx.Request("POST", "http://a/", data={"token": "secret"})
    assert to_curl(form).endswith("--data-raw 'token=***' http://a/")


def test_a_form_with_parts_that_are_no_text_is_sent_as_it_is():
    files: Any
    for files in ({"a": (None, b"\xff")}, {"a": (None, "b", "text/plain")}, {'"': (None, "b"), "b": (None, "c")}):
        request = httpx.Request("POST", "http://a/", files=files)
        request.read()
        assert "boundary=" in to_curl(request)
    assert to_curl(httpx.Request("POST", "http://a/", content=b"@-")).endswith("--data-raw @- http://a/")
    request = httpx.Request("HEAD", "http://a/", content=b"a", headers={"Host": "b"})
    assert to_curl(request) == "curl -X HEAD -H 'Host: b' -H Content-Type: --data-raw a http://a/"


def test_secrets_of_a_compressed_body_are_hidden():
    with httpx.Client(compress="gzip") as client:
        request = client.build_request("POST", "http://a/", json={"password": "s3cret", "text": "x" * 2000})
    command = to_curl(request)
    assert '{"password":"***","text":"xxx' in command
    assert "Content-Encoding" not in command
    assert "Content-Encoding: gzip" in to_curl(request, mask=False)


def test_a_missing_file_of_a_curl_command_is_an_invalid_command(capfdbinary: pytest.CaptureFixture[bytes]):
    assert run(["--from-curl", "curl http://a.invalid/ -d @missing"]) == exits.USAGE
    assert b"No such file or directory: 'missing'" in capfdbinary.readouterr().err
