"""What a transport makes of its TLS settings: hops, sessions, and contexts that others use too."""

from __future__ import annotations

import ssl
from typing import Any, Optional

import pytest

import httpx
from httpx._engine import security
from httpx._engine.security import MAX_AGE, MAX_PEERS, MAX_PER_PEER, Security, Sessions, TLSHop
from httpx._exceptions import ConnectError
from httpx._protocol.certificate import key_pin
from httpx._protocol.tls import TLSFilter
from httpx._tls_context import default_ssl_context
from support import certs

KEY = ("https", "localhost", 443)
HTTP1 = ("http/1.1",)
PIN = "sha256//" + "A" * 43 + "="


def make(verify: Any = True, **changes: Any) -> Security:
    options: dict[str, Any] = {"cert": None, "trust_env": True, **changes}
    return Security(verify, **options)


# A server in memory.


def connect(
    hop: TLSHop, server: ssl.SSLContext, answer: bytes = b"hello", over: Optional[TLSFilter] = None
) -> tuple[TLSFilter, ssl.SSLObject]:
    """A connection that was made, and has brought `answer`; and the server's side of it."""
    client = hop.begin(over)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(incoming, outgoing, server_side=True)
    data: Optional[bytes] = None
    while not client.established:
        incoming.write(client.handshake(data))
        shake(there)
        data = outgoing.read()
    shake(there)
    there.write(answer)
    assert client.receive((data or b"") + outgoing.read()) == answer
    return client, there


def shake(there: ssl.SSLObject) -> None:
    try:
        there.do_handshake()
    except ssl.SSLWantReadError:
        pass


def reuses(hop: TLSHop, server: ssl.SSLContext) -> bool:
    """Does a connection go on with an older session? It is closed afterwards."""
    client, _ = connect(hop, server)
    client.close()
    return bool(client.ssl_object.session_reused)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
def server(request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = certs.server_context()
    context.minimum_version = context.maximum_version = request.param
    return context


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list so that it can be set."""
    now = [1000.0]
    monkeypatch.setattr(security, "monotonic", lambda: now[0])
    return now


# Sessions.


def test_a_new_connection_to_a_known_peer_goes_on_with_its_session(server):
    kept = make(certs.client_context())
    assert [reuses(kept.with_origin(KEY, "localhost", HTTP1), server) for _ in range(4)] == [False, True, True, True]


def test_the_first_connection_costs_no_copy_of_its_session(monkeypatch):
    """Copying one takes a third of a millisecond, and most clients connect to a host once."""
    copied = []
    session_of = security._session_of
    monkeypatch.setattr(security, "_session_of", lambda tls: copied.append(tls) or session_of(tls))
    server = certs.server_context()
    kept = make(certs.client_context())
    first, _ = connect(kept.with_origin(KEY, "localhost", HTTP1), server)
    first.close()
    assert copied == []
    second, _ = connect(kept.with_origin(KEY, "localhost", HTTP1), server)
    assert copied == [first.ssl_object, second.ssl_object]


def test_connections_at_the_same_time_leave_their_sessions_while_they_are_open(server):
    kept = make(certs.client_context())
    open_ones = [connect(kept.with_origin(KEY, "localhost", HTTP1), server)[0] for _ in range(4)]
    assert [tls.ssl_object.session_reused for tls in open_ones] == [False, False, True, True]


class Kept:
    """Stands for the SSLObject of a connection, and for its session."""

    has_ticket, id, session_reused = True, b"", False

    @property
    def session(self) -> Kept:
        return self


def test_each_session_is_given_out_once_and_only_some_are_kept():
    sessions = Sessions()
    sessions.begin(KEY)
    for keep in [sessions.begin(KEY)[1] for _ in range(MAX_PER_PEER + 3)]:
        keep(Kept(), False)
    offered = [sessions.begin(KEY)[0] for _ in range(MAX_PER_PEER + 1)]
    assert all(isinstance(session, Kept) for session in offered[:-1])
    assert len(set(offered)) == MAX_PER_PEER + 1
    assert offered[-1] is None


def test_the_peers_that_were_asked_least_lately_are_forgotten():
    sessions = Sessions()
    for number in range(MAX_PEERS + 5):
        sessions.begin(number)
        sessions.begin(0)
    assert len(sessions._of) == MAX_PEERS
    assert 0 in sessions._of
    assert 1 not in sessions._of


def test_a_peer_that_was_forgotten_meanwhile_leaves_nothing_behind():
    sessions, hop_server = Sessions(), certs.server_context()
    hop = TLSHop(certs.client_context(), "localhost", HTTP1, peer="", key=KEY, sessions=sessions)
    tls, _ = connect(hop, hop_server)
    sessions.forget()
    tls.close()
    assert len(sessions._of) == 0


def test_a_session_is_not_used_for_ever(clock, server):
    """It stands for a check of the certificate that was made when it began."""
    kept = make(certs.client_context())
    assert not reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    clock[0] += MAX_AGE - 1
    assert reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    # What is kept now comes from a new connection, but from the same check.
    clock[0] += 2
    assert not reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    assert reuses(kept.with_origin(KEY, "localhost", HTTP1), server)


def test_old_sessions_make_room_for_new_ones(clock):
    kept, server = make(certs.client_context()), certs.server_context()
    for tls in [connect(kept.with_origin(KEY, "localhost", HTTP1), server)[0] for _ in range(MAX_PER_PEER + 1)]:
        tls.close()
    clock[0] += MAX_AGE + 1
    held = connect(kept.with_origin(KEY, "localhost", HTTP1), server)[0]
    assert not held.ssl_object.session_reused
    assert reuses(kept.with_origin(KEY, "localhost", HTTP1), server)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (("https", "localhost", 8443), "localhost"),
        (("https", "127.0.0.1", 443), "localhost"),
        ((*KEY, "example.org"), "example.org"),
        ((*KEY, "another route"), "localhost"),
        (KEY, "127.0.0.1"),
    ],
)
def test_no_session_crosses_from_one_peer_or_name_to_another(key, name):
    kept, server = make(certs.client_context()), certs.server_context()
    assert not reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    assert not reuses(kept.with_origin(key, name, HTTP1), server)
    assert reuses(kept.with_origin(KEY, "localhost", HTTP1), server)


@pytest.mark.parametrize("first", [None, "http://one.test", "http://two.test", "http://user:password@one.test"])
def test_no_session_crosses_from_one_proxy_to_another(first):
    """The server would know by it that both are one client."""
    kept, server = make(certs.client_context()), certs.server_context()
    for url in (None, "http://one.test", "http://two.test", "http://user:password@one.test"):
        proxy = None if url is None else httpx.Proxy(url)
        assert reuses(kept.with_origin(KEY, "localhost", HTTP1, proxy), server) is False
    again = None if first is None else httpx.Proxy(first)
    assert reuses(kept.with_origin(KEY, "localhost", HTTP1, again), server) is True


def test_no_session_crosses_from_one_transport_to_another():
    context, server = certs.client_context(), certs.server_context()
    assert not reuses(make(context).with_origin(KEY, "localhost", HTTP1), server)
    assert not reuses(make(context).with_origin(KEY, "localhost", HTTP1), server)


def test_a_context_that_checks_more_than_before_does_so_at_once():
    """A session made without a check of the certificate would have passed for one with it."""
    context, server = certs.client_context(), certs.server_context("stranger")
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    kept = make(context)
    reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ConnectError, match="certificate verify failed"):
        connect(kept.with_origin(KEY, "localhost", HTTP1), server)
    named = certs.client_context()
    named.check_hostname = False
    kept, server = make(named), certs.server_context("other-name")
    reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    named.check_hostname = True
    with pytest.raises(ConnectError, match="certificate verify failed"):
        connect(kept.with_origin(KEY, "localhost", HTTP1), server)


def test_pins_are_checked_on_a_short_handshake_too(server):
    pin = key_pin(ssl.PEM_cert_to_DER_cert(certs.leaf("good").cert_chain_pems[0].bytes().decode()))
    kept = make(certs.client_context(), pins=pin)
    assert not reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    assert reuses(kept.with_origin(KEY, "localhost", HTTP1), server)
    assert kept._pins is not None
    kept._pins._everywhere = frozenset([PIN])
    with pytest.raises(ConnectError, match="no pin of 'localhost' matches"):
        connect(kept.with_origin(KEY, "localhost", HTTP1), server)


def test_a_context_that_may_check_certificates_in_its_own_way_does_whole_handshakes():
    """On macOS and Windows truststore looks at the certificates behind the handshake, and a session has lost most."""

    class Careful(ssl.SSLContext):
        pass

    class CarefulObject(ssl.SSLObject):
        pass

    careful = Careful(ssl.PROTOCOL_TLS_CLIENT)
    certs.authority().configure_trust(careful)
    other = certs.client_context()
    other.sslobject_class = CarefulObject
    server = certs.server_context()
    for context in (careful, other):
        kept = make(context)
        assert [reuses(kept.with_origin(KEY, "localhost", HTTP1), server) for _ in range(3)] == [False] * 3


def test_a_server_without_sessions_is_connected_to_all_the_same():
    server = certs.server_context()
    server.num_tickets = 0
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    kept = make(certs.client_context())
    assert [reuses(kept.with_origin(KEY, "localhost", HTTP1), server) for _ in range(3)] == [False] * 3


def test_a_forked_child_has_neither_its_parents_sessions_nor_its_locks():
    """The parent would use the same tickets; and a thread that is not there may hold the lock for ever."""
    sessions = Sessions()
    sessions.begin(1)
    lock = sessions._lock
    sessions.forget()
    assert not sessions._of
    assert sessions._lock is not lock


# Contexts.


def offered(hop: TLSHop, spoken: tuple[str, ...]) -> Optional[str]:
    """What a server that speaks these protocols agrees on."""
    return connect(hop, certs.server_context(alpn=spoken))[0].alpn


def test_a_context_that_two_clients_share_offers_what_each_of_them_speaks():
    """ALPN belongs to the context: the client that came last decided for both, and one got an answer it cannot read."""
    context = certs.client_context(alpn=("other",))
    for _ in range(2):
        for protocols, agreed in ((HTTP1, "http/1.1"), (("h2", "http/1.1"), "h2")):
            hop = make(context).with_origin(KEY, "localhost", protocols)
            assert offered(hop, ("h2", "http/1.1")) == agreed


def test_a_context_of_the_users_is_left_alone_until_it_is_used():
    context = certs.client_context(alpn=("other",))
    make(context).with_origin(KEY, "localhost", HTTP1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    assert b"\5other" in outgoing.read()


def test_a_proxy_is_offered_http_1_1_with_any_context():
    context = certs.client_context(alpn=("h2",))
    proxy = httpx.Proxy("https://localhost", ssl_context=context)
    assert offered(make().with_proxy(proxy), ("h2", "http/1.1")) == "http/1.1"


def test_a_proxy_without_a_context_gets_the_default_whatever_is_verified_at_origins(monkeypatch):
    hop = make(False).with_proxy(httpx.Proxy("https://p.test"))
    assert (hop.server_name, hop.peer) == ("p.test", "the proxy 'p.test'")
    assert hop.context is default_ssl_context()
    assert hop.context.verify_mode == ssl.CERT_REQUIRED
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(ConnectError, match=r"TLS cannot begin: .*certificate file"):
        make(False).with_proxy(httpx.Proxy("https://p.test"))


def test_pins_are_for_origins_and_not_for_proxies():
    kept = make(certs.client_context(), pins=PIN)
    proxy = httpx.Proxy("https://localhost", ssl_context=certs.client_context())
    assert connect(kept.with_proxy(proxy), certs.server_context())[0].established
    with pytest.raises(ConnectError, match="no pin of 'localhost' matches"):
        connect(kept.with_origin(KEY, "localhost", HTTP1), certs.server_context())


def test_the_host_of_the_url_stays_pinned_under_another_name():
    kept = make(certs.client_context(), pins={"localhost": PIN})
    with pytest.raises(ConnectError, match="no pin of 'localhost' matches"):
        connect(kept.with_origin((*KEY, "example.org"), "example.org", HTTP1), certs.server_context())


@pytest.mark.parametrize("name", ["b\u00fccher.example", "xn--bcher-kva.example", b"xn--bcher-kva.example"])
def test_the_name_for_tls_is_pinned_however_it_is_written(name: Any):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certs.authority().issue_cert("xn--bcher-kva.example").configure_cert(context)
    assert reuses(make(certs.client_context()).with_origin(KEY, name, HTTP1), context) is False
    kept = make(certs.client_context(), pins={"b\u00fccher.example": PIN})
    with pytest.raises(ConnectError, match=r"no pin of 'xn--bcher-kva\.example' matches"):
        connect(kept.with_origin(KEY, name, HTTP1), context)


@pytest.mark.parametrize("name", [5, b"\xff", "\xad", "a..b", ""])
def test_what_is_no_name_for_tls_is_a_connect_error(name: Any):
    with pytest.raises(ConnectError, match="TLS cannot begin with server name"):
        make(certs.client_context()).with_origin(KEY, name, HTTP1).begin(None)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("*.b\u00fccher.example", "www.xn--bcher-kva.example"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("LOCALHOST.", "localhost"),
    ],
)
def test_a_pinned_host_may_be_written_as_in_a_url(given: str, host: str):
    """What is never compared equal is never pinned, and nobody would notice."""
    kept = make(pins={given: PIN})
    assert kept._pins is not None
    assert kept._pins.of(httpx.URL(f"https://[{host}]" if ":" in host else f"https://{host}")._origin[1]) == {PIN}


@pytest.mark.parametrize(
    "host",
    [
        "https://example.org",
        "all://example.org",
        "example.org:443",
        "[::1]:443",
        "example.org/path",
        "example.org?query",
        "example.org#x",
        "user@example.org",
        "*",
        "*.",
        "*.*.example.org",
        "exa mple.org",
    ],
)
def test_what_would_pin_no_host_is_refused(host: str):
    with pytest.raises(ValueError, match="a pinned host is a name or an address"):
        make(pins={host: PIN})


def test_the_dot_that_ends_a_complete_name_is_no_part_of_it_for_tls():
    """No certificate has it, so https://example.org./ never worked."""
    hop = make(certs.client_context()).with_origin(("https", "localhost.", 443), "localhost.", HTTP1)
    client, _ = connect(hop, certs.server_context())
    assert client.ssl_object.server_hostname == "localhost"
    assert hop.peer == "'localhost.'"
