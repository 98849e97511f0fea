"""
Digest authentication (RFC 7616, and 2617 and 2069 for old servers).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Generator
from contextlib import suppress
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


# Name in a challenge -> name in hashlib. SHA and SHA-512 are not in an RFC, but 0.28.1 supported them. A build of
# Python may lack some.
_HASHES = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}


class _DigestChallenge(NamedTuple):
    """A supported Digest challenge. Text has one character for each byte."""

    realm: str
    nonce: str
    algorithm: str  # as the server wrote it, and as it is sent back
    hash_name: str  # for hashlib
    session: bool  # a -sess form: the key is made once, with the first nonces
    qop: str  # "auth", "auth-int", or "" for a server of RFC 2069
    opaque: Optional[str]
    stale: bool
    userhash: bool


class _NotUnderstood(ValueError):
    """A Digest challenge that is not supported; the message says why."""


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
    """Return `auth` if it is offered, else `auth-int`, which protects the body too but needs it in memory."""
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
    Return the first supported Digest challenge in `response`, or `None` without any Digest challenge.

    The first, not the strongest: servers list them in their order of preference, which the client should follow
    (RFC 7616, section 3.7). An attacker who can put a weak one first can also remove the strong ones.

    Raises:
        ValueError: there are Digest challenges and none is supported; the message is about the first.
    """
    problem: Optional[ValueError] = None
    for line in response.headers._get_all(b"www-authenticate"):
        field = line.decode("latin-1")
        try:
            challenges = parse_challenges(field)
        except ValueError as exc:
            # A malformed line does not invalidate the others, and is ignored if it is about another scheme.
            if _DIGEST.search(field):
                problem = problem or exc
            continue
        for challenge in challenges:
            # Without parameters it announces a scheme, and is not a challenge.
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
    A challenge and the number of its uses, for the headers of later requests without a new challenge.

    Several threads may use one; each use gets its own number, and they may arrive in any order.
    """

    def __init__(self, challenge: _DigestChallenge, new_cnonce: Callable[[int, bytes], bytes]) -> None:
        self.challenge = challenge
        self._new_cnonce = new_cnonce
        # In a -sess form the first client nonce is part of the key (RFC 7616, section 3.4.2). Servers disagree on
        # whether later requests may have another one, so it stays the same.
        self._cnonce = new_cnonce(1, challenge.nonce.encode("latin-1")) if challenge.session else None
        self._counts = itertools.count(1)  # `next` is atomic, so threads need no lock

    def authorize(self, request: Request, username: bytes, password: bytes) -> str:
        """Put an Authorization header on `request`; returns the nonce that it uses."""
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
    Return the value of the Authorization field for `challenge`.

    Args:
        uri: the request target, as sent.
        body: the whole body; used for the qop "auth-int" only.
        cnonce: the client's nonce.
        count: the number of requests with this nonce, this one included.

    RFC 7616, section 3.4; 3.4.1 to 3.4.4 say what is hashed. They do not say whether the backslashes of a quoted value
    are included; as in most clients, they are not.
    """
    import hashlib

    def digest(*parts: bytes) -> bytes:
        # usedforsecurity=False, because a FIPS build would refuse MD5, which the server chose.
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
    """Return the parameter of the user name: hashed, quoted, or, if it is not printable ASCII, in RFC 8187's form."""
    if challenge.userhash:
        return {b"username": _quote(digest(username, challenge.realm.encode("latin-1")))}
    if _QUOTABLE.fullmatch(username):
        return {b"username": _quote(username)}
    from urllib.parse import quote_from_bytes

    return {b"username*": b"UTF-8''" + quote_from_bytes(username, safe="!#$&+-.^_`|~").encode()}


_Origin = tuple[str, str, Optional[int]]

# The number of origins whose nonces are remembered, the newest.
_MAX_ORIGINS = 128

# The number of challenges that are followed for one request: the first, and two new nonces after a stale one. This
# bounds a server that calls every nonce stale.
_MAX_CHALLENGES = 3


class DigestAuth(Auth):
    """
    A user name and password, sent only as a hash, after a challenge of the server.

    The first request to an origin is sent without, and again after a challenge. Later ones use the
    same challenge in advance, while the server accepts it; a new nonce in `Authentication-Info` is used.

    Supported are MD5, SHA-256, SHA-512-256 (also SHA and SHA-512), their -sess forms, the qop auth and auth-int,
    userhash, and servers without qop. Of several challenges, in one field or in many, the first supported one
    is used. With auth-int the body is read into memory. The server's own proof (`rspauth`) is not checked.

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
        """Forget all nonces: at first, and in a copy or a forked child, which would count separately."""
        self._sessions: dict[_Origin, _DigestSession] = {}
        FORKS.renew(self, "_sessions", dict)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_sessions"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_anew()

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """
        Yield the request, and again for each challenge.

        Raises:
            ProtocolError: none of the Digest challenges of a 401 is supported.
        """
        origin = _origin(request)
        session = self._sessions.get(origin)
        if session is not None:
            session.authorize(request, self._username, self._password)
        used: Optional[str] = None  # the nonce of the last challenge that this flow used
        for _ in range(_MAX_CHALLENGES):
            response = yield request
            challenge = self._challenge(request, response)
            # The same credentials a second time only if the nonce, not the credentials, was refused.
            if challenge is None or (used is not None and not (challenge.stale and challenge.nonce != used)):
                break
            session = self._remember(origin, challenge)
            used = session.authorize(request, self._username, self._password)
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
        session, sessions = _DigestSession(challenge, self._get_client_nonce), self._sessions
        # Without a lock, which an exception out of a signal handler could leave locked: each step is one call into C.
        sessions.pop(origin, None)
        with suppress(KeyError, StopIteration, RuntimeError):  # another thread does the same
            while len(sessions) >= _MAX_ORIGINS:
                del sessions[next(iter(sessions))]
        sessions[origin] = session
        return session

    def _follow_nonce(self, origin: _Origin, session: _DigestSession, response: Response) -> None:
        """Use the nonce of an Authentication-Info field next (RFC 7616, section 3.5); a malformed field is ignored."""
        field = response.headers._get(b"authentication-info")
        if field is None:
            return
        try:
            # The same parameters without a scheme before them.
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
    Send the challenge's cookies with the next request: some servers keep the nonce in a session.

    Those that the client has stored: not with `cookies=False`, nor if the user's policy refuses them. The caller's
    cookies stay, unless one has the same name.
    """
    if not response.headers._has(b"set-cookie"):
        return
    before = request.headers._get(b"cookie") or b""
    request.headers.pop("cookie", None)
    stored = response.cookies if request._client_cookies is None else request._client_cookies
    added = stored._line_of(response, request.url)
    names = {pair.partition(b"=")[0].strip() for pair in added.split(b";")}
    kept = [pair.strip() for pair in before.split(b";") if pair.partition(b"=")[0].strip() not in names]
    everything = b"; ".join([pair for pair in [*kept, added] if pair])
    if everything:
        request.headers["Cookie"] = everything
