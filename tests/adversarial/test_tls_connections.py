"""
TLS on real sockets: whom a client trusts, what it shows, and what it says when a handshake fails. The same on every
engine.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

import httpx
from httpx._protocol.certificate import fingerprint, key_pin
from support import certs
from support.engines import EngineDriver
from support.leaks import counts_of, no_lost_exceptions, settled
from support.proxies import ScriptedProxy
from support.servers import (
    Conn,
    ScriptedServer,
    answer,
    close,
    close_notify,
    expect_head,
    free_ports,
    repeat,
    send,
    wait,
)

pytestmark = pytest.mark.usefixtures("leaves_nothing")

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(params=[V12, V13], ids=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


def server_context(kind: str = "good", version: Optional[ssl.TLSVersion] = None, **options: Any) -> ssl.SSLContext:
    context = certs.server_context(kind, **options)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def serving(context: ssl.SSLContext, host: str = "127.0.0.1") -> ScriptedServer:
    return ScriptedServer([repeat(answer())], tls=context, host=host)


def run(engine: EngineDriver, scenario: Any, **options: Any) -> Any:
    """A scenario with a client that trusts `certs` and nobody else, if nothing is said about it."""

    async def main() -> Any:
        with no_lost_exceptions():
            options.setdefault("timeout", 5)
            options.setdefault("verify", str(certs.authority_file()))
            async with engine.client(**options) as client:
                outcome = await scenario(client)
                await settled(client)
            return outcome

    return engine.run_bare(main)


def fetch(engine: EngineDriver, url: str, extensions: Any = None, **options: Any) -> str:
    async def scenario(client: Any) -> Any:
        return (await client.get(url, extensions=extensions or {})).text

    text: str = run(engine, scenario, **options)
    return text


def refusal(engine: EngineDriver, url: str, extensions: Any = None, **options: Any) -> str:
    """What is said where there is no connection."""

    async def scenario(client: Any) -> str:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(url, extensions=extensions or {})
        assert type(caught.value) is httpx.ConnectError
        assert caught.value.request.url == url
        assert counts_of(client) == (0, 0, 0, 0)
        return str(caught.value)

    said: str = run(engine, scenario, **options)
    assert "_ssl.c" not in said
    return said


def der(kind: str = "good") -> bytes:
    return ssl.PEM_cert_to_DER_cert(certs.leaf(kind).cert_chain_pems[0].bytes().decode())


# Whom to trust.


def hashed_directory(folder: Path) -> str:
    """A directory of authorities as OpenSSL wants it: named by the hash of the subject."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("openssl is not installed")
    command = [openssl, "x509", "-hash", "-noout", "-in", str(certs.authority_file())]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    folder.mkdir()
    (folder / f"{name}.0").write_bytes(certs.authority_pem())
    return str(folder)


WAYS: dict[str, Callable[[Path], Any]] = {
    "a file": lambda folder: str(certs.authority_file()),
    "a path": lambda folder: certs.authority_file(),
    "a directory": lambda folder: hashed_directory(folder / "authorities"),
    "a context": lambda folder: certs.client_context(),
    "text": lambda folder: certs.authority_pem().decode(),
    "bytes": lambda folder: certs.authority_pem(),
    "nobody": lambda folder: False,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_form_of_verify_is_heeded(any_engine: EngineDriver, way: str, tmp_path: Path):
    verify = WAYS[way](tmp_path)
    with serving(server_context()) as server:
        assert fetch(any_engine, server.url, verify=verify) == "ok"
    with serving(server_context("stranger")) as server:
        if verify is False:
            assert fetch(any_engine, server.url, verify=verify) == "ok"
        else:
            assert "certificate verify failed" in refusal(any_engine, server.url, verify=verify)


def test_nobody_is_trusted_but_those_of_certifi_by_default(any_engine: EngineDriver):
    with serving(server_context()) as server:
        assert "not signed by a trusted authority" in refusal(any_engine, server.url, verify=True)


def test_the_environment_says_whom_to_trust_unless_it_is_not_to_be_heard(
    any_engine: EngineDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name, value in (
        ("SSL_CERT_FILE", str(certs.authority_file())),
        ("SSL_CERT_DIR", hashed_directory(tmp_path / "authorities")),
    ):
        monkeypatch.setenv(name, value)
        with serving(server_context()) as server:
            assert fetch(any_engine, server.url, verify=True) == "ok"
            refusal(any_engine, server.url, verify=True, trust_env=False)
        monkeypatch.delenv(name)


def test_the_store_of_the_operating_system_is_used_on_request(
    any_engine: EngineDriver, monkeypatch: pytest.MonkeyPatch
):
    """On Linux it is where OpenSSL looks by itself, which the variable changes."""
    truststore = pytest.importorskip("truststore")
    if sys.platform != "linux":
        pytest.skip("the system's store cannot be changed for a test")
    for verify in ("system", truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        with monkeypatch.context() as patch, serving(server_context()) as server:
            patch.setenv("SSL_CERT_FILE", str(certs.authority_file()))
            assert fetch(any_engine, server.url, verify=verify) == "ok"
    with serving(server_context("stranger")) as server:
        assert "certificate verify failed" in refusal(any_engine, server.url, verify="system")


def test_keys_are_logged_where_the_environment_says(
    any_engine: EngineDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with serving(server_context()) as server:
        for verify in (certs.authority_pem(), False):
            (tmp_path / "keys").write_text("")
            assert fetch(any_engine, server.url, verify=verify) == "ok"
            # Python puts a comment at the top when it opens the file.
            lines = [line for line in (tmp_path / "keys").read_text().splitlines() if not line.startswith("#")]
            assert {line.split()[0] for line in lines} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}


# The client's own certificate.


def refusing(context: ssl.SSLContext) -> ScriptedServer:
    """
    A server of which the handshake fails, and which reads on to the end before it closes.

    One that closes with bytes unread resets the connection, and then some systems drop the alert that came before.
    """

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        done = False
        while not done:
            incoming.write(conn.recv())
            try:
                tls.do_handshake()
                raise AssertionError("the handshake was to fail")
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                done = True
            conn.sendall(outgoing.read())
        conn.shutdown(socket.SHUT_WR)
        conn.read_to_end()

    return ScriptedServer(serve)


def cert_forms() -> dict[str, Any]:
    from cryptography.hazmat.primitives import serialization

    chain, key = certs.leaf_files("client")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    both = chain.with_name("client.both.pem")
    both.write_bytes(chain.read_bytes() + key.read_bytes())
    return {
        "one file": str(both),
        "two files": (str(chain), str(key)),
        "text": both.read_text(),
        "two texts": (chain.read_text(), key.read_text()),
        "a file and text": (chain, key.read_text()),
        "with a password": (str(chain), locked, "open sesame"),
    }


@pytest.mark.parametrize(
    "form", ["one file", "two files", "text", "two texts", "a file and text", "with a password", "in a context"]
)
def test_every_form_of_a_client_certificate_is_shown(any_engine: EngineDriver, form: str, version: Any):
    shown: list[Any] = []

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        shown.append(conn.getpeercert(True))
        answer()(conn)

    if form == "in a context":
        options: dict[str, Any] = {"verify": certs.client_context(client_cert=True)}
    else:
        options = {"cert": cert_forms()[form]}
    with ScriptedServer(serve, tls=server_context(version=version, client_cert=True)) as server:
        assert fetch(any_engine, server.url, **options) == "ok"
    assert shown == [der("client")]


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_server_that_wants_a_certificate_says_so(any_engine: EngineDriver, version: Any, http2: bool):
    """With TLS 1.3 it says so when the request may be on its way already."""
    context = server_context(version=version, client_cert=True, alpn=("h2", "http/1.1"))
    with refusing(context) as server:
        said = refusal(any_engine, server.url.replace("http:", "https:"), http2=http2)
    assert said.startswith("TLS handshake with '127.0.0.1' failed: ")
    assert "client certificate" in said
    assert "`cert`" in said


def test_a_server_that_wants_a_certificate_is_heard_during_a_large_request_too(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.ConnectError, match="client certificate"):
            await client.post(server.url.replace("http:", "https:"), content=any_engine.body([bytes(1_000_000)] * 20))

    with refusing(server_context(version=V13, client_cert=True)) as server:
        run(any_engine, scenario)


def test_a_certificate_that_the_server_does_not_trust_is_named_as_the_reason(any_engine: EngineDriver, version: Any):
    leaf = certs.stranger().issue_cert("client@example.org")
    chain = "".join(pem.bytes().decode() for pem in leaf.cert_chain_pems)
    with refusing(server_context(version=version, client_cert=True)) as server:
        url = server.url.replace("http:", "https:")
        said = refusal(any_engine, url, cert=(chain, leaf.private_key_pem.bytes()))
    assert said.endswith("; the server does not accept the client certificate")


# What a failed handshake says.


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("expired", "certificate has expired; the server must renew it"),
        ("early", "certificate is not yet valid; is the clock of this machine right?"),
        ("stranger", "; it is not signed by a trusted authority"),
        ("other-name", "not valid for '127.0.0.1'."),
    ],
)
def test_a_bad_certificate_is_refused_with_host_reason_and_hint(
    any_engine: EngineDriver, kind: str, words: str, version: Any
):
    with serving(server_context(kind, version)) as server:
        said = refusal(any_engine, server.url)
        assert server.received == [b""]
    assert said.startswith("TLS handshake with '127.0.0.1' failed: certificate verify failed: ")
    assert words in said
    if kind == "other-name" and sys.version_info >= (3, 13):
        assert said.endswith("; the certificate is for 'other.example'")


def test_a_certificate_that_signed_itself_is_told_from_an_unknown_authority(any_engine: EngineDriver):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain, key = self_signed()
    context.load_cert_chain(chain, key)
    with serving(context) as server:
        assert "give it as `verify`" in refusal(any_engine, server.url)
        assert fetch(any_engine, f"https://localhost:{server.port}", verify=str(chain)) == "ok"


def self_signed() -> tuple[Path, Path]:
    """A certificate for localhost that nobody but itself has signed, and its key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    chain, key = (certs.authority_file().with_name(f"self-signed.{part}.pem") for part in ("chain", "key"))
    if chain.exists():
        return chain, key
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    )
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = builder.add_extension(usage, critical=True).sign(private, hashes.SHA256())
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, key


def test_versions_that_do_not_meet_are_called_so(any_engine: EngineDriver):
    context = certs.client_context()
    context.maximum_version = V12
    with serving(server_context(version=V13)) as server:
        said = refusal(any_engine, server.url, verify=context)
    assert said.endswith("; the two sides have no version of TLS in common")


def test_plain_http_on_the_port_is_called_so(any_engine: EngineDriver):
    def serve(conn: Conn, recorded: list[bytes]) -> None:
        conn.recv()
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with ScriptedServer(serve) as server:
        said = refusal(any_engine, server.url.replace("http:", "https:"))
    assert "the peer responded in plain HTTP: the URL should begin with http://" in said


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_peer_that_hangs_up_is_named(any_engine: EngineDriver, ending: str):
    with ScriptedServer(lambda conn, recorded: (conn.recv(1), getattr(conn, ending)())) as server:
        said = refusal(any_engine, server.url.replace("http:", "https:"))
    assert said.startswith("TLS handshake with '127.0.0.1' failed: ")


# Names.


@pytest.mark.parametrize(
    ("host", "names"), [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("127.0.0.1", ["localhost", "::1"])]
)
def test_an_address_has_to_be_in_the_certificate_as_an_address(any_engine: EngineDriver, host: str, names: list[str]):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certs.authority().issue_cert(*names).configure_cert(context)
    with serving(context, host) as server:
        if host in names:
            assert fetch(any_engine, server.url) == "ok"
        else:
            assert "IP address mismatch" in refusal(any_engine, server.url)


def test_the_name_for_tls_may_be_another_and_is_then_the_one_that_is_checked(any_engine: EngineDriver):
    asked: list[Any] = []
    context = server_context("other-name")
    context.sni_callback = lambda sock, name, context: asked.append(name)

    async def scenario(client: Any) -> None:
        for name in ("other.example", "OTHER.example."):
            response = await client.get(server.url, extensions={"sni_hostname": name})
            assert response.text == "ok"
        with pytest.raises(httpx.ConnectError, match=r"TLS handshake with 'third\.example' failed: .*mismatch"):
            await client.get(server.url, extensions={"sni_hostname": "third.example"})
        # A connection under one name does not serve another.
        with pytest.raises(httpx.ConnectError, match=r"TLS handshake with '127\.0\.0\.1' failed: .*mismatch"):
            await client.get(server.url)

    with serving(context) as server:
        run(any_engine, scenario)
    assert asked == ["other.example", "OTHER.example", "third.example", None]


# Pins.


def test_a_pinned_host_is_reached_if_its_certificate_is_the_one(any_engine: EngineDriver, version: Any):
    with serving(server_context(version=version)) as server:
        for pins in (
            key_pin(der()),
            fingerprint(der()),
            ["ab" * 32, key_pin(der())],
            {"127.0.0.1": fingerprint(der()).upper(), "other.example": "ab" * 32},
            {"other.example": "ab" * 32},
        ):
            assert fetch(any_engine, server.url, pins=pins) == "ok"


@pytest.mark.parametrize("verify", [True, False])
def test_a_pinned_host_with_another_certificate_gets_no_byte_of_the_request(
    any_engine: EngineDriver, version: Any, verify: bool
):
    async def scenario(client: Any) -> str:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError) as caught:
                await client.post(server.url, content=b"secret")
        assert counts_of(client) == (0, 0, 0, 0)
        return str(caught.value)

    pins = {"127.0.0.1": [key_pin(der("other-name")), "ab" * 32]}
    with serving(server_context(version=version)) as server:
        said = run(any_engine, scenario, pins=pins, verify=certs.client_context() if verify else False)
        server.wait_until_idle(2)
        assert server.received == [b"", b""]
    assert said.startswith("TLS handshake with '127.0.0.1' failed: no pin of '127.0.0.1' matches its certificate, ")
    assert key_pin(der()) in said
    assert fingerprint(der()) in said


def test_a_certificate_that_nobody_signed_can_be_trusted_by_its_pin_alone(any_engine: EngineDriver):
    with serving(server_context("stranger")) as server:
        assert fetch(any_engine, server.url, verify=False, pins=key_pin(der("stranger"))) == "ok"


# Sessions.


def short_handshakes(
    engine: EngineDriver, url: str, extensions: Any = (), times: int = 3, **options: Any
) -> list[Optional[bool]]:
    """For connections that are made one after the other: did they go on with an older session?"""

    async def scenario(client: Any) -> list[Optional[bool]]:
        seen = []
        for number in range(times):
            chosen = extensions[number] if extensions else {}
            async with client.stream("GET", url, headers={"Connection": "close"}, extensions=chosen) as response:
                seen.append(response.extensions["network_stream"].get_extra_info("session_reused"))
                await response.aread()
        return seen

    seen: list[Optional[bool]] = run(engine, scenario, **options)
    return seen


def once(context: ssl.SSLContext) -> ScriptedServer:
    """A server that answers one request on each connection."""
    return ScriptedServer([answer(b"ok", b"Connection: close")], tls=context)


def test_a_new_connection_to_a_known_host_does_a_short_handshake(any_engine: EngineDriver, version: Any):
    with once(server_context(version=version)) as server:
        assert short_handshakes(any_engine, server.url) == [False, True, True]
        for verify in (certs.client_context(), False):
            assert short_handshakes(any_engine, server.url, verify=verify) == [False, True, True]


def test_pins_hold_in_short_handshakes(any_engine: EngineDriver, version: Any):
    with once(server_context(version=version)) as server:
        assert short_handshakes(any_engine, server.url, pins=key_pin(der())) == [False, True, True]


def test_a_client_with_a_certificate_does_short_handshakes_too(any_engine: EngineDriver, version: Any):
    with once(server_context(version=version, client_cert=True)) as server:
        chain, key = certs.leaf_files("client")
        assert short_handshakes(any_engine, server.url, cert=(str(chain), str(key))) == [False, True, True]


def test_no_session_is_used_under_another_name(any_engine: EngineDriver, version: Any):
    names: list[dict[str, str]] = [{}, {"sni_hostname": "localhost"}, {}, {"sni_hostname": "localhost"}]
    with once(server_context(version=version)) as server:
        assert short_handshakes(any_engine, server.url, names, times=4) == [False, False, True, True]


def test_a_server_that_forgot_the_session_does_the_whole_handshake(any_engine: EngineDriver, version: Any):
    port = free_ports(1)[0]

    async def scenario(client: Any) -> list[Any]:
        seen = []
        for _ in range(2):
            with Rebinding(port, server_context(version=version)) as server:
                response = await client.get(server.url)
                seen.append(response.extensions["network_stream"].get_extra_info("session_reused"))
        return seen

    assert run(any_engine, scenario) == [False, False]


class Rebinding(ScriptedServer):
    """A server that comes back on its old port with new keys for its tickets."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._wanted = port
        super().__init__([answer(b"ok", b"Connection: close")], tls=context)

    def _listen(self, backlog: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self._wanted))
        listener.listen(backlog)
        listener.setblocking(False)
        return listener


# How it ends.


HALF = b'{"admin": false, "rights": ["read"'
UNFRAMED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
FRAMED = {
    "length": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 34\r\n\r\n" + HALF,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n22\r\n" + HALF + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("apart", [False, True], ids=["in one piece", "apart"])
def test_a_body_that_ends_with_the_connection_is_whole_only_after_close_notify(
    any_engine: EngineDriver, version: Any, apart: bool
):
    """Anyone on the path can end a connection: half of a JSON document passed for all of it (RFC 9112 9.8)."""
    read = threading.Event()

    async def scenario(client: Any) -> list[bytes]:
        for _ in range(2 if not apart else 0):
            with pytest.raises(httpx.RemoteProtocolError, match="without TLS close_notify"):
                await client.get(server.url)
        pieces: list[bytes] = []

        async def keep_pieces(response: Any) -> None:
            async for piece in response.aiter_raw():
                pieces.append(piece)
                read.set()

        async with client.stream("GET", server.url) as response:
            with pytest.raises(httpx.RemoteProtocolError, match="may be incomplete"):
                await keep_pieces(response)
        assert counts_of(client) == (0, 0, 0, 0)
        return pieces

    body = [send(UNFRAMED + HALF), wait(read)] if apart else [send(UNFRAMED + HALF)]
    with ScriptedServer([expect_head(), *body, close()], tls=server_context(version=version)) as server:
        assert b"".join(run(any_engine, scenario)) == HALF


def test_a_redirect_is_followed_although_its_body_ends_without_close_notify(any_engine: EngineDriver, version: Any):
    """Its head arrived whole, and nobody asked for the body: servers that never send close_notify redirect, too."""

    async def scenario(client: Any) -> str:
        response = await client.get(server.url, follow_redirects=True)
        assert [each.status_code for each in response.history] == [302]
        return response.text

    redirect = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nConnection: close\r\n\r\n<p>there</p>"
    tls = server_context(version=version)
    with ScriptedServer([expect_head(), send(redirect), close()], [answer(b"there")], tls=tls) as server:
        assert run(any_engine, scenario) == "there"


def test_a_body_that_ends_with_close_notify_is_whole(any_engine: EngineDriver, version: Any):
    script = [expect_head(), send(UNFRAMED + HALF), close_notify(), close()]
    with ScriptedServer(script, tls=server_context(version=version)) as server:
        assert fetch(any_engine, server.url) == HALF.decode()


@pytest.mark.parametrize("framing", FRAMED)
def test_a_response_that_says_where_it_ends_needs_no_close_notify(any_engine: EngineDriver, framing: str, version: Any):
    """Many servers never send it: with their lengths and chunks they are as good as any."""
    script = [expect_head(), send(FRAMED[framing]), close()]
    with ScriptedServer(script, tls=server_context(version=version)) as server:
        assert fetch(any_engine, server.url) == HALF.decode()
        assert fetch(any_engine, server.url) == HALF.decode()


def test_a_server_that_ends_tls_before_it_answered_is_said_to_have_closed(any_engine: EngineDriver, version: Any):
    """As without TLS: only a body can be incomplete, and a request can be sent again."""

    async def scenario(client: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError, match=r"^the peer closed the connection without a response$"):
            await client.get(server.url)

    with ScriptedServer([expect_head(), close()], tls=server_context(version=version)) as server:
        run(any_engine, scenario)


@pytest.mark.parametrize("framing", ["length", "until the end"])
def test_a_response_counts_as_far_as_it_came_before_the_tls_session_breaks(any_engine: EngineDriver, framing: str):
    """The harm: it was lost if the two came in one segment. A body that ends with the connection is not whole by it."""

    def serve(conn: Conn, recorded: list[bytes]) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certs.server_context().wrap_bio(incoming, outgoing, server_side=True)

        def step(function: Any, *args: Any) -> Any:
            while True:
                try:
                    return function(*args)
                except ssl.SSLWantReadError:
                    conn.sendall(outgoing.read())
                    incoming.write(conn.recv())

        step(tls.do_handshake)
        step(tls.read, 10_000)
        length = b"Content-Length: 4\r\n" if framing == "length" else b""
        tls.write(b"HTTP/1.1 200 OK\r\n%b\r\nsome" % length)
        conn.sendall(outgoing.read() + b"this is not a TLS record")
        conn.read_to_end()

    async def scenario(client: Any) -> None:
        if framing == "length":
            assert (await client.get(url)).text == "some"
        else:
            with pytest.raises(httpx.TransportError):
                await client.get(url)

    with ScriptedServer(serve) as server:
        url = f"https://localhost:{server.port}"
        any_engine.run(scenario, verify=certs.client_context(), trust_env=False, timeout=3)


def test_an_upgraded_connection_that_is_cut_ends(any_engine: EngineDriver):
    """What follows an upgrade says itself where it ends, and its libraries expect b"" at an end, as from 0.28.1."""
    switched = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"

    async def scenario(client: Any) -> None:
        fields = {"Connection": "upgrade", "Upgrade": "x"}
        async with client.stream("GET", server.url, headers=fields) as response:
            stream = response.extensions["network_stream"]
            for expected in (b"hello", b""):
                got = stream.read(100, timeout=5)
                assert (await got if any_engine.is_async else got) == expected

    with ScriptedServer([expect_head(), send(switched), close()], tls=certs.server_context()) as server:
        run(any_engine, scenario)


# What is known of a connection.


def test_the_network_stream_tells_about_tls(any_engine: EngineDriver, version: Any):
    async def scenario(client: Any) -> None:
        response = await client.get(server.url)
        info = response.extensions["network_stream"].get_extra_info
        tls = info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        assert info("tls_version") == tls.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
        assert info("cipher") == tls.cipher()
        assert info("cipher")[2] >= 128
        assert info("peercert") == tls.getpeercert()
        assert ("DNS", "example.org") in info("peercert")["subjectAltName"]
        assert info("peercert_der") == der()
        assert info("alpn_protocol") == "http/1.1"
        assert info("session_reused") is False

    with serving(server_context(version=version)) as server:
        run(any_engine, scenario)


TLS_FACTS = ("ssl_object", "tls_version", "cipher", "peercert", "peercert_der", "alpn_protocol", "session_reused")


def test_without_tls_there_is_nothing_to_tell(any_engine: EngineDriver):
    async def scenario(client: Any) -> None:
        response = await client.get(server.url)
        for name in TLS_FACTS:
            assert response.extensions["network_stream"].get_extra_info(name) is None

    with ScriptedServer([repeat(answer())]) as server:
        run(any_engine, scenario)


# A proxy over TLS, and TLS to the origin within.


def test_of_proxy_and_origin_the_one_that_failed_is_named(any_engine: EngineDriver):
    def through(kind_of_proxy: str, kind_of_origin: str, **options: Any) -> str:
        context = certs.client_context()
        origin = serving(server_context(kind_of_origin))
        with origin, ScriptedProxy({"example.org:443": origin.port}, tls=server_context(kind_of_proxy)) as proxy:
            hops = httpx.Proxy(proxy.url, ssl_context=context)
            return refusal(any_engine, "https://example.org/", proxy=hops, **options)

    for kind, reason in (("expired", "certificate has expired"), ("stranger", "not signed by a trusted authority")):
        said = through(kind, "good")
        assert said.startswith("TLS handshake with the proxy 'localhost' failed: certificate verify failed: ")
        assert reason in said
        said = through("good", kind)
        assert said.startswith("TLS handshake with 'example.org' failed: certificate verify failed: ")
        assert reason in said
    assert "no pin of 'example.org' matches" in through("good", "good", pins={"example.org": "ab" * 32})


def test_a_proxy_that_wants_a_certificate_is_named(any_engine: EngineDriver, version: Any):
    with refusing(server_context(version=version, client_cert=True)) as proxy:
        proxied = httpx.Proxy(f"https://127.0.0.1:{proxy.port}", ssl_context=certs.client_context())
        said = refusal(any_engine, "https://example.org/", proxy=proxied)
    assert said.startswith("TLS handshake with the proxy '127.0.0.1' failed: ")
    assert "`cert`" in said


def test_sessions_with_the_origin_and_with_the_proxy_are_both_gone_on_with(any_engine: EngineDriver, version: Any):
    with once(server_context(version=version)) as origin:
        routes = {"example.org:443": origin.port}
        with ScriptedProxy(routes, tls=server_context(version=version)) as proxy:
            hops = httpx.Proxy(proxy.url, ssl_context=certs.client_context())
            assert short_handshakes(any_engine, "https://example.org/", proxy=hops) == [False, True, True]


# Threads.


def test_threads_that_connect_together_share_sessions_safely():
    """Sessions are taken and kept from all of them at once."""
    reused: list[bool] = []
    with once(server_context()) as server, httpx.Client(verify=certs.client_context()) as client:

        def work() -> None:
            for _ in range(10):
                response = client.get(server.url)
                reused.append(response.extensions["network_stream"].get_extra_info("session_reused"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(reused) == 40
    assert sum(reused) >= 20
