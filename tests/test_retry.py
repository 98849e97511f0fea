"""Sending again: what is safe to repeat, how often, how long after, and what the caller gets."""

from __future__ import annotations

import copy
import io
import logging
import math
import os
import pickle
import random
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpx
from httpx._exceptions import final
from httpx._flow import CLOSE, DRAIN
from httpx._middleware import retry as retry_module
from httpx._middleware.retry import Attempt, Retry, _Budget
from httpx._steps import Step
from support.interrupts import Interrupted, interrupt, opcodes_of
from support.retry_scenarios import SCENARIOS, Scenario
from support.scripted import Clock, Player, Script

PAYMENT = {"amount": 7}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def request_of(
    method: str = "GET", url: str = "http://a.example/", *, whole: bool = True, **more: Any
) -> httpx.Request:
    """A request as a client hands it to middleware."""
    request = httpx.Request(method, url, **more)
    request._is_read = whole
    return request


def play(retry: Retry, script: str, request: httpx.Request | None = None, clock: Clock | None = None) -> Player:
    """Play a whole script; the player has the outcome."""
    player = Player(script, clock)
    try:
        player.outcome = player.play(retry, request or request_of())
    except httpx.HTTPError as exc:
        player.outcome = exc
    assert player.script.is_over
    return player


# The table.


def played(scenario: Scenario, clock: Clock) -> tuple[str, tuple[float, ...]]:
    extensions = dict(scenario.extensions or {})
    if scenario.total is not None:
        extensions["deadline"] = clock.now + scenario.total
    request = request_of(scenario.method, extensions=extensions, headers=scenario.headers)
    player = play(Retry(**scenario.settings or {}), scenario.script, request, clock)
    outcome = player.outcome
    made = outcome.attempts
    assert len(made) == (len(player.sent) if len(player.sent) > 1 else 0)
    result = type(outcome).__name__ if isinstance(outcome, Exception) else str(outcome.status_code)
    return result, tuple(player.paused)


def test_every_row_of_the_table(clock: Clock):
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) >= 200
    wrong = {}
    for scenario in SCENARIOS:
        result, pauses = played(scenario, clock)
        if result != scenario.result or pauses != pytest.approx(scenario.pauses):
            wrong[scenario.name] = result, pauses
    assert not wrong


# Attempts.


def test_each_attempt_is_told(clock: Clock):
    player = play(Retry(4), "503@2 ReadTimeout@5 200!ReadError@1 200@0.5", clock=clock)
    first, second, third, fourth = player.outcome.attempts
    assert first == Attempt(1, 503, None, 1_700_001_000.0, 2.0, 0.0, "status")
    assert second == Attempt(2, None, "ReadTimeout: it failed", 1_700_001_002.5, 5.0, 0.5, "broken")
    assert third[:3] == (3, 200, "ReadError: the body broke")
    assert fourth[:3] == (4, 200, None)
    assert (fourth.seconds, fourth.waited, fourth.reason) == pytest.approx((0.5, 0.2, "done"))
    assert player.outcome.content == b"begin"


def test_one_attempt_is_not_told(clock: Clock):
    assert play(Retry(), "200").outcome.attempts == ()
    assert play(Retry(), "404").outcome.attempts == ()
    assert play(Retry(1), "503").outcome.attempts == ()
    assert play(Retry(1), "ReadError").outcome.attempts == ()
    assert httpx.Response(200).attempts == httpx.ReadError("x").attempts == ()


@pytest.mark.parametrize(
    ("reason", "settings", "script", "more"),
    [
        ("done", {}, "500 200", {}),
        ("attempts", {}, "500 500 500", {}),
        ("method", {}, "ConnectError 500", {"method": "POST"}),
        ("method", {}, "ConnectError ReadError", {"method": "POST"}),
        ("max_wait", {}, "500 503;Retry-After=70", {}),
        ("deadline", {}, "500 503;Retry-After=7", {"extensions": {"deadline": 1005.0}}),
        ("budget", {"budget": 1}, "500 500", {}),
        ("final", {}, "500 final:ConnectError", {}),
        ("final", {}, "500 DecodingError", {}),
        ("when", {"when": lambda request, outcome: None if outcome_status(outcome) == 500 else False}, "500 503", {}),
    ],
)
def test_the_last_attempt_says_why_it_is_the_last(
    reason: str, settings: dict[str, Any], script: str, more: dict[str, Any], clock: Clock
):
    player = play(Retry(**settings), script, request_of(**more), clock)
    assert player.outcome.attempts[-1].reason == reason


def outcome_status(outcome: Any) -> int | None:
    return getattr(outcome, "status_code", None)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_an_exception_has_a_note_of_the_attempts(clock: Clock):
    player = play(Retry(), "ReadTimeout@1 ReadTimeout@1 ReadTimeout@1", clock=clock)
    assert player.outcome.__notes__ == ["3 attempts in 3.15 s"]
    assert not hasattr(play(Retry(1), "ReadTimeout").outcome, "__notes__")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_an_exception_that_a_mock_raises_each_time_has_one_note():
    """The harm: each call added one, and all of them are in each traceback."""
    error = httpx.ConnectError("refused")

    def refuse(request: httpx.Request) -> httpx.Response:
        raise error

    with httpx.Client(transport=httpx.MockTransport(refuse), middleware=[Retry(backoff=0)]) as client:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                client.get("http://example.org/")
    assert len(error.__notes__) == 1
    assert len(error.attempts) == 3


def test_attempts_survive_pickling(clock: Clock):
    for script in ("500 200", "ReadError ReadError ReadError"):
        outcome = play(Retry(), script).outcome
        if isinstance(outcome, httpx.Response):
            outcome.read()
        assert pickle.loads(pickle.dumps(outcome)).attempts == outcome.attempts != ()


def test_the_error_of_a_status_has_the_attempts_of_its_response(clock: Clock):
    request = request_of()
    response = play(Retry(2), "500 500", request).outcome
    response.request = request
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    assert caught.value.attempts == response.attempts != ()


def test_the_exception_is_the_last_ones_own(clock: Clock):
    errors = [httpx.ReadError("first"), httpx.ReadError("second"), httpx.ReadError("third")]
    raised = list(errors)

    def failing(request: httpx.Request) -> httpx.Response:
        raise raised.pop(0)

    player = Player("")
    player.script = failing  # type: ignore[assignment]
    with pytest.raises(httpx.ReadError, match="third") as caught:
        player.play(Retry(), request_of())
    assert caught.value is errors[2]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


# What may be repeated.


def test_the_body_of_a_stream_is_the_callers_business(clock: Clock):
    player = play(Retry(), "200!ReadError", request_of(whole=False))
    assert player.steps == []
    with pytest.raises(httpx.ReadError):
        player.outcome.read()
    assert play(Retry(), "503 200", request_of(whole=False)).paused == [0.5]


@pytest.mark.parametrize("head", ["401", "302;Location=/there", "101"])
def test_a_body_that_the_client_does_not_read_is_not_read_here(head: str, clock: Clock):
    """That of a redirect may be endless: it is drained, up to a limit."""
    assert play(Retry(), f"{head}!ReadError").steps == []


def test_a_body_that_is_there_needs_no_step(clock: Clock):
    def there(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="all")

    player = Player("")
    player.script = there  # type: ignore[assignment]
    assert player.play(Retry(), request_of()).text == "all"
    assert player.steps == []


@pytest.mark.parametrize(
    "body",
    [
        {"content": b"bytes"},
        {"content": "text"},
        {"json": PAYMENT},
        {"data": {"a": "1"}},
        {"content": io.BytesIO(b"file")},
        {"files": {"f": io.BytesIO(b"file")}, "data": {"a": "1"}},
    ],
    ids=lambda body: ", ".join(body),
)
def test_a_body_that_can_be_sent_again_is(body: dict[str, Any], clock: Clock):
    request = request_of("PUT", **body)
    bodies = []

    def receives(sent: httpx.Request) -> httpx.Response:
        bodies.append(b"".join(sent.stream))  # type: ignore[arg-type]  # a sync one
        return httpx.Response(503 if len(bodies) < 3 else 200)

    player = Player("")
    player.script = receives  # type: ignore[assignment]
    assert player.play(Retry(), request).status_code == 200
    assert bodies[0] == bodies[1] == bodies[2] != b""


@pytest.mark.parametrize("outcome", ["503", "ReadError", "ConnectError"])
def test_a_body_that_cannot_be_sent_again_is_sent_once(outcome: str, clock: Clock):
    """The second attempt would send an empty body, or hide the reason of the first failure."""
    request = request_of("PUT", content=iter([b"once"]))
    player = play(Retry(), outcome, request)
    assert len(player.sent) == 1
    assert outcome in (type(player.outcome).__name__, str(outcome_status(player.outcome)))


def test_errors_of_classes_that_are_final(clock: Clock):
    """Such as `DestinationRefused`, which other parts of the package define."""

    class Refused(httpx.ConnectError):
        _is_final = True

    def refuses(request: httpx.Request) -> httpx.Response:
        raise Refused("not there")

    player = Player("")
    player.script = refuses  # type: ignore[assignment]
    with pytest.raises(Refused):
        player.play(Retry(), request_of())
    assert player.paused == []
    assert not final(httpx.ReadError("x"), False)._is_final
    assert final(httpx.ReadError("x"))._is_final


def test_the_classes_of_errors_that_no_retry_helps_say_so():
    for name in ("DestinationRefused", "RateLimitTimeout"):
        assert getattr(httpx, name, Refusal)._is_final


class Refusal(httpx.ConnectError):
    _is_final = True


def test_when_is_asked_about_every_outcome(clock: Clock):
    asked: list[str] = []

    def when(request: httpx.Request, outcome: httpx.Response | httpx.RequestError) -> bool | None:
        asked.append(type(outcome).__name__ if isinstance(outcome, Exception) else str(outcome.status_code))
        return None

    play(Retry(4, when=when), "503 ReadError 200!ReadError 200")
    assert asked == ["503", "ReadError", "200", "ReadError", "200"]


@pytest.mark.parametrize("answer", [1, 0, "no", object()])
def test_when_must_say_yes_or_no(answer: Any):
    with pytest.raises(TypeError, match="when must return True, False or None, got"):
        Player("200").play(Retry(when=lambda request, outcome: answer), request_of())


def test_what_when_raises_is_raised():
    def when(request: httpx.Request, outcome: object) -> bool:
        raise httpx.ReadError("of `when` itself")

    for script in ("200", "ConnectError"):
        player = Player(script)
        with pytest.raises(httpx.ReadError, match="of `when` itself"):
            player.play(Retry(when=when), request_of())
        assert len(player.sent) == 1


def test_when_cannot_repeat_a_body_that_is_gone(clock: Clock):
    retry = Retry(when=lambda request, outcome: True)
    assert len(play(retry, "503", request_of("PUT", content=iter([b"once"]))).sent) == 1


def test_an_extension_may_have_settings_of_its_own(clock: Clock):
    request = request_of(extensions={"retry": Retry(5, backoff=1)})
    assert play(Retry(2), "500 500 500 500 200", request).paused == [0.5, 1.0, 2.0, 4.0]


def test_settings_of_one_request_use_the_budget_of_the_client(clock: Clock):
    """A `Retry` made for each request would have a full budget each time."""
    retry = Retry(budget=2)
    sent = [len(play(retry, script, own(Retry(3))).sent) for script in ("500 500 500", "500")]
    assert sent == [3, 1]
    assert len(play(retry, "500 500 500", own(Retry(3, budget=None))).sent) == 3
    assert len(play(Retry(budget=None), "500", own(Retry(3, budget=0))).sent) == 1


def own(retry: Retry) -> httpx.Request:
    return request_of(extensions={"retry": retry})


@pytest.mark.parametrize("value", [3, None, "no"])
def test_the_extension_is_checked(value: Any):
    with pytest.raises(TypeError, match="the extension 'retry' must be False, True or a Retry, got"):
        Player("200").play(Retry(), request_of(extensions={"retry": value}))


# Between attempts.


def test_a_response_that_is_not_kept_is_drained_before_the_pause(clock: Clock):
    """Its connection would otherwise be held for as long as Retry-After says."""
    player = Player("503 200")
    steps = Retry()(request := request_of())
    assert next(steps) is request
    asked: Any = steps.send(player.script(request))
    assert isinstance(asked, Step)
    assert asked._kind == DRAIN
    asked = steps.throw(httpx.ReadError("while draining"))
    assert asked._kind == CLOSE
    asked = steps.send(None)
    assert asked._value == 0.5
    assert steps.send(None) is request
    steps.close()


def test_the_time_that_draining_takes_is_a_part_of_the_pause(clock: Clock):
    for seconds, pause in ((0.0, 21.0), (5.0, 16.0), (30.0, 0.0)):
        steps = Retry()(request := request_of())
        next(steps)
        steps.send(Script("503;Retry-After=20")(request))
        clock.advance(seconds)
        asked: Any = steps.send(None)
        assert asked._value == pause
        steps.close()


def test_a_pause_that_is_cancelled_costs_no_budget(clock: Clock):
    retry = Retry()
    steps = retry(request := request_of())
    next(steps)
    steps.throw(httpx.ReadError("x"))
    assert list(retry._budget.low.values()) == [34.0]  # type: ignore[union-attr]
    with pytest.raises(Interrupted):
        steps.throw(Interrupted())
    assert retry._budget.low == {}  # type: ignore[union-attr]
    assert request.extensions == {}
    retry = Retry(budget=None)
    steps = retry(request_of())
    next(steps)
    steps.throw(httpx.ReadError("x"))
    steps.close()


def test_an_error_between_attempts_tells_the_attempts_so_far(clock: Clock):
    steps = Retry()(request := request_of())
    next(steps)
    steps.throw(httpx.ReadError("x"))
    with pytest.raises(httpx.ReadTimeout) as caught:
        steps.throw(httpx.ReadTimeout("the total timeout is over"))
    assert [one.reason for one in caught.value.attempts] == ["broken"]
    assert request.extensions == {}


def test_one_record_is_logged_between_attempts(clock: Clock, caplog: pytest.LogCaptureFixture):
    request = request_of(url="http://ann:secret@a.example/x?token=abc&n=1")
    with caplog.at_level(logging.INFO, "httpx.retry"):
        play(Retry(3), "503;Retry-After=2 ReadTimeout 200", request)
    url = "http://ann:[secure]@a.example/x?token=[secure]&n=1"
    assert [record.getMessage() for record in caplog.records] == [
        f"GET {url}: 503 Service Unavailable; attempt 2 of 3 in 2.1 s",
        f"GET {url}: ReadTimeout: it failed; attempt 3 of 3 in 0.1 s",
    ]
    assert {record.levelname for record in caplog.records} == {"INFO"}
    caplog.clear()
    play(Retry(), "200")
    play(Retry(1), "503")
    assert caplog.records == []


def test_what_a_peer_says_is_cut_and_made_printable(clock: Clock, caplog: pytest.LogCaptureFixture):
    def says(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, extensions={"reason_phrase": b"\x1b[31m" + b"x" * 900})

    player = Player("")
    player.script = says  # type: ignore[assignment]
    with caplog.at_level(logging.INFO, "httpx.retry"):
        player.play(Retry(2), request_of())
    (record,) = caplog.records
    assert "\x1b" not in record.getMessage()
    assert len(record.getMessage()) < 120


@given(
    attempts=st.integers(1, 80),
    backoff=st.floats(0, 1e6),
    longest=st.floats(0, 1e6),
    chance=st.floats(0, 1, exclude_max=True),
    status=st.sampled_from([500, 503]),
)
def test_a_backoff_is_never_negative_nor_longer_than_the_longest(
    attempts: int, backoff: float, longest: float, chance: float, status: int
):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch, chance)
        retry = Retry(attempts, backoff=backoff, max_backoff=longest, budget=None)
        player = play(retry, " ".join([str(status)] * attempts), clock=clock)
    assert len(player.paused) == attempts - 1
    assert all(0 <= pause <= longest + 1e-6 for pause in player.paused)


@given(st.text(max_size=80) | st.from_regex(r"[0-9]{1,70}", fullmatch=True))
def test_any_retry_after_is_survived(value: str):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        fields = [(b"Retry-After", value.encode()), (b"Date", value.encode())]

        def says(request: httpx.Request) -> httpx.Response:
            response = httpx.Response(503)
            response.headers = httpx.Headers._from_raw(fields)
            return response

        player = Player("", clock)
        player.script = says  # type: ignore[assignment]
        assert player.play(Retry(2), request_of()).status_code == 503
    assert all(0 <= pause <= 60 * 1.1 for pause in player.paused)


# Idempotency keys.


def keys_of(player: Player, field: str = "Idempotency-Key") -> list[str | None]:
    return [request.headers.get(field) for request in player.sent]


def test_a_key_is_the_same_in_each_attempt_and_another_in_each_call(clock: Clock):
    retry = Retry(idempotency_key=True)
    first = keys_of(play(retry, "503 ReadError 200", request_of("POST", json=PAYMENT)))
    second = keys_of(play(retry, "200", request_of("PATCH", json=PAYMENT)))
    assert first[0] == first[1] == first[2] != second[0]
    for key in (first[0], second[0]):
        assert key is not None
        assert key[0] == key[-1] == '"'  # a string of RFC 9651
        assert len(key) == 38
    assert keys_of(play(retry, "200", request_of("PUT"))) == [None]


def test_the_callers_key_is_kept(clock: Clock):
    request = request_of("POST", headers={"Idempotency-Key": '"mine"'})
    assert keys_of(play(Retry(idempotency_key=True), "503 200", request)) == ['"mine"', '"mine"']


def test_the_field_may_have_another_name(clock: Clock):
    """Such fields are older than the standard, and have no quotes."""
    player = play(Retry(idempotency_key="X-Request-Key"), "503 200", request_of("POST"))
    first, second = keys_of(player, "x-request-key")
    assert first == second is not None
    assert len(first) == 36
    assert keys_of(player) == [None, None]


def test_a_function_may_make_the_key(clock: Clock):
    retry = Retry(idempotency_key=lambda request: f'order "{request.url.path[1:]}" \\')
    assert keys_of(play(retry, "200", request_of("POST", "http://a.example/7"))) == ['"order \\"7\\" \\\\"']


@pytest.mark.parametrize(
    ("key", "error"),
    [(7, TypeError), ("", ValueError), ("a\r\nb", ValueError), ("é", ValueError), ("k" * 256, ValueError)],
)
def test_a_key_is_checked(key: Any, error: type[Exception]):
    with pytest.raises(error, match="idempotency_key must return"):
        Player("200").play(Retry(idempotency_key=lambda request: key), request_of("POST"))


def redirected(request: httpx.Request, url: str, method: str = "POST") -> httpx.Request:
    """The request of a redirect, as a client makes it."""
    extensions = dict(request.extensions)
    following = httpx.Request(method, url, headers=request.headers, extensions=extensions)
    following._is_read, following._call = True, request._call
    return following


@pytest.mark.parametrize(
    ("url", "method", "is_kept"),
    [
        ("http://a.example/there", "POST", True),
        ("https://a.example/", "POST", True),
        ("http://a.example:8080/", "POST", False),
        ("http://b.example/", "POST", False),
        ("http://a.example/", "GET", False),
    ],
)
def test_a_key_goes_with_redirects_on_its_origin(url: str, method: str, is_kept: bool, clock: Clock):
    """The operation is known by the key to the server that got it first."""
    retry = Retry(idempotency_key=True)
    first = request_of("POST")
    first._call = 5
    key = keys_of(play(retry, "307", first))[0]
    second = redirected(first, url, method)
    assert keys_of(play(retry, "307", second)) == [key if is_kept else None]
    # Nor does one that was dropped come back.
    assert keys_of(play(retry, "200", redirected(second, "http://a.example/"))) == [key if is_kept else None]


def test_a_key_goes_with_a_failover_to_an_origin_that_is_trusted(clock: Clock):
    retry = Retry(idempotency_key=True)
    first = request_of("POST")
    key = keys_of(play(retry, "final:ConnectError", first))
    for trusted in (True, False):
        second = first.copy_with(url="http://b.example/", keep_secrets=trusted)
        assert keys_of(play(retry, "200", second)) == (key if trusted else [None])


def test_a_redirect_does_not_drop_the_callers_key(clock: Clock):
    retry = Retry(idempotency_key=True)
    first = request_of("POST")
    play(retry, "307", first)
    second = redirected(first, "http://b.example/")
    second.headers["Idempotency-Key"] = '"mine"'
    assert keys_of(play(retry, "200", second)) == ['"mine"']


def test_the_same_request_in_another_call_has_another_key(clock: Clock):
    """With the first one the server would take the second payment for the first."""
    retry, request = Retry(idempotency_key=True), request_of("POST")
    request._call = 5
    first = keys_of(play(retry, "200", request))
    assert keys_of(play(retry, "200", request)) == first  # as after a 401, in the same call
    request._call = 6
    second = keys_of(play(retry, "200", request))
    assert None not in first + second
    assert first != second


# The budget.


def calls(retry: Retry, count: int, share: float, status: int = 500, seed: int = 1) -> tuple[int, int]:
    """How many of `count` calls failed for the caller, and how many requests were sent."""
    chance = random.Random(seed)
    good, bad = httpx.Response(200), httpx.Response(status)
    request = request_of()
    failed = sent = 0
    for _ in range(count):
        steps = retry(request)
        asked: Any = next(steps)
        try:
            while True:
                if asked is request:
                    sent += 1
                    asked = steps.send(bad if chance.random() < share else good)
                else:
                    asked = steps.send(None)
        except StopIteration as stop:
            failed += stop.value is bad
    return failed, sent


@pytest.mark.parametrize(("status", "most"), [(500, 1035), (503, 1100)])
@pytest.mark.parametrize("attempts", [3, 10])
def test_an_outage_of_1000_calls_sends_at_most_a_tenth_more(status: int, most: int, attempts: int, clock: Clock):
    assert calls(Retry(attempts), 1000, 1.0, status) == (1000, most)


def test_without_a_budget_an_outage_sends_all_attempts(clock: Clock):
    assert calls(Retry(budget=None), 1000, 1.0) == (1000, 3000)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.3])
@pytest.mark.parametrize("seed", [1, 2])
def test_up_to_30_percent_of_random_failures_end_as_without_a_budget(share: float, seed: int, clock: Clock):
    assert calls(Retry(), 5000, share, seed=seed) == calls(Retry(budget=None), 5000, share, seed=seed)


def test_at_half_of_random_failures_the_budget_ends(clock: Clock):
    failed, sent = calls(Retry(), 5000, 0.5)
    assert 0.35 < failed / 5000 < 0.45
    assert 1.15 < sent / 5000 < 1.25


def test_an_outage_that_is_over_is_forgotten(clock: Clock):
    retry = Retry(budget=2)
    calls(retry, 100, 1.0)
    assert list(retry._budget.low.values()) == [0.0]  # type: ignore[union-attr]
    calls(retry, 10, 0.0)
    assert retry._budget.low == {}  # type: ignore[union-attr]
    assert calls(retry, 1, 1.0) == (1, 3)


def test_each_origin_has_a_budget_of_its_own(clock: Clock):
    retry = Retry(budget=1)
    sent = [
        len(play(retry, script, request_of(url=url)).sent)
        for url, script in [
            ("http://a/", "500 500"),
            ("http://a/other", "500"),
            ("https://a/", "500 500"),
            ("http://a:81/", "500 500"),
            ("http://b/", "500 500"),
        ]
    ]
    assert sent == [2, 1, 2, 2, 2]


def test_a_404_shows_that_an_origin_works(clock: Clock):
    for settings in ({}, {"when": lambda request, outcome: outcome_status(outcome) == 500}):
        retry = Retry(budget=1, **settings)
        play(retry, "500 404")
        assert retry._budget.low == {}  # type: ignore[union-attr]


def test_no_more_origins_are_known_than_1024():
    budget = _Budget(3.0)
    for number in range(2000):
        assert budget.take(("http", str(number), 80), 1.0)
        assert budget.take(("http", "busy", 80), 0.001)
    assert len(budget.low) == 1024
    assert budget.low["http", "busy", 80] == pytest.approx(1.0)
    assert ("http", "1999", 80) in budget.low


def test_a_budget_is_exact_under_threads():
    budget, origin = _Budget(1000.0), ("http", "a", 80)
    taken: list[int] = []

    def take() -> None:
        taken.append(sum(budget.take(origin, 1.0) for _ in range(400)))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000
    assert budget.low[origin] == 0


def test_an_interruption_anywhere_in_the_budget_leaves_it_usable():
    """A lock that stays locked would stop every other thread for ever."""
    files = (retry_module.__file__,)
    budget, origin = _Budget(1000.0), ("http", "a", 80)
    budget.take(origin, 1.0)
    for number in range(1, opcodes_of(lambda: budget.take(origin, 1.0), files) + 1):
        with pytest.raises(Interrupted):
            interrupt(lambda: budget.take(origin, 1.0), files, number)
        thread = threading.Thread(target=budget.take, args=(origin, 1.0), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_begins_with_full_budgets():
    from httpx._forks import FORKS

    budget = _Budget(3.0)
    budget.take(("http", "a", 80), 1.0)
    lock = budget._lock
    FORKS._in_child()
    assert budget.low == {}
    assert budget._lock is not lock


# The object.


def test_it_pickles_as_its_arguments(clock: Clock):
    retry = Retry(5, statuses={500}, methods=["get"], backoff=1, max_wait=math.inf, budget=3, when=outcome_is_none)
    calls(retry, 3, 1.0)
    for again in (pickle.loads(pickle.dumps(retry)), copy.copy(retry), copy.deepcopy(retry)):
        assert repr(again) == repr(retry)
        assert again._arguments == retry._arguments
        assert again._budget.low == {} != retry._budget.low  # type: ignore[union-attr]
    assert copy.copy(Retry(budget=None))._budget is None


def outcome_is_none(request: object, outcome: object) -> None:
    return None


async def asynchronous(request: object, outcome: object) -> None:
    raise AssertionError


def test_its_repr_is_what_was_given():
    assert repr(Retry()) == "Retry()"
    assert repr(Retry(5, budget=None)) == "Retry(attempts=5, budget=None)"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"attempts": 0}, ValueError, "attempts must be at least 1, got 0"),
        ({"attempts": 2.5}, TypeError, "attempts must be an int, got float"),
        ({"attempts": True}, TypeError, "attempts must be an int, got bool"),
        ({"statuses": 503}, TypeError, "statuses must be a list, a tuple or a set, got int"),
        ({"statuses": ["503"]}, ValueError, "statuses must be numbers from 100 to 999, got '503'"),
        ({"statuses": [99]}, ValueError, "statuses must be numbers from 100 to 999, got 99"),
        ({"methods": "GET"}, TypeError, "methods must be a list, a tuple or a set, got str"),
        ({"methods": [1]}, TypeError, "methods must be str, got int"),
        ({"backoff": -1}, ValueError, "backoff must be a number of at least 0, got -1"),
        ({"backoff": "1"}, TypeError, "backoff must be a number, got str"),
        ({"max_backoff": math.nan}, ValueError, "max_backoff must be a number of at least 0, got nan"),
        ({"max_wait": None}, TypeError, "max_wait must be a number, got NoneType"),
        ({"budget": -0.1}, ValueError, "budget must be a number of at least 0, got -0.1"),
        ({"budget": True}, TypeError, "budget must be a number, got bool"),
        (
            {"idempotency_key": "no token"},
            ValueError,
            "idempotency_key must be the name of a header field, got 'no token'",
        ),
        ({"idempotency_key": 1}, TypeError, "idempotency_key must be a bool, a str or a plain function, got int"),
        ({"when": True}, TypeError, "when must be a plain function of a request and its outcome, got bool"),
        (
            {"when": asynchronous},
            TypeError,
            "when must be a plain function of a request and its outcome, got an async function",
        ),
        (
            {"idempotency_key": asynchronous},
            TypeError,
            "idempotency_key must be a bool, a str or a plain function, got an async function",
        ),
        ({"backoff": math.inf}, ValueError, "backoff must be a number of at least 0, got inf"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], error: type[Exception], text: str):
    with pytest.raises(error) as caught:
        Retry(**arguments)
    assert str(caught.value) == text
