"""Run the command `httpx` as people do: a process of its own, in a pipe or on a terminal."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
COMMAND = [sys.executable, "-m", "httpx"]


class Done(NamedTuple):
    """What came of a run of the command in this process."""

    code: int
    out: str
    err: str

    @property
    def bodies(self) -> list[Any]:
        """The responses of the echo server, one after the other."""
        decoder, found, text = json.JSONDecoder(), [], self.out.lstrip()
        while text:
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:].lstrip()
        return found


def environment(more: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "COLUMNS": "100",
        "XDG_CONFIG_HOME": os.path.join(os.path.dirname(__file__), "no configuration"),
        "TERM": "xterm",
        **(more or {}),
    }


def in_a_pipe(*args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with its output in pipes."""
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, stdin=subprocess.DEVNULL, env=environment(env), timeout=60
    )


def own_terminal() -> None:
    """In the child: its standard input becomes the terminal that Ctrl-C and password prompts belong to."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def until_nothing_is_echoed(master: int) -> None:
    """The prompt appears before the terminal is told to hide what is typed, which throws away what was typed before."""
    import termios

    for _ in range(6000):
        if not termios.tcgetattr(master)[3] & termios.ECHO:
            return
        time.sleep(0.01)
    raise AssertionError("the terminal goes on showing what is typed")


def on_a_terminal(
    *args: str, typed: bytes = b"", cwd: Optional[Path] = None, command: Sequence[str] = tuple(COMMAND), **env: str
) -> tuple[int, str]:
    """Run the command on a terminal of its own; returns its exit code and everything that appeared."""
    master, terminal = os.openpty()
    process = subprocess.Popen(
        [*command, *args],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(env),
        cwd=cwd,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        if not select.select([master], [], [], 60)[0]:
            process.kill()
            raise AssertionError(f"the command waits for something after {shown!r}")
        try:
            data = os.read(master, 65536)
        except OSError:  # how Linux reports that nobody has the terminal open any more
            break
        if not data:
            break
        shown += data
        if typed and b"Password" in shown:
            until_nothing_is_echoed(master)
            os.write(master, typed)
            typed = b""
    os.close(master)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does, half a minute at most."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")
