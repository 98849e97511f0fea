"""
`--app module:app`: a WSGI or ASGI application in this process instead of the network.

    transport_for("shop.web:app")
    transport_for("shop.web:make_app()")      called without arguments; it returns the application

Modules of the current folder can be imported, as with the servers that use the same notation.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any

import click

import httpx

from .notes import complains


def transport_for(where: str) -> httpx.BaseTransport:
    """
    Return a transport that calls the application; the one for ASGI runs its lifespan.

    Raises:
        click.UsageError: the notation is wrong, the module or the name is missing, or the object cannot be called.
    """
    app = _loaded(where)
    if _is_asgi(app):
        return _Traced(httpx.ASGITransport(app=_WithoutLifespan(app), lifespan=True))
    return _Traced(httpx.WSGITransport(app=app))


class _Traced(httpx.BaseTransport):
    """A transport that reports trace events as those of the network do, so that they can be shown and timed."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def __enter__(self) -> _Traced:
        self._transport.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._transport.__exit__(*exc_info)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        tell = request.extensions.get("trace") or _ignore
        for step in ("send_request_headers", "send_request_body"):
            tell(f"http11.{step}.started", {"request": request})
            tell(f"http11.{step}.complete", {"return_value": None})
        tell("http11.receive_response_headers.started", {"request": request})
        response = self._transport.handle_request(request)
        head = (b"HTTP/1.1", response.status_code, b"", response.headers.raw)
        tell("http11.receive_response_headers.complete", {"return_value": head})
        return response


def _ignore(name: str, info: dict[str, Any]) -> None:
    pass


class _WithoutLifespan:
    """
    An ASGI application without lifespan support: it raises before it receives the first message.

    ASGI lifespan 2.0, "Scope": servers then continue without lifespan. An error in the startup is still an error.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        asked = False

        async def noticed() -> Any:
            nonlocal asked
            asked = True
            return await receive()

        try:
            await self._app(scope, noticed, send)
        except Exception:
            if asked:
                raise


def _loaded(where: str) -> Any:
    module_name, _, path = where.partition(":")
    if not module_name or not path:
        raise click.UsageError(f"--app must be MODULE:APP, such as shop.web:app, got {where!r}")
    is_factory = path.endswith("()")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name and (module_name == exc.name or module_name.startswith(exc.name + ".")):
            raise click.UsageError(f"module {module_name!r} of --app was not found") from None
        raise  # a module that the module itself imports
    for name in path[: -2 if is_factory else None].split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise click.UsageError(f"--app {where}: {name!r} was not found") from None
    found = found() if is_factory else found
    if not callable(found):
        raise click.UsageError(f"--app {where} is not an application: it cannot be called")
    return found


def _is_asgi(app: Any) -> bool:
    """Return whether an application is ASGI 3 (a coroutine function of three arguments) and not WSGI."""
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__ if callable(app) else None):
        return True
    # A plain function around an application has the same number of arguments.
    try:
        return len(inspect.signature(app).parameters) == 3
    except (TypeError, ValueError):
        return False


def show_traceback(exc: Exception) -> bool:
    """Write the traceback of an application's error from its first line on; return False if the error is not in it."""
    import sysconfig
    import traceback

    ours = (os.path.dirname(os.path.dirname(__file__)) + os.sep, sysconfig.get_path("stdlib") + os.sep, "<frozen ")
    elsewhere = sysconfig.get_path("purelib") + os.sep  # within the standard library's folder, and not a part of it
    step = exc.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if name.startswith(elsewhere) or not name.startswith(ours):
            break
        step = step.tb_next
    if step is None:
        return False
    exc.__traceback__ = step
    if complains():
        traceback.print_exception(type(exc), exc, step)
    return True
