"""
Patterns in URLs, in curl's notation: one URL that stands for many.

    parse("http://a/[1-3]")             Pattern: size 3, URLs http://a/1, http://a/2, http://a/3
    filled("page_#1.json", ("3",))      "page_3.json"

    [1-10]  [01-10]  [1-10:2]       numbers; a start with leading zeros keeps its width; in steps of 2
    [a-z]  [A-Z]  [a-z:3]           letters
    {one,two,three}                 words

Several patterns multiply, and the last one changes fastest. Every URL is computed when it is asked for, from its
number, so a range may have any length.

Only these exact forms are patterns: an address such as `[::1]`, a name such as `fields[a]`, JSON and the templates
`{id}` and `{?a,b}` (RFC 6570) stay as they are. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import NamedTuple, Union

# The digits bound the arithmetic. A step has no sign: a range that goes down is an error.
_RANGE = r"\[(?P<start>\d{1,18})-(?P<end>\d{1,18})(?::(?P<step>\d{1,18}))?\]"
_LETTERS = r"\[(?P<first>[a-z](?=-[a-z])|[A-Z](?=-[A-Z]))-(?P<last>[A-Za-z])(?::(?P<stride>\d{1,3}))?\]"
# A word begins with what no template of RFC 6570 begins with, and has no character of JSON.
_WORD = r"[\w%-][\w%.~+/=@!$-]*"
_WORDS = rf"\{{(?P<words>{_WORD}(?:,{_WORD})+)\}}"
_PATTERN = re.compile(f"{_RANGE}|{_LETTERS}|{_WORDS}")
_PLACE = re.compile(r"#(\d{1,3})")


class Numbers(NamedTuple):
    """
    The values of a range of numbers.

    Attributes:
        start: the first.
        step: from each to the next.
        size: how many.
        width: digits of a value at least; shorter ones get zeros in front.
    """

    start: int
    step: int
    size: int
    width: int

    def at(self, index: int) -> str:
        """Return a value by its place, from 0."""
        return str(self.start + index * self.step).zfill(self.width)


class Words(NamedTuple):
    """The values of a list, or of a range of letters."""

    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return how many there are."""
        return len(self.words)

    def at(self, index: int) -> str:
        """Return a value by its place, from 0."""
        return self.words[index]


class Pattern(NamedTuple):
    """
    A URL with patterns in it, maybe none.

    Attributes:
        texts: what is before, between and after the patterns.
        choices: the values of each pattern, one fewer than there are texts.
    """

    texts: tuple[str, ...]
    choices: tuple[Union[Numbers, Words], ...]

    @property
    def size(self) -> int:
        """Return the number of URLs."""
        return prod(choice.size for choice in self.choices)

    def values(self, number: int) -> tuple[str, ...]:
        """Return the value of each pattern in the URL with a number, from 0."""
        found = []
        for choice in reversed(self.choices):
            number, index = divmod(number, choice.size)
            found.append(choice.at(index))
        return tuple(reversed(found))

    def url(self, values: tuple[str, ...]) -> str:
        """Return the URL with these values."""
        return "".join(part for pair in zip(self.texts, (*values, "")) for part in pair)

    def urls(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each URL with the values of its patterns."""
        number, size = 0, self.size
        while number < size:
            values = self.values(number)
            yield self.url(values), values
            number += 1


def parse(url: str) -> Pattern:
    """
    Return the pattern of a URL.

    Raises:
        ValueError: a range goes down, or its step is 0.
    """
    texts, choices, start = [], [], 0
    for match in _PATTERN.finditer(url):
        texts.append(url[start : match.start()])
        choices.append(_choice(match))
        start = match.end()
    return Pattern((*texts, url[start:]), tuple(choices))


def without_patterns(url: str) -> str:
    """Return what is left of a URL without its patterns."""
    return _PATTERN.sub("", url)


def filled(template: str, values: tuple[str, ...]) -> str:
    """Return a text with `#1`, `#2`, ... replaced by the values of the patterns; numbers without a pattern stay."""

    def value(match: re.Match[str]) -> str:
        number = int(match[1])
        return values[number - 1] if 0 < number <= len(values) else match[0]

    return _PLACE.sub(value, template)


def places(template: str) -> frozenset[int]:
    """Return the numbers of the patterns that a text names."""
    return frozenset(int(number) for number in _PLACE.findall(template))


def _choice(match: re.Match[str]) -> Numbers | Words:
    if match["words"] is not None:
        return Words(tuple(match["words"].split(",")))
    if match["start"] is not None:
        first, last, step = int(match["start"]), int(match["end"]), int(match["step"] or 1)
    else:
        first, last, step = ord(match["first"]), ord(match["last"]), int(match["stride"] or 1)
    if last < first:
        raise ValueError(f"{match[0]} goes down: the smaller end must be first (--globoff sends it as it is)")
    if not step:
        raise ValueError(f"the step of {match[0]} must be at least 1 (--globoff sends it as it is)")
    count = (last - first) // step + 1
    if match["start"] is None:
        return Words(tuple(chr(first + index * step) for index in range(count)))
    return Numbers(first, step, count, len(match["start"]) if match["start"].startswith("0") else 0)
