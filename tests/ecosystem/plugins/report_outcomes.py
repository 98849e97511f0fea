"""A plugin of pytest's: writes what becomes of each test into the file `REPORT_OUTCOMES`, a line of JSON a phase."""

from __future__ import annotations

import json
import os

import pytest

FILE = os.environ["REPORT_OUTCOMES"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _write(report.nodeid, report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(report.nodeid, "failed")


def _write(test: str, outcome: str) -> None:
    # Opened anew each time: if the run is stopped, what it found until then is there.
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps([test, outcome]) + "\n")
