"""`--app`: which application a notation means, and that a request reaches it without a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

click = pytest.importorskip("click")

# Behind the line above, because they import click.
from httpx._cli import exits  # noqa: E402
from httpx._cli.apps import show_traceback  # noqa: E402
from httpx._cli.command import run  # noqa: E402

Capture = pytest.CaptureFixture[bytes]

SOURCE = """
import functools, json


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("201 Created", [("Content-Type", "application/json")])
    return [json.dumps([environ["REQUEST_METHOD"], environ["PATH_INFO"], body.decode()]).encode()]


async def answer(send, value):
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def asgi(scope, receive, send):
    assert scope["type"] == "http"  # knows nothing of lifespan
    message = await receive()
    await answer(send, [scope["method"], scope["path"], message["body"].decode()])


def wrapped(scope, receive, send):
    return asgi(scope, receive, send)


class Live:
    told = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                self.told.append(message["type"])
                await send({"type": message["type"] + ".complete"})
                if message["type"].endswith("shutdown"):
                    with open("told", "w") as file:
                        json.dump(self.told, file)
                    return
        await receive()
        await answer(send, [scope["method"], scope["path"], " ".join(self.told)])


class Group:
    inner = Live()


def make(broken=False):
    return functools.partial(asgi)


async def failing(scope, receive, send):
    await receive()
    raise RuntimeError("startup went wrong")


def broken(environ, start_response):
    open("no/such/file")


def talking(environ, start_response):
    print("called")
    start_response("200 OK", [])
    return [b"[]"]


thing = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the module `shop_app`."""
    (tmp_path / "shop_app.py").write_text(SOURCE)
    (tmp_path / "half_app.py").write_text("import no_such_module_anywhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop_app", raising=False)
    return tmp_path


def answered(capture: Capture, *argv: str) -> Any:
    assert run([*argv, "-i"]) == exits.OK
    head, _, body = capture.readouterr().out.partition(b"\n\n")
    assert b" 201" in head.splitlines()[0]
    return json.loads(body)


@pytest.mark.parametrize("name", ["wsgi", "asgi", "wrapped", "make()"])
def test_an_application_gets_the_request(folder: Path, capfdbinary: Capture, name: str):
    assert answered(capfdbinary, "PUT", "/shelf/1", "-c", "book", "--app", f"shop_app:{name}") == [
        *("PUT", "/shelf/1", "book")
    ]


def test_the_lifespan_of_an_application_is_run(folder: Path, capfdbinary: Capture):
    sent = answered(capfdbinary, "/x", "--app", "shop_app:Group.inner")
    assert sent == ["GET", "/x", "lifespan.startup"]
    assert json.loads((folder / "told").read_text()) == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("name", ["wsgi", "asgi"])
def test_a_request_to_an_application_can_be_watched(folder: Path, capfdbinary: Capture, name: str):
    assert run(["/shelf", "-c", "book", "--app", f"shop_app:{name}", "-v", "--timings"]) == exits.OK
    captured = capfdbinary.readouterr()
    assert captured.out.startswith(b"POST /shelf HTTP/1.1\nHost: localhost\n")
    assert b"\n\nbook\n\nHTTP/1.1 201\n" in captured.out
    assert captured.err.startswith(b"POST http://localhost/shelf  201  ")
    assert b"\n  wait " in captured.err


def test_the_traceback_of_an_application_begins_in_it(folder: Path, capfdbinary: Capture):
    """It began with a dozen calls of the client and the transport, which are not what went wrong."""
    for name in ("failing", "broken"):
        assert run(["/x", f"--app=shop_app:{name}"]) == exits.FAILED
        lines = capfdbinary.readouterr().err.decode().splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert f'{folder / "shop_app.py"}", line ' in lines[1]
        assert lines[-1].startswith("RuntimeError: startup" if name == "failing" else "FileNotFoundError: ")


def test_an_error_outside_the_application_is_not_shown_as_its_own():
    assert not show_traceback(RuntimeError())


def test_what_an_application_prints_is_not_its_response(folder: Path, capfdbinary: Capture):
    """A line of debugging output in front of the body spoiled the JSON."""
    assert run(["/x", "--app", "shop_app:talking"]) == exits.OK
    captured = capfdbinary.readouterr()
    assert captured.out == b"[]"
    assert captured.err == b"called\n"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("shop_app", b"MODULE:APP"),
        (":app", b"MODULE:APP"),
        ("no_such_app:app", b"module 'no_such_app' of --app was not found"),
        ("no_such_app.web:app", b"module 'no_such_app.web' of --app was not found"),
        ("shop_app:nothing", b"'nothing' was not found"),
        ("shop_app:thing", b"it cannot be called"),
    ],
)
def test_what_is_no_application_is_told_in_a_line(folder: Path, capfdbinary: Capture, where: str, told: bytes):
    assert run(["/x", "--app", where]) == exits.USAGE
    assert told in capfdbinary.readouterr().err


def test_what_an_application_lacks_itself_is_its_own_error(folder: Path, capfdbinary: Capture):
    assert run(["/x", "--app", "half_app:app"]) == exits.FAILED
    lines = capfdbinary.readouterr().err.decode().splitlines()
    assert 'half_app.py", line 1' in lines[1]
    assert lines[-1] == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
