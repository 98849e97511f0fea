"""
The name httpx2 for this package, for packages that import httpx2.

    alias_httpx2()      `import httpx2` gives `httpx` from now on, and `import httpx2._client` gives `httpx._client`

`sys.modules` gets the modules that are loaded under their second names, and `sys.meta_path` a finder for those that
are loaded later. The finder's specs have a loader that returns the module of httpx and loads none of its own, so each
module and each class exists once. The finder also tells `importlib.metadata` that a distribution httpx2 is installed.

What a program gives to an SDK says that it is of httpx2 afterwards (`Client.__module__`): anthropic looks there, and
refuses what a package named httpx has. Other classes keep their module, so that their pickles need no alias.

httpcore2, which huggingface_hub imports beside httpx2, becomes httpcore where that is installed, so that mocks which
patch it have their effect (`_transports.compat`), and else `_httpcore2`: a module with the exceptions of httpx.

Not here: the command `python -m httpx.alias` (`alias`), and the distribution for environments where pip must find the
requirement httpx2 satisfied (packaging/httpx2), which calls `alias_httpx2`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

# The release of httpx2 whose interface this package has; the local label tells it apart from that release.
HTTPX2_VERSION = "2.16.2+httpx"
# The name of an attribute: a module named httpx2 that has it only calls `alias_httpx2`.
STAND_IN = "__stands_for_httpx__"

_OURS, _ALIAS = "httpx", "httpx2"
_CORE, _CORE_ALIAS = "httpcore", "httpcore2"
# What SDKs take as arguments.
_GIVEN = (
    *("Client", "AsyncClient", "Timeout", "HTTPTransport", "AsyncHTTPTransport"),
    *("MockTransport", "ASGITransport", "WSGITransport"),
)


def alias_httpx2() -> None:
    """
    Make `import httpx2` give this package in this process, for packages that import httpx2.

    There is one package under two names afterwards: `httpx2 is httpx`, and the same goes for each module, also for
    those that are loaded later. `httpcore2` becomes a module with the exceptions of httpx. `importlib.metadata` finds
    httpx2 installed. Clients, transports and `Timeout` have the module httpx2, by which SDKs recognize them, so a
    pickled client is read where httpx2 can be imported. Processes that this one starts are not affected. Calling it
    again does nothing.

    Call it in an application, before anything imports httpx2; libraries should leave that to applications.
    `python -m httpx.alias PROGRAM` does it for programs that cannot be changed.

    Raises:
        RuntimeError: another httpx2 was imported before. Its classes are in use, so nothing is changed.
    """
    ours = sys.modules[_OURS]
    foreign = _imported_before()
    if foreign is not None:
        raise RuntimeError(
            f"httpx.alias_httpx2() must be called before httpx2 is imported, "
            f"got {foreign} from {getattr(sys.modules[foreign], '__file__', None)!r}"
        )
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{_OURS}."):
            sys.modules[_ALIAS + name[len(_OURS) :]] = module
    sys.modules[_ALIAS] = ours
    for kind in given_classes():
        package, _, rest = kind.__module__.partition(".")
        if package == _OURS:
            kind.__module__ = f"{_ALIAS}.{rest}" if rest else _ALIAS


def given_classes() -> set[type]:
    """Return the classes whose `__module__` the alias changes: what SDKs are given, and the bases of that."""
    ours = sys.modules[_OURS]
    return {base for name in _GIVEN for base in getattr(ours, name).__mro__ if base.__module__.startswith(_OURS)}


def alias_httpx() -> None:
    """
    Do nothing: httpx2 has a function of this name that makes `import httpx` give httpx2. Here they are one package.

    For programs that call `httpx2.alias_httpx()`.
    """


def _imported_before() -> str | None:
    """Return the name of a module of another httpx2, if one is loaded."""
    for name, module in list(sys.modules.items()):
        package, _, rest = name.partition(".")
        if package != _ALIAS or module is None or hasattr(module, STAND_IN):
            continue
        if module is not sys.modules.get(f"{_OURS}.{rest}" if rest else _OURS):
            return name
    return None


class _SameModule(Loader):
    """A loader for a second name: the module is the one that has the first name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just set that of the second name


class _Finder(MetaPathFinder):
    """Finds the second names. First in `sys.meta_path`: others would load the files of httpx a second time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = _first_name(fullname)
        found = None if name is None else find_spec(name)
        if name is None or found is None:
            return None
        is_package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, _SameModule(name), origin=found.origin, is_package=is_package)

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        """Yield the distribution httpx2, if this name or all distributions are asked for."""
        name = getattr(context, "name", None)
        searches_elsewhere = context is not None and "path" in vars(context)
        if searches_elsewhere or (name is not None and name.lower() != _ALIAS):
            return
        yield _distribution()


def _first_name(fullname: str) -> str | None:
    """Return the name of the module that a second name stands for; None if it is not a second name."""
    package, dot, rest = fullname.partition(".")
    if package == _ALIAS:
        return _OURS + dot + rest
    if package != _CORE_ALIAS:
        return None
    if find_spec(_CORE) is not None:
        return _CORE + dot + rest
    return None if rest else f"{_OURS}._httpcore2"


def _distribution() -> Any:
    from importlib.metadata import Distribution  # few programs ask

    class Alias(Distribution):
        def read_text(self, filename: str) -> str | None:
            if filename != "METADATA":
                return None
            return (
                f"Metadata-Version: 2.1\nName: {_ALIAS}\nVersion: {HTTPX2_VERSION}\n"
                f"Summary: The name httpx2 for httpx.\nRequires-Dist: {_OURS}\n"
            )

        def locate_file(self, path: Any) -> Any:
            from pathlib import Path

            return Path(sys.modules[_OURS].__path__[0]).parent / path

    return Alias()


_FINDER = _Finder()
