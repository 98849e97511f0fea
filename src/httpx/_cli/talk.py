"""
`httpx ws URL`: a WebSocket on the command line. Each line of standard input is sent; each message is shown.

    talk(options) -> exit code

A terminal gets text without control characters. A pipe gets each message and a line feed, binary ones as they are. With
--output-json each event is a JSON object in a line of its own:

    {"event": "open", "url", "status", "http_version", "subprotocol", "seconds"}
    {"event": "sent" or "received", "text" or "base64", "seconds"}
    {"event": "close", "code", "reason", "by_peer", "error", "seconds"}

At the end of the input a terminal closes the WebSocket. A pipe has sent its requests by then, so responses are waited
for: until none came for --timeout seconds, or the server closes.

Not here: the client (`clients`), the parts of the request (`building`).
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

import httpx

from .. import _redaction as redaction
from . import exits
from .building import opening_words, plan
from .clients import client_for
from .exchange import auth_for, local_names
from .notes import complain
from .screen import screen_for
from .wiretap import head_of

if TYPE_CHECKING:
    from .timings import Hops

# Options that say something about a body or a response, which a WebSocket does not have.
_NOT_WITH = (
    *("content", "data", "files", "json", "form", "multipart", "raw", "stream", "output", "download", "resume"),
    *("check_digest", "write_out", "print", "retry", "session", "session_read_only", "offline", "curl", "method"),
    *("compress", "har", "urls", "parallel", "rate", "fail_early", "skip_existing"),
)


def talk(options: dict[str, Any]) -> int:
    """Open a WebSocket and carry lines both ways; return the exit code."""
    words = opening_words(options["words"])
    for name in _NOT_WITH:
        if options[name] and name not in options["from_config"]:
            shown = "continue" if name == "resume" else name.replace("_", "-")
            raise click.UsageError(f"--ws excludes --{shown}")
    intent = plan({**options, "words": words, "ignore_stdin": True, "ws": True})
    if intent.body or intent.method != "GET":
        raise click.UsageError("--ws sends a GET without a body: leave out the method, and items of a body")
    conversation = Talk(options, intent)
    if not options["app"]:
        return conversation.go()
    from .sharing import printing_to_stderr

    with printing_to_stderr():
        return conversation.go()


class Talk:
    """
    One WebSocket of the command line.

    Args:
        options: the parsed arguments.
        intent: the request that opens it.
    """

    def __init__(self, options: dict[str, Any], intent: Any) -> None:
        self._options = options
        self._intent = intent
        self._screen = screen_for(sys.stdout, options)
        self._is_json = options["output_json"]
        self._shows = not (self._is_json or options["quiet"])
        self._timings: Hops | None = None
        if options["timings"]:
            from .timings import Hops

            self._timings = Hops()
        self._begun = time.perf_counter()
        self._has_opened = False
        self._lock = threading.Lock()  # for what is shown: the thread that sends shows, too
        self._input_is_over = threading.Event()

    def go(self) -> int:
        """Open the WebSocket, and return the exit code when it has ended."""
        intent = self._intent
        more: dict[str, Any] = {}
        if self._timings is not None:
            more["middleware"] = [self._timings.watch]
            self._timings.begin()
        self._options["resolve"] += local_names(intent.url, self._options)
        with client_for(self._options, auth=auth_for(self._options, None, intent), **more) as client:
            connector = client.websocket(
                intent.url,
                params=tuple(intent.params) or None,
                headers=intent.headers,
                cookies=intent.cookies or None,
                subprotocols=list(self._options["subprotocol"]) or None,
            )
            try:
                with connector as ws:
                    self._opened(ws)
                    threading.Thread(target=self._send_lines, args=[ws], daemon=True).start()
                    return self._receive(ws)
            except httpx.websockets.WebSocketUpgradeError as exc:
                return self._refused(exc)
            finally:
                self._show_timings()

    def _opened(self, ws: Any) -> None:
        self._has_opened = True
        if self._timings is not None:
            self._timings.finish()
        if self._options["verbose"]:
            self._screen.response(*head_of(ws.response))
        response = ws.response
        url = str(response.url) if self._options["with_secrets"] else redaction.address(response.url)
        facts = {"status": response.status_code, "http_version": ws.http_version, "subprotocol": ws.subprotocol}
        self._tell("open", url=url, **facts)

    def _refused(self, exc: Any) -> int:
        """Show why no WebSocket was opened; return the exit code."""
        response = exc.response
        self._tell("close", code=None, reason=None, by_peer=True, error=str(exc), status=response.status_code)
        complain(f"{type(exc).__name__}: {exc}")
        if response.content and self._shows:
            self._screen.body(response)
        return exits.of_status(response.status_code) or exits.FAILED

    def _send_lines(self, ws: Any) -> None:
        """Send each line of standard input; the function of a thread, which ends with the program."""
        try:
            for text in lines_of(sys.stdin):
                self._tell("sent", text=text)
                ws.send(text)
            if sys.stdin is not None and sys.stdin.isatty():
                ws.close()
        except (httpx.TransportError, ValueError, OSError):
            pass  # the WebSocket has ended, and the thread that receives says how
        finally:
            self._input_is_over.set()

    def _receive(self, ws: Any) -> int:
        """Show messages until the end; return the exit code."""
        patience = self._options["timeout"] or None
        waited = 0.0
        while True:
            try:
                message = ws.receive(timeout=_TURN)
                waited = 0.0
            except httpx.websockets.WebSocketTimeout:
                waited = waited + _TURN if self._input_is_over.is_set() else 0.0
                if patience is not None and waited >= patience:
                    ws.close()
            except httpx.websockets.WebSocketDisconnect as exc:
                is_normal = exc.code in (1000, 1001, 1005) or not exc.by_peer
                self._tell("close", code=exc.code, reason=exc.reason, by_peer=exc.by_peer, error=None)
                if not is_normal:
                    raise
                return exits.OK
            except httpx.websockets.WebSocketNetworkError as exc:
                self._tell("close", code=exc.code, reason=None, by_peer=True, error=str(exc))
                raise
            else:
                self._show(message)

    def _show(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._tell("received", text=message)
        else:
            self._tell("received", base64=base64.b64encode(message).decode("ascii"))
        if not self._shows:
            return
        with self._lock:
            if isinstance(message, str):
                self._screen.value(message)
            elif self._screen.is_terminal:
                self._screen.painted("note", f"{len(message)} bytes of binary data\n")
            else:
                self._screen.write_bytes(message + b"\n")
            sys.stdout.flush()

    def _tell(self, event: str, **facts: Any) -> None:
        """Show an event as JSON, with --output-json."""
        if self._is_json:
            seconds = round(time.perf_counter() - self._begun, 6)
            with self._lock:
                self._screen.write(json.dumps({"event": event, **facts, "seconds": seconds}, ensure_ascii=False) + "\n")
                sys.stdout.flush()

    def _show_timings(self) -> None:
        if self._timings is not None:
            from .manual import columns
            from .timings import show

            if not self._has_opened:
                self._timings.finish()
            sys.stdout.flush()
            show(self._timings, screen_for(sys.stderr, self._options), columns(sys.stderr))


def lines_of(stream: Any) -> Iterator[str]:
    """
    Yield the lines of standard input, as text; None is a standard input that is closed.

    Below its buffer, whose lock a thread that waits would still have when the program ends.
    """
    if stream is None:
        return
    rest: list[bytes] = []  # of a line without its end; joined once, because a line may be long
    while data := os.read(stream.fileno(), 65_536):
        *ends, tail = data.split(b"\n")
        for end in ends:
            yield b"".join([*rest, end]).rstrip(b"\r").decode("utf-8", "replace")
            rest = []
        rest.append(tail)
    if any(rest):
        yield b"".join(rest).decode("utf-8", "replace")


# Seconds after which the thread that receives looks whether the input is over.
_TURN = 0.1
