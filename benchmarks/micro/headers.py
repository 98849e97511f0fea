"""
What do `Headers` cost: made from the wire's fields, looked up once, made from a dict, copied?

The first two happen for every response; looking up pays for the index, which is built on first use.
"""

from __future__ import annotations

import timeit

from httpx._headers import Headers

WIRE = [
    (b"Server", b"nginx/1.22.1"),
    (b"Date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
    (b"Content-Type", b"text/plain"),
    (b"Content-Length", b"46"),
    (b"Last-Modified", b"Mon, 01 Jan 2024 00:00:00 GMT"),
    (b"Connection", b"keep-alive"),
    (b"ETag", b'"1-2e"'),
    (b"Accept-Ranges", b"bytes"),
]
GIVEN = {"Accept": "application/json", "X-Request-ID": "8d1f", "User-Agent": "benchmark"}
READY = Headers(WIRE)

CASES = {
    "8 raw fields": lambda: Headers(WIRE),
    "and one lookup": lambda: Headers(WIRE)["content-type"],
    "a ready lookup": lambda: READY["content-type"],
    "a miss": lambda: READY.get("x-none"),
    "a dict of 3": lambda: Headers(GIVEN),
    "a copy": lambda: Headers(READY),
    "control: list": lambda: list(WIRE),
}

if __name__ == "__main__":
    for name, function in CASES.items():
        best = min(timeit.repeat(function, number=20_000, repeat=5))
        print(f"{name:15} {best / 20_000 * 1e6:8.2f} µs")
