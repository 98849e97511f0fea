"""
What does the HTTP/2 machine cost for one request and its answer, without sockets, pool and models?

Answers are as nginx 1.22 writes them: fields with a known name as literals that are added to the table, others as
literals that are not, all in Huffman code. The control is h2 doing the same, where it is installed. Run with the
package importable: python micro/http2_cycle.py

CPython 3.13, one core of a small shared machine, us of CPU (of a MiB for bodies), best of five:

                                                  first    now
    one at a time                                  41.5   11.4
    50 at once                                     31.7    8.1
    1,000 at once                                  31.8    8.1
    50 at once, each answer with its own ETag      36.0   25.4
    50 at once, own target, size, ETag             47.4   28.0
    download, frames of 16 KiB                      258    167
    download, frames of 8 KiB                       378    208
    download, frames of 8 KiB, 16 KiB at a time     500    700
    upload, chunks of 64 KiB                        140    165
    upload, chunks of 10 MB                         180    158
    h2, one at a time                               265    265

"First" decoded each block anew, made an object of each frame, and a chunk of each DATA frame. Now what arrives for a
stream in a row is one chunk, which is dearer here when reads are small, and saves more above than it costs. Uploads
give up a little where a chunk is one frame: in return nothing of a large one is copied twice.
Against nginx on loopback (plain, prior knowledge), a whole asyncio request at 50 concurrent went from 74 us to 49, and
100 MB from 147 ms to 78.
"""

from __future__ import annotations

import sys
import time
import timeit
from collections import Counter
from typing import Callable

from httpx._protocol import frames, huffman
from httpx._protocol.exchange import BODY
from httpx._protocol.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from httpx._protocol.http2 import HTTP2Connection
from httpx._protocol.stream2 import OPEN

FIELDS = [
    (b"Host", b"127.0.0.1:8443"),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
    (b"User-Agent", b"python-httpx/1.0.0"),
    (b"X-Request-Id", b"0123456789abcdef"),
]
SETTINGS = frames.settings({3: 2000, 4: 65_536, 5: 16_777_215}) + frames.window_update(0, 2_147_418_112)
SMALL = b"x" * 46


def literal(start: bytes, value: bytes) -> bytes:
    """A field of an answer as nginx writes it."""
    code = huffman.encode(value)
    return start + bytes([0x80 | len(code)]) + code


def block(second: int = 0, size: int = 46, etag: int = 0) -> bytes:
    """The header block of an answer."""
    return (
        b"\x88"
        + literal(b"\x76", b"nginx/1.22.1")
        + literal(b"\x61", b"Fri, 27 Nov 2026 13:%02d:%02d GMT" % divmod(second % 3600, 60))
        + literal(b"\x5f", b"text/plain")
        + literal(b"\x5c", b"%d" % size)
        + literal(b"\x6c", b"Fri, 27 Nov 2026 12:00:00 GMT")
        + literal(literal(b"\x00", b"etag"), b'"%x-%x"' % (etag + 0x6B09888A, size))
        + literal(literal(b"\x00", b"accept-ranges"), b"bytes")
    )


def answer(identifier: int, fields: bytes, body: bytes = SMALL) -> bytes:
    return frame(HEADERS, END_HEADERS, identifier, fields) + frame(DATA, END_STREAM, identifier, body)


def connected() -> HTTP2Connection:
    connection = HTTP2Connection()
    connection.take()
    connection.receive(SETTINGS)
    connection.take()
    return connection


def cycle(at_once: int, requests: int, fields: Callable[[int], bytes], target: Callable[[int], bytes]) -> float:
    """
    µs for one request of `requests`, `at_once` of which are open at the same time.

    What the peer says is made before, so that only the machine and what a shell must do with it are timed: requests of
    one turn are taken together, answers come interleaved and up to 64 KiB at a time.
    """
    connection = connected()
    rounds = []
    for turn in range(requests // at_once):
        numbers = [2 * (turn * at_once + index) + 1 for index in range(at_once)]
        blocks = [fields(number) for number in numbers]
        message = b"".join(frame(HEADERS, END_HEADERS, number, one) for number, one in zip(numbers, blocks))
        message += b"".join(frame(DATA, END_STREAM, number, SMALL) for number in numbers)
        targets = [target(number) for number in numbers]
        rounds.append((targets, [message[start : start + 65_536] for start in range(0, len(message), 65_536)]))

    def run() -> None:
        done = 0
        for targets, pieces in rounds:
            for one in targets:
                connection.open(b"https", b"GET", one, FIELDS)
            while connection.output:
                connection.take()
            for piece in pieces:
                connection.receive(piece)
                for stream in connection.progressed:
                    if stream.finished and stream.chunks:
                        done += len(b"".join(stream.chunks))
                        stream.chunks.clear()
                connection.progressed.clear()
        if done != len(rounds) * at_once * 46 or connection.error is not None:
            raise AssertionError(f"the machine did not read the answers: {connection.error}")

    return timeit.timeit(run, timer=time.process_time, number=1) / (len(rounds) * at_once) * 1e6


def download(size: int, frame_size: int, piece: int = 262_144) -> float:
    """µs for a MiB of a download."""
    connection = connected()
    stream = connection.open(b"https", b"GET", b"/", FIELDS)
    connection.take()
    connection.receive(frame(HEADERS, END_HEADERS, 1, block(size=2 * size)))
    # A few pieces, again and again, because what has just arrived is in the processor's cache; frames are cut anywhere.
    message = frame(DATA, 0, 1, bytes(frame_size)) * (3 * piece // (frame_size + 9) + 1)
    few = [message[start : start + piece] for start in range(0, len(message), piece)]
    pieces = few * (size // len(message))
    count = 0

    def run() -> None:
        nonlocal count
        for one in pieces:
            connection.receive(one)
            got = len(b"".join(stream.chunks)) if len(stream.chunks) != 1 else len(stream.chunks[0])
            stream.chunks.clear()
            stream.took(got)
            count += got
            connection.progressed.clear()
            if connection.output:
                connection.take()

    taken = timeit.timeit(run, timer=time.process_time, number=1)
    if (
        count != size // len(message) * (len(message) // (frame_size + 9) * frame_size)
        or connection.error is not None
        or stream.error is not None
    ):
        raise AssertionError(f"the machine did not read the body: {connection.error or stream.error} {count}")
    return taken / (count / 1_048_576) * 1e6


def upload(size: int, chunk_size: int) -> float:
    """µs for a MiB of an upload to a peer that opens its window again as soon as half of it is used."""
    connection = connected()
    stream = connection.open(b"https", b"POST", b"/", [*FIELDS, (b"Transfer-Encoding", b"chunked")], streaming=True)
    chunk = bytes(chunk_size)

    def run() -> None:
        given = unacknowledged = 0
        while stream.state == OPEN:
            if stream.need == BODY:
                stream.feed(chunk if given < size else None)
                given += chunk_size
            while connection.output:
                unacknowledged += len(connection.take())
            if unacknowledged >= 32_768:
                connection.receive(frames.window_update(1, unacknowledged))
                connection.progressed.clear()
                unacknowledged = 0

    taken = timeit.timeit(run, timer=time.process_time, number=1)
    if connection.error is not None or stream.error is not None:
        raise AssertionError(f"the upload failed: {connection.error or stream.error}")
    return taken / (size / 1_048_576) * 1e6


def h2_cycle(requests: int) -> float:
    """The same by h2, one request at a time: µs for each."""
    import h2.config
    import h2.connection

    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    connection.data_to_send()
    connection.receive_data(SETTINGS)
    connection.data_to_send()
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"127.0.0.1:8443"), (b":path", b"/small")]
    fields += [(name.lower(), value) for name, value in FIELDS if name not in (b"Host", b"Connection")]
    answers = [answer(number, block()) for number in range(1, 2 * requests, 2)]

    def run() -> None:
        for index, one in enumerate(answers):
            connection.send_headers(2 * index + 1, fields, end_stream=True)
            connection.data_to_send()
            if len(connection.receive_data(one)) != 3:
                raise AssertionError("h2 did not read the answer")

    return timeit.timeit(run, timer=time.process_time, number=1) / requests * 1e6


def calls(at_once: int = 50) -> dict[str, int]:
    """Calls of Python functions for one warm request, by name."""
    connection = connected()
    counted: Counter[str] = Counter()

    def note(called: object, event: str, _: object) -> None:
        if event == "call":
            counted[called.f_code.co_name] += 1

    for turn in range(2):
        if turn:
            sys.setprofile(note)
        streams = [connection.open(b"https", b"GET", b"/small", FIELDS) for _ in range(at_once)]
        connection.take()
        sys.setprofile(None)
        message = b"".join(answer(stream.identifier, block()) for stream in streams)
        if turn:
            sys.setprofile(note)
        connection.receive(message)
        sys.setprofile(None)
    return {name: count / at_once for name, count in counted.most_common() if count >= at_once}


def report(name: str, measured: Callable[[], float], unit: str = "µs") -> None:
    """Print the best of five, the least disturbed one."""
    print(f"{name:44} {min(measured() for _ in range(5)):8.2f} {unit}")


if __name__ == "__main__":
    same, path = block(), b"/small"
    report("one at a time", lambda: cycle(1, 5000, lambda _: same, lambda _: path))
    report("50 at once", lambda: cycle(50, 5000, lambda _: same, lambda _: path))
    report("1,000 at once", lambda: cycle(1000, 5000, lambda _: same, lambda _: path))
    report(
        "50 at once, each answer with its own ETag", lambda: cycle(50, 5000, lambda n: block(etag=n), lambda _: path)
    )
    report(
        "50 at once, each with its own target, size, ETag",
        lambda: cycle(50, 5000, lambda n: block(n // 5000, etag=n), lambda n: b"/item/%d?page=1&per_page=50" % n),
    )
    report("download, frames of 16 KiB", lambda: download(100_000_000, 16_384), "µs/MiB")
    report("download, frames of 8 KiB", lambda: download(100_000_000, 8192), "µs/MiB")
    report("download, frames of 8 KiB, 16 KiB at a time", lambda: download(100_000_000, 8192, 16_384), "µs/MiB")
    report("upload, chunks of 64 KiB", lambda: upload(100_000_000, 65_536), "µs/MiB")
    report("upload, chunks of 10 MB", lambda: upload(100_000_000, 10_000_000), "µs/MiB")
    try:
        report("h2, one at a time", lambda: h2_cycle(500))
    except ImportError:
        print("h2: not installed")
    print("calls for one of 50:", calls())
