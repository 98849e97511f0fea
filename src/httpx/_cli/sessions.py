"""
`--session NAME`: cookies, header fields and authentication for later requests, kept on disk for each host.

    session = Session.load("work", "api.example.org")
    session.headers, session.auth                      for the next request
    session.restore(client.cookies)
    ...
    session.keep(client.cookies); session.save()

A JSON file that only its owner can read, in `<configuration>/httpx/sessions/<host>/<name>.json`: configuration is
XDG_CONFIG_HOME or ~/.config, and %APPDATA% on Windows. A name with a slash is the path of the file, which then
belongs to the host that it was first used for. It is replaced in one step, so that two runs at the same time leave the
file of one and never a mixture. It holds secrets; no other file does.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from http.cookiejar import Cookie
from typing import Any

import httpx

from . import config

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
# Fields that belong to one request only.
_NOT_KEPT = re.compile(r"content-|if-|host$|range$|authorization$|cookie$", re.I)


class Session:
    """
    A session: the data kept under a name for a host.

    Attributes:
        path: of the file.
        headers: names and values.
        auth: the options of authentication, or None.
        read_only: whether `save` does nothing.

    Raises:
        TypeError, KeyError, ValueError: the content is not that of a session.
    """

    def __init__(self, path: str, content: dict[str, Any], host: str = "", read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._host = host
        self.headers: list[tuple[str, str]] = [(str(name), str(value)) for name, value in content.get("headers", ())]
        self.auth = _checked_auth(content.get("auth"))
        self._cookies: list[dict[str, Any]] = list(content.get("cookies", ()))
        self._loaded = _by_key(self._cookies)
        for kept in self._cookies:
            _cookie(kept)  # a broken file must be reported before a request is sent

    @classmethod
    def load(cls, name: str, host: str, *, read_only: bool = False) -> Session:
        """
        Return the session of a name for a host; an empty one if there is none yet.

        Args:
            name: letters, digits, "_", "-" and "."; or the path of a file, which has a slash in it.
            host: host and port of the URL.
            read_only: leave the file as it is.

        Raises:
            ValueError: the name is invalid, or the file is broken or belongs to another host.
            OSError: the file cannot be read.
        """
        path = _path_of(name, host)
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            session = cls(path, content, host, read_only)
        except FileNotFoundError:
            return cls(path, {}, host, read_only)
        except KeyError as exc:
            raise ValueError(f"the session's file {path!r} is broken: {exc} is missing") from None
        except (ValueError, TypeError, AttributeError) as exc:
            raise ValueError(f"the session's file {path!r} is broken: {exc}") from None
        owner = content.get("host", host)
        if owner != host:  # its headers and credentials must not go to this host
            raise ValueError(f"the session's file {path!r} belongs to {owner!r}, not to {host!r}")
        return session

    def restore(self, cookies: httpx.Cookies) -> None:
        """Put the kept cookies into a jar."""
        for kept in self._cookies:
            cookies.jar.set_cookie(_cookie(kept))

    def keep(self, cookies: httpx.Cookies) -> None:
        """Replace the kept cookies with those of a jar, including session cookies."""
        self._cookies = [_as_json(cookie) for cookie in cookies.jar if not cookie.is_expired()]

    def remember(self, headers: list[tuple[str, str]]) -> None:
        """Keep these header fields for later requests; they replace kept ones of the same names."""
        kept = [(name, value) for name, value in headers if not _NOT_KEPT.match(name)]
        names = {name.lower() for name, _ in kept}
        self.headers = [pair for pair in self.headers if pair[0].lower() not in names] + kept

    def _merged(self) -> list[dict[str, Any]]:
        """Return the cookies of the file as it is now, with the changes of this run: another may have ended since."""
        try:
            with open(self.path, encoding="utf-8") as file:
                merged = _by_key(json.load(file)["cookies"])
        except (OSError, ValueError, KeyError, TypeError):
            return self._cookies
        ours = _by_key(self._cookies)
        for key in self._loaded.keys() - ours.keys():
            merged.pop(key, None)
        merged.update((key, kept) for key, kept in ours.items() if self._loaded.get(key) != kept)
        return list(merged.values())

    def save(self) -> None:
        """
        Write the file, readable only by its owner. Cookies that another run has kept meanwhile stay.

        Raises:
            OSError: it cannot be written.
        """
        if self.read_only:
            return
        parent = os.path.dirname(os.path.abspath(self.path))
        _make_private(parent)
        cookies = self._merged()
        content = {"host": self._host, "headers": self.headers, "auth": self.auth, "cookies": cookies}
        # `mkstemp` creates it with mode 0600.
        descriptor, draft = tempfile.mkstemp(prefix=".", suffix=".json", dir=parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2)
            os.replace(draft, self.path)
        except BaseException:
            os.unlink(draft)
            raise


def _checked_auth(kept: Any) -> dict[str, Any] | None:
    """Return the options of authentication from a file, with no others."""
    if kept is None:
        return None
    if not isinstance(kept, dict):
        raise TypeError("'auth' is not an object")
    pair, token, digest = (kept.get(name) for name in ("auth", "bearer", "digest"))
    is_pair = isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) for word in pair)
    if not (pair is None or is_pair) or not isinstance(token, (str, type(None))):
        raise TypeError("'auth' must have two texts as 'auth', or a text as 'bearer'")
    return {"auth": pair, "bearer": token, "digest": bool(digest)}


def folder() -> str:
    """Return the folder of the sessions."""
    return os.path.join(config.folder(), "sessions")


def _path_of(name: str, host: str) -> str:
    if "/" in name or os.sep in name:
        if not os.path.basename(name):
            raise ValueError(f"expected the file of a session, got the folder {name!r}")
        return name
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of a session must have only letters, digits, '_', '-' and '.', got {name!r}")
    return os.path.join(folder(), _folder_name(host), f"{name}.json")


def _folder_name(host: str) -> str:
    """Return a unique file name for a host: "_" replaces the colon, and "__" each "_"."""
    name = re.sub(r"[^A-Za-z0-9.-]", _written, host)
    return name if name.strip(".") else f"_{name}"  # ".." is another folder


def _written(match: re.Match[str]) -> str:
    return {":": "_", "_": "__"}.get(match[0]) or f"%{ord(match[0]):02X}"


def _make_private(path: str) -> None:
    """Make a folder and its missing parents, for the owner only: `makedirs` sets the mode only of the last."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing):
        os.makedirs(one, mode=0o700, exist_ok=True)


def _by_key(cookies: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(kept.get("domain"), kept.get("path", "/"), kept.get("name")): kept for kept in cookies}


def _as_json(cookie: Cookie) -> dict[str, Any]:
    return {
        "name": cookie.name,
        "value": cookie.value,
        "domain": cookie.domain,
        # Whether subdomains get it, too.
        "subdomains": cookie.domain_specified,
        "path": cookie.path,
        "secure": cookie.secure,
        "expires": cookie.expires,
        "http_only": cookie.has_nonstandard_attr("HttpOnly"),
    }


def _cookie(kept: dict[str, Any]) -> Cookie:
    domain, subdomains = kept["domain"], bool(kept.get("subdomains"))
    return Cookie(
        version=0,
        name=kept["name"],
        value=kept["value"],
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=subdomains,
        domain_initial_dot=domain.startswith("."),
        path=kept.get("path", "/"),
        path_specified=True,
        secure=bool(kept.get("secure")),
        expires=kept.get("expires"),
        discard=kept.get("expires") is None,
        comment=None,
        comment_url=None,
        rest={"HttpOnly": ""} if kept.get("http_only") else {},
    )
