"""
The URLs of a run: words with patterns, and the lines of a file, both read when the next one is asked for.

    from_words(["http://a/[1-3]"], literal=False)       Address("http://a/1", ("1",)), ...
    from_file("urls.txt")                               Address("http://a/", where="urls.txt:1"), ...
    check_saved(words, "page_#1.html", literal=False)   no file would replace another one

A line is a URL without patterns: what a program has written must not become many requests. Blank lines, and those
with # first, count but are ignored. A line that is not a URL has a `problem`, and the others go on.

Not here: patterns (`patterns`), which words are URLs (`building`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import click

from .patterns import Pattern, filled, parse, places

# Bytes of a line; no server takes a longer URL.
MAX_LINE = 1 << 16
# Names that are compared before anything is sent. Above this only the form of the names is looked at.
_MAX_COMPARED = 10_000


class Address(NamedTuple):
    """
    A URL to send a request to.

    Attributes:
        url: as it was written, maybe without a scheme.
        values: of the patterns of its word.
        where: file and line; "" for a word of the command.
        problem: why the line is not a URL; "" if it is one.
    """

    url: str
    values: tuple[str, ...] = ()
    where: str = ""
    problem: str = ""


def patterns_of(words: Sequence[str], literal: bool) -> list[Pattern]:
    """
    Return the patterns of words.

    Args:
        literal: they have none (--globoff).

    Raises:
        click.UsageError: a range goes down.
    """
    if literal:
        return [Pattern((word,), ()) for word in words]
    try:
        return [parse(word) for word in words]
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def from_words(words: Sequence[str], literal: bool) -> Iterator[Address]:
    """Yield the URLs of words."""
    for pattern in patterns_of(words, literal):
        for url, values in pattern.urls():
            yield Address(url, values)


def from_file(path: str) -> Iterator[Address]:
    """
    Return the URLs of the lines of a file, "-" for standard input.

    Raises:
        click.UsageError: the file cannot be read. This is known at once.
    """
    if path == "-":
        if sys.stdin is None:
            raise click.UsageError("--urls -: standard input is closed")
        try:
            # Not through `sys.stdin`: the interpreter cannot end while a thread holds the lock of its buffer.
            descriptor = sys.stdin.fileno()
        except (OSError, ValueError):
            return _addresses(lambda: sys.stdin.buffer.read(MAX_LINE), "standard input")
        return _addresses(lambda: os.read(descriptor, MAX_LINE), "standard input")
    try:
        # A folder can be opened, and not read.
        file = open(os.path.expanduser(path), "rb", buffering=0)  # noqa: SIM115  # closed with the generator
    except OSError as exc:
        raise click.UsageError(f"--urls: {exc}") from None

    def closed_at_the_end() -> Iterator[Address]:
        with closing(file):
            yield from _addresses(lambda: file.read(MAX_LINE), path)

    return closed_at_the_end()


def _addresses(read: Callable[[], bytes], name: str) -> Iterator[Address]:
    for number, line in enumerate(lines(read), 1):
        where = f"{name}:{number}"
        if line is None:
            yield Address("", (), where, f"a URL has at most {MAX_LINE} bytes")
            continue
        try:
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode("utf-8").strip()
        except UnicodeDecodeError:
            yield Address("", (), where, "the line is not UTF-8 text")
            continue
        if not text or text.startswith("#"):
            continue
        if text.split() != [text] or not text.isprintable():
            yield Address("", (), where, "expected one URL in a line, without spaces and control characters")
            continue
        yield Address(text, (), where)


def lines(read: Callable[[], bytes]) -> Iterator[bytes | None]:
    """
    Yield the lines of what is read, without their ends, each as soon as it is complete.

    None stands for one of more than `MAX_LINE` bytes.

    Args:
        read: returns the next bytes, b"" at the end.
    """
    rest, is_too_long = b"", False
    while data := read():
        *complete, rest = (rest + data).split(b"\n")
        for line in complete:
            yield None if is_too_long or len(line) > MAX_LINE else line
            is_too_long = False
        if len(rest) > MAX_LINE:
            rest, is_too_long = b"", True
    if rest or is_too_long:
        yield None if is_too_long else rest


def check_saved(words: Sequence[str], template: str, literal: bool, is_list: bool) -> None:
    """
    Check that no body would replace the file of another one.

    Args:
        template: the path, with `#1` for the value of the first pattern of a word, and so on.
        is_list: there is a file of URLs, whose lines have no patterns.

    Raises:
        click.UsageError: two URLs have the same path.
    """
    if is_list:
        raise click.UsageError(
            f"{template!r} would get the bodies of all URLs of --urls: --download FOLDER/ takes the names of the server"
        )
    known = patterns_of(words, literal)
    named = places(template)
    for pattern in known:
        for number, choice in enumerate(pattern.choices, 1):
            if choice.size > 1 and number not in named:
                raise click.UsageError(
                    f"{template!r} would get several bodies: #{number} in it would be the value of pattern {number}"
                )
    if len(known) > 1 and sum(pattern.size for pattern in known) > _MAX_COMPARED:
        raise click.UsageError(f"{template!r}: more than {_MAX_COMPARED} names of several URLs are not compared")
    seen = set()
    for _, address in zip(range(_MAX_COMPARED), from_words(words, literal)):
        path = filled(template, address.values)
        key = os.path.normcase(os.path.abspath(path))
        if key in seen:
            raise click.UsageError(f"{path!r} would get the bodies of two URLs")
        seen.add(key)
