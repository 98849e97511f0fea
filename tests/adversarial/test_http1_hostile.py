"""
What hostile peers and careless callers try on HTTP/1.1, and what it must never lead to: one rule, one test, its harm.

The rules are those on which trust in a client rests; each broke a well-known one. Work is measured by counting the
bytes that the machine touches (`Weighed`), not by a clock, wherever the work is Python's to count.
"""

from __future__ import annotations

import re
import sys
import time
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._protocol.exchange import BODY, INPUT, NOTHING, OUTPUT, HeadLimits
from httpx._protocol.http1 import FieldWriter, HTTP1Exchange
from support.linear import linear
from support.wires import cut, cuts

Fields = list[tuple[bytes, bytes]]

HOST = (b"Host", b"victim.example")
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
INTERIM = b"HTTP/1.1 103 x\r\n\r\n"


def asked(method: bytes = b"GET", fields: Optional[Fields] = None, **kwargs: Any) -> HTTP1Exchange:
    """An exchange whose request went out."""
    exchange = HTTP1Exchange(method, b"/", [HOST, *(fields or [])], **kwargs)
    while exchange.need == OUTPUT:
        exchange.take()
    return exchange


def receive(exchange: HTTP1Exchange, *pieces: bytes) -> HTTP1Exchange:
    for piece in pieces:
        exchange.receive(piece)
    return exchange


def body_of(exchange: HTTP1Exchange) -> bytes:
    return b"".join(exchange.chunks)


def refused(message: bytes, method: bytes = b"GET") -> str:
    """The error that a message leads to in whatever way it is cut; nobody gets the connection afterwards."""
    text = ""
    for pieces in cuts(message, rounds=3):
        exchange = receive(asked(method), *pieces)
        assert type(exchange.error) is httpx.RemoteProtocolError, (message, pieces)
        assert exchange.need == NOTHING
        assert not exchange.finished
        assert not exchange.reusable
        text = str(exchange.error)
        assert len(text) < 200
    return text


class Weighed(bytes):
    """Bytes that count how many of them are copied and how many are searched."""

    copied = 0
    searched = 0

    def _copy(self, data: bytes) -> Weighed:
        Weighed.copied += len(data)
        return Weighed(data)

    def _search(self, start: Optional[int], end: Optional[int], found: int) -> None:
        first, last, _ = slice(start, end).indices(len(self))
        Weighed.searched += max(0, (last if found < 0 else found) - first)

    def __getitem__(self, index: Any) -> Any:
        return self._copy(bytes.__getitem__(self, index))

    def __add__(self, other: Any) -> Weighed:
        return self._copy(bytes.__add__(self, other))

    def __radd__(self, other: bytes) -> Weighed:
        return self._copy(bytes.__add__(other, self))

    def find(self, sub: Any, start: Any = None, end: Any = None) -> int:
        found = bytes.find(self, sub, start, end)
        self._search(start, end, found)
        return found

    def count(self, sub: Any, start: Any = None, end: Any = None) -> int:
        self._search(start, end, -1)
        return bytes.count(self, sub, start, end)

    def split(self, *args: Any) -> Any:
        Weighed.copied += len(self)
        return bytes.split(self, *args)

    def replace(self, *args: Any) -> Weighed:
        return self._copy(bytes.replace(self, *args))


def weigh(exchange: HTTP1Exchange, pieces: list[bytes]) -> tuple[int, int]:
    """How many bytes are copied and searched while the pieces are received."""
    Weighed.copied = Weighed.searched = 0
    receive(exchange, *map(Weighed, pieces))
    return Weighed.copied, Weighed.searched


# -- reuse


WITHOUT_MORE = [
    (b"GET", OK + b"Content-Length: 2\r\n\r\nhi"),
    (b"GET", OK + b"Content-Length: 0\r\n\r\n"),
    (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    (b"HEAD", OK + b"Content-Length: 99\r\n\r\n"),
    (b"HEAD", CHUNKED),
    (b"GET", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"),
    (b"GET", CHUNKED + b"0\r\nTrailer: x\r\n\r\n"),
]


@pytest.mark.parametrize(("method", "answer"), WITHOUT_MORE)
def test_a_second_answer_never_waits_on_a_connection_for_the_next_request(method: bytes, answer: bytes) -> None:
    """Its sender would choose what the next request there is answered, maybe another user's (CVE-2026-6733)."""
    assert receive(asked(method), answer).reusable
    for surplus in (STOLEN, STOLEN[:1], b"\r\n", b"\n", b"\0"):
        for pieces in [*cuts(answer + surplus, rounds=3), [answer, surplus]]:
            exchange = receive(asked(method), *pieces)
            assert exchange.finished
            assert not exchange.reusable
            assert exchange.surplus == surplus
            assert b"stolen" not in body_of(exchange)


def test_an_answer_that_was_sent_before_the_request_is_not_taken_for_its_answer() -> None:
    """The last exchange's peer would answer this one: what was on the wire before we spoke cannot be for us."""
    exchange = receive(HTTP1Exchange(b"GET", b"/", [HOST]), STOLEN)
    assert exchange.error is not None
    assert exchange.head is None
    assert exchange.chunks == []
    assert not exchange.reusable
    # Nothing was asked here, so that the request may go elsewhere.
    assert exchange.untouched
    assert exchange.take() == b""


def test_the_body_of_an_answer_that_must_have_none_is_not_read_as_the_next_answer() -> None:
    """A 204 with a body, or a HEAD that is answered with one: its bytes would be parsed as the next head."""
    for method, status in ((b"GET", b"204 x"), (b"GET", b"304 x"), (b"HEAD", b"200 x")):
        head = b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(STOLEN)
        exchange = receive(asked(method), head + STOLEN)
        assert exchange.finished
        assert not exchange.reusable


@given(st.integers(0, 200), st.sampled_from(WITHOUT_MORE))
def test_a_connection_is_not_reusable_at_any_moment_before_the_end(at: int, case: tuple[bytes, bytes]) -> None:
    """A cancelled exchange would leave the rest of its answer to the next request."""
    method, answer = case
    exchange = receive(asked(method), *[piece for piece in [answer[: min(at, len(answer) - 1)]] if piece])
    assert not exchange.finished
    assert not exchange.reusable


def test_a_request_that_was_not_sent_whole_gives_up_its_connection_whatever_the_answer() -> None:
    """The peer would read the next request's head as the rest of this one's body."""
    for status in (b"200 OK", b"413 Too Large"):
        answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
        streaming = asked(b"POST", [(b"Content-Length", b"9")], body=b"half", streaming=True)
        known = HTTP1Exchange(b"POST", b"/", [HOST, (b"Content-Length", b"1000000")], bytes(1_000_000))
        known.take()
        held = asked(b"POST", [(b"Content-Length", b"4"), (b"Expect", b"100-continue")], body=b"body")
        shortened = asked()
        shortened.cut_short()
        for exchange in (streaming, known, held, shortened):
            receive(exchange, answer)
            assert exchange.finished
            assert not exchange.reusable
            assert exchange.take() == b""


def test_a_connection_that_the_peer_closes_after_its_answer_is_not_kept() -> None:
    """The next request would be lost on it."""
    assert not receive(asked(), OK + b"Content-Length: 0\r\n\r\n", b"").reusable
    assert not receive(asked(), OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n").reusable


@pytest.mark.parametrize("first", [b"H", b"\0", INTERIM])
def test_one_byte_of_an_answer_is_enough_to_know_that_the_request_had_an_effect(first: bytes) -> None:
    """A request was sent again although the server had begun to answer it: it was carried out twice."""
    assert asked().untouched
    assert receive(asked(), b"").untouched
    assert not receive(asked(), first, b"").untouched


# -- one gate for what goes out


INJECTIONS = [b"\r\nX: y", b"\nX: y", b"\rX: y", b"\0", b"\r\n\r\nGET /admin HTTP/1.1\r\nHost: victim", b"\r", b"\n"]


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("place", ["method", "target", "name", "value", "host", "framing"])
def test_nothing_that_a_caller_passes_on_can_write_a_second_request(place: str, injection: bytes) -> None:
    """A value that a user of the caller chose would become fields or a request of its own (CVE-2019-11236)."""
    given_ = {
        "method": (b"GET" + injection, b"/", [HOST]),
        "target": (b"GET", b"/" + injection, [HOST]),
        "name": (b"GET", b"/", [HOST, (b"X" + injection, b"")]),
        "value": (b"GET", b"/", [HOST, (b"X-Name", b"x" + injection)]),
        "host": (b"GET", b"/", [(b"Host", b"x" + injection)]),
        "framing": (b"GET", b"/", [HOST, (b"Content-Length", b"0" + injection)]),
    }[place]
    writer = FieldWriter()
    for _ in range(2):  # what is refused is not remembered either
        with pytest.raises(httpx.LocalProtocolError):
            HTTP1Exchange(*given_, writer=writer)


@given(
    st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=8)), max_size=3),
    st.binary(max_size=8),
    st.binary(max_size=8),
)
def test_whatever_passes_the_gate_is_one_request(fields: Fields, method: bytes, target: bytes) -> None:
    """Whatever the bytes: refused, or exactly the lines that were meant."""
    try:
        sent = HTTP1Exchange(method, target, [HOST, *fields]).take()
    except httpx.LocalProtocolError:
        return
    head, blank, rest = sent.partition(b"\r\n\r\n")
    assert (blank, rest) in ((b"\r\n\r\n", b""), (b"\r\n\r\n", b"0\r\n\r\n"))
    lines = re.split(rb"\r\n|\r|\n|\0", head)
    assert lines[0] == b"%b %b HTTP/1.1" % (method, target)
    assert lines[0].split() == [method, target, b"HTTP/1.1"]
    assert lines[1:] == [b"%b: %b" % field for field in [HOST, *fields]]


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"4"), (b"Transfer-Encoding", b"chunked")],
        [(b"content-length", b"4"), (b"TRANSFER-ENCODING", b"CHUNKED")],
        [(b"Content-Length", b"4"), (b"Content-Length", b"4")],
        [(b"Content-Length", b"4, 4")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"\x0bchunked")],
        [(b"Host", b"other")],
    ],
)
def test_a_request_has_one_framing_and_one_host(fields: Fields) -> None:
    """A proxy and a server that choose differently see two requests where one was sent: request smuggling."""
    with pytest.raises(httpx.LocalProtocolError):
        HTTP1Exchange(b"POST", b"/", [HOST, *fields], b"body")


def test_a_body_cannot_outgrow_its_announced_length() -> None:
    """The surplus would be the next request on the connection."""
    with pytest.raises(httpx.LocalProtocolError):
        HTTP1Exchange(b"POST", b"/", [HOST, (b"Content-Length", b"3")], b"abcGET /")
    exchange = asked(b"POST", [(b"Content-Length", b"3")], streaming=True)
    with pytest.raises(httpx.LocalProtocolError):
        exchange.feed(b"abcGET /")
    assert exchange.take() == b""


def test_errors_about_a_request_name_no_secret() -> None:
    """The text of an exception ends up in logs: it has the name and the place, never the value of a header."""
    with pytest.raises(httpx.LocalProtocolError) as caught:
        HTTP1Exchange(b"GET", b"/", [HOST, (b"Authorization", b"Bearer secret\r\n")])
    assert str(caught.value) == "header 'Authorization' contains a newline at position 13"


# -- what comes in: where a message ends


@pytest.mark.parametrize(
    "lengths",
    [
        *(b"5\r\nContent-Length: 6", b"5, 6", b"5\r\nContent-Length: 5, 6", b"+5", b"-0", b"5_0", b"0x5", b" ", b"5 6"),
        *(b"\xb2", b"\xd9\xa5", b"5;", b"5.0", b"1e2", b"5\r\ncontent-length: 0", b"9223372036854775808"),
    ],
)
def test_a_length_that_two_readers_could_read_differently_is_refused(lengths: bytes) -> None:
    """Whoever believes the other number sees the answer end elsewhere, and serves the rest to somebody else."""
    assert "Content-Length" in refused(OK + b"Content-Length: " + lengths + b"\r\n\r\nhello!")


def test_a_length_of_thousands_of_digits_is_a_protocol_error_and_no_value_error() -> None:
    """int() refuses more than 4,300 digits with a ValueError, which left the library; before, it took minutes."""
    limit = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 4300
    for count in (20, limit + 700, 60_000):
        assert "is not a number" in refused(OK + b"Content-Length: " + b"1" * count + b"\r\n\r\nx")
    assert "does not repeat one number" in refused(OK + b"Content-Length: " + b"5," * 3000 + b"5" * 5000 + b"\r\n\r\nx")
    assert "is not a chunk size" in refused(CHUNKED + b"1" * 3000 + b"\r\n")


@pytest.mark.parametrize("length", [b"0", b"5", b"9", b"99999"])
def test_a_length_beside_chunked_is_the_last_thing_on_its_connection(length: bytes) -> None:
    """
    The classic of smuggling: one side goes by the length, the other by the chunks.

    RFC 9112 6.3 says who is right, so the body is certain; a relay before us may not know that, and what it takes for
    the next response would be answered to the next request. There is none here, whatever the fields say.
    """
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    for framing in (
        b"Content-Length: " + length + b"\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nContent-Length: " + length + b"\r\n",
    ):
        for surplus in (b"", STOLEN):
            for pieces in cuts(OK + framing + b"\r\n" + chunks + surplus, rounds=3):
                exchange = receive(asked(), *pieces)
                assert exchange.finished
                assert body_of(exchange) == b"hello"
                assert not exchange.reusable


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: gzip, chunked",
        b"Content-Length: 5\r\nTransfer-Encoding: identity",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nTransfer-Encoding:\x0bchunked",
        b"Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked",
        b"Content-Length: x\r\nTransfer-Encoding: chunked",
    ],
)
def test_framing_fields_that_need_a_choice_are_refused(framing: bytes) -> None:
    """Only "chunked wins" is a rule; a length beside a coding that some do not see is the attack itself."""
    refused(OK + framing + b"\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "coding",
    [
        b"gzip",
        b"chunked, gzip",
        b"gzip, chunked",
        b"chunked, chunked",
        b"identity",
        b"xchunked",
        b"chunked,",
        b"",
        b'"chunked"',
    ],
)
def test_a_transfer_encoding_that_only_some_understand_is_refused(coding: bytes) -> None:
    """Whoever does not see "chunked" in it reads until the close, and whoever does stops at the last chunk."""
    assert "expected 'chunked'" in refused(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n")


def test_chunks_relayed_as_http_1_0_are_the_last_thing_on_their_connection() -> None:
    """A relay that speaks HTTP/1.0 knows no chunks: what it took for the end may be in the middle (RFC 9112 6.1)."""
    head = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchange = receive(asked(), head + b"0\r\n\r\n")
    assert exchange.finished
    assert not exchange.reusable


@pytest.mark.parametrize(
    "size",
    [
        *(
            b"",
            b"g",
            b"0x5",
            b"+5",
            b"-5",
            b" 5",
            b"\t5",
            b"5 5",
            b"5 5;x",
            b"1 \t0",
            b"5\x0c",
            b"5 \x0b;x",
            b"5 x;",
            b" ",
            b" ;x",
            b"5;\0",
            b"5;\x0b",
            b"5;a\rb",
            b"\xef\xbc\x95",
            b"5_",
            b"5h",
        ),
        *(b"5;a\n", b"5\r", b"5,5", b"00000000000000005"),
    ],
)
def test_a_chunk_size_is_hex_digits_and_crlf_and_nothing_else(size: bytes) -> None:
    """
    What one reader takes for a size and another does not moves the end of the message (CVE-2025-22871).

    Blanks before or inside a size are such a thing; after it they are not, and old servers pad with them.
    """
    refused(CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n")


def test_a_bare_lf_ends_no_line_of_the_chunked_framing() -> None:
    """A reader that takes it and one that does not find two different messages in the same bytes (CVE-2025-22871)."""
    for chunks in (
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
    ):
        refused(CHUNKED + chunks)
    for chunks in (b"5;x\nhello\r\n0\r\n\r\n", b"0\r\nA: b\n\r\n", b"0\r\nA: b\nB: c\r\n\r\n", b"0\r\nA: b\r\n\n"):
        refused(CHUNKED + chunks)


def test_what_stands_after_the_data_of_a_chunk_is_checked() -> None:
    """Two bytes skipped unread let a wrong size pass, and the attacker's data become framing (CVE-2025-43859)."""
    for end in (b"XX", b"\r\r", b"\n\r", b"\n\n", b"X\n", b"\rX", b"0\r"):
        assert "a chunk is followed by" in refused(CHUNKED + b"5\r\nhello" + end + b"0\r\n\r\n")


def test_a_huge_chunk_is_refused_or_awaited_and_never_reserved_or_wrapped_around() -> None:
    """A size that overflows a counter makes the reader see a small chunk where a huge one was announced."""
    for size in (b"8000000000000000", b"ffffffffffffffff", b"FFFFFFFFFFFFFFFF"):
        assert "a chunk is too large" in refused(CHUNKED + size + b"\r\nx")
    assert "is not a chunk size" in refused(CHUNKED + b"10000000000000005\r\nhello\r\n")
    exchange = receive(asked(), CHUNKED + b"7fffffffffffffff\r\nx")
    assert exchange.error is None
    assert exchange.need == INPUT
    assert body_of(exchange) == b"x"


def test_a_body_that_is_cut_off_never_passes_for_a_whole_one() -> None:
    """Half a file, half a JSON document, half a list of permissions: taken for all of it."""
    length = OK + b"Content-Length: 5\r\n\r\nhello"
    chunked = CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"
    for message in (length, chunked):
        for end in range(1, len(message)):
            exchange = receive(asked(), message[:end], b"")
            assert exchange.error is not None
            assert not exchange.finished


# -- what comes in: what is a head


@pytest.mark.parametrize(
    "answer", [b"<html>hi</html>", b"hello\n\n", b"\0" * 10, b"OK\r\n\r\n", b" HTTP/1.1 200 OK\r\n\r\n"]
)
def test_http_0_9_is_refused_at_its_first_bytes(answer: bytes) -> None:
    """Any service that echoes what it got would be an HTTP server, and its bytes an answer without a head."""
    assert "instead of an HTTP/1.x status line" in refused(answer)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"X: a\rSet-Cookie: b=c",
            b"X: a\r",
            b"\rX: a",
            b"X\r: a",
            b"X: a\0",
            b"X\0: a",
            b"\0: a",
            b"X: a\x0bY: b",
            b"X: \x0c",
        ),
        *(b"X: a\r\n ", b"X: a\r\n\t ", b"X: a\r\n Content-Length: 9", b"X: a\r\n b\r\n\tTransfer-Encoding\t: chunked"),
        *(b"Content-Length: 1\r\n 0", b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: x,\r\n\tchunked"),
        *(b" X: a", b"\tX: a", b"X : a", b"X\t: a", b"X", b": a", b"X y: a", b"\xe9: a"),
    ],
)
def test_a_line_that_readers_see_differently_is_refused(line: bytes) -> None:
    """
    Response splitting and its kin: a bare CR that ends a line for one reader, a fold in a framing field or one that
    reads as a framing field to another, a blank line that is not empty, a blank before the colon that hides a
    Content-Length from a third.
    """
    refused(OK + line + b"\r\nContent-Length: 0\r\n\r\n")
    refused(CHUNKED + b"0\r\n" + line + b"\r\n\r\n")


def test_an_answer_cannot_be_split_by_what_it_reflects() -> None:
    """A value with CRLF that a server reflects makes two answers; the second must not be anybody's."""
    reflected = b"/\r\nContent-Length: 0\r\n\r\n" + STOLEN
    exchange = receive(asked(), b"HTTP/1.1 302 Found\r\nLocation: " + reflected + b"\r\nContent-Length: 0\r\n\r\n")
    assert exchange.finished
    assert body_of(exchange) == b""
    assert not exchange.reusable


def test_trailers_cannot_change_the_framing_or_the_fields() -> None:
    """A Content-Length or Set-Cookie behind the body would slip past whoever checked the head."""
    exchange = receive(asked(), CHUNKED + b"1\r\nx\r\n0\r\nContent-Length: 99\r\nSet-Cookie: a=b\r\n\r\n")
    assert exchange.reusable
    assert exchange.head is not None
    assert exchange.head[2] == [(b"Transfer-Encoding", b"chunked")]
    assert not exchange.remarkable


def test_an_upgrade_that_nobody_asked_for_is_refused() -> None:
    """The connection would be handed out raw, with the attacker's bytes as another protocol's."""
    assert "asked for no upgrade" in refused(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nevil")


# -- what comes in: how much


def test_endless_interim_answers_end_in_an_error() -> None:
    """Each is legal, so a client that has a limit for each head only listens to them for ever."""
    for interim in (INTERIM, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 199\n\n"):
        exchange = asked()
        rounds = 0
        while exchange.error is None:
            receive(exchange, interim)
            rounds += 1
            assert rounds <= 262_144 // len(interim) + 1
            assert exchange.only_informational or exchange.error is not None
        assert "longer than 262144 bytes" in str(exchange.error)
        # In one segment it is the same.
        assert receive(asked(), interim * (rounds + 1)).error is not None


def test_interim_answers_are_no_progress_however_they_are_cut() -> None:
    """A read timeout that starts again with each of them never comes; so it must be seen that they are nothing else."""
    for end in range(11, len(INTERIM)):
        exchange = receive(asked(), INTERIM[:end])
        assert exchange.only_informational
        receive(exchange, INTERIM[end:])
        assert exchange.only_informational
    assert not receive(asked(), INTERIM + OK).only_informational


def test_a_head_without_end_ends_in_an_error() -> None:
    """Memory that grows as long as the peer likes."""
    for piece in (b"X: y\r\n", b"X: " + b"y" * 1000 + b"\r\n", b"y"):
        exchange = receive(asked(), OK + (b"X: " if piece == b"y" else b""))
        received = 0
        while exchange.error is None:
            receive(exchange, piece)
            received += len(piece)
            assert received < 270_000
        assert "longer than 262144 bytes" in str(exchange.error)


def test_trailers_without_end_end_in_an_error() -> None:
    """The same, behind the body, where nobody looks any more."""
    exchange = receive(asked(), CHUNKED + b"0\r\n")
    received = 0
    while exchange.error is None:
        receive(exchange, b"X: " + b"y" * 1000 + b"\r\n")
        received += 1005
        assert received < 270_000
    assert "longer than 262144 bytes" in str(exchange.error)


def test_one_budget_is_shared_by_all_heads_of_an_exchange() -> None:
    """Interim responses, head and trailers of 250 KB each would be three times the limit."""
    block = b"X: " + b"y" * 140_000 + b"\r\n"
    for message in (
        b"HTTP/1.1 103 x\r\n" + block + b"\r\n" + OK + block + b"Content-Length: 0\r\n\r\n",
        OK + block + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + block + b"\r\n",
    ):
        for name in ("whole", "random-1"):
            assert "longer than 262144 bytes" in str(receive(asked(), *cut(message, name)).error)


def test_very_many_fields_are_refused() -> None:
    """65,000 fields in 256 KiB are cheap to send and dear to keep."""
    assert "the limit is 5000" in refused(OK + b"A:\r\n" * 5_001 + b"\r\n")
    assert "the limit is 5000" in refused(CHUNKED + b"0\r\n" + b"A:\r\n" * 5_001 + b"\r\n")


def test_endless_chunk_extensions_end_in_an_error() -> None:
    """One byte of body in 4 KiB of extension: sending without end that no limit on bodies ever sees."""
    refused(CHUNKED + b"1;" + b"x" * 5000)
    exchange = receive(asked(), CHUNKED)
    rounds = 0
    while exchange.error is None:
        receive(exchange, b"1;" + b"x" * 4000 + b"\r\ny\r\n")
        rounds += 1
        assert rounds < 20
    assert "chunk extensions are too long" in str(exchange.error)


def test_errors_about_an_answer_hold_at_most_twenty_bytes_of_it() -> None:
    """A message of megabytes in every log, or the token that a peer reflected."""
    secret = b"s3cret" * 10
    for message in (
        secret,
        OK + secret + b"\r\n\r\n",
        OK + b"X: \0" + secret + b"\r\n\r\n",
        OK + b" " * 20 + secret + b"\r\n\r\n",
        OK + b"Content-Length: " + secret + b"\r\n\r\n",
        OK + b"Transfer-Encoding: " + secret + b"\r\n\r\n",
        CHUNKED + secret + b"\r\n",
        CHUNKED + b"1\r\nx" + secret,
        CHUNKED + b"0\r\n" + secret + b"\r\n\r\n",
    ):
        assert refused(message).count("s3cret") <= 3


# -- what comes in: how much work


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\n\r\n"])
def test_many_interim_answers_in_one_segment_cost_what_their_bytes_cost(end: bytes) -> None:
    """Cutting each off the front, and searching to the end of the segment for it, was quadratic: 64 KB for a second."""
    interim = b"HTTP/1.1 103" + end
    message = interim * (60_000 // len(interim)) + OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 200_000
    copied, searched = weigh(asked(), [message])
    assert copied < 3 * len(message)
    assert searched < 3 * len(message)


def test_many_interim_answers_are_kept_without_copying_the_list_for_each() -> None:
    """Three thousand of them made four million references."""
    exchange = receive(asked(), INTERIM)
    kept = exchange.informational
    receive(exchange, INTERIM * 3000)
    assert exchange.informational is kept
    assert len(kept) == 3001


def _chunked(rest: bytes) -> bytes:
    return CHUNKED + rest


# What a peer can send without end, in blocks that all readers of text must get through. Each grows with its size.
HOSTILE_TEXTS = {
    "reason": lambda size: b"HTTP/1.1 200 " + b"x" * size,
    "name": lambda size: OK + b"X" * size,
    "value": lambda size: OK + b"X: " + b"y" * size + b"\r\n\r\n",
    "value, bare LF": lambda size: OK.replace(b"\r\n", b"\n") + b"X: " + b"y" * size + b"\n\n",
    "blanks before a value": lambda size: OK + b"X:" + b" " * size + b"\0\r\n\r\n",
    "blanks in a value": lambda size: OK + b"X: " + b"a " * (size // 2) + b"\0\r\n\r\n",
    "many fields": lambda size: OK + b"A:\r\n" * (size // 4) + b"\r\n",
    "many names": lambda size: OK + b"".join(b"A%d:\r\n" % number for number in range(size // 8)) + b"\r\n",
    "many fields, bare LF": lambda size: OK + b"A:\n" * (size // 3) + b"\n",
    "many folds": lambda size: OK + b"X: a" + b"\r\n b" * (size // 4) + b"\r\n\r\n",
    "folds of a long line": lambda size: OK + b"X: " + b"a" * (size // 2) + b"\r\n b" * (size // 8) + b"\r\n\r\n",
    "many lengths": lambda size: OK + b"Content-Length: 5\r\n" * (size // 19) + b"\r\n",
    "a list of lengths": lambda size: OK + b"Content-Length: " + b"5," * (size // 2) + b"6\r\n\r\n",
    "many codings": lambda size: OK + b"Transfer-Encoding: x\r\n" * (size // 22) + b"\r\n",
    "connection options": lambda size: OK + b"Connection: " + b"close ," * (size // 7) + b"\r\n\r\n",
    "CR": lambda size: OK + b"\r" * size,
    "interim responses": lambda size: INTERIM * (size // len(INTERIM)) + OK + b"Content-Length: 0\r\n\r\n",
    "interim responses, bare LF": lambda size: b"HTTP/1.1 103\n\n" * (size // 14) + OK + b"Content-Length: 0\r\n\r\n",
    "chunks of a byte": lambda size: _chunked(b"1\r\nx\r\n" * (size // 6) + b"0\r\n\r\n"),
    "extensions": lambda size: _chunked((b"1;" + b"x" * 500 + b"\r\ny\r\n") * (size // 507)),
    "blanks after a size": lambda size: _chunked((b"1" + b" " * 500 + b"\r\ny\r\n") * (size // 506)),
    "a long chunk size": lambda size: _chunked(b"1" * size),
    "trailer value": lambda size: _chunked(b"0\r\nX: " + b"y" * size + b"\r\n\r\n"),
    "many trailers": lambda size: _chunked(b"0\r\n" + b"A:\r\n" * (size // 4) + b"\r\n"),
    "bytes after the end": lambda size: OK + b"Content-Length: 0\r\n\r\n" + b"x" * size,
    "folded trailer": lambda size: _chunked(b"0\r\nX: a" + b"\r\n b" * (size // 4) + b"\r\n\r\n"),
}


@pytest.mark.parametrize("step", [1, 1 << 30], ids=["bytes", "whole"])
@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_hostile_text_costs_time_in_proportion_to_its_size(name: str, step: int) -> None:
    """
    A head of 256 KiB that arrived byte by byte was copied whole for each byte: 34 GB, many seconds of a processor.
    """
    limits = HeadLimits(1 << 20, 1 << 20)

    def prepare(size: int) -> Callable[[], object]:
        text = HOSTILE_TEXTS[name](size)
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        exchange = asked(limits=limits)
        return lambda: receive(exchange, *pieces)

    linear(prepare)


def test_a_chunk_size_that_drips_is_bounded_by_its_line() -> None:
    """An incomplete line is looked at again with each byte, so it must be short."""
    copied, searched = weigh(receive(asked(), CHUNKED), cut(b"1;" + b"x" * 20_000, "bytes"))
    assert copied + searched < 3 * 4096 * 4096


def test_many_chunks_in_one_segment_cost_what_their_bytes_cost() -> None:
    """Cutting each chunk off the front of a segment of 256 KB is 11 GB of copying."""
    message = CHUNKED + b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n"
    exchange = asked()
    copied, searched = weigh(exchange, [message])
    assert exchange.reusable
    assert copied < 4 * len(message)
    assert searched < 4 * len(message)


def test_a_body_is_neither_copied_nor_searched() -> None:
    """A download must cost what the network costs."""
    exchange = receive(asked(), OK + b"Content-Length: 1000000\r\n\r\n")
    assert weigh(exchange, [bytes(10_000)] * 100) == (0, 0)
    assert exchange.reusable
    exchange = receive(asked(), OK + b"\r\n")
    assert weigh(exchange, [bytes(10_000)] * 100) == (0, 0)


@pytest.mark.parametrize(
    "line",
    [
        *(b"X:" + b" " * 60_000 + b"\0", b"X: " + b"a " * 30_000 + b"\0", b"X" * 60_000, b"X:" + b"\t " * 30_000),
        *(b"Content-Length: " + b"5," * 30_000 + b"6", b"Connection: " + b"close ," * 8_000, b" " * 60_000),
    ],
)
def test_no_line_makes_the_grammar_search_for_ever(line: bytes) -> None:
    """
    A pattern that tries every way to divide a run of blanks takes 2 billion steps for 60 KB, most of a minute.

    It looks at a clock, because the work is inside `re`. Its margin is a hundredfold in both directions.
    """
    began = time.process_time()
    receive(asked(), OK + line + b"\r\nContent-Length: 0\r\n\r\n")
    receive(asked(), CHUNKED + b"0\r\n" + line + b"\r\n\r\n")
    assert time.process_time() - began < 1


def test_an_upload_ends_when_the_peer_refuses_it_and_waits_for_nothing() -> None:
    """A server that answers 413 and stops reading held the client in its send until the write timeout."""
    exchange = asked(b"POST", [(b"Transfer-Encoding", b"chunked")], streaming=True)
    assert exchange.need == BODY
    receive(exchange, b"HTTP/1.1 413 Too Large\r\nContent-Length: 100\r\n\r\n")
    assert exchange.need == INPUT
    assert exchange.abandoned
    for _ in range(3):
        exchange.feed(b"more")
    assert exchange.take() == b""
