"""
Expectations of `.http` files: what `# @expect` says about a response.

    expectation = parse("body.$.id == 1")
    failure_of(expectation, response)      None, or "expected body.$.id == 1, got 2"

    status 200          status 200 201          status 2xx          status < 400
    header X-Id         header X-Id == 7        header Content-Type contains json
    body contains text  body.$.users[0].name == "Ann"               body.$.next missing
    time < 500 ms       time < 2 s

Operators: ==, !=, <, <=, >, >=, contains, exists, missing. A value is JSON, else text. There are no patterns: one
that takes exponential time would be easy to write.

Pure. Messages have at most 20 characters of the response, and none under a name that looks secret.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._secrets import is_secret_field, looks_secret, printable
from .json_path import find, steps_of

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS = ("==", "!=", *_COMPARE, "contains", "exists", "missing")
_STATUS = re.compile(r"[1-9](?:\d\d|xx|XX)")


class _Nothing(str):
    """Why there is no value."""


class Expectation(NamedTuple):
    """
    One expectation.

    Attributes:
        subject: "status", "header", "body" or "time".
        name: of the header; the path into the body, or "".
        operator: one of `OPERATORS`, or "in" for a list of statuses.
        value: what to compare with; a list of words for "in", seconds for "time".
        text: as it was written, for messages.
    """

    subject: str
    name: str
    operator: str
    value: Any
    text: str


class Received(NamedTuple):
    """
    What expectations look at.

    Attributes:
        status: of the response.
        headers: name in lower case -> value.
        body: as text.
        seconds: from the beginning of the request to the end of the response.
    """

    status: int
    headers: dict[str, str]
    body: str
    seconds: float


def parse(text: str, written: str | None = None) -> Expectation:
    """
    Return the expectation that a text describes.

    Args:
        text: with its variables expanded.
        written: with the variables, for messages.

    Raises:
        ValueError: it is not an expectation.
    """
    written = text if written is None else written
    subject, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if subject == "status":
        return _status(rest, written)
    if subject == "time":
        sign, value = _operation(rest)
        return Expectation("time", "", sign, _seconds(value, sign), written)
    if subject == "header":
        name, _, rest = rest.partition(" ")
        if not name:
            raise ValueError("expected the name of a header")
        sign, value = _operation(rest.strip() or "exists")
        return Expectation("header", name, sign, value, written)
    if subject == "body" or subject.startswith(("body.", "body[")):
        # A name in the path may have spaces.
        path, rest = _path_and_rest(text.strip()[4:])
        steps_of(path)
        sign, value = _operation(rest or "exists")
        return Expectation("body", path, sign, _value(value) if path else value, written)
    raise ValueError(f"expected status, header, body or time, got {subject[:20]!r}")


def failure_of(expectation: Expectation, received: Received) -> str | None:
    """Return what is wrong, in one line; None if the expectation is met."""
    found = _found(expectation, received)
    if isinstance(found, _Nothing):
        return None if expectation.operator == "missing" else f"expected {expectation.text}, but {found}"
    if _is_met(expectation, found):
        return None
    return f"expected {expectation.text}, got {_shown(expectation, found)}"


def expects_status(expectations: Iterable[Expectation], status: int) -> bool:
    """Return whether expectations about the status are there, and a status meets them all."""
    received = Received(status, {}, "", 0.0)
    about = [each for each in expectations if each.subject == "status"]
    return bool(about) and all(failure_of(each, received) is None for each in about)


def _status(rest: str, written: str) -> Expectation:
    words = rest.split()
    if words[:1] == ["=="] and len(words) == 2:
        words = words[1:]
    if words and all(map(_STATUS.fullmatch, words)):
        return Expectation("status", "", "in", [word.lower() for word in words], written)
    sign, value = _operation(rest)
    if sign in ("contains", "exists", "missing") or not value.isdigit():
        raise ValueError("expected a status such as 200, 2xx or '< 400'")
    return Expectation("status", "", sign, int(value), written)


def _operation(text: str) -> tuple[str, str]:
    """Return operator and value of the rest of an expectation."""
    sign, _, value = text.partition(" ")
    value = value.strip()
    if sign not in OPERATORS:
        raise ValueError(f"expected one of {', '.join(OPERATORS)}, got {sign[:20]!r}")
    if bool(value) == (sign in ("exists", "missing")):
        raise ValueError(f"{sign!r} must {'not ' if value else ''}be followed by a value")
    return sign, value


def _path_and_rest(text: str) -> tuple[str, str]:
    """Return the path of `.$.a['b c'] == 1`, and what follows it."""
    quote = ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and text[at - 1 : at] == "[":
            quote = char
        elif char == " ":
            return _without_dot(text[:at]), text[at:].strip()
    return _without_dot(text), ""


def _without_dot(path: str) -> str:
    return path[1:] if path.startswith(".") else path


def _seconds(value: str, sign: str) -> float:
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)", value)
    if number is None or sign not in _COMPARE:
        raise ValueError("expected a time such as 'time < 500 ms' or 'time < 2 s'")
    return float(number[1]) / (1000 if number[2] == "ms" else 1)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _found(expectation: Expectation, received: Received) -> Any:
    """Return the value that is looked at, or why there is none."""
    subject, name = expectation.subject, expectation.name
    if subject == "status":
        return received.status
    if subject == "time":
        return received.seconds
    if subject == "header":
        return received.headers.get(name.lower(), _Nothing("there is no such header"))
    if not name:
        return received.body
    try:
        return find(json.loads(received.body), name)
    except LookupError as exc:
        return _Nothing(exc.args[0])
    except (ValueError, RecursionError):
        return _Nothing("the body is not JSON")


def _is_met(expectation: Expectation, found: Any) -> bool:
    sign, value = expectation.operator, expectation.value
    if sign in ("exists", "missing"):
        return sign == "exists"
    if sign == "in":
        return str(found) in value or f"{str(found)[:1]}xx" in value
    if sign == "contains":
        if isinstance(found, list):
            return any(_equal(each, value) for each in found)
        if isinstance(found, dict):
            return value in found if isinstance(value, str) else False
        return isinstance(found, str) and (value if isinstance(value, str) else json.dumps(value)) in found
    if sign in ("==", "!="):
        return _equal(found, value) == (sign == "==")
    return _ordered(_COMPARE[sign], found, value)


def _equal(found: Any, value: Any) -> bool:
    """Compare values of JSON: `true` is not 1, and text in the file may have no quotes."""
    if isinstance(found, str) and not isinstance(value, str):
        return False
    return bool(type(found) is bool) == bool(type(value) is bool) and bool(found == value)


def _ordered(compare: Callable[[Any, Any], bool], found: Any, value: Any) -> bool:
    if isinstance(found, str) and isinstance(value, str):
        try:
            return compare(float(found), float(value))  # of a header
        except ValueError:
            return compare(found, value)
    numbers = (int, float)
    return isinstance(found, numbers) and isinstance(value, numbers) and compare(found, value)


def _shown(expectation: Expectation, found: Any) -> str:
    """Return an excerpt of a value of the response, or "***"."""
    if expectation.subject == "time":
        return f"{found * 1000:.0f} ms"
    if expectation.subject == "header" and is_secret_field(expectation.name):
        return "***"
    if expectation.subject == "body":
        if any(isinstance(step, str) and looks_secret(step) for step in steps_of(expectation.name)):
            return "***"
        if isinstance(found, (dict, list)):
            return f"{'an object' if isinstance(found, dict) else 'a list'} with {len(found)} values"
        if not expectation.name:
            return f"a body of {len(found)} characters"
        return printable(json.dumps(found, ensure_ascii=False))
    return printable(str(found))
