"""`_event_source.py`: event streams from both clients, opened again when they are lost."""

from __future__ import annotations

import json
import pickle
import threading
from typing import Any, Optional

import pytest

import httpx
from httpx import EventSource, Reconnect, ServerSentEvent, SSEError, _clock
from httpx._engine.sleeping import AsyncSleeper, Sleeper
from httpx.testing import virtual_time
from support.counting import frames
from support.drivers import Driver, run_without_loop
from support.event_server import PROTOCOLS, Answer, EventServer
from support.interrupts import Interrupted
from support.leaks import trusting_context
from support.steps import until
from support.together import in_threads, together

pytestmark = pytest.mark.usefixtures("no_leaks")

ONE = Answer(b"id: 1\ndata: one\n\n")
TWO = Answer(b"id: 2\ndata: two\n\n")
STOP = Answer(status=204)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    """HTTP/1.1, the same over TLS, and HTTP/2."""
    return str(request.param)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits before connections, none of which is waited for; chance is always 1."""
    seconds: list[float] = []

    def sleep(self: Sleeper, wait: float) -> bool:
        seconds.append(wait)
        return not self._is_awake

    async def asleep(self: AsyncSleeper, wait: float) -> bool:
        seconds.append(wait)
        return not self._is_awake

    monkeypatch.setattr(Sleeper, "sleep", sleep)
    monkeypatch.setattr(AsyncSleeper, "sleep", asleep)
    monkeypatch.setattr(_clock, "jitter", lambda: 1.0)
    return seconds


def options(protocol: str = "http1", **more: Any) -> dict[str, Any]:
    """For a client."""
    return {"verify": trusting_context(), "trust_env": False, "http2": protocol == "http2", "timeout": 3.0, **more}


async def events_of(client: Any, url: str, **more: Any) -> list[ServerSentEvent]:
    async with client.sse(url, **more) as source:
        return [event async for event in source]


def datas(events: list[ServerSentEvent]) -> list[str]:
    return [event.data for event in events]


# One stream.


def test_the_events_of_a_stream_come_in_their_order(driver: Driver, protocol: str):
    body = b": hello\n\nid: 1\nevent: a\ndata: 1\n\ndata: 2\ndata: 3\n\nretry: 5000\n\ndata: cut short"
    with EventServer(Answer(body), protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(f"{server.url}/feed") as source:
                assert (source.response.status_code, source.last_event_id, source.failures) == (200, "", 0)
                assert [event async for event in source] == [
                    ("a", "1", "1", None),
                    ("message", "2\n3", "1", None),
                    ("message", "", "1", 5000),
                ]
                assert (source.last_event_id, source.reconnection_time) == ("1", 5.0)
                assert source.response.is_closed
                assert [event async for event in source] == []

        driver.run(scenario, **options(protocol))
        (asked,) = server.asked
        assert (asked.method, asked.path) == ("GET", "/feed")
        assert asked.fields["accept"] == "text/event-stream"
        assert asked.fields["cache-control"] == "no-store"
        assert "last-event-id" not in asked.fields


def test_what_the_caller_gives_is_sent(driver: Driver):
    with EventServer(ONE) as server:

        async def scenario(client: Any) -> None:
            await events_of(
                client,
                "/",
                method="POST",
                json={"a": 1},
                params={"b": "2"},
                headers={"Accept": "application/json, text/event-stream", "cache-control": "x"},
                cookies={"c": "3"},
                auth=("user", "pass"),
                last_event_id=" …",
            )

        driver.run(scenario, **options(base_url=server.url, headers={"Accept": "text/html"}))
        (asked,) = server.asked
        assert (asked.method, asked.path, json.loads(asked.body)) == ("POST", "/?b=2", {"a": 1})
        given = ("accept", "cache-control", "cookie", "authorization", "last-event-id")
        assert [asked.fields[name] for name in given] == [
            *("application/json, text/event-stream", "x", "c=3", "Basic dXNlcjpwYXNz", "…")
        ]


def test_the_clients_accept_is_not_for_event_streams(driver: Driver):
    with EventServer(ONE) as server:
        driver.run(events_of, server.url, **options(headers={"Accept": "text/html"}))
        assert server.asked[0].fields["accept"] == "text/event-stream"


def test_a_stream_may_be_left_and_gone_on_with(driver: Driver, protocol: str):
    with EventServer(Answer(b"".join(b"data: %d\n\n" % number for number in range(5))), protocol=protocol) as server:

        async def scenario(client: Any) -> list[str]:
            async with client.sse(server.url) as source:
                async for event in source:
                    assert event.data == "0"
                    break
                got = [(await source.__aiter__().__anext__()).data]
                return got + [event.data async for event in source.aiter_sse()]

        assert driver.run(scenario, **options(protocol)) == ["1", "2", "3", "4"]


def test_leaving_in_the_middle_frees_the_connection(driver: Driver, protocol: str):
    with EventServer(Answer(b"data: 1\n\ndata: 2\n\n", end="stay"), ONE, protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url) as source:
                async for _ in source:
                    break
            assert source.response.is_closed
            assert [event async for event in source] == []
            assert datas(await events_of(client, server.url)) == ["one"]

        driver.run(scenario, **options(protocol, limits=httpx.Limits(max_connections=1)))


def test_without_reconnecting_a_lost_stream_is_an_error(driver: Driver, protocol: str):
    with EventServer(Answer(b"data: 1\n\n", end="cut"), protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url) as source:
                events = source.__aiter__()
                assert (await events.__anext__()).data == "1"
                with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)) as caught:
                    await events.__anext__()
                assert caught.value.request.url == server.url
                with pytest.raises(StopAsyncIteration):
                    await events.__anext__()

        driver.run(scenario, **options(protocol))


@pytest.mark.parametrize("reconnect", [False, True])
def test_the_first_opening_is_never_repeated(driver: Driver, reconnect: bool, waits: list[float]):
    with EventServer(Answer(end="none"), ONE) as server:

        async def scenario(client: Any) -> None:
            with pytest.raises(httpx.RemoteProtocolError):
                await events_of(client, server.url, reconnect=reconnect)
            with pytest.raises(httpx.UnsupportedProtocol):
                await events_of(client, "ftp://x/", reconnect=reconnect)

        driver.run(scenario, **options())
        assert (len(server.asked), waits) == (1, [])


@pytest.mark.parametrize("reconnect", [False, True])
def test_a_response_of_another_kind_can_be_looked_at(driver: Driver, reconnect: bool):
    answer = Answer(b'{"error": "no"}', 401, (("Content-Type", "application/json"),))
    with EventServer(answer) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=reconnect) as source:
                with pytest.raises(httpx.HTTPStatusError):
                    source.response.raise_for_status()
                events = source.__aiter__()
                with pytest.raises(httpx.HTTPStatusError if reconnect else SSEError, match="401") as caught:
                    await events.__anext__()
                assert caught.value.request.url == server.url
                read = source.response.aread if driver.is_async else source.response.read
                assert b"error" in (await read() if driver.is_async else read())

        driver.run(scenario, **options())


def test_an_event_that_is_too_large_is_an_error_after_those_before_it(driver: Driver, waits: list[float]):
    body = b"data: 1\n\ndata: 2\n\ndata: " + b"x" * 100 + b"\n\ndata: 3\n\n"
    with EventServer(Answer(body)) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, max_event_size=50, reconnect=True) as source:
                events = source.__aiter__()
                assert [(await events.__anext__()).data for _ in range(2)] == ["1", "2"]
                for kind in (SSEError, StopAsyncIteration):
                    with pytest.raises(kind) as caught:
                        await events.__anext__()
                    if kind is SSEError:
                        assert "more than 50 bytes" in str(caught.value)
                        assert caught.value.request.url == server.url

        driver.run(scenario, **options())
        assert (len(server.asked), waits) == (1, [])


def test_a_body_may_be_compressed(driver: Driver):
    import gzip

    fields = (("Content-Encoding", "gzip"),)
    with EventServer(Answer(gzip.compress(ONE.body), fields=fields)) as server:
        assert datas(driver.run(events_of, server.url, **options())) == ["one"]


# Opened again.


@pytest.mark.parametrize("end", ["whole", "cut", "reset"])
def test_a_lost_stream_goes_on_after_its_last_event(driver: Driver, protocol: str, end: str, waits: list[float]):
    lost = ONE._replace(end=end)
    with EventServer(lost, TWO._replace(end=end), STOP, protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=True) as source:
                first = source.response
                assert [event.data async for event in source] == ["one", "two"]
                assert (source.last_event_id, source.response.status_code, first.is_closed) == ("2", 204, True)

        driver.run(scenario, **options(protocol))
        assert [asked.fields.get("last-event-id") for asked in server.asked] == [None, "1", "2"]
        assert waits == [3.0, 3.0]


def stream_of(*outcomes: Any) -> httpx.MockTransport:
    """A transport whose responses are event streams with these bodies, or statuses; an exception is raised."""
    rest = list(outcomes)

    def respond(request: httpx.Request) -> httpx.Response:
        outcome = rest.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, int):
            return httpx.Response(outcome)
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=outcome)

    return httpx.MockTransport(respond)


def test_a_compressed_body_is_sent_again_with_its_coding(driver: Driver):
    """The harm: the second request had the compressed bytes and no Content-Encoding."""
    seen: list[tuple[Any, Any, bytes]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        body = request.content
        if "Content-Encoding" in request.headers:
            body = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=body).content
        seen.append((request.headers.get("content-encoding"), request.headers["content-type"], body))
        head = {"Content-Type": "text/event-stream"}
        return httpx.Response(204) if len(seen) == 3 else httpx.Response(200, headers=head, content=b"data: x\n\n")

    async def scenario(client: Any) -> None:
        prompt = {"prompt": "x" * 2000}
        async with client.sse("http://example.org/", method="POST", json=prompt, reconnect=True) as source:
            assert [event.data async for event in source] == ["x", "x"]

    driver.run(scenario, transport=httpx.MockTransport(respond), compress="gzip")
    assert seen == [("gzip", "application/json", seen[0][2])] * 3
    assert json.loads(seen[0][2]) == {"prompt": "x" * 2000}


def test_a_hook_may_raise_for_the_statuses_that_pass(driver: Driver):
    async def scenario(client: Any) -> None:
        async with client.sse("http://example.org/", reconnect=True) as source:
            assert [event.data async for event in source] == ["one", "two"]

    hook = driver.hook(lambda response: response.raise_for_status() and None)
    transport = stream_of(b"data: one\n\n", 503, b"data: two\n\n", 204)
    driver.run(scenario, transport=transport, event_hooks={"response": [hook]})


def test_a_replaced_send_need_not_attach_requests(monkeypatch: pytest.MonkeyPatch):
    """As mocks of 0.28.1 do. The harm: a RuntimeError about a missing request in place of the status."""
    head = {"Content-Type": "text/event-stream"}
    rest = [httpx.Response(200, headers=head, content=b"data: one\n\n"), httpx.Response(500)]
    with httpx.Client() as client:
        monkeypatch.setattr(client, "send", lambda request, **options: rest.pop(0))
        with client.sse("http://example.org/", reconnect=True) as source:
            assert next(iter(source)).data == "one"
            with pytest.raises(httpx.HTTPStatusError, match="500"):
                next(iter(source))


@pytest.mark.parametrize("where", ["wait", "open"])
def test_an_interrupted_subscription_goes_on_with_the_step_it_was_at(
    driver: Driver, where: str, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    """The harm: a timeout around each `anext` ended a subscription without an error, as if the server had done it."""
    now = [100.0]
    monkeypatch.setattr(_clock, "monotonic", lambda: now[0])
    interruptions = [Interrupted()] if where == "wait" else []

    def interrupted(self: Any) -> bool:
        if interruptions:
            now[0] += 1.0
            raise interruptions.pop()
        return not self._is_awake

    def sleep(self: Sleeper, wait: float) -> bool:
        waits.append(wait)
        return interrupted(self)

    async def asleep(self: AsyncSleeper, wait: float) -> bool:
        return sleep(self, wait)  # type: ignore[arg-type]  # the two have the same attribute

    monkeypatch.setattr(Sleeper, "sleep", sleep)
    monkeypatch.setattr(AsyncSleeper, "sleep", asleep)
    failed = [Interrupted()] if where == "open" else []
    transport = stream_of(b"id: 1\ndata: one\n\n", *failed, b"data: two\n\n", 204)

    async def scenario(client: Any) -> None:
        async with client.sse("http://example.org/", reconnect=True) as source:
            events = source.__aiter__()
            assert (await events.__anext__()).data == "one"
            with pytest.raises(Interrupted):
                await events.__anext__()
            assert [event.data async for event in source] == ["two"]

    driver.run(scenario, transport=transport)
    assert waits == ([3.0, 2.0, 3.0] if where == "wait" else [3.0, 3.0])


def test_an_interruption_between_two_steps_ends_a_subscription(driver: Driver):
    """Where the course is lost, as by Ctrl-C within `prepare`, there is an end and not an error about a coroutine."""

    def interrupted() -> float:
        raise Interrupted

    async def scenario(client: Any) -> None:
        async with client.sse("http://example.org/", reconnect=True) as source:
            events = source.__aiter__()
            assert (await events.__anext__()).data == "one"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("httpx._subscription.wait", lambda *args: interrupted())
                with pytest.raises(Interrupted):
                    await events.__anext__()
            assert [event async for event in source] == []

    driver.run(scenario, transport=stream_of(b"data: one\n\n"))


def test_the_id_of_a_resumed_stream_survives_connections_without_events(driver: Driver):
    """Clients began with no id after a resume, or forgot it after a connection that brought nothing."""
    with EventServer(Answer(), Answer(b"data: no id\n\n"), Answer(b"id\ndata: reset\n\n"), STOP) as server:
        driver.run(lambda client: events_of(client, server.url, reconnect=True, last_event_id="7"), **options())
        assert [asked.fields.get("last-event-id") for asked in server.asked] == ["7", "7", "7", None]


def test_an_id_in_a_header_of_the_caller_is_where_the_stream_begins(driver: Driver):
    with EventServer(Answer(), ONE, Answer(b"id\ndata: reset\n\n"), STOP) as server:
        more = {"reconnect": True, "headers": {"last-event-id": "7"}}
        driver.run(lambda client: events_of(client, server.url, **more), **options())
        assert [asked.fields.get("last-event-id") for asked in server.asked] == ["7", "7", "1", None]


def test_the_id_that_is_sent_is_that_of_the_last_event_that_the_caller_got(driver: Driver):
    """Not of one that was decoded and waits, or the caller would never get it."""
    with EventServer(Answer(ONE.body + TWO.body, end="reset")) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url) as source:
                async for _ in source:
                    assert source.last_event_id == "1"
                    break

        driver.run(scenario, **options())


def test_an_id_alone_counts_when_the_events_before_it_were_taken(driver: Driver):
    with EventServer(Answer(b"id: 1\ndata: a\n\nid\n\n"), STOP) as server:
        driver.run(lambda client: events_of(client, server.url, reconnect=True), **options())
        assert "last-event-id" not in server.asked[1].fields


def test_an_id_with_anything_in_it_can_be_sent(driver: Driver, protocol: str):
    with EventServer(Answer("id:  \x01…\x7f \ndata: 1\n\n".encode()), STOP, protocol=protocol) as server:
        driver.run(lambda client: events_of(client, server.url, reconnect=True), **options(protocol))
        assert server.asked[1].fields["last-event-id"] == "\x01…\x7f"


def test_failures_are_counted_until_an_event_comes(driver: Driver, waits: list[float]):
    seen = []

    async def scenario(client: Any) -> None:
        async with client.sse(server.url, reconnect=Reconnect(delay=1)) as source:
            async for event in source:
                seen.append((event.data, source.failures, source.reconnection_time))

    answers = ONE, Answer(status=503), Answer(status=429), Answer(), TWO, Answer(b"retry: 40\n\n"), STOP
    with EventServer(*answers) as server:
        driver.run(scenario, **options())
    assert seen == [("one", 0, 1.0), ("two", 0, 1.0), ("", 0, 0.04)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 1.0, 0.1]


def test_retry_after_is_respected(driver: Driver, waits: list[float]):
    with EventServer(ONE, Answer(status=503, fields=(("Retry-After", "17"),)), STOP) as server:
        driver.run(lambda client: events_of(client, server.url, reconnect=True), **options())
    assert waits == [3.0, 17.0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=404), httpx.HTTPStatusError),
        (Answer(fields=(("Content-Type", "text/html"),)), SSEError),
        (Answer(status=302, fields=(("Location", "/again"),)), httpx.TooManyRedirects),
    ],
)
def test_a_response_that_is_no_stream_ends_it(driver: Driver, answer: Answer, kind: type[Exception]):
    with EventServer(ONE, answer) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=True, follow_redirects=True) as source:
                events = source.__aiter__()
                assert (await events.__anext__()).data == "one"
                with pytest.raises(kind):
                    await events.__anext__()

        driver.run(scenario, **options())


def test_a_certificate_that_is_not_trusted_any_more_ends_it(driver: Driver, waits: list[float]):
    with EventServer(ONE, protocol="tls") as server, EventServer(TWO, protocol="tls") as other:
        pinned = httpx.HTTPTransport if not driver.is_async else httpx.AsyncHTTPTransport
        pins = {"localhost": ["sha256//" + "A" * 43 + "="]}
        transports = {"all://localhost": pinned(verify=trusting_context(), pins=pins)}

        def elsewhere(request: httpx.Request) -> httpx.Request:
            return httpx.Request("GET", f"https://localhost:{other.port}/")

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=Reconnect(prepare=elsewhere)) as source:
                events = source.__aiter__()
                assert (await events.__anext__()).data == "one"
                with pytest.raises(httpx.ConnectError, match="pin"):
                    await events.__anext__()

        driver.run(scenario, **options(mounts=transports))
        assert waits == [3.0]


def test_each_opening_is_a_whole_journey_from_the_first_url(driver: Driver):
    """Cookies that were set meanwhile, hooks, redirects; the redirect of the first opening may be an old one."""
    moved = Answer(status=307, fields=(("Location", "/there"),))
    with EventServer(moved, ONE._replace(fields=(("Set-Cookie", "a=1"),)), moved, TWO, STOP) as server:
        hooked: list[str] = []

        async def scenario(client: Any) -> list[str]:
            return datas(
                await events_of(client, "/here?x=1", reconnect=True, follow_redirects=True, cookies={"own": "2"})
            )

        hooks = {"request": [driver.hook(lambda request: hooked.append(request.url.path))]}
        got = driver.run(scenario, **options(base_url=server.url, event_hooks=hooks))
        assert got == ["one", "two"]
        assert [asked.path for asked in server.asked] == ["/here?x=1", "/there", "/here?x=1", "/there", "/here?x=1"]
        assert hooked == ["/here", "/there", "/here", "/there", "/here"]
        assert [asked.fields["cookie"] for asked in server.asked] == ["own=2", "own=2", *["a=1; own=2"] * 3]


def test_a_body_is_sent_again(driver: Driver):
    for given in (
        {"json": {"a": 1}},
        {"content": b'{"a":1}', "headers": {"Content-Type": "x/y"}},
        {"data": {"a": "1"}},
    ):
        with EventServer(ONE, TWO, STOP) as server:
            more = {"method": "POST", "reconnect": True, **given}
            driver.run(lambda client, more=more, url=server.url: events_of(client, url, **more), **options())
            first, *others = [(asked.method, asked.body, asked.fields["content-type"]) for asked in server.asked]
            assert first[:2] != ("POST", b"")
            assert others == [first, first]


def test_a_body_that_can_be_sent_once_is_refused_at_once(driver: Driver):
    client = driver.client()
    for given in ({"content": driver.body([b"x"])}, {"files": {"a": b"x"}}):
        with pytest.raises(ValueError, match="reconnect needs a body that can be sent again"):
            client.sse("http://127.0.0.1/", method="POST", reconnect=True, **given)
        client.sse("http://127.0.0.1/", method="POST", **given)
        client.sse("http://127.0.0.1/", method="POST", reconnect=Reconnect(prepare=lambda request: request), **given)


def test_a_request_can_be_prepared_or_be_the_last(driver: Driver):
    """MCP (SEP-1699): a stream of a POST is resumed by a GET."""

    def to_get(request: httpx.Request) -> Optional[httpx.Request]:
        if request.headers["Last-Event-ID"] == "2":
            return None
        return httpx.Request("GET", request.url, headers=request.headers)

    with EventServer(ONE, TWO) as server:

        async def scenario(client: Any) -> list[ServerSentEvent]:
            more = {"method": "POST", "json": {}, "headers": {"X-Session": "7"}}
            return await events_of(client, server.url, reconnect=Reconnect(prepare=to_get), **more)

        assert datas(driver.run(scenario, **options())) == ["one", "two"]
        assert [(asked.method, asked.body) for asked in server.asked] == [("POST", b"{}"), ("GET", b"")]
        fields = server.asked[1].fields
        assert (fields["last-event-id"], fields["x-session"]) == ("1", "7")
        assert not {"content-length", "content-type"} & set(fields)


def test_a_prepared_request_keeps_what_is_its_own(driver: Driver):
    def prepare(request: httpx.Request) -> httpx.Request:
        extensions = {"timeout": {"read": 2.0}, "idle_timeout": 1.0}
        return httpx.Request("POST", request.url, content=b"resume", extensions=extensions)

    with EventServer(ONE, STOP) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=Reconnect(prepare=prepare)) as source:
                assert [event.data async for event in source] == ["one"]
                assert timeouts_of(source) == ({"read": 2.0}, 1.0)

        driver.run(scenario, **options())
        assert (server.asked[1].method, server.asked[1].body) == ("POST", b"resume")


def test_the_iterator_of_a_source_can_be_closed_like_a_generator(driver: Driver):
    with EventServer(ONE._replace(end="stay")) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url) as source:
                events = source.__aiter__()
                await events.__anext__()
                await events.aclose()
                assert source.response.is_closed
                with pytest.raises(StopAsyncIteration):
                    await events.__anext__()

        driver.run(scenario, **options())


def test_what_prepare_returns_is_checked_and_what_it_raises_is_raised(driver: Driver):
    with EventServer(ONE) as server:

        async def scenario(client: Any) -> None:
            with pytest.raises(TypeError, match="prepare must return a request or None, got str"):
                await events_of(client, server.url, reconnect=Reconnect(prepare=lambda request: "x"))  # type: ignore[arg-type,return-value]  # tested
            with pytest.raises(KeyError):
                await events_of(client, server.url, reconnect=Reconnect(prepare=lambda request: {}["x"]))

        driver.run(scenario, **options())


def test_each_opening_goes_through_middleware_and_waits_take_no_time_in_virtual_time(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.undo()
    seen = []

    def counting(request: httpx.Request) -> Any:
        seen.append(request.headers.get("last-event-id"))
        return (yield request)

    with EventServer(ONE, Answer(status=503), TWO, STOP) as server, virtual_time() as time:
        got = driver.run(lambda client: events_of(client, server.url, reconnect=True), **options(middleware=[counting]))
        assert datas(got) == ["one", "two"]
        assert seen == [None, "1", "1", "2"]
        assert time.slept == [3.0, 6.0, 3.0]


# What the Web Platform Tests say of connections (eventsource/...), as facts; those of the format are in test_events.py.


def test_wpt_format_field_id_2(driver: Driver):
    answers = Answer("id: …\nretry: 200\ndata: hello\n\n".encode()), Answer("data: …\n\n".encode())
    with EventServer(*answers, Answer("data: …\n\n".encode()), STOP) as server:
        events = driver.run(lambda client: events_of(client, server.url, reconnect=True), **options())
        assert [(event.data, event.id) for event in events] == [("hello", "…"), ("…", "…"), ("…", "…")]
        assert [asked.fields["last-event-id"] for asked in server.asked[1:]] == ["…"] * 3


def test_wpt_format_field_retry_and_retry_bogus(driver: Driver, waits: list[float]):
    for body in (b"retry:2000\ndata:x\n\n", b"retry:2000\nretry:1000x\ndata:x\n\n"):
        with EventServer(Answer(body), STOP) as server:
            driver.run(lambda client, url=server.url: events_of(client, url, reconnect=True), **options())
    assert waits == [2.5, 2.5]  # with the spread; 2.0 at least


@pytest.mark.parametrize("status", [205, 210, 299, 404, 410])
def test_wpt_request_status_error(driver: Driver, status: int):
    """But for 503, which passes here."""
    with EventServer(Answer(status=status)) as server:

        async def scenario(client: Any) -> None:
            with pytest.raises(httpx.HTTPStatusError):
                await events_of(client, server.url, reconnect=True)

        driver.run(scenario, **options())
        assert len(server.asked) == 1


def test_wpt_reconnect_fail(driver: Driver, protocol: str):
    opened = Answer(b"retry: 2\ndata: opened\n\n", fields=(("Set-Cookie", "state=opened"),))
    reconnected = Answer(b"data: reconnected\n\n", fields=(("Set-Cookie", "state=reconnected"),))
    with EventServer(opened, reconnected, STOP, protocol=protocol) as server:
        events = driver.run(lambda client: events_of(client, server.url, reconnect=True), **options(protocol))
        assert datas(events) == ["opened", "reconnected"]
        assert [asked.fields.get("cookie") for asked in server.asked] == [None, "state=opened", "state=reconnected"]


# Time.


def timeouts_of(source: Any) -> tuple[Any, Any]:
    extensions = source.response.request.extensions
    return extensions["timeout"], extensions.get("idle_timeout", "none")


def test_a_silent_stream_is_lost_after_the_idle_timeout(driver: Driver, protocol: str, waits: list[float]):
    with EventServer(Answer(b"id: 1\ndata: one\n\n: ping\n\n", end="stay"), STOP, protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, idle_timeout=0.1) as source:
                events = source.__aiter__()
                await events.__anext__()
                with pytest.raises(httpx.ReadTimeout, match=r"within the idle timeout of 0\.1 s"):
                    await events.__anext__()

        driver.run(scenario, **options(protocol))
    with EventServer(ONE._replace(end="stay"), STOP, protocol=protocol) as server:
        more = {"idle_timeout": 0.1, "reconnect": True}
        assert datas(driver.run(lambda client: events_of(client, server.url, **more), **options(protocol))) == ["one"]
        assert waits == [3.0]


def test_the_idle_timeout_may_be_set_when_the_head_is_known(driver: Driver, protocol: str):
    """Before, it counted only if it was there when the request was sent, and no one knows then what will come."""

    def by_type(request: httpx.Request) -> Any:
        response = yield request
        if response.headers["content-type"] == "text/event-stream":
            request.extensions["idle_timeout"] = 0.05
        return response

    async def scenario(client: Any, url: str) -> None:
        async with client.stream("GET", url) as response:
            pieces = response.aiter_bytes()
            assert await pieces.__anext__() == ONE.body
            with pytest.raises(httpx.ReadTimeout, match=r"within the idle timeout of 0\.05 s"):
                await pieces.__anext__()

    with EventServer(ONE._replace(end="stay"), STOP, protocol=protocol) as server:
        driver.run(scenario, server.url, **options(protocol, timeout=30, middleware=[by_type]))


def test_until_the_head_the_clients_timeout_counts(driver: Driver, protocol: str):
    with EventServer(Answer(end="none"), protocol=protocol) as server:
        server._answer = lambda asked: Answer(end="stay")  # type: ignore[method-assign]  # and no head
        server._respond = lambda conn, answer: conn.read_to_end() and False  # type: ignore[method-assign]
        server._respond_on = lambda peer, stream, answer: True  # type: ignore[method-assign]

        async def scenario(client: Any) -> None:
            with pytest.raises(httpx.ReadTimeout, match=r"within the read timeout of 0\.05 s"):
                await events_of(client, server.url, idle_timeout=60)

        driver.run(scenario, **options(protocol, timeout=httpx.Timeout(3, read=0.05)))


def test_the_read_timeout_of_the_client_does_not_end_a_stream(driver: Driver):
    with EventServer(ONE._replace(end="stay"), STOP) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, idle_timeout=0.5, timeout=httpx.USE_CLIENT_DEFAULT) as source:
                await source.__aiter__().__anext__()
                with pytest.raises(httpx.ReadTimeout, match="idle timeout"):
                    await source.__aiter__().__anext__()

        driver.run(scenario, **options(timeout=httpx.Timeout(3, read=0.4)))


def test_a_timeout_that_is_given_means_what_it_means_everywhere(driver: Driver):
    with EventServer(ONE._replace(end="stay")) as server:

        async def scenario(client: Any) -> None:
            for more in ({"timeout": httpx.Timeout(3, read=0.3)}, {"extensions": {"timeout": {"read": 0.3}}}):
                async with client.sse(server.url, **more) as source:
                    assert timeouts_of(source)[1] == "none"
                    await source.__aiter__().__anext__()
                    with pytest.raises(httpx.ReadTimeout, match=r"within the read timeout of 0\.3 s"):
                        await source.__aiter__().__anext__()
            async with client.sse(server.url) as source:
                assert timeouts_of(source)[1] == 300.0
            async with client.sse(server.url, idle_timeout=None) as source:
                assert timeouts_of(source)[1] is None

        driver.run(scenario, **options())


def test_a_total_timeout_bounds_the_whole_subscription(
    driver: Driver, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    moment = 1000.0
    monkeypatch.setattr(_clock, "monotonic", lambda: moment)
    with EventServer(ONE, TWO) as server:

        async def scenario(client: Any) -> None:
            nonlocal moment
            async with client.sse(server.url, reconnect=True, timeout=httpx.Timeout(3, total=60)) as source:
                events = source.__aiter__()
                moment = source._opener.deadline - 10
                assert (await events.__anext__()).data == "one"
                assert (await events.__anext__()).data == "two"
                assert 0 < timeouts_of(source)[0]["total"] <= 60
                moment += 8
                with pytest.raises(httpx.ReadTimeout, match="the total timeout is over before the next connection"):
                    await events.__anext__()

        driver.run(scenario, **options())
        assert waits == [3.0]


def test_a_silent_stream_ends_with_the_total_timeout_and_is_not_opened_again(
    driver: Driver, protocol: str, waits: list[float]
):
    with EventServer(ONE._replace(end="stay"), protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=True) as source:
                events = source.__aiter__()
                await events.__anext__()
                with pytest.raises(httpx.ReadTimeout, match="total timeout"):
                    await events.__anext__()

        driver.run(scenario, **options(protocol, timeout=httpx.Timeout(3, total=0.5)))
        assert (len(server.asked), waits) == (1, [])


# Closing.


def test_closing_from_elsewhere_ends_the_iteration(driver: Driver, protocol: str):
    with EventServer(ONE._replace(end="stay"), protocol=protocol) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=True) as source:
                got: list[str] = []

                async def read() -> None:
                    async for event in source:
                        got.append(event.data)

                async def close() -> None:
                    if driver.is_async:
                        await until(lambda: bool(got))
                    else:
                        server.wait()
                        while not got:
                            pass
                    await source.aclose()

                if driver.is_async:
                    await together([read, close])
                else:
                    in_threads([lambda: run_without_loop(read()), lambda: run_without_loop(close())])
                assert got == ["one"]

        driver.run(scenario, **options(protocol))
        assert len(server.asked) == 1


def test_closing_in_a_wait_ends_the_iteration(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()  # these waits are real, and long
    with EventServer(ONE) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=Reconnect(delay=1000, max_delay=1000)) as source:
                sleeper: Any = source._sleeper

                def sleeps() -> bool:
                    return bool(sleeper._rouse if driver.is_async else sleeper._signal)

                async def read() -> list[str]:
                    return [event.data async for event in source]

                async def close() -> list[str]:
                    if driver.is_async:
                        await until(sleeps)
                    while not sleeps():
                        pass
                    await source.aclose()
                    return []

                if driver.is_async:
                    outcome = await together([read, close])
                else:
                    outcome = in_threads([lambda: run_without_loop(read()), lambda: run_without_loop(close())])
                assert outcome == [["one"], []]

        driver.run(scenario, **options())
        assert len(server.asked) == 1


def test_closing_while_a_connection_is_opened_closes_its_response(driver: Driver):
    with EventServer(ONE, TWO._replace(end="stay")) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=True) as source:
                send = client.inner.send if not driver.is_async else client.send
                responses: list[httpx.Response] = []

                if driver.is_async:

                    async def sending(*args: Any, **more: Any) -> httpx.Response:
                        responses.append(await send(*args, **more))
                        await source.aclose()
                        return responses[0]

                    client.send = sending
                else:

                    def sending_now(*args: Any, **more: Any) -> httpx.Response:
                        responses.append(send(*args, **more))
                        source.close()
                        return responses[0]

                    client.inner.send = sending_now
                assert [event.data async for event in source] == ["one"]
                assert responses[0].is_closed

        driver.run(scenario, **options())


def test_a_closed_client_ends_it_with_the_error_that_says_so(driver: Driver, waits: list[float]):
    with EventServer(ONE._replace(end="stay")) as server:

        async def scenario(client: Any) -> None:
            async with client.sse(server.url, reconnect=True) as source:
                events = source.__aiter__()
                await events.__anext__()
                await client.aclose()
                with pytest.raises(httpx.ReadError, match="the client or the response was closed"):
                    await events.__anext__()

        driver.run_bare(lambda: scenario(driver.client(**options())))
    assert waits == []


# Sources of responses by hand, and the top-level function.


def test_a_source_of_a_response_by_hand():
    response = httpx.Response(
        200,
        content=b"retry: 7\ndata: 1\n\ndata: 2\n\n",
        headers={"Content-Type": "text/event-stream"},
        request=httpx.Request("GET", "http://x/"),
    )
    source = EventSource(response)
    assert source.reconnection_time == 3.0
    iterator = source.iter_sse()
    assert iter(iterator) is iterator
    assert next(iterator).data == "1"
    assert source.reconnection_time == 0.007
    iterator.close()  # type: ignore[attr-defined]  # as that of a generator
    assert list(source) == []


def test_a_source_in_the_wrong_kind_of_code_says_so():
    stays = ONE._replace(end="stay")
    with EventServer(stays) as server, httpx.Client(**options()) as client, client.sse(server.url) as source:

        async def read() -> Any:
            return await source.__aiter__().__anext__()

        with pytest.raises(RuntimeError, match="sync stream"):
            run_without_loop(read())


def test_a_stream_without_a_client_of_ones_own(waits: list[float]):
    with EventServer(ONE, TWO, STOP) as server, httpx.sse(server.url, reconnect=True, trust_env=False) as source:
        assert datas(list(source)) == ["one", "two"]
        assert source.response.request.extensions["idle_timeout"] == 300.0


def test_mock_transports_and_applications_can_be_subscribed_to(driver: Driver):
    def handler(request: httpx.Request) -> httpx.Response:
        first = "last-event-id" not in request.headers
        return (
            httpx.Response(200, content=ONE.body, headers={"Content-Type": "text/event-stream"})
            if first
            else httpx.Response(204)
        )

    transport = httpx.MockTransport(handler)
    assert datas(driver.run(lambda client: events_of(client, "http://x/", reconnect=True), transport=transport)) == [
        "one"
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await send({"type": "http.response.body"})

    got = driver.run(lambda client: events_of(client, "http://x/"), transport=httpx.ASGITransport(app=app))
    assert datas(got) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"reconnect": 3}, TypeError),
        ({"reconnect": None}, TypeError),
        ({"idle_timeout": 0}, ValueError),
        ({"idle_timeout": -1}, ValueError),
        ({"idle_timeout": "5"}, TypeError),
        ({"max_event_size": 0}, ValueError),
        ({"max_event_size": "1"}, TypeError),
        ({"last_event_id": 7}, TypeError),
        ({"last_event_id": "a\nb"}, ValueError),
        ({"last_event_id": "a\0"}, ValueError),
        ({"last_event_id": "\ud800"}, ValueError),
        ({"last_event_id": "x" * 8193}, ValueError),
        ({"url": "http://["}, httpx.InvalidURL),
    ],
)
def test_wrong_arguments_are_refused_when_they_are_given(driver: Driver, given: dict[str, Any], kind: type[Exception]):
    with pytest.raises(kind):
        driver.client().sse(**{"url": "http://127.0.0.1/", **given})


def test_the_public_names_are_of_httpx_and_can_be_pickled():
    event = ServerSentEvent("a", "b")
    assert pickle.loads(pickle.dumps(event)) == event
    assert repr(event) == "ServerSentEvent(event='a', data='b', id='', retry=None)"
    for kind in (EventSource, Reconnect, SSEError, ServerSentEvent):
        assert kind.__module__ == "httpx"


def test_an_event_costs_one_frame(driver: Driver):
    """In sync code and in async code, of many that come in one piece."""
    body = b"data: x\n\n" * 500
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, content=body, headers={"Content-Type": "text/event-stream"})
    )

    async def scenario(client: Any) -> int:
        async with client.sse("http://x/") as source:
            inner = source.inner if not driver.is_async else source
            await inner.__aiter__().__anext__() if driver.is_async else next(iter(inner))
            with frames() as entered:
                if driver.is_async:
                    async for _ in inner:
                        pass
                else:
                    for _ in inner:
                        pass
            return len([frame for frame in entered if frame.startswith("httpx")])

    assert driver.run(scenario, transport=transport) < 499 + 30


def test_threads_may_close_what_others_read_at_any_moment():
    """Closed at about every point of the journey, the iteration ends, and nothing is raised or left."""
    with EventServer(ONE, TWO, Answer(end="none"), Answer(status=503), TWO._replace(end="stay")) as server:
        for number in range(20):
            server.asked.clear()
            with httpx.Client(**options()) as client, client.sse(server.url, reconnect=Reconnect(delay=0)) as source:

                def close(number: int = number, source: EventSource = source) -> None:
                    threading.Event().wait(number * 0.0005)
                    source.close()

                got = in_threads([lambda source=source: datas(list(source)), close])[0]
                assert got == ["one", "two", "two"][: len(got)]
