"""
Send a request and show the response, or do what the options request instead.

    perform(options) -> exit code

Not here: the request (`building`), the client (`clients`), and the output (`screen`, `wiretap`, `download`).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any

import click

import httpx

from . import exits
from .building import Plan, has_unread_input, is_for_many, plan
from .clients import auth_of, client_for, coding_of, is_event_stream, patient, wait_for_events
from .notes import complain, note, shows_progress
from .screen import screen_for
from .wiretap import Wiretap, head_of

if TYPE_CHECKING:
    from .download import Download
    from .recording import Recorder
    from .retries import Retries
    from .sessions import Session
    from .sharing import Sessions
    from .targets import Direct
    from .timings import Hops

_PARTS = frozenset("HBhbm")
# Variables of --write-out that show the status.
_STATUS_IN_FORMAT = re.compile(r"%\{(?:http_code|response_code|json)\}")


def perform(options: dict[str, Any]) -> int:
    """Run parsed arguments; return the exit code."""
    if is_for_many(options):
        from .many import send_all

        return send_all(options)
    if options["rate"] is not None:
        from .sharing import Rate

        Rate(options["rate"])  # which must be valid, although one request has nothing to wait for
    intent = plan(options)
    tell_of_missed_input(intent)
    try:
        if options["offline"] or options["curl"]:
            return show_unsent(options, intent)
        run = Run(options, intent)
        if not options["app"]:
            return run.go()
        from contextlib import redirect_stdout

        # What the application prints must not be mixed with its response.
        with redirect_stdout(sys.stderr):
            return run.go()
    finally:
        intent.close()


def tell_of_missed_input(intent: Plan) -> None:
    """Say that standard input is not sent, to a user of other clients who may expect that."""
    if intent.may_miss_input and sys.stderr is not None and has_unread_input():
        note("standard input is not sent: write POST before the URL, or add '@-'; --ignore-stdin hides this")


class Run:
    """
    One run of the client.

    Args:
        options: the parsed arguments.
        intent: the request to send.
        layers: innermost middleware, which sees every attempt and every hop.
        is_expected: returns whether a status is what the request is sent for, although it is not a success.
        sessions: of several runs, which write them; None for a run that writes its own.
        number: of the run, from 0.
        name: of the request, before what is said about it; "" if there is one only.
        present: for `Download`.
        client: more arguments of the client.

    Attributes:
        path: of the file that the body was saved to; None if it was not.

    Raises:
        click.UsageError: options exclude each other, or a value is invalid.
    """

    def __init__(
        self,
        options: dict[str, Any],
        intent: Plan,
        layers: Sequence[Any] = (),
        *,
        is_expected: Callable[[int], bool] = lambda status: False,
        sessions: Sessions | None = None,
        number: int = 0,
        name: str = "",
        present: Container[str] | None = None,
        **client: Any,
    ) -> None:
        self._options = options
        self._is_expected = is_expected
        self._sessions, self._number, self._name = sessions, number, name
        self._more_layers = list(layers)
        self._client = client
        self._recorder = _recorder(options, self._more_layers)
        self._intent = intent
        self._download = _download(options, intent, present)
        # If the body goes to standard output, nothing else may.
        to_stdout = self._download is not None and getattr(self._download, "is_output", False)
        self._screen = screen_for(sys.stderr if to_stdout else sys.stdout, options)
        self._parts = parts_of(options, self._screen.is_terminal, intent.method)
        is_watched = not options["output_json"] and (options["verbose"] or bool(self._parts & {"H", "B"}))
        self._tap = (
            Wiretap(self._screen, self._parts, options["verbose"], _masks(options, intent)) if is_watched else None
        )
        self._timings = _timings(options, self._parts)
        # The next event of a stream may be far away.
        self._is_patient = options["timeout"] is None and not options["stream"]
        self.path: str | None = None
        self._was_there = False
        self._retries: Retries | None = None
        self._addresses: dict[str, Any] = {}

    def go(self) -> int:
        """Build and send the request and show the response; return the exit code."""
        if self.is_there():
            assert self._download is not None
            self._was_there = True
            note(f"{self._named(repr(self._download.existing))} is there already, nothing was requested")
            return exits.OK
        session = self._session()
        auth = auth_for(self._options, session, self._intent)
        self._options["stream"] = self._options["stream"] or _accepts_events(self._intent)
        self._options["resolve"] += local_names(self._intent.url, self._options)
        response, error = None, None
        with client_for(self._options, auth=auth, **self._layers()) as client:
            request = self._built(client, session)
            try:
                response = self._sent(client, request)
                try:
                    self._received(response)
                finally:
                    response.close()
            except (httpx.HTTPError, exits.Failure) as exc:
                error = exc
                self._tell_of_draft()
                raise
            except KeyboardInterrupt:
                self._tell_of_draft()
                raise
            finally:
                if self._recorder is not None:
                    self._recorder.settle()
                    self._recorder.save()
                if self._timings is not None:
                    self._timings.finish()
                if session is not None and response is not None:
                    self._keep(session, client)
                self._epilogue(request, response, error)
        self._tell_of_errors(response)
        return self._code_of(response)

    def _code_of(self, response: httpx.Response) -> int:
        """Return the exit code for a response."""
        return exits.OK if self._is_expected(response.status_code) else exits.of_status(response.status_code)

    def add_layer(self, layer: Any) -> None:
        """Add innermost middleware, before `go`."""
        self._more_layers.append(layer)

    def is_there(self) -> bool:
        """Return whether there is nothing to be requested: with --skip-existing the file is there already."""
        return self._options["skip_existing"] and self._download is not None and self._download.existing is not None

    @property
    def is_saved(self) -> bool:
        """Return whether the body went to a file that was made for it."""
        return self.path is not None and self._download is not None and self._download.makes_file

    @property
    def was_skipped(self) -> bool:
        """Return whether the body was not saved, because its file was there already."""
        return self._was_there or (self._download is not None and self._download.was_skipped)

    @property
    def kept(self) -> str | None:
        """Return the path of the draft that --continue would continue; None if there is none."""
        return None if self._download is None else self._download.kept

    def _session(self) -> Session | None:
        if self._sessions is not None:
            return self._sessions.of(self._options, self._intent.url)
        return session_for(self._options, self._intent.url)

    def _keep(self, session: Session, client: httpx.Client) -> None:
        if self._sessions is not None:
            self._sessions.used(session)
            return
        session.keep(client.cookies)
        session.save()

    def _named(self, text: str) -> str:
        return f"{self._name}: {text}" if self._name else text

    def _tell_of_draft(self) -> None:
        """Say what is kept of a download that failed."""
        if self.kept is not None:
            complain(f"{self.kept!r} is kept; --continue continues it")

    def _tell_of_errors(self, response: httpx.Response) -> None:
        """Name a status from 400 on standard error if nothing else has shown it."""
        format = self._options["write_out"] or ""
        is_shown = "h" in self._parts or self._options["output_json"] or _STATUS_IN_FORMAT.search(format)
        if response.status_code >= 400 and not is_shown and not self._is_expected(response.status_code):
            complain(self._named(_status_of(response)))

    def _layers(self) -> dict[str, Any]:
        """Return the arguments of the client by which responses are shown and measured, and requests repeated."""
        layers: list[Any] = []
        hooks: dict[str, Any] = {}
        if self._options["retry"]:
            from .retries import Retries, saving, showing

            self._retries = Retries(self._options["retry"], note)
            layers.append(self._retries)
            if self._download is not None and self._download.is_repeatable:
                layers.append(saving(self._download, self._saved))
            if self._tap is not None:
                layers.append(showing(self._tap.response))
        elif self._tap is not None:
            hooks = {"event_hooks": {"response": [self._tap.response]}}
        if self._timings is not None:
            layers.append(self._timings.watch)  # it sees every attempt
        layers += self._more_layers
        if self._retries is not None and self._is_patient:
            layers.append(patient)  # bodies are read within an attempt
        return {**hooks, **self._client, **({"middleware": layers} if layers else {})}

    def _saved(self, path: str) -> None:
        self.path = path

    def _built(self, client: httpx.Client, session: Session | None) -> httpx.Request:
        intent = self._intent
        if session is not None:
            intent = _with_session(intent, session, client, restores=self._sessions is None)
        request = built(client, intent)
        if self._download is not None:
            for name, value in self._download.headers().items():
                if name.lower() not in {name.lower() for name, _ in intent.headers}:
                    request.headers[name] = value
        if self._tap is not None:
            request.extensions["trace"] = self._tap.event
        return request

    def _sent(self, client: httpx.Client, request: httpx.Request) -> httpx.Response:
        is_streamed = self._retries is None or self._download is not None or self._options["stream"]
        if self._retries is not None and not request.is_replayable:
            request.read()  # standard input, for example
        if shows_progress() and not hasattr(request, "_content"):
            from .sending import watch

            watch(request, self._intent)
        if self._timings is not None:
            self._timings.begin()
        try:
            return client.send(request, stream=is_streamed)
        finally:
            if self._tap is not None:
                self._tap.flush()

    def _received(self, response: httpx.Response) -> None:
        """Show head and body of the last response, or save the body."""
        if self._options["write_out"] is not None:
            from .write_out import addresses_of

            self._addresses = addresses_of(response)  # while the connection is still open
        if self._is_patient:
            wait_for_events(response.request, response)
        if self._options["output_json"]:
            response.read()
        else:
            self._show(response)

    def _show(self, response: httpx.Response) -> None:
        if self._tap is not None:
            self._tap.last(response)
        elif "h" in self._parts:
            self._screen.response(*head_of(response))
        if self._download is not None and self._is_to_be_saved(response):
            self.path = self.path or self._download.save(response)
        elif self._download is not None:
            self._not_saved(response)
        elif "b" in self._parts:
            self._show_body(response)
        elif self._options["quiet"]:  # an error in it is one without -q, too
            for _ in () if response.is_stream_consumed else response.iter_bytes():
                pass
        elif (self._timings is not None or self._more_layers) and not response.is_stream_consumed:
            for _ in response.iter_raw():  # its size and time are shown, or it is recorded
                pass
        if self._options["verbose"] and response.extensions.get("trailers"):
            self._screen.trailers(response.extensions["trailers"])

    def _is_to_be_saved(self, response: httpx.Response) -> bool:
        """Return whether the body is what the file is for: an error page must not replace a good file."""
        options = self._options
        # Standard output gets what it gets without --output.
        if response.is_success or options["no_fail"] or getattr(self._download, "is_output", False):
            return True
        if self._is_expected(response.status_code) and response.status_code != 304:  # which has no body
            return True
        # A draft that is already complete.
        return bool(options["resume"]) and response.status_code == 416

    def _not_saved(self, response: httpx.Response) -> None:
        """Show a body that is not saved, if anything is shown, and say why it is not."""
        status = response.status_code
        if status == 304:
            note("304 Not Modified: nothing was saved")
            return
        if "b" in self._parts and status >= 400:
            self._show_body(response)
        target = self._options["output"] or self._options["download"]
        if target == os.devnull:
            return
        how = "--follow-redirects follows it" if response.has_redirect_location else "--no-fail saves it"
        failure = exits.Failure(f"{_status_of(response)}: nothing was saved ({how})")
        failure.code = exits.of_status(status) or exits.FAILED
        raise failure

    def _show_body(self, response: httpx.Response) -> None:
        if self._tap is not None:
            self._tap.separate()
        if self._options["stream"] or (self._screen.is_terminal and is_event_stream(response)):
            from .event_stream import show

            show(response, self._screen)
        else:
            self._screen.body(response)

    def _epilogue(self, request: httpx.Request, response: httpx.Response | None, error: Exception | None) -> None:
        """Show what follows the response, or replaces it."""
        timings, options = self._timings, self._options
        if timings is None:
            return
        if options["output_json"] and (response is not None or error is not None):
            from .exchange_json import exchange

            value = exchange(request, response, timings, error, options["with_secrets"])
            self._screen.value(json.dumps(value, ensure_ascii=False))
        if response is not None and "m" in self._parts:
            size, seconds = response.num_bytes_downloaded, timings.total
            self._screen.note(f"{response.http_version}, {size} bytes in {seconds:.3f} s")
        if options["write_out"] is not None and (response is not None or error is not None):
            self._write_out(options["write_out"], request, response, error)
        if options["timings"]:
            from .manual import columns
            from .timings import show

            sys.stdout.flush()
            show(timings, screen_for(sys.stderr, options), columns(sys.stderr))

    def _write_out(
        self, format: str, request: httpx.Request, response: httpx.Response | None, error: Exception | None
    ) -> None:
        from .write_out import by_stream, facts_of, facts_of_error, write_out

        assert self._timings is not None  # --write-out needs them
        retries = 0 if self._retries is None else self._retries.count
        more: dict[str, Any] = {"url": self._intent.url, "urlnum": self._number, "num_retries": retries}
        more.update(self._addresses)
        if error is not None:
            code = error.code if isinstance(error, exits.Failure) else exits.of_error(error)
            more.update(errormsg=str(error), exitcode=code)
        elif response is not None:
            more.update(exitcode=self._code_of(response))
        if response is None:
            facts = facts_of_error(request, self._timings, **more)
        else:
            facts = facts_of(response, self._timings, filename_effective=self.path, **more)
        for stream, part in by_stream(format):
            screen = screen_for(sys.stderr, self._options) if stream == "stderr" else self._screen
            screen.write(write_out(part, facts))


def built(client: httpx.Client, intent: Plan) -> httpx.Request:
    """
    Return the request of a plan.

    Raises:
        click.UsageError: a part of it cannot be encoded.
    """
    try:
        request = client.build_request(
            intent.method,
            _with_params(intent),
            headers=[_encoded(name, value) for name, value in intent.headers],
            cookies=intent.cookies,
            **intent.body,
        )
        if all(entry[0] is None for _, entry in intent.body.get("files", [("", ("file",))])):
            request.read()  # --multipart without files: it can be shown
    except (TypeError, ValueError) as exc:  # for example a header that cannot be encoded
        raise click.UsageError(str(exc)) from None
    for name in intent.absent:
        request.headers.pop(name, None)
    return request


def _encoded(name: str, value: str) -> tuple[Any, Any]:
    """Return a header field; beyond ASCII in UTF-8, as HTTPie and curl send it."""
    if value.isascii():
        return name, value
    return name.encode("ascii"), value.encode("utf-8", "surrogateescape")


def _with_params(intent: Plan) -> httpx.URL:
    """Return the URL with the parameters added to its query, which stays as it is."""
    url = httpx.URL(intent.url)
    if not intent.params:
        return url
    added = str(httpx.QueryParams(tuple(intent.params))).encode("ascii")
    return url.copy_with(query=b"&".join(filter(None, (url.query, added))))


def show_unsent(options: dict[str, Any], intent: Plan) -> int:
    """Show the request without sending it: --offline and --curl."""
    screen = screen_for(sys.stdout, options)
    request = unsent(options, intent)
    if options["curl"]:
        from .curl import to_curl

        screen.write(to_curl(request, mask=not options["with_secrets"], options=options) + "\n")
        return exits.OK
    Wiretap(screen, parts_of(options, screen.is_terminal), masks=_masks(options, intent)).request(request)
    if screen.is_terminal:
        screen.write("\n")
    return exits.OK


def unsent(options: dict[str, Any], intent: Plan) -> httpx.Request:
    """Return the request as it would be sent, with what the authentication adds before any response."""
    sent: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    session = session_for(options, intent.url)
    auth = auth_for(options, session, intent)
    with httpx.Client(transport=httpx.MockTransport(keep), auth=auth, compress=coding_of(options)) as client:
        client.send(built(client, intent if session is None else _with_session(intent, session, client)))
    return sent[0]


def parts_of(options: dict[str, Any], is_terminal: bool, method: str = "GET") -> frozenset[str]:
    """
    Return the letters of --print, or the default.

    A pipe or a file gets the body alone, so that `httpx URL | jq` works; HEAD has no body.

    Args:
        is_terminal: whether the output is one.
        method: of the request.

    Raises:
        click.UsageError: a letter is unknown.
    """
    given = options["print"]
    if options["output_json"]:  # nothing may be written beside its object
        return frozenset()
    if given is None:
        if options["verbose"] or options["offline"]:
            return frozenset("HBhb")
        if options["output"] is not None:
            return frozenset()
        return frozenset("h" if method == "HEAD" else "hb" if is_terminal else "b")
    unknown = set(given) - _PARTS
    if unknown:
        raise click.UsageError(f"--print must have only the letters H, B, h, b and m, got {min(unknown)!r}")
    return frozenset(given)


def _download(options: dict[str, Any], intent: Plan, present: Container[str] | None = None) -> Download | Direct | None:
    """Return the download that the body is saved with; None if it is not saved."""
    target = options["output"] if options["download"] is None else options["download"]
    if options["download"] is not None and options["output"] is not None:
        raise click.UsageError("--download and --output exclude each other")
    if target is None:
        for name, key in (
            *(("--continue", "resume"), ("--check-digest", "check_digest")),
            ("--skip-existing", "skip_existing"),
        ):
            # In the configuration it is for those that save the body.
            if options[key] and key not in options["from_config"]:
                raise click.UsageError(f"{name} needs --download or --output")
        return None
    if options["output_json"]:
        raise click.UsageError("--output-json excludes --download and --output")
    from .targets import target_for

    try:
        return target_for(
            target,
            intent.url,
            resume=options["resume"],
            digest=options["check_digest"],
            skips=options["skip_existing"],
            present=present,
        )
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def _timings(options: dict[str, Any], parts: frozenset[str]) -> Hops | None:
    """Return `Hops` if an option needs one, else None."""
    if options["write_out"] is not None:
        from .write_out import check, loaded

        try:
            options["write_out"] = loaded(options["write_out"])
            check(options["write_out"])
        except (ValueError, OSError) as exc:
            raise click.UsageError(str(exc)) from None
    if not (options["timings"] or options["output_json"] or options["write_out"] is not None or "m" in parts):
        return None
    from .timings import Hops

    return Hops()


def _recorder(options: dict[str, Any], layers: list[Any]) -> Recorder | None:
    """Return the recorder of --har, which is added to the layers."""
    recorder = recorder_of(options)
    if recorder is not None:
        layers.append(recorder.watch)
    return recorder


def recorder_of(options: dict[str, Any]) -> Recorder | None:
    """Return the recorder of --har; None without it."""
    if options["har"] is None:
        return None
    from .recording import Recorder

    return Recorder(options["har"], options["with_secrets"])


def session_for(options: dict[str, Any], url: str) -> Session | None:
    """
    Return the session of the options for the host of a URL; None without one.

    Raises:
        click.UsageError: it is broken, or belongs to another host.
    """
    name, read_only = options["session"], options["session_read_only"]
    if name is None and read_only is None:
        return None
    if name is not None and read_only is not None:
        raise click.UsageError("--session and --session-read-only exclude each other")
    from .sessions import Session

    try:
        host = httpx.URL(url).netloc.decode("ascii")
        return Session.load(read_only if name is None else name, host, read_only=name is None)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def _with_session(intent: Plan, session: Session, client: httpx.Client, restores: bool = True) -> Plan:
    """Return the request with the session's header fields; its own fields win, and are remembered."""
    if restores:
        session.restore(client.cookies)
    intent = _with_cookies(intent)
    session.remember(intent.headers)
    given = {name.lower() for name, _ in intent.headers} | {name.lower() for name in intent.absent}
    kept = [(name, value) for name, value in session.headers if name.lower() not in given]
    host = httpx.URL(intent.url).host
    for name, value in intent.cookies.items():
        client.cookies.set(name, value, domain=host)
    return intent._replace(headers=[*kept, *intent.headers], cookies={})


def _masks(options: dict[str, Any], intent: Plan) -> bool:
    """Return whether the Authorization is hidden: one from the configuration was not typed by who reads the screen."""
    return intent.config is not None and not options["with_secrets"]


def _with_cookies(intent: Plan) -> Plan:
    """Return the request with the pairs of its Cookie header as cookies, which go with those of the session."""
    pairs: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for name, value in intent.headers:
        if name.lower() != "cookie":
            others.append((name, value))
            continue
        found = [pair.strip() for pair in value.split(";") if pair.strip()]
        if not all("=" in pair for pair in found):
            others.append((name, value))
            continue
        pairs.update((key, text) for key, _, text in (pair.partition("=") for pair in found))
    return intent._replace(headers=others, cookies={**pairs, **intent.cookies})


def auth_for(options: dict[str, Any], session: Session | None, intent: Plan) -> Any:
    """Return the authentication of the options, which the session remembers, else of the session, else of the host."""
    auth = auth_of(options)
    if auth is None and intent.config is not None and (session is None or session.auth is None):
        given = {name.lower() for name in (*(name for name, _ in intent.headers), *intent.absent)}
        return None if "authorization" in given else intent.config.credentials(httpx.URL(intent.url))
    if session is None:
        return auth
    if auth is None:
        return None if session.auth is None else auth_of({**options, **session.auth})
    session.auth = {name: options[name] for name in ("auth", "bearer", "digest")}
    return auth


def _accepts_events(intent: Plan) -> bool:
    """Return whether the request asks for server-sent events, which may be far apart."""
    return any(name.lower() == "accept" and "text/event-stream" in value.lower() for name, value in intent.headers)


def local_names(address: str, options: dict[str, Any]) -> tuple[str, ...]:
    """Return a value of --resolve for names such as `app.localhost`, which are this machine (RFC 6761, 6.3)."""
    url = httpx.URL(address)
    if not url.host.rstrip(".").endswith(".localhost") or options["resolve"]:
        return ()
    port = url.port or (443 if url.scheme == "https" else 80)
    return (f"{url.host}:{port}:127.0.0.1,[::1]",)


def _status_of(response: httpx.Response) -> str:
    """Return the status with its registered phrase: that of the server may be anything."""
    return f"{response.status_code} {httpx.codes.get_reason_phrase(response.status_code)}".rstrip()
