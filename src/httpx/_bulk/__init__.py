"""
`Client.map` and `AsyncClient.map`: many requests, a few at a time.

    input ─► Bulk, AsyncBulk: read one item, begin its call ─► crew: threads, tasks or processes ─► next outcome

The iterators are twins. The thread or task that iterates is the one that reads the input, and only while it is in
`__next__`: an input may be a cursor of a database that belongs to one thread, or a generator with a cancel scope.
Each step reads one item if there is room for it, then returns what is ready; else it reads on, and waits when there
is no room. At most `2 * concurrency` calls are begun and not taken, so memory does not depend on the input's length.

Rejected: a thread or task that reads the input ahead, which would return a response at once where the input makes the
consumer wait, and would read a generator elsewhere than the program expects. An async generator: one that is
abandoned needs its loop to end.

Not here: who sends (`threads`, `tasks`), worker processes (`processes`), items (`calls`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar

from .._config import whole_number
from .calls import call_of, checked_items, fatality, without_own_frame

if TYPE_CHECKING:
    from .tasks import TaskCrew
    from .threads import ThreadCrew

T = TypeVar("T")

_IN_USE = "this iterator of map is in use: only one thread or task at a time may iterate over it"


class Bulk(Generic[T], Iterator[T]):
    """
    The responses of `Client.map`: an iterator that can be closed, and a context manager that closes it.

    Args:
        client: builds and sends.
        requests: the input.
        make_crew: returns the crew, when the first response is asked for.
    """

    _is_waiting = False

    def __init__(self, client: Any, requests: Any, make_crew: Callable[[], ThreadCrew]) -> None:
        self._client = client
        self._source: Any = iter(requests)
        self._make_crew = make_crew
        self._crew: ThreadCrew | None = None
        self._number = 0
        # What reading the input raised. It is raised after the outcomes of what was read before.
        self._input_error: BaseException | None = None

    def __iter__(self) -> Bulk[T]:
        return self

    def __next__(self) -> T:
        if self._is_waiting:
            raise RuntimeError(_IN_USE)
        crew = self._crew
        try:
            self._is_waiting = True
            if crew is None:
                crew = self._crew = self._make_crew()
            while True:
                has_room = self._source is not None and crew.outstanding < crew.most
                if has_room:
                    self._read()
                if crew.is_ready():
                    return crew.take()  # type: ignore[no-any-return]  # what the crew was given to send
                if not has_room:
                    if not crew.outstanding:
                        self._end(crew)
                    crew.wait()
        except StopIteration:
            raise
        except BaseException as exc:
            self._source = self._input_error = None
            if crew is not None:
                self._give_up(crew, exc)
            raise
        finally:
            self._is_waiting = False

    def _read(self) -> None:
        """Read an item of the input, and begin its call."""
        try:
            call = call_of(self._number, self._client, next(self._source))
        except StopIteration:
            self._source = None
            return
        except Exception as exc:
            self._source = None
            self._input_error = without_own_frame(exc)
            return
        if self._source is not None and self._crew is not None:  # else it was closed meanwhile
            self._number += 1
            self._crew.begin(call)

    def _end(self, crew: ThreadCrew) -> None:
        """Raise what ends the iteration."""
        crew.stop()
        self._source = None
        error, self._input_error = self._input_error, None
        try:
            if error is not None:
                raise error
        finally:
            del error
        raise StopIteration

    def _give_up(self, crew: ThreadCrew, exc: BaseException) -> None:
        """After an error: wait for what is under way. Not after Ctrl-C, which should return at once."""
        if isinstance(exc, Exception):
            crew.stop()
            crew.join()
        else:
            crew.abandon()

    def close(self) -> None:
        """
        End the iteration: no request begins any more, and those under way are waited for.

        Their responses are dropped. Nothing happens if the iteration is over.
        """
        self._source = self._input_error = None
        if self._crew is not None:
            self._crew.stop()
            if not self._is_waiting:  # else the thread that iterates does it
                self._crew.join()

    def __enter__(self) -> Bulk[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if exc_type is not None and not issubclass(exc_type, Exception) and self._crew is not None:
            self._crew.abandon()
        self.close()

    def __del__(self) -> None:
        crew = self.__dict__.get("_crew")
        if crew is not None:
            crew.drop()


class AsyncBulk(Generic[T], AsyncIterator[T]):
    """
    The responses of `AsyncClient.map`: an async iterator that can be closed, and a context manager that closes it.

    Args:
        client, requests, make_crew: as for `Bulk`; the input may be async.
    """

    _is_waiting = False

    def __init__(self, client: Any, requests: Any, make_crew: Callable[[], TaskCrew]) -> None:
        self._client = client
        self._is_async = hasattr(requests, "__aiter__")
        self._source: Any = requests.__aiter__() if self._is_async else iter(requests)
        self._make_crew = make_crew
        self._crew: TaskCrew | None = None
        self._number = 0
        # What reading the input raised. It is raised after the outcomes of what was read before.
        self._input_error: BaseException | None = None

    def __aiter__(self) -> AsyncBulk[T]:
        return self

    async def __anext__(self) -> T:
        if self._is_waiting:
            raise RuntimeError(_IN_USE)
        crew = self._crew
        try:
            self._is_waiting = True
            if crew is None:
                crew = self._crew = self._make_crew()
            while True:
                has_room = self._source is not None and crew.outstanding < crew.most
                if has_room:
                    await self._read()
                if crew.is_ready():
                    return crew.take()  # type: ignore[no-any-return]  # what the crew was given to send
                if not has_room:
                    if not crew.outstanding:
                        self._end(crew)
                    await crew.wait()
        except StopAsyncIteration:
            raise
        except BaseException as exc:
            self._source = self._input_error = None
            if crew is not None:
                await self._give_up(crew, exc)
            raise
        finally:
            self._is_waiting = False

    async def _read(self) -> None:
        """Read an item of the input, and begin its call."""
        try:
            item = await self._source.__anext__() if self._is_async else next(self._source)
            call = call_of(self._number, self._client, item)
        except (StopIteration, StopAsyncIteration):
            self._source = None
            return
        except Exception as exc:
            self._source = None
            self._input_error = without_own_frame(exc)
            return
        if self._source is not None and self._crew is not None:  # else it was closed meanwhile
            self._number += 1
            self._crew.begin(call)

    def _end(self, crew: TaskCrew) -> None:
        """Raise what ends the iteration."""
        crew.stop()
        self._source = None
        error, self._input_error = self._input_error, None
        try:
            if error is not None:
                raise error
        finally:
            del error
        raise StopAsyncIteration

    async def _give_up(self, crew: TaskCrew, exc: BaseException) -> None:
        """After an error or a cancellation: cancel what is under way, and wait for its end."""
        crew.stop()
        await crew.join()

    async def aclose(self) -> None:
        """
        End the iteration: no request begins any more, and those under way are cancelled.

        Their responses are dropped. Nothing happens if the iteration is over.
        """
        self._source = self._input_error = None
        if self._crew is not None:
            self._crew.stop()
            if not self._is_waiting:  # else the task that iterates does it
                await self._crew.join()

    async def __aenter__(self) -> AsyncBulk[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        crew = self.__dict__.get("_crew")
        if crew is not None:
            crew.drop()


def bulk(client: Any, requests: Any, concurrency: int, ordered: bool, errors: str) -> Bulk[Any]:
    """Return the iterator of `Client.map` without an executor."""
    from .threads import ThreadCrew

    requests = checked_items(requests, is_async=False)
    arguments = client.send, whole_number("concurrency", concurrency, 1), bool(ordered), fatality(errors)
    return Bulk(client, requests, lambda: ThreadCrew(*arguments))


def async_bulk(client: Any, requests: Any, concurrency: int, ordered: bool, errors: str) -> AsyncBulk[Any]:
    """Return the iterator of `AsyncClient.map`."""
    from .tasks import crew_of_this_loop

    requests = checked_items(requests, is_async=True)
    arguments = client.send, whole_number("concurrency", concurrency, 1), bool(ordered), fatality(errors)
    return AsyncBulk(client, requests, lambda: crew_of_this_loop(*arguments))
