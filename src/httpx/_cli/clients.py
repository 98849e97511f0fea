"""
Build the client of a run, from the options about network, TLS, time and authentication.

Not here: the request itself (`building`).
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import click

import httpx

from .._fields import media_type_of

# Seconds, without --timeout.
_TIMEOUT = 5.0
_HTTP_VERSIONS: dict[str | None, dict[str, bool]] = {
    None: {},
    "1.1": {"http2": False},
    "2": {"http2": True},
    "2-prior-knowledge": {"http2": True, "http1": False},
}


def client_for(options: dict[str, Any], limits: httpx.Limits | None = None, **more: Any) -> httpx.Client:
    """
    Return a client that is not open yet.

    Args:
        options: the parsed arguments.
        limits: of the connections.
        more: more arguments of the client; with `transport`, the options about the network have no effect.

    Raises:
        click.UsageError: options exclude each other, or a value is invalid.
    """
    redirects = options["max_redirects"]
    try:
        return httpx.Client(
            timeout=_timeout(options),
            compress=coding_of(options),
            follow_redirects=options["follow_redirects"] or redirects is not None,
            **({} if redirects is None else {"max_redirects": redirects}),
            **({} if "transport" in more else _network(options, {} if limits is None else {"limits": limits})),
            **more,
        )
    except ValueError as exc:  # from the proxy's URL
        raise click.UsageError(str(exc)) from None
    except OSError as exc:  # from the files of certificates
        raise click.UsageError(f"{exc} (from {' or '.join(_given_files(options))})") from None


def coding_of(options: dict[str, Any]) -> str | None:
    """Return the coding of --compress, after a check that its library is installed."""
    coding: str | None = options["compress"]
    if coding is not None:
        from .._encoders import check_coding

        try:
            check_coding(coding)
        except ImportError as exc:
            raise click.UsageError(str(exc).replace(f"compress={coding!r}", f"--compress {coding}")) from None
    return coding


def _netrc() -> httpx.Auth:
    import netrc

    try:
        return httpx.NetRCAuth()
    except (OSError, netrc.NetrcParseError) as exc:
        raise click.UsageError(f"--netrc: {exc}") from None


def _timeout(options: dict[str, Any]) -> httpx.Timeout:
    """Return the timeouts. The next line of a stream may be far away, so reading it has no limit by default."""
    seconds = options["timeout"]
    if seconds is not None:
        return httpx.Timeout(seconds or None, total=options["max_time"])
    if options["stream"]:
        return httpx.Timeout(_TIMEOUT, read=None, total=options["max_time"])
    return httpx.Timeout(_TIMEOUT, total=options["max_time"])


def patient(request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
    """Read an event stream without a limit for its silence, as `--stream` does: its next event may be far away."""
    response = yield request
    # Where the request is repeated, another response may not be an event stream.
    request.extensions.pop("idle_timeout", None)
    wait_for_events(request, response)
    return response


def wait_for_events(request: httpx.Request, response: httpx.Response) -> None:
    """Let the body of an event stream, which is not read yet, have no limit for its silence."""
    if is_event_stream(response):
        request.extensions["idle_timeout"] = None


def is_event_stream(response: httpx.Response) -> bool:
    """Return whether the body is a stream of server-sent events."""
    return media_type_of(response.headers.get("content-type", "")) == "text/event-stream"


def auth_of(options: dict[str, Any]) -> Any:
    """Return the value for `auth=`; for the password "-", prompt for it on the terminal."""
    if options["auth"] and options["bearer"]:
        raise click.UsageError("--auth and --bearer exclude each other")
    if options["netrc"]:
        if options["auth"] or options["bearer"]:
            raise click.UsageError("--netrc excludes --auth, --user and --bearer")
        return _netrc()
    try:
        if options["bearer"]:
            return httpx.BearerAuth(options["bearer"])
        if options["auth"]:
            return _with_password(options)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    if options["digest"]:
        raise click.UsageError("--digest needs --auth USER PASS")
    return None


def _with_password(options: dict[str, Any]) -> httpx.Auth:
    user, password = options["auth"]
    if password == "-":
        password = click.prompt("Password", hide_input=True, err=True)
        options["auth"] = (user, password)  # prompt only once
    kind = httpx.DigestAuth if options["digest"] else httpx.BasicAuth
    # Bytes that are not UTF-8 go out as they were typed.
    return kind(user.encode("utf-8", "surrogateescape"), password.encode("utf-8", "surrogateescape"))


def _network(options: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments about connections."""
    if options["app"]:
        from .apps import transport_for

        return {"transport": transport_for(options["app"])}
    common = {"verify": _verify(options), "cert": _cert(options), **_versions(options), **limits}
    common.update(_addresses(options))
    path = options["unix_socket"]
    if path is not None:
        if options["proxy"]:
            raise click.UsageError("--unix-socket and --proxy exclude each other")
        return {"transport": httpx.HTTPTransport(uds=path, **common)}
    return {**common, "proxy": options["proxy"]}


def _versions(options: dict[str, Any]) -> dict[str, bool]:
    if options["http2"] and options["http_version"] == "1.1":
        raise click.UsageError("--http2 and --http-version 1.1 exclude each other")
    return {"http2": options["http2"], **_HTTP_VERSIONS[options["http_version"]]}


def _verify(options: dict[str, Any]) -> Any:
    if options["ca"] is None:
        return not options["no_verify"]
    if options["no_verify"]:
        raise click.UsageError("--ca and --no-verify exclude each other")
    return _existing(options["ca"], "--ca")


def _cert(options: dict[str, Any]) -> Any:
    certificate, key = options["cert"], options["cert_key"]
    if certificate is None:
        if key is not None:
            raise click.UsageError("--cert-key needs --cert")
        return None
    certificate = _existing(certificate, "--cert")
    if key is None and not _has_key(certificate):
        raise click.UsageError(f"--cert {certificate!r} has no private key: add it with --cert-key FILE")
    return certificate if key is None else (certificate, _existing(key, "--cert-key"))


def _has_key(path: str) -> bool:
    with open(path, "rb") as file:
        return b"PRIVATE KEY-----" in file.read()


def _given_files(options: dict[str, Any]) -> list[str]:
    return [f"--{key.replace('_', '-')}" for key in ("ca", "cert", "cert_key") if options[key] is not None] or ["TLS"]


def _existing(path: str, option: str) -> str:
    if not os.path.exists(path):
        raise click.UsageError(f"{option} {path!r} does not exist")
    return path


def _addresses(options: dict[str, Any]) -> dict[str, Any]:
    if options["ipv4"] and options["ipv6"]:
        raise click.UsageError("--ipv4 and --ipv6 exclude each other")
    out: dict[str, Any] = {}
    if options["ipv4"] or options["ipv6"]:
        out["address_family"] = 4 if options["ipv4"] else 6
    if options["resolve"]:
        out["resolve"] = overrides(options["resolve"])
    return out


def overrides(given: tuple[str, ...]) -> dict[str, list[str]]:
    """
    Return HOST:PORT:ADDRESS[,ADDRESS ...] of --resolve as {"host:port": [address, ...]}; IPv6 may be in brackets.

    Raises:
        click.UsageError: a value does not have this form.
    """
    import ipaddress

    out = {}
    for text in given:
        host, _, rest = text.partition(":")
        port, _, listed = rest.partition(":")
        addresses = [address.strip("[]") for address in listed.split(",")]
        try:
            for address in addresses:
                ipaddress.ip_address(address)
            if not host or not 0 < int(port) < 65536:
                raise ValueError
        except ValueError:
            raise click.UsageError(f"--resolve must be HOST:PORT:ADDRESS, got {text!r}") from None
        out[f"{host.lower()}:{port}"] = addresses
    return out
