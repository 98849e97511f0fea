"""
What is measured: the list of cases, in the order in which they run and are printed.

A case is data: how it is carried out follows from its `kind` (`measure`), what a client does in it is in `peers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Case:
    """
    One question.

    Args:
        kind: `sync` (one thread), `threads`, `async`, `one-off`, `stream`, `async-stream`, `import`, `first` or `init`.
        server: `http`, `https` or `h2`: which of the origin's servers; `awake` for the one that never sleeps.
        workers: how many tasks or threads share the client, each doing one request after the other.
        unit: `µs` or `ms`, what a number in the table counts.
        least: a lower bound of the repetitions of one worker in one sample: with one each, tasks that share a client
            would all start on an idle connection and none ever take over from another.
        most: an upper bound of the same, where results have to be kept alive.
        processes: processes per round, where one process can give one sample only.
    """

    name: str
    question: str
    kind: str
    server: str = "http"
    workers: int = 1
    loop: str = "asyncio"
    unit: str = "µs"
    least: int = 1
    most: Optional[int] = None
    processes: int = 1

    @property
    def path(self) -> str:
        """Which file is asked for."""
        return "/big" if self.kind in ("stream", "async-stream") else "/small"


# Without a server: what a program pays before its first request.
LOCAL = {"import", "first", "init"}

CASES = (
    Case("sync-get", "GET of 46 bytes, one after the other", "sync"),
    Case("sync-get-tls", "the same over TLS", "sync", "https"),
    Case("sync-get-h2", "the same over HTTP/2 and TLS", "sync", "h2"),
    Case("sync-get-awake", "GET of 46 bytes from a server that never sleeps", "sync", "awake"),
    Case("async-50", "50 asyncio tasks share a client, GET of 46 bytes", "async", workers=50, least=10),
    Case("async-50-uvloop", "the same on uvloop", "async", workers=50, least=10, loop="uvloop"),
    Case("async-50-awake", "50 asyncio tasks and a server that never sleeps", "async", "awake", workers=50, least=10),
    Case("async-500", "500 asyncio tasks share a client", "async", workers=500, least=4),
    Case("async-tls-50", "50 asyncio tasks over TLS", "async", "https", workers=50, least=10),
    Case("async-h2-50", "50 asyncio tasks over HTTP/2 and TLS", "async", "h2", workers=50, least=10),
    Case("async-h2-1000", "1,000 asyncio tasks over one HTTP/2 connection", "async", "h2", workers=1000, least=3),
    Case("threads-8", "8 threads share a client", "threads", workers=8, least=20),
    Case("one-off", "a new client and connection for each GET", "one-off"),
    Case("stream-sync", "100 MB read in chunks", "stream", unit="ms"),
    Case("stream-sync-tls", "the same over TLS", "stream", "https", unit="ms"),
    Case("stream-sync-h2", "the same over HTTP/2 and TLS", "stream", "h2", unit="ms"),
    Case("stream-async", "100 MB read in chunks, asyncio", "async-stream", unit="ms"),
    Case("stream-async-tls", "the same over TLS", "async-stream", "https", unit="ms"),
    Case("stream-async-h2", "the same over HTTP/2 and TLS", "async-stream", "h2", unit="ms"),
    Case("import", "import until the client classes can be named", "import", unit="ms", processes=4),
    Case("client-first", "the first client of a process, constructed", "first", unit="ms", processes=4),
    Case("client-init", "every further client, constructed", "init", most=200),
)

BY_NAME = {case.name: case for case in CASES}
