"""
Jobs in threads, whose output appears in the order of the jobs.

    turns = Turns(jobs, work, width=4)
    turns.run()                 calls work(job) for each, four at a time; raises what one of them raised
    turns.stop()                begin nothing any more

    jobs ─► a thread: work(job) ─► sys.stdout, sys.stderr ─► its outlet ─► spool, until it is its turn ─► the screen

While jobs run, `sys.stdout` and `sys.stderr` are, in each of these threads, the two ends of the job's outlet: so what
writes to them needs to know nothing of this. The outlet whose turn it is writes through. The thread that ends that job
passes the turn on, and writes what the next one has spooled.

Bounds: a spool is in memory up to `IN_MEMORY` bytes and in a temporary file beyond. While all of them together have
`MAX_SPOOL`, a job that would write waits for its turn. At most `AHEAD` jobs are taken, and not yet shown. Each is taken
by the thread that does it, so an input that blocks delays nothing that is under way. Threads are daemons: the end of
the process waits for none.

Not here: what a job is (`many`).
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Generic, TypeVar

J = TypeVar("J")
# Writes bytes to standard output (1) or standard error (2).
Sink = Callable[[int, bytes], None]

# Bytes, of one spool and of all.
IN_MEMORY = 1 << 16
MAX_SPOOL = 1 << 30
_BLOCK = 1 << 16
# Jobs that are taken and not yet shown, or twice the width if that is more.
AHEAD = 64
# Seconds for jobs that were interrupted to leave what they work on as it should be.
LAST_WORDS = 2.0
# Seconds. Where a wait cannot be interrupted (on Windows), Ctrl-C is seen after this.
_GLANCE = 0.5


class Interrupted(Exception):
    """The output of a job is not wanted any more."""


class Spooled:
    """The bytes that all outlets of a run keep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.size = 0

    def add(self, size: int) -> None:
        """Count bytes; below 0 for those that are not kept any more."""
        with self._lock:
            self.size += size


class Outlet:
    """
    The output of a job, which waits for its turn.

    Args:
        sink: for what is shown.
        spooled: counts what is kept.
    """

    def __init__(self, sink: Sink, spooled: Spooled) -> None:
        self._sink = sink
        self._spooled = spooled
        self._changed = threading.Condition()
        self._spool: Any = None
        self._parts: list[list[int]] = []  # [stream, bytes] in the order of writing
        self._size = 0
        self._is_open = False
        self._is_dropped = False

    def put(self, stream: int, data: bytes) -> None:
        """
        Write to a stream, or keep it until it is its turn.

        Raises:
            Interrupted: it was dropped meanwhile.
            OSError: it cannot be written, such as `BrokenPipeError`.
        """
        with self._changed:
            while self._spooled.size > MAX_SPOOL and not self._is_open and not self._is_dropped:
                self._changed.wait(_GLANCE)
            if self._is_dropped:
                raise Interrupted
            if self._is_open:
                self._sink(stream, data)
            elif data:
                self._keep(stream, data)

    def _keep(self, stream: int, data: bytes) -> None:
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # closed by `open` or `drop`
        self._spool.write(data)
        self._size += len(data)
        self._spooled.add(len(data))
        if self._parts and self._parts[-1][0] == stream:
            self._parts[-1][1] += len(data)
        else:
            self._parts.append([stream, len(data)])

    def open(self) -> None:
        """Write what was kept; from now on, all is written at once."""
        with self._changed:
            spool, self._spool = self._spool, None
            if spool is not None:
                with spool:
                    spool.seek(0)
                    for stream, size in self._parts:
                        self._copy(spool, stream, size)
            self._spooled.add(-self._size)
            self._parts, self._size, self._is_open = [], 0, True
            self._changed.notify_all()

    def _copy(self, spool: Any, stream: int, size: int) -> None:
        while size and not self._is_dropped:
            data = spool.read(min(size, _BLOCK))
            self._sink(stream, data)
            size -= len(data)

    def drop(self) -> None:
        """Show nothing any more. Never waits for long: another thread may be writing to a slow reader."""
        self._is_dropped = True
        if self._changed.acquire(timeout=0.1):
            try:
                if self._spool is not None:
                    self._spool.close()
                    self._spool = None
                    self._spooled.add(-self._size)
                    self._parts, self._size = [], 0
                self._changed.notify_all()
            finally:
                self._changed.release()


class _Nowhere:
    """What takes the place of an outlet where there is no such stream."""

    def put(self, stream: int, data: bytes) -> None:
        """Drop what is written."""


class End:
    """
    A text stream over one end of an outlet.

    Args:
        outlet: to write to.
        stream: 1 or 2.
        real: the stream that it stands for, for what is asked about it.
    """

    def __init__(self, outlet: Outlet | _Nowhere, stream: int, real: Any) -> None:
        self._outlet = outlet
        self._stream = stream
        self._real = real
        self.buffer = _Bytes(outlet, stream)

    def write(self, text: str) -> int:
        """Write text."""
        self.buffer.write(text.encode(self._real.encoding or "utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept here."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Bytes:
    def __init__(self, outlet: Outlet | _Nowhere, stream: int) -> None:
        self._outlet = outlet
        self._stream = stream

    def write(self, data: bytes) -> int:
        self._outlet.put(self._stream, bytes(data))
        return len(data)

    def flush(self) -> None:
        pass


class _OfThread:
    """A stream that is another one in each thread of `Turns`."""

    def __init__(self, local: threading.local, name: str, real: Any) -> None:
        self._local = local
        self._name = name
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._local, self._name, None) or self._real, name)


class _Entry(Generic[J]):
    """A job that was taken."""

    def __init__(self, job: J, outlet: Outlet) -> None:
        self.job = job
        self.outlet = outlet
        self.is_over = False


class Turns(Generic[J]):
    """
    Jobs in threads.

    Args:
        jobs: read by one thread at a time.
        work: does one of them.
        width: how many at the same time.
        sink: for their output; by default the streams of the process.
    """

    def __init__(self, jobs: Iterator[J], work: Callable[[J], None], width: int, sink: Sink | None = None) -> None:
        self._jobs = jobs
        self._work = work
        self._width = width
        self._ahead = max(AHEAD, 2 * width)
        self._streams = {1: sys.stdout, 2: sys.stderr}
        self._sink = sink or self._write
        self._spooled = Spooled()
        self._local = threading.local()
        self._reading = threading.Lock()
        self._changed = threading.Condition()
        # Under the condition. `_taken` are the jobs that were taken and not yet shown; the first one has its turn.
        self._taken: list[_Entry[J]] = []
        self._threads = 0
        self._under_way = 0
        self._is_over = False  # there are no more jobs, or no more are wanted
        self._failure: BaseException | None = None

    def run(self, interrupt: Callable[[], None] = lambda: None) -> None:
        """
        Do all jobs.

        Args:
            interrupt: called to end the jobs that are under way, if this is interrupted or one of them raises.

        Raises:
            The first exception of a job, KeyboardInterrupt, or an OSError of the output.
        """
        with self._redirected():
            try:
                with self._changed:
                    self._begin_thread()
                    while self._failure is None and not (self._is_over and not self._under_way):
                        self._changed.wait(_GLANCE)
                if self._failure is not None:
                    raise self._failure
            except BaseException:
                self._abandon(interrupt)
                raise
            finally:
                self._failure = None

    def stop(self) -> None:
        """Take no more jobs; those that were taken go on."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def redirect_output(self) -> Any:
        """Return a context in which standard output is standard error, or nowhere without one, in this thread."""
        return self._output_to_error()

    @contextmanager
    def _output_to_error(self) -> Iterator[None]:
        output = self._local.stdout
        self._local.stdout = self._local.stderr or End(_Nowhere(), 2, self._streams[1])
        try:
            yield
        finally:
            self._local.stdout = output

    @contextmanager
    def _redirected(self) -> Iterator[None]:
        output, error = sys.stdout, sys.stderr
        of_thread: Any = _OfThread(self._local, "stdout", output)
        sys.stdout = of_thread
        if error is not None:
            of_thread = _OfThread(self._local, "stderr", error)
            sys.stderr = of_thread
        try:
            yield
        finally:
            sys.stdout, sys.stderr = output, error

    def _write(self, stream: int, data: bytes) -> None:
        out = self._streams[stream]
        if out is not None:
            out.buffer.write(data)
            out.buffer.flush()

    def _begin_thread(self) -> None:
        """Begin a thread, under the condition."""
        self._threads += 1
        try:
            threading.Thread(target=self._serve, name="httpx.turn", daemon=True).start()
        except RuntimeError:  # too many threads: fewer do it
            self._threads -= 1
            if not self._threads:
                raise

    def _serve(self) -> None:
        """Do jobs until there are none."""
        try:
            while (entry := self._take()) is not None:
                self._local.stdout = End(entry.outlet, 1, self._streams[1])
                self._local.stderr = None if self._streams[2] is None else End(entry.outlet, 2, self._streams[2])
                try:
                    self._work(entry.job)
                except Interrupted:
                    pass
                finally:
                    self._ended(entry)
        except BaseException as exc:
            with self._changed:
                self._failure = self._failure or exc
                self._changed.notify_all()

    def _take(self) -> _Entry[J] | None:
        """Return the next job; None if there is none."""
        with self._reading:
            with self._changed:
                while not self._is_over and len(self._taken) >= self._ahead:
                    self._changed.wait()
                if self._is_over:
                    return None
            job = next(self._jobs, None)  # it may wait for its input
            with self._changed:
                if job is None or self._is_over:
                    self._is_over = True
                    self._changed.notify_all()
                    return None
                entry = _Entry(job, Outlet(self._sink, self._spooled))
                self._taken.append(entry)
                self._under_way += 1
                if len(self._taken) == 1:
                    entry.outlet.open()
                if self._threads < self._width:
                    self._begin_thread()
                return entry

    def _ended(self, entry: _Entry[J]) -> None:
        """Note the end of a job; pass the turn on if it had it."""
        with self._changed:
            entry.is_over = True
            has_turn = self._taken[:1] == [entry]
        try:
            # A job that ends while its turn comes leaves the rest to the thread that is here.
            while has_turn:
                with self._changed:
                    following = self._taken[1] if len(self._taken) > 1 else None
                    if following is None:
                        self._taken.clear()
                        self._changed.notify_all()
                        break
                following.outlet.open()
                with self._changed:
                    del self._taken[0]
                    has_turn = following.is_over
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _abandon(self, interrupt: Callable[[], None]) -> None:
        """End what is under way, and wait for it for a moment."""
        with self._changed:
            self._is_over = True
            taken = list(self._taken)
            self._changed.notify_all()
        for entry in taken:
            entry.outlet.drop()
        interrupt()
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, LAST_WORDS)
