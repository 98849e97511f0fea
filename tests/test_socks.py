"""The handshake with a SOCKS proxy, against a small model of one: every split, every state with every event."""

from __future__ import annotations

import ipaddress
import itertools
from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._exceptions import LocalProtocolError, ProxyError
from httpx._protocol.socks import VERSIONS, SocksHandshake
from support.linear import linear
from support.wires import cut_at

SECRET = b"hunter2"
# What the proxy says when all goes well, by what it answers.
METHOD_NONE, METHOD_LOGIN, LOGIN_OK = b"\5\0", b"\5\2", b"\1\0"
REPLY_OK = b"\5\0\0\1\x7f\0\0\1\4\xd2"
REPLY_OK_4 = b"\0\x5a\4\xd2\x7f\0\0\1"


class Proxy:
    """
    The other side, written from the specifications and apart from what it tests: it reads questions out of a stream,
    asserts that they are legal, and gives its answers one by one.
    """

    def __init__(self, answers: Optional[dict[str, bytes]] = None) -> None:
        self.answers = answers or {}
        self.arrived = b""
        self.step = "start"
        self.target: Optional[tuple[str, int]] = None
        self.login: Optional[tuple[bytes, bytes]] = None
        self.user_id: Optional[bytes] = None

    def talk(self, data: bytes) -> bytes:
        self.arrived += data
        if self.step == "start":
            self.step = "greeting" if self.arrived[0] == 5 else "request4"
        answer: bytes = getattr(self, self.step)()
        assert self.arrived == b"", "one question at a time, and no byte more"
        return answer

    def read(self, size: int) -> bytes:
        piece, self.arrived = self.arrived[:size], self.arrived[size:]
        assert len(piece) == size, "each question is sent whole"
        return piece

    def greeting(self) -> bytes:
        version, count = self.read(2)
        methods = self.read(count)
        assert version == 5
        assert set(methods) <= {0, 2}
        self.step = "password" if 2 in methods else "request"
        return self.answers.get("method", bytes([5, methods[0]]))

    def password(self) -> bytes:
        version, length = self.read(2)
        username = self.read(length)
        self.login = (username, self.read(self.read(1)[0]))
        assert version == 1
        self.step = "request"
        return self.answers.get("login", LOGIN_OK)

    def request(self) -> bytes:
        assert self.read(3) == b"\5\1\0"
        kind = self.read(1)[0]
        if kind == 3:
            host = self.read(self.read(1)[0]).decode("ascii")
        else:
            host = str(ipaddress.ip_address(self.read({1: 4, 4: 16}[kind])))
        self.target = (host, int.from_bytes(self.read(2), "big"))
        self.step = "tunnel"
        return self.answers.get("reply", REPLY_OK)

    def request4(self) -> bytes:
        assert self.read(2) == b"\4\1"
        port = int.from_bytes(self.read(2), "big")
        address = self.read(4)
        self.user_id, _, rest = self.arrived.partition(b"\0")
        host = str(ipaddress.ip_address(address))
        if address[:3] == b"\0\0\0" and address[3] != 0:
            name, end, rest = rest.partition(b"\0")
            assert end == b"\0"
            host = name.decode("ascii")
        self.arrived = rest
        self.target = (host, port)
        self.step = "tunnel"
        return self.answers.get("reply", REPLY_OK_4)


def converse(handshake: SocksHandshake, proxy: Proxy, cut=lambda data: [data], behind: bytes = b"") -> None:
    """Carry bytes until one of them is content; `behind` comes with the last answer."""
    while not handshake.done and handshake.error is None:
        question = handshake.take()
        assert question, "nothing to send, nothing arrived: the handshake hangs"
        answer = proxy.talk(question)
        for piece in cut(answer + (behind if proxy.step == "tunnel" else b"")):
            handshake.receive(piece)
    assert handshake.take() == b""


def handshake_for(kind: str = "socks5") -> SocksHandshake:
    """`kind` is a version, or `login` for socks5 with a password."""
    if kind == "login":
        return SocksHandshake("socks5", "a.org", 443, b"user", SECRET)
    return SocksHandshake(kind, "10.1.2.3" if kind == "socks4" else "a.org", 443)


KINDS = (*VERSIONS, "login")


# What goes well.


@pytest.mark.parametrize("version", ["socks5", "socks5h"])
def test_the_bytes_of_socks_5_are_those_of_the_rfc(version: str):
    handshake = SocksHandshake(version, "a.org", 443)
    assert handshake.take() == b"\x05\x01\x00"
    handshake.receive(METHOD_NONE)
    assert handshake.take() == b"\x05\x01\x00\x03\x05a.org\x01\xbb"
    assert not handshake.done
    handshake.receive(REPLY_OK)
    assert handshake.done
    assert (handshake.error, handshake.surplus, handshake.take()) == (None, b"", b"")


def test_the_bytes_with_user_name_and_password_are_those_of_the_rfc_and_of_0_28_1():
    handshake = SocksHandshake("socks5", "1.2.3.4", 81, b"user", b"pass")
    assert handshake.take() == b"\x05\x01\x02"
    handshake.receive(METHOD_LOGIN)
    assert handshake.take() == b"\x01\x04user\x04pass"
    handshake.receive(LOGIN_OK)
    assert handshake.take() == b"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x51"
    handshake.receive(REPLY_OK)
    assert handshake.done


@pytest.mark.parametrize(
    ("version", "host", "user", "expected"),
    [
        ("socks4", "66.102.7.99", b"Fred", b"\x04\x01\x00\x50\x42\x66\x07\x63Fred\x00"),
        ("socks4", "66.102.7.99", None, b"\x04\x01\x00\x50\x42\x66\x07\x63\x00"),
        ("socks4a", "66.102.7.99", b"", b"\x04\x01\x00\x50\x42\x66\x07\x63\x00"),
        ("socks4a", "a.org", b"Fred", b"\x04\x01\x00\x50\x00\x00\x00\x01Fred\x00a.org\x00"),
        ("socks4", "0.0.0.0", b"", b"\x04\x01\x00\x50\x00\x00\x00\x00\x00"),
    ],
)
def test_the_bytes_of_socks_4(version: str, host: str, user: Optional[bytes], expected: bytes):
    handshake = SocksHandshake(version, host, 80, user, b"" if user == b"Fred" else None)
    assert handshake.take() == expected
    handshake.receive(REPLY_OK_4)
    assert handshake.done


@pytest.mark.parametrize("kind", KINDS)
def test_every_version_reaches_its_target_in_every_split(kind: str, cut):
    handshake, proxy = handshake_for(kind), Proxy()
    converse(handshake, proxy, cut, behind=b"\x16\x03\x03 hello")
    assert handshake.done
    assert handshake.error is None
    assert handshake.surplus == b"\x16\x03\x03 hello"
    assert proxy.target == ("10.1.2.3" if kind == "socks4" else "a.org", 443)
    assert proxy.login == ((b"user", SECRET) if kind == "login" else None)


@pytest.mark.parametrize("host", ["a.org", "a" * 255, "1.2.3.4", "::1", "2001:db8::8", "127.1", "1.2.3.4.", "a_b"])
def test_names_go_as_names_and_addresses_as_addresses(host: str):
    proxy = Proxy()
    converse(SocksHandshake("socks5", host, 65535), proxy)
    assert proxy.target == (host, 65535)


@pytest.mark.parametrize(
    ("kind", "address"),
    [(1, b"\1\2\3\4"), (4, bytes(16)), (3, b"\0"), (3, b"\5a.org"), (3, b"\xff" + b"a" * 255)],
)
def test_the_address_that_the_proxy_bound_may_have_any_form(kind: int, address: bytes, cut):
    handshake = handshake_for()
    converse(handshake, Proxy({"reply": bytes([5, 0, 0, kind]) + address + b"\0\0"}), cut, b"behind")
    assert handshake.done
    assert handshake.surplus == b"behind"


def test_bytes_of_the_tunnel_that_are_given_to_the_handshake_are_kept():
    handshake = handshake_for()
    converse(handshake, Proxy())
    handshake.receive(b"a")
    handshake.receive(b"b")
    handshake.receive(b"")
    assert handshake.surplus == b"ab"
    assert handshake.done
    assert handshake.error is None


def test_a_password_may_be_empty():
    for password in (None, b""):
        proxy = Proxy()
        converse(SocksHandshake("socks5", "a.org", 80, b"user", password), proxy)
        assert proxy.login == (b"user", b"")


# What the proxy does wrong.

REFUSALS = [
    # Which handshake, which answer, what it is, words of the error.
    ("socks5", "method", b"\5\xff", "requires authentication"),
    ("login", "method", b"\5\xff", "does not accept authentication by user name"),
    ("socks5", "method", b"\5\2", "chose method 2, which was not offered"),
    ("login", "method", b"\5\0", "chose method 0, which was not offered"),
    ("socks5", "method", b"\5\1", "chose method 1"),
    ("socks5", "method", b"\4\0", "starts with 4, expected 5"),
    ("socks5", "method", b"HTTP/1.1 400 Bad Request\r\n\r\n", "looks like HTTP"),
    ("login", "login", b"\1\1", "refused user name and password (status 1)"),
    ("login", "login", b"\5\0", "starts with 5, expected 1"),
    ("socks5", "reply", b"\5\1", "general failure"),
    ("socks5", "reply", b"\5\2\0\1\0\0\0\0\0\0", "not allowed by its rules"),
    ("socks5", "reply", b"\5\3", "network unreachable"),
    ("socks5", "reply", b"\5\4", "host unreachable"),
    ("login", "reply", b"\5\5\0\1\0\0\0\0\0\0", "connection refused (reply 5)"),
    ("socks5", "reply", b"\5\6", "time to live expired"),
    ("socks5", "reply", b"\5\7", "command not supported"),
    ("socks5", "reply", b"\5\x08", "address type not supported"),
    ("socks5", "reply", b"\5\x09", "does not define (reply 9)"),
    ("socks5", "reply", b"\4\0", "starts with 4, expected 5"),
    ("socks5", "reply", b"\5\0\1\1\0\0\0\0\0\0", "reserved byte of its reply is 1"),
    ("socks5", "reply", b"\5\0\0\2\0\0\0\0\0\0", "unknown address type 2"),
    ("socks4", "reply", b"\0\x5b\0\0\0\0\0\0", "rejected or failed (reply 91)"),
    ("socks4a", "reply", b"\0\x5c", "cannot reach the ident service"),
    ("socks4a", "reply", b"\0\x5d", "names another user"),
    ("socks4", "reply", b"\0\0", "does not define (reply 0)"),
    ("socks4", "reply", b"\4\x5a\0\0\0\0\0\0", "starts with 4, expected 0"),
    ("socks4", "reply", b"HTTP", "looks like HTTP"),
]
STEPS = {"method": "choosing an authentication method", "login": "checking user name and password"}


@pytest.mark.parametrize(("kind", "step", "answer", "words"), REFUSALS)
def test_a_refusal_names_step_and_reason_and_no_password(kind: str, step: str, answer: bytes, words: str, cut):
    handshake = handshake_for(kind)
    converse(handshake, Proxy({step: answer}), cut, behind=b"dropped")
    assert isinstance(handshake.error, ProxyError)
    text = str(handshake.error)
    assert words in text
    assert STEPS.get(step, "connecting") in text
    assert text.startswith(("socks5 proxy", "socks4 proxy", "socks4a proxy"))
    assert ("10.1.2.3" if kind == "socks4" else "a.org") in text
    assert SECRET.decode() not in text
    assert not handshake.done
    assert handshake.surplus == b""


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_at_any_byte_is_an_error(kind: str):
    steps = {"login": ("method", "login", "reply")}.get(kind, ("method", "reply") if "5" in kind else ("reply",))
    answers = {"method": METHOD_LOGIN if kind == "login" else METHOD_NONE, "login": LOGIN_OK}
    answers["reply"] = REPLY_OK if "5" in kind or kind == "login" else REPLY_OK_4
    for step in steps:
        for size in range(len(answers[step])):
            handshake = handshake_for(kind)
            for earlier in steps[: steps.index(step)]:
                handshake.take()
                handshake.receive(answers[earlier])
            handshake.take()
            if size:
                handshake.receive(answers[step][:size])
            assert not handshake.done
            assert handshake.error is None
            assert handshake.take() == b""
            handshake.receive(b"")
            assert f"closed the connection after {size} bytes" in str(handshake.error)
            assert STEPS.get(step, "connecting") in str(handshake.error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_speaks_first_is_an_error(kind: str, cut):
    handshake = handshake_for(kind)
    for piece in cut(b"SSH-2.0-x\r\n"):
        handshake.receive(piece)
    assert "before the request" in str(handshake.error)
    assert handshake.take() == b""


def test_an_answer_to_a_question_that_nobody_took_is_an_error_in_every_split(cut):
    """A finished handshake would otherwise leave a question to be sent into the tunnel."""
    handshake = handshake_for("login")
    handshake.take()
    for piece in cut(METHOD_LOGIN + LOGIN_OK + REPLY_OK):
        handshake.receive(piece)
    assert "checking user name and password: it sent bytes before the request" in str(handshake.error)
    assert handshake.take() == b"", "the password is not sent to a proxy that does not wait for it"


# Every state with every event.

REACH = {
    "AWAIT_METHOD": ("login", []),
    "AWAIT_LOGIN": ("login", [METHOD_LOGIN]),
    "AWAIT_REPLY": ("login", [METHOD_LOGIN, LOGIN_OK]),
    "AWAIT_REPLY_4": ("socks4", []),
    "TUNNEL": ("socks4", [REPLY_OK_4]),
    "NO_TUNNEL": ("socks4", [b"\0\x5b"]),
}
EVENTS = {
    "method": METHOD_LOGIN,
    "accepted": LOGIN_OK,
    "reply": REPLY_OK,
    "granted": REPLY_OK_4,
    "garbage": b"\x99",
    "end": b"",
}
GOOD = {
    ("AWAIT_METHOD", "method"),
    ("AWAIT_LOGIN", "accepted"),
    ("AWAIT_REPLY", "reply"),
    ("AWAIT_REPLY_4", "granted"),
}


@pytest.mark.parametrize(("state", "event"), [*itertools.product(REACH, EVENTS)])
def test_every_state_with_every_event(state: str, event: str):
    kind, before = REACH[state]
    handshake = handshake_for(kind)
    for answer in before:
        handshake.take()
        handshake.receive(answer)
    handshake.take()
    error = handshake.error
    handshake.receive(EVENTS[event])
    question = handshake.take()
    if state == "TUNNEL":
        assert handshake.done
        assert handshake.surplus == EVENTS[event]
    elif state == "NO_TUNNEL":
        assert handshake.error is error is not None
    elif (state, event) in GOOD:
        assert handshake.error is None
        assert handshake.done == (event in ("reply", "granted"))
        assert bool(question) != handshake.done
    else:
        assert handshake.error is not None
        assert question == b""
    assert not (handshake.done and handshake.error)


# Any bytes.


def outcome(kind: str, pieces: list[bytes]) -> tuple[bool, bytes, str]:
    handshake = handshake_for(kind)
    handshake.take()
    for piece in pieces:
        handshake.receive(piece)
    return handshake.done, handshake.surplus, str(handshake.error)


ANSWERS = st.lists(
    st.sampled_from([METHOD_NONE, METHOD_LOGIN, LOGIN_OK, REPLY_OK, REPLY_OK_4, b"\5", b"\0", b"\0\x5b"]) | st.binary(),
    max_size=4,
).map(b"".join)


@given(st.sampled_from(KINDS), ANSWERS, st.lists(st.integers(1, 40), max_size=6))
def test_the_split_decides_nothing(kind: str, data: bytes, positions: list[int]):
    pieces = cut_at(data, sorted({min(position, len(data)) for position in positions}))
    assert outcome(kind, pieces) == outcome(kind, [data] if data else [])


@given(
    st.sampled_from(VERSIONS[:2]),
    st.from_regex(r"[a-z0-9._-]{1,255}", fullmatch=True) | st.ip_addresses().map(str),
    st.integers(1, 65535),
    st.none() | st.tuples(st.binary(min_size=1, max_size=255), st.binary(max_size=255)),
    st.binary(max_size=20),
    st.lists(st.integers(1, 40), max_size=6),
)
def test_the_model_gets_what_was_meant(version, host, port, login, behind, positions):
    try:
        handshake = SocksHandshake(version, host, port, *(login or (None, None)))
    except LocalProtocolError:
        assert host.count(".") == 3  # four numbers that are no address
        with pytest.raises(ValueError):
            ipaddress.ip_address(host)
        return
    proxy = Proxy()
    converse(handshake, proxy, lambda data: cut_at(data, sorted({min(p, len(data)) for p in positions})), behind)
    assert proxy.target == (host, port)
    assert proxy.login == login
    assert handshake.surplus == behind


# What cannot be said.


@pytest.mark.parametrize(
    ("version", "host", "port", "username", "password", "words"),
    [
        ("socks5", "", 80, None, None, "has 0 bytes"),
        ("socks5", "a" * 256, 80, None, None, "has 256 bytes, expected 1 to 255"),
        ("socks5", "bücher.de", 80, None, None, "'ü' at position 1"),
        ("socks5", "a b", 80, None, None, "' ' at position 1"),
        ("socks4a", "a\0b", 80, None, None, "'\\x00' at position 1"),
        ("socks5", "a.org", 0, None, None, "port of a SOCKS request is 0"),
        ("socks5", "a.org", 65536, None, None, "65536"),
        ("socks5", "a.org", -1, None, None, "-1"),
        ("socks5", "1.2.3.256", 80, None, None, "neither a name nor an address"),
        ("socks5", "[::1]", 80, None, None, "neither a name nor an address"),
        ("socks5", "fe80::1%eth0", 80, None, None, "neither a name nor an address"),
        ("socks5", "a.org", 80, b"", None, "user name for a SOCKS proxy has 0 bytes"),
        ("socks5", "a.org", 80, b"", SECRET, "user name for a SOCKS proxy has 0 bytes"),
        ("socks5", "a.org", 80, b"u" * 256, SECRET, "has 256 bytes"),
        ("socks5", "a.org", 80, b"u", SECRET * 40, "password for a SOCKS proxy is longer than 255 bytes"),
        ("socks5h", "a.org", 80, None, SECRET, "needs a user name"),
        ("socks4", "a.org", 80, None, None, "needs an IPv4 address"),
        ("socks4", "::1", 80, None, None, "cannot reach the IPv6 address"),
        ("socks4a", "::1", 80, None, None, "cannot reach the IPv6 address"),
        ("socks4", "0.0.0.7", 80, None, None, "cannot express the address"),
        ("socks4a", "a.org", 80, b"user", SECRET, "has no passwords"),
        ("socks4a", "a.org", 80, b"a\0b", None, "user id"),
        ("socks4", "1.2.3.4", 80, b"u" * 256, None, "user id"),
    ],
)
def test_what_the_protocol_cannot_say_is_refused_at_once(version, host, port, username, password, words):
    with pytest.raises(LocalProtocolError) as caught:
        SocksHandshake(version, host, port, username, password)
    assert words in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_an_unknown_version_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="unknown version 'socks6'"):
        SocksHandshake("socks6", "a.org", 80)


FLOODS = {
    "nothing legal": ("socks5", lambda size: b"\xff" * size),
    "after the tunnel": ("socks4", lambda size: REPLY_OK_4 + b"x" * size),
    "a reply with the longest name": ("socks5", lambda size: b"\5\0" + b"\5\0\0\3\xff" + b"x" * size),
}


@pytest.mark.parametrize("step", [1, 1 << 30], ids=["bytes", "whole"])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_time_in_proportion_to_its_size(flood: str, step: int):
    """What came after the handshake was copied whole with each piece that followed."""
    kind, flooding = FLOODS[flood]

    def prepare(size: int) -> Callable[[], object]:
        text = flooding(size)
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        handshake = handshake_for(kind)
        handshake.take()

        def work() -> None:
            for piece in pieces:
                handshake.receive(piece)
                handshake.take()

        return work

    linear(prepare)
