"""
Parse the words of a command line into a dictionary.

    parse(["PUT", ":8000/", "-v"])      {"words": ("PUT", ":8000/"), "verbose": True, "method": None, ...}

Not here: the table of options (`options`), and their effect (`command`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import click

from .options import FILE_PAIR, FLAG, JSON, NUMBER, OPTIONS, PAIR, SECONDS, Option

_BY_NAME = {name: option for option in OPTIONS for name in option.names}
# A word that is certainly a URL: with a scheme, or `:8000`, or `:/path`.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|:\d|:/")
_FLAGS_TOGETHER = re.compile(r"-[A-Za-z0-9]{2,}")


def parse(argv: list[str], *, expand: Callable[[str], list[str]] | None = None) -> click.Context:
    """
    Return a context with the arguments as `params`, which closes the files of `--files` when it is left.

    Args:
        argv: without the program's name.
        expand: returns the arguments for the value of `--from-curl`.

    Raises:
        click.UsageError: an option is unknown, lacks its value, or has an invalid one.
    """
    command = click.Command(
        "httpx",
        params=[*map(_for_click, OPTIONS), click.Argument(["words"], nargs=-1)],
        add_help_option=False,
    )
    return command.make_context("httpx", normalised(argv, expand))


def normalised(argv: list[str], expand: Callable[[str], list[str]] | None = None) -> list[str]:
    """
    Return the arguments for the parser: `-d NAME=VALUE` as `-d NAME VALUE`, and optional values filled in.

    As in 0.28.1, a name may have "=" in it, with a value after it. So the short form is only recognized if no value can
    follow: before another option, a URL, or the end.
    """
    out: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*out, word, *rest]
        option = _BY_NAME.get(word)
        if expand is not None and word.partition("=")[0] == "--from-curl" and ("=" in word or rest):
            out += expand(word.partition("=")[2] if "=" in word else rest.pop(0))
            continue
        out.append(word)
        if option is None:
            continue
        if word in ("-d", "--data") and rest and "=" in rest[0] and _is_no_value(rest[1:]):
            out += rest.pop(0).split("=", 1)
        elif option.bare is not None:
            out.append(option.bare if _is_no_value(rest) else rest.pop(0))
        else:
            out += rest[: option.arity]
            del rest[: option.arity]
    return out


def _is_no_value(rest: list[str]) -> bool:
    return not rest or rest[0].partition("=")[0] in _BY_NAME or "://" in rest[0] or bool(_URL.match(rest[0]))


def _for_click(option: Option) -> click.Option:
    names = [*option.names, option.dest]
    if option.kind == FLAG:
        return click.Option(names, is_flag=True)
    return click.Option(
        names, type=_type(option), multiple=option.multiple, default=option.default or None, metavar=option.metavar
    )


def _type(option: Option) -> Any:
    if option.kind == PAIR:
        return (str, str)
    if option.kind == FILE_PAIR:
        return (str, click.File("rb"))
    if option.kind == JSON:
        return _json_value
    if option.kind == SECONDS:
        return click.FloatRange(min=0, min_open=not option.zero)
    if option.kind == NUMBER:
        return click.IntRange(min=0)
    return click.Choice(option.choices) if option.choices else str


def _json_value(text: str) -> tuple[Any]:
    # In a tuple, so that `null` differs from an option that was not given.
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError) as exc:
        raise click.BadParameter(f"not valid JSON: {exc}") from None
