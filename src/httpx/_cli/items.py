"""
Items: the words after the URL, each of which is a part of the request.

    name=value      text, in a JSON object or a form        name=@path      the same, from a file
    name:=json      a value of JSON                         name:=@path     the same, from a file
    name==value     query parameter                         name==@path     the same, from a file
    Name:value      header                                  Name:@path      the same, from a file
    Name:           no such header                          Name;           header without a value
    name@path       file of a form; name@path;type=image/png;filename=other.png; name@- from stdin
    @path           the whole body, from a file; @- from stdin

The first separator counts, and the longest of those that begin there. A backslash before a character that could begin
one removes that meaning: `a\\=b=c` is the name `a=b`, and `a\\\\=b` the name `a\\`. Directly after
the separator it keeps "@" and "=" in the value: `a=\\@b` has the value `@b`.

In headers and queries, a line break at the end of a file is not part of the value. Files of forms are opened here
and closed by the caller. Not here: the body (`building`), names that are paths into JSON (`nested`).
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from typing import Any, NamedTuple

from .._utils import lazy_pattern

_SEPARATORS = (":=@", "==@", ":=", "==", "=@", ":@", "=", ":", "@")
_SPECIAL = frozenset("=:@;\\")
# A value whose first character would otherwise be part of the separator.
_ESCAPED_VALUE = lazy_pattern(r"\\+[=@]")
# Attributes that may follow the path of a file.
_OPTION = lazy_pattern(r"(.+);(type=[^;\s]+/[^;\s]+|filename=[^;/\\]+)", re.S)


class Items(NamedTuple):
    """
    The parts of a request, by kind; each list in the order of the words.

    Attributes:
        params: names and values of the query.
        headers: names and values of header fields.
        absent: names of header fields that the request must not have.
        fields: names and text, for a form; JSON values as they were written.
        values: names and values, for a JSON object.
        files: names, and (file name, open file) or (file name, open file, type).
        content: the path of the file for the body, "-" for standard input; None without one.
    """

    params: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    absent: list[str]
    fields: list[tuple[str, str]]
    values: list[tuple[str, Any]]
    files: list[tuple[str, Any]]
    content: str | None


def parse(words: list[str]) -> Items:
    """
    Return the items of the words.

    Raises:
        ValueError: a word is not an item, its JSON or the text of its file is invalid, or there are two bodies.
        OSError: a file cannot be read.
    """
    items = Items([], [], [], [], [], [], None)
    for word in words:
        if word.startswith("@"):
            if items.content is not None:
                raise ValueError("more than one body is given")
            items = items._replace(content=word[1:])
            if word == "@":
                raise ValueError("'@' must be followed by a path, or by '-' for standard input")
            continue
        name, separator, value = split(word)
        if not name and separator != ";":
            raise ValueError(f"{word!r} has no name before {separator!r}")
        _ADD[separator](items, name, value)
    return items


def split(word: str) -> tuple[str, str, str]:
    """
    Return name, separator and value of an item.

    Raises:
        ValueError: it has no separator.
    """
    name: list[str] = []
    at = 0
    while at < len(word):
        char = word[at]
        if char == "\\" and word[at + 1 : at + 2] in _SPECIAL:
            name.append(word[at + 1])
            at += 2
            continue
        for separator in _SEPARATORS:
            if word.startswith(separator, at):
                value = word[at + len(separator) :]
                return "".join(name), separator, value[1:] if _ESCAPED_VALUE.match(value) else value
        if char == ";" and at == len(word) - 1:
            return "".join(name), ";", ""
        name.append(char)
        at += 1
    raise ValueError(
        f"{word!r} is not an item: expected name=value, name:=json, name==value, Name:value, name@path, @path, "
        "or a URL with its scheme"
    )


def _add_text(items: Items, name: str, value: str) -> None:
    items.fields.append((name, value))
    items.values.append((name, value))


def _add_json(items: Items, name: str, value: str) -> None:
    try:
        items.values.append((name, json.loads(value)))
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"the value of {name!r} is not valid JSON: {exc}") from None
    items.fields.append((name, value))


def _add_header(items: Items, name: str, value: str) -> None:
    if value:
        items.headers.append((name, value.strip(" \t")))
    else:
        items.absent.append(name)


def _add_file(items: Items, name: str, value: str) -> None:
    path, more = path_and_options(value)
    file: Any
    if path == "-":
        file = io.BytesIO(b"" if sys.stdin is None else sys.stdin.buffer.read())
    else:
        file = open(os.path.expanduser(path), "rb")  # noqa: SIM115  # closed by the caller, with the request
    entry = (more.get("filename", os.path.basename(path)), file)
    items.files.append((name, (*entry, more["type"]) if "type" in more else entry))


def path_and_options(value: str) -> tuple[str, dict[str, str]]:
    """Return the path of a file and its attributes: "type" and "filename"."""
    more: dict[str, str] = {}
    while (match := _OPTION.fullmatch(value)) is not None:
        value, option = match.groups()
        more.setdefault(*option.split("=", 1))
    return value, more


def _line_of(name: str, path: str) -> str:
    """Return the text of a file with one line, such as a token."""
    text = _text_of(path).rstrip("\r\n")
    if "\n" in text or "\r" in text:
        raise ValueError(f"the file {path!r} for {name!r} must have one line")
    return text


def _text_of(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{path!r} is not UTF-8 text: name@path sends a file as it is") from None


_ADD = {
    "=": _add_text,
    "=@": lambda items, name, path: _add_text(items, name, _text_of(path)),
    ":=": _add_json,
    ":=@": lambda items, name, path: _add_json(items, name, _text_of(path)),
    "==@": lambda items, name, path: items.params.append((name, _text_of(path).rstrip("\r\n"))),
    ":@": lambda items, name, path: items.headers.append((name, _line_of(name, path).strip(" \t"))),
    "==": lambda items, name, value: items.params.append((name, value)),
    ":": _add_header,
    ";": lambda items, name, value: items.headers.append((name, "")),
    "@": _add_file,
}
