"""
What the command line client costs: its start beside HTTPie, and a download of 500 MB beside curl, taking turns. Ten
requests in one run of ours are beside one run of curl with ten URLs, and beside ten of HTTPie, which takes one URL.

    python benchmarks/cli.py                        # makes two environments on its first run, then 20 rounds of each
    python benchmarks/cli.py --rounds 50 start      # beside HTTPie: wall and CPU time of whole processes
    python benchmarks/cli.py download               # beside curl: the CPU time of whole processes, start included

Both are installed as users have them (not editable, compiled), each in an environment of its own with the interpreter
that runs this. Requests go to servers on this machine: the project's own echo server, and for downloads nginx. Median
and quartiles in milliseconds; read the ratio, which is the median of those of all rounds. `loop` is a control for the
downloads: CPython that receives from a socket into a buffer of 512 KiB and writes it, and does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
SIZE = 500_000_000
OURS, HTTPIE = ROOT / ".venv-bench-cli", ROOT / ".venv-httpie"


def environment(folder: Path, *packages: str) -> Path:
    """The folder of the commands of a virtual environment that has the packages, made anew if `packages` are given."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
    if packages:
        pip = [str(folder / SCRIPTS / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
    return folder / SCRIPTS


def costs(command: list[str], output: str = os.devnull) -> tuple[float, float]:
    """
    Return the wall time and the CPU time (user and system) of one process, from its start until it is reaped.

    Args:
        output: file for its standard output.

    Windows does not tell the CPU time of a process that has ended: it is 0 there.
    """
    with open(output, "wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL, env=clean()
        )
        cpu = 0.0
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu = usage.ru_utime + usage.ru_stime
        process.wait()
        wall = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return wall, cpu


def clean() -> dict[str, str]:
    """The environment without what would make Python or a client behave differently."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and "PYTHON" not in name
    }


def compare(title: str, ours: list[str], theirs: list[str], rounds: int, times: int = 1) -> None:
    """Run ours and so many times theirs in turns, and print a line for the wall time and one for the CPU time."""
    walls: tuple[list[float], list[float]] = ([], [])
    cpus: tuple[list[float], list[float]] = ([], [])
    for number in range(-1, rounds):
        for command, count, *into in zip((ours, theirs), (1, times), walls, cpus):
            taken = [costs(command) for _ in range(count)]
            if number < 0:  # the first round warms up
                continue
            for samples, each in zip(into, zip(*taken)):
                samples.append(sum(each) * 1000)
    report(f"{title}, wall", walls)
    report(f"{title}, CPU", cpus)


def report(title: str, samples: tuple[list[float], list[float]]) -> None:
    """Print the figures of both, and the median of the ratios."""
    ratio = statistics.median(a / b for a, b in zip(*samples))
    print(f"{title:30} {summary(samples[0])}   {summary(samples[1])}   {ratio:.2f}", flush=True)


LOOP = """
import os, socket, ssl, sys
url, path, ca = sys.argv[1:]
scheme, _, rest = url.partition("://")
netloc, _, target = rest.partition("/")
host, _, port = netloc.partition(":")
sock = socket.create_connection((host, int(port)))
if scheme == "https":
    sock = ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname=host)
sock.sendall(f"GET /{target} HTTP/1.1\\r\\nHost: {netloc}\\r\\nConnection: close\\r\\n\\r\\n".encode())
file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
buffer = memoryview(bytearray(524288))
while size := sock.recv_into(buffer):
    os.write(file, buffer[:size])
"""


def downloads(ours: str, rounds: int) -> None:
    """Run downloads to several targets beside curl, in turns, and print a line for each."""
    from origin import Origin

    curl = shutil.which("curl") or sys.exit("curl is not installed")
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=shared))
        origin = stack.enter_context(Origin(cpus={cpus[0]} if len(cpus) > 1 else None))
        with open(origin.root / "www" / "half", "wb") as sparse:
            sparse.truncate(SIZE)
        if len(cpus) > 1:
            os.sched_setaffinity(0, {cpus[-1]})
            stack.callback(os.sched_setaffinity, 0, cpus)
        print(f"{'':30} {'httpx':22}   {'curl':22}   ratio")
        path = os.path.join(folder, "file")
        for kind in ("http", "https"):
            url, trust = origin.url(kind, "/half"), ["--ca", origin.ca] if kind == "https" else []
            theirs = [curl, "--silent", url, *(["--cacert", origin.ca] if trust else [])]
            null, to_file = [*theirs, "-o", os.devnull], [*theirs, "-o", path]
            for title, command, beside, output in (
                ("-o /dev/null", [ours, url, *trust, "-o", os.devnull], null, os.devnull),
                ("-o FILE", [ours, url, *trust, "-o", path], to_file, os.devnull),
                ("--download FILE", [ours, url, *trust, "--download", path], to_file, os.devnull),
                ("> FILE", [ours, url, *trust], theirs, path),
                ("loop, /dev/null", [sys.executable, "-c", LOOP, url, os.devnull, origin.ca], null, os.devnull),
                ("loop, FILE", [sys.executable, "-c", LOOP, url, path, origin.ca], to_file, os.devnull),
            ):
                samples: tuple[list[float], list[float]] = ([], [])
                for number in range(-1, rounds):
                    for each, into in zip((command, beside), samples):
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(path)
                        taken = costs(each, output)[1]
                        if number >= 0:
                            into.append(taken * 1000)
                report(f"{kind}, {title}", samples)


def summary(samples: list[float]) -> str:
    low, median, high = statistics.quantiles(samples, n=4)
    return f"{median:6.0f} ms ({low:.0f} to {high:.0f})".ljust(22)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("which", nargs="*", choices=["start", "download", []], help="[default: both]")
    arguments = parser.parse_args()
    ours = str(environment(OURS, "--force-reinstall", "--no-deps", str(ROOT)) / "httpx")
    environment(OURS, f"{ROOT}[cli]")
    if "start" in arguments.which or not arguments.which:
        starts(ours, arguments.rounds)
    if "download" in arguments.which or not arguments.which:
        downloads(ours, arguments.rounds)


def starts(ours: str, rounds: int) -> None:
    """Run short commands beside HTTPie."""
    theirs = str(environment(HTTPIE, *([] if HTTPIE.exists() else ["httpie"])) / "http")
    sys.path.insert(0, str(ROOT / "src"))
    from httpx._cli.echo_server import EchoServer

    print(f"{'':30} {'httpx':22}   {'HTTPie':22}   ratio")
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
