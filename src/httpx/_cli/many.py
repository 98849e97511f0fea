"""
Several URLs in one run: `httpx URL URL ...`, patterns in URLs, and the lines of --urls.

    words, patterns, lines (`addresses`) ─► plan (`building`) ─► `exchange.Run` ─► output in order ─► exit code

Items, method and options count for every URL. One request follows the other, or --parallel N are under way, and their
output waits for its turn (`turns`). They share connections and cookies (`sharing`). What fails does not stop the
others, unless --fail-early is given; the exit code is the highest.

The configuration file's options, header fields and credentials of a host are for its URLs only; what the command line
says is for all of them. Messages name a URL without its query and its credentials.

Not here: one request and its output (`exchange`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import click

import httpx

from .._filenames import place_of
from . import exits
from .addresses import Address, check_saved, from_file, from_words, patterns_of
from .building import Content, Input, Plan, address, configured, is_in_process, plan, refuse_websocket, sorted_words
from .clients import auth_of
from .exchange import Run, show_unsent, tell_of_missed_input
from .items import path_and_options, split
from .notes import note, shows_progress
from .patterns import filled
from .sharing import FAILURES, Shared, counted, outcome_of, printing_to_stderr, tell

if TYPE_CHECKING:
    from .bar import Table
    from .config import Config
    from .turns import Turns

MAX_PARALLEL = 100
# Hosts whose settings are remembered.
_MAX_HOSTS = 256


class Job(NamedTuple):
    """
    A request of the run.

    Attributes:
        number: from 0.
        address: its URL.
    """

    number: int
    address: Address


def send_all(options: dict[str, Any]) -> int:
    """Run parsed arguments with several URLs; return the highest exit code."""
    return Many(options).run()


class Many:
    """
    The requests of several URLs.

    Args:
        options: the parsed arguments.

    Raises:
        click.UsageError: they are invalid, or would write two bodies to one file. Nothing was sent.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._width = _width(options)
        listed = options["urls"]
        self._method, self._words, self._items = sorted_words(
            options["words"], options["method"], may_lack_url=listed is not None
        )
        self._is_literal = bool(options["globoff"])
        if listed == "-":
            options["ignore_stdin"] = True
        self._check()
        self._target: str | None = options["output"] if options["download"] is None else options["download"]
        self._present = self._checked_target()
        self._input = OneInput()
        self._settings = Settings(options)
        self._addresses = chain(from_words(self._words, self._is_literal), () if listed is None else from_file(listed))
        self._has_headings = bool(sys.stdout.isatty())
        self._lock = Lock()
        self._shared: Shared | None = None
        self._turns: Turns[Job] | None = None
        self._under_way: dict[int, Run] = {}
        self._count = self._failed = self._skipped = 0
        self._worst = exits.OK
        self._is_stopped = self._is_interrupted = False

    def run(self) -> int:
        """Send the requests, and return the highest exit code."""
        self._prepare()
        jobs = (Job(number, each) for number, each in enumerate(self._addresses))
        if self._options["offline"] or self._options["curl"]:
            self._run_in_order(jobs)
        else:
            with Shared(self._options, self._width, keeps_sessions=True) as self._shared:
                self._shared.transport(self._options, "http://localhost/")  # what is wrong with it is said once
                if self._width > 1:
                    self._run_in_threads(jobs)
                else:
                    self._run_in_order(jobs)
        if self._is_stopped and self._leaves_any():
            tell("stopped after the first failure", note)
        if self._shared is not None and self._count + self._skipped != 1:
            skipped = f", {self._skipped} skipped" if self._skipped else ""
            tell(f"{counted(self._count)}, {self._failed} failed{skipped}", note)
        return self._worst

    def _leaves_any(self) -> bool:
        """Return whether there are URLs that nothing was sent to. A list counts as endless: it may be a pipe."""
        known = sum(pattern.size for pattern in patterns_of(self._words, self._is_literal))
        return self._options["urls"] is not None or known > self._count + self._skipped

    def _run_in_order(self, jobs: Iterator[Job]) -> None:
        for job in jobs:
            self._do(job)
            if self._is_stopped:
                break

    def _run_in_threads(self, jobs: Iterator[Job]) -> None:
        from .turns import Turns

        assert self._shared is not None
        try:
            with self._table() as table:
                self._turns = Turns(jobs, self._do, self._width, None if table is None else table.write)
                self._turns.run(self._interrupt)
        except BaseException:
            # After the end of the table, which would erase these lines.
            for _, run in sorted(self._under_way.items()):
                if run.kept is not None:
                    tell(f"{run.kept!r} is kept; --continue continues it")
            raise

    def _interrupt(self) -> None:
        assert self._shared is not None
        self._is_interrupted = True
        self._shared.interrupt()

    def _table(self) -> AbstractContextManager[Table | None]:
        """Return the context of a table of the downloads that are under way; of None if there is to be none."""
        if not shows_progress():
            return nullcontext()
        from .bar import no_bars, table
        from .targets import is_direct

        if self._target is None or is_direct(self._target):
            return no_bars()
        return table()

    # Before the first request.

    def _check(self) -> None:
        """Refuse options that make no sense with several URLs."""
        options = self._options
        if options["check_digest"] is not None:
            raise click.UsageError("--check-digest is the digest of one body, and there are several URLs")
        for word in self._words:
            if word is not self._words[0] and "://" not in word and os.path.isfile(word):
                raise click.UsageError(f"{word!r} is a file: @{word} sends it, and https://{word} is a URL")
        for pattern in patterns_of(self._words, self._is_literal):
            if not pattern.choices:  # the others are checked one by one
                url = address(pattern.texts[0], is_in_process(options))
                httpx.URL(url)
                refuse_websocket(url)
        from_stdin = [word for word in self._items if _reads_stdin(word)]
        from_stdin += ["-w @-"] if options["urls"] == "-" and options["write_out"] == "@-" else []
        from_stdin += [f"--files {name} -" for name, file in options["files"] if not _has_path(file)]
        for word in from_stdin:
            if word != "@-" or options["urls"] == "-":
                why = "the list of URLs" if options["urls"] == "-" else "read once, and there are several requests"
                raise click.UsageError(f"{word[:40]!r} cannot be standard input, which is {why}")

    def _checked_target(self) -> frozenset[str] | None:
        """Check where bodies go; return the names that are in their folder, if these are to be skipped."""
        target = self._target
        if target is None:
            return None
        from .._transports.drafts import folder_of
        from .targets import descriptor_of, is_direct

        folder = folder_of(target)
        if folder is not None:
            return frozenset(os.listdir(folder)) if self._options["skip_existing"] and os.path.isdir(folder) else None
        if is_direct(target) and not os.path.isfile(target):
            if self._width > 1 and descriptor_of(target) not in (1, 2) and target != os.devnull:
                raise click.UsageError(f"--parallel would mix several bodies in {target!r}")
            return None
        check_saved(self._words, target, self._is_literal, self._options["urls"] is not None)
        return None

    def _prepare(self) -> None:
        """Find what is wrong for every URL before the first one, and ask for a password once."""
        options = self._options
        if options["write_out"] is not None:
            from .write_out import loaded

            try:
                text = loaded(options["write_out"])
            except (ValueError, OSError) as exc:
                raise click.UsageError(str(exc)) from None
            options["write_out"] = f"%{{stdout}}{text}" if text.startswith("@") else text  # it is not a file's name
        auth_of(options)
        first = next(from_words(self._words, self._is_literal), Address(""))
        probe = self._filled(options, first)
        probe.update(words=self._all_words("http://localhost/"), har=None)
        intent = plan(probe, self._input, lambda _: None)
        with closing(intent):
            tell_of_missed_input(intent)
            Run(probe, intent)

    def _all_words(self, url: str) -> tuple[str, ...]:
        return (*([] if self._method is None else [self._method]), url, *self._items)

    # One request.

    def _do(self, job: Job) -> None:
        """Send a request; tell of its failure."""
        where = job.address.where
        try:
            code, message, name = self._sent(job), "", ""
        except BrokenPipeError:
            raise
        except (*FAILURES, OSError) as exc:
            code, message = outcome_of(exc)
            name = _name_of(job.address.url, is_in_process(self._options))
        if message:
            tell(": ".join(filter(None, (where, name, message))))
        with self._lock:
            self._count += 1
            self._failed += code != exits.OK
            self._worst = max(self._worst, code)
            if code != exits.OK and self._options["fail_early"]:
                self._is_stopped = True
                if self._turns is not None:
                    self._turns.stop()

    def _sent(self, job: Job) -> int:
        if job.address.problem:
            raise click.UsageError(job.address.problem)
        url = address(job.address.url, is_in_process(self._options))
        options = self._filled(self._settings.options_of(url), job.address)
        options["words"] = self._all_words(url)
        intent = plan(options, self._input, self._settings.of)
        with closing(intent):
            name = _name_of(url)
            if self._has_headings:
                tell(f"{intent.method} {name}", partial(note, mark="###"))
            if self._shared is None or options["offline"] or options["curl"]:
                return show_unsent(options, intent)
            return self._exchanged(options, intent, job, name)

    def _exchanged(self, options: dict[str, Any], intent: Plan, job: Job, name: str) -> int:
        assert self._shared is not None
        run = self._shared.run(options, intent, number=job.number, name=name, present=self._present)
        redirect: Callable[[], Any] | None = None
        if options["app"]:
            redirect = printing_to_stderr if self._turns is None else self._turns.redirect_output
        self._under_way[job.number] = run
        try:
            code = self._shared.go(run, redirect)
        finally:
            if not self._is_interrupted:  # or their drafts are named
                del self._under_way[job.number]
        if run.was_skipped:
            with self._lock:
                self._count -= 1
                self._skipped += 1
        elif self._width > 1 and run.is_saved:
            tell(f"{name}: saved to {run.path!r}", note)
        return code

    def _filled(self, options: dict[str, Any], address: Address) -> dict[str, Any]:
        """Return a copy of options, with the files of one request."""
        options = dict(options)
        # Each request reads its files itself, and they are closed with its plan.
        options["files"] = tuple((name, open(file.name, "rb")) for name, file in options["files"])  # noqa: SIM115  # see above
        for name in ("output", "download"):
            if options[name] is not None:
                options[name] = filled(options[name], address.values)
        return options


class OneInput(Input):
    """Standard input as the body of several requests: it is read once, and kept."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: list[bytes | None] = []

    def piped(self) -> bytes | None:
        """Return what is piped or redirected."""
        return self._once(super().piped)

    def awaited(self) -> bytes:
        """Return what comes, however late that is."""
        return self._once(super().awaited) or b""

    def _once(self, read: Callable[[], Content | None]) -> bytes | None:
        with self._lock:
            if not self._kept:
                content = read()
                if content is not None and not isinstance(content, bytes):
                    raise click.UsageError(
                        "standard input has more than 4 MiB, and is the body of several requests: "
                        "save it to a file, and send that with @FILE"
                    )
                self._kept.append(content)
            return self._kept[0]


class Settings:
    """
    The settings of the configuration file, for each host.

    Args:
        options: the parsed arguments, with the configuration's options for all hosts.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._lock = Lock()
        self._known: dict[str, tuple[Config | None, dict[str, Any]]] = {}

    def of(self, options: dict[str, Any]) -> Config | None:
        """Return the settings for the host of a request's options."""
        return self._found(options["words"][self._place(options)])[0]

    def options_of(self, url: str) -> dict[str, Any]:
        """Return the options for a URL: those of its host in the configuration count before the command line's."""
        return self._found(url)[1]

    def _place(self, options: dict[str, Any]) -> int:
        return next(place for place, word in enumerate(options["words"]) if "://" in word)

    def _found(self, url: str) -> tuple[Config | None, dict[str, Any]]:
        if self._options["no_config"]:
            return None, self._options
        host = httpx.URL(url).netloc.decode("ascii")
        with self._lock:
            found = self._known.pop(host, None)
            if found is None:
                if len(self._known) >= _MAX_HOSTS:
                    del self._known[next(iter(self._known))]  # the least recently used
                config = configured({**self._options, "words": (url,)})
                found = config, self._parsed(config)
            self._known[host] = found
            return found

    def _parsed(self, config: Config | None) -> dict[str, Any]:
        """Return the options with those of a host."""
        if config is None or not config.own_words:
            return self._options
        from .parser import parse

        base = self._options
        with parse(base["argv"], defaults=lambda _: config.words) as context:
            found = dict(context.params)
        for name in ("output", "download"):
            if found[name] != base[name]:  # it was not checked that no body replaces another one
                raise click.UsageError(f"--{name} of a host in the configuration is not for several URLs")
        # What was read from standard input and typed, and the open files, are there once.
        found.update({name: base[name] or found[name] for name in ("files", "write_out", "ignore_stdin")})
        if found["auth"] and base["auth"] and found["auth"] == (base["auth"][0], "-"):
            found["auth"] = base["auth"]
        return found


def _width(options: dict[str, Any]) -> int:
    given: int | None = options["parallel"]
    if given is not None and not 0 < given <= MAX_PARALLEL:
        raise click.UsageError(f"--parallel must be from 1 to {MAX_PARALLEL}, got {given}")
    return given or 1


def _reads_stdin(word: str) -> bool:
    """Return whether an item is, or has, standard input."""
    try:
        _, separator, value = split(word)
    except ValueError:
        return False
    return separator == "@" and path_and_options(value)[0] == "-"


def _has_path(file: Any) -> bool:
    """Return whether a file that was opened for --files is not standard input."""
    return isinstance(getattr(file, "name", None), str) and file.name != "<stdin>"


def _name_of(url: str, in_process: bool = False) -> str:
    """Return a URL for messages: without credentials, query and fragment; "" if there is none."""
    if not url:
        return ""
    try:
        parsed = httpx.URL(address(url, in_process)).copy_with(query=None, fragment=None)
    except (click.UsageError, httpx.InvalidURL):
        return place_of(url)[:80]
    text = str(parsed.copy_with(userinfo=b""))
    return text if len(text) <= 200 else f"{text[:200]}..."
