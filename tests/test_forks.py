"""What a forked child forgets."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from typing import Any, Optional

import pytest

from httpx import Request
from httpx._engine.forks import FORKS, ForkGuard
from httpx._engine.job import Job


def job(method: str = "GET", url: str = "https://example.org/", now: float = 0, **options: Any) -> Job:
    return Job(Request(method, url, **options), now)


def timed(now: float = 1000, **timeout: Optional[float]) -> Job:
    return job(now=now, extensions={"timeout": timeout})


# Where it goes.


class Engine:
    forgot = 0

    def forget(self) -> None:
        self.forgot += 1


def test_a_forked_child_is_told_to_forget():
    guard, engines = ForkGuard(), [Engine(), Engine()]
    for engine in engines:
        guard.watch(engine)
    guard._in_child()
    assert [engine.forgot for engine in engines] == [1, 1]


def test_an_engine_is_not_kept_alive_by_being_watched():
    guard = ForkGuard()
    guard.watch(Engine())
    gc.collect()
    assert not list(guard._engines)
    guard._in_child()


def test_without_fork_there_is_nothing_to_do(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    guard, engine = ForkGuard(), Engine()
    guard.watch(engine)
    assert engine.forgot == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_real_fork_is_noticed_in_the_child_and_only_there():
    program = """
        import os
        from httpx._engine.forks import FORKS

        class Engine:
            forgot = False
            def forget(self):
                self.forgot = True

        engine = Engine()
        FORKS.watch(engine)
        child = os.fork()
        if child == 0:
            os._exit(42 if engine.forgot else 1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), engine.forgot)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["42", "False"]


def test_one_guard_serves_all_engines():
    assert isinstance(FORKS, ForkGuard)


# Forwarded by a proxy.
