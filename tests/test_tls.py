"""TLS as a filter, against OpenSSL's own server side in memory: every cut of the bytes, every way to fail."""

from __future__ import annotations

import ssl
from typing import Any, Callable, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._exceptions import ConnectError, ReadError, TransportError, WriteError
from httpx._protocol.tls import MAX_HELD, RECORD, SLACK, TLSFilter
from support import certs, wires

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Server:
    """The server's side of a session, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.error: Optional[ssl.SSLError] = None

    def talk(self, data: bytes) -> bytes:
        """Take bytes of the wire during the handshake, and return the answer."""
        if data:
            self._incoming.write(data)
        if not self.established and self.error is None:
            try:
                self.ssl_object.do_handshake()
                self.established = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as exc:
                self.error = exc
        return self._outgoing.read()

    def send(self, data: bytes) -> bytes:
        if data:
            self.ssl_object.write(data)
        return self._outgoing.read()

    def receive(self, data: bytes) -> bytes:
        self._incoming.write(data)
        pieces = []
        try:
            while piece := self.ssl_object.read(RECORD):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)

    def close(self) -> bytes:
        try:
            self.ssl_object.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()


def context_for(version: ssl.TLSVersion, kind: str = "good", **options: Any) -> ssl.SSLContext:
    context = certs.server_context(kind, **options)
    context.minimum_version = context.maximum_version = version
    return context


def shake_hands(
    client: TLSFilter,
    server: Server,
    cut: Callable[[bytes], list[bytes]] = lambda data: [data],
    lift: Callable[[bytes], bytes] = bytes,
    sink: Callable[[bytes], bytes] = bytes,
) -> None:
    """
    Carry bytes between the two until both are content.

    Args:
        cut: how what the server sends arrives.
        lift, sink: what stands between the two on the way out, and on the way in.
    """
    answer = server.talk(lift(client.handshake()))
    while answer:
        back = b""
        for piece in cut(sink(answer)):
            back += client.receive(piece) if client.established else client.handshake(piece)
        answer = server.talk(lift(back)) if back else b""
    assert client.established
    assert server.established


def session(
    version: ssl.TLSVersion = V13, host: str = "localhost", context: Optional[ssl.SSLContext] = None
) -> tuple[TLSFilter, Server]:
    client, server = TLSFilter(context or certs.client_context(), host), Server(context_for(version))
    shake_hands(client, server)
    return client, server


@pytest.fixture(params=[V12, V13], ids=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


# What goes well.


def test_plain_bytes_go_into_a_buffer_of_the_caller(version, cut):
    client, server = session(version)
    data = bytes(range(256)) * 200
    wire = server.send(data) + server.send(b"end") + server.close()
    into, got = memoryview(bytearray(len(wire) + SLACK)), []
    for piece in cut(wire):
        view = client.receive(memoryview(piece), into)
        assert not view or view.obj is into.obj
        got.append(bytes(view))
    assert b"".join(got) == data + b"end"
    assert client.ended
    assert not client.incomplete_close


def test_garbage_is_an_error_for_a_buffer_of_the_caller_too(version):
    client, server = session(version)
    into = memoryview(bytearray(1000 + SLACK))
    assert bytes(client.receive(server.send(b"abc") + b"garbage" * 10, into)) == b"abc"
    assert client.ended
    with pytest.raises(ReadError):
        client.receive(b"more", into)


def test_a_session_carries_bytes_both_ways(version, cut):
    client, server = TLSFilter(certs.client_context(), "localhost"), Server(context_for(version))
    shake_hands(client, server, cut)
    assert client.ssl_object.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
    assert server.receive(client.encrypt(b"GET / HTTP/1.1\r\n\r\n")) == b"GET / HTTP/1.1\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert b"".join(client.receive(piece) for piece in cut(server.send(answer))) == answer
    assert not client.ended


def test_the_handshake_begins_with_what_the_client_has_to_say():
    client = TLSFilter(certs.client_context(), "localhost")
    hello = client.handshake()
    assert hello[0] == 22  # a handshake record
    assert b"localhost" in hello  # SNI
    assert not client.established
    assert client.handshake() == b""


def test_no_name_is_sent_where_none_is_given():
    context = certs.client_context()
    context.check_hostname = False
    client, server = TLSFilter(context, None), Server(context_for(V13))
    shake_hands(client, server)
    assert server.receive(client.encrypt(b"x")) == b"x"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "example.org", "www.example.com", "EXAMPLE.org"])
def test_a_certificate_for_the_host_is_accepted(host):
    assert session(host=host)[0].established


@pytest.mark.parametrize(
    ("offered", "spoken", "agreed"),
    [
        (("h2", "http/1.1"), ("h2", "http/1.1"), "h2"),
        (("h2", "http/1.1"), ("http/1.1",), "http/1.1"),
        (("http/1.1",), (), None),
        (None, ("http/1.1",), None),
    ],
)
def test_alpn_is_what_both_sides_agree_on(offered, spoken, agreed, version):
    client = TLSFilter(certs.client_context(alpn=offered), "localhost")
    assert client.alpn is None
    shake_hands(client, Server(context_for(version, alpn=spoken)))
    assert client.alpn == agreed


def test_session_tickets_are_no_plain_bytes(cut):
    """TLS 1.3 sends them after the handshake, so an idle connection is readable although nobody answered anything."""
    client, server = TLSFilter(certs.client_context(), "localhost"), Server(context_for(V13))
    tickets = server.talk(client.handshake(server.talk(client.handshake())))
    assert client.established
    assert tickets
    for piece in cut(tickets):
        assert client.receive(piece) == b""
    assert not client.ended
    assert client.receive(server.send(b"x")) == b"x"


def session_that_asks() -> tuple[TLSFilter, Server, Callable[[], bytes]]:
    """Both sides of a session, and a function: the server asks for a certificate in the middle of it."""
    client_context = certs.client_context(client_cert=True)
    client_context.post_handshake_auth = True
    server_context = context_for(V13)
    server_context.post_handshake_auth = True
    certs.authority().configure_trust(server_context)
    server_context.verify_mode = ssl.CERT_REQUIRED
    client, server = TLSFilter(client_context, "localhost"), Server(server_context)
    shake_hands(client, server)

    def ask() -> bytes:
        server.ssl_object.verify_client_post_handshake()
        server.ssl_object.do_handshake()
        return server.send(b"")

    return client, server, ask


def test_what_tls_wants_said_by_itself_is_pending_and_gives_no_plain_bytes():
    """A server may ask for a certificate in the middle of a connection; nobody writes at that moment."""
    client, server, ask = session_that_asks()
    assert client.receive(server.send(b"so far")) == b"so far"
    assert not client.due
    assert client.receive(ask()) == b""
    assert client.due
    answer = client.pending()
    assert answer
    assert client.pending() == b""
    assert server.receive(answer) == b""
    assert server.ssl_object.getpeercert()
    assert client.receive(server.send(b"hello")) == b"hello"
    assert not client.due


@pytest.mark.parametrize("size", [0, 1, RECORD - 1, RECORD, RECORD + 1, 5_000_000])
def test_a_write_of_any_size_is_carried_whole(size, version):
    client, server = session(version)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert server.receive(client.encrypt(data)) == data
    assert client.receive(server.send(data)) == data if data else not server.send(data)


@given(
    messages=st.lists(st.binary(max_size=40_000), max_size=4),
    seed=st.integers(0, 1000),
    close=st.booleans(),
    version=st.sampled_from([V12, V13]),
)
@settings(max_examples=40)
def test_the_plain_bytes_do_not_depend_on_how_the_wire_was_cut(messages, seed, close, version):
    client, server = session(version)
    stream = b"".join(server.send(message) for message in messages) + (server.close() if close else b"")
    cuts = list(wires.cuts(stream, rounds=3, seed=seed))
    del cuts[1]  # byte by byte takes too long for so many bytes; other tests do it
    received = []
    for pieces in cuts[1 + seed % 3 :][:1]:
        received = [client.receive(piece) for piece in pieces]
    assert b"".join(received) == b"".join(messages)
    assert client.ended == close


# How it ends.


def test_a_peer_that_says_goodbye_has_ended(version, cut):
    client, server = session(version)
    for piece in cut(server.close()):
        assert not client.ended
        assert client.receive(piece) == b""
    assert client.ended
    assert client.receive(b"") == b""
    assert not client.incomplete_close


def test_bytes_and_goodbye_in_one_segment_both_count(version, cut):
    """Servers that close write the end of the answer and close_notify at once; neither may wait for a next segment."""
    client, server = session(version)
    received = [client.receive(piece) for piece in cut(server.send(b"the end") + server.close())]
    assert b"".join(received) == b"the end"
    assert client.ended
    assert not client.incomplete_close


def test_a_peer_that_hangs_up_without_goodbye_has_ended_too_and_it_is_known_how(version):
    """
    Many servers do, and mostly the framing of a body tells whether it is complete. Where it does not, half of a body
    passed for all of it: anyone on the path can end a connection, but only the peer can say goodbye.
    """
    client, server = session(version)
    assert client.receive(server.send(b"some")) == b"some"
    assert not client.incomplete_close
    assert client.receive(b"") == b""
    assert client.ended
    assert client.incomplete_close
    assert client.receive(b"") == b""
    assert client.incomplete_close


def test_a_context_that_ignores_missing_goodbyes_is_obeyed(version):
    if not hasattr(ssl, "OP_IGNORE_UNEXPECTED_EOF") or ssl.OPENSSL_VERSION_INFO < (3,):
        pytest.skip("needs OpenSSL 3")
    context = certs.client_context()
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    client, server = session(version, context=context)
    assert client.receive(server.send(b"some")) == b"some"
    assert client.receive(b"") == b""
    assert client.ended
    assert not client.incomplete_close


def test_a_record_that_is_cut_off_is_an_end(version):
    client, server = session(version)
    assert client.receive(server.send(b"never whole")[:-1]) == b""
    assert not client.ended
    assert client.receive(b"") == b""
    assert client.ended
    assert client.incomplete_close


def test_what_comes_after_the_end_is_ignored():
    client, server = session()
    data = server.send(b"late")
    client.receive(b"")
    assert client.receive(data) == b""
    assert client.ended


def test_one_can_write_after_the_peer_has_ended(version):
    client, server = session(version)
    client.receive(server.close())
    assert client.encrypt(b"still talking")


def test_closing_says_goodbye(version):
    client, server = session(version)
    goodbye = client.close()
    assert goodbye
    assert server.receive(goodbye) == b""
    assert server.ssl_object.read(1) == b""  # the end, and a proper one: a ragged one raises


def test_closing_answers_the_peers_goodbye(version):
    client, server = session(version)
    client.receive(server.close())
    with pytest.raises(ssl.SSLZeroReturnError):  # the server sees a proper end of both directions
        server.receive(client.close())


def test_closing_twice_or_in_the_handshake_does_no_harm():
    client, _ = session()
    assert client.close()
    assert client.close() == b""
    early = TLSFilter(certs.client_context(), "localhost")
    early.handshake()
    assert isinstance(early.close(), bytes)


def test_writing_after_closing_is_a_write_error(version):
    client, server = session(version)
    client.receive(server.close())
    client.close()
    with pytest.raises(WriteError, match="TLS: protocol is shutdown"):
        client.encrypt(b"x")


# What goes wrong.


def failure(host: str = "localhost", kind: str = "good", context: Optional[ssl.SSLContext] = None) -> str:
    """The message of a handshake that fails."""
    client = TLSFilter(context or certs.client_context(), host)
    with pytest.raises(ConnectError) as caught:
        shake_hands(client, Server(context_for(V13, kind)))
    assert not client.established
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert "_ssl.c" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "reason", "hint"),
    [
        ("expired", "certificate has expired", "renew it"),
        ("early", "certificate is not yet valid", "clock"),
        ("stranger", "unable to get local issuer certificate", "not signed by a trusted authority"),
        ("other-name", "Hostname mismatch, certificate is not valid for 'localhost'.", ""),
    ],
)
def test_a_bad_certificate_is_refused_with_the_reason_and_the_host(kind, reason, hint):
    said = failure(kind=kind)
    assert said.startswith(f"TLS handshake with 'localhost' failed: certificate verify failed: {reason}")
    assert hint in said


@pytest.mark.skipif("sys.version_info < (3, 13)", reason="what the peer showed is told from Python 3.13 on")
def test_a_certificate_of_another_host_is_named(version):
    client = TLSFilter(certs.client_context(), "localhost")
    with pytest.raises(ConnectError, match=r"the certificate is for 'other\.example'"):
        shake_hands(client, Server(context_for(version, "other-name")))


def test_the_peer_may_be_named_in_another_way():
    client = TLSFilter(certs.client_context(), "localhost", peer="the proxy 'localhost'")
    with pytest.raises(ConnectError, match=r"^TLS handshake with the proxy 'localhost' failed: certificate verify"):
        shake_hands(client, Server(context_for(V13, "expired")))


def test_an_address_is_checked_like_a_name():
    assert "IP address mismatch" in failure(host="192.0.2.1")


def test_a_wildcard_does_not_reach_over_a_dot():
    assert "Hostname mismatch" in failure(host="a.b.example.com")


def test_versions_that_do_not_meet_are_a_connect_error():
    context = certs.client_context()
    context.maximum_version = V12
    assert failure(context=context).startswith("TLS handshake with 'localhost' failed: tlsv1 alert protocol version")


def test_a_server_that_wants_a_certificate_says_so():
    """With TLS 1.3 it says so after the handshake, to whoever reads first; still it is the handshake that failed."""
    client = TLSFilter(certs.client_context(), "localhost")
    server = Server(context_for(V13, client_cert=True))
    refusal = server.talk(client.handshake(server.talk(client.handshake())))
    assert server.error is not None
    for data in (refusal, b"x"):
        with pytest.raises(ConnectError, match=r"'localhost' failed: .*certificate required; .* give one as `cert`"):
            client.receive(data)


def test_a_refusal_after_the_first_answer_is_a_read_error():
    """The handshake was accepted then: a server that asks later for a certificate refuses one request."""
    context = certs.client_context()
    context.post_handshake_auth = True
    server_context = context_for(V13, client_cert=True)
    server_context.post_handshake_auth = True
    client, server = TLSFilter(context, "localhost"), Server(server_context)
    shake_hands(client, server)
    assert client.receive(server.send(b"hello")) == b"hello"
    server.ssl_object.verify_client_post_handshake()
    server.ssl_object.do_handshake()
    client.receive(server.send(b""))
    with pytest.raises(ssl.SSLError):
        server.receive(client.pending())
    with pytest.raises(ReadError, match="certificate required"):
        client.receive(server.send(b""))


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"SSH-2.0-OpenSSH\r\n"])
def test_a_server_that_does_not_speak_tls_is_a_connect_error(reply, cut):
    client = TLSFilter(certs.client_context(), "localhost")
    client.handshake()
    hint = "plain HTTP" if reply.startswith(b"HTTP") else "is not TLS"
    with pytest.raises(ConnectError, match=rf"TLS handshake with 'localhost' failed: .*{hint}"):
        list(map(client.handshake, cut(reply)))


def test_a_handshake_that_is_cut_off_anywhere_is_a_connect_error(version):
    client, server = TLSFilter(certs.client_context(), "localhost"), Server(context_for(version))
    answer = server.talk(client.handshake())
    for end in [*range(0, len(answer), 97), len(answer) - 1]:
        client = TLSFilter(certs.client_context(), "localhost")
        client.handshake()
        if end:
            # Another session's answer fails at its first signature or MAC at the latest, as all of it would.
            try:
                client.handshake(answer[:end])
            except ConnectError:
                continue
        with pytest.raises(ConnectError, match="TLS handshake with 'localhost' failed: the peer closed the connection"):
            client.handshake(b"")


def test_garbage_is_a_read_error_and_stays_one(version, cut):
    client, _ = session(version)
    with pytest.raises(ReadError, match=r"^TLS: "):
        list(map(client.receive, cut(b"HTTP/1.1 200 OK\r\n\r\n")))
    for data in (b"more", b""):
        with pytest.raises(ReadError, match=r"^TLS: .*version"):
            client.receive(data)
    assert not client.ended
    with pytest.raises(WriteError, match=r"^TLS: .*version"):
        client.encrypt(b"x")
    assert isinstance(client.close(), bytes)


def test_what_came_before_garbage_counts_however_the_wire_was_cut(version):
    """The harm: a whole response was lost if what broke the session came in one segment with its end."""
    client, server = session(version)
    assert client.receive(server.send(b"a whole response") + b"this is not TLS, and long enough") == b"a whole response"
    assert client.ended
    assert client.incomplete_close
    for _ in range(2):
        with pytest.raises(ReadError):
            client.receive(b"more")


def test_a_record_that_was_tampered_with_is_a_read_error(version):
    client, server = session(version)
    record = bytearray(server.send(b"attack at dawn"))
    record[-1] ^= 1
    with pytest.raises(ReadError, match="TLS: decryption failed or bad record mac"):
        client.receive(bytes(record))


@given(data=st.binary(min_size=1, max_size=200), version=st.sampled_from([V12, V13]), shaken=st.booleans())
@settings(max_examples=60)
def test_whatever_arrives_no_error_but_ours_leaves(data, version, shaken):
    client = session(version)[0] if shaken else TLSFilter(certs.client_context(), "localhost")
    take = client.receive if shaken else client.handshake
    if not shaken:
        client.handshake()
    for piece in (data, b"", b"x"):
        try:
            take(piece)
        except (ReadError, ConnectError):
            pass
    for last in (lambda: client.encrypt(b"x"), client.pending, client.close):
        try:
            last()
        except TransportError:
            pass


@pytest.mark.parametrize("host", ["", ".example.org", "a..b", "a" * 70, "nul\0.example", b"\xff"])
def test_a_name_that_no_certificate_can_have_is_a_connect_error(host):
    with pytest.raises(ConnectError, match="TLS cannot begin with server name"):
        TLSFilter(certs.client_context(), host)


def test_a_name_is_needed_where_it_is_to_be_checked():
    """Without one the certificate of any host was accepted."""
    with pytest.raises(ConnectError, match="the context checks host names, but no server name is given"):
        TLSFilter(certs.client_context(), None)


@pytest.mark.skipif("sys.version_info < (3, 10)", reason="the ssl module of 3.9 notices it only in the handshake")
def test_a_servers_context_is_a_connect_error():
    with pytest.raises(ConnectError, match="Cannot create a client socket"):
        TLSFilter(certs.server_context(), "localhost")


# Whose certificate it is.


def test_a_certificate_is_looked_at_before_the_handshake_ends(version):
    seen = []

    def check(der: Optional[bytes]) -> Optional[str]:
        seen.append(der)
        return None

    client, server = TLSFilter(certs.client_context(), "localhost", check=check), Server(context_for(version))
    shake_hands(client, server)
    assert seen == [client.ssl_object.getpeercert(True)]
    assert seen[0]


def test_a_certificate_that_is_not_liked_ends_the_handshake_before_the_server_hears_more(version):
    """Behind the end of the handshake go the client's certificate and the request."""
    client = TLSFilter(certs.client_context(), "localhost", check=lambda der: "not that one")
    server = Server(context_for(version))
    with pytest.raises(ConnectError, match=r"^TLS handshake with 'localhost' failed: not that one$"):
        shake_hands(client, server)
    assert not client.established
    if version is V13:
        assert not server.established


# Sessions.


def resumed(
    context: ssl.SSLContext, server_context: ssl.SSLContext, session: Optional[ssl.SSLSession]
) -> tuple[bool, list[tuple[Any, bool]]]:
    """Whether a connection goes on with a session, and what it has told about its own."""
    kept: list[tuple[Any, bool]] = []
    client = TLSFilter(context, "localhost", session=session, keep=lambda *told: kept.append(told))
    server = Server(server_context)
    shake_hands(client, server)
    assert kept == []
    assert client.receive(server.send(b"hello")) == b"hello"
    assert kept == [(client.ssl_object, False)]
    assert client.receive(server.send(b"more")) == b"more"
    client.close()
    client.close()
    assert kept == [(client.ssl_object, False), (client.ssl_object, True)]
    return client.ssl_object.session_reused, kept


def test_a_connection_goes_on_with_the_session_of_another(version):
    context, server_context = certs.client_context(), context_for(version)
    reused, kept = resumed(context, server_context, None)
    assert not reused
    for tls, _ in kept:
        assert resumed(context, server_context, tls.session)[0]


def test_a_session_that_does_not_fit_makes_no_difference(version):
    context, server_context = certs.client_context(), context_for(version)
    _, kept = resumed(context, server_context, None)
    session = kept[0][0].session
    assert not resumed(certs.client_context(), server_context, session)[0]  # another context: a ValueError of Python's
    assert not resumed(context, context_for(version), session)[0]  # a server that does not know it
    assert not resumed(context, server_context, object())[0]  # type: ignore[arg-type]  # no session at all


def test_a_context_that_takes_no_sessions_makes_no_difference():
    class Stubborn(ssl.SSLContext):
        def wrap_bio(self, incoming: Any, outgoing: Any, server_side: bool = False, server_hostname: Any = None) -> Any:  # type: ignore[override]  # narrower on purpose
            return super().wrap_bio(incoming, outgoing, server_side, server_hostname)

    context = Stubborn(ssl.PROTOCOL_TLS_CLIENT)
    certs.authority().configure_trust(context)
    _, kept = resumed(context, context_for(V13), None)
    assert not resumed(context, context_for(V13), kept[0][0].session)[0]


def test_a_connection_that_brought_nothing_has_no_session_to_give():
    """Its server may not have accepted the handshake."""
    kept: list[Any] = []
    client = TLSFilter(certs.client_context(), "localhost", keep=lambda *told: kept.append(told))
    server = Server(context_for(V13))
    shake_hands(client, server)
    client.close()
    assert kept == []


# TLS within TLS.


class Tunnel:
    """A client's TLS to a proxy, and within it TLS to an origin; both servers' sides at hand."""

    def __init__(self, version: ssl.TLSVersion, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> None:
        self.outer, self.proxy = session(version, "example.org")
        self.client = TLSFilter(certs.client_context(), "localhost", over=self.outer)
        self.origin = Server(context_for(version))
        shake_hands(self.client, self.origin, cut, lift=self.proxy.receive, sink=self.proxy.send)


def test_a_session_runs_within_another(version, cut):
    tunnel = Tunnel(version, cut)
    seen_by_proxy = tunnel.proxy.receive(tunnel.client.encrypt(b"GET / HTTP/1.1\r\n\r\n"))
    assert b"GET" not in seen_by_proxy
    assert tunnel.origin.receive(seen_by_proxy) == b"GET / HTTP/1.1\r\n\r\n"
    answer = tunnel.proxy.send(tunnel.origin.send(b"pong" * 20_000))
    assert b"".join(tunnel.client.receive(piece) for piece in wires.cut(answer, "random-1")) == b"pong" * 20_000
    assert tunnel.client.pending() == b""


def test_what_the_outer_session_wants_said_is_pending_in_the_inner_one():
    outer, proxy, ask = session_that_asks()
    client, origin = TLSFilter(certs.client_context(), "localhost", over=outer), Server(context_for(V13))
    shake_hands(client, origin, lift=proxy.receive, sink=proxy.send)
    assert client.receive(proxy.send(origin.send(b"so far"))) == b"so far"
    assert not client.due
    assert client.receive(ask()) == b""
    assert client.due
    assert proxy.receive(client.pending()) == b""
    assert proxy.ssl_object.getpeercert()
    assert client.receive(proxy.send(origin.send(b"hello"))) == b"hello"
    assert not client.due


def test_an_end_within_or_below_is_the_end(version):
    within = Tunnel(version)
    data = within.proxy.send(within.origin.send(b"bye") + within.origin.close())
    assert within.client.receive(data) == b"bye"
    assert within.client.ended
    assert not within.client.incomplete_close
    assert within.client.receive(b"") == b""  # the proxy says nothing: that is between it and us
    assert not within.client.incomplete_close
    below = Tunnel(version)
    data = below.proxy.send(below.origin.send(b"bye")) + below.proxy.close()
    assert below.client.receive(data) == b"bye"
    assert below.client.ended
    assert below.client.incomplete_close  # a proxy can cut the tunnel and say goodbye for itself
    assert below.client.receive(b"late") == b""
    ragged = Tunnel(version)
    assert ragged.client.receive(b"") == b""
    assert ragged.client.ended
    assert ragged.client.incomplete_close


def test_closing_within_says_goodbye_within(version):
    tunnel = Tunnel(version)
    assert tunnel.origin.receive(tunnel.proxy.receive(tunnel.client.close())) == b""
    assert tunnel.origin.ssl_object.read(1) == b""


def test_what_breaks_below_breaks_within(version):
    tunnel = Tunnel(version)
    with pytest.raises(ReadError, match=r"^TLS: "):
        tunnel.client.receive(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    with pytest.raises(WriteError, match=r"^TLS: "):
        tunnel.client.encrypt(b"x")
    assert tunnel.client.close() == b""


@pytest.mark.parametrize("reply", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b""])
def test_a_handshake_whose_carrier_breaks_is_a_connect_error(version, reply):
    outer, _ = session(version, "example.org")
    client = TLSFilter(certs.client_context(), "localhost", over=outer)
    client.handshake()
    with pytest.raises(ConnectError, match="TLS handshake with 'localhost' failed"):
        client.handshake(reply)


def test_a_handshake_over_a_closed_carrier_is_a_connect_error(version):
    outer, proxy = session(version, "example.org")
    outer.receive(proxy.close())
    outer.close()
    with pytest.raises(ConnectError, match="TLS handshake with 'localhost' failed below: TLS: protocol is shutdown"):
        TLSFilter(certs.client_context(), "localhost", over=outer).handshake()


# Handshake messages after the handshake.


def in_the_middle_of_a_ticket() -> tuple[TLSFilter, Server, bytes]:
    """A client that has received a part of a session ticket, its server, and the rest of what that has sent."""
    names = [f"name-{number:04}.of.a.host.with.a.long.name.example" for number in range(800)]
    client_side, server_side = certs.client_context(), context_for(V13, client_cert=True)
    certs.authority().issue_cert(*names).configure_cert(client_side)
    client, server = TLSFilter(client_side, "localhost"), Server(server_side)
    flight = client.handshake(server.talk(client.handshake()))
    tickets = server.talk(flight)  # a ticket has the certificate of the client in it: it fills several records
    assert client.established
    assert server.established
    assert len(tickets) > 2 * RECORD
    assert client.receive(tickets[:20_000]) == b""
    return client, server, tickets[20_000:]


def test_what_is_sent_in_the_middle_of_a_session_ticket_leaves_after_it():
    """The harm: with a large client certificate the first request was a WriteError, and was never sent."""
    client, server, rest = in_the_middle_of_a_ticket()
    assert client.encrypt(b"GET / ") == b""
    assert client.encrypt(b"HTTP/1.1") == b""
    assert client.receive(rest) == b""
    assert client.due
    assert server.receive(client.pending()) == b"GET / HTTP/1.1"
    assert server.receive(client.encrypt(b"more")) == b"more"


def test_no_more_than_a_request_waits_for_the_rest_of_a_ticket():
    client, _, _ = in_the_middle_of_a_ticket()
    assert client.encrypt(bytes(MAX_HELD)) == b""
    with pytest.raises(WriteError, match="has not completed a handshake message"):
        client.encrypt(b"x")
