"""
Whether a sync class and an async class say the same.

`compare_twins` takes the async class's syntax tree, removes `async` and `await`, maps the names that differ, and
compares the rest method by method with the sync class. Docstrings and the order of methods do not count.

`compare_texts` does it for some methods of two classes, with a list of the places where they differ on purpose.

Not here: which classes are twins, and which names differ; that is in `test_architecture.py`.
"""

from __future__ import annotations

import ast
import copy
import difflib
import re
import textwrap
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Optional


def compare_twins(
    sync_class: ast.ClassDef, async_class: ast.ClassDef, names: Mapping[str, str], unpaired: Collection[str] = ()
) -> list[str]:
    """
    The differences, each as text for a person; empty if the twins agree.

    Args:
        names: async name -> sync name, for identifiers, attributes, parameters, and whole words in strings.
        unpaired: methods that only one of the two has, or that differ on purpose; by their sync names.
    """
    ours = members(sync_class)
    theirs = members(Syncer(names).visit(copy.deepcopy(async_class)))
    differences = []
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if name in unpaired:
            continue
        left, right = ours.get(name), theirs.get(name)
        if left is None or right is None:
            holder = async_class if left is None else sync_class
            differences.append(f"{name}: only {holder.name} has it")
        elif left != right:
            differences.append(f"{name}:\n" + diff(left, right, sync_class.name, async_class.name))
    return differences


class Difference(NamedTuple):
    """A place where two twins differ on purpose: lines of the one, of the other, and why."""

    method: str
    ours: str
    theirs: str
    reason: str


def compare_texts(
    ours: ast.ClassDef,
    theirs: ast.ClassDef,
    names: Mapping[str, str],
    methods: Collection[str],
    differences: Collection[Difference],
) -> list[str]:
    """
    Return what is different in some methods of two classes, as text for a person; empty if nothing is but what may be.

    Args:
        names: of `theirs` -> of `ours`.
        methods: by their names in `ours`; both classes have them.
        differences: which may be; one that is not found any more is reported, too.
    """
    left = members(Syncer(names).visit(copy.deepcopy(ours)))
    right = members(Syncer(names).visit(copy.deepcopy(theirs)))
    found = []
    for difference in differences:
        method, mine, yours, reason = difference
        mine, yours = _as_unparsed(mine), _as_unparsed(yours)
        there = left.get(method, ""), right.get(method, "")
        texts = _replaced(there[0], mine, f"# {reason}"), _replaced(there[1], yours, f"# {reason}")
        if texts[0] is None or texts[1] is None:
            found.append(f"{method}: this difference is no more: {reason}")
        else:
            left[method], right[method] = texts
    for method in methods:
        if method not in left or method not in right:
            found.append(f"{method}: only one has it")
        elif left[method] != right[method]:
            found.append(f"{method}:\n" + diff(left[method], right[method], ours.name, theirs.name))
    return found


def _as_unparsed(lines: str) -> str:
    """Return lines as a syntax tree gives them back; the last one may begin a block."""
    lines = textwrap.dedent(lines).strip("\n")
    if lines.endswith(":"):
        return ast.unparse(ast.parse(f"{lines}\n    pass")).rpartition("\n")[0]
    return ast.unparse(ast.parse(lines))


def _replaced(text: str, lines: str, by: str) -> Optional[str]:
    """Replace these lines, whatever their indentation is; None if they are not there. No lines stand for the end."""
    if not lines:
        return f"{text}{by}\n"
    wanted = lines.split("\n")
    have = text.split("\n")
    for start in range(len(have) - len(wanted) + 1):
        part = textwrap.dedent("\n".join(have[start : start + len(wanted)]))
        if part == lines:
            # At the end, so that lines which only one of the two has may stand anywhere.
            return "\n".join([*have[:start], *have[start + len(wanted) :]]) + f"{by}\n"
    return None


def diff(left: str, right: str, left_name: str, right_name: str) -> str:
    """The lines that differ, with a few around them."""
    return "\n".join(
        difflib.unified_diff(left.splitlines(), right.splitlines(), left_name, right_name, n=2, lineterm="")
    )


def members(node: ast.ClassDef) -> dict[str, str]:
    """
    Name -> source without docstrings, for each method and each assignment of a class.

    The source is made from the tree, so that formatting and comments do not count. Definitions of the same name
    (a property and its setter, overloads) are one member.
    """
    found: dict[str, str] = {}
    for statement in node.body:
        if is_docstring(statement):
            continue
        name = name_of(statement)
        found[name] = found.get(name, "") + ast.unparse(without_docstrings(copy.deepcopy(statement))) + "\n"
    return found


def name_of(statement: ast.stmt) -> str:
    """What a statement in a class body defines."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return statement.name
    if isinstance(statement, ast.AnnAssign):
        return ast.unparse(statement.target)
    if isinstance(statement, ast.Assign):
        return ", ".join(ast.unparse(target) for target in statement.targets)
    return ast.unparse(statement)


def is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def without_docstrings(node: ast.AST) -> ast.AST:
    """The same tree, changed in place."""
    for child in ast.walk(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and is_docstring(child.body[0]):
            child.body = child.body[1:] or [ast.Pass()]
    return node


class Syncer(ast.NodeTransformer):
    """Makes sync code of async code, and maps names on the way."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._words: Optional[re.Pattern[str]] = re.compile(rf"\b(?:{words})\b") if words else None

    def _mapped(self, name: str) -> str:
        return self._names.get(name, name)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        # Every identifier in a tree is a plain string in one of these fields (`alias.name` may have dots).
        for field in ("id", "attr", "arg", "name", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                setattr(node, field, ".".join(self._mapped(part) for part in value.split(".")))
        return node

    def _rebuilt(self, node: Any, kind: type[ast.AST]) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(kind(**dict(ast.iter_fields(node))), node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._rebuilt(node, ast.FunctionDef)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self._rebuilt(node, ast.For)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        return self._rebuilt(node, ast.With)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        value: ast.AST = self.visit(node.value)
        return value

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        # An async generator returns nothing, so its type has two arguments where the sync one has three.
        if ast.unparse(node.value).endswith("AsyncGenerator") and isinstance(node.slice, ast.Tuple):
            node.slice.elts.append(ast.Constant(None))
        return self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.is_async = 0
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and self._words is not None:
            node.value = self._words.sub(lambda match: self._names[match.group()], node.value)
        return node
