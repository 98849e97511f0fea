"""
A request sent and its answer shown, or whatever the options ask for in place of it.

    perform(options) -> exit code

Not here: what is sent (`building`), by whom (`clients`), and the ways of showing it (`screen`, `wiretap`, `download`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

import httpx

from . import exits
from .building import Plan, plan
from .clients import auth_of, client_for
from .screen import Screen
from .wiretap import Wiretap, head_of

Trace = Callable[[str, dict[str, Any]], None]

_PARTS = frozenset("HBhbm")


def perform(options: dict[str, Any]) -> int:
    """Do what parsed arguments ask for; returns the exit code."""
    return Run(options).go()


class Run:
    """
    One run of the client.

    Args:
        options: what the parser made of the arguments.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._parts = parts_of(options)
        self._target = _target(options)
        # A body on standard output leaves no room for anything else there.
        stream = sys.stderr if self._target == "-" else sys.stdout
        self._screen = Screen(stream, options["pretty"])
        shows_request = bool(self._parts & {"H", "B"})
        self._tap = Wiretap(self._screen, self._parts, options["verbose"]) if shows_request else None
        self._traces: list[Trace] = [] if self._tap is None else [self._tap.event]

    def go(self) -> int:
        """Build, send, show; returns the exit code."""
        intent = plan(self._options)
        try:
            if self._options["offline"] or self._options["curl"]:
                return self._shown(intent)
            return self._exchanged(intent)
        finally:
            intent.close()

    def _exchanged(self, intent: Plan) -> int:
        began = time.perf_counter()
        hooks = {} if self._tap is None else {"response": [self._tap.response]}
        with client_for(self._options, auth=auth_of(self._options), event_hooks=hooks) as client:
            request = self._built(client, intent)
            response = self._sent(client, request)
            try:
                self._received(response)
            finally:
                response.close()
        self._epilogue(response, time.perf_counter() - began)
        return exits.of_status(response.status_code)

    def _shown(self, intent: Plan) -> int:
        """Show what would be sent, and send nothing."""
        request = unsent(self._options, intent)
        if self._options["curl"]:
            raise NotImplementedError
        Wiretap(self._screen, self._parts).request(request)
        if self._screen.is_terminal:
            self._screen.write("\n")
        return exits.OK

    def _built(self, client: httpx.Client, intent: Plan) -> httpx.Request:
        request = built(client, intent)
        if self._traces:
            request.extensions["trace"] = self._trace
        return request

    def _trace(self, name: str, info: dict[str, Any]) -> None:
        for trace in self._traces:
            trace(name, info)

    def _sent(self, client: httpx.Client, request: httpx.Request) -> httpx.Response:
        try:
            return client.send(request, stream=True)
        finally:
            if self._tap is not None:
                self._tap.flush()

    def _received(self, response: httpx.Response) -> None:
        """Show head and body of the last answer, or save the body."""
        if self._tap is not None:
            self._tap.last(response)
        elif "h" in self._parts:
            self._screen.response(*head_of(response))
        if self._target is not None:
            from .download import save

            save(response, self._target)
        elif "b" in self._parts:
            if self._tap is not None:
                self._tap.separate()
            self._screen.body(response)
        elif "m" in self._parts:
            response.read()
        if self._options["verbose"] and response.extensions.get("trailers"):
            self._screen.trailers(response.extensions["trailers"])

    def _epilogue(self, response: httpx.Response, seconds: float) -> None:
        """What comes behind the answer."""
        if "m" in self._parts:
            size = response.num_bytes_downloaded
            self._screen.note(f"{response.http_version}, {size} bytes in {seconds:.3f} s")


def built(client: httpx.Client, intent: Plan) -> httpx.Request:
    """
    The request that a plan means.

    Raises:
        click.UsageError: a part of it cannot be encoded.
    """
    try:
        request = client.build_request(
            intent.method,
            intent.url,
            params=tuple(intent.params) or None,
            headers=intent.headers,
            cookies=intent.cookies,
            **intent.body,
        )
    except (TypeError, ValueError) as exc:  # such as a header that cannot be encoded
        raise click.UsageError(str(exc)) from None
    for name in intent.absent:
        request.headers.pop(name, None)
    return request


def unsent(options: dict[str, Any], intent: Plan) -> httpx.Request:
    """The request as it would leave the client, with what the authentication puts into it before any answer."""
    sent: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(keep), auth=auth_of(options)) as client:
        client.send(built(client, intent))
    return sent[0]


def parts_of(options: dict[str, Any]) -> frozenset[str]:
    """
    The letters of --print, or what goes without saying.

    Raises:
        click.UsageError: a letter means nothing.
    """
    given = options["print"]
    if given is None:
        if options["verbose"] or options["offline"]:
            return frozenset("HBhb")
        return frozenset("" if options["output"] is not None else "hb")
    unknown = set(given) - _PARTS
    if unknown:
        raise click.UsageError(f"--print takes the letters H, B, h, b and m, not {min(unknown)!r}")
    return frozenset(given)


def _target(options: dict[str, Any]) -> str | None:
    """Where the body is saved; None if it is not."""
    if options["download"] is not None and options["output"] is not None:
        raise click.UsageError("--download and --output exclude each other")
    target: str | None = options["output"] if options["download"] is None else options["download"]
    return target
