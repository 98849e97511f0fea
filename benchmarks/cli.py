"""
What starting the command line client costs, beside HTTPie: the wall time of whole processes, taking turns. Ten requests
in one run of ours are beside one run of curl with ten URLs, and beside ten of HTTPie, which takes one URL.

    python benchmarks/cli.py              # makes two environments on its first run, then 20 rounds
    python benchmarks/cli.py --rounds 50

Both are installed as users have them (not editable, compiled), each in an environment of its own with the interpreter
that runs this. Requests go to nobody but the project's own echo server on this machine. Median and quartiles in
milliseconds; read the ratio.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
OURS, HTTPIE = ROOT / ".venv-bench-cli", ROOT / ".venv-httpie"


def environment(folder: Path, *packages: str) -> Path:
    """The folder of the commands of a virtual environment that has the packages, made anew if `packages` are given."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
    if packages:
        pip = [str(folder / SCRIPTS / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
    return folder / SCRIPTS


def seconds(command: list[str]) -> float:
    """Wall time of one process, from its start until it is reaped; its output is thrown away."""
    began = time.perf_counter()
    nothing = subprocess.DEVNULL
    done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, env=clean())
    taken = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return taken


def clean() -> dict[str, str]:
    """The environment without what would make Python or a client behave differently."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and "PYTHON" not in name
    }


def compare(title: str, ours: list[str], theirs: list[str], rounds: int, times: int = 1) -> None:
    """Run ours and so many times theirs in turns, and print a line."""
    samples: tuple[list[float], list[float]] = ([], [])
    for number in range(-1, rounds):
        for command, count, into in zip((ours, theirs), (1, times), samples):
            taken = sum(seconds(command) for _ in range(count))
            if number >= 0:  # the first round warms up
                into.append(taken * 1000)
    ratio = statistics.median(a / b for a, b in zip(*samples))
    print(f"{title:28} {summary(samples[0])}   {summary(samples[1])}   {ratio:.2f}")


def summary(samples: list[float]) -> str:
    low, median, high = statistics.quantiles(samples, n=4)
    return f"{median:6.0f} ms ({low:.0f} to {high:.0f})".ljust(22)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    ours = str(environment(OURS, "--force-reinstall", "--no-deps", str(ROOT)) / "httpx")
    environment(OURS, f"{ROOT}[cli]")
    theirs = str(environment(HTTPIE, *([] if HTTPIE.exists() else ["httpie"])) / "http")
    sys.path.insert(0, str(ROOT / "src"))
    from httpx._cli.echo_server import EchoServer

    print(f"{'':28} {'httpx':22}   {'HTTPie':22}   ratio")
    compare("--help", [ours, "--help"], [theirs, "--help"], rounds)
    with EchoServer() as server:
        # HTTPie takes a body from standard input wherever that is no terminal.
        for title, words in (
            ("GET, JSON, in a pipe", [f"{server.url}/json"]),
            ("GET, with colours", ["--pretty=all", f"{server.url}/json"]),
            ("POST of two items", [f"{server.url}/anything", "name=Ann", "age:=31"]),
        ):
            compare(title, [ours, *words], [theirs, "--ignore-stdin", *words], rounds)
        ten = [ours, f"{server.url}/json?x=[1-10]"]
        compare("ten GETs, HTTPie ten times", ten, [theirs, "--ignore-stdin", f"{server.url}/json"], rounds, times=10)
        curl = shutil.which("curl")
        if curl is not None:
            print(f"{'':28} {'httpx':22}   {'curl':22}   ratio")
            compare("ten GETs", ten, [curl, "-s", f"{server.url}/json?x=[1-10]"], rounds)
            compare("ten GETs, --parallel 10", [*ten, "--parallel", "10"], [curl, "-sZ", ten[1]], rounds)


if __name__ == "__main__":
    main()
