"""The exception tree: who is whose child, what each carries, and that each survives a pickle."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import httpx
from httpx._exceptions import request_context

# Name -> base, as in httpx 0.28.1: code that catches a base must keep catching.
TREE = {
    "HTTPError": Exception,
    "RequestError": "HTTPError",
    "TransportError": "RequestError",
    "TimeoutException": "TransportError",
    "ConnectTimeout": "TimeoutException",
    "ReadTimeout": "TimeoutException",
    "WriteTimeout": "TimeoutException",
    "PoolTimeout": "TimeoutException",
    "RateLimitTimeout": "PoolTimeout",
    "NetworkError": "TransportError",
    "ConnectError": "NetworkError",
    "DestinationRefused": "ConnectError",
    "ReadError": "NetworkError",
    "WriteError": "NetworkError",
    "CloseError": "NetworkError",
    "ProtocolError": "TransportError",
    "LocalProtocolError": "ProtocolError",
    "RemoteProtocolError": "ProtocolError",
    "ProxyError": "TransportError",
    "SSEError": "TransportError",
    "UnsupportedProtocol": "TransportError",
    "DecodingError": "RequestError",
    "ResponseTooLarge": "RequestError",
    "ContentMismatch": "RequestError",
    "TooManyRedirects": "RequestError",
    "HTTPStatusError": "HTTPError",
    "InvalidURL": Exception,
    "CookieConflict": Exception,
    "StreamError": RuntimeError,
    "StreamConsumed": "StreamError",
    "StreamClosed": "StreamError",
    "ResponseNotRead": "StreamError",
    "RequestNotRead": "StreamError",
}
WITHOUT_ARGUMENTS = ("StreamConsumed", "StreamClosed", "ResponseNotRead", "RequestNotRead")
WITH_REQUEST = [
    name for name in TREE if issubclass(getattr(httpx, name), httpx.RequestError) and name != "HTTPStatusError"
]


def make(name: str) -> Any:
    """One of the class, with all that it can carry."""
    cls = getattr(httpx, name)
    request = httpx.Request("POST", "https://example.org/", content=b"abc")
    if name in WITHOUT_ARGUMENTS:
        return cls()
    if name == "HTTPStatusError":
        return cls("bad", request=request, response=httpx.Response(503, text="busy", request=request))
    return cls("bad", request=request) if issubclass(cls, httpx.RequestError) else cls("bad")


@pytest.mark.parametrize("name", TREE)
def test_each_class_has_its_place_and_its_public_name(name: str):
    cls, base = getattr(httpx, name), TREE[name]
    assert (getattr(httpx, base) if isinstance(base, str) else base) in cls.__mro__
    assert issubclass(cls, Exception)
    assert cls.__module__ == "httpx"
    assert name in httpx.__all__


def test_the_tree_is_complete():
    public = {name for name in httpx.__all__ if isinstance(getattr(httpx, name), type)}
    assert {name for name in public if issubclass(getattr(httpx, name), Exception)} == set(TREE)


@pytest.mark.parametrize("name", TREE)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_comes_out_of_a_pickle_as_it_went_in(name: str, protocol: int):
    """Harm: an error in a worker process hangs `multiprocessing` or turns into a TypeError about `__init__`."""
    before = make(name)
    after = pickle.loads(pickle.dumps(before, protocol))
    assert type(after) is type(before)
    assert (str(after), after.args) == (str(before), before.args)
    if isinstance(before, httpx.HTTPError) and before._request is not None:
        assert (after.request.method, after.request.content) == ("POST", b"abc")
    if name == "HTTPStatusError":
        assert (after.response.status_code, after.response.text) == (503, "busy")
        assert after.response.request.url == "https://example.org/"


@pytest.mark.parametrize("name", TREE)
def test_each_can_be_copied(name: str):
    before = make(name)
    assert str(copy.copy(before)) == str(before)


def test_what_was_added_to_an_exception_is_in_its_pickle():
    error = httpx.ReadError("bad")
    error.attempts = 3  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(error)).attempts == 3


def test_a_pickle_of_an_error_with_a_body_that_streams_loses_only_the_body():
    request = httpx.Request("POST", "https://example.org/", content=iter([b"a"]))
    response = httpx.Response(500, content=iter([b"b"]), request=request)
    after = pickle.loads(pickle.dumps(httpx.HTTPStatusError("bad", request=request, response=response)))
    with pytest.raises(httpx.RequestNotRead):
        _ = after.request.content
    with pytest.raises(httpx.ResponseNotRead):
        _ = after.response.content


@pytest.mark.parametrize("name", WITH_REQUEST)
def test_a_request_can_be_given_or_attached_later(name: str):
    request = httpx.Request("GET", "https://example.org/")
    cls = getattr(httpx, name)
    assert cls("bad", request=request).request is request
    late = cls("bad")
    with pytest.raises(RuntimeError, match="no request is attached"):
        _ = late.request
    late.request = request
    assert late.request is request


def test_the_base_class_knows_no_request_until_it_is_told():
    error = httpx.HTTPError("bad")
    with pytest.raises(RuntimeError):
        _ = error.request
    error.request = httpx.Request("GET", "https://example.org/")
    assert error.request.method == "GET"


@pytest.mark.parametrize("name", WITHOUT_ARGUMENTS)
def test_misuse_of_a_stream_explains_itself(name: str):
    assert len(str(getattr(httpx, name)())) > 40


def test_a_context_attaches_its_request_to_what_passes_through():
    request = httpx.Request("GET", "https://example.org/")
    with pytest.raises(httpx.ReadError) as caught, request_context(request):
        raise httpx.ReadError("gone")
    assert caught.value.request is request
    with request_context(request=request):  # by this keyword, as vcrpy says it
        pass


def test_a_context_replaces_the_request_of_an_error_from_below():
    """As in 0.28.1: the request that the caller made is the one to name, not one that a transport made of it."""
    outer, inner = httpx.Request("GET", "https://example.org/"), httpx.Request("GET", "https://example.com/")
    with pytest.raises(httpx.ReadError) as caught, request_context(outer):
        raise httpx.ReadError("gone", request=inner)
    assert caught.value.request is outer


def test_a_context_leaves_other_errors_and_errors_without_a_request_alone():
    with pytest.raises(KeyError), request_context(httpx.Request("GET", "https://example.org/")):
        raise KeyError
    request = httpx.Request("GET", "https://example.org/")
    with pytest.raises(httpx.ReadError) as caught, request_context():
        raise httpx.ReadError("gone", request=request)
    assert caught.value.request is request
