"""
`RateLimit`: driven by hand, in simulated time against servers with limits, and through the clients in virtual time.

Not here: the arithmetic (`test_pacing`), the fields (`test_rate_fields`), waiting for a latch (`test_latches`).
"""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Generator
from typing import Any, Optional

import pytest
import trio

import httpx
from httpx import RateLimit, RateLimitTimeout, Request, Response, Step, _clock
from httpx._forks import FORKS
from httpx._middleware.rate import _MAX_KEYS
from httpx._steps import CALL, PAUSE, READ, WAIT
from httpx.testing import virtual_time
from support.drivers import Driver
from support.rates import URL, Crowd, Time, TokenBucket, Windows, simulate, simulated_time

Flow = Generator[Any, Any, Any]
OTHER = "https://other.example.org/"

# Calls that are not over: one that is dropped gives back its turn and its place.
KEPT: list[Any] = []


class Call:
    """
    One request through a middleware, driven by hand.

    Attributes:
        asked: what it waits for: a request, or a step.
        response: what it returned.
    """

    def __init__(self, layer: Any, url: str = URL, **options: Any) -> None:
        self.request = Request("GET", url, **options)
        self.flow = layer(self.request)
        self.asked: Any = None
        self.response: Optional[Response] = None
        KEPT.append(self)
        self.go_on()

    def go_on(self, outcome: Any = None) -> Call:
        try:
            self.asked = self.flow.throw(outcome) if isinstance(outcome, BaseException) else self.flow.send(outcome)
        except StopIteration as stop:
            self.asked, self.response = None, stop.value
        return self

    def respond(self, status: int = 200, **fields: Any) -> Call:
        assert self.is_sent
        return self.go_on(
            Response(status, headers={name.replace("_", "-"): str(value) for name, value in fields.items()})
        )

    @property
    def is_sent(self) -> bool:
        return isinstance(self.asked, Request)

    @property
    def pause(self) -> float:
        """The seconds of the pause that it is in; 0.0 if it is sent."""
        if self.is_sent:
            return 0.0
        assert self.asked._kind == PAUSE, self.asked
        return round(self.asked._value, 6)

    @property
    def is_waiting_for_a_place(self) -> bool:
        return isinstance(self.asked, Step) and self.asked._kind == WAIT


@pytest.fixture
def time() -> Any:
    with simulated_time() as clock:
        yield clock
    KEPT.clear()


def pauses(layer: Any, count: int, url: str = URL) -> list[float]:
    return [Call(layer, url).pause for _ in range(count)]


# The rate of the user.


@pytest.mark.parametrize(
    ("rate", "interval"),
    [
        *[("10/s", 0.1), (10, 0.1), (2.5, 0.4), ("600/min", 0.1), ("600 / minute", 0.1), ("100/15min", 9)],
        *[("3600/h", 1), ("36000/hour", 0.1), ("86400/day", 1), ("0.5/sec", 2), ("1/0.5s", 0.5)],
    ],
)
def test_requests_wait_for_their_turn(time: Time, rate: Any, interval: float):
    layer = RateLimit(rate, burst=1)
    assert pauses(layer, 3) == [0, pytest.approx(interval), pytest.approx(2 * interval)]


@pytest.mark.parametrize(("rate", "burst"), [("10/s", 10), ("0.5/s", 1), ("90/min", 1), ("2.9/s", 2)])
def test_the_burst_is_by_default_what_a_second_allows(time: Time, rate: Any, burst: int):
    found = pauses(RateLimit(rate), burst + 2)
    assert found[:burst] == [0] * burst
    assert 0 < found[burst] < found[burst + 1]


def test_a_pause_is_over_when_it_says(time: Time):
    layer = RateLimit("1/s")
    assert pauses(layer, 1) == [0]
    call = Call(layer)
    time.now = 0.999
    assert call.go_on().pause == pytest.approx(0.001)
    time.now = 1.0
    assert call.go_on().is_sent
    assert call.respond().response.status_code == 200  # type: ignore[union-attr]


def test_origins_have_limits_of_their_own(time: Time):
    layer = RateLimit("1/s")
    assert pauses(layer, 2) + pauses(layer, 2, OTHER) + pauses(layer, 1) == [0, 1, 0, 1, 2]


def test_a_key_groups_requests(time: Time):
    layer = RateLimit("1/s", key=lambda request: request.headers.get("x-tenant"))
    assert Call(layer).pause == 0
    assert Call(layer, OTHER).pause == 1
    assert Call(layer, OTHER, headers={"X-Tenant": "a"}).pause == 0


def test_the_keys_that_were_used_last_are_remembered(time: Time):
    layer = RateLimit("1/h", max_wait=1e6, key=lambda request: request.url.path)
    for n in range(_MAX_KEYS):
        assert Call(layer, f"{URL}{n}").pause == 0
    assert Call(layer, f"{URL}0").pause > 0
    assert Call(layer, f"{URL}new").pause == 0
    assert Call(layer, f"{URL}0").pause > 0
    assert Call(layer, f"{URL}1").pause == 0  # it was forgotten
    assert len(layer._buckets) == _MAX_KEYS


def test_a_request_that_is_cancelled_in_its_pause_gives_its_turn_back(time: Time):
    layer = RateLimit("1/s")
    calls = [Call(layer) for _ in range(4)]
    calls[2].flow.close()
    with pytest.raises(KeyboardInterrupt):
        calls[3].go_on(KeyboardInterrupt())
    assert pauses(layer, 2) == [2, 3]


# Waiting too long.


def test_a_wait_that_would_be_too_long_is_refused_at_once(time: Time):
    layer = RateLimit("1/min", max_wait=90)
    assert pauses(layer, 2) == [0, 60]
    with pytest.raises(RateLimitTimeout) as caught:
        Call(layer)
    assert caught.value.wait == pytest.approx(120)
    assert str(caught.value) == "rate limit of api.example.org: its turn is in 120 s, and max_wait is 90 s"
    assert caught.value.request.url == URL
    assert isinstance(caught.value, httpx.PoolTimeout)
    time.now = 60
    assert pauses(layer, 1) == [60]  # it took no turn


def test_a_wait_beyond_the_total_timeout_is_refused_at_once(time: Time):
    layer = RateLimit("1/s")
    assert Call(layer).is_sent
    assert Call(layer, extensions={"deadline": 1.5}).pause == 1
    with pytest.raises(RateLimitTimeout, match=r"its turn is in 2 s, and .* the total timeout is near"):
        Call(layer, extensions={"deadline": 1.5})


def test_the_error_survives_pickling():
    error = RateLimitTimeout("too long", wait=1.5, request=Request("GET", URL))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.wait, again.request.url) == ("too long", 1.5, URL)


# What servers say: pauses for all.


def test_a_429_stops_all_requests_of_its_key(time: Time):
    layer = RateLimit()
    first, second = Call(layer), Call(layer)
    assert first.respond(429, Retry_After=7).response.status_code == 429  # type: ignore[union-attr]
    assert pauses(layer, 1, OTHER) == [0]
    assert pauses(layer, 1) == [7]
    # Another one that was under way brings no news, or a longer pause.
    second.respond(429, Retry_After=9)
    assert Call(layer).pause >= 9


def test_those_that_wait_already_wait_longer(time: Time):
    layer = RateLimit("10/s", burst=1)
    sent, waiting = Call(layer), [Call(layer) for _ in range(3)]
    time.now = 0.05
    sent.respond(429, Retry_After=5)
    time.now = 0.1
    assert waiting[0].go_on().pause == pytest.approx(5)
    time.now = 5.1
    assert waiting[0].go_on().is_sent
    assert waiting[1].go_on().pause == pytest.approx(0.1)  # they keep their distance


def test_one_that_waits_is_refused_when_a_pause_makes_it_too_late(time: Time):
    layer = RateLimit("10/s", burst=1, max_wait=10)
    sent, waiting = Call(layer), Call(layer)
    sent.respond(429, Retry_After=100)
    time.now = 0.1
    with pytest.raises(RateLimitTimeout) as caught:
        waiting.go_on()
    assert caught.value.wait == pytest.approx(100)


@pytest.mark.parametrize(
    ("status", "fields", "pause"),
    [
        (503, {"Retry_After": 7}, 7),
        (503, {}, 0),
        (500, {"Retry_After": 7}, 0),
        (200, {"Retry_After": 7}, 0),
        (429, {}, 1),
        (429, {"Retry_After": "soon"}, 1),
        (429, {"Retry_After": "0"}, 0),
        (429, {"Retry_After": 7, "RateLimit": '"a";r=0;t=3'}, 7),
        (429, {"Retry_After": 7, "RateLimit": '"a";r=0;t=30'}, 7),
        (429, {"RateLimit": '"a";r=0;t=3'}, 3),
        (429, {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 3}, 3),
        (429, {"Retry_After": 10**20}, 3600),
        (
            429,
            {"Retry_After": "Thu, 01 Jan 2026 00:00:09 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"},
            9,
        ),
    ],
)
def test_how_long_a_response_stops_its_key(time: Time, status: int, fields: dict[str, Any], pause: float):
    layer = RateLimit(max_wait=1e9)
    Call(layer).respond(status, **fields)
    assert Call(layer).pause == pause


def test_without_learning_only_refusals_count(time: Time):
    layer = RateLimit(learn=False)
    Call(layer).respond(200, RateLimit='"a";r=0;t=5')
    assert pauses(layer, 1) == [0]
    Call(layer).respond(429, Retry_After=5, RateLimit='"a";r=0;t=50')
    assert pauses(layer, 3) == [5, 5, 5]
    time.now = 5
    assert pauses(layer, 3) == [0, 0, 0]


def test_after_a_refusal_requests_go_at_the_rate_that_was_accepted(time: Time):
    layer = RateLimit()
    for _ in range(20):
        call = Call(layer)
        time.now += 0.1
        call.respond()
    Call(layer).respond(429, Retry_After=1)
    found = pauses(layer, 3)
    assert found[0] == 1
    assert 0.1 < found[2] - found[1] < 0.15


# What servers declare.


def test_a_quota_that_is_used_up_is_waited_for(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=100;w=60', RateLimit='"a";r=0;t=20')
    assert pauses(layer, 2) == [20, 20]
    time.now = 20
    assert pauses(layer, 2) == [0, 0]


def test_after_a_window_no_more_go_at_once_than_it_allows(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=3;w=30', RateLimit='"a";r=0;t=20')
    assert pauses(layer, 4) == [20, 20, 20, 30]


def test_an_endless_reset_ends(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit='"a";r=0;t=999999999999')
    with pytest.raises(RateLimitTimeout) as caught:
        Call(layer)
    assert caught.value.wait == 3600


def test_the_last_fifth_of_a_quota_is_spread_over_its_window(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=100;w=60', RateLimit='"a";r=20;t=40')
    assert pauses(layer, 2) == [0, 0]
    Call(layer).respond(RateLimit_Policy='"a";q=100;w=60', RateLimit='"a";r=10;t=40')
    found = pauses(layer, 3)
    # Two are under way, which leaves eight for 40 s.
    assert [later - earlier for earlier, later in zip(found, found[1:])] == [5, 5]
    time.now = 41  # a new window
    assert Call(layer).pause == 0


def test_a_short_window_is_used_evenly(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=10;w=1', RateLimit='"a";r=7;t=1')
    found = pauses(layer, 3)
    assert found == [pytest.approx(0.303), pytest.approx(0.404), pytest.approx(0.505)]
    time.now = 0.303
    call = Call(layer)
    time.now = 0.606
    call.go_on().respond(RateLimit_Policy='"a";q=10;w=1', RateLimit='"a";r=0;t=1')
    assert Call(layer).pause < 0.5  # 0 within a second is no reason to wait for all of it


def test_a_policy_alone_gives_a_rate(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=10;w=1')
    assert pauses(layer, 2) == [pytest.approx(0.101), pytest.approx(0.202)]


def test_what_looked_like_a_short_window_may_be_the_end_of_a_long_one(time: Time):
    layer = RateLimit(max_wait=1e4)
    Call(layer).respond(X_RateLimit_Limit=60, X_RateLimit_Remaining=1, X_RateLimit_Reset=8)
    assert Call(layer).pause == pytest.approx(8, rel=0.05)
    time.now = 30
    Call(layer).respond(X_RateLimit_Limit=60, X_RateLimit_Remaining=59, X_RateLimit_Reset=3600)
    time.now = 31
    assert pauses(layer, 3) == [0, 0, 0]
    Call(layer).respond(X_RateLimit_Limit=60, X_RateLimit_Remaining=0, X_RateLimit_Reset=3000)
    assert Call(layer).pause == pytest.approx(3000)


def test_the_strictest_of_several_quotas_holds(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=100;w=60, "b";q=1000;w=3600', RateLimit='"a";r=0;t=5, "b";r=0;t=30')
    assert Call(layer).pause == 30


def test_names_are_few_for_each_key(time: Time):
    layer = RateLimit()
    for n in range(100):
        Call(layer).respond(RateLimit=f'"{n}";r=100;t=60')
    assert len(next(iter(layer._buckets.values())).quotas) == 16


def test_users_that_the_server_counts_by_themselves_do_not_wait_for_each_other(time: Time):
    layer = RateLimit("10/s")
    ann, bob = ({"headers": {"Authorization": f"Bearer {name}"}} for name in ("ann", "bob"))
    Call(layer, **ann).respond(RateLimit_Policy='"a";q=100;w=60;pk=:YQ==:', RateLimit='"a";r=0;t=20')
    assert [Call(layer, **ann).pause, Call(layer, **ann).pause] == [20, 20]
    assert Call(layer, **bob).pause == 0
    Call(layer, **bob).respond(RateLimit_Policy='"a";q=100;w=60;pk=:Yg==:', RateLimit='"a";r=0;t=30')
    assert [Call(layer, **ann).pause, Call(layer, **bob).pause, Call(layer).pause] == [20, 30, 0]
    assert "ann" not in repr(layer._buckets) + repr(layer)


def test_a_quota_that_is_not_heard_of_again_is_forgotten(time: Time):
    layer = RateLimit()
    Call(layer).respond(RateLimit_Policy='"a";q=10;w=1', RateLimit='"a";r=9;t=1')
    time.now = 61
    assert pauses(layer, 2) == [0, 0]
    assert not next(iter(layer._buckets.values())).quotas


def test_a_declared_number_of_requests_at_the_same_time_is_kept(time: Time):
    layer = RateLimit()
    call = Call(layer)
    call.respond(RateLimit_Policy='"c";q=2;qu="concurrent-requests"')
    calls = [Call(layer) for _ in range(3)]
    assert [call.is_waiting_for_a_place for call in calls] == [False, False, True]
    fixed = RateLimit(concurrency=3)
    Call(fixed).respond(RateLimit_Policy='"c";q=1;qu="concurrent-requests"')
    assert [Call(fixed).is_sent, Call(fixed).is_waiting_for_a_place] == [True, True]


# Places.


def test_requests_wait_for_a_place_in_their_order(time: Time):
    layer = RateLimit(concurrency=2)
    calls = [Call(layer) for _ in range(4)]
    assert [call.is_waiting_for_a_place for call in calls] == [False, False, True, True]
    calls[1].respond()
    assert [call.asked._value[0].is_set for call in calls[2:]] == [True, False]
    assert calls[2].go_on(True).is_sent
    calls[0].respond()
    assert calls[3].asked._value[0].is_set


def test_a_place_is_kept_until_the_body_was_read(time: Time):
    layer = RateLimit(concurrency=1)
    first = Call(layer)
    first.request._is_read = True
    second = Call(layer)
    first.go_on(Response(200, stream=httpx.ByteStream(b"body")))
    assert first.asked._kind == READ
    assert not second.asked._value[0].is_set
    first.go_on(b"body")
    assert second.asked._value[0].is_set


@pytest.mark.parametrize("status", [401, 302])
def test_a_body_that_is_dropped_is_not_read(time: Time, status: int):
    layer = RateLimit(concurrency=1)
    call = Call(layer)
    call.request._is_read = True
    fields = {"Location": "/"}
    assert call.go_on(Response(status, headers=fields, stream=httpx.ByteStream(b"body"))).response is not None


def test_no_place_is_lost_wherever_a_request_ends(time: Time):
    layer = RateLimit(concurrency=1)
    holder = Call(layer)
    for end in (GeneratorExit(), KeyboardInterrupt(), httpx.ReadError("broken")):
        call = Call(layer)
        with pytest.raises(type(end)):
            call.go_on(end)
    # One gets the place and is cancelled before it knows.
    unaware, next_one = Call(layer), Call(layer)
    holder.respond()
    assert unaware.asked._value[0].is_set
    unaware.flow.close()
    assert next_one.asked._value[0].is_set
    with pytest.raises(httpx.ReadError):
        next_one.go_on(True).go_on(httpx.ReadError("broken"))
    assert Call(layer).is_sent


def test_who_waits_too_long_for_a_place_gives_up(time: Time):
    layer = RateLimit(concurrency=1, max_wait=5)
    Call(layer)
    call = Call(layer)
    assert call.asked._value[1] == 5
    with pytest.raises(RateLimitTimeout, match="1 requests are under way, and max_wait is 5 s") as caught:
        call.go_on(False)
    assert caught.value.wait is None
    assert Call(layer, extensions={"deadline": 2.0}).asked._value[1] == 2


def test_waiting_for_a_place_and_for_a_turn_are_one_wait(time: Time):
    layer = RateLimit("1/min", concurrency=1, max_wait=70)
    first, second = Call(layer), Call(layer)
    time.now = 20
    first.respond()
    with pytest.raises(RateLimitTimeout):
        Call(layer, extensions={"deadline": 50.0}).go_on(True)
    assert second.go_on(True).pause == 40


def test_auto_shrinks_after_refusals_and_failures_to_connect(time: Time):
    layer = RateLimit(concurrency="auto")
    bucket = layer._bucket(Request("GET", URL).url._origin)
    assert bucket.places is not None
    for n, end in enumerate([429, 503, httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")], 1):
        time.now = n
        before = bucket.places.limit
        call = Call(layer)
        if isinstance(end, int):
            call.respond(end)
        else:
            with pytest.raises(httpx.TimeoutException):
                call.go_on(end)
        assert bucket.places.limit == pytest.approx(max(1, before * 0.7))
    limit = bucket.places.limit
    time.now = 10
    with pytest.raises(httpx.ReadTimeout):
        Call(layer).go_on(httpx.ReadTimeout("slow"))
    assert bucket.places.limit == limit
    assert Call(layer).pause == 0  # a 429 that does not say how long stops no request


def test_a_server_that_nothing_is_known_of_gets_ten_requests_at_first(time: Time):
    layer = RateLimit()
    calls = [Call(layer) for _ in range(40)]
    assert [call.is_sent for call in calls] == [True] * 10 + [False] * 30
    assert calls[10].asked._value[1] == 1  # seconds: it may be slow, and the place is not worth more
    assert calls[10].go_on(False).is_sent
    calls[10].respond()
    calls[0].respond()
    assert [call.asked._value[0].is_set for call in calls[11:]] == [True] * 3 + [False] * 26
    for call in calls[1:10]:
        call.respond()
    assert sum(call.asked._value[0].is_set for call in calls[11:]) == 21


def test_a_server_that_is_known_is_not_limited(time: Time):
    layer = RateLimit()
    for _ in range(80):
        Call(layer).respond()
    last = [Call(layer) for _ in range(150)]
    assert sum(call.is_sent for call in last) == 90
    for call in last[:10]:
        call.respond()
    assert all(call.is_sent or call.asked._value[0].is_set for call in last[10:])
    for call in last[10:]:
        (call if call.is_sent else call.go_on(True)).respond()
    assert all(call.is_sent for call in [Call(layer) for _ in range(150)])


def test_an_error_of_an_unlimited_request_passes(time: Time):
    layer = RateLimit("10/s")
    with pytest.raises(httpx.ReadError):
        Call(layer).go_on(httpx.ReadError("broken"))
    Call(layer).respond(429, Retry_After=2)
    call = Call(layer)
    time.now = 2
    with pytest.raises(httpx.ReadError):
        call.go_on().go_on(httpx.ReadError("broken"))
    assert next(iter(layer._buckets.values())).under_way == set()


def test_an_error_of_a_request_that_waited_passes(time: Time):
    layer = RateLimit("1/s")
    Call(layer)
    call = Call(layer)
    time.now = 1
    with pytest.raises(httpx.ConnectTimeout):
        call.go_on().go_on(httpx.ConnectTimeout("slow"))


def test_an_error_of_the_key_passes(time: Time):
    def key(request: Request) -> Any:
        raise LookupError("no tenant")

    with pytest.raises(LookupError, match="no tenant"):
        Call(RateLimit("1/s", key=key))


# Simulated servers.

FORMS = ["structured", "dictionary", "RateLimit", "X-RateLimit"]


@pytest.mark.parametrize("workers", [1, 10, 50])
@pytest.mark.parametrize("server", [*(Windows(10, 1.0, form) for form in FORMS), TokenBucket(10, "structured")])
def test_a_declared_limit_is_found_and_used(server: Any, workers: int):
    outcome = simulate(RateLimit(), copy.deepcopy(server), workers=workers)
    assert outcome.statuses[429] <= 10, outcome
    assert outcome.rate >= 9.5, outcome


@pytest.mark.parametrize("workers", [1, 10, 50])
@pytest.mark.parametrize("server", [Windows(10), TokenBucket(10)])
def test_a_hidden_limit_is_kept_by_the_rate_of_the_user(server: Any, workers: int):
    outcome = simulate(RateLimit("10/s"), copy.deepcopy(server), workers=workers)
    assert outcome.statuses[429] <= 10, outcome
    assert outcome.rate >= 9.5, outcome


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_hidden_limit_is_found_by_refusals(retry_after: bool):
    one = simulate(RateLimit(), TokenBucket(10, retry_after=retry_after), workers=1)
    assert (one.statuses[429] <= 10, one.rate >= 9.5) == (True, True), one
    many = simulate(RateLimit(), TokenBucket(10, retry_after=retry_after), workers=50)
    # At first they all are refused once.
    assert (many.statuses[429] <= 40, many.rate >= 9.5) == (True, True), many


@pytest.mark.parametrize("retry_after", [None, 0, 1])
@pytest.mark.parametrize("workers", [16, 100])
def test_a_hidden_number_of_places_is_found_and_used(retry_after: Optional[int], workers: int):
    outcome = simulate(
        RateLimit(concurrency="auto"), Crowd(16, 0.1, retry_after), total=5000, workers=workers, latency=0.02
    )
    refused = outcome.statuses[429] / 5000
    best = 16 / 0.12  # a place of ours is taken on the way, too
    assert (refused <= 0.02, outcome.rate >= 0.9 * best) == (True, True), outcome


def test_a_limit_that_is_raised_is_found():
    class Generous(TokenBucket):
        def respond(self, now: float) -> tuple[Response, float]:
            if now > 100:
                self.rate = self.most = 100
            return super().respond(now)

    outcome = simulate(RateLimit(), Generous(10), total=15_000, workers=10)
    assert outcome.seconds < 600, outcome


# Through the clients.


class Site:
    """
    A transport's function, for any number of hosts.

    Attributes:
        times: when requests came, in virtual time.
    """

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.times: list[float] = []

    def __call__(self, request: Request) -> Response:
        self.times.append(_clock.monotonic())
        return self.responses.pop(0) if self.responses else Response(200)


def test_requests_of_a_client_keep_the_rate(driver: Driver):
    site = Site()

    async def scenario(client: Any) -> None:
        for _ in range(5):
            await client.get(URL)

    with virtual_time() as time:
        driver.run(scenario, middleware=[RateLimit("2/s")], transport=httpx.MockTransport(site))
    assert time.slept == [pytest.approx(0.5)] * 3
    assert site.times[-1] - site.times[0] == pytest.approx(1.5)


def test_a_client_waits_as_the_server_says_and_raises_if_that_is_too_long(driver: Driver):
    site = Site(
        Response(429, headers={"Retry-After": "20"}), Response(200), Response(429, headers={"Retry-After": "90"})
    )

    async def scenario(client: Any) -> Any:
        statuses = [(await client.get(URL)).status_code for _ in range(3)]
        with pytest.raises(RateLimitTimeout) as caught:
            await client.get(URL)
        with pytest.raises(RateLimitTimeout):
            await client.get(URL, timeout=httpx.Timeout(5, total=10))
        return statuses, caught.value

    with virtual_time() as time:
        statuses, error = driver.run(scenario, middleware=[RateLimit()], transport=httpx.MockTransport(site))
    assert statuses == [429, 200, 429]
    assert time.slept[0] == pytest.approx(20)
    assert (error.wait, error.request.url) == (pytest.approx(90), URL)


def test_each_hop_of_a_redirect_takes_a_turn_of_its_origin(driver: Driver):
    site = Site(Response(302, headers={"Location": OTHER}), Response(302, headers={"Location": URL}))

    async def scenario(client: Any) -> Any:
        return await client.get(URL, follow_redirects=True)

    with virtual_time() as time:
        response = driver.run(scenario, middleware=[RateLimit("1/s")], transport=httpx.MockTransport(site))
    assert (response.url, len(response.history), time.slept) == (URL, 2, [pytest.approx(1)])


def test_the_total_timeout_counts_for_a_turn(driver: Driver):
    async def scenario(client: Any) -> None:
        await client.get(URL)
        with pytest.raises(RateLimitTimeout, match="total timeout"):
            await client.get(URL, timeout=httpx.Timeout(5, total=0.5))
        await client.get(URL, timeout=httpx.Timeout(5, total=2))

    with virtual_time() as time:
        driver.run(scenario, middleware=[RateLimit("1/s")], transport=httpx.MockTransport(Site()))
    assert time.slept == [pytest.approx(1)]


def test_a_body_is_read_while_its_place_is_kept(driver: Driver, echo_server: Any):
    layer = RateLimit(concurrency=1)

    async def scenario(client: Any) -> Any:
        whole = await client.get("/stream/3")
        async with client.stream("GET", "/stream/3") as streamed:
            # Its head is there, so another one may be sent.
            second = await client.get("/get")
            lines = [line async for line in streamed.aiter_lines()]
        return len(whole.text.splitlines()), second.status_code, len(lines)

    assert driver.run(scenario, middleware=[layer], base_url=echo_server.url) == (3, 200, 3)
    assert next(iter(layer._buckets.values())).places.holders == set()  # type: ignore[union-attr]


class Busy(httpx.AsyncBaseTransport):
    """A server that works on each request for some virtual seconds, and counts how many it has."""

    def __init__(self, work: float = 0.0) -> None:
        self.work = work
        self.active = self.most = self.total = 0

    async def handle_async_request(self, request: Request) -> Response:
        from httpx._transports.pauses import apause

        self.active += 1
        self.total += 1
        self.most = max(self.most, self.active)
        try:
            await apause(self.work)
        finally:
            self.active -= 1
        return Response(200)


def run_tasks(name: str, function: Any, count: int) -> None:
    """Run an async function so many times at once."""

    async def with_asyncio() -> None:
        await asyncio.gather(*(function() for _ in range(count)))

    async def with_trio() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(function)

    asyncio.run(with_asyncio()) if name == "asyncio" else trio.run(with_trio)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_tasks_share_the_places(name: str):
    busy = Busy(0.1)
    with virtual_time():
        client = httpx.AsyncClient(transport=busy, middleware=[RateLimit(concurrency=4)])
        run_tasks(name, lambda: client.get(URL), 40)
    assert (busy.total, busy.most, busy.active) == (40, 4, 0)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_tasks_share_the_rate(name: str):
    busy = Busy()
    with virtual_time() as time:
        client = httpx.AsyncClient(transport=busy, middleware=[RateLimit("100/s", burst=1)])
        before = time.monotonic()
        run_tasks(name, lambda: client.get(URL), 50)
        assert time.monotonic() - before == pytest.approx(0.49)


def test_threads_and_tasks_of_several_loops_share_one_object():
    """16 threads with sync clients, and two loops with tasks, at once and for real."""
    layer = RateLimit(concurrency=5)
    lock, state = threading.Lock(), {"active": 0, "most": 0, "total": 0}

    def respond(request: Request) -> Response:
        with lock:
            state["active"] += 1
            state["total"] += 1
            state["most"] = max(state["most"], state["active"])
        threading.Event().wait(0.0002)
        with lock:
            state["active"] -= 1
        return Response(200)

    def in_thread() -> None:
        with httpx.Client(transport=httpx.MockTransport(respond), middleware=[layer]) as client:
            for _ in range(10):
                client.get(URL)

    def in_loop(name: str) -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(respond), middleware=[layer])
        run_tasks(name, lambda: client.get(URL), 30)

    threads = [threading.Thread(target=in_thread) for _ in range(16)]
    threads += [threading.Thread(target=in_loop, args=(name,)) for name in ("asyncio", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert state["total"] == 16 * 10 + 2 * 30
    assert state["most"] <= 5
    assert next(iter(layer._buckets.values())).places.holders == set()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_tasks_that_are_cancelled_at_any_point_leave_no_place_and_no_turn_behind(name: str):
    """Each task is cancelled after another number of turns of its loop."""
    layer = RateLimit("1000/s", burst=1, concurrency=2)
    client = httpx.AsyncClient(transport=Busy(0.01), middleware=[layer])

    async def with_asyncio(turns: int) -> None:
        others = [asyncio.ensure_future(client.get(URL)) for _ in range(3)]
        task = asyncio.ensure_future(client.get(URL))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, *others, return_exceptions=True)

    async def with_trio(turns: int) -> None:
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def cancelled() -> None:
                with scope:
                    await client.get(URL)

            for _ in range(3):
                nursery.start_soon(client.get, URL)
            nursery.start_soon(cancelled)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            scope.cancel()

    with virtual_time():
        for turns in range(100):
            asyncio.run(with_asyncio(turns)) if name == "asyncio" else trio.run(with_trio, turns)
            (bucket,) = layer._buckets.values()
            assert bucket.places is not None
            assert (bucket.places.holders, bucket.places.waiting, bucket.under_way) == (set(), {}, set()), turns


def test_each_attempt_of_a_retry_takes_a_turn(driver: Driver):
    site = Site(Response(429, headers={"Retry-After": "5"}), Response(500), Response(200))

    async def scenario(client: Any) -> Any:
        return await client.get(URL)

    with virtual_time(jitter=0) as time:
        layers = [httpx.Retry(), RateLimit("1/s")]
        response = driver.run(scenario, middleware=layers, transport=httpx.MockTransport(site))
    assert [attempt.status for attempt in response.attempts] == [429, 500, 200]
    # The pause of the retry is that of the key, too: there is no second wait.
    assert [seconds for seconds in time.slept if seconds] == [pytest.approx(5), pytest.approx(1, rel=0.05)]


def test_a_retry_does_not_repeat_what_a_rate_limit_gave_up(driver: Driver):
    async def scenario(client: Any) -> None:
        await client.get(URL)
        with pytest.raises(RateLimitTimeout) as caught:
            await client.get(URL)
        assert caught.value.attempts == ()

    with virtual_time() as time:
        layers = [httpx.Retry(), RateLimit("1/min", max_wait=5)]
        driver.run(scenario, middleware=layers, transport=httpx.MockTransport(Site()))
    assert time.slept == []


# The object.


def test_it_is_pickled_and_copied_as_its_arguments(time: Time):
    layer = RateLimit("1/s", burst=2, concurrency="auto", learn=False, key=str, max_wait=5)
    pauses(layer, 2)
    for again in (pickle.loads(pickle.dumps(layer)), copy.copy(layer), copy.deepcopy(layer)):
        assert repr(again) == repr(layer)
        assert pauses(again, 3) == [0, 0, 1]


def test_the_repr_has_what_was_given():
    assert repr(RateLimit()) == "RateLimit()"
    assert repr(RateLimit("10/s", max_wait=5)) == "RateLimit(rate='10/s', max_wait=5)"


def test_a_forked_child_begins_with_nothing(time: Time):
    """As `FORKS` does in a child; with a real one in `test_forks`."""
    layer = RateLimit("1/s")
    pauses(layer, 2)
    for (identity, name), (_, make) in list(FORKS._owners.items()):
        if identity == id(layer):
            assert make is not None
            setattr(layer, name, make())
    assert pauses(layer, 1) == [0]


def test_it_stands_inside_of_a_retry():
    assert RateLimit.__module__ == "httpx"
    with pytest.raises(ValueError, match="Retry must stand before RateLimit"):
        httpx.Client(middleware=[RateLimit(), httpx.Retry()])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"rate": "fast"}, ValueError, "such as '10/s'"),
        ({"rate": "10/fortnight"}, ValueError, "such as '10/s'"),
        ({"rate": "10"}, ValueError, "such as '10/s'"),
        ({"rate": "0/s"}, ValueError, "above 0, got '0/s'"),
        ({"rate": "1/0s"}, ValueError, "above 0"),
        ({"rate": -1}, ValueError, "above 0, got -1"),
        ({"rate": float("inf")}, ValueError, "above 0, got inf"),
        ({"rate": float("nan")}, ValueError, "above 0, got nan"),
        ({"rate": True}, TypeError, "got bool"),
        ({"rate": [1]}, TypeError, "got list"),
        ({"rate": "1/s", "burst": 0}, ValueError, "burst must be at least 1, got 0"),
        ({"rate": "1/s", "burst": 1.5}, TypeError, "burst must be an int or None, got float"),
        ({"burst": 5}, ValueError, "burst needs a rate"),
        ({"concurrency": 0}, ValueError, "concurrency must be at least 1, got 0"),
        ({"concurrency": "many"}, TypeError, "concurrency must be an int, 'auto' or None, got 'many'"),
        ({"concurrency": True}, TypeError, "got True"),
        ({"key": "host"}, TypeError, "key must be a function of a request, got str"),
        ({"max_wait": -1}, ValueError, "at least 0, got -1"),
        ({"max_wait": float("inf")}, ValueError, "finite"),
        ({"max_wait": None}, TypeError, "got NoneType"),
    ],
)
def test_an_argument_that_is_wrong_is_named(arguments: dict[str, Any], error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        RateLimit(**arguments)


def test_a_step_for_a_latch_shows_what_it_is():
    assert CALL < WAIT
