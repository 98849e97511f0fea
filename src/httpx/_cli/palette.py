"""
Which colour each thing has: one of the terminal's own 16, or that of a style of pygments.

    AUTO["string"]                      "32"
    palette_of("monokai")["string"]     "38;5;186", or "38;2;230;219;116" on a terminal with true colours

A colour is the parameters of the escape sequence SGR (ECMA-48, 8.3.117); "" is none. A style is asked once for the few
kinds of things that are shown, with the tokens that pygments' lexers of HTTP and JSON have for them, so that head and
body match. Only a style imports pygments, and of it only the styles.

Not here: what is painted (`screen`, `json_text`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# What is shown -> its colour. 94 is the bright blue: the other cannot be read on a dark terminal.
AUTO: Mapping[str, str] = {
    "name": "94",
    "string": "32",
    "number": "36",
    "constant": "33",
    "method": "32",
    "target": "36",
    "version": "94",
    "field": "36",
    "success": "32",
    "redirect": "33",
    "error": "31",
    "note": "2",
}
# The same -> tokens of pygments. The first that has a colour of its own counts, for few styles have all of them.
_TOKENS = {
    "name": ("Name.Tag",),
    "string": ("Literal.String.Double",),
    "number": ("Literal.Number.Integer",),
    "constant": ("Keyword.Constant",),
    "method": ("Name.Function",),
    "target": ("Name.Namespace",),
    "version": ("Keyword.Reserved",),
    "field": ("Name.Attribute",),
    "success": ("Generic.Inserted", "Literal.Number.Integer"),
    "redirect": ("Name.Constant", "Keyword.Constant"),
    "error": ("Generic.Error", "Generic.Deleted", "Name.Exception"),
    "note": ("Comment",),
}
_DEFAULT = "auto"
# How many names a message about an unknown one has.
_MOST_CLOSE = 4
# Levels of each primary colour in the 216 colours from 16 on; 24 greys from 8 on follow, in steps of 10.
_LEVELS = (0, 95, 135, 175, 215, 255)


def names() -> list[str]:
    """Return the names of all styles, "auto" first; only that one without pygments."""
    try:
        from pygments.styles import get_all_styles  # type: ignore[import-untyped]  # pygments has no types
    except ImportError:
        return [_DEFAULT]
    return [_DEFAULT, *sorted(get_all_styles())]


def check(name: str | None) -> None:
    """
    Check the name of a style.

    Raises:
        ValueError: there is none of that name; the message has close ones.
    """
    if name not in (None, _DEFAULT):
        _style(name)


def palette_of(name: str | None) -> Mapping[str, str]:
    """
    Return the colours of a style; None is "auto".

    Raises:
        ValueError: as `check`.
    """
    if name is None or name == _DEFAULT:
        return AUTO
    style = _style(name)
    from pygments.token import string_to_tokentype  # type: ignore[import-untyped]  # pygments has no types

    has_true_colours = has_true_colour()

    def code(kind: str) -> str:
        codes = (_code(style.style_for_token(string_to_tokentype(token)), has_true_colours) for token in _TOKENS[kind])
        return next(filter(None, codes), "")

    return {kind: code(kind) for kind in AUTO}


def has_true_colour() -> bool:
    """Return whether the terminal says that it has more than 256 colours."""
    return os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")


def _style(name: str | None) -> Any:
    try:
        from pygments.styles import get_style_by_name
        from pygments.util import ClassNotFound  # type: ignore[import-untyped]  # pygments has no types
    except ImportError:
        raise ValueError("a style needs pygments: pip install 'httpx[cli]'") from None
    try:
        return get_style_by_name(name)
    except ClassNotFound:
        from difflib import get_close_matches

        known = names()
        close = get_close_matches((name or "").lower(), known, _MOST_CLOSE, 0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
        raise ValueError(f"unknown style {(name or '')[:40]!r}: {hint}") from None


def _code(look: Mapping[str, Any], has_true_colours: bool) -> str:
    """Return the parameters for what a style says about a token. Backgrounds are left out: they make a patchwork."""
    codes = [number for number, key in (("1", "bold"), ("3", "italic"), ("4", "underline")) if look[key]]
    if look["color"]:
        red, green, blue = (int(look["color"][at : at + 2], 16) for at in (0, 2, 4))
        is_exact = f"38;2;{red};{green};{blue}"
        codes.append(is_exact if has_true_colours else f"38;5;{nearest(red, green, blue)}")
    return ";".join(codes)


def nearest(red: int, green: int, blue: int) -> int:
    """Return the number of the closest of the terminal's colours from 16 to 255."""
    steps = [min(range(6), key=lambda step: abs(_LEVELS[step] - value)) for value in (red, green, blue)]
    cube = [_LEVELS[step] for step in steps]
    grey = min(range(24), key=lambda step: abs(8 + 10 * step - (red + green + blue) / 3))

    def distance(other: list[int]) -> int:
        return sum((one - two) ** 2 for one, two in zip((red, green, blue), other))

    if distance([8 + 10 * grey] * 3) < distance(cube):
        return 232 + grey
    return 16 + 36 * steps[0] + 6 * steps[1] + steps[2]
