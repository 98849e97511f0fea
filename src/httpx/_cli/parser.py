"""
Parse the words of a command line into a dictionary.

    parse(["PUT", ":8000/", "-v"])      {"words": ("PUT", ":8000/"), "verbose": True, "method": None, ...}

Options that only abbreviate others (-i, -I, -u, --body, and -q in part) are replaced by those.

Not here: the table of options (`options`), and their effect (`command`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from .._utils import lazy_pattern
from .building import is_item, is_method
from .options import COUNT, FILE_PAIR, FLAG, JSON, NUMBER, OPTIONS, PAIR, SECONDS, Option

_BY_NAME = {name: option for option in OPTIONS for name in option.opts}
# What separates the two values of an option that are written as one word.
_SEPARATORS = {"data": "=", "params": "=", "cookies": "=", "headers": ":", "auth": ":"}
# Two values in one word; the name of a header is a token (RFC 9110, 5.6.2), and `http://` is a URL.
_ONE_WORD = {"=": lazy_pattern(r"[^=]*="), ":": lazy_pattern(r"[\w!#$%&'*+.^`|~-]+:(?!//)")}
# A word that is certainly a URL: with a scheme, or `:8000`, or `:/path`.
_URL = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*://|:\d|:/")
# Keys of options that exclude each other.
_EXCLUSIVE = (
    ("auth", "bearer", "netrc", "user"),
    ("download", "output", "output_json"),
    ("http2", "http_version"),
    ("ipv4", "ipv6"),
    ("ca", "no_verify"),
    ("proxy", "unix_socket"),
    ("session", "session_read_only"),
    ("body", "include", "print"),
    *(("quiet", shows) for shows in ("body", "include", "print", "verbose")),
)
# The results of options that are not given.
_EMPTY = {FLAG: False, COUNT: 0}
_NOTHING = {option.dest: _EMPTY.get(option.kind) for option in OPTIONS if option.kind == COUNT or not option.multiple}
# Those of which 0 is one.
_NUMBERS = {option.dest: option.default for option in OPTIONS if type(option.default) is int}


def parse(
    argv: list[str],
    *,
    expand: Callable[[str], list[str]] | None = None,
    defaults: Callable[[dict[str, Any]], list[str]] | None = None,
) -> click.Context:
    """
    Return a context with the arguments as `params`, which closes the files of `--files` when it is left.

    `params["from_config"]` are the keys of options that only the defaults have; `params["argv"]` are the arguments
    without the defaults, to be parsed again with others.

    Args:
        argv: without the program's name.
        expand: returns the arguments for the value of `--from-curl`.
        defaults: returns options that go before those of the command line, for the result without them.

    Raises:
        click.UsageError: an option is unknown, lacks its value, or has an invalid one.
    """
    command = click.Command(
        "httpx",
        params=[*map(_for_click, OPTIONS), click.Argument(["words"], nargs=-1)],
        add_help_option=False,
    )
    words = normalised(argv, expand)
    context = _context(command, words)
    named = _set(context.params)
    _complete(context)
    more = [] if defaults is None else normalised(defaults(context.params))
    context.params.update(from_config=frozenset(), argv=words)
    if not more:
        return context
    context.close()
    with _context(command, more) as alone:
        if alone.params["words"]:
            raise click.UsageError(f"the configuration has a word that is not an option: {alone.params['words'][0]!r}")
        configured = _set(alone.params) - named
    context = _context(command, [*more, *words])
    for row in _EXCLUSIVE:
        if named.intersection(row):  # what the command line says wins
            context.params.update({key: empty for key, empty in _NOTHING.items() if key in configured and key in row})
            configured -= set(row)
    _complete(context)
    context.params.update(from_config=frozenset(configured), argv=words)
    return context


def _context(command: click.Command, words: list[str]) -> click.Context:
    return command.make_context("httpx", list(words))  # click takes words out of the list


def _set(params: dict[str, Any]) -> set[str]:
    """Return the keys of options that are given."""
    # By identity: 0 is a value, but where it is the default.
    given = {key: value for key, value in params.items() if value is not None and value is not False and value != ()}
    return {key for key, value in given.items() if value != _NUMBERS.get(key, ())}


def nothing(key: str) -> Any:
    """Return the result of an option that is not given."""
    return _NOTHING.get(key, ())


def _complete(context: click.Context) -> None:
    """Check pairs and replace abbreviations; after an error, the context is closed."""
    try:
        _check_pairs(context.params)
        _check_style(context.params["style"])
        _replace_abbreviations(context.params)
    except BaseException:
        context.close()
        raise


def normalised(argv: list[str], expand: Callable[[str], list[str]] | None = None) -> list[str]:
    """
    Return the arguments for the parser: `-d NAME=VALUE` as `-d NAME VALUE`, and optional values filled in.

    As in 0.28.1, a name may have "=" in it, with a value after it. So the form of one word is only recognized if no
    value can follow: before another option, a URL, or the end. `httpx curl ...` is the value of --from-curl.
    """
    out: list[str] = []
    rest = list(argv)
    if expand is not None and len(rest) > 1 and rest[0] == "curl":
        import shlex

        return expand(shlex.join(rest))
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
        separator = _SEPARATORS.get(option.dest)
        if separator is not None and rest and _ONE_WORD[separator].match(rest[0]) and _is_no_value(rest[1:]):
            name, _, value = rest.pop(0).partition(separator)
            out += [name, value.lstrip(" ") if option.dest == "headers" else value]
        elif option.bare is not None:
            out.append(option.bare if _is_no_value(rest) else rest.pop(0))
        else:
            out += rest[: option.arity]
            del rest[: option.arity]
    return out


def _is_no_value(rest: list[str]) -> bool:
    return not rest or rest[0].partition("=")[0] in _BY_NAME or "://" in rest[0] or bool(_URL.match(rest[0]))


def _check_pairs(params: dict[str, Any]) -> None:
    """
    Refuse a name with a separator and a value that looks like the next item: `-d a=1 b=2` would send `a=1=b%3D2`.

    Values are not shown, because they may be secret.
    """
    for dest, separator in _SEPARATORS.items():
        pairs = params[dest] if dest != "auth" else [params[dest]] if params[dest] else []
        for name, value in pairs:
            if separator not in name or (separator == "=" and not is_item(value)):
                continue
            if dest == "auth":
                raise click.UsageError(
                    "--auth takes two words, USER PASS, and a user name has no colon; "
                    "for USER:PASS in one word write -u USER:PASS"
                )
            short = name.partition(separator)[0]
            again = f"-h '{short}: VALUE' -h ..." if dest == "headers" else f"--{dest} {short}=VALUE --{dest} ..."
            raise click.UsageError(
                f"--{dest} takes two words, NAME VALUE, so the word after {short + separator + '...'!r} would be its "
                f"value; write the option again for each: {again}"
            )


def _check_style(name: str | None) -> None:
    """Refuse an unknown style, also where there are no colours."""
    if name is not None:
        from .palette import check

        try:
            check(name)
        except ValueError as exc:
            raise click.UsageError(f"--style: {exc}") from None


def _replace_abbreviations(params: dict[str, Any]) -> None:
    """Let -i, -I, -q, -u and --body set the options that they stand for, and find the URL that --download took."""
    shown = {"include": "hb", "body": "b"}
    for key, parts in shown.items():
        if params[key] and params["print"] is None:
            params["print"] = parts
    if params["quiet"] and not params["offline"]:  # which is there to show something
        params["print"], params["verbose"] = "", False
    if params["head"]:
        if params["method"] not in (None, "HEAD"):
            raise click.UsageError("--head and --method exclude each other")
        params["method"] = "HEAD"
    if params["user"] is not None:
        if params["auth"]:
            raise click.UsageError("--user and --auth exclude each other")
        name, colon, password = params["user"].partition(":")
        params["auth"] = (name, password if colon else "-")
    words = params["words"]
    rest = words[1:] if words and is_method(words[0]) else words
    # No URL is left: the optional value was the URL.
    if params["download"] and params["urls"] is None and all(map(is_item, rest)):
        params["words"] = (*words[: len(words) - len(rest)], params["download"], *rest)
        params["download"] = ""


def _for_click(option: Option) -> click.Option:
    names = [*option.opts, option.dest]
    if option.kind == FLAG:
        return click.Option(names, is_flag=True)
    if option.kind == COUNT:
        return click.Option(names, count=True)
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
