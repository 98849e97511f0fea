"""Multipart bodies: their bytes, their length, what is refused, and that another parser reads them."""

from __future__ import annotations

import asyncio
import email
import email.policy
import gc
import io
import tempfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._exceptions import LocalProtocolError, StreamConsumed
from httpx._multipart import MultipartStream, get_multipart_boundary_from_content_type
from httpx._types import AsyncByteStream, SyncByteStream


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run an async function with either library."""

    def runner(function: Callable[..., Any], *args: Any) -> Any:
        return trio.run(function, *args) if request.param == "trio" else asyncio.run(function(*args))

    return runner


async def collect(stream: Any) -> list[bytes]:
    return [piece async for piece in stream]


class Reader:
    """A file that cannot seek and whose size is not known."""

    def __init__(self, content: bytes, name: Any = None) -> None:
        self.read = io.BytesIO(content).read
        if name is not None:
            self.name = name


class AsyncReader:
    """An async file of unknown size that can be rewound."""

    name = "async.txt"

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    async def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    async def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)


def multipart(data: Any = None, files: Any = None) -> tuple[dict[str, str], bytes]:
    """Headers and body with the boundary `B`; the length is checked."""
    stream = MultipartStream(data or {}, files or {}, boundary=b"B")
    headers = stream.get_headers()
    body = b"".join(stream)
    assert headers.get("Content-Length", str(len(body))) == str(len(body))
    assert headers["Content-Type"] == stream.content_type == "multipart/form-data; boundary=B"
    return headers, body


def part(disposition: str, content: bytes = b"x", *fields: str) -> bytes:
    """The whole body of one part."""
    head = "".join(f"{field}\r\n" for field in (f"Content-Disposition: form-data; {disposition}", *fields))
    return b"--B\r\n" + head.encode() + b"\r\n" + content + b"\r\n--B--\r\n"


OCTETS = "Content-Type: application/octet-stream"


# Fields


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("b", b"b"),
        ("é", b"\xc3\xa9"),
        (b"\xff", b"\xff"),
        (bytearray(b"x"), b"x"),
        (1, b"1"),
        (1.5, b"1.5"),
        (True, b"true"),
        (False, b"false"),
        (None, b""),
        ("line\r\nbreak", b"line\r\nbreak"),
    ],
)
def test_a_field_is_a_part_without_a_type(value: Any, content: bytes) -> None:
    headers, body = multipart({"a": value})
    assert body == part('name="a"', content)
    assert list(headers) == ["Content-Length", "Content-Type"]


@pytest.mark.parametrize("data", [{"a": ["1", 2], "b": ("3",), "c": []}, [("a", "1"), ("a", 2), ["b", "3"]]])
def test_a_list_makes_one_part_for_each_item(data: Any) -> None:
    _, body = multipart(data)
    assert (
        body
        == b"".join(
            b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % pair
            for pair in [(b"a", b"1"), (b"a", b"2"), (b"b", b"3")]
        )
        + b"--B--\r\n"
    )


def test_nothing_is_the_last_delimiter_only() -> None:
    assert multipart()[1] == b"--B--\r\n"
    assert b"".join(MultipartStream(None, None, boundary=b"B")) == b"--B--\r\n"  # type: ignore[arg-type]  # is taken


# Files


PAIR = namedtuple("PAIR", "filename content")


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (b"x", part('name="f"; filename="upload"', b"x", OCTETS)),
        ("é", part('name="f"; filename="upload"', b"\xc3\xa9", OCTETS)),
        (bytearray(b"x"), part('name="f"; filename="upload"', b"x", OCTETS)),
        (memoryview(b"x"), part('name="f"; filename="upload"', b"x", OCTETS)),
        (io.BytesIO(b"x"), part('name="f"; filename="upload"', b"x", OCTETS)),
        (("n.txt", b"x"), part('name="f"; filename="n.txt"', b"x", "Content-Type: text/plain")),
        (PAIR("n.txt", b"x"), part('name="f"; filename="n.txt"', b"x", "Content-Type: text/plain")),
        (("n.JPG", b"x"), part('name="f"; filename="n.JPG"', b"x", "Content-Type: image/jpeg")),
        (("n.unknown-type", b"x"), part('name="f"; filename="n.unknown-type"', b"x", OCTETS)),
        (("n.png", b"x", None), part('name="f"; filename="n.png"', b"x", "Content-Type: image/png")),
        (("n.txt", "x", "text/x"), part('name="f"; filename="n.txt"', b"x", "Content-Type: text/x")),
        ((None, b"x"), part('name="f"')),
        (("", b"x"), part('name="f"')),
        ((None, b"x", "application/json"), part('name="f"', b"x", "Content-Type: application/json")),
        (("n", b"x", None, None), part('name="f"; filename="n"', b"x", OCTETS)),
        (
            ("n", b"x", "image/y", {"X-A": "b", "X-B": 5}),
            part('name="f"; filename="n"', b"x", "X-A: b", "X-B: 5", "Content-Type: image/y"),
        ),
        (("n", b"x", "image/y", {"content-type": "b"}), part('name="f"; filename="n"', b"x", "content-type: b")),
    ],
)
def test_every_form_of_a_file(value: Any, body: bytes) -> None:
    assert multipart(files={"f": value})[1] == body
    assert multipart(files=[("f", value)])[1] == body


def test_the_headers_that_were_given_are_left_alone() -> None:
    headers = {"X-A": "b"}
    multipart(files={"f": ("n", b"x", None, headers)})
    assert headers == {"X-A": "b"}


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("/some/where/n.bin", "n.bin"),
        (b"/some/where/n.bin", "n.bin"),
        (Path("some/n.bin"), "n.bin"),
        (7, "7"),  # the descriptor, of a file that has no name
        ("some/", "upload"),
        ("", "upload"),
    ],
)
def test_the_filename_of_a_file_object_is_the_last_part_of_its_name(name: Any, filename: str) -> None:
    headers, body = multipart(files={"f": Reader(b"x", name)})
    assert b'filename="%b"' % filename.encode() in body
    assert headers["Transfer-Encoding"] == "chunked"


def test_fields_come_before_files_and_names_may_repeat() -> None:
    _, body = multipart({"a": "1"}, [("f", b"2"), ("f", b"3")])
    assert [body.index(piece) for piece in (b"\r\n1\r\n", b"\r\n2\r\n", b"\r\n3\r\n")] == sorted(
        body.index(piece) for piece in (b"\r\n1\r\n", b"\r\n2\r\n", b"\r\n3\r\n")
    )
    assert body.count(b'name="f"') == 2


def test_a_file_is_sent_whole_wherever_it_stands() -> None:
    """A buffer that was just written stands at its end; as in 0.28.1, nobody has to think of that."""
    file = io.BytesIO()
    file.write(b"abcdef")
    stream = MultipartStream({}, {"f": file}, boundary=b"B")
    expected = part('name="f"; filename="upload"', b"abcdef", OCTETS)
    assert stream.get_headers()["Content-Length"] == str(len(expected))
    assert file.tell() == 6
    assert b"".join(stream) == b"".join(stream) == expected


def test_files_on_disk_are_streamed_in_pieces() -> None:
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(b"x" * 200_000)
        stream = MultipartStream({"a": "b"}, {"f": file, "g": b"y" * 50_000}, boundary=b"B")
        pieces = list(stream)
        assert stream.get_content_length() == len(b"".join(pieces))
        assert max(map(len, pieces)) == 65_536
        assert Path(file.name).name.encode() in pieces[0]


def test_what_is_in_memory_is_copied_only_when_small() -> None:
    large = b"x" * 1_000_000
    pieces = list(MultipartStream({"a": "1", "b": "2"}, {"f": large, "g": b"small"}, boundary=b"B"))
    assert len(pieces) == 3
    assert pieces[1] is large


def test_no_piece_is_empty() -> None:
    """In a chunked body an empty piece looks like its end."""
    pieces = list(MultipartStream({"n" * 20_000: b"x" * 20_000}, {"f": b"", "g": io.BytesIO()}, boundary=b"B"))
    assert all(pieces)


def test_a_file_that_cannot_seek_is_chunked_and_read_once(run: Any) -> None:
    stream = MultipartStream({}, {"f": Reader(b"x")}, boundary=b"B")  # type: ignore[dict-item]  # only reads
    assert stream.get_headers() == {
        "Transfer-Encoding": "chunked",
        "Content-Type": "multipart/form-data; boundary=B",
    }
    assert b"".join(stream) == part('name="f"; filename="upload"', b"x", OCTETS)
    with pytest.raises(StreamConsumed):
        list(stream)
    with pytest.raises(StreamConsumed):
        run(collect, stream)


# Async


@pytest.mark.parametrize(
    "files",
    [{}, {"f": b"x"}, {"f": io.BytesIO(b"x" * 100_000)}, [("f", b"x" * 100_000), ("g", io.BytesIO()), ("h", b"y")]],
)
def test_async_code_gets_the_same_body(files: Any, run: Any) -> None:
    stream = MultipartStream({"a": "b"}, files, boundary=b"B")
    assert isinstance(stream, SyncByteStream)
    assert isinstance(stream, AsyncByteStream)
    assert run(collect, stream) == list(stream) == run(collect, stream)


def test_async_files_are_sent_in_async_code(run: Any) -> None:
    files = [("f", AsyncReader(b"x" * 100_000)), ("g", io.BytesIO(b"y")), ("h", ("n", AsyncReader(b"z")))]
    stream = MultipartStream({}, files, boundary=b"B")  # type: ignore[arg-type]  # wider than declared
    assert stream.get_content_length() is None
    body = b"".join(run(collect, stream))
    assert b"".join(run(collect, stream)) == body
    assert b'filename="async.txt"\r\nContent-Type: text/plain\r\n\r\n' + b"x" * 100_000 + b"\r\n--B\r\n" in body
    assert body.endswith(b"\r\n\r\nz\r\n--B--\r\n")


def test_trios_files_have_a_length(tmp_path: Any) -> None:
    path = tmp_path / "n.txt"
    path.write_bytes(b"abc")

    async def main() -> None:
        async with await trio.open_file(path, "rb") as file:
            stream = MultipartStream({}, {"f": file}, boundary=b"B")  # type: ignore[dict-item]  # wider than declared
            body = b"".join(await collect(stream))
            assert body == part('name="f"; filename="n.txt"', b"abc", "Content-Type: text/plain")
            assert stream.get_content_length() == len(body)

    trio.run(main)


def test_the_async_iterator_is_iterable_itself() -> None:
    iterator = MultipartStream({}, {}).__aiter__()
    assert iterator.__aiter__() is iterator


def test_async_files_in_sync_code_are_an_error_before_anything_is_sent() -> None:
    stream = MultipartStream({"a": "b"}, {"f": AsyncReader(b"x")}, boundary=b"B")  # type: ignore[dict-item]
    with pytest.raises(RuntimeError, match="cannot send an async file with a sync client"):
        next(iter(stream))


def test_an_upload_that_is_left_early_leaves_no_generator_behind(run: Any) -> None:
    async def upload() -> None:
        async for _ in MultipartStream({}, {"f": AsyncReader(b"x" * 100_000)}, boundary=b"B"):  # type: ignore[dict-item]
            break
        gc.collect()

    run(upload)


# What is refused


@pytest.mark.parametrize(
    ("data", "files", "message"),
    [
        (b"raw", {}, "data is bytes, expected a mapping"),
        (["a"], {}, "data is list, expected a mapping"),
        ({1: "x"}, {}, r"data has a name of type int \(1\)"),
        ({b"a": "x"}, {}, "data has a name of type bytes"),
        ({"a": {"x": 1}}, {}, r"data\['a'\] holds a dict"),
        ({"a": [["x"]]}, {}, r"data\['a'\] holds a list"),
        ({"a": object()}, {}, r"data\['a'\] holds a object"),
        ({}, b"raw", "files is bytes, expected a mapping"),
        ({}, {5: b"x"}, "files has a name of type int"),
        ({}, {"f": 5}, r"files\['f'\] is int, expected bytes"),
        ({}, {"f": None}, r"files\['f'\] is NoneType, expected bytes"),
        ({}, {"f": ["n", b"x"]}, r"files\['f'\] is list, expected bytes"),
        ({}, {"f": Path("n")}, r"files\['f'\] is .*Path, expected bytes"),
        ({}, {"f": ("n", 5)}, r"files\['f'\] is int, expected bytes"),
        ({}, {"f": ("n",)}, r"files\['f'\] is a tuple of 1"),
        ({}, {"f": ("n", b"", None, {}, 5)}, r"files\['f'\] is a tuple of 5"),
        ({}, {"f": (1, b"x")}, r"files\['f'\] has a filename of type int"),
        ({}, {"f": io.StringIO("x")}, r"files\['f'\] is a file opened in text mode"),
    ],
)
def test_what_is_no_form_is_refused_by_name(data: Any, files: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        MultipartStream(data, files)


def test_a_file_opened_in_text_mode_is_refused() -> None:
    with open(__file__) as file, pytest.raises(TypeError, match="a file opened in text mode"):
        MultipartStream({}, {"f": file})  # type: ignore[dict-item]  # the point of the test


@pytest.mark.parametrize("bad", ["\r\n", "\r", "\n", "\0"])
@pytest.mark.parametrize(
    "value",
    [
        lambda bad: ("n", b"x", f"text/plain{bad}X: y"),
        lambda bad: ("n", b"x", None, {"X-A": f"a{bad}b"}),
        lambda bad: ("n", b"x", None, {f"X-{bad}A": "b"}),
    ],
)
def test_line_breaks_in_the_header_of_a_part_are_refused(bad: str, value: Any) -> None:
    """One could add a header or a whole part."""
    with pytest.raises(LocalProtocolError, match=r"header '.*' of multipart field 'f' contains CR, LF or NUL"):
        MultipartStream({}, {"f": value(bad)})


@pytest.mark.parametrize(("data", "files", "what"), [({"a\0": "x"}, {}, "name"), ({}, {"f": ("\0", b"x")}, "filename")])
def test_nul_in_a_name_or_filename_is_refused(data: Any, files: Any, what: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"multipart {what} .* contains NUL"):
        MultipartStream(data, files)


@pytest.mark.parametrize(
    ("data", "files"),
    [({"a": "\ud800"}, {}), ({"\ud800": "x"}, {}), ({}, {"f": "\ud800"}), ({}, {"f": ("\ud800", b"x")})],
)
def test_half_a_surrogate_pair_is_refused(data: Any, files: Any) -> None:
    with pytest.raises(LocalProtocolError, match="a lone surrogate"):
        MultipartStream(data, files)


# Names


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ('a"b', "a%22b"),
        ("a\r\nb", "a%0D%0Ab"),
        ("a\\b", "a\\\\b"),
        ("\x01\t\x1b\x1f\x7f", "%01%09\x1b%1F\x7f"),
        ("é 😀 %22", "é 😀 %22"),
    ],
)
def test_names_are_escaped_as_in_0_28_1(name: str, escaped: str) -> None:
    """WHATWG HTML for quotes and line breaks; the rest is what servers have been getting."""
    assert multipart({name: "x"})[1] == part(f'name="{escaped}"')
    assert multipart(files={"f": (name, b"x", "a/b")})[1] == part(
        f'name="f"; filename="{escaped}"', b"x", "Content-Type: a/b"
    )


# Boundaries


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (None, None),
        (b"", None),
        (b"multipart/form-data", None),
        (b"multipart/form-data; charset=utf-8; ", None),
        (b"multipart/mixed; boundary=a", None),
        (b"text/plain; boundary=a", None),
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b"multipart/form-data;boundary=abc ", b"abc"),
        (b"multipart/form-data; charset=x; BOUNDARY=Q", b"Q"),
        (b"Multipart/Form-Data; boundary=+++; charset=utf-8", b"+++"),
        (b'multipart/form-data; boundary="a b"', b"a b"),
        (b'multipart/form-data; x="; boundary=no"; boundary="a;b"', b"a;b"),
        (b'multipart/form-data; boundary="a\\"b"', b'a"b'),
        (b"multipart/form-data; boundary='z'", b"'z'"),
        (b"multipart/form-data; boundary=", b""),
        (b"multipart/form-data; boundary=\xe9", b"\xe9"),
    ],
)
def test_the_boundary_of_a_content_type(content_type: Any, boundary: Any) -> None:
    assert get_multipart_boundary_from_content_type(content_type) == boundary


@settings(max_examples=100)
@given(boundary=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=70))
def test_a_boundary_survives_its_header(boundary: str) -> None:
    stream = MultipartStream({}, {}, boundary=boundary.encode())
    assert get_multipart_boundary_from_content_type(stream.content_type.encode()) == boundary.encode()


@settings(max_examples=100)
@given(content_type=st.binary(max_size=60))
def test_no_content_type_raises(content_type: bytes) -> None:
    get_multipart_boundary_from_content_type(b"multipart/form-data;" + content_type)


@pytest.mark.parametrize("boundary", [b"", b"a\r\nb", b"a\0", b"\xe9"])
def test_a_boundary_that_breaks_the_header_is_refused(boundary: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="multipart boundary"):
        MultipartStream({}, {}, boundary=boundary)


def test_boundaries_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = MultipartStream({}, {}), MultipartStream({}, {})
    assert first.boundary != second.boundary
    monkeypatch.setattr("os.urandom", lambda size: b"\xab" * size)
    assert MultipartStream({}, {}).content_type == f"multipart/form-data; boundary={'ab' * 16}"


# Another parser


NAMES = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters='"\\%'), min_size=1, max_size=10
)


def parsed(headers: dict[str, str], body: bytes) -> Iterator[tuple[Any, Any, Any]]:
    """Name, filename and content of the parts, by the standard library's parser for mail."""
    message = email.message_from_bytes(
        b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    for one in message.iter_parts():
        yield one.get_param("name", header="content-disposition"), one.get_filename(), one.get_payload(decode=True)


@settings(max_examples=50)
@given(
    data=st.lists(st.tuples(NAMES, st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))),
    files=st.lists(
        st.tuples(NAMES, st.binary(max_size=50).filter(lambda content: b"\r" not in content and b"\n" not in content))
    ),
)
def test_another_parser_reads_what_was_given(data: Any, files: Any) -> None:
    stream = MultipartStream(data, [("f", (name, content, "a/b")) for name, content in files])
    parts = list(parsed(stream.get_headers(), b"".join(stream)))
    assert [content for _, _, content in parts] == [
        *(text.encode() for _, text in data),
        *(content for _, content in files),
    ]
    assert len({name for name, _, _ in parts[len(data) :]}) <= 1
