"""
Middleware: one text of a generator for threads, asyncio and trio, between a request's hooks and its transport.

Not here: the steps by themselves (`test_steps`, `test_pauses`), `through` driven by hand (`test_flow`), cancellation
and garbage (`adversarial/`).
"""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, Callable

import pytest

import httpx
from httpx import Request, Response, Step
from httpx._middleware import ORDER, BuiltIn, layers_of
from httpx.testing import virtual_time
from support.drivers import Driver
from support.servers import ScriptedServer, expect_head, send, silence

Flow = Generator[Any, Any, Any]  # so that `return (yield request)` needs no cast
URL = "https://www.example.org/"


class Server:
    """
    A transport's function that responds from a list, the last one again and again.

    Attributes:
        asked: the requests.
    """

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses) or [200]
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Exception):
            raise response
        if isinstance(response, dict):
            return Response(302, headers=response)
        if callable(response):
            return response(request)  # type: ignore[no-any-return]  # a function of these tests
        return Response(response) if isinstance(response, int) else Response(200, content=response)


def run(driver: Driver, server: Any, *middleware: Any, ask: Any = None, **options: Any) -> Any:
    """What `ask` gives, by default a GET of `URL`."""

    async def get(client: Any) -> Any:
        return await client.get(URL)

    return driver.run(ask or get, middleware=list(middleware), transport=httpx.MockTransport(server), **options)


# What is sent, and in which order.


def named(name: str, log: list[str]) -> Callable[[Request], Flow]:
    def layer(request: Request) -> Flow:
        log.append(f"> {name}")
        request.headers[f"X-{name}"] = "1"
        response = yield request
        log.append(f"< {name}")
        return response

    return layer


def test_a_middleware_sees_the_request_and_its_response(driver: Driver):
    server, log = Server(b"body"), []
    response = run(driver, server, named("one", log))
    assert (response.content, server.asked[0].headers["x-one"]) == (b"body", "1")
    assert log == ["> one", "< one"]


def test_the_first_is_the_outermost(driver: Driver):
    log: list[str] = []
    run(driver, Server(), named("one", log), named("two", log), named("three", log))
    assert log == ["> one", "> two", "> three", "< three", "< two", "< one"]


def test_hooks_are_outside_and_the_transport_inside(driver: Driver):
    log: list[str] = []

    def respond(request: Request) -> Response:
        log.append("sent")
        return Response(200)

    hooks = {
        "request": [driver.hook(lambda request: log.append("request hook"))],
        "response": [driver.hook(lambda response: log.append("response hook"))],
    }
    run(driver, respond, named("one", log), event_hooks=hooks)
    assert log == ["request hook", "> one", "sent", "< one", "response hook"]


def test_fifty_layers_are_no_problem(driver: Driver):
    log: list[str] = []
    run(driver, Server(), *(named(f"n{number}", log) for number in range(50)))
    assert len(log) == 100


def test_it_applies_to_every_hop_of_redirects(driver: Driver):
    server, log = Server({"Location": "/next"}, {"Location": "https://other.example/"}, b"there"), []
    response = run(driver, server, named("one", log), follow_redirects=True)
    assert response.content == b"there"
    assert [each.headers["x-one"] for each in server.asked] == ["1"] * 3
    assert [each.status_code for each in response.history] == [302, 302]


def test_it_applies_to_what_an_auth_flow_sends(driver: Driver):
    class Token(httpx.Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            token = yield Request("POST", "https://id.example/token")
            request.headers["Authorization"] = f"Bearer {token.headers['x-token']}"
            yield request

    def issue(request: Request) -> Response:
        return Response(200, headers={"X-Token": "t"})

    seen: list[tuple[str, bool]] = []

    def watching(request: Request) -> Flow:
        seen.append((str(request.url), "timeout" in request.extensions))
        return (yield request)

    server = Server(issue, 200)
    run(driver, server, watching, auth=Token())
    assert seen == [("https://id.example/token", True), (URL, True)]
    assert server.asked[1].headers["authorization"] == "Bearer t"


def test_it_applies_over_mounted_transports(driver: Driver):
    log: list[str] = []
    mounts = {"all://": httpx.MockTransport(Server(204))}
    assert run(driver, Server(500), named("one", log), mounts=mounts).status_code == 204
    assert len(log) == 2


def test_it_applies_over_applications():
    log: list[str] = []

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["HTTP_X_ONE"].encode()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": dict(scope["headers"])[b"x-one"]})

    transport: Any
    for name, transport in (("sync", httpx.WSGITransport(app=wsgi)), ("asyncio", httpx.ASGITransport(app=asgi))):

        async def scenario(client: Any) -> bytes:
            return (await client.get(URL)).content  # type: ignore[no-any-return]  # the client is Any here

        driver = Driver(name)
        assert driver.run(scenario, middleware=[named("one", log)], transport=transport) == b"1"


def test_it_applies_over_the_network(driver: Driver, echo_server: Any):
    async def scenario(client: Any) -> Any:
        return (await client.get(echo_server.url + "/headers")).json()

    assert driver.run(scenario, middleware=[named("One", [])])["headers"]["X-One"] == "1"


def test_a_client_without_middleware_has_none(driver: Driver):
    assert run(driver, Server()).status_code == 200
    assert driver.client(middleware=()).inner._layers == () if not driver.is_async else True


def test_the_client_of_a_pickle_has_it_too():
    with httpx.Client(middleware=[patient]) as client:
        assert pickle.loads(pickle.dumps(client))._layers == (patient,)
    assert pickle.loads(pickle.dumps(httpx.AsyncClient(middleware=[patient])))._layers == (patient,)


# Sending again, and what becomes of the response before.


def patient(request: Request) -> Flow:
    """Asks again after a second, twice at most."""
    for _ in range(2):
        response: Response = yield request
        if response.status_code < 500:
            return response
        yield Step.pause(1.0)
    return (yield request)


def test_a_request_is_sent_again(driver: Driver):
    server = Server(503, 500, b"well")
    with virtual_time() as clock:
        assert run(driver, server, patient).content == b"well"
    assert len(server.asked) == 3
    assert clock.slept == [1.0, 1.0]


def test_two_that_repeat_multiply(driver: Driver):
    server = Server(503)
    with virtual_time():
        assert run(driver, server, patient, patient).status_code == 503
    assert len(server.asked) == 9


def test_an_exception_of_sending_is_raised_where_it_was_sent(driver: Driver):
    def failover(request: Request) -> Flow:
        try:
            return (yield request)
        except httpx.ConnectError:
            return (yield request.copy_with(url=request.url.copy_with(host="eu.example.org")))

    server = Server(httpx.ConnectError("refused"), b"from there")
    response = run(driver, server, failover, headers={"Authorization": "secret"})
    assert (response.content, response.url.host) == (b"from there", "eu.example.org")
    assert "authorization" not in server.asked[1].headers
    assert server.asked[1].headers["host"] == "eu.example.org"


BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def again(request: Request) -> Flow:
    response: Response = yield request
    if response.status_code == 503:
        response = yield request
    return response


def test_a_response_that_is_not_returned_gives_its_connection_back(driver: Driver):
    with ScriptedServer([expect_head(), send(BUSY), expect_head(), send(OK)]) as server:

        async def scenario(client: Any) -> Any:
            return (await client.get(server.url)).content

        assert driver.run(scenario, middleware=[again]) == b"ok"
        assert server.connections == 1


def test_a_response_with_an_endless_body_does_not_hold_up_the_next_request(driver: Driver):
    endless = b"HTTP/1.1 503 Busy\r\nContent-Length: 4000000\r\n\r\n" + bytes(2_000_000)
    with ScriptedServer([expect_head(), send(endless), silence()], [expect_head(), send(OK)]) as server:

        async def scenario(client: Any) -> Any:
            return (await client.get(server.url)).content

        assert driver.run(scenario, middleware=[again]) == b"ok"


def test_the_first_of_two_responses_may_be_returned(driver: Driver):
    kept: list[Response] = []

    def first(request: Request) -> Flow:
        kept.append((yield request))
        kept.append((yield request))
        return kept[0]

    response = run(driver, Server(b"one", b"two"), first)
    assert response.content == b"one"
    assert kept[1].is_closed
    assert kept[1].content == b"two"


def broken_bodies(driver: Driver, *bodies: Any) -> Any:
    """A transport's function whose bodies are the pieces given; an exception among them is raised."""

    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __init__(self, pieces: Any) -> None:
            self._pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

    waiting = list(bodies)

    def respond(request: Request) -> Response:
        return Response(200, stream=Body(waiting.pop(0)))

    return respond


def test_a_body_is_read_inside(driver: Driver):
    def reading(request: Request) -> Flow:
        for _ in range(3):
            response: Response = yield request
            try:
                body = yield Step.read(response)
            except httpx.RemoteProtocolError:
                continue
            assert body == response.content
            return response
        raise AssertionError("three broken bodies")

    cut = [b"bro", httpx.RemoteProtocolError("cut off")]
    assert run(driver, broken_bodies(driver, cut, cut, [b"who", b"le"]), reading).content == b"whole"


def test_a_body_that_breaks_while_it_is_dropped_is_no_error(driver: Driver):
    cut = [b"bro", httpx.ReadError("reset")]

    def twice(request: Request) -> Flow:
        yield request
        return (yield request)

    assert run(driver, broken_bodies(driver, cut, [b"ok"]), twice).content == b"ok"


def test_a_streamed_response_comes_unread_through_the_layers(driver: Driver):
    states: list[bool] = []

    def watching(request: Request) -> Flow:
        response: Response = yield request
        states.append(hasattr(response, "_content"))
        return response

    async def ask(client: Any) -> bytes:
        async with client.stream("GET", URL) as response:
            states.append(response.is_closed)
            pieces = [piece async for piece in response.aiter_bytes()]
        sent = await client.send(client.build_request("GET", URL), stream=True)
        await sent.aread()
        return b"".join(pieces) + sent.content  # type: ignore[no-any-return]  # the client is Any here

    assert run(driver, broken_bodies(driver, [b"a", b"b"], [b"c"]), watching, ask=ask) == b"abc"
    assert states == [False, False, False]


def test_a_streamed_response_may_be_read_inside(driver: Driver):
    def reading(request: Request) -> Flow:
        response: Response = yield request
        yield Step.read(response)
        return response

    async def ask(client: Any) -> list[bytes]:
        async with client.stream("GET", URL) as response:
            return [piece async for piece in response.aiter_bytes()]

    assert run(driver, broken_bodies(driver, [b"a", b"b"]), reading, ask=ask) == [b"ab"]


# Responses of its own.


def test_a_response_may_come_from_the_middleware_itself(driver: Driver):
    def cached(request: Request) -> Flow:
        return Response(200, content="gr\xfc\xdf".encode("latin-1"))
        yield request

    server = Server()
    response = run(driver, server, cached, default_encoding="latin-1")
    assert (response.text, str(response.request.url), server.asked) == ("gr\xfc\xdf", URL, [])
    assert response.elapsed.total_seconds() == 0


def test_a_response_may_replace_the_one_that_came(driver: Driver):
    received: list[Response] = []

    def replacing(request: Request) -> Flow:
        received.append((yield request))
        return Response(200, text="other")

    assert run(driver, Server(b"one"), replacing).text == "other"
    assert received[0].is_closed


def test_a_kept_response_of_another_call_does_not_lend_its_credentials(driver: Driver):
    """The harm: a redirect would have gone on with the first caller's Authorization for the second one."""
    memory: dict[str, Response] = {}

    def careless(request: Request) -> Flow:
        key = str(request.url)
        if key not in memory:
            memory[key] = yield request
        return memory[key]

    async def ask(client: Any) -> Any:
        await client.get(URL, headers={"Authorization": "alice"})
        return await client.get(URL, headers={"Authorization": "bob"})

    server = Server({"Location": "/next"}, 200)
    run(driver, server, careless, ask=ask, follow_redirects=True)
    assert [each.headers["authorization"] for each in server.asked] == ["alice", "alice"]
    memory.pop(URL + "next")
    server = Server(200)
    memory[URL].history.clear()

    async def ask_again(client: Any) -> Any:
        return await client.get(URL, headers={"Authorization": "bob"})

    run(driver, server, careless, ask=ask_again, follow_redirects=True)
    assert [each.headers["authorization"] for each in server.asked] == ["bob"]


def test_a_kept_response_does_not_show_the_requests_of_others(driver: Driver):
    """The harm: the response of one caller showed the request of the next one, with its Authorization."""
    memory: dict[str, Response] = {}

    def careless(request: Request) -> Flow:
        key = str(request.url)
        if key not in memory:
            memory[key] = yield request
            yield Step.read(memory[key])
        return memory[key]

    async def ask(client: Any) -> list[Any]:
        urls = {"alice": URL, "bob": URL + "next", "carol": URL + "next"}
        return [await client.get(url, headers={"Authorization": name}) for name, url in urls.items()]

    responses = run(driver, Server({"Location": "/next"}, b"ok"), careless, ask=ask, follow_redirects=True)
    assert [one.request.headers["Authorization"] for one in responses] == ["alice", "bob", "carol"]
    assert [len(one.history) for one in responses] == [1, 0, 0]
    assert [one.content for one in responses] == [b"ok"] * 3


def test_a_response_that_is_always_the_same_stays_without_a_request(driver: Driver):
    refusal = Response(403, text="no")

    def refusing(request: Request) -> Flow:
        return refusal
        yield

    async def ask(client: Any) -> list[Any]:
        return [await client.get(URL + name) for name in ("one", "two")]

    responses = run(driver, Server(), refusing, ask=ask, max_response_size=10)
    assert [(one.url.path, one.text) for one in responses] == [("/one", "no"), ("/two", "no")]
    with pytest.raises(RuntimeError, match="no request"):
        _ = refusal.request


def test_cookies_are_taken_from_the_response_that_is_returned(driver: Driver):
    def once(request: Request) -> Flow:
        yield request
        return (yield request)

    def setting(name: str) -> Any:
        return lambda request: Response(200, headers={"Set-Cookie": f"{name}=1"})

    async def ask(client: Any) -> dict[str, str]:
        await client.get(URL)
        return dict(client.cookies)

    assert run(driver, Server(setting("a"), setting("b")), once, ask=ask) == {"b": "1"}


# Another origin.


def elsewhere(keep_secrets: bool) -> Callable[[Request], Flow]:
    def layer(request: Request) -> Flow:
        if request.url.host == "www.example.org":
            url = request.url.copy_with(host="eu.example.org")
            request = request.copy_with(url=url, keep_secrets=keep_secrets)
        return (yield request)

    return layer


def test_a_redirect_goes_on_from_where_the_middleware_went(driver: Driver):
    server = Server({"Location": "/login"}, 200)
    response = run(driver, server, elsewhere(False), follow_redirects=True, headers={"X-Api-Key": "k"})
    assert str(response.url) == "https://eu.example.org/login"
    assert "x-api-key" not in server.asked[1].headers


def test_authentication_ends_where_the_middleware_goes_to_another_origin(driver: Driver):
    """The harm: a server on another origin could have asked for the password by a 401."""
    challenge = Response(401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'})
    for keep_secrets, attempts in ((False, 1), (True, 2)):
        server = Server(lambda request: challenge, 200)
        response = run(driver, server, elsewhere(keep_secrets), auth=httpx.DigestAuth("user", "password"))
        assert len(server.asked) == attempts
        assert response.status_code == (200 if keep_secrets else 401)


@pytest.mark.parametrize("keep_secrets", [False, True])
def test_credentials_of_a_url_do_not_go_to_another_origin_by_a_redirect_there(driver: Driver, keep_secrets: bool):
    """The harm: the copy was sent without them, and the request after its redirect with them."""
    seen: list[tuple[str, Any]] = []

    def respond(request: Request) -> Response:
        seen.append((request.url.host, request.headers.get("authorization")))
        return Response(302, headers={"Location": "/next"}) if request.url.path == "/" else Response(200)

    def elsewhere(request: Request) -> Flow:
        if request.url.host == "us.example":
            url = request.url.copy_with(host="eu.example")
            request = request.copy_with(url=url, keep_secrets=keep_secrets)
        return (yield request)

    async def scenario(client: Any) -> None:
        await client.get("http://u:p@us.example/")

    driver.run(scenario, transport=httpx.MockTransport(respond), middleware=[elsewhere], follow_redirects=True)
    assert seen == [("eu.example", "Basic dTpw" if keep_secrets else None)] * 2


def test_the_clients_own_sensitive_headers_do_not_go_to_another_origin(driver: Driver):
    server = Server()
    headers = {"X-Mine": "secret", "X-Other": "1"}
    run(driver, server, elsewhere(False), headers=headers, sensitive_headers=["X-Mine"])
    assert "x-mine" not in server.asked[0].headers
    assert server.asked[0].headers["x-other"] == "1"


# Time.


def test_the_deadline_is_known(driver: Driver):
    seen: list[Any] = []

    def watching(request: Request) -> Flow:
        seen.append(request.extensions.get("deadline"))
        fresh = Request("GET", URL)
        response = yield fresh
        seen.append(fresh.extensions.get("deadline"))
        return response

    async def ask(client: Any) -> None:
        await client.get(URL)
        for request in (client.build_request("GET", URL, timeout=httpx.Timeout(5, total=30)),) * 2:
            await client.send(request)
            assert "deadline" not in request.extensions
            assert request.extensions["timeout"]["total"] == 30

    with virtual_time() as clock:
        run(driver, Server(), watching, ask=ask)
        assert seen == [None, None, *[clock.monotonic() + 30] * 4]


def test_the_deadline_is_that_of_the_whole_call(driver: Driver):
    """After a redirect, too."""
    seen: list[float] = []

    def watching(request: Request) -> Flow:
        seen.append(request.extensions["deadline"])
        yield Step.pause(2)
        return (yield request)

    with virtual_time() as clock:
        began = clock.monotonic()
        server = Server({"Location": "/next"}, 200)
        run(driver, server, watching, timeout=httpx.Timeout(5, total=30), follow_redirects=True)
    assert seen == [began + 30] * 2


def test_a_pause_beyond_the_total_timeout_is_over_at_once(driver: Driver):
    server = Server(503)
    with virtual_time() as clock, pytest.raises(httpx.ReadTimeout, match="within a pause of 1 s") as caught:
        run(driver, server, patient, timeout=httpx.Timeout(5, total=0.5))
    assert clock.slept == []
    assert str(caught.value.request.url) == URL


def test_a_middleware_may_give_up_instead(driver: Driver):
    def modest(request: Request) -> Flow:
        response: Response = yield request
        try:
            yield Step.pause(60)
        except httpx.ReadTimeout:
            return response
        raise AssertionError("it waited")

    assert run(driver, Server(503), modest, timeout=httpx.Timeout(5, total=3)).status_code == 503


def test_the_total_timeout_counts_all_attempts(driver: Driver):
    with virtual_time() as clock:

        def slow(request: Request) -> Response:
            clock.advance(1)
            return Response(503)

        with pytest.raises(httpx.ReadTimeout, match="total timeout"):
            run(driver, slow, patient, timeout=httpx.Timeout(5, total=2.5))


def test_a_client_that_was_closed_meanwhile_sends_nothing_more(driver: Driver, echo_server: Any):
    """The harm: it made a connection that nothing closed."""
    opened: list[Any] = []

    def closing(request: Request) -> Flow:
        yield request
        yield Step.call(opened[0].aclose if driver.is_async else opened[0].close)
        return (yield request)

    async def main() -> None:
        client = driver.client(middleware=[closing])
        opened.append(client if driver.is_async else client.inner)
        with pytest.raises(RuntimeError, match="cannot send a request: the client is closed"):
            await client.get(echo_server.url + "/get")

    driver.run_bare(main)


# Calls.


def test_a_function_is_called(driver: Driver):
    def counting(request: Request) -> Flow:
        number = yield Step.call(max, 2, 7)
        thread = yield Step.call(threading.get_ident, blocking=True)
        response: Response = yield request
        response.extensions["seen"] = number, thread == threading.get_ident()
        return response

    assert run(driver, Server(), counting).extensions["seen"] == (7, not driver.is_async)


def test_an_async_function_is_awaited_where_that_is_possible(driver: Driver):
    async def token() -> str:
        return "t"

    def signed(request: Request) -> Flow:
        request.headers["X-Token"] = yield Step.call(token)
        return (yield request)

    server = Server()
    if driver.is_async:
        run(driver, server, signed)
        assert server.asked[0].headers["x-token"] == "t"
    else:
        with pytest.raises(TypeError, match="only an AsyncClient can await"):
            run(driver, server, signed)


def test_an_exception_of_a_function_is_raised_where_it_was_called(driver: Driver):
    def careful(request: Request) -> Flow:
        with pytest.raises(ZeroDivisionError):
            yield Step.call(divmod, 1, 0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            yield Step.call(next, iter(()))
        return (yield request)

    assert run(driver, Server(), careful).status_code == 200


# What a request says about it.


def test_extensions_of_a_request_are_for_the_middleware(driver: Driver):
    def optional(request: Request) -> Flow:
        if request.extensions.get("mark", True):
            request.headers["X-Mark"] = "1"
        return (yield request)

    async def ask(client: Any) -> None:
        await client.get(URL)
        await client.get(URL, extensions={"mark": False})

    server = Server()
    run(driver, server, optional, ask=ask)
    assert ["x-mark" in each.headers for each in server.asked] == [True, False]


def test_one_object_serves_many_threads_and_clients():
    class Counting:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.count = 0

        def __call__(self, request: Request) -> Flow:
            with self.lock:
                self.count += 1
            return (yield request)

    counting = Counting()

    def work() -> None:
        with httpx.Client(middleware=[counting], transport=httpx.MockTransport(Server())) as client:
            for _ in range(10):
                client.get(URL)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counting.count == 80


# Errors.


def test_what_a_middleware_raises_the_caller_gets(driver: Driver):
    class OwnError(Exception):
        pass

    def refusing(request: Request) -> Flow:
        raise OwnError
        yield request

    with pytest.raises(OwnError):
        run(driver, Server(), refusing)


def test_an_error_without_a_request_gets_one(driver: Driver):
    def refusing(request: Request) -> Flow:
        response: Response = yield request
        closed.append(response)
        raise httpx.HTTPError("too odd")

    closed: list[Response] = []
    with pytest.raises(httpx.HTTPError, match="too odd") as caught:
        run(driver, broken_bodies(driver, [b"never", b"read"]), refusing)
    assert str(caught.value.request.url) == URL
    assert closed[0].is_closed
    assert not closed[0].is_stream_consumed


def test_raise_for_status_in_a_middleware_has_response_and_request(driver: Driver):
    def strict(request: Request) -> Flow:
        response: Response = yield request
        yield Step.read(response)
        return response.raise_for_status()

    with pytest.raises(httpx.HTTPStatusError) as caught:
        run(driver, Server(lambda request: Response(404, text="none")), strict)
    assert caught.value.response.text == "none"


def yields_a_number(request: Request) -> Any:
    yield 3


def yields_nothing(request: Request) -> Any:
    yield


def yields_a_coroutine(request: Request) -> Any:
    async def later() -> None:
        raise AssertionError("it was awaited")

    yield later()


def yields_a_function(request: Request) -> Any:
    yield yields_nothing


def yields_a_response(request: Request) -> Any:
    yield Response(200)


def returns_nothing(request: Request) -> Any:
    yield request


def returns_a_request(request: Request) -> Any:
    yield request
    return request


def returns_early(request: Request) -> Any:
    if request is None:
        yield


def is_no_generator(request: Request) -> Any:
    request.headers["X-Mine"] = "1"


def gives_a_coroutine(request: Request) -> Any:
    async def later() -> None:
        raise AssertionError("it was awaited")

    return later()


def gives_an_async_generator(request: Request) -> Any:
    async def later() -> AsyncIterator[Request]:
        yield request

    return later()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (yields_a_number, "must yield a request or an httpx.Step, got int$"),
        (yields_nothing, "must yield a request or an httpx.Step, got NoneType$"),
        (yields_a_coroutine, r"got coroutine; to call or await something, yield httpx.Step.call\(function\)"),
        (yields_a_function, r"got function; to call or await something, yield httpx.Step.call\(function\)"),
        (yields_a_response, "must yield a request or an httpx.Step, got Response; to respond, return it$"),
        (returns_nothing, r"must return a response, got NoneType; write `return \(yield request\)`"),
        (returns_early, r"must return a response, got NoneType; write `return \(yield request\)`"),
        (returns_a_request, "must return a response, got Request$"),
        (is_no_generator, "must be a generator function, got NoneType from it; write def is_no_generator"),
        (gives_a_coroutine, "must be a generator function, got coroutine from it: it is an async function"),
        (gives_an_async_generator, "got async_generator from it: it is an async function"),
    ],
)
def test_what_is_wrong_with_a_middleware_is_said_with_its_name(driver: Driver, wrong: Any, said: str):
    with pytest.raises(TypeError, match=f"middleware {wrong.__name__} .*{said}"):
        run(driver, Server(), wrong)


def test_what_is_wrong_is_raised_at_the_yield(driver: Driver):
    """So the traceback ends in the line that is wrong, and the middleware can clean up."""
    cleaned: list[str] = []

    def wrong(request: Request) -> Any:
        try:
            yield 3
        finally:
            cleaned.append("up")

    with pytest.raises(TypeError) as caught:
        run(driver, Server(), wrong)
    assert cleaned == ["up"]
    assert any(entry.name == "wrong" for entry in caught.traceback)


class Stop(BaseException):
    """Stands for a cancellation, or for Ctrl-C."""


def stopping(request: Request) -> Response:
    raise Stop


def test_a_cancelled_middleware_can_clean_up(driver: Driver):
    cleaned: list[str] = []

    def tidy(request: Request) -> Flow:
        try:
            return (yield request)
        finally:
            cleaned.append(request.method)

    with pytest.raises(Stop):
        run(driver, stopping, tidy, tidy)
    assert cleaned == ["GET", "GET"]


def test_a_cancelled_middleware_cannot_go_on(driver: Driver):
    cleaned: list[str] = []

    def stubborn(request: Request) -> Flow:
        try:
            yield request
        except BaseException:
            try:
                yield Step.pause(0)
            finally:
                cleaned.append("up")
        raise AssertionError("it went on")

    with pytest.raises(RuntimeError, match=r"stubborn yielded after Stop: it may clean up") as caught:
        run(driver, stopping, stubborn)
    assert isinstance(caught.value.__cause__, Stop)
    assert cleaned == ["up"]


def test_a_cancellation_cannot_be_turned_into_a_response(driver: Driver):
    def swallowing(request: Request) -> Flow:
        try:
            return (yield request)
        except BaseException:
            return Response(200)

    with pytest.raises(Stop):
        run(driver, stopping, swallowing)


def test_a_cancellation_closes_the_response_before(driver: Driver):
    received: list[Response] = []

    def twice(request: Request) -> Flow:
        received.append((yield request))
        yield Step.call(stopping, request)
        return received[0]

    with pytest.raises(Stop):
        run(driver, broken_bodies(driver, [b"never", b"read"]), twice)
    assert received[0].is_closed


# What can be seen when the client is made.


async def coroutine_function(request: Request) -> Response:
    return Response(200)


async def async_generator_function(request: Request) -> AsyncIterator[Request]:
    yield request


async def of_aiohttp(request: Request, handler: Any) -> Response:
    return Response(200)


def with_next(request: Request, call_next: Any) -> Any:
    return call_next(request)


def without_arguments() -> Any:
    yield


class AsyncCallable:
    async def __call__(self, request: Request) -> Response:
        return Response(200)


class Callable_:
    def __call__(self, request: Request) -> Flow:
        return (yield request)

    def method(self, request: Request) -> Flow:
        return (yield request)

    async def wrong(self, request: Request) -> Response:
        return Response(200)


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
@pytest.mark.parametrize(
    ("middleware", "said"),
    [
        ([coroutine_function], "middleware coroutine_function is an async function: write it without async and await"),
        ([async_generator_function], "middleware async_generator_function is an async function"),
        ([functools.partial(coroutine_function)], "middleware partial is an async function"),
        ([AsyncCallable()], "middleware AsyncCallable is an async function"),
        ([Callable_().wrong], "middleware Callable_.wrong is an async function"),
        ([of_aiohttp], "middleware of_aiohttp is an async function"),
        ([with_next], r"middleware with_next must take one argument, the request, got \(request, call_next\)"),
        ([without_arguments], r"middleware without_arguments must take one argument, the request, got \(\)"),
        ([Callable_], r"middleware must hold instances, got the class Callable_: write Callable_\(\)"),
        ([3], "middleware must hold generator functions, got int"),
        ([None], "middleware must hold generator functions, got NoneType"),
        (with_next, r"middleware must be a list of generator functions, such as \[with_next\], got function"),
        ("retry", "middleware must be a list of generator functions, got str"),
        (3, "middleware must be a list of generator functions, got int"),
    ],
)
def test_what_cannot_be_middleware_is_refused_when_the_client_is_made(kind: Any, middleware: Any, said: str):
    with pytest.raises(TypeError, match=said):
        kind(middleware=middleware)


def with_option(request: Request, times: int = 2) -> Flow:
    return (yield request)


def with_default(request: Request = Request("GET", URL)) -> Flow:  # noqa: B008  # the test is about it
    return (yield request)


def with_rest(*args: Any, **options: Any) -> Flow:
    return (yield args[0])


def delegating(request: Request) -> Flow:
    return patient(request)


class Stubborn:
    """As callables written in C are: nothing can be seen."""

    __signature__ = "none"

    def __call__(self, request: Request) -> Flow:
        return (yield request)


@pytest.mark.parametrize(
    "layer",
    [
        *(patient, with_option, with_default, with_rest, delegating, Callable_(), Callable_().method, Stubborn()),
        functools.partial(with_option, times=3),
        lambda request: patient(request),
    ],
)
def test_what_gives_a_generator_is_middleware(layer: Any):
    with httpx.Client(middleware=(layer,), transport=httpx.MockTransport(Server())) as client:
        assert client.get(URL).status_code == 200


def test_a_generator_need_not_be_python_s_own():
    class Own(Generator[Any, Any, Response]):
        def __init__(self, request: Request) -> None:
            self.inner = patient(request)

        def send(self, value: Any) -> Any:
            return self.inner.send(value)

        def throw(self, *args: Any) -> Any:
            return self.inner.throw(*args)

    with httpx.Client(middleware=[lambda request: Own(request)], transport=httpx.MockTransport(Server())) as client:
        assert client.get(URL).status_code == 200


# The package's own.


class Cache(BuiltIn):
    rank = ORDER.index("Cache")

    def __call__(self, request: Request) -> Flow:
        return (yield request)


class Retry(Cache):
    rank = ORDER.index("Retry")


class RateLimit(Cache):
    rank = ORDER.index("RateLimit")


def test_the_packages_own_stand_in_the_order_that_works():
    own = patient
    layers = [own, Cache(), own, Retry(), Retry(), RateLimit(), RateLimit(), own]
    assert layers_of(layers) == tuple(layers)


@pytest.mark.parametrize(
    ("layers", "first", "second"),
    [
        ([RateLimit(), Retry()], "Retry", "RateLimit"),
        ([Retry(), patient, Cache()], "Cache", "Retry"),
        ([Cache(), RateLimit(), patient, Retry(), RateLimit()], "Retry", "RateLimit"),
    ],
)
def test_the_packages_own_in_another_order_are_refused(layers: list[Any], first: str, second: str):
    order = "Cache, Retry, RateLimit, Har, Telemetry"
    expected = f"{first} must stand before {second} in middleware=; the order is {order}, outermost first"
    with pytest.raises(ValueError, match=expected):
        httpx.Client(middleware=layers)


def test_the_base_class_does_nothing_by_itself():
    class Nothing(BuiltIn):
        rank = 0

    with httpx.Client(middleware=[Nothing()]) as client, pytest.raises(NotImplementedError):
        client.get(URL)
