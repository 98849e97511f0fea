"""Loggers, which in the command are made when somebody may listen."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from httpx._loggers import DEBUG, INFO, LazyLogger
from support.commands import environment


def test_the_levels_are_those_of_logging():
    assert (DEBUG, INFO) == (logging.DEBUG, logging.INFO)


def test_it_is_the_logger_in_all_but_name(caplog: pytest.LogCaptureFixture):
    lazy, real = LazyLogger("httpx.test.lazy"), logging.getLogger("httpx.test.lazy")
    assert not lazy.isEnabledFor(DEBUG)
    real.setLevel(DEBUG)
    assert lazy.isEnabledFor(DEBUG)
    lazy.debug("text %d", 1)
    assert caplog.messages == ["text 1"]
    assert caplog.records[0].filename == "test_loggers.py"
    assert lazy.name == "httpx.test.lazy"
    lazy.disabled = True
    assert (real.disabled, lazy.isEnabledFor(DEBUG)) == (True, False)
    real.disabled = False


def test_from_the_first_question_on_it_costs_no_more_than_the_logger():
    lazy = LazyLogger("httpx.test.other")
    lazy.isEnabledFor(DEBUG)
    assert lazy.isEnabledFor == logging.getLogger("httpx.test.other").isEnabledFor


PROGRAM = """
import sys
sys.argv = [{argv0!r}]
import httpx
client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
client.get("http://a/first")
print("logging" in sys.modules)
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
client.get("http://a/second")
"""


@pytest.mark.parametrize(("argv0", "is_early"), [("/usr/bin/httpx", False), ("/usr/bin/other", True)])
def test_the_command_has_no_logging_until_somebody_imports_it(argv0: str, is_early: bool):
    """And other programs have the loggers from the import on: `logging.config` disables those that it finds."""
    code = PROGRAM.format(argv0=argv0)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=60, text=True)
    assert done.stdout == f'{is_early}\nhttpx HTTP Request: GET http://a/second "HTTP/1.1 200 OK"\n'
