"""
Everything at once over HTTP/2: tasks and threads that ask, upload, leave, are cancelled, time out, in a narrow place.

Small windows, few streams and few connections make them wait for each other in every way there is. Each answer is
checked against its own request, and nothing is in use afterwards. What goes wrong here deserves a test of its own.
"""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

import pytest

import httpx
from support.cancelling import bounded
from support.drivers import SyncAdapter, run_without_loop
from support.engines import driver_named
from support.http2 import StreamServer, prior
from support.leaks import engines_of, nothing_left, settled
from support.steps import in_trio, turns
from support.together import in_threads, together

NARROW = {"window": 9_000, "max_streams": 5, "refuses": False}
WIDE = {"window": 1_000_000, "max_streams": 100, "refuses": False}


async def pieces(number: int, size: int) -> Any:
    for _ in range(number):
        await turns()
        yield bytes(size)


class Member:
    """One of the crowd."""

    def __init__(self, client: Any, number: int, is_async: bool) -> None:
        self.client = client
        self.number = number
        self.is_async = is_async
        self.dice = random.Random(number)
        self.wrong: list[str] = []

    async def work(self, rounds: int) -> list[str]:
        kinds = ["ask", "ask", "upload", "upload_pieces", "download", "leave", "time_out", "refused", "moved"]
        for number in range(rounds):
            mark = f"{self.number}-{number}"
            kind = self.dice.choice([*kinds, "cancel", "cancel"] if self.is_async else kinds)
            got = await getattr(self, f"_{kind}")(mark)
            if got != mark:
                self.wrong.append(f"{kind}: {got!r} and not {mark!r}")
        return self.wrong

    async def _ask(self, mark: str) -> Any:
        return (await self.client.get("/id", headers={"X-Id": mark})).text

    async def _moved(self, mark: str) -> Any:
        return (await self.client.get("/moved/1", headers={"X-Id": mark}, follow_redirects=True)).text

    async def _upload(self, mark: str) -> Any:
        body = bytes(self.dice.randrange(1, 60_000))
        response = await self.client.post("/id", content=body, headers={"X-Id": mark})
        return mark if response.content == mark.encode() + body else response.content[:20]

    async def _upload_pieces(self, mark: str) -> Any:
        number, size = self.dice.randrange(1, 6), self.dice.randrange(1, 8_000)
        content = pieces(number, size) if self.is_async else iter([bytes(size)] * number)
        response = await self.client.post("/id", content=content, headers={"X-Id": mark})
        return mark if response.content == mark.encode() + bytes(number * size) else response.content[:20]

    async def _download(self, mark: str) -> Any:
        size = self.dice.randrange(1, 400_000)
        received = 0
        async with self.client.stream("GET", f"/bytes/{size}") as response:
            async for piece in response.aiter_raw():
                received += len(piece)
        return mark if received == size else received

    async def _leave(self, mark: str) -> Any:
        async with self.client.stream("GET", "/bytes/3000000") as response:
            async for piece in response.aiter_raw():
                return mark if piece[:1] == b"\0" else piece[:20]
        return "nothing"

    async def _refused(self, mark: str) -> Any:
        content = pieces(5, 5_000) if self.is_async else iter([bytes(5_000)] * 5)
        response = await self.client.post("/refuse", content=content)
        return mark if response.status_code == 413 else response.status_code

    async def _time_out(self, mark: str) -> Any:
        try:
            await self.client.get(
                self.dice.choice(["/silent", "/stall"]), timeout=httpx.Timeout(60, read=self.dice.random() * 0.02)
            )
        except httpx.ReadTimeout:
            return mark

    async def _cancel(self, mark: str) -> Any:
        """Ask for something, and think better of it after a few turns."""
        path = self.dice.choice(["/id", "/silent", "/bytes/100000", "/stall"])
        content = self.dice.choice([None, bytes(30_000), pieces(3, 4_000)])
        number = self.dice.randrange(12)

        async def ask() -> None:
            with contextlib.suppress(httpx.RemoteProtocolError):  # the crowd may have filled a new connection
                await self.client.request("POST", path, content=content)

        if in_trio():
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await turns(number)
                nursery.cancel_scope.cancel()
        else:
            import asyncio

            task = asyncio.ensure_future(ask())
            await turns(number)
            task.cancel()
            await asyncio.wait([task])
        return mark


@pytest.mark.parametrize("name", ["asyncio", "asyncio-fallback", "uvloop", "trio"])
@pytest.mark.parametrize("connections", [1, 3])
def test_a_crowd_of_tasks_in_a_narrow_place(name: str, connections: int, tls: bool):
    async def scenario(client: Any) -> None:
        members = [Member(client, number, True) for number in range(25)]
        results = await bounded(together([lambda member=member: member.work(12) for member in members]), 60)
        assert [wrong for wrong in results if wrong] == []
        await settled(client)
        for connection in engines_of(client)[0].pool.connections:
            assert not connection.multiplexer.session.machine.streams
            assert not connection.multiplexer.waiting

    with nothing_left(), StreamServer(tls=tls, timeout=20, **NARROW) as server:
        limits = httpx.Limits(max_connections=connections)
        driver_named(name).run(scenario, **prior(server.url, limits=limits, timeout=60))


@pytest.mark.parametrize("width", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("connections", [1, 3])
def test_a_crowd_of_threads(width: dict[str, int], connections: int, tls: bool):
    with nothing_left(), StreamServer(tls=tls, timeout=20, **width) as server:
        limits = httpx.Limits(max_connections=connections)
        with httpx.Client(**prior(server.url, limits=limits, timeout=25)) as client:
            members = [Member(SyncAdapter(client), number, False) for number in range(16)]
            results = in_threads([lambda member=member: run_without_loop(member.work(12)) for member in members])
            assert [wrong for wrong in results if wrong] == []
            run_without_loop(settled(client))
            for connection in engines_of(client)[0].pool.connections:
                multiplexer = connection.multiplexer
                assert not multiplexer.session.machine.streams
                assert not multiplexer.waiting
                assert not multiplexer.session.news
                assert multiplexer._reader is None
                assert multiplexer._writer is None


def test_a_crowd_of_threads_whose_server_goes_away_again_and_again():
    """GOAWAY behind every few answers: nobody gets another one's answer, and nobody waits for ever."""
    with nothing_left(), StreamServer(timeout=20) as server, httpx.Client(**prior(server.url, timeout=20)) as client:
        done = threading.Semaphore(0)

        def work(worker: int) -> list[str]:
            wrong = []
            for number in range(10):
                mark = f"{worker}-{number}"
                path = "/close" if number % 5 == 4 else "/id"
                try:
                    text = client.get(path, headers={"X-Id": mark}).text
                except (httpx.RemoteProtocolError, httpx.NetworkError):
                    continue  # the server had seen it, and closed: it may not be sent again on a new connection
                if text != mark:
                    wrong.append(f"{text!r} and not {mark!r}")
                done.release()
            return wrong

        assert in_threads([lambda worker=worker: work(worker) for worker in range(8)]) == [[]] * 8
        assert done.acquire(timeout=1)
        run_without_loop(settled(client))
