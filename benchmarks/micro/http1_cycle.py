"""
What does the HTTP/1.1 machine cost for one request and its response, without sockets, pool and models?

The control is h11 doing the same, where it is installed. Run with the package importable: python micro/http1_cycle.py
"""

from __future__ import annotations

import timeit

from httpx._protocol.http1 import FieldWriter, HTTP1Exchange

FIELDS = [
    (b"Host", b"127.0.0.1:8000"),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
    (b"User-Agent", b"benchmark"),
]
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b'Content-Length: 46\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\nETag: "1-2e"\r\n'
    b"Accept-Ranges: bytes\r\n\r\n" + b"x" * 46
)


WRITER = FieldWriter()


def ours(writer: object = None) -> None:
    exchange = HTTP1Exchange(b"GET", b"/small", FIELDS, writer=writer)
    exchange.take()
    exchange.receive(RESPONSE)
    if exchange.head is None or exchange.head[0] != 200 or len(b"".join(exchange.chunks)) != 46:
        raise AssertionError("the machine did not read the response")


def h11_cycle(h11: object) -> object:
    """The same by h11, on one connection that is used again and again, as a client would."""
    connection = h11.Connection(h11.CLIENT)
    fields = list(FIELDS)

    def cycle() -> None:
        connection.send(h11.Request(method=b"GET", target=b"/small", headers=fields))
        connection.send(h11.EndOfMessage())
        connection.receive_data(RESPONSE)
        length = 0
        while type(event := connection.next_event()) is not h11.EndOfMessage:
            length += len(event.data) if type(event) is h11.Data else 0
        if length != 46:
            raise AssertionError("h11 did not read the response")
        connection.start_next_cycle()

    return cycle


def report(name: str, function: object, number: int = 20_000) -> None:
    """Print the best of five, in µs: the least disturbed one."""
    best = min(timeit.repeat(function, number=number, repeat=5))
    print(f"{name:12} {best / number * 1e6:8.2f} µs")


if __name__ == "__main__":
    report("ours", ours)
    # As a connection does it: fields that were sent before are not checked and written again.
    report("ours, warm", lambda: ours(WRITER))
    try:
        import h11
    except ImportError:
        print("h11          not installed")
    else:
        report("h11", h11_cycle(h11), 5_000)
