from __future__ import annotations

import asyncio
import copy
import hashlib
import http.cookiejar
import pickle
import re
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from netrc import NetrcParseError
from pathlib import Path
from typing import Any, Callable, Optional, Union

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import httpx
from httpx import (
    AsyncByteStream,
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    FunctionAuth,
    LocalProtocolError,
    NetRCAuth,
    ProtocolError,
    Request,
    Response,
    StreamConsumed,
    SyncByteStream,
)
from httpx._auth import digest
from httpx._auth.challenges import Challenge, parse_challenges
from httpx._auth.digest import digest_authorization
from support.servers import Conn, ScriptedServer, repeat

URL = "http://example.org/p?q=1"

Answers = Callable[[Request], Response]
Play = Callable[..., Response]


def play_sync(auth: Auth, request: Request, answer: Answers) -> Response:
    """Carry out a flow as a client does; the last response."""
    flow = auth.sync_auth_flow(request)
    outgoing = next(flow)
    while True:
        response = answer(outgoing)
        response.request = outgoing
        try:
            outgoing = flow.send(response)
        except StopIteration:
            return response


def play_async(auth: Auth, request: Request, answer: Answers) -> Response:
    async def run() -> Response:
        flow = auth.async_auth_flow(request)
        outgoing = await flow.__anext__()
        while True:
            response = answer(outgoing)
            response.request = outgoing
            try:
                outgoing = await flow.asend(response)
            except StopAsyncIteration:
                return response

    return asyncio.run(run())


@pytest.fixture(params=[play_sync, play_async], ids=["sync", "async"])
def play(request: pytest.FixtureRequest) -> Play:
    player: Play = request.param
    return player


class Stream(SyncByteStream, AsyncByteStream):
    """A body that is not in memory, and that can be read once."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.is_read = False

    def __iter__(self) -> Iterator[bytes]:
        if self.is_read:
            raise StreamConsumed()
        self.is_read = True
        yield from self.pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class Server:
    """Answers with these responses in turn, the last one for ever; keeps what it was sent."""

    def __init__(self, *answers: Union[int, str, Response]) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, str]] = []

    def __call__(self, request: Request) -> Response:
        self.sent.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            return Response(401, headers={"WWW-Authenticate": answer})
        return Response(answer) if isinstance(answer, int) else answer

    @property
    def authorizations(self) -> list[Optional[str]]:
        return [fields.get("authorization") for fields in self.sent]

    @property
    def digests(self) -> list[Optional[dict[str, str]]]:
        """The parameters of the Authorization fields."""
        return [None if field is None else parse_challenges(field)[0].params for field in self.authorizations]


def authorized(play: Play, auth: Auth, url: str = URL) -> Optional[str]:
    """The Authorization field that a request gets."""
    server = Server(200)
    play(auth, Request("GET", url), server)
    return server.authorizations[0]


# -- the drivers


def test_the_default_flow_sends_the_request_as_it_is(play: Play) -> None:
    server = Server(401)
    assert play(Auth(), Request("GET", URL), server).status_code == 401
    assert server.authorizations == [None]


class Looking(Auth):
    """Remembers what it could see."""

    def __init__(self, *, of_request: bool = False, of_response: bool = False) -> None:
        self.requires_request_body = of_request
        self.requires_response_body = of_response

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        self.sees_request = hasattr(request, "_content")
        response = yield request
        self.sees_response = hasattr(response, "_content")


@pytest.mark.parametrize("of_request", [True, False])
@pytest.mark.parametrize("of_response", [True, False])
def test_bodies_are_read_where_the_flow_asks_for_it(play: Play, of_request: bool, of_response: bool) -> None:
    auth = Looking(of_request=of_request, of_response=of_response)
    play(auth, Request("POST", URL, stream=Stream(b"a", b"b")), Server(Response(200, stream=Stream(b"c"))))
    assert (auth.sees_request, auth.sees_response) == (of_request, of_response)


def test_the_answer_to_a_request_of_the_flows_own_is_always_read(play: Play) -> None:
    """0.28.1 raised ResponseNotRead at `.json()`, in every program that asked for a token."""

    class TokenAuth(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            answer = yield Request("POST", "http://id.example.org/token")
            request.headers["Authorization"] = answer.json()["token"]
            yield request

    last = Response(200, stream=Stream(b"large"))
    server = Server(Response(200, stream=Stream(b'{"token":', b'"t"}')), last)
    assert play(TokenAuth(), Request("GET", URL), server) is last
    assert server.authorizations == [None, "t"]
    assert not hasattr(last, "_content")


def test_an_abandoned_flow_is_closed(play: Play) -> None:
    closed = []

    class Careful(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            try:
                yield request
            finally:
                closed.append(True)

    if play is play_sync:
        flow = Careful().sync_auth_flow(Request("GET", URL))
        next(flow)
        flow.close()
    else:

        async def run() -> None:
            flow = Careful().async_auth_flow(Request("GET", URL))
            await flow.__anext__()
            await flow.aclose()

        asyncio.run(run())
    assert closed == [True]


# -- a function


def test_a_function_may_change_the_request_or_return_another(play: Play) -> None:
    def change(request: Request) -> Request:
        request.headers["Authorization"] = "mine"
        return request

    assert authorized(play, FunctionAuth(change)) == "mine"
    other = Request("GET", URL, headers={"Authorization": "other"})
    assert authorized(play, FunctionAuth(lambda request: other)) == "other"


def test_the_answer_to_a_functions_request_is_still_a_stream(play: Play) -> None:
    """It is what the caller gets, who may have asked for a stream because it is large."""
    response = Response(200, stream=Stream(b"large"))
    play(FunctionAuth(lambda request: Request("GET", URL)), Request("GET", URL), Server(response))
    assert not hasattr(response, "_content")


def test_a_function_that_forgets_to_return_the_request_is_told(play: Play) -> None:
    forgetful: Any = lambda request: None  # noqa: E731  # the shortest function that returns nothing
    with pytest.raises(TypeError, match=r"^the function given as auth returned None"):
        play(FunctionAuth(forgetful), Request("GET", URL), Server(200))


def test_an_async_function_as_auth_is_refused_without_a_warning(play: Play) -> None:
    async def sign(request: Request) -> Request:
        return request

    with pytest.raises(TypeError, match="is async: derive from"):
        play(FunctionAuth(sign), Request("GET", URL), Server(200))  # type: ignore[arg-type]  # what is tested


# -- Basic


@pytest.mark.parametrize(
    ("username", "password", "expected"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\u00a3", "Basic dGVzdDoxMjPCow=="),
        (b"test", b"123\xa3", "Basic dGVzdDoxMjOj"),
        ("", "", "Basic Og=="),
        ("x" * 60, "", "Basic " + "eHh4" * 20 + "Og=="),  # long, and still one line
    ],
)
def test_basic_sends_user_name_and_password_in_base64(
    play: Play, username: Union[str, bytes], password: Union[str, bytes], expected: str
) -> None:
    """The first two are the examples of RFC 7617, sections 2 and 2.1."""
    assert authorized(play, BasicAuth(username, password)) == expected


@pytest.mark.parametrize("make", [BasicAuth, DigestAuth])
def test_credentials_that_are_not_text_are_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=r"^username must be str or bytes, got NoneType$"):
        make(None, "secret")
    with pytest.raises(TypeError, match=r"^password must be str or bytes, got int$"):
        make("user", 1)


@pytest.mark.parametrize("make", [BasicAuth, DigestAuth])
def test_credentials_that_utf_8_cannot_hold_are_refused_without_showing_them(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^username has a lone surrogate at position 1, so it is not UTF-8$"):
        make("a\udc80", "secret")
    with pytest.raises(ValueError, match=r"^password has a lone surrogate at position 6") as caught:
        make("a", "secret\udc80")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# -- Bearer


def test_a_bearer_token_is_sent_with_each_request(play: Play) -> None:
    assert authorized(play, BearerAuth("mF_9.B5f-4.1JqM")) == "Bearer mF_9.B5f-4.1JqM"


def test_a_function_gives_a_new_token_for_each_request(play: Play) -> None:
    tokens = iter(["one", "two"])
    auth = BearerAuth(lambda: next(tokens))
    assert [authorized(play, auth), authorized(play, auth)] == ["Bearer one", "Bearer two"]


def test_an_async_function_gives_the_token_in_an_async_client() -> None:
    async def fetch() -> str:
        await asyncio.sleep(0)
        return "t0k3n"

    auth = BearerAuth(fetch)
    assert authorized(play_async, auth) == "Bearer t0k3n"
    with pytest.raises(TypeError, match="only an async client can await"):  # and no warning: nothing is left unawaited
        authorized(play_sync, auth)

    class Later:
        def __await__(self) -> Any:
            return iter(())

    with pytest.raises(TypeError, match="only an async client can await"):
        authorized(play_sync, BearerAuth(lambda: Later()))  # type: ignore[arg-type, return-value]  # never awaited

    async def fetch_badly() -> str:
        return "two words"

    with pytest.raises(LocalProtocolError, match="must not contain ' '"):
        authorized(play_async, BearerAuth(fetch_badly))


BAD_TOKENS = [
    ("hunter2\n", r"a bearer token must not contain '\\n' \(position 7 of 8\)"),
    ("hunter2\r\nHost: evil", r"a bearer token must not contain '\\r' \(position 7 of 19\)"),
    ("hunter2 x", r"a bearer token must not contain ' ' \(position 7 of 9\)"),
    ("hunter2é", r"a bearer token must not contain 'é' \(position 7 of 8\)"),
    ("", "a bearer token must not be empty"),
]


@pytest.mark.parametrize(("token", "message"), BAD_TOKENS)
def test_a_token_that_would_not_stay_in_its_header_is_refused_without_showing_it(
    play: Play, token: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$") as given:
        BearerAuth(token)
    request = Request("GET", URL)
    with pytest.raises(LocalProtocolError, match=f"^{message}$") as made:
        play(BearerAuth(lambda: token), request, Server(200))
    assert made.value.request is request
    assert "hunter" not in str(given.value) + str(made.value)


@pytest.mark.parametrize("token", [None, b"bytes", 5])
def test_a_token_must_be_text(play: Play, token: Any) -> None:
    message = f"^a bearer token must be str, got {type(token).__name__}$"
    with pytest.raises(TypeError, match=message):
        BearerAuth(token)
    with pytest.raises(TypeError, match=message):
        play(BearerAuth(lambda: token), Request("GET", URL), Server(200))


# -- netrc


@pytest.fixture
def netrc_file(tmp_path: Path) -> Path:
    path = tmp_path / "netrc"
    path.write_text("machine example.org login user password secret\nmachine open.example.org login user password ''\n")
    return path


def test_a_netrc_file_is_looked_up_by_host(play: Play, netrc_file: Path) -> None:
    auth = NetRCAuth(str(netrc_file))
    assert authorized(play, auth) == "Basic dXNlcjpzZWNyZXQ="
    assert authorized(play, auth, "http://other.example.org/") is None


def test_the_default_entry_is_for_all_other_hosts(play: Play, netrc_file: Path) -> None:
    with netrc_file.open("a") as file:
        file.write("default login anybody password x\n")
    assert authorized(play, NetRCAuth(str(netrc_file)), "http://other.example.org/") == "Basic YW55Ym9keTp4"


def test_an_entry_without_a_password_sends_nothing(play: Play, netrc_file: Path) -> None:
    """As in 0.28.1."""
    auth = NetRCAuth(str(netrc_file))
    auth._netrc_info.hosts["example.org"] = ("user", None, None)  # older Pythons refuse such a file
    assert authorized(play, auth) is None


def test_without_a_file_name_it_is_the_one_in_the_home_directory(
    play: Play, netrc_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = netrc_file.rename(netrc_file.with_name(".netrc")).parent
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert authorized(play, NetRCAuth()) == "Basic dXNlcjpzZWNyZXQ="


def test_a_missing_netrc_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        NetRCAuth(str(tmp_path / "missing"))


def test_a_malformed_netrc_file_is_an_error_that_shows_no_password(netrc_file: Path) -> None:
    netrc_file.write_text("machine example.org login user password se cret\n")
    with pytest.raises(NetrcParseError, match=r"^not a netrc file \(.*netrc, line \d\)$"):
        NetRCAuth(str(netrc_file))


def test_a_netrc_file_that_is_no_text_is_an_error_that_shows_nothing_of_it(netrc_file: Path) -> None:
    netrc_file.write_bytes(b"machine a login b password secret\x81\xff")
    with pytest.raises(NetrcParseError, match=r"^not a netrc file, it is not text") as caught:
        NetRCAuth(str(netrc_file))
    assert caught.value.__cause__ is None


def test_why_the_default_netrc_file_was_refused_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Optional[str]) -> None:
        raise NetrcParseError("~/.netrc access too permissive", file, 1)

    monkeypatch.setattr("netrc.netrc", refuse)
    with pytest.raises(NetrcParseError, match="access too permissive"):
        NetRCAuth()


# -- challenges


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", []),
        (" , ,\t", []),
        ("Negotiate", [("negotiate", None, {})]),
        ("Negotiate abc==", [("negotiate", "abc==", {})]),
        ("NTLM, Negotiate", [("ntlm", None, {}), ("negotiate", None, {})]),
        ("NTLM abc=, Basic realm=x", [("ntlm", "abc=", {}), ("basic", None, {"realm": "x"})]),
        ('Basic realm="simple"', [("basic", None, {"realm": "simple"})]),
        ('Basic , realm="r"', [("basic", None, {"realm": "r"})]),
        ("Basic Realm = \t x", [("basic", None, {"realm": "x"})]),
        (r'Basic realm="a \"b\" \\ c,d=e"', [("basic", None, {"realm": 'a "b" \\ c,d=e'})]),
        ('Basic realm=""', [("basic", None, {"realm": ""})]),
        ("Basic realm=", [("basic", "realm=", {})]),
        (
            # RFC 9110, section 11.6.1
            'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
            [
                ("basic", None, {"realm": "simple"}),
                ("newauth", None, {"realm": "apps", "type": "1", "title": 'Login to "apps"'}),
            ],
        ),
        (
            ",, Digest ,realm=r,, nonce=n ,,Basic,",
            [("digest", None, {"realm": "r", "nonce": "n"}), ("basic", None, {})],
        ),
        ("Digest domain=/a/b?c, nonce=a+/b==", [("digest", None, {"domain": "/a/b?c", "nonce": "a+/b=="})]),
        ("Digest realm=r, algorithm=MD5, algorithm=MD5", [("digest", None, {"realm": "r", "algorithm": "MD5"})]),
        ('Basic realm="\xfc"', [("basic", None, {"realm": "\xfc"})]),
    ],
)
def test_the_challenges_of_a_field_are_found(field: str, expected: list[Any]) -> None:
    assert parse_challenges(field) == expected


@pytest.mark.parametrize(
    "field",
    [
        "realm=x",
        "=",
        '"quoted"',
        'Basic realm="open',
        'Basic realm="open\\"',
        'Basic realm="x"y',
        "Basic realm=a b",
        "Basic realm=r nonce=n",
        "Negotiate abc==, realm=x",
        "Basic a b, realm=x",
        "Basic a b c, Digest realm=x",
        "Basic Digest realm=x",
        "Basic realm=x, realm=y",
        "Ba(sic realm=x",
    ],
)
def test_a_field_that_breaks_the_grammar_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a scheme nor a parameter$|is given twice$"):
        parse_challenges(field)


def test_a_long_malformed_field_takes_no_time() -> None:
    """Each of these made quadratic work for some parser: 0.1 s would be 10 s."""
    for piece in ("a" * 9, "a=", '"', "\\", ", ", "\t", 'a="b"', "a b"):
        for start in ("Digest ", 'Digest realm="', "Digest realm="):
            try:
                parse_challenges(start + piece * 20_000 + "\x00")
            except ValueError:
                pass


TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8)
VALUES = st.text(st.characters(max_codepoint=255), max_size=12)
CHALLENGES = st.builds(
    Challenge,
    scheme=TOKENS.map(str.lower),
    token68=st.none() | st.from_regex(r"[A-Za-z0-9\-._~+/]{1,8}={0,2}", fullmatch=True),
    params=st.dictionaries(TOKENS.map(str.lower), VALUES, max_size=4),
).map(lambda found: found if found.token68 is None else found._replace(params={}))


def written(challenge: Challenge, separator: str) -> str:
    if challenge.token68 is not None:
        return f"{challenge.scheme} {challenge.token68}"
    escaped = {name: re.sub(r'(["\\])', r"\\\1", value) for name, value in challenge.params.items()}
    return f"{challenge.scheme} " + separator.join(f'{name}="{value}"' for name, value in escaped.items())


@given(challenges=st.lists(CHALLENGES, max_size=4), separator=st.sampled_from([",", ", ", " ,\t", ",,", " , , "]))
def test_challenges_that_are_written_are_found_again(challenges: list[Challenge], separator: str) -> None:
    assert parse_challenges(separator.join(written(challenge, separator) for challenge in challenges)) == challenges


@given(field=st.text('aZ09=", \t\\/(\x00\xfc', max_size=40) | st.text(st.characters(max_codepoint=255), max_size=40))
@example(field="Digest ")
def test_no_field_raises_anything_but_value_error(field: str) -> None:
    try:
        challenges = parse_challenges(field)
    except ValueError:
        return
    assert all(challenge.scheme for challenge in challenges)


# -- Digest: what is computed


def answer_to(field: str, *, username: str, password: str, cnonce: bytes, uri: bytes, **others: Any) -> dict[str, str]:
    (challenge,) = parse_challenges(field)
    value = digest_authorization(
        digest._understand(challenge.params),
        **{
            "username": username.encode(),
            "password": password.encode(),
            "method": b"GET",
            "uri": uri,
            "body": b"",
            "cnonce": cnonce,
            "count": 1,
            **others,
        },
    )
    (sent,) = parse_challenges(value.decode("latin-1"))
    assert sent.scheme == "digest"
    return sent.params


RFC7616_MD5 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    sent = answer_to(
        RFC7616_MD5.replace("MD5", algorithm),
        username="Mufasa",
        password="Circle of Life",
        uri=b"/dir/index.html",
        cnonce=b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert sent == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "uri": "/dir/index.html",
        "response": response,
        "algorithm": algorithm,
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    }


RFC7616_SHA_512_256 = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
)


@pytest.mark.skipif(not digest._has_hash("sha512_256"), reason="this Python has no SHA-512/256")
def test_the_example_of_rfc_7616_section_3_9_2() -> None:
    """With the values of erratum 4897: those printed in the RFC are not SHA-512/256 as it was standardised."""
    sent = answer_to(
        RFC7616_SHA_512_256,
        username="J\u00e4s\u00f8n Doe",
        password="Secret, or not?",
        uri=b"/doe.json",
        cnonce=b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert sent["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert sent["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert sent["userhash"] == "true"


def test_a_user_name_that_is_not_ascii_is_sent_as_rfc_8187_says() -> None:
    field = RFC7616_MD5 + ", charset=UTF-8"
    sent = answer_to(field, username="J\u00e4s\u00f8n Doe", password="x", uri=b"/", cnonce=b"c")
    assert sent["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"
    assert "username" not in sent


RFC2617 = (
    'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
MUFASA: Any = {"username": "Mufasa", "password": "Circle Of Life", "uri": b"/dir/index.html", "cnonce": b"0a4f113b"}


def test_the_example_of_rfc_2617() -> None:
    assert answer_to(RFC2617, **MUFASA)["response"] == "6629fae49393a05397450978507c4ef1"


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def test_without_qop_the_answer_is_that_of_rfc_2069() -> None:
    sent = answer_to('Digest realm="r", nonce="n"', **MUFASA)
    assert sent["response"] == md5(md5("Mufasa", "r", "Circle Of Life"), "n", md5("GET", "/dir/index.html"))
    assert not {"qop", "nc", "cnonce", "opaque", "userhash"} & set(sent)


@pytest.mark.parametrize("qop", ["", ", qop=auth"])
def test_in_a_session_the_key_holds_the_nonces(qop: str) -> None:
    sent = answer_to(f'Digest realm="r", nonce="n", algorithm=md5-Sess{qop}', **MUFASA)
    key = md5(md5("Mufasa", "r", "Circle Of Life"), "n", "0a4f113b")
    between = ["00000001", "0a4f113b", "auth"] if qop else []
    assert sent["response"] == md5(key, "n", *between, md5("GET", "/dir/index.html"))
    assert sent["cnonce"] == "0a4f113b"
    assert sent["algorithm"] == "md5-Sess"


def test_auth_int_covers_the_body() -> None:
    sent = answer_to('Digest realm="r", nonce="n", qop=auth-int', **MUFASA, method=b"POST", body=b"abc", count=10)
    what = md5("POST", "/dir/index.html", md5("abc"))
    key = md5("Mufasa", "r", "Circle Of Life")
    assert sent["response"] == md5(key, "n", "0000000a", "0a4f113b", "auth-int", what)


def test_quotes_and_backslashes_are_escaped() -> None:
    """A user name with a quote must not end its parameter and begin others."""
    field = 'Digest realm="a\\"b\\\\", nonce="\\"", opaque="\\\\", qop=auth'
    sent = answer_to(field, username='x", realm="y\\', password="", uri=b'/"', cnonce=b"c")
    assert sent["username"] == 'x", realm="y\\'
    assert (sent["realm"], sent["nonce"], sent["opaque"], sent["uri"]) == ('a"b\\', '"', "\\", '/"')


@pytest.mark.parametrize("algorithm", ["MD5", "SHA", "SHA-256", "SHA-512", "MD5-sess", "sha-256-SESS"])
def test_the_algorithms_of_0_28_1_and_of_rfc_7616_are_understood(algorithm: str) -> None:
    lengths = {"MD5": 32, "SHA": 40, "SHA-256": 64, "SHA-512": 128}
    sent = answer_to(f'Digest realm="r", nonce="n", algorithm={algorithm}', **MUFASA)
    assert len(sent["response"]) == lengths[algorithm.upper().replace("-SESS", "")]


# -- Digest: the conversation

DIGEST = 'Digest realm="r", nonce="{}", qop=auth'


def test_a_challenge_is_answered_once(play: Play) -> None:
    server = Server(DIGEST.format("n"), 200)
    assert play(DigestAuth("user", "secret"), Request("GET", URL), server).status_code == 200
    first, second = server.digests
    assert first is None
    assert second is not None
    assert second["uri"] == "/p?q=1"
    key = md5("user", "r", "secret")
    expected = md5(key, "n", "00000001", second["cnonce"], "auth", md5("GET", "/p?q=1"))
    assert second["response"] == expected


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, headers={"WWW-Authenticate": DIGEST}),
        Response(403, headers={"WWW-Authenticate": DIGEST}),
        Response(407, headers={"WWW-Authenticate": DIGEST}),
        Response(401),
        Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
        Response(401, headers={"WWW-Authenticate": "Digest"}),
        Response(401, headers={"WWW-Authenticate": "Custom not a challenge, at all"}),
    ],
)
def test_what_is_no_digest_challenge_is_the_callers(play: Play, answer: Response) -> None:
    server = Server(answer)
    assert play(DigestAuth("user", "secret"), Request("GET", URL), server) is answer
    assert len(server.sent) == 1


@pytest.mark.parametrize(
    ("fields", "nonce"),
    [
        (['Basic realm="x", Digest realm="r", nonce="1", qop=auth'], "1"),
        (['Digest realm="r", nonce="1", qop=auth, Basic realm="x"'], "1"),
        (['Basic realm="x"', "Negotiate", DIGEST.format("2")], "2"),
        # The server's order, not the strongest.
        ([DIGEST.format("1") + ", algorithm=MD5, " + DIGEST.format("2") + ", algorithm=SHA-256"], "1"),
        ([DIGEST.format("1") + ", algorithm=SHA-256", DIGEST.format("2") + ", algorithm=MD5"], "1"),
        # What is not understood is passed over.
        ([DIGEST.format("1") + ", algorithm=TOKEN", DIGEST.format("2") + ", algorithm=MD5"], "2"),
        (['Digest realm="r", nonce="1", qop=other, ' + DIGEST.format("2")], "2"),
        (['Digest realm="r"', 'Digest nonce="1"', DIGEST.format("2")], "2"),
        (["Digest realm=r nonce=1", DIGEST.format("2")], "2"),
    ],
)
def test_the_first_challenge_that_is_understood_is_answered(play: Play, fields: list[str], nonce: str) -> None:
    server = Server(Response(401, headers=[("WWW-Authenticate", field) for field in fields]), 200)
    play(DigestAuth("user", "secret"), Request("GET", URL), server)
    assert server.digests[1] is not None
    assert server.digests[1]["nonce"] == nonce


def test_an_algorithm_that_this_python_lacks_is_passed_over(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hashlib.new

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sha512_256":
            raise ValueError("unsupported hash type sha512_256")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(hashlib, "new", without)
    server = Server(RFC7616_SHA_512_256 + ", " + RFC7616_MD5, 200)
    play(DigestAuth("user", "secret"), Request("GET", URL), server)
    assert server.digests[1] is not None
    assert server.digests[1]["algorithm"] == "MD5"


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ('Digest realm="r"', "it has no nonce"),
        ('Digest nonce="n"', "it has no realm"),
        ('Digest realm="r", nonce="n", qop="auto, x"', "its qop 'auto, x' is not supported"),
        ('Digest realm="r", nonce="n", qop=""', "its qop '' is not supported"),
        ('Digest realm="r", nonce="n", algorithm=TOKEN', "its algorithm 'TOKEN' is not supported"),
        ("Digest realm=r nonce=n", "'realm=r nonce=n' is neither a scheme nor a parameter"),
        ('Basic realm=x, dIGEST realm="r', "'realm=\"r' is neither a scheme nor a parameter"),
        ("Digest realm=a, realm=b", "parameter 'realm' is given twice"),
        ('Digest realm="r", nonce="n", algorithm=' + "x" * 50, f"its algorithm '{'x' * 20}' is not supported"),
        ("Digest realm=a, realm=b, Digest nonce=n", "parameter 'realm' is given twice"),
    ],
)
def test_challenges_of_which_none_is_understood_are_a_protocol_error(play: Play, field: str, problem: str) -> None:
    request = Request("GET", URL)
    with pytest.raises(ProtocolError) as info:
        play(DigestAuth("user", "hunter2"), request, Server(field))
    assert str(info.value) == f"no usable digest challenge in WWW-Authenticate: {problem}"
    assert info.value.request is request


def test_the_first_of_several_problems_is_told(play: Play) -> None:
    answer = Response(401, headers=[("WWW-Authenticate", 'Digest realm="r"'), ("WWW-Authenticate", "Digest x=1 y=2")])
    with pytest.raises(ProtocolError, match="it has no nonce"):
        play(DigestAuth("user", "secret"), Request("GET", URL), Server(answer))


def test_later_requests_answer_the_same_nonce_with_a_rising_count(play: Play) -> None:
    server = Server(DIGEST.format("n"), 200)
    auth = DigestAuth("user", "secret")
    for _ in range(3):
        play(auth, Request("GET", URL), server)
    sent = [digest for digest in server.digests if digest is not None]
    assert [digest["nc"] for digest in sent] == ["00000001", "00000002", "00000003"]
    assert len({digest["cnonce"] for digest in sent}) == 3
    assert len(server.sent) == 4


def test_a_session_keeps_its_client_nonce(play: Play) -> None:
    server = Server(DIGEST.format("n") + ", algorithm=SHA-256-sess", 200)
    auth = DigestAuth("user", "secret")
    for _ in range(3):
        play(auth, Request("GET", URL), server)
    assert len({digest["cnonce"] for digest in server.digests if digest is not None}) == 1


def test_each_origin_has_a_nonce_of_its_own(play: Play) -> None:
    """An answer made for one server must not go to another."""
    auth = DigestAuth("user", "secret")
    play(auth, Request("GET", URL), Server(DIGEST.format("n"), 200))
    for url in ("https://example.org/", "http://example.org:8080/", "http://www.example.org/"):
        assert authorized(play, auth, url) is None
    assert authorized(play, auth) is not None


def test_the_nonces_of_few_origins_are_remembered() -> None:
    auth = DigestAuth("user", "secret")
    for port in range(1, 200):
        play_sync(auth, Request("GET", f"http://example.org:{port}/"), Server(DIGEST.format("n"), 200))
    assert len(auth._sessions) == digest._MAX_ORIGINS
    assert authorized(play_sync, auth, "http://example.org:1/") is None
    assert authorized(play_sync, auth, "http://example.org:199/") is not None


def test_refused_credentials_are_not_sent_again(play: Play) -> None:
    server = Server(DIGEST.format("1"), DIGEST.format("2"))
    assert play(DigestAuth("user", "wrong"), Request("GET", URL), server).status_code == 401
    assert len(server.sent) == 2


def test_a_nonce_that_expired_between_requests_is_replaced(play: Play) -> None:
    server = Server(DIGEST.format("1"), 200, DIGEST.format("2"), 200)
    auth = DigestAuth("user", "secret")
    play(auth, Request("GET", URL), server)
    assert play(auth, Request("GET", URL), server).status_code == 200
    assert [digest and (digest["nonce"], digest["nc"]) for digest in server.digests] == [
        None,
        ("1", "00000001"),
        ("1", "00000002"),
        ("2", "00000001"),
    ]


def test_a_stale_nonce_is_replaced_within_a_request(play: Play) -> None:
    server = Server(DIGEST.format("1"), DIGEST.format("2") + ", stale=TRUE", 200)
    assert play(DigestAuth("user", "secret"), Request("GET", URL), server).status_code == 200
    assert [digest and digest["nonce"] for digest in server.digests] == [None, "1", "2"]


def test_a_server_that_finds_its_own_nonce_stale_is_not_asked_again(play: Play) -> None:
    server = Server(DIGEST.format("1") + ", stale=true")
    assert play(DigestAuth("user", "secret"), Request("GET", URL), server).status_code == 401
    assert len(server.sent) == 2


def test_a_server_that_finds_every_nonce_stale_ends_the_conversation(play: Play) -> None:
    server = Server(*[DIGEST.format(number) + ", stale=true" for number in range(20)])
    assert play(DigestAuth("user", "secret"), Request("GET", URL), server).status_code == 401
    assert len(server.sent) == 1 + digest._MAX_CHALLENGES


def test_the_nonce_that_the_server_wants_next_is_used(play: Play) -> None:
    """RFC 7616, section 3.5."""
    server = Server(
        DIGEST.format("1"), Response(200, headers={"Authentication-Info": 'nextnonce="2", rspauth="abc"'}), 200
    )
    auth = DigestAuth("user", "secret")
    play(auth, Request("GET", URL), server)
    play(auth, Request("GET", URL), server)
    assert server.digests[2] is not None
    assert (server.digests[2]["nonce"], server.digests[2]["nc"]) == ("2", "00000001")


@pytest.mark.parametrize(
    "info", ['nextnonce="', 'rspauth="x"', 'nextnonce=""', 'nextnonce="1"', "", "token", "x, Basic"]
)
def test_authentication_info_without_a_new_nonce_changes_nothing(play: Play, info: str) -> None:
    server = Server(DIGEST.format("1"), Response(200, headers={"Authentication-Info": info}))
    auth = DigestAuth("user", "secret")
    play(auth, Request("GET", URL), server)
    play(auth, Request("GET", URL), server)
    assert server.digests[2] is not None
    assert (server.digests[2]["nonce"], server.digests[2]["nc"]) == ("1", "00000002")


def test_a_realm_is_sent_back_byte_by_byte(play: Play) -> None:
    """0.28.1 raised UnicodeEncodeError."""
    challenge = b'Digest realm="\xfc \xc3\xbc", nonce="n"'
    seen = []

    def answer(request: Request) -> Response:
        seen.append(request.headers.raw)
        return Response(401, headers=[(b"WWW-Authenticate", challenge)]) if len(seen) == 1 else Response(200)

    play(DigestAuth("user", "secret"), Request("GET", URL), answer)
    (value,) = [value for name, value in seen[1] if name == b"Authorization"]
    assert b'realm="\xfc \xc3\xbc"' in value


# -- Digest: auth-int and streams

INTEGRITY = 'Digest realm="r", nonce="n", qop=auth-int'


def test_auth_int_reads_the_body_and_from_then_on_before_it_is_sent(play: Play) -> None:
    server = Server(INTEGRITY, 200)
    auth = DigestAuth("user", "secret")
    first, second = (Request("POST", URL, stream=Stream(b"a", b"bc")) for _ in range(2))
    play(auth, first, server)
    play(auth, second, server)
    for count, found in enumerate(server.digests[1:], start=1):
        assert found is not None
        what = md5("POST", "/p?q=1", md5("abc"))
        expected = md5(md5("user", "r", "secret"), "n", f"{count:08x}", found["cnonce"], "auth-int", what)
        assert found["response"] == expected
    assert (first.content, second.content) == (b"abc", b"abc")


def test_a_body_that_is_gone_cannot_be_covered(play: Play) -> None:
    request = Request("POST", URL, stream=Stream(b"abc"))

    def answer(request: Request) -> Response:
        assert isinstance(request.stream, Stream)
        request.stream.is_read = True  # sent, and not kept
        return Response(401, headers={"WWW-Authenticate": INTEGRITY})

    with pytest.raises(StreamConsumed):
        play(DigestAuth("user", "secret"), request, answer)


def test_with_auth_the_body_stays_a_stream(play: Play) -> None:
    """A large upload is not read into memory only because it may be asked for a password."""
    request = Request("POST", URL, stream=Stream(b"abc"))
    play(DigestAuth("user", "secret"), request, Server(DIGEST.format("n"), 200))
    assert not hasattr(request, "_content")


def test_a_subclass_may_ask_for_the_body_in_any_case(play: Play) -> None:
    class Whole(DigestAuth):
        requires_request_body = True

    request = Request("POST", URL, stream=Stream(b"abc"))
    play(Whole("user", "secret"), request, Server(200))
    assert request.content == b"abc"


# -- Digest: cookies


def cookies_sent(before: Optional[str], *set_cookies: str) -> Optional[str]:
    """The Cookie field of the answer, when the challenge comes with these cookies."""
    fields = [("WWW-Authenticate", DIGEST.format("n"))] + [("Set-Cookie", value) for value in set_cookies]
    server = Server(Response(401, headers=fields), 200)
    request = Request("GET", URL, headers={} if before is None else {"Cookie": before})
    play_sync(DigestAuth("user", "secret"), request, server)
    return server.sent[1].get("cookie")


def test_cookies_of_the_challenge_come_back_with_the_answer() -> None:
    """Some servers keep the nonce in a session that only the cookie names."""
    assert cookies_sent(None, "session=1; Path=/") == "session=1"
    assert cookies_sent(None) is None


def refusing() -> http.cookiejar.CookieJar:
    return http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))


class NeverSends(http.cookiejar.DefaultCookiePolicy):
    def return_ok(self, cookie: Any, request: Any) -> bool:
        return False


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        (lambda: None, "sid=1"),
        (lambda: {"theme": "dark"}, "theme=dark; sid=1"),
        (lambda: False, None),
        (refusing, None),
        (lambda: http.cookiejar.CookieJar(NeverSends()), None),
    ],
)
def test_cookies_of_the_challenge_that_the_client_does_not_keep_are_not_sent(cookies: Any, expected: Any) -> None:
    """With `cookies=False`, and where the user's policy refused it, a server's cookie came back to it all the same."""
    sent: list[Optional[str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("cookie"))
        if "authorization" in request.headers:
            return httpx.Response(200)
        fields = [("WWW-Authenticate", DIGEST.format("n")), ("Set-Cookie", "sid=1; Path=/")]
        return httpx.Response(401, headers=fields)

    async def main() -> None:
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, cookies=cookies(), auth=httpx.DigestAuth("u", "p")) as client:
            await client.get("http://example.org/")

    transport = httpx.MockTransport(handler)
    with httpx.Client(transport=transport, cookies=cookies(), auth=httpx.DigestAuth("u", "p")) as client:
        response = client.get("http://example.org/")
    assert pickle.loads(pickle.dumps(response.request))._client_cookies is None
    asyncio.run(main())
    assert sent[1] == sent[3] == expected


def test_the_callers_cookies_stay_unless_they_are_replaced() -> None:
    """0.28.1 sent only the caller's, so that the session was lost."""
    assert cookies_sent("a=1; session=old;b", "session=new") == "a=1; b; session=new"
    assert cookies_sent("a=1", "b=2; Domain=other.org") == "a=1"
    assert cookies_sent("a=1; b=2") == "a=1; b=2"
    assert cookies_sent(None, "b=2; Domain=other.org") is None


# -- Digest: threads, copies, secrets


def test_threads_never_send_a_count_twice() -> None:
    auth = DigestAuth("user", "secret")
    play_sync(auth, Request("GET", URL), Server(DIGEST.format("n"), 200))
    server = Server(200)
    threads = [
        threading.Thread(target=lambda: [play_sync(auth, Request("GET", URL), server) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [int(digest["nc"], 16) for digest in server.digests if digest is not None]
    assert sorted(counts) == list(range(2, 202))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda auth: pickle.loads(pickle.dumps(auth))])
def test_a_copy_begins_without_a_nonce(duplicate: Any) -> None:
    """It would otherwise count the same nonce a second time, which a server takes for a replay."""
    auth = DigestAuth("user", "secret")
    play_sync(auth, Request("GET", URL), Server(DIGEST.format("n"), 200))
    other = duplicate(auth)
    assert authorized(play_sync, other) is None
    server = Server(DIGEST.format("n"), 200)
    play_sync(other, Request("GET", URL), server)
    assert server.digests[1] is not None
    assert server.digests[1]["username"] == "user"


@pytest.mark.parametrize(
    "auth",
    [BasicAuth("user", "hunter2"), BearerAuth("hunter2"), DigestAuth("user", "hunter2"), FunctionAuth(repr)],  # type: ignore[arg-type]  # any function
)
def test_no_secret_is_shown(auth: Auth) -> None:
    assert "hunter2" not in repr(auth)
    assert "aHVudGVyMg" not in repr(auth)


# Through a client.


class DigestServer:
    """A strict server: it answers 400 if the `uri` of the credentials is not the request's target."""

    def __init__(self, *redirects: str, status: int = 307) -> None:
        self._redirects = list(redirects)
        self._status = status
        self.uris: list[Optional[str]] = []

    def __call__(self, request: Request) -> Response:
        field = request.headers.get("authorization")
        uri = None if field is None else parse_challenges(field)[0].params["uri"]
        self.uris.append(uri)
        if uri is None:
            return Response(401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
        if uri != request.url.raw_path.decode():
            return Response(400)
        if self._redirects:
            return Response(self._status, headers={"Location": self._redirects.pop(0)})
        return Response(200, content=request.read())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_digest_signs_for_the_new_target_after_a_redirect_on_the_same_origin(status: int) -> None:
    """It repeated the header with the old uri, which strict servers answer with 400."""
    server = DigestServer("/second?x=1", "/third", status=status)
    with httpx.Client(
        transport=httpx.MockTransport(server), auth=DigestAuth("jo", "pw"), follow_redirects=True
    ) as client:
        response = client.post("http://example.org/first", content=b"abc")
    assert response.status_code == 200
    assert server.uris == [None, "/first", "/second?x=1", "/third"]
    assert len(response.history) == 3  # the challenge, and two redirects
    assert response.content == (b"abc" if status in (307, 308) else b"")


def test_digest_is_not_sent_to_another_origin_after_a_redirect() -> None:
    server = DigestServer("https://other.example/", "/")
    with httpx.Client(
        transport=httpx.MockTransport(server), auth=DigestAuth("jo", "pw"), follow_redirects=True
    ) as client:
        assert client.get("http://example.org/first").status_code == 401
    assert server.uris == [None, "/first", None]


def test_an_asynchronous_client_signs_anew_too() -> None:
    server = DigestServer("/second")

    async def run() -> Response:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(server), auth=DigestAuth("jo", "pw"), follow_redirects=True
        ) as client:
            return await client.get("http://example.org/first")

    assert asyncio.run(run()).status_code == 200
    assert server.uris == [None, "/first", "/second"]


@pytest.mark.parametrize("target", [b"/other?x", "/other?x", b"http://example.org/whole"])
def test_digest_signs_the_target_that_is_sent(target: Union[str, bytes]) -> None:
    server = Server('Digest realm="r", nonce="n", qop="auth"', 200)
    with httpx.Client(transport=httpx.MockTransport(server), auth=DigestAuth("jo", "pw")) as client:
        client.get(URL, extensions={"target": target})
    params = server.digests[-1]
    assert params is not None
    assert params["uri"] == (target if isinstance(target, str) else target.decode())


def test_the_client_nonce_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of other packages do so, to compare with the examples of the RFC."""
    seen = []

    def fixed(self: DigestAuth, nonce_count: int, nonce: bytes) -> bytes:
        seen.append((nonce_count, nonce))
        return b"c0ffee"

    monkeypatch.setattr(DigestAuth, "_get_client_nonce", fixed)
    server = Server('Digest realm="r", nonce="n1", qop="auth"', 200)
    play_sync(DigestAuth("jo", "pw"), Request("GET", URL), server)
    assert 'cnonce="c0ffee"' in (server.authorizations[-1] or "")
    assert seen == [(1, b"n1")]


class Copying(Auth):
    """Signs a copy of the request, as some packages do."""

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        response = yield Request(request.method, request.url, headers={**request.headers, "Authorization": "x"})
        assert not response.is_stream_consumed


def test_the_response_to_a_copy_of_the_request_can_be_streamed() -> None:
    """`client.stream()` read the whole body before it gave out the response."""
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for number in range(3):
            read.append(number)
            yield b"x"

    with (
        httpx.Client(transport=httpx.MockTransport(lambda request: Response(200, content=body()))) as client,
        client.stream("GET", URL, auth=Copying()) as response,
    ):
        assert read == []
        assert next(response.iter_raw()) == b"x"
        assert read == [0]


def test_the_response_to_a_request_of_the_flows_own_is_read() -> None:
    class Fetching(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            response = yield Request("POST", "http://example.org/token")
            request.headers["Authorization"] = response.json()["token"]
            yield request

    def handle(request: Request) -> Response:
        if request.url.path == "/token":
            return Response(200, content=iter([b'{"token": ', b'"t"}']))
        return Response(200, text=request.headers["authorization"])

    with httpx.Client(transport=httpx.MockTransport(handle), auth=Fetching()) as client:
        assert client.get(URL).text == "t"


def test_an_explicit_authorization_header_beats_the_credentials_of_the_url() -> None:
    server = Server(200)
    with httpx.Client(transport=httpx.MockTransport(server)) as client:
        client.get("http://jo:pw@example.org/", headers={"Authorization": "Bearer t"})
        client.get("http://jo:pw@example.org/")
        client.get("http://jo:pw@example.org/", headers={"Authorization": "Bearer t"}, auth=("a", "b"))
    assert server.authorizations == ["Bearer t", "Basic am86cHc=", "Basic YTpi"]


class Silent(Auth):
    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        yield from ()


def test_an_auth_flow_that_yields_nothing_says_so() -> None:
    """It was "generator raised StopIteration"."""

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(Server(200)), auth=Silent()) as client:
            await client.get(URL)

    message = "the auth flow of Silent did not yield a request"
    client = httpx.Client(transport=httpx.MockTransport(Server(200)), auth=Silent())
    with client, pytest.raises(RuntimeError, match=message):
        client.get(URL)
    with pytest.raises(RuntimeError, match=message):
        asyncio.run(run())


def recipe(name: str) -> Any:
    """A class of docs/authentication.md, as a reader would paste it."""
    page = (Path(__file__).parent.parent / "docs" / "authentication.md").read_text("utf-8")
    (block,) = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if f"class {name}(" in each]
    names: dict[str, Any] = {"httpx": httpx}
    exec(block.partition("\nauth = ")[0], names)
    return names[name]


def token_step(conn: Conn) -> None:
    """Accepts the token "t1" only, which it gives out at /token."""
    head, _ = conn.read_request()
    if b" /token " in head:
        status, body = b"200 OK", b'{"access_token": "t1"}'
    elif b"Bearer t1" in head:
        status, body = b"200 OK", b"orders"
    else:
        status, body = b"401 Unauthorized", b"x" * 100_000
    conn.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


@pytest.mark.parametrize("connections", [1, 3])
def test_the_documented_refresh_works_with_fewer_connections_than_threads(connections: int) -> None:
    """Each waiting flow held an unread 401 and with it a connection: 15 of 20 requests were a PoolTimeout."""
    with ScriptedServer([repeat(token_step)]) as server:
        auth = recipe("OneRefresh")(f"{server.url}/token")
        limits = httpx.Limits(max_connections=connections)
        with httpx.Client(auth=auth, limits=limits, timeout=10) as client, ThreadPoolExecutor(20) as pool:
            responses = list(pool.map(lambda number: client.get(f"{server.url}/orders/{number}"), range(20)))
    assert [response.text for response in responses] == ["orders"] * 20
    assert b"".join(server.received).count(b" /token ") == 1


@pytest.mark.parametrize("connections", [1, 3])
def test_the_documented_refresh_works_with_fewer_connections_than_tasks(connections: int) -> None:
    with ScriptedServer([repeat(token_step)]) as server:

        async def run() -> list[str]:
            auth = recipe("OneRefresh")(f"{server.url}/token")
            limits = httpx.Limits(max_connections=connections)
            async with httpx.AsyncClient(auth=auth, limits=limits, timeout=10) as client:
                gets = [client.get(f"{server.url}/orders/{number}") for number in range(20)]
                return [response.text for response in await asyncio.gather(*gets)]

        assert asyncio.run(run()) == ["orders"] * 20
    assert b"".join(server.received).count(b" /token ") == 1
