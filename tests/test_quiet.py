"""Ctrl-C while the command line client is imported."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from httpx._quiet import silence_interrupts
from support.commands import POSIX, environment


@POSIX
@pytest.mark.parametrize("argv0", ["-m", "/usr/bin/httpx", "/usr/bin/other"])
def test_an_interrupt_during_the_imports_of_the_command_has_no_traceback(argv0: str):
    """In the first quarter of a second, Ctrl-C showed forty lines about imports."""
    code = f"""
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "httpx._api":
            os.kill(os.getpid(), signal.SIGINT)
sys.argv = [{argv0!r}]
sys.meta_path.insert(0, Interrupting())
import httpx
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=60)
    assert done.returncode != 0
    assert (b"Traceback" in done.stderr) == (argv0 == "/usr/bin/other")


@pytest.mark.parametrize(("argv", "is_command"), [("[]", False), ("None", False), ("['httpx']", True)])
def test_only_the_command_searches_for_cycles_rarely_and_only_until_it_is_imported(argv: str, is_command: bool):
    code = f"import gc, sys; gc.set_threshold = print; print(*gc.get_threshold()); sys.argv = {argv}; import httpx"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=60)
    before, *calls = done.stdout.decode().splitlines()
    assert calls == (["50000", before] if is_command else [])


def test_the_handler_comes_back():
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        restore = silence_interrupts()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        silence_interrupts()()  # it is not Python's handler any more, and stays
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        restore()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        thread = threading.Thread(target=lambda: silence_interrupts()())
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
