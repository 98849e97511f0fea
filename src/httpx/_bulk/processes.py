"""
`Client.map(executor=...)`: chunks of requests, sent by worker processes.

    here                                        in a worker
    read a chunk, pickle it ─► executor ─►      run_chunk: the kept client, its own `map` over the chunk
    next outcome            ◄─ unpickle ◄─      responses and errors, pickled

A client is pickled as its configuration. Each worker process keeps the copy for as long as it lives (`KEPT`), so that
connections are used again by later chunks and later calls of `map`. The key is the pickle and a random word for each
client here: two clients with the same configuration do not share cookies that servers set.

Everything is pickled here and not by the executor. What cannot be pickled is a TypeError that names it before its chunk
is sent, and what cannot be unpickled does not break a pool of processes.

Not here: starting processes. Any `concurrent.futures.Executor` of any package serves.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Callable
from weakref import WeakKeyDictionary

from .._config import whole_number
from .._forks import FORKS
from .._request import Request
from . import Bulk
from .calls import Call, checked_item, checked_items, fatality, without_own_frame
from .threads import ThreadCrew

# Clients that a worker process keeps while they are not in use.
_MAX_KEPT = 8
# Chunks at once, for an executor that does not say how many workers it has.
_CHUNKS = 16

# The word and the pickle of the client, the pickle of the items, concurrency, ordered, errors, and a number: Dask takes
# two calls with the same arguments for one.
Job = tuple[bytes, bytes, bytes, int, bool, str, int]


class KeptClients:
    """The clients of a worker process, by key; those that were used least recently are closed."""

    def __init__(self) -> None:
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Keep none: at first, and in a forked child."""
        self._lock = threading.RLock()
        self._clients: dict[tuple[bytes, bytes], tuple[Any, int]] = {}  # and how many chunks use it

    @contextmanager
    def borrowed(self, word: bytes, pickled: bytes) -> Iterator[Any]:
        """Return a context manager with the client of this pickle. Several chunks may use it at the same time."""
        key = word, pickled
        with self._lock:
            client, users = self._clients.pop(key, (None, 0))
            if client is None:
                client = pickle.loads(pickled)
            self._clients[key] = client, users + 1
            idle = [one for one, (_, users) in self._clients.items() if not users]
            old = [self._clients.pop(one)[0] for one in idle[: max(0, len(self._clients) - _MAX_KEPT)]]
        for each in old:
            each.close()
        try:
            yield client
        finally:
            with self._lock:
                if key in self._clients:  # not after a fork
                    client, users = self._clients[key]
                    self._clients[key] = client, users - 1


KEPT = KeptClients()


class ClientWords:
    """A random word for each client that was sent to workers, so that only its own copies share cookies."""

    def __init__(self) -> None:
        self.forget()
        FORKS.watch(self)

    def forget(self) -> None:
        """Choose new ones: at first, and in a forked child, whose clients are not those of its parent."""
        self._words: WeakKeyDictionary[Any, bytes] = WeakKeyDictionary()

    def of(self, client: Any) -> bytes:
        """Return the word of a client."""
        return self._words.setdefault(client, os.urandom(16))


WORDS = ClientWords()
_NUMBERS = count()


def run_chunk(job: Job) -> tuple[bool, bytes]:
    """
    Send the requests of a chunk; called in a worker.

    Returns:
        whether the last outcome ends the iteration, and the pickled outcomes.
    """
    word, pickled, items, concurrency, ordered, errors, _ = job
    outcomes: list[Any] = []
    is_over = False
    with KEPT.borrowed(word, pickled) as client:
        requests = [_unpacked(item) for item in pickle.loads(items)]
        try:
            with client.map(requests, concurrency=concurrency, ordered=ordered, errors=errors) as responses:
                for outcome in responses:
                    outcomes.append(outcome)  # what came before an error is kept
        except Exception as exc:
            outcomes.append(exc)
            is_over = True
    try:
        return is_over, pickle.dumps(outcomes)
    except Exception:
        return True, pickle.dumps(_picklable(outcomes))
    finally:
        outcomes.clear()  # an error's traceback holds this frame


def _picklable(outcomes: list[Any]) -> list[Any]:
    """Return the outcomes before the first one that cannot be pickled, and an error that says so."""
    for number, outcome in enumerate(outcomes):
        try:
            pickle.dumps(outcome)
        except Exception as exc:
            what = f"{type(outcome).__name__} ({str(outcome)[:200]})"
            return [*outcomes[:number], RuntimeError(f"{what} cannot be sent back from a worker process: {exc}")]
    return outcomes


# The pickle of a request has no extensions, which usually belong to one process. Here they go along: without them it
# would be another request.


def _packed(item: Any) -> Any:
    """Return what is pickled of an item. Raises TypeError for an item that is not one, or whose body was not read."""
    if not isinstance(checked_item(item), Request):
        return dict(item) if isinstance(item, Mapping) else item
    if not hasattr(item, "_content"):
        raise TypeError(f"the body of {item!r} is a stream: call its read() before it is sent to a worker process")
    return item, item.extensions


def _unpacked(item: Any) -> Any:
    if isinstance(item, tuple):
        item, item.extensions = item
    return item


def _pickled(items: list[Any], first: int) -> tuple[bytes, TypeError | None]:
    """
    Return the pickle of a chunk, up to the first item that cannot be pickled, and the error for that one.

    Args:
        first: the place of the chunk's first item in the input.
    """
    try:
        return pickle.dumps(items), None
    except Exception:
        for number, item in enumerate(items):
            try:
                pickle.dumps(item)
            except Exception as exc:
                error = TypeError(f"item {first + number} of requests cannot be sent to a worker process: {exc}")
                return pickle.dumps(items[:number]) if number else b"", error
        raise


class ProcessCrew(ThreadCrew):
    """Chunks in an executor. A call's request is a pickled chunk, its outcome what `run_chunk` returned."""

    def __init__(self, executor: Executor, ordered: bool, job_of: Callable[[bytes], Job]) -> None:
        # Of the errors those of the executor come here, such as a process that died.
        super().__init__(job_of, _workers_of(executor), ordered, fatality("raise"))
        self._executor = executor
        self._futures: dict[int, Future[Any]] = {}

    def begin(self, call: Call) -> None:
        """Submit a chunk."""
        self._check_process()
        future = self._executor.submit(run_chunk, self._send(call.request))
        call.request = None
        self.enlist(call)
        self._unfinished += 1
        self._futures[call.number] = future
        future.add_done_callback(partial(self._finish, call))

    def _finish(self, call: Call, future: Future[Any]) -> None:
        """Take the result of a chunk; called in a thread of the executor's."""
        self._futures.pop(call.number, None)  # which refers to this crew
        is_over = True
        try:
            call.outcome = future.result()
            is_over = call.outcome[0]
        except BaseException as exc:
            call.fail(exc)
        call.is_done = True
        if is_over:
            self._last = min(self._last, call.number if self._ordered else -1)
        self._hand_over(call)
        del call  # an error's traceback holds this frame

    def _note(self, call: Call | None) -> None:
        super()._note(call)
        if self.most == 0:
            for number, future in list(self._futures.items()):
                if number > self._last:
                    future.cancel()

    def _dismiss(self) -> None:
        """Cancel the chunks that have not begun."""
        for future in list(self._futures.values()):
            future.cancel()


def _workers_of(executor: Any) -> int:
    """Return how many chunks an executor can run at once, as far as it tells."""
    for name in ("_max_workers", "num_workers"):  # concurrent.futures and loky; mpi4py
        workers = getattr(executor, name, None)
        if isinstance(workers, int) and workers > 0:
            return workers
    try:
        return sum(executor._client.nthreads().values()) or _CHUNKS  # Dask
    except Exception:
        return _CHUNKS


class PooledBulk(Bulk[Any]):
    """The iterator of `Client.map` with an executor: it reads chunks, and hands out the outcomes of each one by one."""

    def __init__(self, client: Any, requests: Any, make_crew: Callable[[], ThreadCrew], chunk: int) -> None:
        super().__init__(client, requests, make_crew)
        self._chunk = chunk
        self._read_so_far = 0
        self._outcomes: Iterator[Any] = iter(())
        self._is_closed = False
        # The error that follows the last outcome.
        self._failure: BaseException | None = None

    def __next__(self) -> Any:
        for outcome in self._outcomes:
            return outcome
        self._raise_failure()
        is_over, pickled = super().__next__()
        try:
            outcomes = pickle.loads(pickled)
        except Exception:
            self.close()
            raise
        if is_over:
            self.close()
            self._failure = outcomes.pop()
        self._outcomes = iter(outcomes)
        return self.__next__()

    def _raise_failure(self) -> None:
        error, self._failure = self._failure, None
        try:
            if error is not None:
                raise error
        finally:
            del error

    def _read(self) -> None:
        """Read a chunk of the input, and begin its call."""
        items: list[Any] = []
        first, error = self._read_so_far, None
        try:
            for item in self._source:
                self._read_so_far += 1
                items.append(_packed(item))
                if len(items) == self._chunk:
                    break
            else:
                self._source = None
        except Exception as exc:
            error = without_own_frame(exc)
        if items:
            pickled, unfit = _pickled(items, first)
            error = unfit or error
            if pickled and self._crew is not None and not self._is_closed:
                self._crew.begin(Call(self._number, pickled))
                self._number += 1
        if error is not None:
            self._source = None
            self._input_error = error
            del error  # a traceback that holds its own frame lives until the next garbage collection

    def close(self) -> None:
        """End the iteration: no chunk begins any more, and those under way are waited for."""
        self._is_closed = True
        super().close()
        self._outcomes = iter(())
        self._failure = None


def pooled_bulk(
    client: Any, requests: Any, concurrency: int, ordered: bool, errors: str, executor: Executor, chunk: int
) -> PooledBulk:
    """
    Return the iterator of `Client.map` with an executor.

    Raises:
        TypeError: the client cannot be pickled, or the executor has no `submit`.
    """
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must have a method submit, got {type(executor).__name__}")
    requests = checked_items(requests, is_async=False)
    concurrency, chunk = whole_number("concurrency", concurrency, 1), whole_number("chunk", chunk, 1)
    fatality(errors)
    try:
        pickled = pickle.dumps(client)
    except Exception as exc:
        raise TypeError(f"the client cannot be sent to worker processes: {exc}") from exc
    word = WORDS.of(client)

    def job_of(items: bytes) -> Job:
        return word, pickled, items, concurrency, bool(ordered), errors, next(_NUMBERS)

    return PooledBulk(client, requests, lambda: ProcessCrew(executor, ordered, job_of), chunk)
