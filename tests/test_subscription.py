"""`_subscription.py`: what ends a subscription and when it is opened again, without a network and without time."""

from __future__ import annotations

import socket
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx import Reconnect, Response, SSEError
from httpx._exceptions import final
from httpx._subscription import (
    CLOSE,
    END,
    LEAST_WAIT,
    LONGEST_ASKED,
    OPEN,
    READ,
    WAIT,
    Progress,
    check_type,
    reading,
    subscription,
    wait,
)

REQUEST = httpx.Request("GET", "https://www.example.org/feed?token=secret")


def response(status: int = 200, kind: str = "text/event-stream", **fields: str) -> Response:
    headers = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return Response(status, headers={name: value for name, value in headers.items() if value}, request=REQUEST)


STREAM = response()


class Course:
    """
    A subscription whose steps the test carries out.

    Attributes:
        progress: of it.
        waits: all waits so far.
        now: the time.
    """

    def __init__(
        self, policy: Optional[Reconnect] = None, first: Response = STREAM, deadline: Optional[float] = None
    ) -> None:
        self.progress = Progress()
        self.waits: list[float] = []
        self.now = 0.0
        self.steps = subscription(self.progress, policy or Reconnect(), first, deadline, lambda: self.now, lambda: 1.0)
        self.at = next(self.steps)

    def done(self, reply: Any = None) -> Any:
        """Tell the outcome of the step, and carry out the ones after it that are clear."""
        self.at = self.steps.throw(reply) if isinstance(reply, Exception) else self.steps.send(reply)
        while self.at[0] in (WAIT, CLOSE):
            if self.at[0] == WAIT:
                self.waits.append(self.at[1])
            self.at = self.steps.send(True)
        return self.at

    def lost(self, failure: Optional[Exception] = None, events: bool = True) -> Any:
        """Let the stream of now end."""
        assert self.at[0] == READ
        if events:
            self.progress.note_events()
        return self.done(failure)

    def opened(self, outcome: Any) -> Any:
        assert self.at[0] == OPEN
        return self.done(outcome)


def unknown_name() -> httpx.ConnectError:
    error = final(httpx.ConnectError("the name is not known"))
    error.__cause__ = socket.gaierror("not known")
    return error


LOST = [
    None,
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("cut"),
    httpx.ReadTimeout("idle"),
    httpx.DecodingError("cut"),
]
PASSING = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("late"),
    httpx.PoolTimeout("late"),
    httpx.ProxyError("502"),
    httpx.WriteError("reset"),
    httpx.ReadError("reset"),
    httpx.ReadTimeout("late"),
    httpx.RemoteProtocolError("closed"),
    unknown_name(),
]


FINAL = [
    httpx.UnsupportedProtocol("ftp"),
    httpx.TooManyRedirects("20"),
    httpx.LocalProtocolError("bad"),
    httpx.InvalidURL("bad"),
    RuntimeError("the client is closed"),
    final(httpx.ConnectError("the certificate has expired")),
    httpx.DestinationRefused("private"),
]


def named(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("failure", LOST, ids=named)
def test_a_stream_that_is_lost_is_opened_again(failure: Optional[Exception]):
    course = Course()
    course.progress.last_event_id = "7"
    assert course.lost(failure) == (OPEN, "7")
    assert course.waits == [3.0]
    again = response()
    assert course.opened(again) == (READ, again)


def test_a_stream_is_closed_before_the_wait():
    course = Course()
    assert [course.steps.send(None), course.steps.send(None)[0]] == [(CLOSE, STREAM), WAIT]


@pytest.mark.parametrize(
    "failure", [httpx.ResponseTooLarge("x"), SSEError("large"), httpx.StreamClosed(), ValueError()]
)
def test_a_stream_that_ends_in_another_way_is_not(failure: Exception):
    with pytest.raises(type(failure)):
        Course().lost(failure)


@pytest.mark.parametrize("failure", PASSING, ids=named)
def test_a_connection_that_fails_is_tried_again(failure: Exception):
    course = Course()
    course.lost()
    assert course.opened(failure)[0] == OPEN
    assert course.opened(STREAM) == (READ, STREAM)
    assert course.waits == [3.0, 6.0]
    assert course.progress.failures == 1
    course.progress.note_events()
    assert course.progress.failures == 0


@pytest.mark.parametrize("failure", FINAL, ids=named)
def test_a_connection_that_cannot_succeed_is_not(failure: Exception):
    course = Course()
    course.lost()
    with pytest.raises(type(failure)) as caught:
        course.opened(failure)
    assert caught.value is failure


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_status_that_passes_is_a_failure(status: int):
    course = Course()
    course.lost()
    assert course.opened(response(status, "text/html"))[0] == OPEN
    assert course.progress.failures == 1


@pytest.mark.parametrize("status", [201, 205, 301, 400, 401, 403, 404, 500])
def test_another_status_is_raised(status: int):
    course = Course()
    course.lost()
    answer = response(status)
    with pytest.raises(httpx.HTTPStatusError, match=str(status)) as caught:
        course.opened(answer)
    assert (caught.value.response, caught.value.request) == (answer, REQUEST)
    assert "secret" not in str(caught.value)


def raised(status: int, **fields: str) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("a hook", request=REQUEST, response=response(status, "", **fields))


def test_a_status_that_passes_may_be_raised_by_a_hook():
    """The harm: a hook that calls `raise_for_status`, as many do, made a 503 the end of a subscription."""
    course = Course(Reconnect(max_failures=2))
    course.lost()
    assert course.opened(raised(503, retry_after="100"))[0] == OPEN
    assert course.waits == [3.0, 100.0]
    assert course.progress.failures == 1
    last = raised(503)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        course.opened(last)
    assert caught.value is last


def test_another_status_that_a_hook_raises_is_the_end():
    course = Course()
    course.lost()
    with pytest.raises(httpx.HTTPStatusError, match="a hook"):
        course.opened(raised(404))


def test_the_statuses_that_pass_can_be_chosen():
    course = Course(Reconnect(statuses=[500]))
    course.lost()
    assert course.opened(response(500))[0] == OPEN
    with pytest.raises(httpx.HTTPStatusError):
        course.opened(response(503))


def test_204_ends_the_subscription():
    course = Course()
    course.lost()
    assert course.opened(response(204, "")) == (END, None)
    assert Course(first=response(204, "")).at == (END, None)


def test_another_content_type_is_raised():
    course = Course()
    course.lost()
    with pytest.raises(SSEError, match="expected Content-Type 'text/event-stream', got Content-Type 'text/html'"):
        course.opened(response(kind="text/html"))


def test_the_first_response_must_be_an_event_stream():
    with pytest.raises(SSEError):
        Course(first=response(kind="text/html"))
    with pytest.raises(httpx.HTTPStatusError):
        Course(first=response(401))


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream;", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream ;x", True),
        # Web Platform Tests, eventsource/format-mime-bogus and format-mime-valid-bogus.
        ("x bogus", False),
        ("text/event-stream;x bogus", True),
        ("text/event-streams", False),
        ("text/event-stream x", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_what_is_an_event_stream(kind: str, is_one: bool):
    if is_one:
        check_type(response(kind=kind))
    else:
        with pytest.raises(SSEError) as caught:
            check_type(response(kind=kind))
        assert caught.value.request is REQUEST


def test_a_content_type_in_a_message_is_short_and_harmless():
    with pytest.raises(SSEError) as caught:
        check_type(Response(200, headers=[(b"Content-Type", b"\x1b[31m" + b"x" * 1000)]))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 150


def test_without_reconnecting_there_is_one_stream():
    steps = reading(response(500))
    assert [next(steps)[0], next(steps)[0]] == [READ, END]
    steps = reading(STREAM)
    next(steps)
    with pytest.raises(httpx.ReadError):
        steps.throw(httpx.ReadError("lost"))


def test_no_other_connection_follows_if_the_source_was_closed_or_none_is_wanted():
    course = Course()
    course.steps.send(None)
    course.steps.send(None)
    assert course.steps.send(False) == (END, None)
    course = Course()
    course.lost()
    assert course.opened(None) == (END, None)
    for over in (course, Course(first=response(204, ""))):
        with pytest.raises(StopIteration):
            over.steps.send(None)


# How long.


def test_waits_grow_with_failures_and_are_reset_by_an_event_and_not_by_a_response():
    """A server that accepts and drops would be asked by all its clients all the time."""
    course = Course()
    course.lost()
    for _ in range(6):
        course.opened(STREAM)
        course.lost(events=False)
    assert course.waits == [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0]
    course.opened(STREAM)
    course.lost()
    assert course.waits[-1] == 3.0


def test_the_first_stream_may_end_without_an_event():
    course = Course(Reconnect(max_failures=1))
    course.lost(events=False)
    assert course.waits == [3.0]


def waited(policy: Reconnect, retry: Optional[int], failures: int, chance: float) -> float:
    progress = Progress()
    progress.retry, progress.failures = retry, failures
    return wait(progress, policy, chance)


@pytest.mark.parametrize(
    ("retry", "failures", "least", "most"),
    [
        (None, 0, 1.5, 3.0),
        (None, 1, 3.0, 6.0),
        (None, 100_000, 30.0, 60.0),
        # The standard: at least the time that the server gave; MCP's SEP-1699 says the same.
        (500, 0, 0.5, 0.625),
        (500, 1, 0.5, 1.0),
        (500, 30, 30.0, 60.0),
        (0, 0, LEAST_WAIT, LEAST_WAIT),
        (0, 9, LEAST_WAIT, LEAST_WAIT),
        (100_000, 0, 100.0, 125.0),
        (100_000, 9, 100.0, 100.0),
        (999_999_999_999_999, 0, LONGEST_ASKED, LONGEST_ASKED * 1.25),
        (999_999_999_999_999, 5, LONGEST_ASKED, LONGEST_ASKED),
    ],
)
def test_how_long_a_wait_is(retry: Optional[int], failures: int, least: float, most: float):
    assert waited(Reconnect(), retry, failures, 0.0) == least
    assert waited(Reconnect(), retry, failures, 1.0) == most


@given(
    st.none() | st.integers(0, 10**15), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1000), st.floats(0, 1000)
)
def test_a_wait_is_bounded(retry: Optional[int], failures: int, chance: float, delay: float, max_delay: float):
    seconds = waited(Reconnect(delay=delay, max_delay=max_delay), retry, failures, chance)
    assert LEAST_WAIT <= seconds <= max(1.25 * LONGEST_ASKED, max_delay)
    assert seconds >= min((retry or 0) / 1000, LONGEST_ASKED)


def test_a_longer_retry_after_takes_precedence_and_is_bounded():
    course = Course()
    course.lost()
    for value in ("1", "45", "86400"):
        course.opened(response(503, retry_after=value))
    course.opened(httpx.ConnectError("refused"))
    assert course.waits == [3.0, 6.0, 45.0, LONGEST_ASKED, 48.0]


# The end.


def test_the_last_of_so_many_failures_is_raised():
    course = Course(Reconnect(max_failures=3))
    course.lost()
    course.opened(httpx.ConnectError("1"))
    course.opened(response(503))
    with pytest.raises(httpx.ReadTimeout, match="3"):
        course.opened(httpx.ReadTimeout("3"))


def test_the_last_failure_may_be_a_status_or_a_silent_stream():
    course = Course(Reconnect(max_failures=1))
    course.lost()
    with pytest.raises(httpx.HTTPStatusError):
        course.opened(response(503))
    for failure, kind in ((None, SSEError), (httpx.ReadError("reset"), httpx.ReadError)):
        course = Course(Reconnect(max_failures=2))
        course.lost()
        course.opened(STREAM)
        course.lost(failure, events=False)
        course.opened(STREAM)
        with pytest.raises(kind):
            course.lost(failure, events=False)


def test_a_total_timeout_bounds_all_of_it():
    course = Course(deadline=10.0)
    course.lost()
    course.now = 4.0
    course.opened(STREAM)
    course.now = 7.5
    with pytest.raises(httpx.ReadTimeout, match=r"total timeout is over.*www\.example\.org"):
        course.lost()


def test_an_error_at_the_end_of_the_total_timeout_is_raised_itself():
    course = Course(deadline=10.0)
    course.now = 10.0
    with pytest.raises(httpx.ReadTimeout, match="within the total timeout"):
        course.lost(httpx.ReadTimeout("nothing within the total timeout"))
    course = Course(deadline=10.0)
    course.lost()
    course.now = 9.999
    with pytest.raises(httpx.ConnectTimeout):
        course.opened(httpx.ConnectTimeout("late"))


# Its settings.


def test_what_reconnect_refuses():
    for options in (
        {"delay": -1},
        {"max_delay": float("inf")},
        {"delay": None},
        {"max_failures": 0},
        {"statuses": [5]},
    ):
        with pytest.raises(ValueError):
            Reconnect(**options)  # type: ignore[arg-type]  # what is tested
    for options in ({"delay": "3"}, {"max_failures": 1.5}, {"statuses": ["503"]}, {"prepare": "x"}):
        with pytest.raises(TypeError):
            Reconnect(**options)  # type: ignore[arg-type]  # what is tested


def test_a_repr_says_what_was_set():
    assert repr(Reconnect(delay=1, statuses=[503, 429])) == (
        "Reconnect(delay=1, max_delay=60.0, max_failures=None, statuses=[429, 503], prepare=None)"
    )
