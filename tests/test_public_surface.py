"""
The public names and signatures are those of httpx 0.28.1, and what is new is listed here.

`data/public-api-0.28.1.json` holds what 0.28.1 offers. A parameter there is [name, kind, default as text], its kind
"normal", "keyword", "*" or "**". A signature of ours accepts every call that is legal there: the same names in the
same places with the same defaults. Whatever it takes beyond that is given by keyword, has a default, and stands in
`ADDED`, so that no parameter becomes public by accident.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx._config import UnsetType

SURFACE = json.loads((Path(__file__).parent / "data" / "public-api-0.28.1.json").read_text("utf-8"))

# New public names.
NEW_NAMES = {
    *("BearerAuth", "DestinationRefused", "FunctionAuth", "ResponseTooLarge", "Retry", "Step", "public_only"),
    *("EventSource", "Reconnect", "SSEError", "ServerSentEvent", "Timings", "sse"),
    *("RateLimit", "RateLimitTimeout"),
    "ContentMismatch",
    *("Origin", "alias_httpx", "alias_httpx2", "query"),
    "websocket",
}

# New keyword parameters, by function, class (its constructor) or class and method.
_NAMES = {"resolver", "resolve", "dns_cache_ttl", "address_family"}
_SINCE = {
    "sensitive_headers",
    "max_response_size",
    "proxies",
    "pins",
    "credentials_for",
    "guard",
    "middleware",
    "compress",
    *_NAMES,
}
ADDED: dict[str, set[str]] = {
    **{name: {"http2"} for name in SURFACE["functions"] if name not in ("create_ssl_context", "main")},
    "Client": _SINCE,
    "AsyncClient": _SINCE,
    "HTTPTransport": {"pins", "guard", *_NAMES},
    "AsyncHTTPTransport": {"pins", "guard", *_NAMES},
    "Timeout": {"total"},
    "Limits": {"max_connections_per_host", "max_header_fields", "max_header_bytes", "ping_interval"},
    "ASGITransport": {"lifespan"},
    "Request": {"trailers"},
    **{
        f"{client}.{method}": {"compress", "trailers"}
        for client in ("Client", "AsyncClient")
        for method in ("build_request", "request", "stream", "post", "put", "patch")
    },
    "Response.iter_lines": {"max_line_length"},
    "Response.aiter_lines": {"max_line_length"},
}

# A sentinel is compared as one: its text is the business of whoever made it.
_SENTINELS = {"<httpx._config.UnsetType object>", "<object object>"}
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "normal",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def names_of(kind: str) -> list[str]:
    """The names of functions, exceptions or classes, for `parametrize`."""
    return sorted(SURFACE[kind])


def parameters(function: Any) -> list[inspect.Parameter]:
    """Those that a caller gives: without `self`."""
    found = list(inspect.signature(function).parameters.values())
    return found[1:] if found and found[0].name == "self" else found


def differences(expected: list[list[str]], function: Any, added: set[str], names_matter: bool = True) -> Iterator[str]:
    """What a call that is legal in 0.28.1 would stumble over, and what was added without being listed."""
    ours = parameters(function)
    by_name = {parameter.name: parameter for parameter in ours}
    positional = [parameter for parameter in ours if _KINDS[parameter.kind] in ("normal", "positional")]
    for position, (name, kind, *default) in enumerate(expected):
        if names_matter or kind != "normal":
            parameter = by_name.pop(name, None)
        else:
            parameter = by_name.pop(positional[position].name, None) if position < len(positional) else None
        if parameter is None:
            yield f"{name} is missing"
            continue
        if _KINDS[parameter.kind] != kind and names_matter:
            yield f"{name} is {_KINDS[parameter.kind]}, expected {kind}"
        if kind == "normal" and (position >= len(positional) or positional[position] is not parameter):
            yield f"{name} is not the parameter number {position}"
        yield from default_differences(name, default, parameter)
    for name, parameter in by_name.items():
        if name not in added:
            yield f"{name} is new and not listed in ADDED"
        elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.default is inspect.Parameter.empty:
            yield f"{name} is new, so it must be given by keyword only and have a default"
    for name in added - by_name.keys():
        yield f"{name} is listed in ADDED and not there"


def default_differences(name: str, expected: list[str], parameter: inspect.Parameter) -> Iterator[str]:
    has_default = parameter.default is not inspect.Parameter.empty
    if bool(expected) != has_default:
        yield f"{name} {'has a' if has_default else 'has no'} default"
    elif expected == ["None"] and isinstance(parameter.default, UnsetType):
        pass  # both mean "none was given", and a None that is given means the same as before
    elif expected and expected[0] not in _SENTINELS and str(parameter.default).replace("'", "") != expected[0]:
        yield f"the default of {name} is {parameter.default!r}, expected {expected[0]}"


# Names.


def test_every_public_name_of_0_28_1_is_there():
    assert set(SURFACE["all"]) - set(httpx.__all__) == set()
    for name in httpx.__all__:
        assert getattr(httpx, name) is not None, name


def test_new_public_names_are_listed():
    assert set(httpx.__all__) - set(SURFACE["all"]) == NEW_NAMES


def test_the_public_names_are_complete_and_in_order():
    """Upper and lower case do not count in the order, as in 0.28.1, whose tests compare the list."""
    exported = [name for name in vars(httpx) if not name.startswith("_") and not inspect.ismodule(getattr(httpx, name))]
    exported = sorted({*exported, *httpx._LAZY, "__description__", "__title__", "__version__"})
    assert httpx.__all__ == sorted(exported, key=lambda name: (name.casefold(), name.swapcase()))


def test_a_star_import_gives_the_public_names():
    names: dict[str, Any] = {}
    exec("from httpx import *", names)
    assert set(httpx.__all__) - {"__builtins__"} <= names.keys()


def test_what_the_package_says_about_itself():
    assert httpx.__title__ == "httpx"
    assert isinstance(httpx.__version__, str)
    assert isinstance(httpx.__description__, str)


@pytest.mark.parametrize("name", sorted(name for name in httpx.__all__ if not name.startswith("__")))
def test_public_objects_say_that_they_are_of_httpx(name: str):
    """Pickles, reprs and error messages show the module, and packages look at it (the OpenAI SDK's tests do)."""
    value = getattr(httpx, name)
    if name != "USE_CLIENT_DEFAULT":
        assert value.__module__ == "httpx"


def test_reprs_of_exceptions_are_short():
    assert repr(httpx.ReadTimeout("late")) == "ReadTimeout('late')"


# Functions.


@pytest.mark.parametrize("name", names_of("functions"))
def test_functions_take_what_they_took(name: str):
    function = getattr(httpx, name)
    assert list(differences(SURFACE["functions"][name], function, ADDED.get(name, set()))) == []


# Status codes.


def test_status_codes_are_there_under_both_spellings():
    assert {code.name: code.value for code in httpx.codes} == SURFACE["codes"]
    for name, value in SURFACE["codes"].items():
        assert getattr(httpx.codes, name.lower()) == value
    assert isinstance(httpx.codes.OK, int)


# Exceptions.


@pytest.mark.parametrize("name", names_of("exceptions"))
def test_exceptions_have_the_bases_and_the_constructor_that_they_had(name: str):
    kind, expected = getattr(httpx, name), SURFACE["exceptions"][name]
    ours = [base.__name__ for base in kind.__mro__[1:] if not base.__name__.startswith("_") and base is not object]
    assert ours == expected["bases"]
    assert list(differences(expected["parameters"], kind.__init__, set())) == []


# Classes.


def members_of(name: str) -> dict[str, Any]:
    members: dict[str, Any] = SURFACE["classes"][name]["members"]
    return members


@pytest.mark.parametrize("name", names_of("classes"))
def test_constructors_take_what_they_took(name: str):
    kind = getattr(httpx, name)
    assert list(differences(SURFACE["classes"][name]["parameters"], kind, ADDED.get(name, set()))) == []


@pytest.mark.parametrize("name", names_of("classes"))
def test_classes_have_the_public_bases_that_they_had(name: str):
    ours = {base.__name__ for base in getattr(httpx, name).__mro__}
    expected = {base.rpartition(".")[2] for base in SURFACE["classes"][name]["bases"]}
    # Generic is how a class was typed, and no part of what it does.
    assert expected - {"Generic"} <= ours


@pytest.mark.parametrize(
    ("name", "member"),
    [(name, member) for name in sorted(SURFACE["classes"]) for member in members_of(name)],
)
def test_members_are_what_they_were(name: str, member: str):
    kind, expected = getattr(httpx, name), members_of(name)[member]
    if expected["is"].endswith("property"):
        check_property(kind, member, expected["is"] == "settable property")
    elif expected["is"] == "attribute":
        assert str(getattr(kind, member)) == expected["value"]
    else:
        function = getattr(kind, member)
        dunder = member.startswith("__")
        added = ADDED.get(f"{name}.{member}", set())
        assert list(differences(expected["parameters"], function, added, names_matter=not dunder)) == []
        check_colour(function, expected["is"])


def check_property(kind: Any, member: str, settable: bool) -> None:
    found = inspect.getattr_static(kind, member, None)
    if isinstance(found, property):
        assert found.fset is not None or not settable, f"{member} cannot be set"
    else:
        # A plain attribute does what a property does, and can be set.
        assert found is not None or member in kind.__annotations__, f"{member} is missing"


def check_colour(function: Any, expected: str) -> None:
    """Whether it is to be awaited, iterated over with `async for`, or called."""
    assert inspect.iscoroutinefunction(function) == (expected == "async")
    if expected == "method":
        assert not inspect.isasyncgenfunction(function)


# What 0.28.1 sets in constructors, so that it is found in instances only; `request` is a property, and can be set.
_REQUEST = httpx.Request("GET", "https://www.example.org/")
ATTRIBUTES: list[tuple[Any, str]] = [
    (_REQUEST, "method url headers stream extensions"),
    (
        httpx.Response(200, content=b""),
        "status_code headers history stream extensions is_closed is_stream_consumed next_request default_encoding",
    ),
    (httpx.Timeout(5), "connect read write pool"),
    (httpx.Limits(), "max_connections max_keepalive_connections keepalive_expiry"),
    (httpx.Proxy("http://127.0.0.1"), "url auth headers ssl_context"),
    (httpx.Cookies(), "jar"),
    (httpx.MockTransport(lambda request: httpx.Response(200)), "handler"),
    (httpx.ASGITransport(app=print), "app raise_app_exceptions root_path client"),
    (httpx.WSGITransport(app=print), "app raise_app_exceptions script_name remote_addr wsgi_errors"),
    (httpx.Client(), "follow_redirects max_redirects"),
    (httpx.AsyncClient(), "follow_redirects max_redirects"),
    (httpx.ReadError("late", request=_REQUEST), "request args"),
    (httpx.HTTPStatusError("404", request=_REQUEST, response=httpx.Response(404)), "request response args"),
]


@pytest.mark.parametrize(("instance", "names"), ATTRIBUTES, ids=lambda value: type(value).__name__)
def test_instances_have_the_attributes_that_they_had(instance: Any, names: str):
    for name in names.split():
        assert hasattr(instance, name), name


def test_the_request_of_an_error_can_be_set_and_is_missed_loudly():
    error = httpx.ReadError("late")
    with pytest.raises(RuntimeError):
        error.request  # noqa: B018  # the look is what is tested
    error.request = _REQUEST
    assert error.request is _REQUEST


def public_members() -> Iterator[tuple[str, str, Any]]:
    """(class, name, function or property) of all that is public and ours."""
    for name in httpx.__all__:
        kind = getattr(httpx, name)
        for member in dir(kind) if inspect.isclass(kind) else ():
            found = inspect.getattr_static(kind, member)
            found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
            if not member.startswith("_") and getattr(found, "__module__", "").startswith("httpx"):
                yield name, member, found


def test_everything_public_is_documented():
    bare = [name for name in httpx.__all__ if not name.startswith("__") and not getattr(httpx, name).__doc__]
    bare += [f"{name}.{member}" for name, member, found in public_members() if callable(found) and not found.__doc__]
    assert bare == []


@pytest.mark.parametrize("name", [name for name in httpx.__all__ if inspect.isclass(getattr(httpx, name))])
def test_a_class_that_takes_arguments_says_what_they_mean(name: str):
    """Or that they are those of another class. The message of an exception needs no explanation."""
    kind = getattr(httpx, name)
    taken = [parameter for parameter in parameters(kind) if _KINDS[parameter.kind] not in ("*", "**")]
    if issubclass(kind, Exception) or name in ("codes", "ByteStream"):
        return
    said = inspect.getdoc(kind) or ""
    if name.startswith("Async") and f"`{name[5:]}`" in said:
        return
    assert [parameter.name for parameter in taken if not re.search(rf"\b{parameter.name}\b", said)] == []


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_new_public_members_of_the_clients_are_listed(name: str):
    """What a client has, a subclass may have under the same name."""
    ours = {member for member in dir(getattr(httpx, name)) if not member.startswith("_")}
    # In 0.28.1 `max_redirects` was an attribute of instances; here it is a property, which checks it.
    assert ours - members_of(name).keys() == {"download", "map", "max_redirects", "query", "sse", "upload", "websocket"}


# How strict all this is: each kind of change that would break a caller is noticed.


def _was(a: int, b: int = 1, *, c: int = 2) -> None: ...
def _removed(a: int, *, c: int = 2) -> None: ...
def _renamed(a: int, bb: int = 1, *, c: int = 2) -> None: ...
def _reordered(b: int, a: int = 1, *, c: int = 2) -> None: ...
def _moved(a: int, *, b: int = 1, c: int = 2) -> None: ...
def _other_default(a: int, b: int = 1, *, c: int = 3) -> None: ...
def _no_default(a: int, b: int = 1, *, c: int) -> None: ...
def _inserted(a: int, new: int = 0, b: int = 1, *, c: int = 2) -> None: ...
def _appended(a: int, b: int = 1, new: int = 0, *, c: int = 2) -> None: ...
def _required(a: int, b: int = 1, *, c: int = 2, new: int) -> None: ...
def _added(a: int, b: int = 1, *, c: int = 2, new: int = 0) -> None: ...


_EXPECTED = [["a", "normal"], ["b", "normal", "1"], ["c", "keyword", "2"]]


def test_a_signature_that_stayed_the_same_passes():
    assert list(differences(_EXPECTED, _was, set())) == []
    assert list(differences(_EXPECTED, _added, {"new"})) == []


@pytest.mark.parametrize(
    "changed",
    [_removed, _renamed, _reordered, _moved, _other_default, _no_default, _inserted, _appended, _required],
    ids=lambda function: function.__name__,
)
def test_a_signature_that_would_break_a_caller_is_noticed(changed: Any):
    new = {"new"} if "new" in inspect.signature(changed).parameters else set()
    assert list(differences(_EXPECTED, changed, new)) != []


def test_a_new_parameter_that_nobody_listed_is_noticed():
    assert list(differences(_EXPECTED, _added, set())) == ["new is new and not listed in ADDED"]
    assert list(differences(_EXPECTED, _was, {"new"})) == ["new is listed in ADDED and not there"]


# The package.


def test_modules_that_others_reach_into_are_there_after_a_plain_import():
    """`httpx._client.X` works without `import httpx._client`: starlette, respx and others write it so."""
    code = (
        "import httpx\n"
        "for name in ('_client', '_types', '_config', '_exceptions', '_content', '_multipart', '_models', '_urls'):\n"
        "    getattr(httpx, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
