"""
The configuration file: default options, and header fields and credentials for hosts.

    options = ["--http2", "--timeout", "30"]

    [host."api.example.org"]
    options = ["--follow-redirects"]
    headers = { Accept = "application/json" }
    bearer = { env = "API_TOKEN" }

    [host."localhost:8000"]
    auth = { user = "ann", password = { command = ["pass", "show", "work"] } }

It is `<configuration>/httpx/config.toml`, see `folder`. A host has its port unless that is the default one of the
scheme. What the command line says wins. A secret is never in the file: it comes from an environment variable or from
the output of a command, which is run without a shell. Because the file names commands, only its owner may write it.

Not here: where the settings take effect (`parser`, `building`, `exchange`).
"""

from __future__ import annotations

import os
import stat
import sys
from threading import Lock
from typing import Any, Callable

import click

import httpx

_KEYS = frozenset(["options", "host"])
_HOST_KEYS = frozenset(["options", "headers", "auth", "bearer"])
# Seconds for a command that prints a secret: it may ask for a password of its own.
_PATIENCE = 60.0


def folder() -> str:
    """Return the folder of the configuration: XDG_CONFIG_HOME or ~/.config, on Windows %APPDATA%, and `httpx` in it."""
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or os.path.expanduser("~")
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "httpx")


class Config:
    """
    The settings for one run.

    Attributes:
        words: options, to be put before those of the command line.
        own_words: those of the host among them.
        headers: names and values, for fields that the command line does not mention.
        auth: of the host, with references to secrets; None without any.
    """

    def __init__(self, path: str, content: dict[str, Any], host: str | None) -> None:
        self._path = path
        self._host = host
        self._check_keys(content, _KEYS, "")
        hosts = self._typed(content, "host", dict, {})
        for name, settings in hosts.items():
            self._typed(hosts, name, dict, {})
            self._check_keys(settings, _HOST_KEYS, f" of host {name!r}")
        own: dict[str, Any] = {} if host is None else hosts.get(host, {})
        self.own_words = self._texts(own, "options")
        self.words = [*self._texts(content, "options"), *self.own_words]
        self.headers = list(self._typed(own, "headers", dict, {}).items())
        if not all(isinstance(value, str) for _, value in self.headers):
            raise self._error("the values of 'headers' must be text")
        self.auth = {key: self._typed(own, key, dict, {}) for key in ("auth", "bearer") if key in own} or None
        self._lock = Lock()
        self._credentials: httpx.Auth | None = None
        if self.auth is not None and len(self.auth) > 1:
            raise self._error(f"'auth' and 'bearer' of host {host!r} exclude each other")

    def credentials(self, url: httpx.URL) -> httpx.Auth:
        """
        Return the authentication for the host.

        Raises:
            click.UsageError: it is incomplete, the secret cannot be found, or it would be sent in the clear.
        """
        assert self.auth is not None
        if url.scheme not in ("https", "wss") and not _is_local(url.host):
            raise self._error(f"the credentials for {self._host!r} are sent with https only")
        with self._lock:  # several requests share them: a command is run once
            if self._credentials is None:
                self._credentials = self._read()
            return self._credentials

    def _read(self) -> httpx.Auth:
        assert self.auth is not None
        if "bearer" in self.auth:
            return httpx.BearerAuth(self._secret(self.auth["bearer"]))
        user, password = self.auth["auth"].get("user"), self.auth["auth"].get("password")
        if not isinstance(user, str) or not isinstance(password, dict):
            raise self._error(f"'auth' of host {self._host!r} must have 'user' and 'password'")
        return httpx.BasicAuth(user, self._secret(password))

    def _secret(self, reference: dict[str, Any]) -> str:
        variable, command = reference.get("env"), reference.get("command")
        if isinstance(variable, str) and len(reference) == 1:
            if variable not in os.environ:
                raise self._error(f"the environment variable {variable} for host {self._host!r} is not set")
            return os.environ[variable]
        if (
            isinstance(command, list)
            and command
            and len(reference) == 1
            and all(isinstance(word, str) for word in command)
        ):
            return self._printed_by(command)
        raise self._error(
            f'a secret of host {self._host!r} must be {{ env = "NAME" }} or {{ command = ["PROGRAM", ...] }}'
        )

    def _printed_by(self, command: list[str]) -> str:
        import subprocess

        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_PATIENCE, check=False
            )
            text = done.stdout.decode().rstrip("\r\n")
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as exc:
            raise self._error(
                f"the command {command[0]!r} for host {self._host!r} failed: {type(exc).__name__}"
            ) from None
        if done.returncode or not text:
            why = f"exit code {done.returncode}" if done.returncode else "it printed nothing"
            raise self._error(f"the command {command[0]!r} for host {self._host!r} failed: {why}")
        return text

    def _texts(self, table: dict[str, Any], key: str) -> list[str]:
        found = self._typed(table, key, list, [])
        if not all(isinstance(word, str) for word in found):
            raise self._error(f"{key!r} must be a list of text")
        return list(found)

    def _typed(self, table: dict[str, Any], key: str, kind: type, default: Any) -> Any:
        found = table.get(key, default)
        if not isinstance(found, kind):
            raise self._error(f"{key!r} must be a {'table' if kind is dict else 'list'}")
        return found

    def _check_keys(self, table: dict[str, Any], known: frozenset[str], where: str) -> None:
        for key in table:
            if key not in known:
                raise self._error(f"unknown setting {key!r}{where}; known are {', '.join(sorted(known))}")

    def _error(self, text: str) -> click.UsageError:
        return click.UsageError(f"{self._path}: {text}")


def load(host: str | None) -> Config | None:
    """
    Return the settings for a host, which may be unknown; None without a file.

    Raises:
        click.UsageError: the file is invalid, or others may write it.
    """
    path = os.path.join(folder(), "config.toml")
    try:
        with open(path, "rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise click.UsageError(str(exc)) from None
    try:
        return Config(path, _toml_reader(path)(content.decode()), host)
    except ValueError as exc:  # invalid TOML, or invalid UTF-8
        raise click.UsageError(f"{path}: {exc}") from None


def _toml_reader(path: str) -> Callable[[str], dict[str, Any]]:
    from importlib import import_module

    for name in ("tomllib", "tomli"):  # from Python 3.11 on, and before
        try:
            loads: Callable[[str], dict[str, Any]] = import_module(name).loads
        except ImportError:
            continue
        return loads
    raise click.UsageError(f"{path} needs Python 3.11, or the package tomli: pip install tomli")


def _check_owner(path: str, status: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
        raise click.UsageError(f"{path} names commands to run, so only you may be able to write it: chmod 600 {path}")


def _is_local(host: str) -> bool:
    """Return whether a host is this machine: by its address, or by a name that can be nothing else."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return f".{host.rstrip('.')}".endswith(".localhost")
