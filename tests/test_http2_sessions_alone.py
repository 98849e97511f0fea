"""
A session of HTTP/2 without a shell: no sockets, and a clock that the test moves.

Not here: whole clients (`test_http2_session.py`), the machine (`test_http2.py`).
"""

from __future__ import annotations

from typing import Any

import pytest

from httpx import Limits, Request
from httpx._engine.http2.session import NOT_SENDING, Session, take_chunk
from httpx._engine.job import Job
from httpx._exceptions import ConnectError, ReadError, ReadTimeout, RemoteProtocolError, WriteError, WriteTimeout
from httpx._protocol import frames, hpack
from httpx._protocol.frames import REFUSED_STREAM
from httpx._protocol.http2 import HTTP2Connection
from httpx._protocol.stream2 import HTTP2Stream
from httpx._sharing import UNKNOWN
from support.http2 import data


class Settings:
    """As much of a transport's settings as a session looks at."""

    def __init__(self, ping_interval: float | None = None) -> None:
        self.head_limits = HTTP2Connection().limits
        self.limits = Limits(ping_interval=ping_interval)


class Alone:
    """A session and its peer."""

    def __init__(self, ping_interval: float | None = None, limit: int | None = 100) -> None:
        self.now = 0.0
        self.session = Session(Settings(ping_interval), lambda: self.now)  # type: ignore[arg-type]  # enough of them
        self._encoder = hpack.Encoder()
        self.sent()
        if limit is not None:
            self.session.received(frames.settings({frames.MAX_CONCURRENT_STREAMS: limit}))
            self.session.take_limit()

    def job(self, content: Any = None) -> Job:
        timeout = {"read": 1.0, "write": 1.0}
        return Job(Request("POST", "http://a/", content=content, extensions={"timeout": timeout}), self.now)

    def begin(self, content: Any = None) -> HTTP2Stream:
        stream = self.session.begin(self.job(content))
        assert stream is not None
        return stream

    def sent(self, everything: bool = True) -> bytes:
        """What a shell sends now; the socket takes all of it, or stalls."""
        self.session.batches += 1
        self.session.stalls = not everything
        return self.session.machine.take()

    def head(self, stream: HTTP2Stream, status: bytes = b"200") -> bytes:
        return frames.header_block(stream.identifier, self._encoder.encode([(b":status", status)]), False, 16_384)

    def gives_up(self, stream: HTTP2Stream, heard: int, sends: bool = False) -> Exception:
        return self.session.timed_out(stream, self.job(), heard, sends)


# Liveness.


def test_a_wait_in_which_nothing_came_makes_the_connection_suspect():
    alone = Alone()
    stream, heard = alone.begin(), alone.session.heard
    alone.sent()
    assert type(alone.gives_up(stream, heard)) is ReadTimeout
    assert alone.session.is_suspect
    assert alone.sent().endswith(frames.frame(frames.PING, 0, 0, bytes(8)))
    assert alone.session.begin(alone.job()) is None
    alone.session.received(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    assert not alone.session.is_suspect
    assert alone.session.begin(alone.job()) is not None


def test_a_wait_in_which_anything_came_does_not():
    alone = Alone()
    stream, heard = alone.begin(), alone.session.heard
    alone.session.received(frames.frame(frames.PING, 0, 0, bytes(8)))
    alone.gives_up(stream, heard)
    assert not alone.session.is_suspect


def test_a_suspect_connection_gets_one_ping():
    alone = Alone()
    first, second = alone.begin(), alone.begin()
    heard = alone.session.heard
    alone.sent()
    assert type(alone.gives_up(first, heard, True)) is WriteTimeout
    alone.gives_up(second, heard)
    assert alone.session.machine.pings == 1


def test_the_pool_is_told_of_a_suspect_connection_only_if_others_wait_on_it():
    alone = Alone(limit=5)
    first = alone.begin()
    alone.gives_up(first, alone.session.heard)
    assert alone.session.take_limit() == 5, "the next request looks again"
    alone.session.received(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    alone.begin()
    alone.gives_up(first, alone.session.heard)
    assert alone.session.told != alone.session.machine.max_streams
    assert alone.session.take_limit() == 0
    alone.session.received(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    assert alone.session.told != alone.session.machine.max_streams
    assert alone.session.take_limit() == 5


def test_a_peer_that_does_not_answer_a_ping_for_an_interval_is_given_up():
    alone = Alone(ping_interval=10)
    alone.begin()
    assert alone.session.look_after() == 10
    alone.now = 10
    assert alone.session.look_after() == 20
    assert alone.session.machine.pings == 1
    alone.now = 20
    assert alone.session.look_after() is None
    assert isinstance(alone.session.failure(), ReadError)


# What the pool is told.


def test_the_limit_is_unknown_before_the_peer_says_it_and_the_machines_after_that():
    alone = Alone(limit=None)
    assert alone.session.take_limit() == UNKNOWN
    assert alone.session.told != alone.session.machine.max_streams, "it is asked again"
    alone.session.received(frames.settings({frames.MAX_CONCURRENT_STREAMS: 8}))
    assert alone.session.take_limit() == 8
    assert alone.session.told == 8
    alone.session.received(frames.goaway(0, 0))
    assert alone.session.take_limit() == 0


def test_a_new_connection_that_takes_no_request_says_why():
    broken = Alone()
    broken.session.fail(ReadError("reset"))
    with pytest.raises(ReadError, match="reset"):
        broken.session.begin(broken.job())
    empty = Alone()
    empty.session.received(frames.settings({frames.MAX_CONCURRENT_STREAMS: 0}))
    with pytest.raises(RemoteProtocolError, match="takes no requests on a new connection"):
        empty.session.begin(empty.job())


def test_a_connection_that_the_client_closed_before_its_first_request_does_not_blame_the_peer():
    alone = Alone()
    alone.session.close()
    with pytest.raises(ReadError, match="the connection was closed"):
        alone.session.begin(alone.job())


def test_a_new_connection_that_goes_away_is_tried_again_a_few_times():
    job = Alone().job()
    for _ in range(3):
        alone = Alone()
        alone.session.received(frames.goaway(0, 0))
        assert alone.session.begin(job) is None
    with pytest.raises(RemoteProtocolError, match="takes no requests on a new connection"):
        alone.session.begin(job)


# Which limit holds, and what ends a wait.


def test_the_write_timeout_holds_until_the_socket_has_taken_the_last_batch():
    alone = Alone()
    stream, session = alone.begin(bytes(50_000)), alone.session
    assert session.is_sending(stream), "it is in the output"
    alone.sent(everything=False)
    assert session.is_sending(stream)
    before = session.mark(stream, True)
    assert not session.is_progress(stream, True, before)
    session.note_moved()
    assert session.is_progress(stream, True, before)
    assert stream in session.news
    session.stalls = False
    assert not session.is_sending(stream)
    assert not session.sending


def test_the_write_timeout_holds_while_a_window_is_shut():
    alone = Alone()
    stream, session = alone.begin(bytes(70_000)), alone.session
    alone.sent()
    assert session.is_sending(stream)
    before = session.mark(stream, True)
    session.received(alone.head(stream, b"103") + frames.window_update(0, 5))
    assert not session.is_progress(stream, True, before)
    session.received(frames.window_update(stream.identifier, 5))
    assert session.is_progress(stream, True, before)


@pytest.mark.parametrize("arrives", ["interim", "empty", "head"])
def test_what_ends_a_wait_for_the_peer(arrives: str):
    alone = Alone()
    stream, session = alone.begin(), alone.session
    alone.sent()
    if arrives == "interim":
        session.received(alone.head(stream, b"103"))
        assert not session.is_progress(stream, True, NOT_SENDING)
        return
    session.received(alone.head(stream))
    assert session.is_progress(stream, True, NOT_SENDING)
    assert not session.is_progress(stream, False, NOT_SENDING)
    if arrives == "empty":
        session.received(data(stream.identifier, b""))
        assert not session.is_progress(stream, False, NOT_SENDING)
    else:
        session.received(data(stream.identifier, b"body", True))
        assert session.is_progress(stream, False, NOT_SENDING)
        assert take_chunk(stream) == b"body"
        assert session.is_progress(stream, False, NOT_SENDING), "the end"


# The end of a stream, and of the connection.


def test_a_refusal_is_for_the_sake_of_others_only_if_there_are_any():
    alone = Alone()
    refused = alone.begin()
    alone.session.received(frames.reset(refused.identifier, REFUSED_STREAM))
    assert not alone.session.was_processing(refused)
    other, refused = alone.begin(), alone.begin()
    alone.session.received(frames.reset(refused.identifier, REFUSED_STREAM))
    assert alone.session.was_processing(refused)
    assert not alone.session.was_processing(other)


def test_a_stream_that_ends_is_reset_and_forgotten():
    alone = Alone()
    stream = alone.begin(bytes(70_000))
    alone.sent()
    alone.session.end(stream)
    assert alone.sent() == frames.reset(stream.identifier, frames.CANCEL)
    assert not alone.session.news
    assert not alone.session.sending
    assert not alone.session.machine.progressed


def test_each_request_gets_an_error_of_its_own():
    alone = Alone()
    stream = alone.begin()
    cause = OSError(104, "reset")
    error = ReadError("receiving failed")
    error.__cause__ = cause
    alone.session.fail(error)
    first, second = alone.session.failure(), alone.session.failure()
    assert first is not None
    assert first is not second
    assert str(first) == str(second) == "receiving failed"
    assert first.__cause__ is cause
    assert stream in alone.session.news


def test_a_failure_to_send_says_why_nothing_came_unless_the_handshake_was_refused():
    alone = Alone()
    alone.session.fail(WriteError("broken pipe"), sending=True)
    assert alone.session.failure() is None, "what the peer sent before may still come"
    alone.session.fail(ReadError("reset"))
    assert isinstance(alone.session.failure(), WriteError)
    refused = Alone()
    refused.session.fail(WriteError("broken pipe"), sending=True)
    refused.session.fail(ConnectError("refused"))
    assert isinstance(refused.session.failure(), ConnectError)
