"""The journey of one request, driven by hand: no client, no transport, and steps whose outcomes are written down."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Callable, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx import URL, Auth, Cookies, Request, Response, Step
from httpx._base_client import BaseClient
from httpx._exceptions import ReadError, RemoteProtocolError, TooManyRedirects
from httpx._flow import (
    AUTH_BEGIN,
    AUTH_NEXT,
    CLOSE,
    DRAIN,
    HOOK_INTERIM,
    HOOK_REQUEST,
    HOOK_RESPONSE,
    SEND,
    Layers,
    Policy,
    journey,
    through,
)

NAMES = (
    *("SEND", "AUTH_BEGIN", "AUTH_NEXT", "HOOK_REQUEST", "HOOK_INTERIM", "HOOK_RESPONSE", "DRAIN", "CLOSE"),
    *("PAUSE", "READ", "CALL"),
)
Answer = Union[Response, BaseException]
Flow = Callable[[Request], Generator[Request, Response, None]]


class Driver:
    """
    Carries out the steps of a journey as a client does, with answers from a list.

    Attributes:
        steps: the names of all steps so far.
        sent: the requests that were sent.
        closed: the responses that were closed.
        cookies: the client's.
    """

    def __init__(self, *answers: Answer, max_redirects: int = 20, sensitive: str = "x-api-key", hooked: bool = False):
        self.answers: Iterator[Answer] = iter(answers)
        self.steps: list[str] = []
        self.sent: list[Request] = []
        self.closed: list[Response] = []
        self.cookies = Cookies()
        self.failing: dict[int, BaseException] = {}  # step -> what goes wrong in it
        client = BaseClient(sensitive_headers=sensitive.split())
        client._cookies = self.cookies
        self.policy = Policy(self.cookies, max_redirects, client._build_redirect_request, hooked)

    def run(
        self,
        request: Request,
        flow: Optional[Flow] = None,
        follow: bool = True,
        first: Optional[Response] = None,
        middleware: tuple[Any, ...] = (),
        **of_layers: Any,
    ) -> Response:
        if middleware:
            self.policy.layers = Layers(middleware, **of_layers)
        steps = journey(request, None if flow is None else Auth(), follow, self.policy, first)
        running: Any = None
        try:
            step, value = next(steps)
            while True:
                self.steps.append(NAMES[step])
                try:
                    if step in self.failing:
                        raise self.failing[step]
                    outcome: Any = None
                    if step == SEND:
                        outcome = self.send(value)
                    elif step == AUTH_BEGIN:
                        assert flow is not None
                        assert value[1] is request
                        running = flow(value[1])
                        outcome = next(running)
                    elif step == AUTH_NEXT:
                        outcome = self.resume(running, value)
                    elif step == CLOSE:
                        self.closed.append(value)
                except BaseException as exc:
                    step, value = steps.throw(exc)
                else:
                    step, value = steps.send(outcome)
        except StopIteration as stop:
            response: Response = stop.value
            return response

    @staticmethod
    def resume(running: Any, response: Response) -> Optional[Request]:
        try:
            following: Request = running.send(response)
        except StopIteration:
            return None
        return following

    def send(self, request: Request) -> Response:
        self.sent.append(request)
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        answer.request = request
        return answer


def to(location: Union[str, bytes], status: int = 302, **headers: str) -> Response:
    """A redirect."""
    return Response(status, headers=[("Location", location), *headers.items()])


def ok() -> Response:
    return Response(200)


def get(url: str = "https://example.org/", **options: Any) -> Request:
    return Request("GET", url, **options)


def second(request: Request, location: Union[str, bytes], status: int = 302, **options: Any) -> Request:
    """The request that a redirect leads to."""
    driver = Driver(to(location, status), ok(), **options)
    assert driver.run(request).status_code == 200
    assert len(driver.sent) == 2
    return driver.sent[1]


# Without anything special.


def test_a_request_is_sent_once():
    driver, request = Driver(Response(404)), get()
    response = driver.run(request)
    assert response.status_code == 404
    assert response.history == []
    assert response.next_request is None
    assert driver.sent == [request]
    assert driver.steps == ["SEND"]


def test_a_response_that_is_there_already_is_not_asked_for_again():
    driver, request = Driver(ok()), get()
    redirect = to("/b")
    redirect.request = request
    response = driver.run(request, first=redirect)
    assert response.history == [redirect]
    assert [str(sent.url) for sent in driver.sent] == ["https://example.org/b"]
    assert driver.steps == ["DRAIN", "SEND"]


def test_cookies_are_kept_whatever_the_answer_is():
    driver = Driver(Response(500, headers={"Set-Cookie": "a=b"}))
    driver.run(get())
    assert dict(driver.cookies) == {"a": "b"}


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_the_method_after_a_redirect_is_what_browsers_use(status, method):
    becomes_get = {
        301: method == "POST",
        302: method not in ("GET", "HEAD", "QUERY"),
        303: method not in ("GET", "HEAD"),
        307: False,
        308: False,
    }[status]
    following = second(Request(method, "https://example.org/"), "/b", status)
    assert following.method == ("GET" if becomes_get else method)
    assert str(following.url) == "https://example.org/b"


BODY_FIELDS = {
    "Content-Type": "text/plain",
    "Content-Encoding": "identity",
    "Content-Language": "en",
    "Content-Location": "/a",
}


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("content", [lambda: b"body", lambda: iter([b"bo", b"dy"])])
def test_with_the_change_to_get_the_body_goes_and_so_do_the_fields_that_describe_it(status, content):
    request = Request("POST", "https://example.org/", headers={**BODY_FIELDS, "X-Other": "kept"}, content=content())
    following = second(request, "/b", status)
    assert following.method == "GET"
    assert following.read() == b""
    assert dict(following.headers) == {"host": "example.org", "x-other": "kept"}


@pytest.mark.parametrize("status", [307, 308])
def test_where_the_method_stays_so_does_the_body(status):
    request = Request("POST", "https://example.org/", headers=BODY_FIELDS, content=b"body")
    following = second(request, "/b", status)
    assert following.content == b"body"
    assert dict(following.headers) == dict(request.headers)


def test_a_body_that_streams_is_passed_on_as_it_is():
    request = Request("POST", "https://example.org/", content=iter([b"body"]))
    following = second(request, "/b", 307)
    assert following.stream is request.stream
    assert following.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("response", [Response(302), Response(300, headers={"Location": "/b"}), Response(304)])
def test_what_leads_nowhere_is_the_answer(response):
    driver = Driver(response)
    assert driver.run(get()) is response
    assert response.next_request is None


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://example.org/b"),
        ("b", "https://example.org/a/b"),
        ("../b?c=d", "https://example.org/b?c=d"),
        ("?c=d", "https://example.org/a/?c=d"),
        ("//other.example/b", "https://other.example/b"),
        ("http://other.example:8080/b", "http://other.example:8080/b"),
        ("http:/b", "http://example.org/b"),
        ("https:///b", "https://example.org/b"),
        ("https:/b", "https://example.org/b"),
        ("https:b?c", "https://example.org/a/b?c"),
        ("https:", "https://example.org/a/"),
        ("http:b", "http://example.org/a/b"),
        ("/b c", "https://example.org/b%20c"),
        ("/é".encode(), "https://example.org/%C3%A9"),
    ],
)
def test_a_location_may_be_written_in_many_ways(location, url):
    assert str(second(get("https://example.org/a/"), location).url) == url


def test_the_fragment_of_the_request_is_kept_unless_the_location_has_one():
    assert second(get("https://example.org/a#frag"), "/b").url.fragment == "frag"
    assert second(get("https://example.org/a#frag"), "/b#other").url.fragment == "other"
    assert second(get("https://example.org/a"), "/b").url.fragment == ""


@pytest.mark.parametrize(
    "location", ["https://example.org:99999/", "https://[::1/", "com.example.app:callback", "/" + "a" * 70_000]
)
def test_a_location_that_is_no_url_is_a_protocol_error(location):
    driver, request = Driver(to(location)), get()
    with pytest.raises(RemoteProtocolError, match="invalid URL in Location header") as caught:
        driver.run(request)
    assert caught.value.request is request
    assert driver.steps == ["SEND", "CLOSE"]
    assert [redirect.status_code for redirect in driver.closed] == [302]


@pytest.mark.parametrize("location", ["com.example.app:callback?code=1", "https://[::1/"])
def test_whoever_does_not_follow_is_not_harmed_by_a_location_that_is_no_url(location):
    """An app that asks for a login code is redirected to a URL of its own scheme; 0.28.1 raised."""
    response = Driver(to(location)).run(get(), follow=False)
    assert response.headers["Location"] == location
    assert response.next_request is None


def test_an_empty_location_is_none():
    """It led to the same URL again, 20 times."""
    response = to("")
    assert Driver(response).run(get()) is response
    assert response.next_request is None


def test_two_equal_locations_are_one():
    driver = Driver(Response(302, headers=[("Location", "/b"), ("Location", "/b")]), Response(200))
    driver.run(get("https://example.org/a/"))
    assert str(driver.sent[1].url) == "https://example.org/b"


@pytest.mark.parametrize("other", ["/c", "https://evil.example/", ""])
def test_two_different_locations_are_an_error(other):
    """Two programs on the way would go to two places."""
    driver = Driver(Response(302, headers=[("Location", "/b"), ("Location", other)]))
    with pytest.raises(RemoteProtocolError, match="two different Location headers"):
        driver.run(get())
    response = Driver(Response(302, headers=[("Location", "/b"), ("Location", other)])).run(get(), follow=False)
    assert response.next_request is None


@pytest.mark.parametrize(
    "name", ["Expect", "Content-Digest", "Repr-Digest", "Trailer", "Content-Type", "Content-MD5", "Transfer-Encoding"]
)
def test_what_describes_a_body_goes_with_it(name):
    request = Request("POST", "https://example.org/", content=b"x", headers={name: "value", "X-Other": "stays"})
    followed = second(request, "/b")
    assert name not in followed.headers
    assert followed.headers["X-Other"] == "stays"


@pytest.mark.parametrize("url", ["https://jo:pw@example.org/b", "//jo:pw@example.org/b"])
def test_credentials_that_a_server_gives_for_itself_are_used(url):
    followed = second(get("https://example.org/a"), url)
    assert followed.headers["Authorization"] == "Basic am86cHc="


@pytest.mark.parametrize(
    "url", ["https://jo:pw@evil.example/", "http://jo:pw@example.org/", "https://jo:pw@example.org:8443/"]
)
def test_credentials_for_another_origin_are_not(url):
    """The server would log the client in as somebody else, at a place of its choice."""
    assert "Authorization" not in second(get("https://example.org/a"), url).headers


def test_the_host_field_has_no_zone():
    followed = second(get("http://[fe80::2%25eth0]/"), "http://[fe80::1%25eth0]:8080/b")
    assert followed.headers["Host"] == "[fe80::1]:8080"


def test_whoever_does_not_follow_gets_the_next_request():
    driver = Driver(to("/b", 307))
    redirect = driver.run(Request("POST", "https://example.org/", content=b"body"), follow=False)
    assert redirect.status_code == 307
    assert redirect.history == []
    assert redirect.next_request is not None
    assert (redirect.next_request.method, str(redirect.next_request.url)) == ("POST", "https://example.org/b")
    assert redirect.next_request.content == b"body"
    assert driver.steps == ["SEND"]


def test_the_history_has_the_responses_on_the_way():
    first, middle, last = to("/1"), to("/2"), ok()
    driver = Driver(first, middle, last)
    assert driver.run(get()) is last
    assert last.history == [first, middle]
    assert middle.history == [first]
    assert first.history == []
    assert driver.steps == ["SEND", "DRAIN", "SEND", "DRAIN", "SEND"]
    assert driver.closed == []


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_too_many_redirects_are_an_error(allowed):
    driver = Driver(*[to("/again") for _ in range(allowed + 1)], max_redirects=allowed)
    with pytest.raises(TooManyRedirects, match=f"more than {allowed} redirects") as caught:
        driver.run(get())
    assert len(driver.sent) == allowed + 1
    assert str(caught.value.request.url) == "https://example.org/again"
    assert driver.closed == []  # all were drained


def test_as_many_redirects_as_are_allowed_are_none_too_many():
    assert Driver(*[to("/again") for _ in range(3)], ok(), max_redirects=3).run(get()).status_code == 200


# What another origin must not see.

SECRETS = {"Authorization": "a", "Proxy-Authorization": "b", "Cookie": "c=d", "X-Api-Key": "e"}


def secrets_of(request: Request) -> list[str]:
    return [name for name in SECRETS if name in request.headers]


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://example.org/", "https://other.example/"),
        ("https://example.org/", "https://www.example.org/"),
        ("https://www.example.org/", "https://example.org/"),
        ("https://example.org/", "https://example.org:8443/"),
        ("https://example.org/", "http://example.org/"),
        ("http://example.org:8080/", "https://example.org/"),
        ("http://example.org/", "https://example.org:8443/"),
        ("http://example.org:443/", "https://example.org/"),
        ("http://example.org/", "https://other.example/"),
        ("http://example.org/", "ws://example.org/"),
        ("https://example.org/", "//other.example/"),
    ],
)
def test_another_origin_gets_no_secrets(url, location):
    following = second(get(url, headers={**SECRETS, "X-Other": "kept"}), location)
    assert secrets_of(following) == []
    assert following.headers["X-Other"] == "kept"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://example.org/a", "/b"),
        ("https://example.org/a", "https://EXAMPLE.org:443/b"),
        ("http://example.org:8080/a", "http://example.org:8080/b"),
        ("http://example.org/a", "https://example.org/b"),
        ("http://example.org:80/a", "https://example.org:443/b"),
    ],
)
def test_the_same_origin_and_its_encrypted_self_get_them(url, location):
    """All but Cookie, for which the jar says what belongs to the new URL."""
    assert secrets_of(second(get(url, headers=SECRETS), location)) == [
        "Authorization",
        "Proxy-Authorization",
        "X-Api-Key",
    ]


def test_secrets_do_not_come_back_with_a_redirect_to_where_they_were_meant_for():
    """CVE-2024-45336: who controls the origin in between could make them be sent to a place of its choice."""
    driver = Driver(to("https://other.example/"), to("https://example.org/c"), ok())
    driver.run(get(headers=SECRETS))
    assert [secrets_of(request) for request in driver.sent[1:]] == [[], []]


def test_what_is_sensitive_is_the_clients_to_say():
    headers = {"X-Session": "s", "X-Api-Key": "e"}
    following = second(get(headers=headers), "https://other.example/", sensitive="x-session")
    assert "X-Session" not in following.headers
    assert following.headers["X-Api-Key"] == "e"


def test_a_secret_that_is_given_twice_goes_twice():
    request = get(headers=[("Authorization", "a"), ("authorization", "b"), ("X", "y")])
    assert secrets_of(second(request, "https://other.example/")) == []


@given(
    origins=st.lists(
        st.sampled_from(["http://a", "https://a", "https://a:8443", "https://b", "http://b:8080"]),
        min_size=2,
        max_size=6,
    )
)
def test_secrets_go_no_further_than_the_first_change_of_origin(origins):
    driver = Driver(*[to(f"{origin}/") for origin in origins[1:]], ok())
    driver.run(get(f"{origins[0]}/", headers=SECRETS))
    trusted = True
    for before, here, request in zip(origins, origins[1:], driver.sent[1:]):
        trusted = trusted and (before == here or (before, here) == ("http://a", "https://a"))
        assert ("Authorization" in request.headers) == trusted
        assert request.headers["Host"] == here.partition("://")[2]


def test_the_host_is_the_new_one_and_stands_first():
    following = second(get(headers={"Host": "virtual.example", "X": "y"}), "https://other.example:8443/")
    assert following.headers.raw[0] == (b"Host", b"other.example:8443")
    assert following.headers.get_list("Host") == ["other.example:8443"]


def test_a_host_of_the_callers_own_stays_on_the_same_origin_only():
    request = get("http://example.org/", headers={"Host": "virtual.example"})
    assert second(request, "/b").headers["Host"] == "virtual.example"
    assert second(request, "https://example.org/b").headers["Host"] == "example.org"


def test_the_cookies_of_a_redirect_are_those_that_the_jar_has_for_its_url():
    driver = Driver(to("/b", **{"Set-Cookie": "new=1; Path=/b"}), to("/c"), ok())
    driver.cookies.set("all", "2", domain="example.org")
    driver.run(get("https://example.org/a", headers={"Cookie": "mine=3"}))
    assert [request.headers.get("Cookie") for request in driver.sent] == ["mine=3", "new=1; all=2", "all=2"]


def test_extensions_go_along_but_those_of_one_url():
    extensions = {"timeout": {"read": 1}, "trace": print, "target": b"*", "sni_hostname": "a.example"}
    same = second(get(extensions=extensions), "/b").extensions
    assert same == {"timeout": {"read": 1}, "trace": print, "sni_hostname": "a.example"}
    other = second(get(extensions=extensions), "https://other.example/").extensions
    assert other == {"timeout": {"read": 1}, "trace": print}


# Authentication.


def with_credentials(request: Request) -> Generator[Request, Response, None]:
    """Answers one challenge."""
    response = yield request
    if response.status_code == 401:
        request.headers["Authorization"] = "secret"
        yield request


def test_an_auth_flow_answers_a_challenge():
    challenge, last = Response(401), ok()
    driver, request = Driver(challenge, last), get()
    assert driver.run(request, with_credentials) is last
    assert driver.sent == [request, request]
    assert last.history == [challenge]
    assert driver.steps == ["AUTH_BEGIN", "SEND", "AUTH_NEXT", "DRAIN", "SEND", "AUTH_NEXT"]


def test_an_auth_flow_that_is_content_ends_the_journey():
    driver = Driver(ok())
    assert driver.run(get(), with_credentials).status_code == 200
    assert driver.steps == ["AUTH_BEGIN", "SEND", "AUTH_NEXT"]


def test_an_auth_flow_sees_the_answer_behind_redirects_of_the_same_origin():
    driver = Driver(to("/b"), Response(401), ok())
    assert driver.run(get(), with_credentials).status_code == 200
    assert [str(request.url) for request in driver.sent] == [
        "https://example.org/",
        "https://example.org/b",
        "https://example.org/",
    ]


def test_an_auth_flow_sees_a_redirect_that_is_not_followed():
    driver = Driver(to("/b"))
    assert driver.run(get(), with_credentials, follow=False).status_code == 302
    assert driver.steps == ["AUTH_BEGIN", "SEND", "AUTH_NEXT"]


@pytest.mark.parametrize("way", [["https://other.example/"], ["https://other.example/", "https://example.org/"]])
def test_an_auth_flow_ends_where_the_journey_leaves_its_origin(way):
    """Whoever answers there with 401 would get, or misuse, what was meant for the first origin."""
    driver = Driver(*map(to, way), Response(401))
    assert driver.run(get(), with_credentials).status_code == 401
    assert "AUTH_NEXT" not in driver.steps
    assert all("Authorization" not in request.headers for request in driver.sent)


def test_an_auth_flow_goes_on_after_the_step_up_to_https():
    driver = Driver(to("https://example.org/"), Response(401), ok())
    assert driver.run(get("http://example.org/"), with_credentials).status_code == 200


def test_requests_of_the_flows_own_are_sent_first_and_the_callers_last():
    token, last = Response(200, text="token"), ok()

    def flow(request: Request) -> Generator[Request, Response, None]:
        response = yield Request("POST", "https://id.example/token")
        assert response is token
        yield request

    driver, request = Driver(token, last), get()
    assert driver.run(request, flow) is last
    assert driver.sent[1] is request
    assert last.history == [token]


def test_a_request_of_the_flows_own_may_be_redirected_anywhere():
    """The flow ended with it, and the token's response was returned as if it were the caller's."""

    def flow(request: Request) -> Generator[Request, Response, None]:
        response = yield Request("POST", "https://id.example/token")
        request.headers["Authorization"] = response.headers["Token"]
        response = yield request
        assert response.status_code == 401
        response = yield Request("POST", "https://id.example/again")
        assert response.status_code == 200
        yield request

    driver = Driver(
        to("https://id.other.example/token", 307),
        Response(200, headers={"Token": "secret"}),
        Response(401),
        to("https://id.other.example/again"),
        ok(),
        ok(),
    )
    request = get()
    driver.run(request, flow)
    assert [sent.url.host for sent in driver.sent] == [
        "id.example",
        "id.other.example",
        "example.org",
        "id.example",
        "id.other.example",
        "example.org",
    ]
    assert driver.sent[-1] is request


def test_an_auth_flow_ends_with_the_callers_request_whatever_it_asked_before():
    def flow(request: Request) -> Generator[Request, Response, None]:
        yield Request("POST", "https://id.example/token")
        yield from with_credentials(request)

    driver = Driver(ok(), to("https://other.example/"), Response(401))
    assert driver.run(get(), flow).status_code == 401
    assert driver.steps.count("AUTH_NEXT") == 1


def test_a_token_that_is_asked_for_in_the_middle_may_come_from_anywhere():
    def flow(request: Request) -> Generator[Request, Response, None]:
        yield request
        response = yield Request("POST", "https://id.example/token")
        assert response.text == "token"
        yield request

    driver, last = Driver(Response(401), to("https://id.other.example/"), Response(200, text="token")), ok()
    driver.answers = iter([*driver.answers, last])
    assert driver.run(get(), flow) is last


def test_challenges_count_as_redirects():
    def endless(request: Request) -> Generator[Request, Response, None]:
        while True:
            yield request

    driver = Driver(*[Response(401) for _ in range(3)], max_redirects=2)
    with pytest.raises(TooManyRedirects):
        driver.run(get(), endless)


# Hooks.


def test_hooks_are_called_around_every_request():
    driver = Driver(to("/b"), Response(401), ok(), hooked=True)
    driver.run(get(), with_credentials)
    sending = ["HOOK_REQUEST", "SEND", "HOOK_RESPONSE"]
    assert driver.steps == [
        *("AUTH_BEGIN", *sending),
        *("DRAIN", *sending),
        *("AUTH_NEXT", "DRAIN", *sending),
        "AUTH_NEXT",
    ]


def test_a_hook_sees_the_cookies_that_came():
    driver = Driver(Response(200, headers={"Set-Cookie": "a=b"}), hooked=True)
    steps = journey(get(), None, True, driver.policy)
    step, value = next(steps)
    while step != HOOK_RESPONSE:
        step, value = steps.send(driver.send(value) if step == SEND else None)
    assert dict(driver.cookies) == {"a": "b"}


def test_interim_answers_have_their_hook_before_the_final_one():
    answer = Response(200, extensions={"informational": [(103, [(b"Link", b"</a.css>")]), (102, [])]})
    driver, request = Driver(answer, hooked=True), get()
    steps = journey(request, None, True, driver.policy)
    assert next(steps) == (HOOK_REQUEST, request)
    assert steps.send(None) == (SEND, request)
    step, hints = steps.send(driver.send(request))
    assert step == HOOK_INTERIM
    assert (hints.status_code, hints.headers["Link"], hints.request) == (103, "</a.css>", request)
    step, processing = steps.send(None)
    assert (step, processing.status_code) == (HOOK_INTERIM, 102)
    assert steps.send(None) == (HOOK_RESPONSE, answer)
    with pytest.raises(StopIteration):
        steps.send(None)


def test_interim_answers_that_were_told_when_they_arrived_are_not_told_again():
    driver, request = Driver(Response(200, extensions={"informational": [(103, [])]}), hooked=True), get()
    request._told_interim = True
    driver.run(request)
    assert driver.steps == ["HOOK_REQUEST", "SEND", "HOOK_RESPONSE"]


def test_consent_and_upgrades_are_no_interim_answers_for_a_hook():
    driver = Driver(Response(200, extensions={"informational": [(100, []), (101, [])]}), hooked=True)
    driver.run(get())
    assert driver.steps == ["HOOK_REQUEST", "SEND", "HOOK_RESPONSE"]


def test_without_hooks_interim_answers_cost_nothing():
    driver = Driver(Response(200, extensions={"informational": [(103, [])]}))
    driver.run(get())
    assert driver.steps == ["SEND"]


# When something goes wrong.


@pytest.mark.parametrize("error", [ReadError("reset"), ValueError("a bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", [HOOK_RESPONSE, HOOK_INTERIM, AUTH_NEXT, DRAIN])
def test_a_response_at_hand_is_closed_whatever_goes_wrong(step, error):
    challenge = Response(401, extensions={"informational": [(103, [])]})
    driver = Driver(challenge, ok(), hooked=True)
    driver.failing[step] = error
    with pytest.raises(type(error)) as caught:
        driver.run(get(), with_credentials)
    assert caught.value is error
    assert driver.closed == [challenge]
    assert driver.steps[-2:] == [NAMES[step], "CLOSE"]


@pytest.mark.parametrize("step", [AUTH_BEGIN, HOOK_REQUEST, SEND])
def test_where_there_is_no_response_there_is_nothing_to_close(step):
    driver = Driver(ok(), hooked=True)
    driver.failing[step] = ReadError("reset")
    with pytest.raises(ReadError):
        driver.run(get(), with_credentials)
    assert "CLOSE" not in driver.steps


def test_a_response_that_was_drained_is_not_closed_when_the_next_request_fails():
    driver = Driver(to("/b"), ReadError("reset"))
    with pytest.raises(ReadError):
        driver.run(get())
    assert driver.steps == ["SEND", "DRAIN", "SEND"]


def test_an_error_while_closing_takes_the_place_of_the_first():
    driver = Driver(ok(), hooked=True)
    driver.failing = {HOOK_RESPONSE: ValueError("first"), CLOSE: ReadError("second")}
    with pytest.raises(ReadError, match="second") as caught:
        driver.run(get())
    assert isinstance(caught.value.__context__, ValueError)


def test_a_journey_that_nobody_drives_any_more_just_ends():
    """It asked for one more step, which Python reports as "generator ignored GeneratorExit"."""
    driver = Driver(ok(), hooked=True)
    steps = journey(get(), None, True, driver.policy)
    step, value = next(steps)
    while step != HOOK_RESPONSE:
        step, value = steps.send(driver.send(value) if step == SEND else None)
    steps.close()


def test_the_next_request_knows_no_secret_of_the_last_url():
    following = second(get("https://user:password@example.org/"), "https://other.example/")
    assert following.url == URL("https://other.example/")
    assert following.url.userinfo == b""


def test_credentials_that_another_origin_gave_are_not_used_on_its_own_redirects_either():
    """The harm: one more redirect, a relative one, and the client was logged in as the user that the server chose."""
    driver = Driver(to("https://mallory:x@other.example/"), to("/next"), ok())
    driver.run(get("https://example.org/"))
    assert [request.headers.get("authorization") for request in driver.sent] == [None, None, None]


def test_credentials_that_an_origin_gave_for_itself_go_on_from_there():
    driver = Driver(to("https://ann:x@example.org/"), to("/next"), ok())
    driver.run(get("https://example.org/"))
    assert [request.headers.get("authorization") for request in driver.sent] == [
        None,
        "Basic YW5uOng=",
        "Basic YW5uOng=",
    ]


def test_an_authorization_that_was_given_is_not_replaced_by_that_of_the_url():
    driver = Driver(to("/next"), ok())
    driver.run(get("https://ann:x@example.org/", headers={"Authorization": "Bearer mine"}))
    assert [request.headers["authorization"] for request in driver.sent] == ["Bearer mine"] * 2


# Middleware.


def plain(request: Request) -> Generator[Any, Any, Any]:
    return (yield request)


def twice(request: Request) -> Generator[Any, Any, Any]:
    yield request
    yield Step.pause(1)
    return (yield request)


def test_the_steps_of_a_middleware_are_yielded_on():
    driver = Driver(Response(503), ok(), hooked=True)
    driver.run(get(), middleware=(plain, twice, plain))
    assert driver.steps == ["HOOK_REQUEST", "SEND", "PAUSE", "DRAIN", "SEND", "HOOK_RESPONSE"]


def test_all_hops_go_through_the_middleware():
    driver = Driver(Response(503), to("/a"), Response(503), ok())
    assert driver.run(get(), middleware=(twice,)).status_code == 200
    assert driver.steps == ["SEND", "PAUSE", "DRAIN", "SEND", "DRAIN", "SEND", "PAUSE", "DRAIN", "SEND"]
    driver = Driver(to("/a"), ok())
    assert driver.run(get(), middleware=(plain,)).history[0].status_code == 302
    assert [request.url.path for request in driver.sent] == ["/", "/a"]


def test_a_body_that_is_not_wanted_and_breaks_is_closed():
    driver = Driver(ok(), ok())
    driver.failing[DRAIN] = ReadError("cut off")
    assert driver.run(get(), middleware=(twice,)).status_code == 200
    assert driver.steps == ["SEND", "PAUSE", "DRAIN", "CLOSE", "SEND"]
    assert len(driver.closed) == 1


def test_a_response_is_closed_if_the_middleware_raises():
    def raising(request: Request) -> Generator[Any, Any, Any]:
        yield request
        raise ZeroDivisionError

    driver = Driver(ok())
    with pytest.raises(ZeroDivisionError):
        driver.run(get(), middleware=(plain, raising))
    assert driver.steps == ["SEND", "CLOSE"]


def test_a_response_is_closed_if_a_step_of_it_is_interrupted():
    class Stop(BaseException):
        pass

    driver = Driver(ok())
    driver.failing[DRAIN] = Stop()
    with pytest.raises(Stop):
        driver.run(get(), middleware=(twice,))
    assert driver.steps == ["SEND", "PAUSE", "DRAIN", "CLOSE"]


def test_a_response_is_closed_if_the_last_step_of_it_is_interrupted():
    def replacing(request: Request) -> Generator[Any, Any, Any]:
        yield request
        return Response(404)

    driver = Driver(ok())
    driver.failing[DRAIN] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        driver.run(get(), middleware=(replacing,))
    assert driver.steps == ["SEND", "DRAIN", "CLOSE"]


def test_a_driver_that_stops_while_it_drops_a_response_ends_the_middleware():
    steps = through(Layers((twice,)), get())
    next(steps)
    steps.send(ok())
    assert steps.send(None)[0] == DRAIN
    steps.close()


def test_a_response_that_is_replaced_is_dropped():
    def replacing(request: Request) -> Generator[Any, Any, Any]:
        yield request
        return Response(404)

    adapted: list[Response] = []
    driver = Driver(ok())
    response = driver.run(get(), middleware=(replacing,), adapt=adapted.append)
    assert driver.steps == ["SEND", "DRAIN"]
    assert adapted == [response]
    assert response.request is driver.sent[0]
    assert response.elapsed.total_seconds() == 0


def test_a_response_from_another_call_is_one_to_this_request():
    kept = Driver(ok()).run(get(headers={"Authorization": "alice"}), middleware=(plain,))

    def remembering(request: Request) -> Generator[Any, Any, Any]:
        return kept
        yield

    request = get(headers={"Authorization": "bob"})
    assert Driver().run(request, middleware=(remembering,)).request is request


def test_all_requests_of_a_call_know_its_limits():
    own = get("https://other.example/")

    def changing(request: Request) -> Generator[Any, Any, Any]:
        yield request
        return (yield own)

    timeout = {"read": 5.0, "total": 9.0}
    driver = Driver(ok(), ok())
    sensitive = frozenset({b"x-mine"})
    response = driver.run(get(), middleware=(changing,), timeout=timeout, deadline=123.0, sensitive=sensitive)
    assert response.request is own
    for request in driver.sent:
        assert request.extensions == {"timeout": timeout, "deadline": 123.0}
        assert (
            "x-mine" not in request.copy_with(headers={"X-Mine": "1"}).copy_with(url="https://third.example/").headers
        )
    assert len({request._call for request in driver.sent}) == 1


def test_a_redirect_goes_on_from_the_middlewares_request():
    def elsewhere(request: Request) -> Generator[Any, Any, Any]:
        if request.url.host == "example.org":
            request = request.copy_with(url="https://eu.example.org/")
        return (yield request)

    driver = Driver(to("/next"), ok())
    driver.run(get(), middleware=(elsewhere,))
    assert [str(request.url) for request in driver.sent] == ["https://eu.example.org/", "https://eu.example.org/next"]


@pytest.mark.parametrize("keep_secrets", [True, False])
def test_an_auth_flow_ends_where_a_middleware_goes_to_another_origin(keep_secrets: bool):
    def elsewhere(request: Request) -> Generator[Any, Any, Any]:
        return (yield request.copy_with(url="https://eu.example.org/", keep_secrets=keep_secrets))

    def asked_again(request: Request) -> Generator[Request, Response, None]:
        yield request
        yield request

    driver = Driver(Response(401), ok())
    assert driver.run(get(), asked_again, middleware=(elsewhere,)).status_code == (200 if keep_secrets else 401)


def test_a_token_from_a_middlewares_other_origin_goes_into_the_callers_request():
    """The flow's own requests are not the caller's: to end it there would be never to send that."""

    def elsewhere(request: Request) -> Generator[Any, Any, Any]:
        if request.url.path == "/token":
            request = request.copy_with(url="https://eu.example.org/token")
        return (yield request)

    def with_token(request: Request) -> Generator[Request, Response, None]:
        yield get("https://example.org/token")
        yield request

    driver = Driver(Response(201), ok())
    assert driver.run(get(), with_token, middleware=(elsewhere,)).status_code == 200
    assert len(driver.sent) == 2


def test_a_driver_that_stops_ends_all_middleware():
    ended: list[str] = []

    def tidy(request: Request) -> Generator[Any, Any, Any]:
        try:
            return (yield request)
        finally:
            ended.append("tidy")

    layers = Layers((tidy, tidy))
    steps = through(layers, get())
    next(steps)
    steps.close()
    assert ended == ["tidy", "tidy"]


def test_a_middleware_that_catches_the_end_is_ended_all_the_same():
    def swallowing(request: Request) -> Generator[Any, Any, Any]:
        try:
            return (yield request)
        except GeneratorExit:
            return ok()

    steps = through(Layers((swallowing,)), get())
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_a_response_without_a_request_is_left_alone():
    """A transport's or a subclass's own: 0.28.1 lets `_send_single_request` be overridden."""

    class Bare(Driver):
        def send(self, request: Request) -> Response:
            self.sent.append(request)
            return Response(200)

    assert Bare().run(get(), middleware=(plain,)).status_code == 200


def yields_a_number(request: Request) -> Any:
    yield 3


def returns_a_number(request: Request) -> Any:
    yield request
    return 3


def is_no_generator(request: Request) -> Any:
    return 3


@pytest.mark.parametrize("wrong", [yields_a_number, returns_a_number, is_no_generator])
def test_what_is_not_a_middleware_is_named(wrong: Any):
    driver = Driver(ok())
    with pytest.raises(TypeError, match=f"middleware {wrong.__name__} must .* got int"):
        driver.run(get(), middleware=(wrong,))
    assert driver.steps in ([], ["SEND", "DRAIN"])


def test_a_middleware_cannot_go_on_after_an_interruption():
    def stubborn(request: Request) -> Generator[Any, Any, Any]:
        try:
            yield request
        except KeyboardInterrupt:
            yield request

    with pytest.raises(RuntimeError, match="stubborn yielded after KeyboardInterrupt"):
        Driver(KeyboardInterrupt()).run(get(), middleware=(stubborn,))


def test_an_interruption_goes_through_a_middleware_that_returns():
    def swallowing(request: Request) -> Generator[Any, Any, Any]:
        try:
            return (yield request)
        except KeyboardInterrupt:
            return ok()

    with pytest.raises(KeyboardInterrupt):
        Driver(KeyboardInterrupt()).run(get(), middleware=(swallowing,))


def test_an_error_of_a_middleware_gets_the_request():
    def refusing(request: Request) -> Generator[Any, Any, Any]:
        raise RemoteProtocolError("odd")
        yield

    request = get()
    with pytest.raises(RemoteProtocolError) as caught:
        Driver().run(request, middleware=(refusing,))
    assert caught.value.request is request


def test_an_error_goes_into_the_middleware():
    def careful(request: Request) -> Generator[Any, Any, Any]:
        with pytest.raises(ReadError):
            yield request
        return (yield request)

    assert Driver(ReadError("cut off"), ok()).run(get(), middleware=(careful, plain)).status_code == 200
