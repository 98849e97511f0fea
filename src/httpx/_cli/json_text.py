"""
JSON as text: indented, sorted and painted token by token.

    indented('{"b":1.10,"a":2}')                '{\n    "b": 1.10,\n    "a": 2\n}'
    indented('{"b":1.10,"a":2}', sorts=True)    '{\n    "a": 2,\n    "b": 1.10\n}'
    with_paint('{"b":1.10}', paint)             each name and value as `paint` returns it

The text is kept and not its values: numbers keep their digits, strings their escapes, objects their repeated names.
Not here: colours (`palette`), and how much is formatted (`screen`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Union

from .._utils import lazy_pattern

# What a token is, as it is called in a palette.
NAME, STRING, NUMBER, CONSTANT = "name", "string", "number", "constant"

Paint = Callable[[str, str], str]
# A scalar; or an opening bracket with its members: values of a list; of an object (key to sort by, name, value).
_Node = Union[str, "tuple[str, list[Any]]"]

# A string without an end is one up to the end of the text: to look for the end again at each of its quotes would take
# the square of its length. Unrolled, because an alternative for each character takes 90 bytes of it.
_TOKEN = lazy_pattern(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.S)
_INDENT = "    "
# Spaces for one text: 4 MB of short values, 900 levels deep, would get 7 GB of them.
MAX_INDENTATION = 64 << 20
_CLOSING = {"{": "}", "[": "]"}


def indented(text: str, paint: Paint | None = None, sorts: bool = False) -> str:
    """
    Return JSON with one member per line; the same text if it is not JSON, or would become `MAX_INDENTATION` larger.

    Args:
        paint: called with the kind of each name and value, and the text of it; returns it with its colour.
        sorts: put the members of objects in the order of their names; those with one name stay in theirs.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    out: list[str] = []
    depth, before, left = 0, "", MAX_INDENTATION
    tokens = _TOKEN.findall(text)
    if sorts:
        tokens = _in_order(tokens)
    for token, after in zip(tokens, [*tokens[1:], ""]):
        if token in "}]":
            depth -= 1
        if before in ("{", "[", ",") if token not in "}]" else before not in ("{", "["):
            out.append("\n" + _INDENT * depth)
            left -= len(_INDENT) * depth
            if left < 0:
                return text
        if token in "{[":
            depth += 1
        if paint is not None and token not in "{}[],:":
            out.append(paint(_kind_of(token, after), token))
        else:
            out.append(": " if token == ":" else token)
        before = token
    return "".join(out)


def with_paint(text: str, paint: Paint) -> str:
    """Return text that may be JSON with its tokens painted, and everything between them as it is."""

    def one(match: re.Match[str]) -> str:
        token = match[0]
        after = match.string[match.end() : match.end() + 20].lstrip()[:1]
        return token if token in "{}[],:" else paint(_kind_of(token, after), token)

    return _TOKEN.sub(one, text)


def _kind_of(token: str, after: str) -> str:
    """Return what a token is that is a name or a value."""
    if token[0] == '"':
        return NAME if after == ":" else STRING
    return CONSTANT if token in ("true", "false", "null") else NUMBER


def _in_order(tokens: list[str]) -> list[str]:
    """
    Return the tokens of valid JSON with the members of objects sorted by name.

    Without recursion, which the depth of a document would end, and with each token moved once: joining the tokens of
    members to those of their object, and these to those of the next, would take the square of the depth.
    """
    top: tuple[str, list[Any]] = ("", [])
    open_nodes = [top]
    name = ""
    for token in tokens:
        opening, members = open_nodes[-1]
        if token in "}]":
            open_nodes.pop()
            if opening == "{":
                members.sort(key=_key)
        elif token in ",:":
            pass
        elif opening == "{" and not name:
            name = token
        else:
            node: _Node = (token, []) if token in "{[" else token
            members.append((_decoded(name), name, node) if opening == "{" else node)
            name = ""
            if isinstance(node, tuple):
                open_nodes.append(node)
    return _flat(top[1][0])


def _flat(node: _Node) -> list[str]:
    """Return the tokens of a tree."""
    out: list[str] = []
    rest: list[_Node] = [node]  # the next one last
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            out.append(one)
            continue
        opening, members = one
        out.append(opening)
        rest.append(_CLOSING[opening])
        for position in range(len(members) - 1, -1, -1):
            if opening == "{":
                _, name, value = members[position]
                rest += [value, ":", name]
            else:
                rest.append(members[position])
            if position:
                rest.append(",")
    return out


def _key(member: tuple[str, str, _Node]) -> str:
    return member[0]


def _decoded(name: str) -> str:
    """Return the name that a token stands for: it may be written with escapes."""
    return str(json.loads(name)) if "\\" in name else name[1:-1]
