"""
One scenario, run by every engine.

A scenario is written once, as if for `AsyncClient`:

    async def scenario(client):
        response = await client.get("/get")
        async with client.stream("GET", "/stream/3") as streamed:
            return response.status_code, [line async for line in streamed.aiter_lines()]

    def test_both_ways_of_reading_agree(driver, echo_server):
        status, lines = driver.run(scenario, base_url=echo_server.url)

On asyncio, uvloop and trio it runs for real, with an `AsyncClient`. For the sync client, `SyncAdapter` puts the names
of the async interface in front of blocking calls: nothing in such a scenario ever suspends, so `run_without_loop` can
step it to its end, and fails the test if something does suspend.

Not here: concurrency. A scenario that needs two requests at once is not one that all engines can run.
"""

from __future__ import annotations

import asyncio
import importlib.util
import selectors
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator
from typing import Any, Callable, Optional, TypeVar

import httpx

T = TypeVar("T")
Scenario = Callable[..., Coroutine[Any, Any, T]]

NAMES = ("sync", "asyncio", "asyncio-fallback", "uvloop", "trio")


def missing(name: str) -> Optional[str]:
    """Why a driver cannot run here, or `None` if it can."""
    if name in ("uvloop", "trio") and importlib.util.find_spec(name) is None:
        return f"{name} is not installed"
    return None


class Driver:
    """
    Runs scenarios on one engine.

    Attributes:
        name: one of `NAMES`.
        is_async: whether scenarios get an `AsyncClient` (else a `SyncAdapter`).
    """

    def __init__(self, name: str) -> None:
        assert name in NAMES, name
        self.name = name
        self.is_async = name != "sync"

    def __repr__(self) -> str:
        return f"<driver {self.name}>"

    def run(self, scenario: Scenario[T], *args: Any, **options: Any) -> T:
        """
        The scenario's result.

        Args:
            scenario: called with the client, then `args`.
            options: for the client's constructor.
        """

        async def main() -> T:
            async with self.client(**options) as client:
                return await scenario(client, *args)

        return self.run_bare(main)

    def run_bare(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of an async function that makes its own client with `driver.client`."""
        if self.name == "sync":
            return run_without_loop(function())
        if self.name == "trio":
            import trio

            return trio.run(function)
        return run_on_loop(self._loop(), function())

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self.name == "uvloop":
            import uvloop

            return uvloop.new_event_loop()
        return LoopWithoutReaders() if self.name == "asyncio-fallback" else asyncio.SelectorEventLoop()

    def client(self, **options: Any) -> Any:
        """A new client for this engine."""
        return httpx.AsyncClient(**options) if self.is_async else SyncAdapter(httpx.Client(**options))

    def transport(self, **options: Any) -> Any:
        """A new transport for this engine, to be given to `client`."""
        return httpx.AsyncHTTPTransport(**options) if self.is_async else httpx.HTTPTransport(**options)

    def body(self, pieces: Iterable[bytes]) -> Any:
        """A request body that yields the pieces once, in the way that suits the engine."""
        return _yield_later(pieces) if self.is_async else iter(pieces)

    def hook(self, function: Callable[..., None]) -> Callable[..., Any]:
        """An event hook from a plain function."""
        if not self.is_async:
            return function

        async def hook(value: Any) -> None:
            function(value)

        return hook

    async def pause(self, seconds: float = 0.0) -> None:
        """Let other tasks run; does nothing in sync code."""
        if self.name == "trio":
            import trio

            await trio.sleep(seconds)
        elif self.is_async:
            await asyncio.sleep(seconds)


async def _yield_later(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """
    A loop that, like Windows' proactor, cannot call back when a socket is readable.

    Its `sock_recv` and `sock_sendall` work: the standard library does not build them on the two public names that are
    gone, though it does clean up through `remove_reader` and `remove_writer`, which therefore stay.
    """

    def __init__(self) -> None:
        super().__init__(selectors.DefaultSelector())

    # The methods of the abstract class, which raise NotImplementedError: that is also what the proactor has.
    add_reader = asyncio.AbstractEventLoop.add_reader
    add_writer = asyncio.AbstractEventLoop.add_writer


def run_without_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends; AssertionError if it does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the scenario suspended, which it cannot do in sync code")


def run_on_loop(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """
    The coroutine's result; the loop is closed afterwards.

    Raises:
        AssertionError: the scenario ended well, but tasks are left behind.
    """
    try:
        result = loop.run_until_complete(coroutine)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks were left behind: {left}"
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


# Sync objects under async names. Only what scenarios use; everything else is the object's own, by `__getattr__`.


class _Front:
    """Stands in front of an object, and lets through what it does not define."""

    inner: Any

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "inner", inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)


class _AsyncIter:
    """A sync iterator as an async one; a class, because an abandoned async generator would need a loop to end."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> _AsyncIter:
        return self

    async def __anext__(self) -> Any:
        for item in self._iterator:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    async def __aenter__(self) -> _AsyncIter:
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self._iterator.__exit__(*exc_info)  # type: ignore[attr-defined]  # of what `map` returns


class SyncResponse(_Front):
    """A response of the sync client with the async names for reading it."""

    async def aread(self) -> bytes:
        content: bytes = self.inner.read()
        return content

    async def aclose(self) -> None:
        self.inner.close()

    def aiter_bytes(self, chunk_size: Optional[int] = None) -> _AsyncIter:
        return _AsyncIter(self.inner.iter_bytes(chunk_size))

    def aiter_raw(self, chunk_size: Optional[int] = None) -> _AsyncIter:
        return _AsyncIter(self.inner.iter_raw(chunk_size))

    def aiter_text(self, chunk_size: Optional[int] = None) -> _AsyncIter:
        return _AsyncIter(self.inner.iter_text(chunk_size))

    def aiter_lines(self) -> _AsyncIter:
        return _AsyncIter(self.inner.iter_lines())

    def aiter_jsonl(self, **options: Any) -> _AsyncIter:
        return _AsyncIter(self.inner.iter_jsonl(**options))

    def raise_for_status(self) -> SyncResponse:
        self.inner.raise_for_status()
        return self


class SyncSource(_Front):
    """An `EventSource` of the sync client with the async names for iterating over it."""

    def __aiter__(self) -> _AsyncIter:
        return _AsyncIter(iter(self.inner))

    def aiter_sse(self) -> _AsyncIter:
        return _AsyncIter(self.inner.iter_sse())

    async def aclose(self) -> None:
        self.inner.close()


class _Streaming:
    """`client.stream(...)` as an async context manager, or `client.sse(...)`."""

    def __init__(self, manager: Any, front: type[_Front] = SyncResponse) -> None:
        self._manager = manager
        self._front = front

    async def __aenter__(self) -> Any:
        return self._front(self._manager.__enter__())

    async def __aexit__(self, *exc_info: Any) -> Optional[bool]:
        result: Optional[bool] = self._manager.__exit__(*exc_info)
        return result


class SyncSession:
    """A WebSocket session of the sync client with the async interface."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._messages = iter(inner)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in ("send", "close", "ping") and not name.startswith(("send_", "receive")):
            return found

        async def method(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return SyncPong(result) if name == "ping" else result

        return method

    def __aiter__(self) -> _AsyncIter:
        return _AsyncIter(self._messages)


class SyncPong:
    """A pong of the sync client with the async interface."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def wait(self, timeout: Optional[float] = None) -> bool:
        result: bool = self.inner.wait(timeout)
        return result


class _Connecting(_Streaming):
    """`client.websocket(...)` as an async context manager, and as an async iterator."""

    async def __aenter__(self) -> Any:
        return SyncSession(self._manager.__enter__())

    async def __aiter__(self) -> AsyncIterator[Any]:
        for session in self._manager:
            yield SyncSession(session)


def _awaitable(name: str) -> Callable[..., Awaitable[SyncResponse]]:
    async def method(self: SyncAdapter, *args: Any, **kwargs: Any) -> SyncResponse:
        return SyncResponse(getattr(self.inner, name)(*args, **kwargs))

    return method


class SyncAdapter(_Front):
    """
    `httpx.Client` with the interface of `httpx.AsyncClient`, for scenarios.

    Attributes:
        inner: the client itself.
    """

    get = _awaitable("get")
    options = _awaitable("options")
    head = _awaitable("head")
    post = _awaitable("post")
    put = _awaitable("put")
    patch = _awaitable("patch")
    query = _awaitable("query")
    delete = _awaitable("delete")
    request = _awaitable("request")
    send = _awaitable("send")

    def stream(self, *args: Any, **kwargs: Any) -> _Streaming:
        return _Streaming(self.inner.stream(*args, **kwargs))

    def map(self, *args: Any, **kwargs: Any) -> _AsyncIter:
        return _AsyncIter(self.inner.map(*args, **kwargs))

    def sse(self, *args: Any, **kwargs: Any) -> _Streaming:
        return _Streaming(self.inner.sse(*args, **kwargs), SyncSource)

    def websocket(self, *args: Any, **kwargs: Any) -> _Connecting:
        return _Connecting(self.inner.websocket(*args, **kwargs))

    async def aclose(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> SyncAdapter:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self.inner.__exit__(*exc_info)
