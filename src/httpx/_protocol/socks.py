"""
The client's side of the handshake with a SOCKS proxy, as a pure machine.

    socks5, socks5h   RFC 1928, user name and password by RFC 1929; the proxy resolves names in both, as in 0.28.1
    socks4a           the proxy resolves names
    socks4            wants an IPv4 address, so the shell resolves the name first

    AWAIT_METHOD ──user name and password──► AWAIT_LOGIN ──accepted──┐
      └────────────no authentication──────────────────────────► AWAIT_REPLY ──succeeded──► TUNNEL   socks5, socks5h
                                                              AWAIT_REPLY_4 ──granted────► TUNNEL   socks4, socks4a
    any ──refused, malformed, ended, too early──► NO_TUNNEL

A shell pumps until the tunnel is established. What the proxy sent after the handshake belongs to the tunnel; it is in
`surplus`:

    while not handshake.done:
        wire.send(handshake.take())
        handshake.receive(wire.receive())
        if handshake.error is not None:
            raise handshake.error

The proxy speaks only in reply: bytes that arrive before the request has been taken are an error, so a finished
handshake never leaves anything to send.

Not here: resolving names, sockets, time (`_engine`); the URL of the proxy (`_config.Proxy`).
"""

from __future__ import annotations

import re

from .._exceptions import LocalProtocolError, ProxyError

VERSIONS = ("socks5", "socks5h", "socks4", "socks4a")

# States.
AWAIT_METHOD, AWAIT_LOGIN, AWAIT_REPLY, AWAIT_REPLY_4, TUNNEL, NO_TUNNEL = range(6)

# State -> what the proxy is doing in it, for messages.
_STEPS = {
    AWAIT_METHOD: "choosing an authentication method",
    AWAIT_LOGIN: "checking user name and password",
    AWAIT_REPLY: "connecting",
    AWAIT_REPLY_4: "connecting",
}

_NO_AUTHENTICATION, _PASSWORD, _NONE_ACCEPTABLE = 0, 2, 255
_IPV4, _NAME, _IPV6 = 1, 3, 4

# A length is one byte in SOCKS 5 (RFC 1928 section 5, RFC 1929 section 2). SOCKS 4 sets no bound, but no proxy has a
# larger buffer.
_MAX_FIELD = 255

# RFC 1928 section 6.
_REPLIES = {
    1: "general failure of the proxy",
    2: "connection not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
}
# The memo on SOCKS 4 by Ying-Da Lee.
_GRANTED = 90
_REPLIES_4 = {
    91: "rejected or failed",
    92: "rejected, the proxy cannot reach the ident service of this machine",
    93: "rejected, the ident service of this machine names another user",
}

_IPV4_SHAPE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_NOT_IN_HOST = re.compile(r"[^\x21-\x7e]")


class SocksHandshake:
    """
    One handshake: bytes to send from `take`, bytes that arrived to `receive`, until `done` or `error`.

    Args:
        version: "socks5", "socks5h", "socks4" or "socks4a".
        host: where the tunnel ends: an ASCII name of at most 255 bytes, or an address without brackets. For "socks4"
            an IPv4 address.
        port: 1 to 65535.
        username: None for no authentication; for SOCKS 4 the user id, None or b"" for an empty one. With a user name
            SOCKS 5 offers no other method, as in 0.28.1: a proxy that also admits unknown users could otherwise choose
            to treat a known user as one of them.
        password: None is an empty one.

    Attributes:
        done: the tunnel is established.
        surplus: what arrived after the handshake; it belongs to the tunnel. What `receive` gets later is appended.
        error: why there is no tunnel, as a `ProxyError` that names the step and the proxy's reply in words, but never
            the password. None without a fault.

    Raises:
        LocalProtocolError: host, port, user name or password cannot be expressed in this version.
        ValueError: there is no such version.
    """

    __slots__ = ("_arrived", "_login", "_outgoing", "_request", "_state", "_target", "_version", "error")

    def __init__(
        self, version: str, host: str, port: int, username: bytes | None = None, password: bytes | None = None
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"unknown version {version[:20]!r}, expected one of {', '.join(VERSIONS)}")
        _check_target(host, port)
        self._version = version
        self._target = f"{host!r}, port {port}"
        self._arrived = bytearray()
        self.error: ProxyError | None = None
        self._login = b""
        if version in ("socks4", "socks4a"):
            self._request = _request_4(version, host, port, username or b"", password or b"")
            self._state, self._outgoing = AWAIT_REPLY_4, self._request
        else:
            self._login = _login(username, password)
            self._request = b"\x05\x01\x00" + _address_5(host) + port.to_bytes(2, "big")
            method = _PASSWORD if self._login else _NO_AUTHENTICATION
            self._state, self._outgoing = AWAIT_METHOD, bytes((5, 1, method))

    @property
    def step(self) -> str:
        """The name of the step in a trace, without the letter that says which side resolves names."""
        return f"socks.setup_{self._version[:6]}_connection"

    @property
    def done(self) -> bool:
        """Is the tunnel established?"""
        return self._state == TUNNEL

    @property
    def surplus(self) -> bytes:
        """What arrived after the handshake."""
        return bytes(self._arrived) if self._state == TUNNEL else b""

    def take(self) -> bytes:
        """Remove and return what should be sent now; b"" while the proxy's reply is awaited, and at the end."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def receive(self, data: bytes) -> None:
        """
        Take bytes that arrived from the proxy; any split is allowed, and the outcome does not depend on it.

        Never raises: what the proxy did wrong sets `error`, and what arrives after that is dropped.

        Args:
            data: 1 to any number of bytes; b"" means that the proxy closed the connection.
        """
        if self._state != NO_TUNNEL:
            self._arrived += data
            if self._state == TUNNEL:
                return
            if data:
                self._advance()
            else:
                self._fail(f"it closed the connection after {len(self._arrived)} bytes of its reply")

    def _advance(self) -> None:
        """Read the replies that are complete."""
        while self._arrived and self._state < TUNNEL:
            if self._outgoing:
                self._fail("it sent bytes before the request")
                return
            size = _READERS[self._state](self)
            if not size:
                return
            del self._arrived[:size]

    def _request_next(self, state: int, request: bytes) -> None:
        self._state, self._outgoing = state, request

    def _fail(self, reason: str) -> int:
        """End without a tunnel. Return 0, so that the reader of a reply can return it."""
        step = _STEPS[self._state]
        self.error = ProxyError(f"{self._version} proxy made no tunnel to {self._target}, while {step}: {reason}")
        self._state, self._outgoing, self._login = NO_TUNNEL, b"", b""
        return 0

    # One reader for the reply in each state. It reads the bytes in their order, each no earlier than necessary, so that
    # the split does not matter. It returns the reply's size, or 0 while more is needed and after a failure.

    def _read_method(self) -> int:
        """VER METHOD (RFC 1928, section 3)."""
        arrived = self._arrived
        if arrived[0] != 5:
            return self._fail_version(5)
        if len(arrived) < 2:
            return 0
        method = arrived[1]
        if method == _NO_AUTHENTICATION and not self._login:
            self._request_next(AWAIT_REPLY, self._request)
        elif method == _PASSWORD and self._login:
            self._request_next(AWAIT_LOGIN, self._login)
        elif method == _NONE_ACCEPTABLE and self._login:
            return self._fail("it does not accept authentication by user name and password")
        elif method == _NONE_ACCEPTABLE:
            return self._fail("it requires authentication, but no user name was given")
        else:
            return self._fail(f"it chose method {method}, which was not offered")
        return 2

    def _read_login(self) -> int:
        """VER STATUS (RFC 1929, section 2)."""
        arrived = self._arrived
        if arrived[0] != 1:
            return self._fail_version(1)
        if len(arrived) < 2:
            return 0
        if arrived[1] != 0:
            return self._fail(f"it refused user name and password (status {arrived[1]})")
        self._login = b""
        self._request_next(AWAIT_REPLY, self._request)
        return 2

    def _read_reply(self) -> int:
        """VER REP RSV ATYP BND.ADDR BND.PORT (RFC 1928, section 6); the address that the proxy bound is not used."""
        arrived = self._arrived
        if arrived[0] != 5:
            return self._fail_version(5)
        # Before the rest is there: some proxies send no address with a refusal.
        if len(arrived) > 1 and arrived[1] != 0:
            return self._fail(
                f"{_REPLIES.get(arrived[1], 'a reply that RFC 1928 does not define')} (reply {arrived[1]})"
            )
        if len(arrived) > 2 and arrived[2] != 0:
            return self._fail(f"the reserved byte of its reply is {arrived[2]}, expected 0")
        if len(arrived) > 3 and arrived[3] not in (_IPV4, _NAME, _IPV6):
            return self._fail(f"its reply has the unknown address type {arrived[3]}")
        if len(arrived) < 5:
            return 0
        size = 6 + {_IPV4: 4, _IPV6: 16}.get(arrived[3], 1 + arrived[4])
        if len(arrived) < size:
            return 0
        self._state = TUNNEL
        return size

    def _read_reply_4(self) -> int:
        """VN CD DSTPORT DSTIP; VN is 0, and what follows CD has no meaning."""
        arrived = self._arrived
        if arrived[0] != 0:
            return self._fail_version(0)
        if len(arrived) > 1 and arrived[1] != _GRANTED:
            return self._fail(
                f"{_REPLIES_4.get(arrived[1], 'a reply that SOCKS 4 does not define')} (reply {arrived[1]})"
            )
        if len(arrived) < 8:
            return 0
        self._state = TUNNEL
        return 8

    def _fail_version(self, expected: int) -> int:
        found = self._arrived[0]
        hint = ", which looks like HTTP" if found == ord("H") else ""
        return self._fail(f"its reply starts with {found}{hint}, expected {expected}")


_READERS = {
    AWAIT_METHOD: SocksHandshake._read_method,
    AWAIT_LOGIN: SocksHandshake._read_login,
    AWAIT_REPLY: SocksHandshake._read_reply,
    AWAIT_REPLY_4: SocksHandshake._read_reply_4,
}


def _check_target(host: str, port: int) -> None:
    found = _NOT_IN_HOST.search(host)
    if found is not None:
        raise LocalProtocolError(f"host of a SOCKS request holds {found[0]!r} at position {found.start()}")
    if not 1 <= len(host) <= _MAX_FIELD:
        raise LocalProtocolError(f"host of a SOCKS request has {len(host)} bytes, expected 1 to {_MAX_FIELD}")
    if not 1 <= port <= 65535:
        raise LocalProtocolError(f"port of a SOCKS request is {port}, expected 1 to 65535")


def _packed(host: str) -> bytes:
    """Return the 4 or 16 bytes of an address; b"" for a name."""
    if ":" not in host and _IPV4_SHAPE.fullmatch(host) is None:
        return b""
    import ipaddress  # most hosts are names

    try:
        if "%" in host:  # a zone names an interface of this machine, which the proxy does not know
            raise ValueError(host)
        return ipaddress.ip_address(host).packed
    except ValueError:
        raise LocalProtocolError(f"host {host[:50]!r} of a SOCKS request is neither a name nor an address") from None


def _address_5(host: str) -> bytes:
    """ATYP and DST.ADDR (RFC 1928, section 5)."""
    packed = _packed(host)
    if packed:
        return bytes((_IPV4 if len(packed) == 4 else _IPV6,)) + packed
    return bytes((_NAME, len(host))) + host.encode("ascii")


def _login(username: bytes | None, password: bytes | None) -> bytes:
    """VER ULEN UNAME PLEN PASSWD (RFC 1929, section 2); b"" without authentication."""
    if username is None:
        if password:
            raise LocalProtocolError("a password for a SOCKS proxy needs a user name")
        return b""
    password = password or b""
    if not 1 <= len(username) <= _MAX_FIELD:
        raise LocalProtocolError(f"user name for a SOCKS proxy has {len(username)} bytes, expected 1 to {_MAX_FIELD}")
    # RFC 1929 requires at least one byte of the password, too, but 0.28.1, curl and the proxies accept an empty one.
    if len(password) > _MAX_FIELD:
        raise LocalProtocolError(f"password for a SOCKS proxy is longer than {_MAX_FIELD} bytes")
    return bytes((1, len(username))) + username + bytes((len(password),)) + password


def _request_4(version: str, host: str, port: int, user: bytes, password: bytes) -> bytes:
    """VN CD DSTPORT DSTIP USERID NUL, and in SOCKS 4a the name after an address that cannot exist."""
    if password:
        raise LocalProtocolError(f"{version} has no passwords, only a user id")
    if len(user) > _MAX_FIELD or b"\0" in user:
        raise LocalProtocolError(f"user id for a {version} proxy holds NUL, or more than {_MAX_FIELD} bytes")
    packed = _packed(host)
    if len(packed) == 16:
        raise LocalProtocolError(f"{version} cannot reach the IPv6 address {host!r}")
    if not packed and version == "socks4":
        raise LocalProtocolError(f"socks4 needs an IPv4 address, not the name {host[:50]!r}")
    if packed[:3] == b"\0\0\0" and packed[3]:
        # In 4a such an address means that a name follows: the proxy would wait for it for ever.
        raise LocalProtocolError(f"{version} cannot express the address {host!r}")
    name = b"" if packed else host.encode("ascii") + b"\0"
    return b"\x04\x01" + port.to_bytes(2, "big") + (packed or b"\0\0\0\1") + user + b"\0" + name
