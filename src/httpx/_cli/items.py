"""
Items: the words behind the URL, each of which is a piece of the request.

    name=value      text, in a JSON object or a form        name=@path      the same, from a file
    name:=json      a value of JSON                         name:=@path     the same, from a file
    name==value     query parameter                         name==@path     the same, from a file
    Name:value      header                                  Name:@path      the same, from a file
    Name:           no such header                          Name;           header without a value
    name@path       file of a form; name@path;type=image/png;filename=other.png
    @path           the whole body, from a file; @- from stdin

The separator is the first that appears, and the longest of those that begin there. A backslash before a character that
could begin one takes that from it: `a\\=b=c` is the name `a=b`, and `a\\\\=b` the name `a\\`. Right behind the
separator it keeps "@" and "=" in the value: `a=\\@b` has the value `@b`.

In headers and queries, a line break at the end of a file is not part of the value. Files of forms are opened here;
whoever parses closes them. Not here: what the body becomes (`building`), names that are paths into JSON (`nested`).
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

_SEPARATORS = (":=@", "==@", ":=", "==", "=@", ":@", "=", ":", "@")
_SPECIAL = frozenset("=:@;\\")
# A value whose first character would otherwise lengthen the separator.
_ESCAPED_VALUE = re.compile(r"\\+[=@]")
# What may stand behind the path of a file.
_OPTION = re.compile(r"(.+);(type=[^;\s]+/[^;\s]+|filename=[^;/\\]+)", re.S)


class Items(NamedTuple):
    """
    The pieces, by where they go; each list in the order of the words.

    Attributes:
        params: names and values of the query.
        headers: names and values of header fields.
        absent: names of header fields that the request must not have.
        fields: names and text, as a form has them; values of JSON as they were written.
        values: names and values, as an object of JSON has them.
        files: names, and (file name, open file) or (file name, open file, type).
        content: the path of the file that is the body, "-" for standard input; None if there is none.
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
    What the words mean.

    Raises:
        ValueError: a word is no item, or its JSON is none, or its file no text; or there are two bodies.
        OSError: a file cannot be read.
    """
    items = Items([], [], [], [], [], [], None)
    for word in words:
        if word.startswith("@"):
            if items.content is not None:
                raise ValueError("more than one body is given")
            items = items._replace(content=word[1:])
            if word == "@":
                raise ValueError("'@' needs a path behind it, or '-' for standard input")
            continue
        name, separator, value = split(word)
        if not name and separator != ";":
            raise ValueError(f"{word!r} has no name before {separator!r}")
        _ADD[separator](items, name, value)
    return items


def split(word: str) -> tuple[str, str, str]:
    """
    Name, separator and value of an item.

    Raises:
        ValueError: there is no separator.
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
    raise ValueError(f"{word!r} is no item: name=value, name:=json, name==value, Name:value, name@path, @path")


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
    file = open(os.path.expanduser(path), "rb")  # noqa: SIM115  # closed with the request, by whoever parses
    entry = (more.get("filename", os.path.basename(path)), file)
    items.files.append((name, (*entry, more["type"]) if "type" in more else entry))


def path_and_options(value: str) -> tuple[str, dict[str, str]]:
    """The path of a file, and what stands behind it: "type" and "filename"."""
    more: dict[str, str] = {}
    while (match := _OPTION.fullmatch(value)) is not None:
        value, option = match.groups()
        more.setdefault(*option.split("=", 1))
    return value, more


def _line_of(name: str, path: str) -> str:
    """The text of a file that holds one line, such as a token."""
    text = _text_of(path).rstrip("\r\n")
    if "\n" in text or "\r" in text:
        raise ValueError(f"the file {path!r} for {name!r} should have one line")
    return text


def _text_of(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{path!r} is no text in UTF-8: name@path sends a file as it is") from None


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
