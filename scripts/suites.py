"""
The tests that other packages carry in their source distributions, on httpx 0.28.1 and on this checkout.

    scripts/test-ecosystem --suites [name ...]      the suites of these packages; without a name, all of them
    scripts/test-ecosystem --suites --keep-control  what 0.28.1 did the last time need not be seen again
    scripts/test-ecosystem --moved-suites [name ...]    the same for packages that moved to httpx2, beside httpx2

One environment serves both sides, so that nothing else differs: httpx 0.28.1 is installed there, and `PYTHONPATH` puts
this checkout before it. Packages that moved to httpx2 have one with httpx2, and a plugin of pytest calls
`httpx.alias_httpx2()` for this checkout. A test that fails on one side only is run there once more, alone, because some
of these suites measure time. What then passes on the other side and not here is printed, and is an exit status of 1,
unless `DELIBERATE` knows why.

What needs the network fails on both sides alike where there is none.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "tests" / "ecosystem"
CONTROL = "0.28.1"

# Options for all of them: no coverage and no warnings as errors, whatever a suite is configured to do.
OPTIONS = [
    "-q",
    "--continue-on-collection-errors",
    "-o",
    "addopts=",
    "-o",
    "filterwarnings=",
    "-W",
    "default",
    "-p",
    "no:cacheprovider",
    "--tb=short",
]
# The end of a test that hangs.
TEST_SECONDS = 60


@dataclass(frozen=True)
class Suite:
    """The tests of one package: which of them, and for how many seconds at most on each side."""

    name: str
    tests: tuple[str, ...] = ("tests",)
    without: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    seconds: int = 600
    # Files that the tests need, that hold nothing, and that the source distribution leaves out.
    empty: tuple[str, ...] = ()
    # What is run, for the table, if it is not all.
    extent: str = ""
    # A folder of tests/ecosystem whose modules take the place of the package on our side: its names, from httpx itself.
    names: str = ""
    # Whether it is built on httpx2, which it is compared with then.
    moved: bool = False

    @property
    def control(self) -> str:
        return "httpx2" if self.moved else CONTROL

    @property
    def title(self) -> str:
        return f"{self.name} by our names" if self.names else self.name


SUITES = (
    Suite("pytest-httpx"),
    Suite("httpx-sse"),
    Suite("httpx-sse", names="names", without=("tests/test_decoders.py",), extent="all but its decoders"),
    Suite("httpx-ws", options=("-p", "wait_for_socket")),
    Suite("httpx-ws", options=("-p", "wait_for_socket"), names="names"),
    Suite("httpx-oauth"),
    Suite("httpx-auth"),
    Suite("httpx-retries"),
    Suite("starlette"),
    Suite(
        "fastapi",
        without=(
            "tests/benchmarks",
            "tests/memory_benchmarks",
            "tests/test_fastapi_cli.py",
            "tests/test_multipart_installation.py",
            "tests/test_telemetry",
            "tests/test_tutorial/test_graphql",
        ),
        seconds=900,
        extent="all but benchmarks, telemetry, GraphQL and what tests the installation",
    ),
    Suite(
        "openai",
        tests=(
            "tests/lib",
            *(f"tests/test_{name}.py" for name in ("auth", "client", "files", "legacy_response", "module_client")),
            *(f"tests/test_{name}.py" for name in ("mtls_http_client", "response", "streaming")),
        ),
        seconds=900,
        extent="the client, its responses and streams, and `lib`",
    ),
    Suite(
        "anthropic",
        tests=(
            "tests/lib",
            "tests/decoders",
            *(f"tests/test_{name}.py" for name in ("client", "files", "legacy_response", "middleware", "response")),
            "tests/test_streaming.py",
        ),
        seconds=900,
        extent="the client, its responses and streams, and `lib`",
    ),
    Suite(
        "vcrpy",
        tests=("tests/unit", "tests/integration/test_httpx.py", "tests/integration/test_httpx_stream_cleanup.py"),
        extent="unit tests and those with httpx",
    ),
    Suite(
        "hishel",
        tests=tuple(f"tests/test_{name}.py" for name in ("sync_httpx", "async_httpx", "asgi")),
        extent="those with httpx",
    ),
    Suite(
        "gql",
        tests=tuple(f"tests/test_{name}.py" for name in ("httpx", "httpx_async", "httpx_batch", "client", "cli")),
        options=("--run-online",),
        extent="those with httpx",
    ),
    Suite(
        "elastic-transport",
        tests=(
            "tests/async_",
            "tests/node",
            "tests/test_httpserver.py",
            "tests/test_logging.py",
            "tests/test_transport.py",
        ),
        # These ask public hosts.
        without=("tests/node/test_tls_versions.py", "tests/node/test_urllib3_chain_certs.py"),
        extent="nodes and transports",
    ),
    Suite(
        "huggingface-hub",
        tests=tuple(
            f"tests/test_{name}.py"
            for name in ("utils_http", "utils_errors", "offline_utils", "oauth", "webhooks_server")
        ),
        empty=("tests/__init__.py",),
        extent="those with httpx",
    ),
    Suite(
        "sentry-sdk",
        tests=tuple(f"tests/integrations/{name}" for name in ("httpx", "asgi", "starlette", "fastapi", "litestar")),
        extent="integrations with httpx, and of frameworks with test clients on httpx",
    ),
    Suite(
        "opentelemetry-instrumentation-httpx",
        tests=("tests/test_httpx_integration.py",),
        extent="those with httpx",
    ),
    # Those that moved to httpx2.
    Suite("starlette", moved=True),
    Suite(
        "openai",
        tests=(
            "tests/lib",
            *(f"tests/test_{name}.py" for name in ("auth", "client", "files", "legacy_response", "module_client")),
            *(f"tests/test_{name}.py" for name in ("response", "streaming")),
        ),
        seconds=900,
        extent="the client, its responses and streams, and `lib`",
        moved=True,
    ),
    Suite(
        "anthropic",
        tests=(
            "tests/lib",
            "tests/decoders",
            *(f"tests/test_{name}.py" for name in ("client", "files", "middleware", "response", "streaming")),
        ),
        # respx, which its tests use, imports httpx.
        options=("-p", "alias_httpx"),
        seconds=900,
        extent="the client, its responses and streams, and `lib`",
        moved=True,
    ),
    Suite(
        "mcp",
        tests=("tests/client", "tests/server", "tests/shared"),
        seconds=900,
        extent="clients, servers and what they share",
        moved=True,
    ),
    Suite(
        "huggingface-hub",
        tests=tuple(
            f"tests/test_{name}.py"
            for name in ("utils_http", "utils_errors", "offline_utils", "oauth", "webhooks_server")
        ),
        empty=("tests/__init__.py",),
        extent="those with httpx2",
        moved=True,
    ),
)

# Tests that pass on 0.28.1, fail here, and are meant to: a part of their id, and why.
DELIBERATE = {
    "httpx-sse by our names: tests/test_models.py::test_sse_repr": "a named tuple, whose repr has all fields",
    "httpx-sse by our names: tests/test_api.py::test_iter_sse_lines": "a private function of httpx-sse",
    "httpx-sse by our names: tests/test_api.py::test_aiter_sse_lines": "a private function of httpx-sse",
    **{
        f"httpx-ws by our names: tests/test_{part}": why
        for why, parts in {
            "a session is made of a stream, by hand": (
                *("api.py::TestSend::test_send_error", "api.py::TestSend::test_async_send_error"),
                *("api.py::TestReceive::test_receive_error", "api.py::TestReceive::test_async_receive_error"),
                *("api.py::TestReceive::test_receive_closed", "api.py::TestReceive::test_async_receive_closed"),
                *("api.py::TestReceivePing", "api.py::TestKeepalivePing"),
            ),
            "`receive` returns messages, and no events of wsproto": ("api.py::TestReceive::test_receive[",),
            "a message that is too large is an error": ("api.py::TestReceive::test_receive_oversized_message",),
            "a 101 without the fields of the handshake opens nothing": (
                *("api.py::test_subprotocol_and_response", "api.py::test_client"),
            ),
            "a class that is not used is replaced": ("api.py::test_default_httpx_client",),
            "there are no threads for a session": ("api.py::test_threads_wont_hang",),
            "a private class or attribute": (
                *("transport.py::TestASGIWebSocketAsyncNetworkStream", "transport.py::test_keepalive_ping_disabled"),
            ),
            "an app is called by `client.websocket`, and not by a GET with the fields of a handshake": (
                *(
                    "transport.py::TestASGIWebSocketTransport::test_websocket",
                    "transport.py::TestASGIWebSocketTransport::test_transport_exit",
                ),
                "transport.py::TestASGIWebSocketTransport::test_aclose_after_transport_exit",
            ),
        }.items()
        for part in parts
    },
    **{
        f"openai: tests/test_client.py::{kind}::test_raw_response": "responses say that they are of httpx"
        for kind in ("TestOpenAI", "TestAsyncOpenAI")
    },
    "test_creation_tools.py::test_close_before_resuming_does_not_dispatch": "a stream that was closed is iterated",
    # Signed is a header with the value "\\nab", and a mock answers. 0.28.1 refuses it only where it is written out.
    "test_aws_auth_headers_encoded_values[\\nab-": "a line break in a header is refused where it is given",
}


@dataclass
class Outcomes:
    """What became of the tests of one suite on one side."""

    tests: dict[str, str] = field(default_factory=dict)  # node id -> passed, failed or skipped
    ended: str = ""  # how it ended, if not by itself

    def counts(self) -> str:
        found = Counter(self.tests.values())
        return " / ".join(str(found[kind]) for kind in ("passed", "failed", "skipped")) + self.ended

    def failing(self) -> set[str]:
        return {test for test, outcome in self.tests.items() if outcome == "failed"}


class Runner:
    """Runs suites in the environment of the interpreter that runs this."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tree(self, requirement: str) -> Path:
        """The unpacked source distribution of a pinned package."""
        sdists, name = self.folder / "sdists", requirement.partition("==")[0]
        tree = self.folder / "trees" / requirement
        if not tree.is_dir():
            stem = requirement.replace("-", "[-_]").replace("==", "-")
            found = list(sdists.glob(f"{stem}.tar.gz"))
            if not found:
                pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
                # Only this package as source: what builds it may come as wheels.
                subprocess.run([*pip, "--no-binary", name, "--dest", str(sdists), requirement], check=True)
                found = list(sdists.glob(f"{stem}.tar.gz"))
            with tarfile.open(found[0]) as archive:
                (top,) = {Path(member.name).parts[0] for member in archive if member.name != "."}
                archive.extractall(tree.parent, filter="data")
            (tree.parent / top).rename(tree)
        return tree

    def run(self, suite: Suite, tree: Path, *, ours: bool, tests: tuple[str, ...] = ()) -> Outcomes:
        """Run a suite, or some of its tests, on one side."""
        side = "this" if ours else suite.control
        report = self.folder / "reports" / f"{suite.title} on {side}{' again' if tests else ''}"
        jsonl, log_file = Path(f"{report}.jsonl"), Path(f"{report}.log")
        report.parent.mkdir(exist_ok=True)
        # Found by pytest on its way up from a tree that has no configuration, before ours.
        (self.folder / "trees" / "pytest.ini").write_text("[pytest]\n")
        jsonl.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            *OPTIONS,
            f"--timeout={TEST_SECONDS}",
            "-p",
            "report_outcomes",
            "--rootdir=.",
        ]
        command += ["-p", "alias_httpx2"] if ours and suite.moved else []
        command += [*suite.options, *(f"--ignore={path}" for path in suite.without)]
        if tests:
            chosen = Path(f"{report}.tests")
            chosen.write_text("\n".join(tests) + "\n")
            command.append(f"@{chosen}")
        else:
            command += suite.tests
        paths = [str(HERE / "plugins"), *([str(ROOT / "src")] if ours else [])]
        if ours and suite.names:
            paths.insert(0, str(HERE / suite.names))
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "REPORT_OUTCOMES": str(jsonl)}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
        outcomes = Outcomes()
        with log_file.open("wb") as log:
            try:
                done = subprocess.run(
                    command, cwd=tree, env=environment, stdout=log, stderr=log, timeout=suite.seconds, check=False
                )
                # 0: all passed, 1: some failed; others did not run as they should.
                outcomes.ended = "" if done.returncode in (0, 1) else f" (pytest ended with {done.returncode})"
            except subprocess.TimeoutExpired:
                outcomes.ended = f" (stopped after {suite.seconds} s)"
        outcomes.tests = read_outcomes(jsonl)
        return outcomes


def read_outcomes(file: Path) -> dict[str, str]:
    """What plugins/report_outcomes.py wrote: the worst outcome of each test's phases."""
    outcomes: dict[str, str] = {}
    order = ["passed", "skipped", "failed"]
    for line in file.read_text().splitlines() if file.exists() else ():
        test, outcome = json.loads(line)
        outcomes[test] = max(outcomes.get(test, "passed"), outcome, key=order.index)
    return outcomes


def pins(moved: bool) -> dict[str, str]:
    """The pinned packages of requirements.txt or requirements-moved.txt, by name."""
    lines = (HERE / f"requirements{'-moved' if moved else ''}.txt").read_text().splitlines()
    found = (re.match(r"([\w-]+)(?:\[[\w,]+\])?==([\w.]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def stable(test: str) -> str:
    """A test's id without the time of day, which some are given as a parameter."""
    return re.sub(r"\d{9,}\.\d+", "now", test)


def fingerprint(suite: Suite) -> str:
    """What the control's outcomes depend on: the tests, and the packages."""
    moved = "-moved" if suite.moved else ""
    packages = [(HERE / f"{name}{moved}.txt").read_text() for name in ("requirements", "requirements-suites")]
    return hashlib.sha256(repr((suite.tests, suite.without, suite.options, packages)).encode()).hexdigest()[:16]


def compare(runner: Runner, suite: Suite, release: str, *, keep_control: bool) -> tuple[str, list[str]]:
    """Run a suite on both sides; its row of the table, and what fails here only."""
    tree = runner.tree(f"{suite.name}=={release}")
    for path in suite.empty:
        (tree / path).touch()
    kept = runner.folder / "reports" / f"{suite.title} {fingerprint(suite)}.json"
    if keep_control and kept.exists():
        control = Outcomes(**json.loads(kept.read_text()))
    else:
        control = runner.run(suite, tree, ours=False)
    ours = runner.run(suite, tree, ours=True)
    for mine, other, side in ((control, ours, False), (ours, control, True)):
        alone = tuple(sorted(test for test in mine.failing() if other.tests.get(test) == "passed"))
        if alone:
            mine.tests.update(runner.run(suite, tree, ours=side, tests=alone).tests)
    kept.write_text(json.dumps(asdict(control)))
    here = {stable(test): outcome for test, outcome in ours.tests.items()}
    passed = {stable(test) for test, outcome in control.tests.items() if outcome == "passed"}
    lost = sorted(test for test in passed if here.get(test) != "passed")
    row = f"| {suite.title} | {release} | {suite.extent or 'all'} | {control.counts()} | {ours.counts()} |"
    return row, [f"{suite.title}: {test} ({here.get(test, 'not run')})" for test in lost]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/test-ecosystem --suites", description=(__doc__ or "").split("\n")[1])
    parser.add_argument("names", nargs="*", help="packages; without one, all of them")
    parser.add_argument(
        "--keep-control", action="store_true", help=f"take what {CONTROL} did from the last run, if it is known"
    )
    parser.add_argument("--moved", action="store_true", help="packages that moved to httpx2")
    options = parser.parse_args()
    names = options.names
    suites = [suite for suite in SUITES if suite.moved == options.moved]
    unknown = set(names) - {suite.name for suite in suites}
    if unknown:
        parser.error(f"no suite: {', '.join(sorted(unknown))}")
    runner, versions = Runner(Path(sys.prefix)), pins(options.moved)
    rows, lost = [], []
    for suite in suites:
        if names and suite.name not in names:
            continue
        started = time.monotonic()
        row, missing = compare(runner, suite, versions[suite.name], keep_control=options.keep_control)
        print(f"{row}  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        rows.append(row)
        lost += missing
    print(f"\n{datetime.date.today()}, CPython {platform.python_version()}; passed / failed / skipped\n")
    control = f"httpx2 {version('httpx2')}" if options.moved else f"httpx {CONTROL}"
    print(f"| package | version | tests | {control} | this |\n|---|---|---|---|---|")
    print("\n".join(rows))
    regressions = [each for each in lost if not any(part in each for part in DELIBERATE)]
    for each in lost:
        reason = next((why for part, why in DELIBERATE.items() if part in each), "NOT EXPLAINED")
        print(f"- {each}: {reason}")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
