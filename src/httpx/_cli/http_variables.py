"""
Expand the variables of `.http` files.

    Scope(...).expand("{{host}}/users/{{login.response.body.$.id}}", line=3)      "http://localhost/users/7"

A name is looked up in the values of the command line, in the file (the last definition above the end of the request,
else one below), then in the environment. Values may have variables again. Other forms:

    {{name.response.body.$.id}}       of a response that a request of that name got; also .request., .headers.X, .status
    {{$uuid}}, {{$timestamp -1 d}}    computed; see `_SYSTEM`
    {{$processEnv NAME}}              a variable of this process; {{$dotenv NAME}} of the file `.env`

The result is bounded, so that variables that refer to each other cannot fill the memory. Clock, chance, and environment
come from outside. Messages have names of variables, never values, which may be secret.
"""

from __future__ import annotations

import json
import random
import re
import string
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from .http_file import HttpFileError, Variable
from .json_path import find

# Characters of an expanded text.
MAX_LENGTH = 16 << 20
MAX_DEPTH = 50

_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_REFERENCE = re.compile(r"([^.\s]+)\.(request|response)\.(.+)", re.S)
_CALL = re.compile(r"\$random\.(\w{1,20})(?:\(([^()]{0,40})\))?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNITS_HELP = "expected a number and a unit: ms, s, m, h, d, w, M or y"
# Of the format of {{$datetime}}.
_TOKENS = re.compile(r"YYYY|MM|DD|HH|mm|ss|SSS|Z")


class Exchange(NamedTuple):
    """
    What was sent and received, for later requests.

    Attributes:
        status: of the response.
        headers: of the response; names in lower case.
        body: of the response, as text.
        sent_headers, sent_body: of the request.
    """

    status: int
    headers: Mapping[str, str]
    body: str
    sent_headers: Mapping[str, str]
    sent_body: str


class World(NamedTuple):
    """
    What is outside of the file.

    Attributes:
        now: seconds since 1970.
        offset: of local time, in seconds.
        chance: makes random values.
        environ: the variables of this process.
        dotenv: returns those of the file `.env`.
        exchange: returns what a request of this name sent and received; it may send it first.
    """

    now: Callable[[], float]
    offset: Callable[[float], float]
    chance: random.Random
    environ: Mapping[str, str]
    dotenv: Callable[[], Mapping[str, str]]
    exchange: Callable[[str], Exchange]


class Scope:
    """
    The variables that a request sees.

    Args:
        name: of the file, for messages.
        variables: of the file.
        given: of the command line.
        environment: name -> value, of the environment file.
        world: what is outside.
        hint: for the message about an unknown variable.
    """

    def __init__(
        self,
        name: str,
        variables: tuple[Variable, ...],
        given: Mapping[str, str],
        environment: Mapping[str, str],
        world: World,
        hint: str = "",
    ) -> None:
        self._name = name
        self._variables: dict[str, list[Variable]] = {}
        for variable in variables:
            self._variables.setdefault(variable.name, []).append(variable)
        self._given = given
        self._environment = environment
        self._world = world
        self._hint = hint
        # A variable has one value in a run, also one with a random value.
        self._known: dict[tuple[str, str], str] = {}
        self._depth = 0

    def expand(self, text: str, line: int, end: int | None = None) -> str:
        """
        Return text with its variables replaced.

        Args:
            text: with `{{name}}` in it.
            line: for messages.
            end: the last line of the request; definitions below count only if there are none above.

        Raises:
            HttpFileError: a variable is unknown or has no value, or the result is too long.
        """
        out: list[str] = []
        at = length = 0
        for match in _PLACE.finditer(text):
            value = self._value(match[1].strip(), line, line if end is None else end)
            out += [text[at : match.start()], value]
            length += match.start() - at + len(value)
            at = match.end()
            if length > MAX_LENGTH:
                raise self._fail(f"the text is longer than {MAX_LENGTH >> 20} MiB with its variables", line)
        return "".join([*out, text[at:]])

    def _fail(self, message: str, line: int) -> HttpFileError:
        return HttpFileError(f"{self._name}:{line}: {message}")

    def _value(self, name: str, line: int, end: int) -> str:
        if name in self._given:
            return self._given[name]
        if name in self._variables:
            return self._of_file(name, line, end)
        if name in self._environment:
            return self._once(Variable(name, self._environment[name], line), line, end)
        try:
            if name.startswith("$"):
                return _system(name, self._world, lambda inner: self._value(inner, line, end))
            reference = _REFERENCE.fullmatch(name)
            if reference is not None:
                return _referred(reference[2], reference[3], self._world.exchange(reference[1]))
        except (LookupError, ValueError) as exc:
            if isinstance(exc, HttpFileError):
                raise
            raise self._fail(f"'{{{{{name[:60]}}}}}': {exc.args[0] if exc.args else exc}", line) from None
        raise self._fail(f"the variable {name[:60]!r} is not defined{self._hint}", line)

    def _of_file(self, name: str, line: int, end: int) -> str:
        defined = self._variables[name]
        variable = next((each for each in reversed(defined) if each.line <= end), defined[0])
        return self._once(variable, variable.line, end)

    def _once(self, variable: Variable, line: int, end: int) -> str:
        """Return the value of a variable, which is expanded once in a run."""
        key = (variable.name, variable.value)
        if key not in self._known:
            self._known[key] = self._deeper(variable.name, variable.value, line, end)
        return self._known[key]

    def _deeper(self, name: str, text: str, line: int, end: int) -> str:
        """Expand the value of a variable."""
        if "{{" not in text:
            return text
        if self._depth == MAX_DEPTH:
            raise self._fail(f"the variable {name[:60]!r} refers to itself, or too many others to each other", line)
        self._depth += 1
        try:
            return self.expand(text, line, end)
        finally:
            self._depth -= 1


def referenced(text: str) -> list[str]:
    """Return the names of the requests whose responses a text needs."""
    found = (_REFERENCE.fullmatch(match[1].strip()) for match in _PLACE.finditer(text))
    return [match[1] for match in found if match is not None]


def _referred(side: str, what: str, exchange: Exchange) -> str:
    """Return the part of a request or response that `headers.X`, `body.$.a` or `status` names."""
    is_response = side == "response"
    kind, dot, rest = what.partition(".")
    if kind == "status" and is_response and not dot:
        return str(exchange.status)
    if kind == "headers" and dot:
        fields = exchange.headers if is_response else exchange.sent_headers
        if rest.lower() not in fields:
            raise LookupError(f"the {side} has no header {rest[:40]!r}")
        return fields[rest.lower()]
    if kind != "body":
        raise ValueError("expected .response.body, .response.headers.NAME or .response.status")
    body = exchange.body if is_response else exchange.sent_body
    if not dot or rest == "*":
        return body
    if rest.startswith("/"):
        raise ValueError("XPath is not supported, only paths into JSON such as $.id")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise LookupError(f"the body of the {side} is not JSON") from None
    found = find(value, rest)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _system(name: str, world: World, value_of: Callable[[str], str]) -> str:
    """Return the value of a name that begins with "$"."""
    if name.startswith("$env."):
        return _from_environment(world.environ, name[5:])
    word, _, argument = name.partition(" ")
    if word.startswith("$random."):
        return _random(name, world.chance)
    if word not in _SYSTEM:
        raise ValueError(f"expected one of {', '.join(_SYSTEM)}, $random.*, $env.NAME")
    argument = argument.strip()
    if word in ("$processEnv", "$dotenv"):
        # `%name`: the name is the value of a variable.
        argument = value_of(argument[1:]) if argument.startswith("%") else argument
    return _SYSTEM[word](argument, world)


def _from_environment(values: Mapping[str, str], name: str) -> str:
    if name not in values:
        raise LookupError(f"{name[:60]!r} is not set")
    return values[name]


def _uuid(argument: str, world: World) -> str:
    return str(uuid.UUID(int=world.chance.getrandbits(128), version=4))


def _random_int(argument: str, world: World) -> str:
    """An integer from 0 to 1000, or in the given range without its end."""
    bounds = argument.split()
    least, most = (int(bounds[0]), int(bounds[1])) if len(bounds) == 2 else (0, 1001)
    if len(bounds) not in (0, 2) or least >= most:
        raise ValueError("expected two integers, the smaller first")
    return str(world.chance.randrange(least, most))


def _random(name: str, chance: random.Random) -> str:
    """`$random.integer(1, 5)` and the like, as in JetBrains' client."""
    match = _CALL.fullmatch(name)
    kind, arguments = (match[1], match[2]) if match is not None else ("", None)
    numbers = [int(word) for word in (arguments or "").split(",") if word.strip()]
    letters = {
        "alphabetic": string.ascii_letters,
        "alphanumeric": string.ascii_letters + string.digits,
        "hexadecimal": "0123456789abcdef",
    }
    if kind == "uuid":
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))
    if kind == "email":
        return "".join(chance.choices(string.ascii_lowercase, k=10)) + "@example.com"
    if kind == "integer" and len(numbers) in (0, 2):
        least, most = numbers or (0, 1000)
        return str(chance.randrange(least, most))
    if kind == "float" and len(numbers) in (0, 2):
        least, most = numbers or (0, 1000)
        return str(chance.uniform(least, most))
    if kind in letters and len(numbers) == 1 and 0 < numbers[0] <= 10_000:
        return "".join(chance.choices(letters[kind], k=numbers[0]))
    raise ValueError(
        "expected $random.uuid, .email, .integer(from, to), .float(from, to), .alphabetic(length), "
        ".alphanumeric(length) or .hexadecimal(length)"
    )


def _moment(words: list[str], world: World) -> datetime:
    """The time now, moved by an offset such as `-1 d`."""
    moment = datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=world.now())
    if not words:
        return moment
    if len(words) != 2 or not re.fullmatch(r"[+-]?\d{1,9}", words[0]):
        raise ValueError(_UNITS_HELP)
    number, unit = int(words[0]), words[1]
    try:
        if unit in ("M", "y"):
            months = moment.year * 12 + moment.month - 1 + number * (12 if unit == "y" else 1)
            first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
            last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            return first.replace(day=min(moment.day, last.day))
        return moment + timedelta(seconds=number * _UNITS[unit])
    except (KeyError, OverflowError, ValueError):
        raise ValueError(_UNITS_HELP) from None


def _timestamp(argument: str, world: World) -> str:
    return str(int(_moment(argument.split(), world).timestamp()))


def _datetime(argument: str, world: World, local: bool = False) -> str:
    """Date and time by a format: iso8601, rfc1123, or one in quotes of YYYY MM DD HH mm ss SSS Z."""
    if argument[:1] in ("'", '"'):
        form, _, rest = argument[1:].partition(argument[0])
    else:
        form, _, rest = argument.partition(" ")
    moment = _moment(rest.split(), world)
    if local:
        moment = moment.astimezone(timezone(timedelta(seconds=world.offset(moment.timestamp()))))
    if form in ("iso8601", ""):
        text = moment.isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z") if not local else text
    if form == "rfc1123":
        from email.utils import format_datetime

        return format_datetime(moment, usegmt=not local)
    return _TOKENS.sub(lambda match: _date_part(match[0], moment), form)


def _date_part(token: str, moment: datetime) -> str:
    if token == "SSS":
        return f"{moment.microsecond // 1000:03}"
    if token == "Z":
        offset = moment.strftime("%z")
        return f"{offset[:3]}:{offset[3:]}"
    if token == "YYYY":
        return f"{moment.year:04}"
    return moment.strftime({"MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}[token])


_SYSTEM: dict[str, Callable[[str, World], str]] = {
    "$uuid": _uuid,
    "$guid": _uuid,
    "$timestamp": _timestamp,
    "$isoTimestamp": lambda argument, world: _datetime("iso8601", world),
    "$datetime": _datetime,
    "$localDatetime": lambda argument, world: _datetime(argument, world, local=True),
    "$randomInt": _random_int,
    "$processEnv": lambda argument, world: _from_environment(world.environ, argument),
    "$dotenv": lambda argument, world: _from_environment(world.dotenv(), argument),
}


def environment_of(name: str, *files: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the variables of an environment; those of later files win.

    Args:
        name: of the environment.
        files: the content of `http-client.env.json` and of the private one. "$shared" is part of every environment.

    Raises:
        LookupError: no file has this environment.
        ValueError: an environment is not an object.
    """
    if not any(name in file for file in files):
        known = sorted({each for file in files for each in file if each != "$shared"})
        there = f"expected one of {', '.join(known)}" if known else "there are none beside the file"
        raise LookupError(f"the environment {name[:40]!r} is not known: {there}")
    out: dict[str, str] = {}
    for key in ("$shared", name):
        for file in files:
            values = file.get(key, {})
            if not isinstance(values, dict):
                raise ValueError(f"the environment {key[:40]!r} must be an object")
            for each, value in values.items():
                out[each] = value if isinstance(value, str) else json.dumps(value)
    return out


def dotenv(text: str) -> dict[str, str]:
    """Return the variables of a file `.env`: lines NAME=VALUE, also in quotes and after `export`."""
    out: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        name = name.strip()
        name = name[7:].strip() if name.startswith("export ") else name
        if not equals or not name or name.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in ("'", '"') and value.find(value[0], 1) > 0:
            value = value[1 : value.find(value[0], 1)]
        else:
            value = value.partition(" #")[0].rstrip()
        out[name] = value
    return out
