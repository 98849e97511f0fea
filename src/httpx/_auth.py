"""
Who is asking: authentication as a conversation of requests and responses.

An `Auth` is a generator over one request's journey, `auth_flow`: it yields requests to send and is sent their
responses; the caller gets the response to what it yields last. Sync and async share it, and the two small drivers
beside it read bodies where a scheme wants to see them.

    request ──► auth_flow ──yield request──►  client sends
                    ▲                             │
                    └───────── response ──────────┘        until the flow returns

Schemes: Basic (RFC 7617), Bearer (RFC 6750), Digest (RFC 7616, and 2617 and 2069 for old servers), netrc files, and
plain functions. No secret is ever in the `repr` of an object here or in an error message.

Not here: taking credentials off a request that is redirected elsewhere (`_flow`), proxies (`_transports`).
"""

from __future__ import annotations

import binascii
import itertools
import os
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from ._exceptions import LocalProtocolError, ProtocolError
from ._forks import FORKS

if TYPE_CHECKING:
    from netrc import netrc

    from ._models import Request, Response

__all__ = ["Auth", "BasicAuth", "BearerAuth", "DigestAuth", "NetRCAuth"]


class Auth:
    """
    Base of all authentication schemes. Subclass it and write `auth_flow`, for sync and async clients alike:

        class TokenAuth(httpx.Auth):
            def __init__(self, token):
                self.token = token

            def auth_flow(self, request):
                response = yield request
                if response.status_code == 401:
                    answer = yield httpx.Request("POST", "https://id.example.org/token")
                    self.token = answer.json()["token"]
                    request.headers["Authorization"] = f"Bearer {self.token}"
                    yield request

    A flow that must do I/O of its own overrides `sync_auth_flow`, `async_auth_flow` or both instead.

    One object serves all requests of a client, from all its threads and tasks; each request has a flow of its own.
    """

    requires_request_body = False
    """Set it to have the whole body of the request read before the flow starts, so that `request.content` is there."""

    requires_response_body = False
    """
    Set it to have each response read before the flow gets it, so that `response.content` is there.

    The response to a request that the flow itself made is always read.
    """

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield requests to send; each `yield` gives the response. By default the request goes out as it is.

        Args:
            request: the caller's. It may be changed, and yielded several times.
        """
        yield request

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """`auth_flow`, with bodies read as it needs them. Override it for a flow that does blocking I/O of its own."""
        if self._needs_body(request, None):
            request.read()
        flow = self.auth_flow(request)
        outgoing = _advance(flow, None)
        while outgoing is not None:
            response = yield outgoing
            if self.requires_response_body or outgoing is not request:
                response.read()
            if self._needs_body(request, response):
                request.read()
            outgoing = _advance(flow, response)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """`auth_flow`, with bodies read as it needs them. Override it for a flow that awaits something of its own."""
        if self._needs_body(request, None):
            await request.aread()
        flow = self.auth_flow(request)
        outgoing = _advance(flow, None)
        while outgoing is not None:
            response = yield outgoing
            if self.requires_response_body or outgoing is not request:
                await response.aread()
            if self._needs_body(request, response):
                await request.aread()
            outgoing = _advance(flow, response)

    def _needs_body(self, request: Request, response: Optional[Response]) -> bool:
        """Whether the flow will look at `request.content` in its next step, to which it is sent `response`."""
        return self.requires_request_body


def _advance(flow: Generator[Request, Response, None], response: Optional[Response]) -> Optional[Request]:
    """The next request of `flow`, or `None` when it has ended. A flow is started with `None`, as generators are."""
    try:
        return flow.send(response)  # type: ignore[arg-type]  # the type cannot say that the first value is None
    except StopIteration:
        return None


class FunctionAuth(Auth):
    """
    A function that changes a request before it is sent; what `auth=function` becomes.

    Args:
        func: called with each request, returns it or another.
    """

    def __init__(self, func: Callable[[Request], Request]) -> None:
        self._func = func

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield what the function returns.

        Raises:
            TypeError: it returns `None`, usually for want of a `return`, or is an async function.
        """
        outgoing = self._func(request)
        _refuse_awaitable(outgoing, "the function given as auth is an async one: derive from httpx.Auth instead")
        if outgoing is None:
            raise TypeError("the function given as auth returned None, expected the request to send")
        yield outgoing

    # No driver: nobody looks at the response, so a request that the function made does not cost its response's stream.

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """The same as `auth_flow`."""
        yield from self.auth_flow(request)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """The same as `auth_flow`."""
        for outgoing in self.auth_flow(request):
            yield outgoing


def _refuse_awaitable(value: object, message: str) -> None:
    """Raise TypeError for what an async function returned, without the warning that nobody awaited it."""
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)  # of a coroutine; other awaitables have none
        if close is not None:
            close()
        raise TypeError(message)


def _to_bytes(name: str, text: Union[str, bytes]) -> bytes:
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError as exc:
            # Not `from exc`, which holds the whole text.
            raise ValueError(f"{name} holds a lone surrogate at position {exc.start}, which is no UTF-8") from None
    if isinstance(text, bytes):
        return text
    raise TypeError(f"{name} must be str or bytes, not {type(text).__name__}")


def _basic(username: Union[str, bytes], password: Union[str, bytes]) -> str:
    credentials = _to_bytes("username", username) + b":" + _to_bytes("password", password)
    return "Basic " + binascii.b2a_base64(credentials, newline=False).decode()


class BasicAuth(Auth):
    """
    User name and password, sent with each request, in effect in the clear: for https only.

    Args:
        username: text is encoded as UTF-8. Must not contain ":", which ends it for the server.
        password: text is encoded as UTF-8.

    Raises:
        TypeError: one of them is neither str nor bytes.
        ValueError: one of them is text that UTF-8 cannot hold.

    RFC 7617.
    """

    def __init__(self, username: Union[str, bytes], password: Union[str, bytes]) -> None:
        self._auth_header = _basic(username, password)

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with an Authorization header."""
        request.headers["Authorization"] = self._auth_header
        yield request


# What a token may consist of. The RFC allows fewer characters; what matters is that it stays within one field.
_is_token = re.compile(r"[\x21-\x7e]+").fullmatch
_not_in_token = re.compile(r"[^\x21-\x7e]").search


class BearerAuth(Auth):
    """
    A token, sent with each request.

        BearerAuth("t0k3n")
        BearerAuth(lambda: vault.read("token"))

    Args:
        token: the token, or a function that is called before each request and returns it, so that it may change. The
            function may be called from several threads at once. In an async client it may be an async one, and must
            not block.

    Raises:
        TypeError: it is neither str nor callable; when the request is sent, the function is an async one and the
            client is not.
        ValueError: it is empty, or contains a space, a newline or another character that a token cannot have. When
            the function returns such a token, the request fails with `LocalProtocolError`.

    RFC 6750, section 2.1.
    """

    def __init__(self, token: Union[str, Callable[[], Union[str, Awaitable[str]]]]) -> None:
        if not callable(token):
            problem = _token_problem(token)
            if problem:
                raise ValueError(problem)
        self._token = token

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with an Authorization header."""
        token = self._token() if callable(self._token) else self._token
        _refuse_awaitable(token, "the token's function is an async one, which only an async client can await")
        yield self._authorized(request, token)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """The same; the function of the token may be an async one."""
        token = self._token() if callable(self._token) else self._token
        yield self._authorized(request, await token if isinstance(token, Awaitable) else token)

    @staticmethod
    def _authorized(request: Request, token: object) -> Request:
        problem = _token_problem(token)
        if problem:
            raise LocalProtocolError(problem, request=request)
        request.headers["Authorization"] = f"Bearer {token}"
        return request


def _token_problem(token: object) -> str:
    """
    What is wrong with the characters of a token, without showing it; empty if nothing is.

    Raises:
        TypeError: it is no str.
    """
    if not isinstance(token, str):
        raise TypeError(f"a bearer token must be str, not {type(token).__name__}")
    if _is_token(token):
        return ""
    found = _not_in_token(token)
    if found is None:
        return "a bearer token must not be empty"
    # A newline at the end is what a token read from a file has; the one forbidden character is no secret.
    return f"a bearer token must not contain {found.group()!r} (position {found.start()} of {len(token)})"


class NetRCAuth(Auth):
    """
    User names and passwords from a netrc file, looked up by the host of each request and sent as Basic does.

    Args:
        file: its path. Default: `.netrc` in the home directory; the variable NETRC is not looked at.

    Hosts that the file does not name get the `default` entry, or else no Authorization header. The file is read once.

    Raises:
        OSError: the file cannot be read (`FileNotFoundError` if it is missing).
        netrc.NetrcParseError: it is no netrc file, or, the default one, readable by others.
    """

    def __init__(self, file: Optional[str] = None) -> None:
        import netrc

        try:
            self._netrc_info: netrc.netrc = netrc.netrc(file)
        except netrc.NetrcParseError as exc:
            # Most messages show the word that the parser stumbled over, which is a password as likely as not. Those
            # about who may read the file begin with its name.
            reason = exc.msg if exc.msg.startswith("~/.netrc") else "no netrc file"
            raise netrc.NetrcParseError(reason, exc.filename, exc.lineno) from None
        except UnicodeDecodeError:  # which would hold the whole file
            raise netrc.NetrcParseError("no netrc file, it is not text", file) from None

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request, with an Authorization header if the file has one for its host."""
        found = self._netrc_info.authenticators(request.url.host)
        if found is not None and found[2]:
            request.headers["Authorization"] = _basic(found[0], found[2])
        yield request


# Challenges: what a 401 asks for.


class Challenge(NamedTuple):
    """One challenge of a WWW-Authenticate field; text has one character for each byte."""

    scheme: str
    """In lower case."""

    token68: Optional[str]
    """The one value that some schemes (Negotiate, NTLM) send instead of parameters."""

    params: dict[str, str]
    """Names in lower case; quotes and backslashes of quoted values are removed."""


# RFC 9110, 11.2 and 11.6.1. Each pattern is linear: no two parts next to each other match the same character, but for
# the unquoted value, which begins where "=" and spaces end. That one is wider than a token, for old servers which send
# `domain=/` or an unquoted Base64 nonce.
_skip_commas = re.compile(r"[ \t,]*").match
_match_scheme = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]+|(?=,)|\Z)").match
_match_token68 = re.compile(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?:,|\Z)").match
_match_param = re.compile(
    r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+) [ \t]* = [ \t]*
    (?: "((?:[^"\\]|\\.)*)" | ([^\x00-\x20\x7f",]+) )
    [ \t]* (?:,|\Z)""",
    re.VERBOSE | re.DOTALL,
).match
_unescape = re.compile(r"\\(.)", re.DOTALL).sub


def parse_challenges(field: str) -> list[Challenge]:
    """
    The challenges of one WWW-Authenticate field, in their order.

    Empty list elements are skipped, as everywhere in HTTP.

    Args:
        field: the value, decoded so that each byte is a character (ISO 8859-1).

    Raises:
        ValueError: it does not follow the grammar, or gives a parameter twice with different values; nothing else.

    RFC 9110, sections 5.6.1 and 11.6.1.
    """
    challenges: list[Challenge] = []
    position = _end(_skip_commas(field))
    while position < len(field):
        param = _match_param(field, position)
        if param and challenges and challenges[-1].token68 is None:
            name, quoted, plain = param.groups()
            value = plain if quoted is None else _unescape(r"\1", quoted)
            if challenges[-1].params.setdefault(name.lower(), value) != value:
                raise ValueError(f"parameter {name[:20]!r} is given twice")
            position = param.end()
        else:
            challenge, position = _begin_challenge(field, position)
            challenges.append(challenge)
        position = _end(_skip_commas(field, position))
    return challenges


def _begin_challenge(field: str, position: int) -> tuple[Challenge, int]:
    """The challenge that begins at `position`, with what can only follow its scheme, and where that ends."""
    scheme = _match_scheme(field, position)
    if scheme:
        name, after = scheme[1].lower(), scheme.end()
        if field[after : after + 1] in ("", ","):
            return Challenge(name, None, {}), after
        token68 = _match_token68(field, after)
        if token68:
            return Challenge(name, token68[1], {}), token68.end()
        if _match_param(field, after):
            return Challenge(name, None, {}), after
        position = after
    raise ValueError(f"{field[position : position + 20]!r} is neither a scheme nor a parameter")


def _end(match: Any) -> int:
    return match.end()  # type: ignore[no-any-return]  # a match of a pattern that matches everywhere


# Digest.

# Name in a challenge -> name in hashlib. SHA and SHA-512 are in no RFC, but 0.28.1 knew them. A build of Python may
# lack some.
_HASHES = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}


class _DigestChallenge(NamedTuple):
    """A Digest challenge that we understand, ready to be answered. Text has one character for each byte."""

    realm: str
    nonce: str
    algorithm: str  # as the server wrote it, which is how it is sent back
    hash_name: str  # for hashlib
    session: bool  # a -sess form: the key is made once, with the first nonces
    qop: str  # "auth", "auth-int", or "" for a server of RFC 2069
    opaque: Optional[str]
    stale: bool
    userhash: bool


class _NotUnderstood(ValueError):
    """A Digest challenge that we cannot answer; the message says why."""


def _understand(params: dict[str, str]) -> _DigestChallenge:
    """
    The challenge with these parameters.

    Raises:
        _NotUnderstood: realm or nonce is missing, or the algorithm or every qop is unknown.
    """
    for name in ("realm", "nonce"):
        if name not in params:
            raise _NotUnderstood(f"it has no {name}")
    algorithm = params.get("algorithm", "MD5")
    base, session = algorithm.upper(), False
    if base.endswith("-SESS"):
        base, session = base[:-5], True
    hash_name = _HASHES.get(base, "")
    if not _has_hash(hash_name):
        raise _NotUnderstood(f"its algorithm {algorithm[:20]!r} is not supported")
    return _DigestChallenge(
        realm=params["realm"],
        nonce=params["nonce"],
        algorithm=algorithm,
        hash_name=hash_name,
        session=session,
        qop=_choose_qop(params.get("qop")),
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
        userhash=params.get("userhash", "").lower() == "true",
    )


def _choose_qop(offered: Optional[str]) -> str:
    """`auth` if it is offered, else `auth-int`, which protects the body too but has to have it in memory."""
    if offered is None:
        return ""
    offers = [offer.strip().lower() for offer in offered.split(",")]
    for qop in ("auth", "auth-int"):
        if qop in offers:
            return qop
    raise _NotUnderstood(f"its qop {offered[:20]!r} is not supported")


def _has_hash(name: str) -> bool:
    import hashlib

    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:
        return False
    return True


def _choose_challenge(response: Response) -> Optional[_DigestChallenge]:
    """
    The first Digest challenge in `response` that we understand, or `None` if there is no Digest challenge at all.

    The first, not the strongest: servers list them in the order that they prefer, and the client should follow it
    (RFC 7616, section 3.7). Who could put a weak one in front could also take the strong ones away.

    Raises:
        ValueError: there are Digest challenges and we understand none; the message is about the first.
    """
    problem: Optional[ValueError] = None
    for line in response.headers._get_all(b"www-authenticate"):
        field = line.decode("latin-1")
        try:
            challenges = parse_challenges(field)
        except ValueError as exc:
            # One malformed line does not spoil the others, and is no concern of ours if it is about another scheme.
            if _mentions_digest(field):
                problem = problem or exc
            continue
        for challenge in challenges:
            # Without parameters it is the announcement of a scheme, not a challenge.
            if challenge.scheme == "digest" and challenge.params:
                try:
                    return _understand(challenge.params)
                except _NotUnderstood as exc:
                    problem = problem or exc
    if problem is not None:
        raise problem
    return None


_mentions_digest = re.compile(r"(?:^|,)[ \t]*digest[ \t]", re.IGNORECASE).search


class _DigestSession:
    """
    A challenge and how often it was answered: what makes the next request's header without asking again.

    Several threads may use one; each gets a number of its own, in which they need not arrive.
    """

    def __init__(self, challenge: _DigestChallenge) -> None:
        self.challenge = challenge
        # In a -sess form the first client nonce is part of the key (RFC 7616, section 3.4.2). Servers disagree on
        # whether later requests may have another one, so there are no others.
        self._cnonce = _new_cnonce() if challenge.session else None
        self._counts = itertools.count(1)  # `next` of it is one step, so threads need no lock

    def authorize(self, request: Request, username: bytes, password: bytes) -> str:
        """Put an Authorization header on `request`; returns the nonce that it answers."""
        count = next(self._counts)
        challenge = self.challenge
        # Assigned as bytes: a realm need not be text in any encoding.
        request.headers["Authorization"] = digest_authorization(
            challenge,
            username=username,
            password=password,
            method=request.method.encode(),
            uri=request.url.raw_path,
            body=request.content if challenge.qop == "auth-int" else b"",
            cnonce=self._cnonce or _new_cnonce(),
            count=count,
        )
        return challenge.nonce


def _new_cnonce() -> bytes:
    return os.urandom(16).hex().encode()


def digest_authorization(
    challenge: _DigestChallenge,
    *,
    username: bytes,
    password: bytes,
    method: bytes,
    uri: bytes,
    body: bytes,
    cnonce: bytes,
    count: int,
) -> bytes:
    """
    The value of the Authorization field that answers `challenge`.

    Args:
        uri: the request target, as sent.
        body: the whole body; matters for the qop "auth-int" only.
        cnonce: the client's nonce.
        count: how many requests have answered this nonce, this one included.

    RFC 7616, section 3.4; 3.4.1 to 3.4.4 say what is hashed. Whether the backslashes of a quoted value are part of that
    is open there; as in most clients, they are not.
    """
    import hashlib

    def digest(*parts: bytes) -> bytes:
        # Not for security, as far as Python is concerned: a FIPS build would refuse MD5, which the server chose.
        return hashlib.new(challenge.hash_name, b":".join(parts), usedforsecurity=False).hexdigest().encode()

    realm, nonce = challenge.realm.encode("latin-1"), challenge.nonce.encode("latin-1")
    qop = challenge.qop.encode()
    secret = digest(username, realm, password)
    if challenge.session:
        secret = digest(secret, nonce, cnonce)
    what = digest(method, uri, digest(body)) if qop == b"auth-int" else digest(method, uri)
    nc = b"%08x" % count
    proof = digest(secret, nonce, nc, cnonce, qop, what) if qop else digest(secret, nonce, what)

    fields = {
        **_user_field(challenge, username, digest),
        b"realm": _quote(realm),
        b"nonce": _quote(nonce),
        b"uri": _quote(uri),
        b"response": _quote(proof),
        b"algorithm": challenge.algorithm.encode("latin-1"),
    }
    if challenge.opaque is not None:
        fields[b"opaque"] = _quote(challenge.opaque.encode("latin-1"))
    if qop:
        fields.update({b"qop": qop, b"nc": nc})
    if qop or challenge.session:
        fields[b"cnonce"] = _quote(cnonce)
    if challenge.userhash:
        fields[b"userhash"] = b"true"
    return b"Digest " + b", ".join([name + b"=" + value for name, value in fields.items()])


def _quote(value: bytes) -> bytes:
    """`value` as a quoted-string (RFC 9110, section 5.6.4)."""
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


_is_quotable = re.compile(rb"[\x20-\x7e]*").fullmatch


def _user_field(challenge: _DigestChallenge, username: bytes, digest: Callable[..., bytes]) -> dict[bytes, bytes]:
    """The parameter that says who asks: hashed, quoted, or, if it is more than printable ASCII, as RFC 8187 says."""
    if challenge.userhash:
        return {b"username": _quote(digest(username, challenge.realm.encode("latin-1")))}
    if _is_quotable(username):
        return {b"username": _quote(username)}
    from urllib.parse import quote_from_bytes

    return {b"username*": b"UTF-8''" + quote_from_bytes(username, safe="!#$&+-.^_`|~").encode()}


_Origin = tuple[str, str, Optional[int]]

# Origins whose nonces are remembered, the newest.
_MAX_ORIGINS = 128

# How many challenges one request answers: the first, and twice a new nonce because the last one was stale. A server
# that calls every nonce stale gets no more.
_MAX_ANSWERS = 3


class DigestAuth(Auth):
    """
    User name and password, of which only a hash is sent, that answers a challenge of the server.

    The first request to an origin goes out without, and is sent again when it is challenged. Later ones answer the
    same challenge in advance, for as long as the server accepts it; a new nonce in `Authentication-Info` is used.

    Understood are MD5, SHA-256, SHA-512-256 (also SHA and SHA-512), their -sess forms, the qop auth and auth-int,
    userhash, and servers without qop. Of several challenges, in one field or in many, the first that is understood
    is answered. With auth-int the body is read into memory. The server's own proof (`rspauth`) is not checked.

    Args:
        username: text is encoded as UTF-8.
        password: text is encoded as UTF-8.

    Raises:
        TypeError: one of them is neither str nor bytes. The request fails with `ProtocolError` when there are Digest
            challenges and all are malformed, or ask for an algorithm or qop that is not supported.

    RFC 7616.
    """

    def __init__(self, username: Union[str, bytes], password: Union[str, bytes]) -> None:
        self._username = _to_bytes("username", username)
        self._password = _to_bytes("password", password)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Know no nonce: at first, and in a copy, also that of a forked child, which would count for itself."""
        self._sessions: dict[_Origin, _DigestSession] = {}
        self._storing = threading.Lock()
        FORKS.renew(self, "_sessions", dict)
        FORKS.renew(self, "_storing", threading.Lock)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_sessions"], state["_storing"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_anew()

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield the request, and again for each challenge that it has to answer.

        Raises:
            ProtocolError: no Digest challenge of a 401 is understood.
        """
        origin = _origin(request)
        session = self._sessions.get(origin)
        if session is not None:
            session.authorize(request, self._username, self._password)
        answered: Optional[str] = None  # the nonce of the last challenge that this flow answered
        for _ in range(_MAX_ANSWERS):
            response = yield request
            challenge = self._challenge(request, response)
            # The same credentials a second time only if it was the nonce, not they, that was refused.
            if challenge is None or (answered is not None and not (challenge.stale and challenge.nonce != answered)):
                break
            session = self._remember(origin, challenge)
            answered = session.authorize(request, self._username, self._password)
            _add_cookies(request, response)
        else:
            response = yield request
        if session is not None:
            self._follow_nonce(origin, session, response)

    def _needs_body(self, request: Request, response: Optional[Response]) -> bool:
        if self.requires_request_body:
            return True
        if response is None:
            session = self._sessions.get(_origin(request))
            return session is not None and session.challenge.qop == "auth-int"
        challenge = self._challenge(request, response)
        return challenge is not None and challenge.qop == "auth-int"

    def _challenge(self, request: Request, response: Response) -> Optional[_DigestChallenge]:
        if response.status_code != 401:
            return None
        try:
            return _choose_challenge(response)
        except ValueError as exc:
            raise ProtocolError(f"no usable digest challenge in WWW-Authenticate: {exc}", request=request) from None

    def _remember(self, origin: _Origin, challenge: _DigestChallenge) -> _DigestSession:
        session = _DigestSession(challenge)
        with self._storing:
            self._sessions.pop(origin, None)
            while len(self._sessions) >= _MAX_ORIGINS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[origin] = session
        return session

    def _follow_nonce(self, origin: _Origin, session: _DigestSession, response: Response) -> None:
        """Answer the nonce that the server wants to see next (RFC 7616, section 3.5); what is malformed is ignored."""
        field = response.headers._get(b"authentication-info")
        if field is None:
            return
        try:
            # The same parameters, only without a scheme in front.
            (info,) = parse_challenges("Digest " + field.decode("latin-1"))
        except ValueError:
            return
        nonce = info.params.get("nextnonce")
        if nonce and nonce != session.challenge.nonce:
            self._remember(origin, session.challenge._replace(nonce=nonce))


def _origin(request: Request) -> _Origin:
    url = request.url
    return url.scheme, url.host, url.port


def _add_cookies(request: Request, response: Response) -> None:
    """
    Send the cookies that came with the challenge back with the answer: some servers keep the nonce in a session.

    The caller's own stay, unless one has the same name.
    """
    if not response.headers._has(b"set-cookie"):
        return
    before = request.headers._get(b"cookie") or b""
    request.headers.pop("cookie", None)
    response.cookies.set_cookie_header(request)
    added = request.headers._get(b"cookie") or b""
    names = {pair.partition(b"=")[0].strip() for pair in added.split(b";")}
    kept = [pair.strip() for pair in before.split(b";") if pair.partition(b"=")[0].strip() not in names]
    everything = b"; ".join([pair for pair in [*kept, added] if pair])
    if everything:
        request.headers["Cookie"] = everything
