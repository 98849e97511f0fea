"""The handshake with an HTTP proxy for a tunnel: what CONNECT says, and every answer in every split."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from httpx._exceptions import LocalProtocolError, ProxyError
from httpx._protocol.exchange import HeadLimits
from httpx._protocol.tunnel import ConnectHandshake

AUTHORITY = b"example.org:443"


def asked(*fields: tuple[bytes, bytes], limits: Optional[HeadLimits] = None) -> ConnectHandshake:
    """A handshake whose question has been taken."""
    handshake = ConnectHandshake(AUTHORITY, list(fields), *([limits] if limits else []))
    handshake.take()
    return handshake


def answered(*pieces: bytes) -> ConnectHandshake:
    handshake = asked()
    for piece in pieces:
        handshake.receive(piece)
        if handshake.error is not None:
            break
    return handshake


# What is said.


def test_connect_says_where_to_and_nothing_of_the_request():
    handshake = ConnectHandshake(AUTHORITY, [(b"Proxy-Authorization", b"Basic x"), (b"X-Team", b"blue")])
    assert handshake.take() == (
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nAccept: */*\r\n"
        b"Proxy-Authorization: Basic x\r\nX-Team: blue\r\n\r\n"
    )
    assert handshake.take() == b""
    assert not handshake.done
    assert handshake.error is None
    assert handshake.surplus == b""


def test_a_field_that_is_given_replaces_the_usual_one():
    """Two Hosts are no legal request, so that a proxy with a Host of its own could not be used."""
    handshake = ConnectHandshake(AUTHORITY, [(b"host", b"other"), (b"ACCEPT", b"text/plain")])
    assert handshake.take() == b"CONNECT example.org:443 HTTP/1.1\r\nhost: other\r\nACCEPT: text/plain\r\n\r\n"


def test_the_given_fields_are_left_as_they_are():
    fields = [(b"X-Team", b"blue")]
    ConnectHandshake(AUTHORITY, fields)
    assert fields == [(b"X-Team", b"blue")]


def test_a_long_question_is_taken_whole():
    """The machine gives large output in pieces; a shell that takes once would wait for an answer to half a question."""
    fields = [(b"X-%d" % number, b"y" * 60_000) for number in range(40)]
    taken = ConnectHandshake(AUTHORITY, fields).take()
    assert len(taken) > 2_400_000
    assert taken.endswith(b"y\r\n\r\n")


@pytest.mark.parametrize(
    ("authority", "fields"),
    [
        (AUTHORITY, [(b"X-Team", b"blue\r\nEvil: 1")]),
        (AUTHORITY, [(b"X-Team", b"blue\0")]),
        (AUTHORITY, [(b"X Team", b"blue")]),
        (AUTHORITY, [(b"Host", b"a"), (b"Host", b"b")]),
        (AUTHORITY, [(b"Content-Length", b"1")]),
        (b"example.org:443 HTTP/1.1\r\n", []),
        (b"", []),
    ],
)
def test_what_is_not_legal_is_never_said(authority: bytes, fields: Any):
    with pytest.raises(LocalProtocolError):
        ConnectHandshake(authority, fields)


# Answers, each in every split.

TUNNELS = [
    b"HTTP/1.1 200 Connection established\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 299 Odd\nServer: x\n\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",  # neither frames anything here (RFC 9110 9.3.6)
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
]


@pytest.mark.parametrize("head", TUNNELS)
def test_2xx_makes_a_tunnel(head: bytes, cut: Any):
    handshake = asked()
    pieces = cut(head)
    for piece in pieces[:-1]:
        handshake.receive(piece)
        assert not handshake.done
        assert handshake.error is None
        assert handshake.take() == b""
    handshake.receive(pieces[-1])
    assert handshake.done
    assert handshake.error is None
    assert handshake.surplus == b""


@pytest.mark.parametrize("head", TUNNELS)
def test_what_comes_behind_the_answer_is_kept_apart(head: bytes):
    handshake = answered(head + b"surplus")
    assert handshake.done
    assert handshake.surplus == b"surplus"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "407 Proxy Authentication Required",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
        (b"HTTP/1.0 502 Bad Gateway\r\nConnection: close\r\n\r\n<html>", "502 Bad Gateway"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n", "301 Moved"),
        (b"HTTP/1.1 400 \r\nContent-Length: 0\r\n\r\n", "400"),
        (b"HTTP/1.1 400\r\nContent-Length: 0\r\n\r\n", "400"),
        (b"HTTP/1.1 599 \xff\r\nContent-Length: 0\r\n\r\n", "599 \ufffd"),
        (b"HTTP/1.1 403 " + b"x" * 5_000 + b"\r\nContent-Length: 0\r\n\r\n", "403 " + "x" * 100),
    ],
)
def test_any_other_status_is_the_error(answer: bytes, message: str, cut: Any):
    handshake = answered(*cut(answer))
    assert type(handshake.error) is ProxyError
    assert str(handshake.error) == message
    assert not handshake.done


def test_a_refusal_brings_no_control_character_into_the_message():
    """A message is printed: a proxy could clear the terminal, or write other words there."""
    handshake = answered(b"HTTP/1.1 502 \x1b[2JAll is well\x9b\x07\r\n\r\n")
    assert str(handshake.error) == "502 \\x1b[2JAll is well\ufffd\\x07"


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 0\r\n\r\nmore",
        b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
        b"Content-Length: 2\r\n\r\nmore",
    ],
)
def test_a_refusal_is_told_whatever_is_wrong_behind_its_head(rest: bytes):
    """The reason was hidden behind a complaint about bytes that nobody reads."""
    handshake = answered(b"HTTP/1.1 407 Proxy Authentication Required\r\n" + rest)
    assert str(handshake.error) == "407 Proxy Authentication Required"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "status line"),
        (b"\x16\x03\x01\x00\x05hello", "status line"),
        (b"HTTP/2 200\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", ""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "101"),
        (b"HTTP/1.1 407 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer: bytes, words: str, cut: Any):
    handshake = answered(*cut(answer))
    assert type(handshake.error) is ProxyError
    assert str(handshake.error).startswith("the proxy's response to CONNECT: ")
    assert words in str(handshake.error)
    assert not handshake.done


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_the_end_before_an_answer_is_an_error(begun: bytes):
    handshake = answered(*([begun] if begun else []), b"")
    assert type(handshake.error) is ProxyError
    assert "closed the connection" in str(handshake.error)


def test_an_answer_before_the_question_is_an_error():
    """Whoever answers before it was asked answers something else."""
    handshake = ConnectHandshake(AUTHORITY, [])
    handshake.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    assert "before the request was sent" in str(handshake.error)
    assert not handshake.done


def test_the_answers_head_is_bounded():
    for limits, head in (
        (HeadLimits(2, 65_536), b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
        (HeadLimits(100, 64), b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100),
        (HeadLimits(100, 200), b"HTTP/1.1 102 Processing\r\n\r\n" * 20),
    ):
        handshake = asked(limits=limits)
        handshake.receive(head)
        assert type(handshake.error) is ProxyError
    handshake = asked()
    handshake.receive(b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 5_001 + b"\r\n")
    assert type(handshake.error) is ProxyError


def test_bytes_after_an_error_change_nothing():
    handshake = answered(b"hello\r\n\r\n")
    error = handshake.error
    handshake.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    handshake.receive(b"")
    assert not handshake.done
    assert str(handshake.error) == str(error)


HEADS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([*TUNNELS, b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"]),
    st.builds(
        lambda status, rest: b"HTTP/1.1 %d x\r\n%b\r\n\r\n" % (status, rest),
        st.integers(100, 999),
        st.binary(max_size=20),
    ),
)


@given(head=HEADS, cuts=st.lists(st.integers(0, 100), max_size=5), ends=st.booleans())
@example(head=b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\nmore", cuts=[3, 37], ends=True)
def test_the_split_does_not_matter(head: bytes, cuts: list[int], ends: bool):
    places = sorted({min(place, len(head)) for place in cuts} | {0, len(head)})
    pieces = [head[start:end] for start, end in zip(places, places[1:])]
    whole, split = answered(head) if head else asked(), answered(*pieces)
    if ends:
        for handshake in (whole, split):
            if not handshake.done and handshake.error is None:
                handshake.receive(b"")
    assert whole.done == split.done
    assert (whole.error is None) == (split.error is None)
    if whole.done:
        # A shell does not go on receiving; what came in the same piece is kept, the rest is still on its way.
        assert whole.surplus.startswith(split.surplus) or split.surplus == whole.surplus
    if ends:
        assert whole.done != (whole.error is not None)
