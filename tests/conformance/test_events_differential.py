"""
Event streams against the decoders of httpx-sse and httpx2: on hand-made and on generated streams, however they are cut.

What they give, ours gives, but for what `ON_PURPOSE` says, and for events that say nothing: after a stream has given an
id, httpx-sse takes each further blank line for an event (a heartbeat is one then), and httpx2 a block with an empty
`id` or `event`. Such events are left out on all sides.

The oracles are called for what they say, never for how they do it.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from support.wires import cuts

Event = tuple[str, str, str, Optional[int]]
HEADERS = {"Content-Type": "text/event-stream"}
URL = "http://127.0.0.1/"


def said(events: Any) -> list[Event]:
    """The events as tuples, without those that say nothing."""
    plain = [(event.event, event.data, event.id, event.retry) for event in events]
    return [event for event in plain if event[:2] != ("message", "") or event[3] is not None]


def unfiltered(pieces: list[bytes]) -> list[httpx.ServerSentEvent]:
    response = httpx.Response(200, content=iter(pieces), headers=HEADERS, request=httpx.Request("GET", URL))
    return list(httpx.EventSource(response))


def ours(pieces: list[bytes]) -> list[Event]:
    return said(unfiltered(pieces))


def httpx_sse_says(pieces: list[bytes]) -> list[Event]:
    httpx_sse = pytest.importorskip("httpx_sse")
    response = httpx.Response(200, content=iter(pieces), headers=HEADERS, request=httpx.Request("GET", URL))
    return said(httpx_sse.EventSource(response).iter_sse())


def httpx2_says(pieces: list[bytes]) -> list[Event]:
    httpx2 = pytest.importorskip("httpx2")
    response = httpx2.Response(200, content=iter(pieces), headers=HEADERS, request=httpx2.Request("GET", URL))
    return said(httpx2.EventSource(response))


ORACLES = pytest.mark.parametrize("oracle", [httpx_sse_says, httpx2_says])

STREAMS = [
    b"data: 1\n\n",
    b"data:1\r\rdata: 2\r\n\r\ndata:  3\n\n",
    b"event: a\nid: 1\nretry: 5\ndata\ndata: x\ndata:\n\ndata: next\n\n",
    b": heartbeat\n\nid: 7\ndata: a\n\n: heartbeat\n\n\n\ndata: b\n\n",
    b"event: done\n\n",
    b"retry: 7\n\n",
    b"retry: x\ndata: x\n\nretry: 1.5\ndata: x\n\nretry\ndata: x\n\n",
    b"id: 1\ndata: a\n\nid\ndata: b\n\n",
    b"id: a\0b\ndata: x\n\n",
    b"data: cut short",
    b"data: 1\n\ndata: 2\nid: 2\n",
    "data: \u2028\u2029\x85\v\f\x1c\n\n".encode(),
    "event: é\nid: …\ndata: 😀\n\n".encode(),
    b"data: \xff\xe2\x82\n\n",
    b"unknown: 1\ndata\0: 1\n data: 1\nData: 1\ndata: 1\n\n",
    b"\n\n\n",
    b"",
]


@ORACLES
@pytest.mark.parametrize("stream", STREAMS)
def test_hand_made_streams_are_read_as_others_do(oracle: Callable[[list[bytes]], list[Event]], stream: bytes):
    expected = oracle([stream])
    for pieces in cuts(stream, rounds=3):
        assert ours(pieces) == expected


UNITS = st.sampled_from(
    [
        *(b"data: a", b"data:b", b"data", b"data:  c", b"event: e", b"event:", b"event", b"id: 1", b"id:2", b"id"),
        *(b"id: \0", b"retry: 7\n", b"retry: x", b": c", b":", b"x", b" ", "é€😀\u2028\x85".encode(), b"\0", b"\t"),
        *([b"\n"] * 8 + [b"\r"] * 4 + [b"\r\n"] * 4),
    ]
)


@ORACLES
@given(stream=st.lists(UNITS, max_size=30).map(b"".join), seed=st.integers(0, 1000))
def test_generated_streams_are_read_as_others_do(
    oracle: Callable[[list[bytes]], list[Event]], stream: bytes, seed: int
):
    stream += b"\n:"  # see the CR at the end in `ON_PURPOSE`
    expected = oracle([stream])
    for pieces in cuts(stream, rounds=2, seed=seed):
        assert ours(pieces) == expected
        assert oracle(pieces) == expected


# What others read otherwise: a stream, their data and `retry`, ours.
ON_PURPOSE = [
    # They convert with `int`; the standard knows ASCII digits only.
    (b"retry: 7 \ndata: x\n\n", "httpx_sse httpx2", [("x", 7)], [("x", None)]),
    (b"retry: -7\ndata: x\n\n", "httpx_sse httpx2", [("x", -7)], [("x", None)]),
    ("retry: \u0663\ndata: x\n\n".encode(), "httpx_sse httpx2", [("x", 3)], [("x", None)]),
    # Half an event before the end of the stream.
    (b"data: x\r", "httpx2", [("x", None)], []),
    # Events that say nothing.
    (b"id: 7\ndata: a\n\n: heartbeat\n\n", "httpx_sse", [("a", None), ("", None)], [("a", None)]),
    (b"id\n\n", "httpx2", [("", None)], []),
    (b"event\n\n", "httpx2", [("", None)], []),
]


@pytest.mark.parametrize(("stream", "names", "theirs", "expected"), ON_PURPOSE)
def test_what_is_read_in_another_way_on_purpose(stream: bytes, names: str, theirs: Any, expected: Any):
    """Fails, too, when one of the others has changed: the row is of no use then."""
    for name in names.split():
        module = pytest.importorskip(name)
        package = httpx if name == "httpx_sse" else module
        response = package.Response(200, content=iter([stream]), headers=HEADERS, request=package.Request("GET", URL))
        source = module.EventSource(response)
        events = source.iter_sse() if name == "httpx_sse" else source
        assert [(event.data, event.retry) for event in events] == theirs
    assert [(event.data, event.retry) for event in unfiltered([stream])] == expected
