"""TLS with nginx and its OpenSSL: sessions as the server sees them, names, pins, and the certificate of a client."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

import httpx
from httpx._protocol.certificate import key_pin
from support import certs
from support.drivers import Driver
from support.running import started
from support.servers import NginxServer

# What the server knows of the connection; "r" where it goes on with an older session.
SEEN = "$ssl_protocol $ssl_session_reused $server_protocol $ssl_server_name"


def site(*directives: str) -> str:
    chain, key = certs.leaf_files()
    return " ".join(
        [
            "listen 127.0.0.1:PORT ssl http2;",
            f"ssl_certificate {chain}; ssl_certificate_key {key};",
            *directives,
            f'location / {{ return 200 "{SEEN}"; }}',
        ]
    )


@pytest.fixture(scope="module")
def server() -> Iterator[NginxServer]:
    asks = f"ssl_client_certificate {certs.authority_file()}; ssl_verify_client on;"
    sites = {
        "TLSv1.2": site("ssl_protocols TLSv1.2;"),
        "TLSv1.3": site("ssl_protocols TLSv1.3;"),
        "TLSv1.2 with ids": site("ssl_protocols TLSv1.2; ssl_session_tickets off; ssl_session_cache shared:ids:1m;"),
        "TLSv1.3 with ids": site("ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache shared:ids:1m;"),
        "none": site("ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;"),
        "asks": site(asks),
    }
    with started(lambda: NginxServer(sites=sites)) as server:
        yield server


def seen(driver: Driver, url: str, times: int = 3, **options: Any) -> list[str]:
    """What the server says about connections that are made one after the other."""

    async def scenario(client: Any) -> list[str]:
        said = []
        for _ in range(times):
            response = await client.get(url)
            reused = response.extensions["network_stream"].get_extra_info("session_reused")
            assert reused == (response.text.split()[1] == "r")
            said.append(response.text)
        return said

    # Nothing is kept, so that each request needs a new connection.
    options.setdefault("verify", certs.client_context())
    said: list[str] = driver.run(scenario, limits=httpx.Limits(max_keepalive_connections=0), **options)
    return said


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("kind", ["TLSv1.2", "TLSv1.3", "TLSv1.2 with ids", "TLSv1.3 with ids"])
def test_a_new_connection_goes_on_with_the_session_of_the_last_one(
    driver: Driver, server: NginxServer, kind: str, http2: bool
):
    url = f"https://localhost:{server.ports[kind]}/"
    version = "HTTP/2.0" if http2 else "HTTP/1.1"
    first, *others = (f"{kind.split()[0]} {reused} {version} localhost" for reused in ".rr")
    assert seen(driver, url, http2=http2) == [first, *others]
    assert seen(driver, url, http2=http2, pins=key_pin(certificate())) == [first, *others]


def certificate() -> bytes:
    return ssl.PEM_cert_to_DER_cert(certs.leaf_files()[0].read_text())


def test_a_server_that_gives_no_sessions_is_connected_to_all_the_same(driver: Driver, server: NginxServer):
    said = seen(driver, f"https://localhost:{server.ports['none']}/")
    assert said == ["TLSv1.3 . HTTP/1.1 localhost"] * 3


def test_a_shared_context_does_not_mix_up_two_clients(driver: Driver, server: NginxServer):
    """What one offers, the other did not mean to; and their sessions are their own."""
    context = certs.client_context()
    url = f"https://localhost:{server.ports['TLSv1.3']}/"
    for _ in range(2):
        for http2, version in ((False, "HTTP/1.1"), (True, "HTTP/2.0")):
            said = seen(driver, url, times=2, http2=http2, verify=context)
            assert said == [f"TLSv1.3 {reused} {version} localhost" for reused in ".r"]


def test_an_address_is_not_sent_as_a_name(driver: Driver, server: NginxServer):
    """RFC 6066 section 3 wants none; the certificate has the address all the same."""
    assert seen(driver, f"https://127.0.0.1:{server.ports['TLSv1.3']}/", times=1) == ["TLSv1.3 . HTTP/1.1 "]


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_client_shows_its_certificate(driver: Driver, server: NginxServer, http2: bool):
    url = f"https://localhost:{server.ports['asks']}/"
    chain, key = certs.leaf_files("client")
    options = {"verify": certs.authority_pem(), "http2": http2}

    async def status(client: Any) -> int:
        code: int = (await client.get(url)).status_code
        return code

    # nginx takes everybody's connection, and answers those without a certificate in HTTP.
    assert driver.run(status, **options) == 400
    assert driver.run(status, cert=(str(chain), str(key)), **options) == 200
    assert driver.run(status, cert=(chain.read_bytes(), key.read_bytes()), **options) == 200
