"""
No HTTP library: what the sockets, the TLS library and the loop cost by themselves.

The control. It finds the end of the head and the length of the body and nothing else, so no client can be expected to
reach it; the distance to it is what a client is responsible for. Blocking sockets in the sync cases, a bare
`asyncio.Protocol` (for the large body a `BufferedProtocol`) in the others. HTTP/1.1 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from peers.base import AsyncWorker, NotOffered, Peer, Target, Worker

RECEIVE = 262144


def parse_head(received: bytes) -> Optional[tuple[int, int, int]]:
    """Status, length of the body and where it begins; None while the head is incomplete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    at = head.index(b"\r\ncontent-length:") + 17
    stop = head.find(b"\r\n", at)
    return int(head[9:12]), int(head[at : stop if stop > 0 else end]), end + 4


class Raw(Peer):
    """Sockets, as bare as they come."""

    def plan(self, target: Target) -> tuple[tuple[str, int], Optional[ssl.SSLContext], bytes]:
        """Address, TLS context and the bytes of the request."""
        if target.http2:
            raise NotOffered("no HTTP/2")
        parts = urlsplit(target.url)
        address = (str(parts.hostname), int(parts.port or 0))
        lines = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\nUser-Agent: raw\r\n\r\n"
        return address, ssl.create_default_context(cafile=target.ca) if target.tls else None, lines.encode()

    @contextlib.contextmanager
    def sync_workers(self, target: Target) -> Iterator[Callable[[], Worker]]:
        address, context, request = self.plan(target)
        with contextlib.ExitStack() as stack:

            def connect() -> Worker:
                wire = stack.enter_context(open_socket(address, context))
                return functools.partial(exchange, wire, request, target)

            yield connect

    def one_off(self, target: Target) -> Worker:
        address, context, request = self.plan(target)

        def get() -> None:
            with open_socket(address, context) as wire:
                exchange(wire, request, target)

        return get

    @contextlib.contextmanager
    def downloads(self, target: Target) -> Iterator[Worker]:
        address, context, request = self.plan(target)
        buffer = bytearray(RECEIVE)
        with open_socket(address, context) as wire:

            def download() -> None:
                wire.sendall(request)
                received = wire.recv(RECEIVE)
                head = parse_head(received)
                while head is None:
                    received += wire.recv(RECEIVE)
                    head = parse_head(received)
                status, length, begin = head
                have = len(received) - begin
                while have < length:
                    have += wire.recv_into(buffer) or length
                target.check(status, have)

            yield download

    @contextlib.asynccontextmanager
    async def async_workers(self, target: Target) -> AsyncIterator[Callable[[], AsyncWorker]]:
        address, context, request = self.plan(target)
        protocols: list[Exchange] = []

        def connect() -> AsyncWorker:
            async def get() -> None:
                nonlocal protocol
                if protocol is None:
                    protocol = await open_protocol(Exchange, address, context)
                    protocols.append(protocol)
                target.check(*await protocol.ask(request))

            protocol: Optional[Exchange] = None
            return get

        yield connect
        for protocol in protocols:
            protocol.transport.close()

    @contextlib.asynccontextmanager
    async def async_downloads(self, target: Target) -> AsyncIterator[AsyncWorker]:
        address, context, request = self.plan(target)
        protocol = await open_protocol(Download, address, context)

        async def download() -> None:
            target.check(*await protocol.ask(request))

        yield download
        protocol.transport.close()


def open_socket(address: tuple[str, int], context: Optional[ssl.SSLContext]) -> socket.socket:
    """A connected socket, with TLS where there is a context."""
    wire = socket.create_connection(address, 20)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(wire, server_hostname=address[0]) if context else wire


def exchange(wire: socket.socket, request: bytes, target: Target) -> None:
    """One request and its small response."""
    wire.sendall(request)
    received = wire.recv(65536)
    while True:
        head = parse_head(received)
        if head is not None and len(received) >= head[1] + head[2]:
            break
        received += wire.recv(65536)
    target.check(head[0], len(received[head[2] :]))


async def open_protocol(kind: Any, address: tuple[str, int], context: Optional[ssl.SSLContext]) -> Any:
    """A connected protocol of this class."""
    name = address[0] if context else None
    _, protocol = await asyncio.get_running_loop().create_connection(kind, *address, ssl=context, server_hostname=name)
    return protocol


class Connected:
    """What both protocols have in common: a transport and the future of the response."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, int]]:
        """Send, and get the future of (status, bytes of body)."""
        self.received = b""
        self.left = -1
        self.answer = self.loop.create_future()
        self.transport.write(request)
        return self.answer

    def connection_lost(self, error: Optional[Exception]) -> None:
        if not self.answer.done():
            self.answer.set_exception(error or ConnectionError("closed by the server"))


class Exchange(Connected, asyncio.Protocol):
    """Small responses."""

    def data_received(self, received: bytes) -> None:
        if self.received:
            received = self.received + received
        head = parse_head(received)
        if head is not None and len(received) >= head[1] + head[2]:
            self.answer.set_result((head[0], len(received[head[2] :])))
        else:
            self.received = received


class Download(Connected, asyncio.BufferedProtocol):
    """A large response, counted and dropped."""

    def __init__(self) -> None:
        self.buffer = bytearray(RECEIVE)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        if self.left < 0:
            self.received += bytes(self.buffer[:count])
            head = parse_head(self.received)
            if head is None:
                return
            self.status, self.length, begin = head
            self.left = self.length
            count = len(self.received) - begin
        self.left -= count
        if self.left <= 0:
            self.answer.set_result((self.status, self.length - self.left))
