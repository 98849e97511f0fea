"""
What public code imports from 0.28.1's private modules is there, and costs nothing before it is asked for.

`data/private-names-0.28.1.json` lists the module-level names of 0.28.1's modules.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import httpx
from httpx import _decoders, _old_names, _old_parts, _utils

NAMES: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "data" / "private-names-0.28.1.json").read_text("utf-8")
)
EVERY = [(module, name) for module, names in NAMES.items() for name in names]
GONE = {(module, name) for module, names in _old_names.GONE.items() for name in names}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("module", "name"), EVERY)
def test_every_name_of_0_28_1_is_there_or_says_what_to_use_instead(module: str, name: str):
    """Harm: `import httpx_socks` failed, because it takes a name from a private module."""
    if (module, name) not in GONE:
        assert getattr(import_module(module), name) is not None
        return
    with pytest.raises(AttributeError, match=f"has no attribute '{name}' since httpx 0.28.2; .{{20,}}"):
        getattr(import_module(module), name)


def test_the_tables_hold_no_other_names():
    listed = {(module, name) for module, names in _old_names.TABLE.items() for name in names} | GONE
    assert listed - set(EVERY) == {("httpx._transports", "asgi")}  # a module that 0.28.1 loaded with the package


def test_no_table_hides_a_name_that_its_module_has():
    code = "import httpx, sys, httpx._transports.asgi; from httpx import _old_names as o\n"
    code += "print([n for m in [*o.TABLE, *o.GONE] for n in [*o.TABLE.get(m, ()), *o.GONE.get(m, ())]"
    code += " if n in vars(sys.modules[m])])"
    assert run(code) == "['asgi']"  # a module


def test_modules_with_old_names_are_those_of_the_tables():
    expected = {*_old_names.TABLE, *_old_names.GONE}
    assert {f"httpx.{name}" for name in _utils._WITH_OLD_NAMES} | {"httpx._transports.asgi"} == expected


def test_what_is_loaded_late_is_reached_as_an_attribute():
    assert run("import httpx; print(httpx._transports.asgi.ASGITransport)") == "<class 'httpx.ASGITransport'>"
    assert run("import httpx; print(httpx._transports.asgi.create_event.__name__)") == "create_event"
    assert run("from httpx._transports.asgi import is_running_trio; print(is_running_trio())") == "False"
    assert run("from httpx import *; print(ASGITransport)") == "<class 'httpx.ASGITransport'>"
    assert run("import httpx; print('ASGITransport' in dir(httpx), hasattr(httpx, 'ASGI'))") == "True False"
    assert run("import httpx, pickle; print(pickle.loads(pickle.dumps(httpx.ASGITransport)))").endswith(
        "ASGITransport'>"
    )


def test_nothing_is_loaded_before_an_old_name_is_asked_for():
    code = "import sys, httpx, httpx._utils; before = set(sys.modules)\n"
    code += "print('httpx._old_names' in before, 'httpx._old_parts' in before)\n"
    code += "from httpx._utils import to_bytes; print(to_bytes('x'))\n"
    code += "print('httpx._old_names' in sys.modules)"
    assert run(code).split() == ["False", "False", "b'x'", "True"]


def test_a_name_that_never_was_is_an_attribute_error_and_an_import_error():
    with pytest.raises(AttributeError, match=r"module 'httpx\._utils' has no attribute 'nonsense'$"):
        _utils.nonsense  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        from httpx._utils import nonsense  # type: ignore[attr-defined]  # noqa: F401
    assert not hasattr(_utils, "__path__")


@pytest.mark.parametrize(
    "name", ["httpx._utils.to_bytes", "httpx._client.USER_AGENT", "httpx._models.SENSITIVE_HEADERS"]
)
def test_old_names_can_be_patched_again_and_again(name: str):
    module, _, attribute = name.rpartition(".")
    before = getattr(import_module(module), attribute)
    for _ in range(2):
        with mock.patch(name) as patched:
            assert getattr(import_module(module), attribute) is patched
        assert getattr(import_module(module), attribute) is before


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_what_is_patched_in_the_clients_module_is_what_clients_use(kind: Any):
    """Harm: a test that kept its client from the environment's proxies by a patch used them, silently."""
    with mock.patch("httpx._client.USER_AGENT", "mine/1"), mock.patch("httpx._client.ACCEPT_ENCODING", "gzip"):
        client = kind()
        assert (client.headers["User-Agent"], client.headers["Accept-Encoding"]) == ("mine/1", "gzip")
    assert kind().headers["User-Agent"] == f"python-httpx/{httpx.__version__}"
    proxies = {"http://": "http://127.0.0.1:3128", "all://example.org": None}
    with mock.patch("httpx._client.get_environment_proxies", return_value=proxies):
        assert [pattern.pattern for pattern in kind()._mounts] == ["all://example.org", "http://"]
        assert kind(trust_env=False)._mounts == {}
    with mock.patch("httpx._client.get_environment_proxies", return_value={}):
        assert kind()._mounts == {}


def test_names_of_one_thing_are_one_object():
    from httpx._client import SUPPORTED_DECODERS as of_client  # type: ignore[attr-defined]
    from httpx._client import URLPattern as PatternOfClient  # type: ignore[attr-defined]
    from httpx._decoders import SUPPORTED_DECODERS as of_decoders  # type: ignore[attr-defined]
    from httpx._utils import URLPattern  # type: ignore[attr-defined]

    assert PatternOfClient is URLPattern
    assert of_client is of_decoders
    assert next(iter(httpx.Client(mounts={"all://": httpx.MockTransport(str)})._mounts)).__class__ is URLPattern


# Decoders.


class Reversing:
    """A content coding in the form of 0.28.1: its methods return bytes."""

    def __init__(self) -> None:
        self.held = b""

    def decode(self, data: bytes) -> bytes:
        self.held += data
        return b""

    def flush(self) -> bytes:
        return self.held[::-1]


@pytest.fixture(name="decoders")
def decoders_that_may_be_changed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = _old_parts.SUPPORTED_DECODERS  # type: ignore[assignment]  # of other classes, too
    for name, decoder in list(found.items()):
        monkeypatch.setitem(found, name, decoder)
    return found


def response(coding: str, body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Encoding": coding}, content=body)


def test_a_decoder_that_is_added_is_used(decoders: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    assert response("reversed", b"abc").content == b"abc"
    monkeypatch.setitem(decoders, "reversed", Reversing)
    assert response("reversed", b"abc").content == b"cba"
    assert response("reversed, gzip", gzip.compress(b"abc")).content == b"cba"
    assert response("gzip, reversed", gzip.compress(b"abc")[::-1]).content == b"abc"


def test_a_decoder_that_is_replaced_or_removed_is_used_no_more(decoders: dict[str, Any]):
    decoders["gzip"] = Reversing
    assert response("gzip", b"abc").content == b"cba"
    del decoders["gzip"]
    assert response("gzip", b"abc").content == b"abc"


def test_a_decoder_for_a_coding_whose_library_is_missing_is_used(
    decoders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """Harm: packages register a decoder for zstd exactly where the library that httpx knows is not installed."""
    monkeypatch.setattr(_decoders, "_library", lambda coding: None)
    assert response("zstd", b"abc").content == b"abc"
    decoders["zstd"] = Reversing
    assert response("zstd", b"abc").content == b"cba"


def test_the_decoders_name_the_codings_that_can_be_undone():
    code = "import sys; sys.modules['zstandard'] = sys.modules['_zstd'] = sys.modules['compression'] = None\n"
    code += "from httpx._decoders import SUPPORTED_DECODERS as d; from httpx._client import ACCEPT_ENCODING as a\n"
    code += "print(*(n in d for n in ('identity', 'gzip', 'deflate', 'br', 'zstd')), a)"
    assert run(code) == "True True True True False gzip, deflate, br"


def test_identity_is_a_coding_that_changes_nothing(decoders: dict[str, Any]):
    assert "identity" in decoders
    assert response("identity", b"abc").content == b"abc"
    assert response("gzip, identity", gzip.compress(b"abc")).content == b"abc"


def test_the_decoder_of_a_response_returns_bytes():
    for headers, body in (({}, b"abc"), ({"Content-Encoding": "gzip"}, gzip.compress(b"abc"))):
        decoder = httpx.Response(200, headers=headers)._get_content_decoder()
        assert decoder.decode(body[:5]) + decoder.decode(body[5:]) + decoder.flush() == b"abc"
    decoder = httpx.Response(200, headers={"Content-Encoding": "gzip"})._get_content_decoder()
    decoder.decode(body[:-1])
    with pytest.raises(httpx.DecodingError):
        decoder.flush()


# Small functions: what they return was seen with 0.28.1.


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("to_bytes('é')", "é".encode()),
        ("to_bytes(b'x')", b"x"),
        ("to_bytes('é', 'latin-1')", b"\xe9"),
        ("to_str(b'\\xe9', 'latin-1')", "é"),
        ("to_str('x')", "x"),
        ("to_bytes_or_str('a', match_type_of=b'')", b"a"),
        ("to_bytes_or_str('a', match_type_of='')", "a"),
        ("unquote('\"abc\"')", "abc"),
        ("unquote('\"a')", '"a'),
        ("unquote('')", ""),
        ("is_ipv4_hostname('1.2.3.4')", True),
        ("is_ipv4_hostname('10.0.0.0/8')", True),
        ("is_ipv4_hostname('01.2.3.4')", False),
        ("is_ipv4_hostname('::1')", False),
        ("is_ipv6_hostname('::1')", True),
        ("is_ipv6_hostname('[::1]')", False),
        ("is_ipv6_hostname('example.org')", False),
        ("_is_known_encoding('utf-8')", True),
        ("_is_known_encoding('nope')", False),
        ("_normalize_header_key('X-A')", b"X-A"),
        ("_normalize_header_key(b'X-A')", b"X-A"),
        ("_normalize_header_value('é', 'utf-8')", "é".encode()),
        ("_normalize_header_value(b'v')", b"v"),
        (
            "list(_obfuscate_sensitive_headers([('Authorization', 'x'), ('a', 'b')]))",
            [("Authorization", "[secure]"), ("a", "b")],
        ),
        (
            "list(_obfuscate_sensitive_headers([(b'proxy-authorization', b'x')]))",
            [(b"proxy-authorization", b"[secure]")],
        ),
        ("_parse_content_type_charset('text/plain; CHARSET=\"UTF-8\"')", "utf-8"),
        ("_parse_content_type_charset('text/plain')", None),
        (
            "_parse_header_links('<a>; rel=next; title=\"x, y\", <b>')",
            [{"url": "a", "rel": "next", "title": "x, y"}, {"url": "b"}],
        ),
        ("_parse_header_links('')", []),
        ("_format_form_param('name', 'va\"l\\\\ue\\n')", b'name="va%22l\\\\ue%0A"'),
        ("_guess_content_type('a.txt')", "text/plain"),
        ("_guess_content_type('a.unheard')", "application/octet-stream"),
        ("_guess_content_type(None)", None),
        ("list(_skip_leading_empty_chunks([b'', b'a', b'', b'b']))", [b"a", b"", b"b"]),
        ("list(_skip_leading_empty_chunks([b'']))", []),
        ("PERCENT('é')", "%C3%A9"),
        ("percent_encoded('a b%20é', 'ab')", "a%20b%2520%C3%A9"),
        ("quote('a b%20%zzé', 'ab%')", "a%20b%20%zz%C3%A9"),
        ("encode_host('Exämple.com')", "xn--exmple-cua.com"),
        ("encode_host('1.2.3.4')", "1.2.3.4"),
        ("encode_host('')", ""),
        ("normalize_port('80', 'http')", None),
        ("normalize_port(81, 'http')", 81),
        ("normalize_port('', 'http')", None),
        ("normalize_path('/a/../b')", "/b"),
        ("normalize_path('a/./b')", "a/b"),
        ("normalize_path('/../a')", "/a"),
        ("normalize_path('/..')", ""),
        ("normalize_path('..')", ""),
        ("validate_path('/a', True, True)", None),
        ("validate_path('//a', True, False)", None),
    ],
)
def test_small_functions_return_what_they_did(call: str, value: object):
    assert eval(call, vars(_old_parts)) == value


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("encode_host('1.2.3.999')", httpx.InvalidURL),
        ("normalize_port('x', 'http')", httpx.InvalidURL),
        ("validate_path('a', True, True)", httpx.InvalidURL),
        ("validate_path('//a', False, False)", httpx.InvalidURL),
        ("validate_path(':a', False, False)", httpx.InvalidURL),
        ("_normalize_header_value(1)", TypeError),
        ("_normalize_header_key('é')", UnicodeEncodeError),
        ("DataField(b'a', 'b')", TypeError),
        ("DataField('a', [1])", TypeError),
        ("FileField('a', __import__('io').StringIO('x'))", TypeError),
    ],
)
def test_small_functions_refuse_what_they_did(call: str, error: type[Exception]):
    with pytest.raises(error):
        eval(call, vars(_old_parts))


def test_sets_of_safe_characters_are_those_of_0_28_1():
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    expected = {
        "FRAG_SAFE": "!#$%&'()*+,-./:;=?@[\\]^_{|}~",
        "QUERY_SAFE": "!$%&'()*+,-./:;=?@[\\]^_`{|}~",
        "PATH_SAFE": "!$%&'()*+,-./:;=@[\\]^_|~",
        "USERINFO_SAFE": "!$%&'()*+,-.:_~",
        "USERNAME_SAFE": "!$%&'()*+,-._~",
        "PASSWORD_SAFE": "!$%&'()*+,-._~",
    }
    for name, safe in expected.items():
        assert sorted(getattr(_old_parts, name)) == sorted(safe + letters), name


def test_the_size_of_a_file_is_known_without_reading(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with path.open("rb") as file:
        file.read(2)
        assert _old_parts.peek_filelike_length(file) == 6
        assert file.read() == b"cdef"
    assert _old_parts.peek_filelike_length(io.BytesIO(b"abc")) == 3
    assert _old_parts.peek_filelike_length(object()) is None
    assert _old_parts.peek_filelike_length([b"abc"]) is None


def test_fields_of_a_form():
    field = _old_parts.DataField("a", 3)
    assert (field.name, field.value, field.get_length()) == ("a", "3", 45)
    assert b"".join(field.render()) == b'Content-Disposition: form-data; name="a"\r\n\r\n3'
    assert field.render_headers() + field.render_data() == b"".join(field.render())
    file = io.BytesIO(b"abc")
    part = _old_parts.FileField("a", ("f.txt", file))
    assert (part.name, part.filename, part.file, part.headers) == ("a", "f.txt", file, {"Content-Type": "text/plain"})
    whole = b'Content-Disposition: form-data; name="a"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\nabc'
    assert b"".join(part.render()) == whole
    assert part.get_length() == len(whole)
    assert b"".join(_old_parts.FileField("a", b"abc").render_data()) == b"abc"


def test_origins_are_compared():
    url = httpx.URL
    assert _old_parts._same_origin(url("http://a"), url("http://a:80/x"))
    assert not _old_parts._same_origin(url("http://a"), url("https://a"))
    assert _old_parts._is_https_redirect(url("http://a"), url("https://a"))
    assert not _old_parts._is_https_redirect(url("http://a:81"), url("https://a"))
    assert _old_parts._port_or_default(url("https://a")) == 443
    assert _old_parts._port_or_default(url("ftp://a")) is None


# Streams.


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"", b"a", b"b")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def test_streams_of_0_28_1_yield_what_they_are_given_and_close_it():
    answer = httpx.Response(200)
    for make in (
        lambda pieces: _old_parts.BoundSyncStream(pieces, answer, 0.0),
        _old_parts.ResponseStream,
        _old_parts.WSGIByteStream,
    ):
        pieces = Pieces()
        stream = make(pieces)
        assert b"".join(stream) == b"ab"
        stream.close()
        assert pieces.closed == 1
    assert answer.elapsed.total_seconds() > 0
    _old_parts.ResponseStream([b"x"]).close()


async def closed_after_reading(stream: httpx.AsyncByteStream) -> bytes:
    body = b"".join([piece async for piece in stream])
    await stream.aclose()
    return body


def test_async_streams_of_0_28_1_yield_what_they_are_given_and_close_it():
    import asyncio

    answer = httpx.Response(200)
    for make in (
        lambda pieces: _old_parts.BoundAsyncStream(pieces, answer, 0.0),
        _old_parts.AsyncResponseStream,
    ):
        pieces = Pieces()
        assert asyncio.run(closed_after_reading(make(pieces))) == b"ab"
        assert pieces.closed == 1
    assert answer.elapsed.total_seconds() > 0
    assert asyncio.run(closed_after_reading(_old_parts.ASGIResponseStream([b"a", b"b"]))) == b"ab"


def test_events_are_those_of_the_library_that_runs():
    import asyncio

    import trio

    async def made() -> tuple[bool, object]:
        return _old_parts.is_running_trio(), _old_parts.create_event()

    assert trio.run(made)[0]
    assert isinstance(trio.run(made)[1], trio.Event)
    running, event = asyncio.run(made())
    assert not running
    assert isinstance(event, asyncio.Event)


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), _old_parts.map_httpcore_exceptions():
        raise KeyError("x")


def test_errors_of_httpcore_are_found_by_their_class(monkeypatch: pytest.MonkeyPatch):
    import types

    module = types.ModuleType("httpcore")
    names = _old_parts._MAPPED
    for name in names:
        setattr(module, name, type(name, (Exception,), {}))
    monkeypatch.setitem(sys.modules, "httpcore", module)
    monkeypatch.setattr(_old_parts, "HTTPCORE_EXC_MAP", {})
    for name in names:
        derived = type("Derived", (getattr(module, name),), {})
        with pytest.raises(getattr(httpx, name), match=r"^why$") as caught, _old_parts.map_httpcore_exceptions():
            raise derived("why")
        assert type(caught.value) is getattr(httpx, name)

    def failing() -> Iterator[bytes]:
        yield b"a"
        raise module.ReadError("cut")

    with pytest.raises(httpx.ReadError, match="cut"):
        list(_old_parts.ResponseStream(failing()))
    with pytest.raises(ValueError, match="other"), _old_parts.map_httpcore_exceptions():
        raise ValueError("other")
