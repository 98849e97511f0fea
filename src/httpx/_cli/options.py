"""
What can be written behind `httpx`: one table of options, which the parser and the help both read.

    COMMAND.make_context("httpx", argv).params      {"words": (...), "method": ..., ...}

Not here: what the options do (`command`), how the help looks (`manual`).
"""

from __future__ import annotations

import json
from typing import Any

import click

_PAIR = (str, str)


def _json_value(text: str) -> tuple[Any]:
    # In a tuple, so that `null` is not taken for an option that was not given.
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError) as exc:
        raise click.BadParameter(f"not valid JSON: {exc}") from None


def _show_manual(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from .manual import print_manual

        print_manual()
        ctx.exit()


def _pairs(*names: str, metavar: str, help: str) -> click.Option:
    return click.Option(names, type=_PAIR, multiple=True, metavar=metavar, help=help)


def _flag(*names: str, help: str, **more: Any) -> click.Option:
    return click.Option(names, is_flag=True, help=help, **more)


OPTIONS: list[click.Option] = [
    click.Option(["-m", "--method"], metavar="METHOD", help="Request method. [default: GET, with a body POST]"),
    _pairs("-p", "--params", metavar="NAME VALUE", help="Query parameter of the URL. Repeat it for more."),
    click.Option(["-c", "--content"], metavar="TEXT", help="Request body as it is."),
    _pairs("-d", "--data", metavar="NAME VALUE", help="Field of a form; NAME=VALUE works, too. Repeat it for more."),
    click.Option(
        ["-f", "--files"],
        type=(str, click.File("rb")),
        multiple=True,
        metavar="NAME FILENAME",
        help="File of a form, sent as multipart/form-data. Repeat it for more.",
    ),
    click.Option(["-j", "--json"], type=_json_value, metavar="TEXT", help="Request body in JSON."),
    _pairs("-h", "--headers", metavar="NAME VALUE", help="Header of the request. Repeat it for more."),
    _pairs("--cookies", metavar="NAME VALUE", help="Cookie of the request. Repeat it for more."),
    click.Option(
        ["--auth"],
        type=_PAIR,
        metavar="USER PASS",
        help="Basic authentication. '-' for PASS asks for it. Mind that --verbose shows it.",
    ),
    click.Option(["--bearer"], metavar="TOKEN", help="Bearer authentication. Mind that --verbose shows it."),
    click.Option(["--proxy"], metavar="URL", help="Send the request through this proxy."),
    click.Option(
        ["--timeout"],
        type=click.FloatRange(min=0),
        default=5.0,
        metavar="SECONDS",
        help="Longest wait for each of: a connection, the next bytes of the answer, room for the request. [default: 5]",
    ),
    click.Option(
        ["--max-time"],
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Longest time for the whole exchange. [default: no limit]",
    ),
    _flag("--follow-redirects", help="Go where a redirect leads, at most 20 times."),
    click.Option(
        ["--no-verify", "verify"],
        is_flag=True,
        flag_value=False,
        default=True,
        help="Accept any certificate of the server.",
    ),
    _flag("--http2", help="Speak HTTP/2 if the server does."),
    click.Option(["--download"], metavar="FILE", help="Save the body of the answer to FILE; '-' is standard output."),
    _flag("-v", "--verbose", help="Show connection, certificate and request as well."),
    _flag("--help", help="Show this page.", is_eager=True, expose_value=False, callback=_show_manual),
]

COMMAND = click.Command(
    "httpx",
    params=[*OPTIONS, click.Argument(["words"], nargs=-1, metavar="[METHOD] URL")],
    add_help_option=False,
)

_ARITY = {name: 0 if option.is_flag else option.nargs for option in OPTIONS for name in option.opts}


def with_pairs_split(argv: list[str]) -> list[str]:
    """
    The arguments with `-d NAME=VALUE` as `-d NAME VALUE`.

    What 0.28.1 understood stays as it is: a name with "=" in it, and a value behind it. So the short form is seen only
    where no value can be what follows: another option, a URL, or nothing.
    """
    out: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        out.append(word)
        if word in ("-d", "--data") and rest and "=" in rest[0] and _is_no_value(rest[1:]):
            out += rest.pop(0).split("=", 1)
        else:
            arity = _ARITY.get(word, 0)
            out += rest[:arity]
            del rest[:arity]
    return out


def _is_no_value(rest: list[str]) -> bool:
    return not rest or rest[0] in _ARITY or "://" in rest[0]
