"""`httpx run`: the requests of a file, sent by the command, to the echo server and to peers with a script."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

import httpx
from httpx._cli import exits
from httpx._cli.echo_server import EchoServer

pytest.importorskip("click")

# After the line above, because they import click.
from httpx._cli import run_file
from httpx._cli.command import run
from support.commands import Done

SOURCE = Path(__file__).parent.parent / "src"


class Files:
    """A folder with a file of requests, and the command that runs it."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[bytes], server: EchoServer) -> None:
        self.folder = folder
        self._capture = capture
        self._url = server.url

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_bytes(text.encode("utf-8"))

    def run(self, text: str, *argv: str, shown: Optional[str] = "b") -> Done:
        self.write("a.http", f"@host = {self._url}\n{text}")
        words = [] if shown is None else ["--print", shown]
        code = run(["run", "a.http", *argv, *words])
        out, err = self._capture.readouterr()
        return Done(code, out.decode(), err.decode())


@pytest.fixture
def files(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    echo_server: EchoServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Files:
    monkeypatch.chdir(tmp_path)
    return Files(tmp_path, capfdbinary, echo_server)


CHAIN = """
### login
POST {{host}}/anything
Content-Type: application/json

{"token": "s3cret", "id": 7}

### profile
GET {{host}}/anything
    ?id={{login.response.body.$.json.id}}
Authorization: Bearer {{login.response.body.$.json.token}}
X-Type: {{login.response.headers.Content-Type}}
"""


def test_one_request_is_like_its_url(files: Files):
    done = files.run("GET {{host}}/anything?a=1\nX-Id: 7")
    assert done.code == exits.OK
    assert done.err == ""
    (body,) = done.bodies
    assert (body["method"], body["args"], body["headers"]["X-Id"]) == ("GET", {"a": "1"}, "7")


def test_all_requests_are_sent_in_order(files: Files):
    done = files.run(CHAIN)
    assert done.code == exits.OK
    login, profile = done.bodies
    assert login["json"] == {"token": "s3cret", "id": 7}
    assert profile["args"] == {"id": "7"}
    assert profile["headers"]["Authorization"] == "Bearer s3cret"
    assert profile["headers"]["X-Type"] == "application/json"
    assert done.err == (
        "### login: POST {{host}}/anything\n"
        "### profile: GET {{host}}/anything?id={{login.response.body.$.json.id}}\n"
        "httpx: 2 requests, 0 failed\n"
    )


def test_a_request_sends_what_it_needs_before_it_and_shows_itself_only(files: Files):
    done = files.run(CHAIN, "profile")
    assert [body["method"] for body in done.bodies] == ["GET"]
    assert done.err == ""


def test_names_and_numbers_choose_requests_in_the_order_given(files: Files):
    done = files.run(CHAIN, "2", "login")
    assert [body["method"] for body in done.bodies] == ["GET", "POST"]
    refused = files.run(CHAIN, "3")
    assert refused.code == exits.USAGE
    assert "'a.http' has no request '3': 'httpx run a.http --list' shows their names" in refused.err


def test_the_list_has_names_and_variables_as_written(files: Files):
    done = files.run(CHAIN + "\n###\nGET {{host}}/", "--list", shown=None)
    assert done.code == exits.OK
    assert done.out.splitlines() == [
        "  1  login    POST {{host}}/anything",
        "  2  profile  GET {{host}}/anything?id={{login.response.body.$.json.id}}",
        "  3  -        GET {{host}}/",
    ]


def test_requests_share_connections_and_cookies(files: Files):
    text = (
        "GET {{host}}/cookies/set?a=1\n###\nGET {{host}}/cookies\n"
        "###\n# @no-cookie-jar\nGET {{host}}/cookies\n"
        "###\n# @no-redirect\nGET {{host}}/redirect/1\n# @expect status 302"
    )
    done = files.run(text, "-w", "%{num_connects}\\n", shown="")
    assert done.out.split() == ["1", "0", "0", "0"]
    assert done.code == exits.OK
    assert [body.get("cookies") for body in files.run(text, "2", "1", "2", "3").bodies] == [
        {},
        {"a": "1"},
        {"a": "1"},
        {},
    ]


def test_options_are_for_each_request(files: Files):
    done = files.run(CHAIN, "-h", "X-Type", "mine", "-p", "q", "2")
    login, profile = done.bodies
    assert login["headers"]["X-Type"] == profile["headers"]["X-Type"] == "mine"
    assert login["args"]["q"] == profile["args"]["q"] == "2"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["-c", "x"], "--content cannot be used with a file of requests"),
        (["--from-har", "x"], "--from-har cannot be used"),
        (["-m", "PUT"], "--method cannot be used"),
        (["-o", "x"], "--output takes the body of one request: name one"),
        (["--var", "x"], "--var must be NAME=VALUE, got 'x'"),
        (["--env", "x"], "--env: the environment 'x' is not known: there are none beside the file"),
    ],
)
def test_options_that_make_no_sense_are_refused(files: Files, option: list[str], message: str):
    done = files.run(CHAIN, *option)
    assert done.code == exits.USAGE
    assert message in done.err


def test_a_request_can_be_shown_without_being_sent(files: Files):
    done = files.run(CHAIN, "login", "--offline", shown="HB")
    assert done.code == exits.OK
    assert done.out.startswith("POST /anything HTTP/1.1\n")
    assert done.out.rstrip().endswith('{"token": "s3cret", "id": 7}')
    done = files.run(CHAIN, "--curl")
    assert done.code == exits.USAGE
    assert done.out.startswith("curl ")
    assert "s3cret" not in done.out
    assert "the request 'login' is not sent with --offline and --curl" in done.err


def test_the_body_of_one_request_can_be_saved(files: Files):
    done = files.run(CHAIN, "profile", "-o", "saved.json", shown=None)
    assert (done.code, done.out) == (exits.OK, "")
    assert json.loads((files.folder / "saved.json").read_text())["args"] == {"id": "7"}


# Bodies.


def test_a_form_over_several_lines_is_one(files: Files):
    text = "POST {{host}}/anything\nContent-Type: application/x-www-form-urlencoded\n\n"
    done = files.run(text + "name=Änn X\n&city=K%C3%B6ln&\nb=1&c=2\n")
    assert done.bodies[0]["form"] == {"name": "Änn X", "city": "Köln", "b": "1", "c": "2"}


def test_a_body_may_be_a_file(files: Files):
    files.write("body.bin", "{{host}}\0")
    (body,) = files.run("POST {{host}}/anything\nContent-Type: text/plain\n\n< ./body.bin").bodies
    assert (body["data"], body["headers"]["Content-Type"]) == ("{{host}}\0", "text/plain")


def test_variables_in_a_file_are_expanded_if_that_is_asked_for(files: Files):
    (files.folder / "body.txt").write_bytes(b"{{who}} \xe9")
    (body,) = files.run(
        "@who = Ann\nPOST {{host}}/anything\n\nfirst\n<@latin1 {{which}}.txt\nlast", "--var", "which=body"
    ).bodies
    assert body["data"] == "first\nAnn é\nlast"


def test_multipart_has_the_line_breaks_it_needs(files: Files):
    files.write("part.txt", "one\ntwo\n")
    text = (
        "POST {{host}}/anything\nContent-Type: multipart/form-data; boundary=b\n\n"
        '--b\nContent-Disposition: form-data; name="a"\n\n1\n'
        '--b\nContent-Disposition: form-data; name="f"; filename="p.txt"\n\n< part.txt\n--b--\n'
    )
    (body,) = files.run(text).bodies
    assert body["form"] == {"a": "1"}
    assert body["files"] == {"f": "one\ntwo\n"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("< no.txt", "a.http:4: there is no file"),
        ("<@ bad.txt", "bad.txt' is not utf-8 text"),
        ("<@nothing bad.txt", "bad.txt' is not nothing text"),
        ("x\n< {{no}}", "a.http:5: the variable 'no' is not defined"),
        ("\n###\nPOST {{host}}/\nX-Request-Type: GraphQL", "a.http:7: GraphQL is not supported"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_with_its_line(files: Files, line: str, message: str):
    (files.folder / "bad.txt").write_bytes(b"\xff")
    done = files.run(f"POST {{{{host}}}}/anything\n\n{line}\n\n###\nGET {{{{host}}}}/get")
    assert done.code == exits.USAGE
    assert message in done.err
    assert ", 1 failed" in done.err  # the other one is sent


# The head.


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic ann s3cret", "Basic YW5uOnMzY3JldA=="),
        ("Basic ann:s3cret", "Basic YW5uOnMzY3JldA=="),
        ("Basic YW5uOnMzY3JldA==", "Basic YW5uOnMzY3JldA=="),
        ("Bearer a b", "Bearer a b"),
        ("Bearer a:b", "Bearer a:b"),
        ("token", "token"),
    ],
)
def test_basic_credentials_are_encoded(files: Files, value: str, expected: str):
    (body,) = files.run(f"GET {{{{host}}}}/anything\nAuthorization: {value}").bodies
    assert body["headers"]["Authorization"] == expected


def test_digest_credentials_respond_to_the_challenge(files: Files):
    for value in ("ann s3cret", "ann:s3cret"):
        done = files.run(f"GET {{{{host}}}}/digest-auth/auth/ann/s3cret\nAuthorization: Digest {value}")
        assert done.code == exits.OK


def test_the_host_may_be_a_field(files: Files, echo_server: EchoServer):
    (body,) = files.run(f"GET /anything?a=1\nHost: 127.0.0.1:{echo_server.port}").bodies
    assert body["args"] == {"a": "1"}


def test_redirects_are_followed_unless_the_file_says_no(files: Files):
    assert files.run("GET {{host}}/redirect/1", shown="h").out.startswith("HTTP/1.1 200")
    assert files.run("# @no-redirect\nGET {{host}}/redirect/1", "--max-redirects", "3", shown="h").out.startswith(
        "HTTP/1.1 302"
    )


def test_a_timeout_is_that_of_its_request(files: Files):
    done = files.run("# @timeout 50 ms\nGET {{host}}/delay/5\n###\nGET {{host}}/get", shown="")
    assert done.code == exits.TIMED_OUT
    assert "httpx: a.http:3: ReadTimeout: " in done.err
    refused = files.run("# @timeout soon\nGET {{host}}/get")
    assert "a.http:2: '@timeout' must be a time such as 10 s or 500 ms" in refused.err


@pytest.mark.parametrize(
    ("version", "expected"), [("1.1", None), ("2", "2"), ("2 (Prior Knowledge)", "2-prior-knowledge")]
)
def test_the_version_is_that_of_the_request_line(version: str, expected: Optional[str]):
    from httpx._cli.http_file import parse
    from httpx._cli.parser import parse as parse_options

    with parse_options(["a.http"]) as context:
        options = context.params
        content = parse(f"GET http://a/ HTTP/{version}", "a.http")
        made = run_file.Runner(options, "a.http", content)._options_of(content.requests[0], quiet=False)
    assert made["http_version"] == expected


# Variables.


def test_an_environment_has_a_private_part(files: Files):
    files.write("http-client.env.json", '{"dev": {"name": "public", "path": "anything"}, "prod": {}}')
    files.write("http-client.private.env.json", '\ufeff{"dev": {"name": "private"}}')
    text = "GET {{host}}/{{path}}?name={{name}}&x={{x}}"
    done = files.run(text, "--env", "dev", "--var", "x=a b")
    assert done.bodies[0]["args"] == {"name": "private", "x": "a b"}
    missing = files.run(text)
    assert missing.code == exits.USAGE
    assert "a.http:2: the variable 'path' is not defined; --env NAME uses an environment" in missing.err
    unknown = files.run(text, "--env", "test")
    assert "--env: the environment 'test' is not known: expected one of dev, prod" in unknown.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dev": s3cret}', "is not valid JSON in line 1"),
        ("[]", "must be an object"),
        ("[" * 99999, "is not valid JSON"),
    ],
)
def test_a_broken_environment_is_told_without_its_text(files: Files, text: str, message: str):
    files.write("http-client.private.env.json", text)
    done = files.run("GET {{host}}/", "--env", "dev")
    assert done.code == exits.USAGE
    assert message in done.err
    assert "s3cret" not in done.err


def test_secrets_come_from_the_shell_and_dotenv_and_are_never_shown(files: Files, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_KEY", "s3cret-1")
    files.write(".env", "TOKEN=s3cret-2\n")
    text = (
        "@key = {{$processEnv API_KEY}}\nGET {{host}}/status/404?key={{key}}\nX-Token: {{$dotenv TOKEN}}\n"
        "# @expect header X-Key == {{key}}\n# @expect status 200\n###\nGET http://127.0.0.1:1/?a={{key}}"
    )
    done = files.run(text, "--print", "b", shown=None)
    assert done.code == exits.UNEXPECTED
    assert "expected header X-Key == {{key}}, but there is no such header" in done.err
    assert "ConnectError" in done.err
    assert "s3cret" not in done.out + done.err


def test_no_dotenv_has_no_variables(files: Files):
    assert "'A' is not set" in files.run("GET {{host}}/{{$dotenv A}}").err


def test_local_time_is_that_of_the_machine(files: Files):
    (body,) = files.run("GET {{host}}/anything?t={{$localDatetime iso8601}}").bodies
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", body["args"]["t"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "there is no request 'nothing'"),
        ("me", "the request 'me' waits for itself"),
        ("refused", "the request 'refused' has no response"),
    ],
)
def test_a_response_that_cannot_be_had_is_told(files: Files, name: str, message: str):
    text = f"### me\nGET {{{{host}}}}/?{{{{{name}.response.status}}}}\n### refused\nGET http://127.0.0.1:1/"
    done = files.run(text, "me")
    assert message in done.err
    assert done.code == exits.USAGE


def test_a_request_may_have_its_own_fields_read_later(files: Files):
    text = "### a\nPOST {{host}}/anything\nX-A: b\n\nbody\n### b\nPOST {{host}}/anything\n\n"
    files.write("t.txt", "{{a.request.headers.x-a}} {{a.request.body}} {{a.response.status}}")
    assert files.run(text + "<@ t.txt", "b").bodies[0]["data"] == "b body 200"
    files.write("up.txt", "up")
    text = "### a\nPOST {{host}}/anything\n\n< up.txt\n### b\nGET {{host}}/anything?x={{a.response.body.$.data}}"
    assert files.run(text, "b").bodies[0]["args"] == {"x": "up"}


# Expectations.


def test_expectations_that_are_met_make_a_success(files: Files):
    text = "GET {{host}}/status/404\n# @expect status 404\n# @expect header Server\n# @expect time < 60 s"
    done = files.run(text)
    assert (done.code, done.out) == (exits.OK, "")
    assert "expected" not in done.err


def test_a_status_that_is_expected_is_not_told_as_an_error(files: Files):
    """In a pipe, a line on standard error named the 404 that a request was there to get."""
    expected = files.run("GET {{host}}/status/404\n# @expect status 4xx\n# @expect status != 403")
    assert (expected.code, expected.err) == (exits.OK, "")
    assert files.run("GET {{host}}/status/404\n# @expect status 404", "-w", "%{exitcode}").out == "0"
    unmet = files.run("GET {{host}}/status/404\n# @expect status 404\n# @expect status < 400")
    assert unmet.code == exits.UNEXPECTED
    assert unmet.err.startswith("httpx: 404 Not Found\n")
    other = files.run("GET {{host}}/status/404\n# @expect header Server")
    assert (other.code, other.err) == (exits.CLIENT_ERROR, "httpx: 404 Not Found\n")


def test_the_body_of_a_status_that_is_expected_is_saved(files: Files):
    """It needed --no-fail."""
    url = "GET {{host}}/status/404\n"
    done = files.run(url + "# @expect status 404", "-o", "body", shown=None)
    assert (done.code, done.err, (files.folder / "body").exists()) == (exits.OK, "", True)
    (files.folder / "body").write_text("good")
    for status, code in (("200", exits.CLIENT_ERROR), ("!= 503", exits.OK)):
        done = files.run(url + f"# @expect status {status}", "-o", "body", shown=None)
        assert done.code == code
        assert ((files.folder / "body").read_text() == "good") is (status == "200")
    (files.folder / "body").write_text("good")
    done = files.run("GET {{host}}/status/304\n# @expect status 304", "-o", "body", shown=None)
    assert done.code == exits.OK
    assert (files.folder / "body").read_text() == "good"


def test_an_expectation_that_is_not_met_has_a_code_of_its_own(files: Files):
    done = files.run(
        "GET {{host}}/get\n# @expect status 201\n# @expect body.$.args == {}\n###\nGET {{host}}/status/503", shown=""
    )
    assert done.code == exits.UNEXPECTED
    assert "httpx: a.http:3: expected status 201, got 200\n" in done.err
    assert "a.http:4" not in done.err
    assert "2 requests, 2 failed" in done.err


def test_without_an_expectation_about_the_status_it_counts(files: Files):
    assert files.run("GET {{host}}/status/404\n# @expect header Server").code == exits.CLIENT_ERROR
    assert files.run("GET {{host}}/status/503\n###\nGET {{host}}/status/404").code == exits.SERVER_ERROR


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# @expect nothing", "a.http:3: invalid '@expect': expected status"),
        ("# @expect status {{x}}", "a.http:3: the variable 'x'"),
    ],
)
def test_an_invalid_expectation_is_known_before_anything_is_sent(files: Files, text: str, message: str):
    done = files.run(f"GET {{{{host}}}}/get\n{text}")
    assert (done.code, done.out) == (exits.USAGE, "")
    assert message in done.err


def test_scripts_and_unknown_directives_are_told_for_the_requests_that_are_sent(files: Files):
    text = "### a\n# @todo x\nGET {{host}}/status/200\n> {% client.test() %}\n### b\n< x.js\nGET {{host}}/status/200"
    done = files.run(text, "a")
    assert done.code == exits.OK
    assert done.err == (
        "httpx: a.http:3: the directive '@todo' is unknown, and has no effect\n"
        "httpx: a.http:5: JavaScript is not run: write '# @expect ...' to check the response\n"
    )
    assert "a.http:7: the script is not run" in files.run(text, "b").err


# The file.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory: 'b.http'"),
        (b"\xff", "'b.http' is not UTF-8 text"),
        (b"GET http://a/\nx", "b.http:2: expected a header field such as"),
        (b"# nothing\n", "'b.http' has no requests"),
        (b"x" * 2001, "'b.http' has more than 0 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(
    files: Files,
    content: Optional[bytes],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
):
    monkeypatch.setattr(run_file, "MAX_FILE", 2000)
    if content is not None:
        (files.folder / "b.http").write_bytes(content)
    assert run(["run", "b.http"]) == exits.USAGE
    assert message in capfdbinary.readouterr().err.decode()


def test_run_needs_a_file(capfdbinary: pytest.CaptureFixture[bytes]):
    assert run(["run", "-v"]) == exits.USAGE
    assert b"the file is missing: httpx run FILE.http [NAME ...]" in capfdbinary.readouterr().err


def test_run_in_capitals_is_a_method(echo_server: EchoServer, capfdbinary: pytest.CaptureFixture[bytes]):
    assert run(["RUN", f"{echo_server.url}/anything", "--offline", "--print", "H"]) == exits.OK
    assert capfdbinary.readouterr().out.startswith(b"RUN /anything HTTP/1.1")


def test_help_has_the_way_to_run_a_file(capfdbinary: pytest.CaptureFixture[bytes]):
    assert run(["run", "--help"]) == exits.OK
    assert b"httpx run FILE.http [NAME ...] [OPTIONS]" in capfdbinary.readouterr().out


def test_an_invalid_request_does_not_stop_the_others(files: Files):
    text = "GET {{host}}/get\nX-A: {{bad}}\n###\nGET http://[/\n###\nGET {{host}}/get"
    done = files.run(text, "--var", "bad=a\rb", shown="")
    assert done.code == exits.USAGE
    assert "httpx: 3 requests, 2 failed" in done.err


def test_what_fails_after_the_response_or_before_the_request_has_its_code(files: Files):
    done = files.run("GET {{host}}/get", "-o", "saved", "--check-digest", "sha256:" + "0" * 64, shown=None)
    assert done.code == exits.OTHER_DIGEST
    assert done.err.startswith("httpx: a.http:2: ")
    done = files.run("GET {{host}}/get", shown="x")
    assert done.code == exits.USAGE
    assert "httpx: a.http:2: --print must have only the letters" in done.err


def test_surrogates_of_a_peer_or_the_command_line_break_nothing(files: Files):
    """A response with half of a surrogate pair in its JSON ended the run with a traceback."""
    text = "@half = {{a.response.body.$.json.x}}\n### a\nPOST {{host}}/anything\n\n" + '{"x": "\\ud800"}\n'
    assert "?" in files.run(text + "### b\nPOST {{host}}/anything\n\n{{half}}", "b").bodies[0]["data"]
    form = "### b\nPOST {{host}}/anything\nContent-Type: application/x-www-form-urlencoded\n\na={{half}}"
    assert files.run(text + form, "b").bodies[0]["form"] == {"a": "?"}
    for line in ("GET {{host}}/{{half}}", "GET {{host}}/\nX-A: {{half}}", "GET http://{{half}}/"):
        done = files.run(f"{text}### b\n{line}", "b")
        assert "Traceback" not in done.err
    (body,) = files.run("POST {{host}}/anything\n\n{{raw}}", "--var", "raw=\udce9").bodies
    assert body["data"]


def test_an_application_in_this_process_may_print(files: Files):
    files.write(
        "noisy.py",
        "def app(environ, start_response):\n"
        "    print('printed')\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['PATH_INFO'].encode()]\n",
    )
    done = files.run("GET /a\n###\nGET /b", "--app", "noisy:app")
    assert (done.code, done.out) == (exits.OK, "/a/b")
    assert done.err.count("printed") == 2


def test_a_body_that_was_streamed_is_not_kept():
    assert run_file._content_of(httpx.Request("POST", "http://a/", content=iter([b"x"]))) == ""


def test_a_part_that_cannot_be_opened_is_told(files: Files, monkeypatch: pytest.MonkeyPatch):
    (files.folder / "folder").mkdir()
    monkeypatch.setattr(os.path, "isfile", lambda path: True)
    assert "a.http:5: " in files.run("POST {{host}}/anything\n\nx\n< folder").err


def test_digest_of_a_retried_request_keeps_what_was_sent_first(files: Files):
    text = "### a\nGET {{host}}/digest-auth/auth/ann/s3cret\nAuthorization: Digest ann s3cret\nX-A: b\n"
    done = files.run(text + "### b\nGET {{host}}/anything?x={{a.request.headers.X-A}}", "b")
    assert done.bodies[0]["args"] == {"x": "b"}


def test_requests_can_be_recorded(files: Files):
    done = files.run(CHAIN, "profile", "--har", "run.har")
    assert done.code == exits.OK
    login, profile = json.loads((files.folder / "run.har").read_text())["log"]["entries"]
    assert login["request"]["postData"]["text"] == '{"token": "***", "id": 7}'
    assert {"name": "Authorization", "value": "Bearer ***"} in profile["request"]["headers"]
    assert "s3cret" not in (files.folder / "run.har").read_text()


def loaded_by(*argv: str) -> set[str]:
    code = (
        "import sys; from httpx._cli.command import run; code = run(sys.argv[1:]); "
        "print('LOADED', *[n for n in sys.modules if n.startswith('httpx._cli.')], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    return set(done.stderr.decode().partition("LOADED ")[2].split())


def test_the_help_and_a_get_load_nothing_of_it(echo_server: EchoServer):
    parts = ("run_file", "http_file", "http_variables", "json_path", "expectations", "har", "recording")
    ours = {f"httpx._cli.{name}" for name in parts}
    for argv in (["--help"], [f"{echo_server.url}/get"]):
        loaded = loaded_by(*argv)
        assert "httpx._cli.screen" in loaded
        assert not loaded & ours


def test_the_command_runs_a_file(tmp_path: Path, echo_server: EchoServer):
    """The whole way: a process of its own, as the page shows it."""
    page = (Path(__file__).parent.parent / "docs" / "command-line-reference.md").read_text(encoding="utf-8")
    example = page.partition("```http\n")[2].partition("```")[0]
    (tmp_path / "api.http").write_text(example.replace("http://localhost:8000", echo_server.url), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "httpx", "run", "api.http", "profile", "--print", "b"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (exits.OK, b"")
    body = json.loads(done.stdout)
    assert body["args"] == {"page": "1", "size": "10"}
    assert re.fullmatch(r"Bearer [0-9a-f-]{36}", body["headers"]["Authorization"])
