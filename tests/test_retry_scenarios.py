"""The table of `support.retry_scenarios` through the public clients, on all engines, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

import httpx
import httpx.testing
from support.drivers import Driver
from support.retry_scenarios import SCENARIOS, Scenario
from support.scripted import Script


async def outcome_of(client: Any, scenario: Scenario) -> tuple[str, int]:
    """The result of a scenario, and the number of attempts that are told."""
    try:
        response = await client.request(
            scenario.method,
            "http://a.example/",
            headers=scenario.headers,
            extensions=scenario.extensions,
            timeout=httpx.Timeout(5, total=scenario.total),
        )
    except httpx.RequestError as exc:
        return type(exc).__name__, len(exc.attempts)
    assert response.content == b"begin"
    assert response.is_closed
    return str(response.status_code), len(response.attempts)


def test_every_row_of_the_table_on_every_engine(driver: Driver):
    wrong: dict[str, Any] = {}

    async def scenarios() -> None:
        for scenario in SCENARIOS:
            retry = httpx.Retry(**scenario.settings or {})
            with httpx.testing.virtual_time(jitter=0.5) as time:
                script = Script(scenario.script, time)
                async with driver.client(transport=httpx.MockTransport(script), middleware=[retry]) as client:
                    result, told = await outcome_of(client, scenario)
            found = result, tuple(time.slept), told, script.is_over
            sent = len(scenario.pauses) + 1
            if found != (scenario.result, pytest.approx(scenario.pauses), sent if sent > 1 else 0, True):
                wrong[scenario.name] = found

    driver.run_bare(scenarios)
    assert not wrong
