"""Requests without a client, and the names that the package offers."""

from __future__ import annotations

import contextlib
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Callable

import pytest

import httpx
from httpx._cli.echo_server import EchoServer
from support.servers import ScriptedServer, answer, expect_head, expect_request, send, silence
from test_public_surface import NEW_NAMES

# Names and signatures of httpx 0.28.1: code written for it must run.
PUBLIC = (
    *("__description__", "__title__", "__version__", "ASGITransport", "AsyncBaseTransport", "AsyncByteStream"),
    *("AsyncClient", "AsyncHTTPTransport", "Auth", "BaseTransport", "BasicAuth", "ByteStream", "Client"),
    *("CloseError", "codes", "ConnectError", "ConnectTimeout", "CookieConflict", "Cookies", "create_ssl_context"),
    *("DecodingError", "delete", "DigestAuth", "get", "head", "Headers", "HTTPError", "HTTPStatusError"),
    *("HTTPTransport", "InvalidURL", "Limits", "LocalProtocolError", "main", "MockTransport", "NetRCAuth"),
    *("NetworkError", "options", "patch", "PoolTimeout", "post", "ProtocolError", "Proxy", "ProxyError", "put"),
    *("QueryParams", "ReadError", "ReadTimeout", "RemoteProtocolError", "request", "Request", "RequestError"),
    *("RequestNotRead", "Response", "ResponseNotRead", "stream", "StreamClosed", "StreamConsumed", "StreamError"),
    *("SyncByteStream", "Timeout", "TimeoutException", "TooManyRedirects", "TransportError", "UnsupportedProtocol"),
    *("URL", "USE_CLIENT_DEFAULT", "WriteError", "WriteTimeout", "WSGITransport"),
)
# Later issues bring these; take a name off this list with the change that adds it.
STILL_MISSING: set[str] = set()

TAIL = ("headers", "cookies", "auth", "proxy", "follow_redirects", "verify", "timeout", "trust_env")
BODY = ("content", "data", "files", "json")
SIGNATURES = {
    "request": ("method", "url", "params", *BODY, *TAIL),
    "stream": ("method", "url", "params", *BODY, *TAIL),
    "get": ("url", "params", *TAIL),
    "options": ("url", "params", *TAIL),
    "head": ("url", "params", *TAIL),
    "delete": ("url", "params", *TAIL),
    "post": ("url", *BODY, "params", *TAIL),
    "put": ("url", *BODY, "params", *TAIL),
    "patch": ("url", *BODY, "params", *TAIL),
}
DEFAULTS = {"follow_redirects": False, "verify": True, "timeout": httpx.Timeout(5.0), "trust_env": True, "http2": False}


# The names.


def test_all_public_names_of_0_28_1_are_there():
    missing = {name for name in PUBLIC if name not in httpx.__all__}
    assert missing == STILL_MISSING
    assert not [name for name in httpx.__all__ if not hasattr(httpx, name)]


def test_no_public_name_is_there_by_accident():
    assert set(httpx.__all__) == (set(PUBLIC) - STILL_MISSING) | NEW_NAMES
    assert len(set(httpx.__all__)) == len(httpx.__all__)


@pytest.mark.parametrize("name", [name for name in httpx.__all__ if hasattr(getattr(httpx, name), "__module__")])
def test_public_names_say_that_they_are(name: str):
    """Packages compare `type(response).__module__`, and pickles look names up there."""
    if name != "USE_CLIENT_DEFAULT":
        assert getattr(httpx, name).__module__ == "httpx"


def test_what_is_said_about_the_package():
    assert httpx.__title__ == "httpx"
    assert httpx.__version__.split(".")[0] == "0"
    assert httpx.__description__


def test_a_star_import_brings_the_public_names_only():
    names: dict[str, Any] = {}
    exec("from httpx import *", names)
    assert set(names) - {"__builtins__"} == set(httpx.__all__)


@pytest.mark.parametrize(
    "module",
    ["_client", "_types", "_config", "_exceptions", "_content", "_multipart", "_models", "_utils", "_urls", "_auth"],
)
def test_modules_that_other_packages_reach_into_are_attributes_after_a_plain_import(module: str):
    """`httpx._client.USE_CLIENT_DEFAULT` is in starlette's signatures, `httpx._config` in openai's."""
    code = f"import httpx; httpx.{module}"
    environment = {"PYTHONPATH": str(Path(httpx.__file__).parent.parent), "PATH": ""}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment, timeout=30)


# The signatures.


@pytest.mark.parametrize("name", SIGNATURES)
def test_functions_take_the_keywords_of_0_28_1(name: str):
    parameters = inspect.signature(getattr(httpx, name)).parameters
    assert set(parameters) == {*SIGNATURES[name], "http2"}
    positional = [each.name for each in parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert positional == [each for each in ("method", "url") if each in SIGNATURES[name]]
    for parameter in parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default == DEFAULTS.get(parameter.name), parameter.name


def test_a_body_is_no_keyword_where_0_28_1_has_none():
    with pytest.raises(TypeError):
        httpx.get("http://127.0.0.1/", content=b"x")  # type: ignore[call-arg]


# The requests.


@pytest.mark.parametrize("name", ["get", "options", "delete", "post", "put", "patch", "query"])
def test_each_verb_sends_its_method(echo_server: EchoServer, no_leaks: None, name: str):
    response = getattr(httpx, name)(
        f"{echo_server.url}/anything",
        params={"a": "1"},
        headers={"X-Thing": "2"},
        cookies={"c": "3"},
        auth=("jo", "secret"),
        timeout=10,
        follow_redirects=True,
        verify=False,
        trust_env=False,
    )
    assert response.status_code == 200
    seen = response.json()
    assert seen["method"] == name.upper()
    assert seen["args"] == {"a": "1"}
    assert seen["headers"]["X-Thing"] == "2"
    assert seen["headers"]["Cookie"] == "c=3"
    assert seen["headers"]["Authorization"] == "Basic am86c2VjcmV0"


def test_head_gets_no_body(echo_server: EchoServer, no_leaks: None):
    response = httpx.head(f"{echo_server.url}/get")
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) > 0


@pytest.mark.parametrize("name", ["post", "put", "patch", "query"])
@pytest.mark.parametrize(
    ("body", "key", "value"),
    [
        ({"content": b"abc"}, "data", "abc"),
        ({"data": {"a": "1"}}, "form", {"a": "1"}),
        ({"json": {"a": 1}}, "json", {"a": 1}),
        ({"data": {"a": "1"}, "files": {"f": b"x"}}, "form", {"a": "1"}),
        ({"files": {"f": b"x"}}, "files", {"f": "x"}),
    ],
)
def test_verbs_with_a_body_send_it(echo_server: EchoServer, name: str, body: dict[str, Any], key: str, value: Any):
    assert getattr(httpx, name)(f"{echo_server.url}/anything", **body).json()[key] == value


def test_any_method_can_be_sent(echo_server: EchoServer, no_leaks: None):
    response = httpx.request("query", f"{echo_server.url}/anything", content=b"abc", params={"a": "1"})
    assert (response.json()["method"], response.json()["data"]) == ("QUERY", "abc")


def test_a_body_can_be_streamed_both_ways(echo_server: EchoServer, no_leaks: None):
    with httpx.stream("POST", f"{echo_server.url}/anything", content=iter([b"ab", b"c"])) as response:
        assert not response.is_closed
        with pytest.raises(httpx.ResponseNotRead):
            _ = response.content
        assert b'"data": "abc"' in b"".join(response.iter_bytes())
    assert response.is_closed


def test_a_stream_can_be_left_in_the_middle(echo_server: EchoServer, no_leaks: None):
    with httpx.stream("GET", f"{echo_server.url}/bytes/1000000", params={"seed": "1"}) as response:
        assert next(response.iter_bytes())
    assert response.is_closed
    with pytest.raises(httpx.StreamConsumed):
        response.read()


def test_redirects_are_followed_when_asked(echo_server: EchoServer, no_leaks: None):
    assert httpx.get(f"{echo_server.url}/redirect/2").status_code == 302
    response = httpx.get(f"{echo_server.url}/redirect/2", follow_redirects=True)
    assert (response.status_code, len(response.history)) == (200, 2)
    with httpx.stream("GET", f"{echo_server.url}/redirect/1", follow_redirects=True) as streamed:
        assert streamed.read()
        assert len(streamed.history) == 1


def test_https_is_verified(tls_echo_server: EchoServer, trusting: Any, ca: Any, no_leaks: None):
    assert httpx.get(f"{tls_echo_server.url}/get", verify=trusting).status_code == 200
    assert httpx.get(f"{tls_echo_server.url}/get", verify=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{tls_echo_server.url}/get")


def test_an_environment_may_say_whom_to_trust(
    tls_echo_server: EchoServer, ca: Any, monkeypatch: pytest.MonkeyPatch, no_leaks: None
):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.authority_file()))
    assert httpx.get(f"{tls_echo_server.url}/get").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{tls_echo_server.url}/get", trust_env=False)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("/path", httpx.UnsupportedProtocol),
        ("", httpx.UnsupportedProtocol),
        ("example.org", httpx.UnsupportedProtocol),
        ("ftp://example.org/", httpx.UnsupportedProtocol),
        ("http://", httpx.UnsupportedProtocol),
        ("https:///path", httpx.UnsupportedProtocol),
        ("http://example.org:port/", httpx.InvalidURL),
        ("http://example.org/\0", httpx.InvalidURL),
    ],
)
def test_a_url_that_leads_nowhere_is_an_error(url: str, error: type[Exception]):
    with pytest.raises(error):
        httpx.get(url)


def test_a_timeout_is_kept(no_leaks: None):
    with ScriptedServer([silence()]) as server, pytest.raises(httpx.ReadTimeout) as caught:
        httpx.get(f"{server.url}/silence", timeout=0.05)
    assert caught.value.request.url.path == "/silence"


def test_everything_is_closed_when_something_goes_wrong(echo_server: EchoServer, no_leaks: None):
    """Harm: a program that retries runs out of descriptors."""
    with pytest.raises(KeyError), httpx.stream("GET", f"{echo_server.url}/bytes/1000000"):
        raise KeyError
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:1/")


def test_an_old_way_to_send_bytes_still_works(echo_server: EchoServer):
    with pytest.warns(DeprecationWarning, match="Use 'content=") as caught:
        assert httpx.post(f"{echo_server.url}/anything", data=b"abc").json()["data"] == "abc"  # type: ignore[arg-type]
    assert len(caught) == 1


def test_importing_costs_no_warning():
    environment = {"PYTHONPATH": str(Path(httpx.__file__).parent.parent), "PATH": ""}
    subprocess.run([sys.executable, "-W", "error", "-c", "import httpx"], check=True, env=environment, timeout=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        httpx.Client().close()


# The same as a client that was given the same.

GIVEN: dict[str, Any] = {
    "params": {"q": "1"},
    "content": b"abc",
    "data": {"a": "1"},
    "files": {"f": ("f.txt", b"x")},
    "json": {"a": 1},
    "headers": {"X-Thing": "2", "Cookie2": "no"},
    "cookies": {"session": "3"},
    "auth": ("jo", "pw"),
    "timeout": 5,
    "trust_env": False,
    "verify": False,
    "http2": True,
    "proxy": "the server itself",
}
BOUNDARY = re.compile(rb"[0-9a-f]{32}")


def bytes_on_the_wire(carry_out: Callable[[str, dict[str, Any]], None], argument: str, body: bool) -> list[bytes]:
    """What a server receives that redirects once, within its origin, when `carry_out` is called with one argument."""
    value = GIVEN[argument]
    redirect = send(
        b"HTTP/1.1 307 Temporary Redirect\r\nSet-Cookie: set=4\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
    )
    script = [expect_request() if body else expect_head(), redirect, answer(b"")]
    with ScriptedServer(script) as server:
        if argument == "proxy":
            value = server.url
        carry_out(f"{server.url}/first", {argument: value, "follow_redirects": True})
    port = str(server.port).encode()
    return [BOUNDARY.sub(b"BOUNDARY", received).replace(port, b"PORT") for received in server.received]


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, each)
        for name in SIGNATURES
        for each in GIVEN
        if each in inspect.signature(getattr(httpx, name)).parameters
    ],
)
def test_every_argument_of_every_function_means_what_it_means_to_a_client(name: str, argument: str):
    """`httpx.get(url, cookies=..., follow_redirects=True)` lost the cookies on the second hop."""
    function = getattr(httpx, name)
    before = ("POST",) if name in ("request", "stream") else ()
    of_the_client = {"proxy", "verify", "timeout", "trust_env", "http2", "follow_redirects", "cookies"}

    def through_the_function(url: str, options: dict[str, Any]) -> None:
        got = function(*before, url, **options)
        with got if name == "stream" else contextlib.nullcontext(got) as response:
            assert response.status_code == 200

    def through_a_client(url: str, options: dict[str, Any]) -> None:
        own = {key: value for key, value in options.items() if key in of_the_client}
        rest = {key: value for key, value in options.items() if key not in of_the_client}
        with httpx.Client(**own) as client:
            got = getattr(client, name)(*before, url, **rest)
            with got if name == "stream" else contextlib.nullcontext(got) as response:
                assert response.status_code == 200

    has_body = argument in BODY
    sent = bytes_on_the_wire(through_the_function, argument, has_body)
    assert sent == bytes_on_the_wire(through_a_client, argument, has_body)
    if argument == "cookies":
        assert sent[0].count(b"session=3") == 2
