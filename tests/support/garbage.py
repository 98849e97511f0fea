"""
What the garbage collector has to find: objects of ours in reference cycles, and which attributes make the cycles.

    garbage = Garbage()
    with garbage.watched():
        outcome()                   # as often as wanted; nothing is collected meanwhile
    assert not garbage.ours, garbage.story()

An object is ours if its type, its code or its frame comes from the package. What else is in cycles (a runtime's own
tasks, a server of the test in another thread) does not count. If it keeps an object of ours, that one is found.

Not here: what is done meanwhile (`tests/adversarial/test_garbage.py`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable, Optional

import httpx

_PACKAGE = os.path.dirname(httpx.__file__) + os.sep
_OF_TRACEBACKS = (".tb_next", ".tb_frame", ".f_back")
_TOOLS = os.path.join(_PACKAGE, "_cli") + os.sep


class Garbage:
    """
    What one collection found.

    Args:
        is_ours: which objects count; by default those of the package.

    Attributes:
        found: all objects that it found.
        ours: those of them that are ours.
    """

    def __init__(self, is_ours: Optional[Callable[[Any], bool]] = None) -> None:
        self._is_ours = is_ours or from_the_package
        self.found: list[Any] = []
        self.ours: list[Any] = []

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Collect nothing during the block, and look at what there is to collect after it."""
        was_enabled = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            yield
            self._look()
        finally:
            gc.garbage.clear()
            if was_enabled:
                gc.enable()

    def _look(self) -> None:
        flags = gc.get_debug()
        gc.set_debug(flags | gc.DEBUG_SAVEALL)
        try:
            gc.collect()
        finally:
            gc.set_debug(flags)
        self.found = gc.garbage[:]
        self.ours = [each for each in self.found if self._is_ours(each)]

    def story(self) -> str:
        """Return the types of what is ours, and the edges of the cycles: type, attribute, type."""
        counts = Counter(_name(each) for each in self.ours)
        lines = [f"{len(self.ours)} objects of ours in {len(self.found)} that were left to the garbage collector:"]
        lines += [f"  {number} {name}" for name, number in counts.most_common()]
        lines.append("the cycles:")
        lines += [f"  {edge}" for edge in self.cycles()]
        return "\n".join(lines)

    def cycles(self) -> list[str]:
        """Return the edges of each kind of cycle; those within a traceback are left out."""
        told: dict[str, None] = {}
        for group in _strong_components(self.found):
            members = {id(each) for each in group}
            edges: dict[str, None] = {}
            for each in group:
                for referent in _referents(each):
                    label = _label(each, referent)
                    if id(referent) in members and label not in _OF_TRACEBACKS:
                        edges.setdefault(f"{_name(each)} {label} -> {_name(referent)}")
            told.setdefault("\n    ".join([f"through {len(group)} objects:", *sorted(edges)]))
        return list(told)


def from_the_package(each: Any) -> bool:
    """Return whether the object comes from the package. The command line's own modules do not count."""
    code = _code(each)
    if code is not None:
        return code.co_filename.startswith(_PACKAGE) and not code.co_filename.startswith(_TOOLS)
    if isinstance(each, types.MethodType):
        return from_the_package(each.__self__)
    module = getattr(type(each), "__module__", None)
    return isinstance(module, str) and f"{module}.".startswith("httpx.") and not module.startswith("httpx._cli")


def _code(each: Any) -> Optional[types.CodeType]:
    if isinstance(each, types.TracebackType):
        return each.tb_frame.f_code
    for kind, name in (
        (types.FrameType, "f_code"),
        (types.FunctionType, "__code__"),
        (types.GeneratorType, "gi_code"),
        (types.CoroutineType, "cr_code"),
        (types.AsyncGeneratorType, "ag_code"),
    ):
        if isinstance(each, kind):
            code: types.CodeType = getattr(each, name)
            return code
    return None


def _name(each: Any) -> str:
    code = _code(each)
    kind = type(each).__name__
    if code is None:
        return kind
    return f"{kind}({os.path.basename(code.co_filename)}:{code.co_firstlineno} {code.co_name})"


def _label(each: Any, referent: Any) -> str:
    """Return the name by which the one refers to the other."""
    names = [f".{name}" for name, value in _attributes(each) if value is referent]
    return names[0] if names else "(...)"


def _attributes(each: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(each, types.FrameType):
        yield from each.f_locals.items()
        yield "f_back", each.f_back
        return
    if isinstance(each, dict):
        yield from ((f"[{key!r:.40}]", value) for key, value in list(each.items()))
        return
    if isinstance(each, types.CellType):
        yield "cell_contents", each.cell_contents
        return
    yield from list(getattr(each, "__dict__", {}).items())
    for kind in type(each).__mro__:
        for name, member in list(vars(kind).items()):
            if isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                with contextlib.suppress(Exception):  # a slot that is empty
                    yield name, member.__get__(each)


def _referents(each: Any) -> list[Any]:
    """Return what the object refers to; its `__dict__` is taken for a part of it."""
    own = getattr(each, "__dict__", None)
    found = gc.get_referents(each)
    if type(own) is dict and any(one is own for one in found):
        return [one for one in found if one is not own] + list(own.values())
    return found


def _strong_components(objects: list[Any]) -> list[list[Any]]:
    """Return the groups of objects that reach each other, by Tarjan's algorithm without recursion."""
    known = {id(each): each for each in objects}
    edges = {key: [id(one) for one in _referents(each) if id(one) in known] for key, each in known.items()}
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    groups = []
    for root in edges:
        if root in order:
            continue
        work = [(root, iter(edges[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for one in following:
                if one not in order:
                    order[one] = low[one] = len(order)
                    stack.append(one)
                    on_stack.add(one)
                    work.append((one, iter(edges[one])))
                    break
                if one in on_stack:
                    low[node] = min(low[node], order[one])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    group = []
                    while True:
                        one = stack.pop()
                        on_stack.discard(one)
                        group.append(known[one])
                        if one == node:
                            break
                    if len(group) > 1 or node in edges[node]:
                        groups.append(group)
    return groups
