"""What the tests of this folder share: engines, and a look at what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import pytest

from support.at_once import Together, options
from support.engines import ALL_NAMES, ASYNC_NAMES, EngineDriver, driver_named, warm_uvloop
from support.leaks import nothing_left, trusting_context


@pytest.fixture(params=ASYNC_NAMES)
def engine(request: pytest.FixtureRequest) -> EngineDriver:
    """Each async engine in turn."""
    return driver_named(request.param)


@pytest.fixture(params=ALL_NAMES)
def any_engine(request: pytest.FixtureRequest) -> EngineDriver:
    """Each engine in turn, the sync one too."""
    return driver_named(request.param)


@pytest.fixture(params=["sync", "asyncio", "uvloop", "trio"])
def several(request: pytest.FixtureRequest) -> Callable[..., Together]:
    """Several requests at once on each engine in turn: a function from a server and options of the client."""
    driver = driver_named(request.param)
    return lambda server, **more: Together(driver, **options(server, **more))


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    """Without and with TLS."""
    return bool(request.param)


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Wait for 100 (Continue) for a moment only, in all engines."""
    from httpx._engine import limits

    monkeypatch.setattr(limits, "PATIENCE", 0.03)
    return 0.03


@pytest.fixture(scope="session", autouse=True)
def _ready() -> Any:
    """What is made once for all, before anybody counts descriptors."""
    warm_uvloop()
    return trusting_context()


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """The test leaves no descriptor open and warns of nothing."""
    with nothing_left():
        yield
