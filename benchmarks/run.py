"""
Measure our client beside the others, and print how many times as much (or as little) they cost.

    run.py --python-ours PYTHON --python-peers PYTHON [options] [case ...]

`scripts/bench` makes the two environments and calls this. For each case: rounds; in a round every client runs once, in
shuffled order, each in a process of its own (`measure`), against one nginx (`origin`) or, in a few cases, a server that
never sleeps (`awake`). A cell of the tables is the median over all samples of all rounds. A client that fails is shown
with its error, and one that cannot do a case as not offered.

Everything started here is ended here, by process id, also on Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from awake import Awake
from cases import BY_NAME, CASES, LOCAL, Case
from origin import BIG_SIZE, SMALL, Origin, Unavailable, pinned, stop
from peers import PEERS

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
OURS = "ours"


@dataclass(frozen=True)
class Effort:
    """How long to measure. One process takes about batches * seconds, and a bit more for its warm-up."""

    rounds: int
    batches: int
    seconds: float
    limit: float


FULL = Effort(rounds=8, batches=5, seconds=0.15, limit=90)
QUICK = Effort(rounds=2, batches=3, seconds=0.1, limit=45)


@dataclass(frozen=True)
class Client:
    """A client and the interpreter and source that it runs with. `source` goes on PYTHONPATH, for our own code."""

    name: str
    adapter: tuple[str, str]
    statement: Optional[str]
    python: str
    source: Optional[Path]
    version: str


@dataclass
class Result:
    """
    What became of one client in one case: samples in µs per repetition, or the reason why there are none.

    `cpu_rounds` and `wall_rounds` have the median of each round.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu_rounds: list[float] = field(default_factory=list)
    wall_rounds: list[float] = field(default_factory=list)
    note: str = ""
    not_offered: str = ""
    error: str = ""

    def add(self, answer: dict[str, Any]) -> None:
        """Take the line that a client process printed."""
        self.not_offered = answer.get("not_offered", self.not_offered)
        self.error = answer.get("error", self.error)
        self.note = answer.get("note", self.note)
        self.cpu += answer.get("cpu", [])
        self.wall += answer.get("wall", [])
        if answer.get("cpu"):
            self.cpu_rounds.append(statistics.median(answer["cpu"]))
            self.wall_rounds.append(statistics.median(answer["wall"]))

    @property
    def given_up(self) -> bool:
        """Nothing more is to be learnt from another round."""
        return bool(self.not_offered or self.error)

    @property
    def usable(self) -> bool:
        # A client that failed in round 3 has samples, but no result: it did not do the work.
        return bool(self.cpu) and not self.given_up

    @property
    def spread(self) -> float:
        """Half of the inter-quartile range of the CPU samples, relative to their median."""
        if len(self.cpu) < 4:
            return 0.0
        low, middle, high = statistics.quantiles(self.cpu, n=4)
        return (high - low) / 2 / middle if middle else 0.0


class Bench:
    """The run: asks every client process for its line."""

    def __init__(self, effort: Effort, origin: Origin, clients: list[Client], cpus: Optional[set[int]]) -> None:
        self.effort = effort
        self.origin = origin
        self.clients = clients
        self.cpus = cpus
        self.random = random.Random()
        self.awake: Optional[Awake] = None

    def run(self, case: Case) -> dict[str, Result]:
        """All rounds of one case."""
        if case.server != "awake":
            return self.rounds(case)
        # Only while it is needed: it takes the core that nginx has in the other cases.
        with Awake(self.origin.cpus) as self.awake:
            return self.rounds(case)

    def rounds(self, case: Case) -> dict[str, Result]:
        results = {client.name: Result() for client in self.clients}
        for number in range(self.effort.rounds * case.processes):
            order = [client for client in self.clients if not results[client.name].given_up]
            self.random.shuffle(order)
            for client in order:
                progress(f"{case.name}: round {number + 1}, {client.name}")
                results[client.name].add(self.ask(client, case))
        progress("")
        return results

    def ask(self, client: Client, case: Case) -> dict[str, Any]:
        """One client process, from start to end."""
        arguments = self.arguments(client, case)
        if arguments is None:
            return {"not_offered": "nothing to import"}
        command = [client.python, str(HERE / "measure.py"), *arguments]
        with pinned(self.cpus):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=environment(client.source),
            )  # fmt: skip
        try:
            out, errors = process.communicate(timeout=self.effort.limit)
        except subprocess.TimeoutExpired:
            return {"error": f"not done within {self.effort.limit:g} s"}
        finally:
            stop(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        try:
            answer = json.loads(out)
        except ValueError:
            last = errors.strip().splitlines()[-1:] or out.strip().splitlines()[-1:] or ["nothing printed"]
            return {"error": f"exit code {process.returncode}: {last[0][:300]}"}
        return answer if isinstance(answer, dict) else {"error": f"printed {out[:100]!r}"}

    def arguments(self, client: Client, case: Case) -> Optional[list[str]]:
        """The command line of `measure`; None where the client has nothing to measure."""
        if case.kind == "import":
            return ["import", client.statement] if client.statement else None
        job = {
            "adapter": client.adapter,
            "kind": case.kind,
            "url": self.url(case),
            "ca": self.origin.ca,
            "size": BIG_SIZE if case.path == "/big" else len(SMALL),
            "http2": case.server == "h2",
            "workers": case.workers,
            "loop": case.loop,
            "least": case.least,
            "most": case.most,
            "batches": self.effort.batches,
            "batch_seconds": self.effort.seconds,
        }
        return ["case", json.dumps(job)]

    def url(self, case: Case) -> str:
        """What a client asks for; nothing where there is no server."""
        if case.kind in LOCAL:
            return ""
        if case.server == "awake":
            return self.awake.url if self.awake is not None else ""
        return self.origin.url(case.server, case.path)


def environment(source: Optional[Path]) -> dict[str, str]:
    """
    The environment of a client process: ours, without what would change a client.

    Proxies and certificate files of the user would be read by some clients and not by others.
    """
    dropped = ("PYTHON", "SSL_CERT_", "REQUESTS_", "CURL_", "UVLOOP", "AIOHTTP")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and not name.lower().endswith("_proxy")
    }
    kept["PYTHONNOUSERSITE"] = "1"
    if source is not None:
        kept["PYTHONPATH"] = str(source)
    return kept


def progress(text: str) -> None:
    """One line on the terminal that the next one replaces; silent where it is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


# Cores


def choose_cores() -> tuple[Optional[int], Optional[int], str]:
    """Server's core, client's core, and a sentence about it."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None, "not pinned: this system cannot"
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None, None, "not pinned: one core for both"
    # The client gets the last one: interrupts and other people's processes like the first.
    client = cores[-1]
    apart = [core for core in cores if core not in siblings(client)]
    server = apart[0] if apart else cores[0]
    shared = "" if apart else ", which share a physical core"
    return server, client, f"nginx on core {server}, clients on core {client}{shared}"


def siblings(core: int) -> set[int]:
    """The cores that are threads of the same physical core, itself included; itself alone where unknown."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    found = {core}
    with contextlib.suppress(OSError, ValueError):
        for part in path.read_text().split(","):
            low, _, high = part.partition("-")
            found.update(range(int(low), int(high or low) + 1))
    return found


# Clients


def choose_clients(options: argparse.Namespace, earlier: dict[str, Path]) -> list[Client]:
    """The clients to measure: ours, ours of earlier commits, the others; only those named by --clients if given."""
    wanted = [name.strip() for name in options.clients.split(",")] if options.clients else []
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        raise SystemExit(f"no client {unknown[0]!r}; there are: {', '.join(PEERS)}")
    sources = {OURS: CHECKOUT / "src", **earlier}
    clients = []
    for name in [OURS, *earlier, *list(PEERS)[1:]]:
        if wanted and name not in wanted and name not in earlier:
            continue
        module, adapter, distribution, statement = PEERS[OURS if name in earlier else name]
        source = sources.get(name)
        python = options.python_ours if source else options.python_peers
        version = our_version(source) if source else peer_version(python, distribution)
        clients.append(Client(name, (module, adapter), statement, python, source, version))
    return clients


def our_version(source: Path) -> str:
    """The version that the source gives itself."""
    try:
        text = (source / "httpx" / "__version__.py").read_text()
    except OSError:
        return "?"
    found = re.search(r'^__version__\b.*?"([^"]+)"', text, re.MULTILINE)
    return found[1] if found else "?"


def peer_version(python: str, distribution: Optional[str]) -> str:
    """The installed version of a distribution, `missing`, or nothing for no distribution."""
    if distribution is None:
        return ""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment(None), check=False)
    return done.stdout.strip() if done.returncode == 0 else "missing"


@contextlib.contextmanager
def earlier_sources(revisions: list[str]) -> Iterator[dict[str, Path]]:
    """
    The `src` directories of earlier commits, unpacked for the time of the run: name -> path.

    A revision may also be the directory of another checkout, which is measured as it is.
    """
    with tempfile.TemporaryDirectory(prefix="httpx-bench-") as directory:
        sources = {}
        for number, revision in enumerate(revisions):
            if Path(revision, "src", "httpx").is_dir():
                sources[f"{OURS}@{Path(revision).resolve().name}/"] = Path(revision).resolve() / "src"
                continue
            root = Path(directory, str(number))
            root.mkdir()
            archive = subprocess.run(
                ["git", "archive", revision, "src"], cwd=CHECKOUT, capture_output=True, check=False
            )
            if archive.returncode:
                raise SystemExit(f"no commit and no checkout {revision!r}: {archive.stderr.decode().strip()}")
            subprocess.run(["tar", "-x", "-C", str(root)], input=archive.stdout, check=True)
            sources[f"{OURS}@{revision}"] = root / "src"
        yield sources


# Tables


def scaled(value: float, case: Case) -> str:
    """A number of µs in the unit of the case, with about three digits."""
    value = value / 1000 if case.unit == "ms" else value
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def ratio(value: float, base: Optional[Result], column: str) -> str:
    """How many times ours: above 1 the other one is dearer."""
    ours = statistics.median(getattr(base, column)) if base is not None and base.usable else 0
    if not ours:
        return ""
    return f"{value / ours:,.0f}" if value >= 100 * ours else f"{value / ours:.2f}"


def rows(case: Case, results: dict[str, Result], clients: list[Client]) -> list[list[str]]:
    """The table of one case, cheapest first, those without a result last."""
    base = results.get(OURS)
    table = []
    for client in sorted(clients, key=lambda one: order(results[one.name])):
        result = results[client.name]
        if result.usable:
            cpu, wall = statistics.median(result.cpu), statistics.median(result.wall)
            cells = [scaled(cpu, case), ratio(cpu, base, "cpu"), f"{result.spread * 100:.0f} %"]
            cells += [scaled(wall, case), ratio(wall, base, "wall"), result.note]
        else:
            reason = f"FAILED: {result.error}" if result.error else f"not offered: {result.not_offered}"
            cells = ["", "", "", "", "", reason]
        table.append([client.name, client.version, *cells])
    return table


def order(result: Result) -> tuple[int, float]:
    if result.usable:
        return 0, statistics.median(result.cpu)
    return (1, 0.0) if result.error else (2, 0.0)


def heading(case: Case) -> list[str]:
    return ["client", "version", f"CPU {case.unit}", "x ours", "+-", f"wall {case.unit}", "x ours", ""]


def summary(outcome: dict[str, dict[str, Result]], clients: list[Client]) -> list[list[str]]:
    """All cases at a glance: CPU, and in brackets how many times ours."""
    table = [["CPU", *[client.name for client in clients]]]
    for name, results in outcome.items():
        line = [f"{name}, {BY_NAME[name].unit}"]
        for client in clients:
            result = results[client.name]
            if not result.usable:
                line.append("FAILED" if result.error else "n")
                continue
            cpu = statistics.median(result.cpu)
            times = ratio(cpu, results.get(OURS), "cpu") if client.name != OURS else ""
            line.append(scaled(cpu, BY_NAME[name]) + (f" ({times})" if times else ""))
        table.append(line)
    return table


def comparison(outcome: dict[str, dict[str, Result]], clients: list[Client]) -> list[list[str]]:
    """
    Ours beside ours at other commits: how many times as much it costs now as there. Above 1 it has become dearer.

    The ratio is taken within each round, where one ran soon after the other, and its median and quartiles are shown:
    what slows the machine down for a minute does not change it.
    """
    table = []
    for name, results in outcome.items():
        ours = results.get(OURS)
        for client in clients:
            before = results[client.name]
            if not client.name.startswith(f"{OURS}@") or ours is None or not ours.usable or not before.usable:
                continue
            unit = BY_NAME[name]
            cells = [scaled(statistics.median(one.cpu), unit) for one in (before, ours)]
            for column in ("cpu_rounds", "wall_rounds"):
                pairs = zip(getattr(ours, column), getattr(before, column))
                ratios = [now / then for now, then in pairs]
                low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
                cells += [f"{middle:.3f}", f"{low:.3f} to {high:.3f}"]
            table.append([f"{name}, {unit.unit}", client.name, *cells])
    head = ["case", "before", "CPU before", "CPU ours", "ours / before", "quartiles", "wall", "quartiles"]
    return [head, *table] if table else []


def aligned(table: list[list[str]]) -> str:
    """A table for the terminal: first two columns left, numbers right, the remark left."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if column < 1 or (len(row) == 8 and column in (1, 7)) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(table: list[list[str]]) -> str:
    head, *body = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in table]
    rule = "|".join(["---", *["---:"] * (len(table[0]) - 1)])
    return "\n".join([f"| {head} |", f"|{rule}|", *[f"| {line} |" for line in body]])


# Report


# Printed by the interpreter that it is about: version, compiler, OpenSSL, and how it was configured, without paths.
BUILD = """
import platform, ssl, sys, sysconfig
words = (sysconfig.get_config_var("CONFIG_ARGS") or "").replace("'", "").split()
kinds = ("--enable-", "--disable-", "--with-", "--without-")
switches = [word for word in words if word.startswith(kinds) and "/" not in word]
print(platform.python_implementation(), sys.version.replace("\\n", " "), "with", ssl.OPENSSL_VERSION, end="; ")
print("configured with", " ".join(switches) or "no switches that are known")
"""


def facts(
    options: argparse.Namespace, effort: Effort, origin: Origin, cores: str, clients: list[Client]
) -> dict[str, str]:
    """What a reader needs to judge the numbers. No host name, no path."""
    python = [
        subprocess.run([one, "-c", BUILD], capture_output=True, text=True, check=False).stdout.strip() or "?"
        for one in (options.python_ours, options.python_peers)
    ]
    return {
        "when": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        "commit": (git("rev-parse", "--short", "HEAD") or "none")
        + (" with changes" if git("status", "--porcelain", "src") else ""),
        "python": python[0] if python[0] == python[1] else f"ours {python[0]}; peers {python[1]}",
        "clients": ", ".join(f"{one.name} {one.version}".strip() for one in clients),
        "server": f"{origin.version}; in the cases `awake` a loop in Python that never sleeps",
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}, {processor()}",
        "cores": f"{os.cpu_count()}, {cores}",
        "effort": f"{effort.rounds} rounds of {effort.batches} batches of {effort.seconds:g} s",
    }


def git(*arguments: str) -> str:
    """What git says, or nothing where there is no git or no commit."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def save(name: str, about: dict[str, str], outcome: dict[str, dict[str, Result]], clients: list[Client]) -> Path:
    """Write benchmarks/results/NAME.md for readers and NAME.json with every sample."""
    directory = HERE / "results"
    directory.mkdir(exist_ok=True)
    parts = [f"# {name}", "\n".join(f"- {key}: {value}" for key, value in about.items())]
    parts += ["How to read it: [README](../README.md).", "## All cases", markdown(summary(outcome, clients))]
    compared = comparison(outcome, clients)
    if compared:
        parts += ["## Before and now", markdown(compared)]
    for case_name, results in outcome.items():
        case = BY_NAME[case_name]
        parts += [f"## {case.name}: {case.question}", markdown([heading(case), *rows(case, results, clients)])]
    path = directory / f"{name}.md"
    path.write_text("\n\n".join(parts) + "\n")
    samples = {case_name: {name: known(one) for name, one in results.items()} for case_name, results in outcome.items()}
    document = {"about": about, "versions": {one.name: one.version for one in clients}, "samples in µs": samples}
    path.with_suffix(".json").write_text(json.dumps(rounded(document), indent=1, ensure_ascii=False) + "\n")
    return path


def known(result: Result) -> dict[str, Any]:
    """The fields of a result that have something to say."""
    return {key: value for key, value in vars(result).items() if value}


def rounded(value: Any) -> Any:
    """Three digits after the point in every number: finer is noise, and a diff to read."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


# Command line


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure our client beside the others.")
    add = parser.add_argument
    add("case", nargs="*", help="cases to run (default: all); see --list")
    add("--list", action="store_true", help="print the cases and clients, and end")
    add("--quick", action="store_true", help="fewer and shorter rounds: a look, not a result")
    add("--rounds", type=int, metavar="N", help=f"rounds per case (default {FULL.rounds}, with --quick {QUICK.rounds})")
    add("--clients", metavar="A,B", help="only these clients")
    add(
        "--against",
        metavar="COMMIT",
        action="append",
        default=[],
        help="ours at COMMIT, or in that checkout if it is a directory, and a table of the ratios; may be repeated",
    )
    add("--save", metavar="NAME", help="keep the result as benchmarks/results/NAME.md and .json")
    add("--nginx", metavar="PATH", help="the nginx executable")
    add("--python-ours", metavar="PYTHON", default=sys.executable, help="interpreter with our dependencies")
    add("--python-peers", metavar="PYTHON", default=sys.executable, help="interpreter with the other clients")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.case if name not in BY_NAME]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(BY_NAME)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.save and (Path(options.save).name != options.save or options.save.startswith(".")):
        parser.error("--save takes a name, not a path")
    return options


def run_cases(bench: Bench, cases: list[Case], outcome: dict[str, dict[str, Result]]) -> None:
    """Run and print case by case; `outcome` has what was finished if this is interrupted."""
    for case in cases:
        results = outcome[case.name] = bench.run(case)
        print(f"\n{case.name}: {case.question}")
        print(aligned([heading(case), *rows(case, results, bench.clients)]), flush=True)


def interrupt(number: int, frame: Any) -> None:
    """Leave through every `finally`, whatever ends us: Ctrl-C, a timeout, a service manager."""
    # The second Ctrl-C of an impatient user would interrupt the ending of nginx.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{case.name:18} {case.question}" for case in CASES))
        print(f"\nclients: {', '.join(PEERS)}")
        return 0
    effort = QUICK if options.quick else FULL
    effort = Effort(options.rounds or effort.rounds, effort.batches, effort.seconds, effort.limit)
    cases = [BY_NAME[name] for name in options.case] or list(CASES)
    server_core, client_core, cores = choose_cores()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    outcome: dict[str, dict[str, Result]] = {}
    try:
        with contextlib.ExitStack() as stack:
            earlier = stack.enter_context(earlier_sources(options.against))
            clients = choose_clients(options, earlier)
            origin = stack.enter_context(Origin(options.nginx, None if server_core is None else {server_core}))
            about = facts(options, effort, origin, cores, clients)
            print("\n".join(f"{key:8} {value}" for key, value in about.items()))
            bench = Bench(effort, origin, clients, None if client_core is None else {client_core})
            run_cases(bench, cases, outcome)
    except Unavailable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted; nothing is saved", file=sys.stderr)
        return 130
    print(f"\n{aligned(summary(outcome, clients))}")
    compared = comparison(outcome, clients)
    if compared:
        print(f"\nours beside earlier ones, each ratio the median of {effort.rounds} rounds:\n{aligned(compared)}")
    if options.save:
        print(f"\nsaved as {save(options.save, about, outcome, clients).relative_to(CHECKOUT)}")
    return int(any(result.error for results in outcome.values() for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
