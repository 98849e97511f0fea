"""A WSGI application in place of the network."""

from __future__ import annotations

import gc
import io
import sys
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Callable
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import httpx

App = Callable[[dict[str, Any], Any], Any]
URL = "http://example.org/"


def client_of(app: App, **options: Any) -> httpx.Client:
    return httpx.Client(transport=httpx.WSGITransport(app, **options))


def get(app: App, method: str = "GET", url: str = URL, **options: Any) -> httpx.Response:
    with client_of(app, **options) as client:
        return client.request(method, url)


def answering(body: Any, status: str = "200 OK", headers: Any = ()) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, list(headers))
        return body

    return app


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


class Result:
    """An app's result that notes what happens to it."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.log: list[Any] = []

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.log.append(piece)
            yield piece

    def close(self) -> None:
        self.log.append("closed")


def environ_of(method: str = "GET", url: str = URL, script_name: str = "", **options: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read())
        start_response("204 No Content", [])
        return []

    with client_of(app, script_name=script_name) as client:
        client.request(method, url, **options)
    return seen


# What comes back.


def test_the_app_answers():
    response = get(answering([b"Hello, ", b"World!"], "201 Created", [("X-A", "1"), ("x-a", "2"), ("X-B", "\xe4")]))
    assert (response.status_code, response.content) == (201, b"Hello, World!")
    assert response.headers.raw == [(b"X-A", b"1"), (b"x-a", b"2"), (b"X-B", b"\xe4")]


def test_the_reason_phrase_is_the_usual_one_whatever_the_app_says():
    """As in 0.28.1: Werkzeug says "NOT FOUND", and messages that tests compare have "Not Found"."""
    assert get(answering([], "404 NOT FOUND")).reason_phrase == "Not Found"
    assert get(answering([], "200")).status_code == 200


@pytest.mark.parametrize("body", [[], (), [b""], [b"", b""], iter([])])
def test_an_empty_body_has_a_head_too(body: Any):
    response = get(answering(body))
    assert (response.status_code, response.content) == (200, b"")


def test_a_generator_may_start_the_response_late():
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        yield b""
        start_response("202 Accepted", [])
        yield b"late"

    response = get(app)
    assert (response.status_code, response.content) == (202, b"late")


def test_what_is_written_comes_before_what_is_returned():
    """0.28.1 threw it away."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c"]

    assert get(app).content == b"abc"


def test_a_generator_may_write_too():
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        yield b"b"
        write(b"c")

    assert get(app).content == b"abc"


def test_a_head_request_gets_no_body():
    result = Result(b"a", b"b")
    response = get(answering(result, headers=[("Content-Length", "2")]), "HEAD")
    assert (response.content, response.headers["content-length"]) == (b"", "2")
    assert result.log == [b"a", "closed"]


def test_a_valid_app_finds_nothing_to_complain_about():
    """The standard library's checker looks at the environ and at how the transport uses the app."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH", 0)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    with client_of(validator(app)) as client:
        assert client.post(URL, content=b"abc").content == b"abc"
        assert client.get("http://xn--x-zfa.org:81/a%20b?q=%FF", headers={"X-A": "1"}).status_code == 200


# Streaming.


def test_the_body_is_made_while_it_is_read():
    result = Result(b"", b"a", b"b", b"c")
    with client_of(answering(result)) as client, client.stream("GET", URL) as response:
        assert result.log == [b"", b"a"]  # PEP 3333: the head waits for the first bytes
        pieces = response.iter_raw()
        assert (next(pieces), result.log) == (b"a", [b"", b"a"])
        assert (next(pieces), result.log) == (b"b", [b"", b"a", b"b"])
        assert list(pieces) == [b"c"]
        assert result.log[-1] == "closed"
    assert result.log.count("closed") == 1


def test_an_endless_body_can_be_read_for_a_while_and_left():
    closed = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    with client_of(app) as client, client.stream("GET", URL) as response:
        for number, piece in enumerate(response.iter_raw()):
            assert piece == b"x"
            if number == 100:
                break
        assert closed == []
    assert closed == [True]


def test_reading_on_after_closing_is_an_error():
    """Harm otherwise: half a body passes for a whole one."""
    with client_of(answering(Result(b"a", b"b"))) as client, client.stream("GET", URL) as response:
        pieces = response.iter_raw()
        next(pieces)
        response.close()
        with pytest.raises(httpx.StreamClosed):
            next(pieces)


def test_a_request_body_is_fetched_as_the_app_reads_it():
    fetched: list[bytes] = []
    seen: list[Any] = []

    def body() -> Iterator[bytes]:
        for piece in (b"one\ntw", b"", b"o\nthree", b"\nfour"):
            fetched.append(piece)
            yield piece

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        seen.append(fetched.copy())
        seen.append(file.readline())
        seen.append(file.read(2))
        seen.append(file.readlines())
        seen.append(file.read())
        start_response("200 OK", [])
        return []

    with client_of(app) as client:
        client.post(URL, content=body())
    assert seen == [[], b"one\n", b"tw", [b"o\n", b"three\n", b"four"], b""]


def test_a_request_body_that_the_app_does_not_read_is_closed():
    closed = []

    def body() -> Iterator[bytes]:
        try:
            yield b"a" * 100_000
            yield b"b"
        finally:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(1)
        start_response("200 OK", [])
        return []

    with client_of(app) as client:
        client.post(URL, content=body())
        assert closed == [True]


@pytest.mark.parametrize("whole", [True, False])
def test_a_stream_of_ones_own_is_closed_if_it_is_given_up(whole: bool):
    """One that was read may be sent again, after a redirect."""
    closed = []

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a" * 10_000, b"b"])

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(-1 if whole else 1)
        start_response("200 OK", [])
        return []

    with client_of(app) as client:
        client.post(URL, content=Body())
    assert closed == ([] if whole else [True])


def test_what_a_request_body_raises_passes_through_the_app():
    def body() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    with client_of(echo) as client, pytest.raises(ZeroDivisionError):
        client.post(URL, content=body())


def test_an_async_body_is_refused():
    async def body() -> Any:
        yield b""

    with pytest.raises(RuntimeError, match="async stream, which a WSGI app cannot read"):
        httpx.WSGITransport(echo).handle_request(httpx.Request("POST", URL, content=body()))


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(min_value=1, max_value=30), max_size=5))
def test_any_pieces_read_in_any_way_are_the_same_bytes(pieces: list[bytes], sizes: list[int]):
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        start_response("200 OK", [])
        return [*(file.read(size) for size in sizes), file.read()]

    with client_of(app) as client:
        assert client.post(URL, content=iter(pieces)).content == b"".join(pieces)


# The environ.


def test_the_environ_is_that_of_pep_3333():
    environ = environ_of("POST", "https://example.org:8443/a?b=%20c#d", content=b"abc")
    expected = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a",
        "QUERY_STRING": "b=%20c",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "example.org:8443",
        "HTTP_ACCEPT": "*/*",
        "body": b"abc",
    }
    assert {name: environ[name] for name in expected} == expected
    assert environ["wsgi.errors"] is sys.stderr
    assert isinstance(environ["wsgi.input"], io.BytesIO)
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_the_path_is_bytes_decoded_as_latin_1():
    """0.28.1 gave the decoded text, of which frameworks made something else."""
    path = environ_of(url=URL + "p%C3%A4th/\u4e2d%2F%FF")["PATH_INFO"]
    assert path.encode("latin-1") == "/päth/中/".encode() + b"\xff"


def test_where_the_app_is_mounted_is_not_taken_off_the_path():
    environ = environ_of(url=URL + "app/x", script_name="/app")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/app/x")


@pytest.mark.parametrize(
    ("url", "name", "port"),
    [
        ("http://example.org", "example.org", "80"),
        ("https://example.org", "example.org", "443"),
        ("http://example.org:8000", "example.org", "8000"),
        ("http://[::1]", "::1", "80"),
        ("http://\u4e2d.org", "xn--fiq.org", "80"),
        ("other://x", "x", "80"),
    ],
)
def test_the_server_is_named(url: str, name: str, port: str):
    environ = environ_of(url=url)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


def test_a_body_of_unknown_length_says_that_it_ends_by_itself():
    """Harm otherwise: Werkzeug, so Flask, takes it for an empty one."""
    environ = environ_of("POST", content=iter([b"a", b"b"]))
    assert "CONTENT_LENGTH" not in environ
    assert environ["wsgi.input_terminated"] is True
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert environ["body"] == b"ab"


def test_headers_become_variables():
    headers = [("X-Y-z", "1"), ("X-T", "1"), ("X-T", "2"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("content-type", "t")]
    environ = environ_of(headers=headers)
    assert environ["HTTP_X_Y_Z"] == "1"
    assert environ["HTTP_X_T"] == "1, 2"  # 0.28.1 kept the last one only
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["CONTENT_TYPE"] == "t"
    assert "HTTP_CONTENT_TYPE" not in environ


def test_header_values_may_have_any_bytes():
    assert environ_of(headers=[(b"X-A", "ä".encode())])["HTTP_X_A"] == "ä".encode().decode("latin-1")


def test_the_client_and_the_errors_stream_can_be_set():
    errors = io.StringIO()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("something")
        start_response("200 OK", [])
        return [environ["REMOTE_ADDR"].encode()]

    assert get(app, remote_addr="10.0.0.1", wsgi_errors=errors).content == b"10.0.0.1"
    assert errors.getvalue() == "something"


def test_the_app_runs_in_the_callers_context():
    variable: ContextVar[str] = ContextVar("variable")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [variable.get().encode()]

    variable.set("seen")
    assert get(app).content == b"seen"


# When the app fails.


def failing(environ: dict[str, Any], start_response: Any) -> Any:
    raise ZeroDivisionError("oops")


def test_what_the_app_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        get(failing)


def test_what_the_app_raises_becomes_a_500_on_request(capsys: pytest.CaptureFixture[str]):
    errors = io.StringIO()
    response = get(failing, raise_app_exceptions=False, wsgi_errors=errors)
    assert (response.status_code, response.headers.raw, response.content) == (500, [], b"")
    assert errors.getvalue().endswith("ZeroDivisionError: oops\n")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("raising", [True, False])
def test_what_is_no_exception_is_always_raised(raising: bool):
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        get(app, raise_app_exceptions=raising)


def test_a_failure_before_the_first_bytes_can_still_be_a_500():
    result = Result(b"", ZeroDivisionError())
    assert get(answering(result), raise_app_exceptions=False, wsgi_errors=io.StringIO()).status_code == 500
    assert result.log == [b"", "closed"]


@pytest.mark.parametrize("raising", [True, False])
def test_a_failure_in_the_middle_of_the_body_reaches_the_reader(raising: bool):
    result = Result(b"a", ZeroDivisionError())
    error = pytest.raises(ZeroDivisionError if raising else httpx.RemoteProtocolError)
    client = client_of(answering(result), raise_app_exceptions=raising)
    with client, client.stream("GET", URL) as response, error as caught:
        list(response.iter_raw())
    if not raising:
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert caught.value.request.url == URL
    assert result.log == [b"a", "closed"]


def reporting(headers: Any, late: bool) -> App:
    """An app that fails, and tells so by `exc_info`: before its first bytes or behind them."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("X-A", "1")])
        if late:
            yield b"a"
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", headers, sys.exc_info())
        yield b"b"

    return app


def test_a_reported_failure_is_raised():
    with pytest.raises(ZeroDivisionError):
        get(reporting([("X-B", "2")], late=False))


def test_a_reported_failure_may_answer_instead():
    response = get(reporting([("X-B", "2")], late=False), raise_app_exceptions=False)
    assert (response.status_code, response.headers.raw, response.content) == (500, [(b"X-B", b"2")], b"b")


@pytest.mark.parametrize("raising", [True, False])
def test_a_failure_reported_too_late_is_raised_in_the_app(raising: bool):
    """PEP 3333: "if the HTTP headers have already been sent, start_response must raise an error"."""
    with pytest.raises(ZeroDivisionError if raising else httpx.RemoteProtocolError):
        get(reporting([], late=True), raise_app_exceptions=raising)


def test_an_exc_info_of_nothing_is_none():
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [], (None, None, None))
        return [b"a"]

    assert get(app).content == b"a"


@pytest.mark.parametrize(("raising", "body"), [(True, [b"a"]), (True, []), (False, [b"a"])])
def test_an_app_must_call_start_response(raising: bool, body: list[bytes]):
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return body

    if raising:
        with pytest.raises(httpx.RemoteProtocolError, match="returned without calling start_response"):
            get(app)
    else:
        assert get(app, raise_app_exceptions=False, wsgi_errors=io.StringIO()).status_code == 500


def test_an_app_may_start_once_only():
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("201 Created", [])
        return []

    with pytest.raises(RuntimeError, match="called a second time without exc_info"):
        get(app)


@pytest.mark.parametrize("spoofed", ["X_User", "x_user", "X_uSeR", "Content_Length", "Content_Type", "_", "X-Y_Z"])
def test_a_name_with_an_underscore_does_not_become_the_key_of_another_field(spoofed: str):
    """
    Harm: an app that trusts X-User, which a proxy sets, was given the value of a client's X_User, joined to it.

    Servers drop such names: in the environment nothing tells `X_User` from `X-User`.
    """
    seen = environ_of(headers=[("X-User", "ann"), (spoofed, "eve")])
    assert seen["HTTP_X_USER"] == "ann"
    assert "eve" not in seen.values()
    assert "CONTENT_LENGTH" not in seen


@pytest.mark.parametrize("status", ["OK", "", "\u0662\u0660\u0660 OK", "99 No", "99999 No", "0 No"])
def test_a_status_is_a_number_with_words(status: str):
    with pytest.raises(ValueError, match="must be like '200 OK'"):
        get(answering([], status))


@pytest.mark.parametrize(("body", "kind"), [(["text"], "str"), (b"abc", "int"), ([None], "NoneType")])
def test_a_body_is_an_iterable_of_bytes(body: Any, kind: str):
    with pytest.raises(TypeError, match=f"made {kind} for its body"):
        get(answering(body))


def test_a_header_that_no_server_would_send_is_refused():
    with pytest.raises(httpx.LocalProtocolError):
        get(answering([], headers=[("X-A", "1\r\nX-B: 2")]))


def test_a_failing_close_is_raised_and_the_body_of_the_request_closed():
    closed = []

    def body() -> Iterator[bytes]:
        try:
            yield b"a" * 10
            yield b"b"
        finally:
            closed.append(True)

    class Bad(Result):
        def close(self) -> None:
            raise ZeroDivisionError

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"].read(1)
        start_response("200 OK", [])
        return Bad(b"a")

    with client_of(app) as client, pytest.raises(ZeroDivisionError):
        client.post(URL, content=body())
    assert closed == [True]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
@pytest.mark.parametrize("how", ["raised", "reported", "reported late"])
def test_a_failure_leaves_no_cycle_behind(how: str):
    """Harm otherwise: what the app's frames hold is freed whenever the garbage collector comes."""

    class Held:
        pass

    held = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        local = Held()
        held.append(weakref.ref(local))
        if how == "raised":
            raise ZeroDivisionError
        yield from reporting([], late=how == "reported late")(environ, start_response)

    transport = httpx.WSGITransport(app)
    gc.disable()
    try:
        try:
            transport.handle_request(httpx.Request("GET", URL)).read()
        except ZeroDivisionError:
            pass
        assert [reference() for reference in held] == [None]
    finally:
        gc.enable()


def test_the_arguments_are_attributes():
    errors = io.StringIO()
    transport = httpx.WSGITransport(echo, False, "/app", "10.0.0.1", errors)
    assert transport.app is echo
    assert (transport.raise_app_exceptions, transport.script_name) == (False, "/app")
    assert (transport.remote_addr, transport.wsgi_errors) == ("10.0.0.1", errors)
