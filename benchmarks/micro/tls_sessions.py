"""
Is a session of an earlier connection worth its copy?

A session spares the client the certificates and both sides the signatures, but Python copies it, with the server's
certificate in it, when it is asked for and when it is offered. Handshakes in memory with a chain of two certificates
below the root, and the authorities of certifi beside it; the copy that asking for a session takes is told apart. Needs
trustme. Run with the package's dependencies importable: python micro/tls_sessions.py

CPython 3.13, OpenSSL 3.0, microseconds (first quartile), one core of a small shared machine:

    RSA   TLSv1_2  whole: client 1030 server  945   short: client 428 server  98   copy 259
    RSA   TLSv1_3  whole: client 1017 server 1068   short: client 596 server 342   copy 264
    ECDSA TLSv1_2  whole: client 1189 server  311   short: client 441 server  97   copy 275
    ECDSA TLSv1_3  whole: client 1184 server  422   short: client 605 server 346   copy 278

So it is, but by a sixth only for a client with TLS 1.3, and not at all without certificates between. A copy that nobody
uses is a quarter of a connection: hence the first connection to a peer makes none.
"""

from __future__ import annotations

import ssl
from time import perf_counter
from typing import Any, NamedTuple

import certifi
import trustme

ROUNDS = 150


class Cost(NamedTuple):
    """Seconds."""

    client: float
    server: float
    copy: float


def contexts(kind: trustme.KeyType, version: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA(key_type=kind)
    leaf = authority.create_child_ca(key_type=kind).issue_cert("localhost", key_type=kind)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(server)
    server.minimum_version = server.maximum_version = version
    client = ssl.create_default_context(cafile=certifi.where())
    authority.configure_trust(client)
    return client, server


def step(tls: ssl.SSLObject) -> float:
    """Go on with a handshake; how long that took."""
    begun = perf_counter()
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return perf_counter() - begun


def connect(contexts: tuple[ssl.SSLContext, ssl.SSLContext], session: Any = None) -> tuple[Cost, ssl.SSLSession]:
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    there = contexts[1].wrap_bio(server_in, server_out, server_side=True)
    begun = perf_counter()
    here = contexts[0].wrap_bio(client_in, client_out, server_hostname="localhost", session=session)
    client, server = perf_counter() - begun, 0.0
    for _ in range(4):
        client += step(here)
        server_in.write(client_out.read())
        server += step(there)
        client_in.write(server_out.read())
    there.write(b"x")
    client_in.write(server_out.read())
    assert here.read(10) == b"x"  # with it came the tickets of TLS 1.3
    assert here.session_reused is (session is not None)
    begun = perf_counter()
    kept = here.session
    assert kept is not None
    return Cost(client, server, perf_counter() - begun), kept


def shown(costs: list[Cost]) -> str:
    """The first quartile of each column, in microseconds."""
    client, server, _ = (sorted(column)[len(costs) // 4] * 1e6 for column in zip(*costs))
    return f"client {client:4.0f} server {server:4.0f}"


def main() -> None:
    for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            pair = contexts(kind, version)
            whole, short = [], []
            for _ in range(ROUNDS):
                cost, session = connect(pair)
                whole.append(cost)
                short.append(connect(pair, session)[0])
            copy = sorted(cost.copy for cost in whole)[ROUNDS // 4] * 1e6
            print(f"{kind.name:5} {version.name}  whole: {shown(whole)}   short: {shown(short)}   copy {copy:.0f}")


if __name__ == "__main__":
    main()
