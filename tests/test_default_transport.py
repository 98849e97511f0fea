"""The transports of the network: which engine they use where, and what becomes of it."""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
from typing import Any

import pytest

import httpx
from httpx._engine.asyncio import AsyncioEngine
from httpx._engine.sync import SyncEngine
from support.drivers import run_without_loop
from support.engines import ASYNC_NAMES, driver_named
from support.leaks import counts_of, nothing_left
from support.peer import Peer

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_a_sync_transport_is_entered_and_closed_by_a_with_block():
    with nothing_left(), Peer() as peer:
        with httpx.HTTPTransport() as transport:
            response = transport.handle_request(httpx.Request("GET", f"{peer.url}/echo"))
            assert response.read() == b"-"
            assert transport._engine.pool.counts() == (1, 1, 0, 0)
        assert transport._engine.pool.counts() == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ASYNC_NAMES)
def test_an_async_transport_is_entered_and_closed_by_a_with_block(name: str):
    async def main() -> None:
        async with httpx.AsyncHTTPTransport() as transport:
            response = await transport.handle_async_request(httpx.Request("GET", f"{peer.url}/echo"))
            assert await response.aread() == b"-"
            (engine,) = transport._engines.values()
            assert engine.pool.counts() == (1, 1, 0, 0)
        assert engine.pool.counts() == (0, 0, 0, 0)
        assert not transport._engines

    with Peer() as peer:
        driver_named(name).run_bare(main)


@pytest.mark.parametrize("name", ["sync", *ASYNC_NAMES])
def test_a_transport_that_was_closed_can_be_used_again(name: str):
    driver = driver_named(name)

    async def main() -> None:
        transport = driver.transport()
        for _ in range(2):
            if driver.is_async:
                response = await transport.handle_async_request(httpx.Request("GET", f"{peer.url}/echo"))
                assert await response.aread() == b"-"
                await transport.aclose()
            else:
                assert transport.handle_request(httpx.Request("GET", f"{peer.url}/echo")).read() == b"-"
                transport.close()

    with Peer() as peer:
        driver.run_bare(main)


def test_an_engine_is_chosen_by_the_loop_that_runs():
    kinds: dict[str, str] = {}
    for name in ASYNC_NAMES:

        async def main(name: str = name) -> None:
            async with httpx.AsyncHTTPTransport() as transport:
                kinds[name] = type(transport._engine_here()).__name__
                assert transport._engine_here() is transport._engine_here()

        driver_named(name).run_bare(main)
    assert kinds == {name: "TrioEngine" if name == "trio" else "AsyncioEngine" for name in ASYNC_NAMES}
    assert {"asyncio", "trio"} <= set(kinds)


def test_trio_is_found_where_it_runs_as_a_guest_of_asyncio():
    trio = pytest.importorskip("trio")
    kinds = []

    async def in_trio() -> None:
        async with httpx.AsyncHTTPTransport() as transport:
            kinds.append(type(transport._engine_here()).__name__)

    async def in_asyncio() -> None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            in_trio,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        (await done).unwrap()
        async with httpx.AsyncHTTPTransport() as transport:
            kinds.append(type(transport._engine_here()).__name__)

    asyncio.run(in_asyncio())
    assert kinds == ["TrioEngine", "AsyncioEngine"]


@pytest.mark.parametrize("imported", [("trio", "asyncio"), ("asyncio",), ()])
def test_without_a_loop_the_error_says_what_is_missing(imported: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    for name in {"trio", "asyncio"} - set(imported):
        monkeypatch.delitem(sys.modules, name, raising=False)
    transport = httpx.AsyncHTTPTransport()
    with pytest.raises(RuntimeError, match="running"):
        run_without_loop(transport.aclose())


def test_engines_of_loops_that_have_ended_are_closed_by_the_next_one():
    with nothing_left(), Peer() as peer:
        transport = httpx.AsyncHTTPTransport()
        used: list[AsyncioEngine] = []

        async def use() -> None:
            client = httpx.AsyncClient(transport=transport)
            assert (await client.get(f"{peer.url}/echo")).text == "-"
            used.extend(transport._engines.values())  # type: ignore[arg-type]
            if len(used) == 3:
                await client.aclose()

        for _ in range(3):
            asyncio.run(use())
        assert len({id(engine) for engine in used}) == 3
        assert all(engine.pool.counts() == (0, 0, 0, 0) for engine in used)


def test_an_engine_of_a_loop_in_another_thread_is_closed_there():
    with nothing_left(), Peer() as peer:
        client = httpx.AsyncClient()
        ready, closed = threading.Event(), threading.Event()

        async def use() -> None:
            assert (await client.get(f"{peer.url}/echo")).text == "-"
            ready.set()
            await asyncio.get_running_loop().run_in_executor(None, closed.wait, 5)
            await asyncio.sleep(0)

        thread = threading.Thread(target=lambda: asyncio.run(use()))
        thread.start()
        assert ready.wait(5)
        asyncio.run(client.aclose())
        closed.set()
        thread.join(5)
        assert counts_of(client) == (0, 0, 0, 0)


def test_a_copy_of_a_transport_has_its_own_connections():
    transport = httpx.HTTPTransport(retries=2)
    other = copy.copy(transport)
    assert isinstance(other._engine, SyncEngine)
    assert other._engine is not transport._engine
    assert other._settings.retries == 2
    own = httpx.AsyncHTTPTransport(retries=3)
    twin = copy.deepcopy(own)
    assert twin._settings.retries == 3
    assert twin._engines is not own._engines
