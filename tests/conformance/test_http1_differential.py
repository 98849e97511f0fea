"""
The HTTP/1.1 machine against h11 and llhttp (through httptools): on hand-made and on generated messages.

What both oracles accept, ours accepts, with the same status, fields and body; what one of them refuses, ours refuses.
Where ours differs, `ON_PURPOSE` or `EXPLANATIONS` says why; a difference that no row explains fails the test, and so
does a row that no longer describes one. In the other direction, what ours writes must read the same at both oracles.

The oracles are called for what they say, never for how they do it. A verdict on a message that is followed by the end
of the connection is one of:

    ("ok", status, fields with lower-case names, body)
    ("error",)          also for a message that is cut off
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._protocol.http1 import HTTP1Exchange
from support.wires import cuts

httptools = pytest.importorskip("httptools")

Verdict = tuple[Any, ...]
Fields = list[tuple[bytes, bytes]]
ERROR: Verdict = ("error",)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"Content-Length: 5\r\n\r\nhello"


def lowered(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Fields to compare: h11 lowers names and the coding, llhttp keeps blanks at the end of a value."""
    lower = [(name.lower(), value.strip(b" \t")) for name, value in fields]
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in lower]


# -- answers: three readers


def ours(message: bytes, method: str = "GET") -> Verdict:
    """Our verdict, the same for every way to cut the message."""
    verdicts = [_ours(pieces, method) for pieces in cuts(message, rounds=2)]
    assert all(verdict == verdicts[0] for verdict in verdicts)
    return verdicts[0]


def _ours(pieces: list[bytes], method: str) -> Verdict:
    exchange = HTTP1Exchange(method.encode(), b"/", [(b"Host", b"x")])
    exchange.take()
    for piece in [*pieces, b""]:
        exchange.receive(piece)
    if exchange.error is not None:
        return ERROR
    assert exchange.finished
    assert exchange.head is not None
    status, _, fields, _ = exchange.head
    return ("ok", status, lowered(fields), b"".join(exchange.chunks))


def h11_says(message: bytes, method: str = "GET") -> Verdict:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status, fields, body = 0, [], b""
    try:
        for piece in (message, b""):
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Response):
                    status, fields = event.status_code, lowered(event.headers)
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return ("ok", status, fields, body)
                elif not isinstance(event, h11.InformationalResponse):
                    break
    except h11.RemoteProtocolError:
        pass
    return ERROR


class Collector:
    """What llhttp reports of the first final answer."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.status = 0
        self.fields: Fields = []
        self.fields_of_head: Fields | None = None
        self.body = b""
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.done:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.done:
            self.status = self.parser.get_status_code()
            self.fields_of_head = lowered(self.fields)

    def on_body(self, data: bytes) -> None:
        if not self.done:
            self.body += data

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.done = True
        else:
            self.fields, self.fields_of_head = [], None


def llhttp_says(message: bytes) -> Verdict:
    collector = Collector()
    collector.parser = httptools.HttpResponseParser(collector)
    try:
        collector.parser.feed_data(message)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        if not collector.done:  # and not about what follows the answer
            return ERROR
    fields = collector.fields_of_head
    if fields is None:
        return ERROR
    framing = {b"content-length", b"transfer-encoding"}
    # It is not told of the end of the connection, which is the end of a body without framing.
    if not collector.done and framing & {name for name, _ in fields}:
        return ERROR
    return ("ok", collector.status, fields, collector.body)


# -- answers: hand-made


class Row(NamedTuple):
    """A message, and who accepts it: ours, h11, llhttp. `why` where ours is not exactly as strict as the strictest."""

    message: bytes
    accepted: tuple[bool, bool, bool]
    why: str = ""


ALL, NONE = (True, True, True), (False, False, False)

AGREED = [
    Row(OK + HELLO, ALL),
    Row(OK + b"\r\nuntil the end", ALL),
    Row(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", ALL),
    Row(b"HTTP/1.0 200 OK\r\n" + HELLO, ALL),
    Row(b"HTTP/1.1 200\r\n" + HELLO, ALL),
    Row(b"HTTP/1.1 200 \r\n" + HELLO, ALL),
    Row(b"HTTP/1.1 999 \xff\x01 x\r\n" + HELLO, ALL),
    Row(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\n" + OK + HELLO, ALL),
    Row(b"HTTP/1.1 204 No Content\r\n\r\n", ALL),
    Row(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ALL),
    Row(OK + b"Content-Length: 00005\r\n\r\nhello", ALL),
    Row(OK + b"Content-Length:\t5 \t\r\n\r\nhello", ALL),
    Row(OK + b"Content-Length: 5\r\n\r\nhello" + OK + HELLO, ALL),
    Row(OK + b"Empty:\r\nObs: \xff\r\n!#$%&'*+-.^_`|~: x\r\n" + HELLO, ALL),
    Row(OK + b"Connection: close\r\n" + HELLO, ALL),
    Row(CHUNKED + b"0\r\n\r\n", ALL),
    Row(CHUNKED + b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n", ALL),
    Row(CHUNKED + b"5;name=value;x\r\nhello\r\n0\r\n\r\n", ALL),
    Row(CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", ALL),
    Row(OK + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", ALL),
    Row(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", ALL),
    # Status lines.
    Row(b"", NONE),
    Row(b"HTTP/1.1  200 OK\r\n" + HELLO, NONE),
    Row(b"HTTP/1.1 2000 OK\r\n" + HELLO, NONE),
    Row(b"HTTP/1.1 20 OK\r\n" + HELLO, NONE),
    Row(b"HTTP/1.1 099 x\r\n" + HELLO, NONE),
    Row(b"http/1.1 200 OK\r\n" + HELLO, NONE),
    Row(b"HTTP/1.1 200 O\rK\r\n" + HELLO, NONE),
    Row(b"<html>hello</html>\r\n\r\n", NONE),
    Row(b"\x15\x03\x01\x00\x02\x02\x46", NONE),
    # Fields.
    Row(OK + b"A : x\r\n" + HELLO, NONE),
    Row(OK + b": x\r\n" + HELLO, NONE),
    Row(OK + b"A x\r\n" + HELLO, NONE),
    Row(OK + b"A(: x\r\n" + HELLO, NONE),
    Row(OK + b"A\xe9: x\r\n" + HELLO, NONE),
    Row(OK + b"A: x\0\r\n" + HELLO, NONE),
    Row(OK + b"A: x\x0by\r\n" + HELLO, NONE),
    Row(OK + b"A: x\x0cy\r\n" + HELLO, NONE),
    Row(OK + b"A: x\rB: y\r\n" + HELLO, NONE),
    Row(OK + b"A: x\r\r\n" + HELLO, NONE),
    Row(OK + b" A: x\r\n" + HELLO, NONE),
    # Lengths.
    Row(OK + b"Content-Length : 5\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 5\r\n\r\nhell", NONE),
    Row(OK + b"Content-Length: +5\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: -5\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 0x5\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 5 5\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length:\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 5, 6\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 99999999999999999999\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\nhello", NONE),
    Row(OK + b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello", NONE),
    # Chunks.
    Row(CHUNKED + b"5\r\nhel", NONE),
    Row(CHUNKED + b"5\r\nhello\r\n", NONE),
    Row(CHUNKED + b"5\r\nhello\r\n0\r\n", NONE),
    Row(CHUNKED + b"5\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b"5\r\nhello\n0\r\n\r\n", NONE),
    Row(CHUNKED + b"5\r\nhelloXX0\r\n\r\n", NONE),
    Row(CHUNKED + b"4\r\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b";x\r\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b"\r\n", NONE),
    Row(CHUNKED + b"fffffffffffffffff\r\nx", NONE),
    Row(CHUNKED + b"0\r\nA : x\r\n\r\n", NONE),
    # Folds that could move the end of the message, or that some readers take for another line.
    Row(OK + b"A: x\r\n Content-Length: 5\r\n" + HELLO, (False, True, False)),
    Row(OK + b"A: x\r\n \r\n" + HELLO, (False, True, False)),
    Row(OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", (False, True, False)),
    Row(OK + b"Content-Length:\r\n 5\r\n\r\nhello", (False, True, False)),
    # Blanks before and inside a size, and lengths beside chunked that are no length.
    Row(CHUNKED + b"5 5\r\nhello\r\n0\r\n\r\n", NONE),
    Row(CHUNKED + b"\t5\r\nhello\r\n0\r\n\r\n", NONE),
    Row(OK + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NONE),
    Row(OK + b"Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NONE),
    # Nobody asked for it.
    Row(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", NONE),
    # The strictest of the two refuses, and so does ours.
    Row(b"\r\n" + OK + HELLO, (False, False, True)),
    Row(b"HTTP/1.1 200 \x0b\r\n" + HELLO, (False, False, True)),
    Row(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (False, False, True)),
    Row(OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (False, False, True)),
    Row(OK + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", NONE),
    Row(OK + b"Transfer-Encoding: identity\r\n\r\nhello", NONE),
    Row(OK + b"Transfer-Encoding: gzip\r\n\r\nhello", NONE),
    Row(CHUNKED + b"5;\0\r\nhello\r\n0\r\n\r\n", (False, True, False)),
    Row(CHUNKED + b"5;\x01\r\nhello\r\n0\r\n\r\n", (False, True, False)),
    Row(CHUNKED + b"0\r\nA: x\n\n", (False, True, False)),
    Row(CHUNKED + b"0\r\n\n", (False, True, False)),
]

ON_PURPOSE = [
    Row(
        OK.replace(b"\r\n", b"\n") + HELLO.replace(b"\r\n", b"\n"),
        (True, True, False),
        "RFC 9112 2.2 lets a recipient take a bare LF for a line end; real servers send it, 0.28.1 took it, and in a "
        "head it cannot move the end of the message for anyone who takes it too",
    ),
    Row(
        OK + b"A: x\x01\x7f\r\n" + HELLO,
        (True, True, False),
        "RFC 9110 5.5 lets a recipient keep other control characters; 0.28.1 did, and they end no line anywhere",
    ),
    Row(
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        (True, True, False),
        "RFC 9110 8.6: equal lengths may be taken for one; nobody can disagree about the end",
    ),
    Row(
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        (True, True, False),
        "the same, joined by an intermediary",
    ),
    Row(
        OK + b"A: x\r\n folded\r\n" + HELLO,
        (True, True, False),
        "RFC 9112 5.2: a user agent replaces a fold in a response by a space; refused in framing fields, where it "
        "looks like one, and where it is blank, so that a reader without folds finds the same end of the message",
    ),
    Row(
        CHUNKED + b"5 ;x\r\nhello\r\n0\r\n\r\n",
        (True, False, False),
        "RFC 9112 7.1.1: a recipient parses bad whitespace before the `;` of an extension and removes it; the digits "
        "before it are all of the size for everyone",
    ),
    Row(
        CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
        (True, True, False),
        "the same without an extension: old servers pad the size with blanks",
    ),
    Row(
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        (True, True, False),
        "RFC 9112 6.3, item 3: Transfer-Encoding overrides Content-Length; the connection is not used again",
    ),
    Row(
        b"HTTP/1.2 200 OK\r\n" + HELLO,
        (True, True, False),
        "RFC 9110 2.5: a higher minor version is understood as the highest one that is known",
    ),
    Row(
        CHUNKED + b'5;a="\xff;;\r\nhello\r\n0\r\n\r\n',
        (True, True, False),
        "extensions are skipped up to their CRLF and not parsed; which bytes the line has, all three agree",
    ),
    Row(
        OK + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
        (True, True, False),
        "RFC 9112 5.1: blanks around a value, tabs too, are no part of it; llhttp itself says so of Content-Length",
    ),
    Row(
        b"HTTP/1.0 103 x\r\n\r\n" + OK + HELLO,
        (True, True, False),
        "a 1xx in HTTP/1.0 is strange, but it has no body by either version, so its end is certain",
    ),
    Row(
        b"HTTP/2.0 200 OK\r\n" + HELLO,
        (False, True, True),
        "another major version is another syntax: what says so in a status line of HTTP/1 is confused",
    ),
    Row(
        b"HTTP/0.9 200 OK\r\n" + HELLO,
        (False, True, True),
        "HTTP/0.9 has no status line, so this is none of it either (CVE-2025-22871 and its kind live on such mixtures)",
    ),
]


def test_the_tables_say_why_wherever_ours_is_not_as_strict_as_the_strictest() -> None:
    for row in AGREED:
        assert row.accepted[0] is (row.accepted[1] and row.accepted[2]), row
    for row in ON_PURPOSE:
        assert row.accepted[0] is not (row.accepted[1] and row.accepted[2]), row
        assert row.why


@pytest.mark.parametrize("row", AGREED + ON_PURPOSE, ids=lambda row: repr(row.message[:50]))
def test_hand_made_answers_are_accepted_by_whom_the_table_says(row: Row) -> None:
    verdicts = [ours(row.message), h11_says(row.message), llhttp_says(row.message)]
    assert tuple(verdict != ERROR for verdict in verdicts) == row.accepted
    accepting = [verdict for verdict in verdicts if verdict != ERROR]
    assert all(same(verdict, accepting[0]) for verdict in accepting)


def same(one: Verdict, other: Verdict) -> bool:
    """Equal, but for repeated lengths, which h11 makes into one field, and blanks around a fold, which it keeps."""
    return one == other or _comparable(one) == _comparable(other)


def _comparable(verdict: Verdict) -> Verdict:
    kind, status, fields, body = verdict
    lengths = [value for name, value in fields if name == b"content-length"]
    rest = [(name, re.sub(rb"[ \t]+", b" ", value)) for name, value in fields if name != b"content-length"]
    return (kind, status, rest, lengths[0].partition(b",")[0] if lengths else None, body)


# -- answers: generated

STATUS_LINES = st.sampled_from(
    [
        *(OK, OK, OK, OK, b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 304 Not\r\n", b"HTTP/1.1 500\r\n"),
        *(b"HTTP/1.1 404 \xff\r\n", b"HTTP/1.1 100 C\r\n\r\n" + OK, b"HTTP/1.1 103 C\r\nA: b\r\n\r\n" + OK),
        *(b"HTTP/1.1 200 OK\n", b"HTTP/1.2 200 OK\r\n", b"HTTP/2.0 200 OK\r\n", b"HTTP/1.1 101 S\r\n"),
    ]
)
NAMES = st.sampled_from([b"A", b"x-b", b"Server", b"Set-Cookie", b"!~", b"Content-Type", b"Keep-Alive"])
VALUES = st.lists(
    st.sampled_from([b"a", b"B", b"1", b" ", b"\t", b",", b";", b"=", b'"', b":", b"/", b"\xe9", b"\x80"]), max_size=8
).map(b"".join)
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from([b":", b": ", b":\t "]), VALUES, st.just(b"\r\n")).map(b"".join),
    st.sampled_from(
        [
            *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Content-Length: 5\r\n", b"A: b\n"),
            *(b"Content-Length: 5, 5\r\n", b"Content-Length: 6\r\n", b"Transfer-Encoding: gzip\r\n", b" folded\r\n"),
            *(b" B: folded \r\n", b"\t\r\n", b" Content-Length: 1\r\n", b"Content-Length: x\r\n"),
            *(b"A : b\r\n", b"A: \0\r\n", b"A: \x01\r\n", b"\r\n", b"A: b\rc\r\n"),
        ]
    ),
)
HEADS = st.tuples(STATUS_LINES, st.lists(LINES, max_size=4).map(b"".join)).map(b"".join)
CHUNKS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=20).map(lambda data: b"%x\r\n%b\r\n" % (len(data), data)),
        st.tuples(st.sampled_from([b"a", b"a=b", b'a="b"', b"a;b=c", b"", b"=", b"\x01", b" a"]), st.just(b"xy")).map(
            lambda pair: b"2;%b\r\n%b\r\n" % pair
        ),
        st.sampled_from(
            [
                b"3\nabc\r\n",
                b"3\r\nabc\n",
                b"3 \r\nabc\r\n",
                b"3\t;x\r\nabc\r\n",
                b"3 3\r\nabc\r\n",
                b"4\r\nabc\r\n",
                b"\r\n",
                b"G\r\n",
                b"3\r\nabcd\r\n",
            ]
        ),
    ),
    max_size=4,
).map(b"".join)
ENDS = st.sampled_from(
    [b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nT: x\r\n\r\n", b"0;x\r\n\r\n", b"0\r\nT: x\n\n", b"0\r\n", b"000\r\n\r\n"]
)
BODIES = st.one_of(
    st.binary(max_size=20).map(lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body), body)),
    st.binary(max_size=20).map(lambda body: b"\r\n" + body),
    st.tuples(st.just(b"Transfer-Encoding: chunked\r\n\r\n"), CHUNKS, ENDS).map(b"".join),
)
DAMAGE = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\0",
            b" ",
            b"\t",
            b":",
            b";",
            b",",
            b"0",
            b"1",
            b"f",
            b"A",
            b"\x01",
            b"\x0b",
            b"\x7f",
            b"\x80",
        ),
        *(b"-", b"+", b"", b"\r\n", b"\n\n", b"\r\n\r\n", b"Content-Length: 5\r\n", b"0\r\n\r\n", OK, CHUNKED),
    ]
)


@st.composite
def answers(draw: Callable[..., Any]) -> bytes:
    """A likely answer, in half of the cases with a byte replaced, left out or put in."""
    message: bytes = draw(HEADS) + draw(BODIES)
    if draw(st.booleans()):
        position = draw(st.integers(0, len(message) - 1))
        message = message[:position] + draw(DAMAGE) + message[position + draw(st.integers(0, 1)) :]
    return message


def head_of(message: bytes) -> bytes:
    """Up to the blank line of the final head, as a reader sees it that takes bare LF for a line end."""
    return re.split(rb"(?<=\n)\r?\n(?!HTTP/)", message, maxsplit=1)[0]


def has(pattern: bytes, where: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda message: compiled.search(where(message)) is not None


# Why ours may accept what one oracle refuses; the first is a name for the test's failure.
LENIENT = {
    "bare LF in a head": has(rb"(?<!\r)\n", lambda message: head_of(message) + message[len(head_of(message)) :][:2]),
    "control character in a value": has(rb"[\x01-\x08\x0e-\x1f\x7f]", head_of),
    "equal lengths": has(rb"content-length:[^\n]*(,|\n(.*\n)*content-length:)", head_of),
    "minor version": has(rb"HTTP/1\.[2-9]", head_of),
    "chunk extension": has(rb"\n[0-9a-f]+;"),
    "tab after the coding": has(rb"transfer-encoding:[^\n]*\t", head_of),
    "version of a 1xx": has(rb"HTTP/1\.0 1", head_of),
    "folded field line": has(rb"\n[ \t]", lambda message: message),
    "blanks after a chunk size": has(rb"\n[0-9a-f]+[ \t]+[\r;]"),
    "chunked wins over a length": has(rb"transfer-encoding:(.|\n)*content-length:|content-length:(.|\n)*transfer-enc"),
    # RFC 9112 6.3, item 1: they end with their fields, whatever these say.
    "no body to frame": has(rb"HTTP/1\.\d (204|304)", head_of),
}
# Why ours may refuse what both accept.
STRICT = {
    "major version": has(rb"HTTP/[02-9]\.", head_of),
}
# Why ours may accept what an oracle refuses in a response to HEAD: only what is no head at all is refused there.
LENIENT_TO_HEAD = {**LENIENT, "no body to frame": has(rb"content-length|transfer-encoding", head_of)}


@given(answers())
def test_generated_answers_have_the_oracles_verdict_or_an_explanation(message: bytes) -> None:
    mine, theirs = ours(message), [h11_says(message), llhttp_says(message)]
    if mine == ERROR:
        if ERROR not in theirs:
            assert [why for why, explains in STRICT.items() if explains(message)], (message, theirs)
        return
    for verdict in theirs:
        if verdict == ERROR:
            assert [why for why, explains in LENIENT.items() if explains(message)], (message, mine, theirs)
        else:
            assert same(mine, verdict)


@given(answers())
def test_generated_answers_to_head_are_at_least_as_strict_as_h11(message: bytes) -> None:
    """llhttp cannot be told here what was asked, so that it has no verdict on these."""
    mine, theirs = ours(message, "HEAD"), h11_says(message, "HEAD")
    if mine == ERROR:
        return
    assert mine[3] == b""
    if theirs == ERROR:
        assert [why for why, explains in LENIENT_TO_HEAD.items() if explains(message)], (message, mine)
    else:
        assert same(mine, theirs)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
    ],
)
def test_a_response_to_head_has_nothing_to_frame(framing: bytes) -> None:
    """RFC 9112 6.3, item 1; h11 judges the fields all the same, and refuses the last two."""
    assert ours(OK + framing + b"\r\n", "HEAD")[0] == "ok"
    assert ours(OK + framing + b"\r\nhello", "HEAD") == ours(OK + framing + b"\r\n", "HEAD")
    assert (h11_says(OK + framing + b"\r\n", "HEAD") == ERROR) is (framing[-9:] != b"chunked\r\n" or b"gzip" in framing)


# -- requests

# Those that llhttp knows; h11 takes any token.
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH"])
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
TARGETS = st.text(VISIBLE.replace("#", ""), max_size=30).map(lambda text: b"/" + text.encode("ascii"))
TOKEN = "!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"
FREE_NAMES = (
    st.text(TOKEN, min_size=1, max_size=12)
    .map(lambda name: name.encode("ascii"))
    .filter(lambda name: name.lower() not in {b"host", b"expect", b"connection", b"upgrade"})
)
FREE_VALUES = st.text(VISIBLE + " \t\x80\xe9\xff", max_size=20).map(lambda value: value.strip(" \t").encode("latin-1"))
FRAMINGS = st.sampled_from(["none", "length", "chunked", "streamed length", "streamed chunked"])


@st.composite
def requests(draw: Callable[..., Any]) -> tuple[str, bytes, Fields, list[bytes], str]:
    framing = draw(FRAMINGS)
    chunks = [] if framing == "none" else draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    fields = [(b"Host", b"example.org:8080"), *draw(st.lists(st.tuples(FREE_NAMES, FREE_VALUES), max_size=6))]
    if "length" in framing:
        fields.append((b"Content-Length", b"%d" % sum(map(len, chunks))))
    elif "chunked" in framing:
        fields.append((b"transfer-encoding", b"chunked"))
    return draw(METHODS), draw(TARGETS), draw(st.permutations(fields)), chunks, framing


def written(method: str, target: bytes, fields: Fields, chunks: list[bytes], framing: str) -> bytes:
    """What goes out for a request."""
    streamed = "streamed" in framing
    exchange = HTTP1Exchange(method.encode(), target, fields, b"" if streamed else b"".join(chunks), streamed)
    sent = []
    for chunk in [*chunks, None] if streamed else [None]:
        exchange.feed(chunk)
        while piece := exchange.take():
            sent.append(piece)
    return b"".join(sent)


def h11_reads(message: bytes) -> tuple[Any, ...]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(message)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    body = b""
    while not isinstance(data := connection.next_event(), h11.EndOfMessage):
        assert isinstance(data, h11.Data)
        body += bytes(data.data)
    assert connection.trailing_data == (b"", False)
    return event.method, event.target, lowered(event.headers), body


class RequestCollector:
    """What llhttp reports of a request."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: Fields = []
        self.body = b""
        self.messages = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.messages += 1


def llhttp_reads(message: bytes) -> tuple[Any, ...]:
    collector = RequestCollector()
    parser = httptools.HttpRequestParser(collector)
    parser.feed_data(message)
    assert collector.messages == 1
    return parser.get_method(), collector.target, lowered(collector.fields), collector.body


@given(requests())
def test_what_we_write_reads_the_same_at_both_oracles(request_: tuple[str, bytes, Fields, list[bytes], str]) -> None:
    method, target, fields, chunks, _ = request_
    message = written(*request_)
    expected = (method.encode(), target, lowered(fields), b"".join(chunks))
    assert h11_reads(message) == expected
    assert llhttp_reads(message) == expected


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("OPTIONS", b"*"),
        ("GET", b"http://example.org:81/a?b#c"),
        ("GET", b"/?a=b&c=%20;d"),
        ("CONNECT", b"example.org:443"),
    ],
)
def test_every_form_of_a_target_reads_the_same_at_both_oracles(method: str, target: bytes) -> None:
    message = written(method, target, [(b"Host", b"example.org")], [], "none")
    expected = (method.encode(), target, [(b"host", b"example.org")], b"")
    assert h11_reads(message) == expected
    if method != "CONNECT":  # after which llhttp pauses with an exception
        assert llhttp_reads(message) == expected


@given(st.text(TOKEN, min_size=1, max_size=20))
def test_any_token_as_a_method_reads_the_same_at_h11(method: str) -> None:
    assert h11_reads(written(method, b"/", [(b"Host", b"x")], [], "none"))[0] == method.encode()
