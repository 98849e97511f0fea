"""
Digest authentication (RFC 7616, and 2617 and 2069 for old servers).
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from .._exceptions import ProtocolError
from .._forks import FORKS
from .._utils import lazy_pattern
from .base import Auth
from .basic import to_bytes
from .challenges import parse_challenges

if TYPE_CHECKING:
    from .._request import Request
    from .._response import Response


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
    Return the challenge with these parameters.

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
    Return the first Digest challenge in `response` that we understand, or `None` if there is no Digest challenge at all.

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
            if _DIGEST.search(field):
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


_DIGEST = lazy_pattern(r"(?:^|,)[ \t]*digest[ \t]", re.IGNORECASE)


class _DigestSession:
    """
    A challenge and how often it was answered: what makes the next request's header without asking again.

    Several threads may use one; each gets a number of its own, in which they need not arrive.
    """

    def __init__(self, challenge: _DigestChallenge, new_cnonce: Callable[[int, bytes], bytes]) -> None:
        self.challenge = challenge
        self._new_cnonce = new_cnonce
        # In a -sess form the first client nonce is part of the key (RFC 7616, section 3.4.2). Servers disagree on
        # whether later requests may have another one, so there are no others.
        self._cnonce = new_cnonce(1, challenge.nonce.encode("latin-1")) if challenge.session else None
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
            uri=_target_of(request),
            body=request.content if challenge.qop == "auth-int" else b"",
            cnonce=self._cnonce or self._new_cnonce(count, challenge.nonce.encode("latin-1")),
            count=count,
        )
        return challenge.nonce


def _target_of(request: Request) -> bytes:
    """Return the request target as it is sent: the extension "target" replaces that of the URL."""
    target = request.extensions.get("target", request.url.raw_path)
    return target.encode() if isinstance(target, str) else bytes(target)


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
    Return the value of the Authorization field that answers `challenge`.

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
    """Return `value` as a quoted-string (RFC 9110, section 5.6.4)."""
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


_QUOTABLE = lazy_pattern(rb"[\x20-\x7e]*")


def _user_field(challenge: _DigestChallenge, username: bytes, digest: Callable[..., bytes]) -> dict[bytes, bytes]:
    """Return the parameter that says who asks: hashed, quoted, or, if it is more than printable ASCII, as RFC 8187 says."""
    if challenge.userhash:
        return {b"username": _quote(digest(username, challenge.realm.encode("latin-1")))}
    if _QUOTABLE.fullmatch(username):
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

    _signs_target = True

    def __init__(self, username: Union[str, bytes], password: Union[str, bytes]) -> None:
        self._username = to_bytes("username", username)
        self._password = to_bytes("password", password)
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

    def _get_client_nonce(self, nonce_count: int, nonce: bytes) -> bytes:
        """Return a new client nonce. Tests of other packages replace this, as in 0.28.1."""
        return os.urandom(16).hex().encode()

    def _remember(self, origin: _Origin, challenge: _DigestChallenge) -> _DigestSession:
        session = _DigestSession(challenge, self._get_client_nonce)
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
