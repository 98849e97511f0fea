"""
What `httpx.Retry` does, as a table: a request, what comes of each attempt, and how often it is sent.

    Scenario(name, script, result, pauses, method, settings, extensions, headers, total)

The script is that of `scripted`; it has to be played to its end. Chance is 0.5 throughout: a pause of 0.05 is half of
the first backoff, and Retry-After becomes 5 % more. What is generated is a rule for each member of a list (each status,
each method, each class of errors); what the outcome should be is written here, and not computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

STATUSES = (408, 425, 429, 500, 502, 503, 504)
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY")
UNSAFE = ("POST", "PATCH", "LOCK")
NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
BROKEN = ("ReadError", "WriteError", "CloseError", "ReadTimeout", "WriteTimeout", "RemoteProtocolError")
OWN_MISTAKES = ("LocalProtocolError", "UnsupportedProtocol", "DecodingError", "ResponseTooLarge", "TooManyRedirects")
FINE = (200, 201, 204, 206, 304, 400, 403, 404, 405, 409, 410, 412, 418, 422, 501, 505)


class Scenario(NamedTuple):
    """One row: `result` is a status or the name of an exception, `pauses` are the seconds before each retry."""

    name: str
    script: str
    result: str
    pauses: tuple[float, ...] = ()
    method: str = "GET"
    settings: Optional[dict[str, Any]] = None
    extensions: Optional[dict[str, Any]] = None
    headers: Optional[dict[str, str]] = None
    total: Optional[float] = None


def first_pause(status: int) -> float:
    """429 and 503 are waited for ten times as long."""
    return {429: 0.5, 503: 0.5}.get(status, 0.05)


def _what_is_repeated() -> Iterator[Scenario]:
    for status in STATUSES:
        pause = first_pause(status)
        yield Scenario(f"{status} and then a success", f"{status} 200", "200", (pause,))
        yield Scenario(f"{status} three times", f"{status} {status} {status}", str(status), (pause, 2 * pause))
        yield Scenario(f"{status} for a POST", str(status), str(status), (), "POST")
        yield Scenario(
            f"{status} for a POST with a key", f"{status} 201", "201", (pause,), "POST", {"idempotency_key": True}
        )
    for status in FINE:
        yield Scenario(f"{status} is a result", str(status), str(status))
    for method in SAFE:
        yield Scenario(f"{method} after a 500", "500 200", "200", (0.05,), method)
        yield Scenario(f"{method} after a broken connection", "ReadError 200", "200", (0.05,), method)
    for method in UNSAFE:
        yield Scenario(f"{method} after a broken connection", "ReadError", "ReadError", (), method)
        yield Scenario(f"{method} that never left", "ConnectError 200", "200", (0.05,), method)
        yield Scenario(
            f"{method} that is declared idempotent",
            "ReadError 502 200",
            "200",
            (0.05, 0.1),
            method,
            None,
            {"idempotent": True},
        )
    for error in NOT_SENT:
        for method in ("GET", "POST", "PATCH"):
            yield Scenario(f"{error} for {method}", f"{error} 200", "200", (0.05,), method)
        yield Scenario(f"{error} to the end", f"{error} {error} {error}", error, (0.05, 0.1), "POST")
        yield Scenario(f"{error} that is final", f"final:{error}", error)
    for error in BROKEN:
        yield Scenario(f"{error} for GET", f"{error} 200", "200", (0.05,))
        yield Scenario(f"{error} for POST", error, error, (), "POST")
        yield Scenario(
            f"{error} for POST with a key",
            f"{error} 200",
            "200",
            (0.05,),
            "POST",
            None,
            None,
            {"Idempotency-Key": '"k"'},
        )
        yield Scenario(f"{error} to the end", f"{error} {error} {error}", error, (0.05, 0.1))
    for error in OWN_MISTAKES:
        yield Scenario(f"{error} is not repeated", error, error)
        yield Scenario(f"{error} ends it", f"503 {error}", error, (0.5,))


def _bodies() -> Iterator[Scenario]:
    for error in ("ReadError", "ReadTimeout", "RemoteProtocolError"):
        yield Scenario(f"a body that breaks with {error}", f"200!{error} 200", "200", (0.05,))
        yield Scenario(
            f"a body that always breaks with {error}", f"200!{error} 200!{error} 200!{error}", error, (0.05, 0.1)
        )
        yield Scenario(f"a POST whose response breaks with {error}", f"200!{error}", error, (), "POST")
        yield Scenario(
            f"a POST with a key whose response breaks with {error}",
            f"200!{error} 200",
            "200",
            (0.05,),
            "POST",
            {"idempotency_key": True},
        )
        yield Scenario(f"a 404 whose body breaks with {error}", f"404!{error} 404", "404", (0.05,))
        yield Scenario(f"a 503 whose body breaks with {error}", f"503!{error} 200", "200", (0.5,))
    yield Scenario("a body that cannot be decoded", "200!DecodingError", "DecodingError")
    yield Scenario("the body of the last failure breaks", "503 503 503!ReadError", "ReadError", (0.5, 1.0))
    yield Scenario("a body that broke, then a status", "200!ReadError 503 200", "200", (0.05, 1.0))


def _waiting() -> Iterator[Scenario]:
    date = "Date=Mon,~01~Jan~2024~00:00:10~GMT"
    for status in STATUSES:
        yield Scenario(f"{status} with Retry-After", f"{status};Retry-After=20 200", "200", (21.0,))
    yield Scenario("Retry-After is a date", f"503;Retry-After=Mon,~01~Jan~2024~00:00:30~GMT;{date} 200", "200", (21.0,))
    yield Scenario(
        "Retry-After is an old form of a date",
        f"503;Retry-After=Monday,~01-Jan-24~00:00:30~GMT;{date} 200",
        "200",
        (21.0,),
    )
    yield Scenario(
        "Retry-After is a date of asctime", f"503;Retry-After=Mon~Jan~~1~00:00:30~2024;{date} 200", "200", (21.0,)
    )
    yield Scenario(
        "Retry-After has passed", f"503;Retry-After=Mon,~01~Jan~2024~00:00:00~GMT;{date} 200", "200", (0.05,)
    )
    yield Scenario(
        "Retry-After is a date without a Date", "503;Retry-After=Mon,~01~Jan~2024~00:00:30~GMT 200", "200", (0.5,)
    )
    yield Scenario("Retry-After: 0 leaves the backoff", "503;Retry-After=0 200", "200", (0.05,))
    yield Scenario("Retry-After is the least", "500;Retry-After=1 200", "200", (5.0,), settings={"backoff": 10.0})
    for malformed in ("soon", "-5", "1.5", "1e3", "0x10", "5~s", "5,6", "", "+5", "9" * 65):
        yield Scenario(f"Retry-After is {malformed[:9]!r}", f"503;Retry-After={malformed} 200", "200", (0.5,))
    yield Scenario("Retry-After is a minute", "503;Retry-After=60 200", "200", (63.0,))
    yield Scenario("Retry-After is longer than a minute", "503;Retry-After=61", "503")
    yield Scenario("Retry-After is enormous", f"503;Retry-After={'9' * 60}", "503")
    yield Scenario("Retry-After is longer than max_wait", "429;Retry-After=2", "429", (), settings={"max_wait": 1.0})
    yield Scenario(
        "Retry-After is as long as max_wait", "429;Retry-After=1 200", "200", (1.05,), settings={"max_wait": 1.0}
    )
    yield Scenario(
        "Retry-After is an hour, and that is fine",
        "429;Retry-After=3600 200",
        "200",
        (3780.0,),
        settings={"max_wait": 3600},
    )
    yield Scenario("pauses double", "500 500 500 500 200", "200", (0.05, 0.1, 0.2, 0.4), settings={"attempts": 5})
    yield Scenario(
        "pauses double up to the longest",
        "500 500 500 500 200",
        "200",
        (0.5, 1.0, 1.5, 1.5),
        settings={"attempts": 5, "backoff": 1, "max_backoff": 3},
    )
    yield Scenario("no backoff", "503 500 200", "200", (0.0, 0.0), settings={"backoff": 0})
    yield Scenario("429 and 503 begin at a second", "429 503 200", "200", (0.5, 1.0))
    yield Scenario(
        "pauses of different failures", "500 503 ReadError 200", "200", (0.05, 1.0, 0.2), settings={"attempts": 4}
    )


def _deadlines() -> Iterator[Scenario]:
    yield Scenario("the pause fits", "503 200", "200", (0.5,), total=10)
    yield Scenario("the pause does not fit", "503;Retry-After=11", "503", (), total=10)
    yield Scenario("the pause does not fit what is left", "503@5 503;Retry-After=5@0", "503", (0.5,), total=10)
    yield Scenario(
        "no time is left for an error", "ConnectError@4 ConnectError@5.96", "ConnectError", (0.05,), total=10
    )
    yield Scenario("a pause that ends after the deadline", "500@9.96", "500", (), total=10)
    yield Scenario("a pause that ends just before", "500@9.94 200", "200", (0.05,), total=10)


def _settings() -> Iterator[Scenario]:
    for attempts in (1, 2, 4, 7):
        script = " ".join(["500"] * attempts)
        pauses = tuple(0.05 * 2**number for number in range(attempts - 1))
        yield Scenario(f"{attempts} attempts", script, "500", pauses, settings={"attempts": attempts})
    yield Scenario("other statuses", "404 418 200", "200", (0.05, 0.1), settings={"statuses": [404, 418]})
    yield Scenario("other statuses, and not these", "503", "503", (), settings={"statuses": [404]})
    yield Scenario("no statuses", "503", "503", (), settings={"statuses": ()})
    yield Scenario("no statuses, and an error", "ReadError 200", "200", (0.05,), settings={"statuses": ()})
    yield Scenario("other methods", "503 200", "200", (0.5,), "POST", {"methods": ["post"]})
    yield Scenario("other methods, and not this", "503", "503", (), "GET", {"methods": ["POST"]})
    yield Scenario("no methods", "ConnectError 503", "503", (0.05,), "GET", {"methods": ()})
    yield Scenario("a budget of nothing", "503", "503", (), settings={"budget": 0})
    yield Scenario("a budget of one", "500 500", "500", (0.05,), settings={"budget": 1})
    yield Scenario("a budget of one for two of 503", "503 503 503", "503", (0.5, 1.0), settings={"budget": 1})
    yield Scenario("no budget", "500 500 200", "200", (0.05, 0.1), settings={"budget": None})
    yield Scenario("not this request", "503", "503", (), extensions={"retry": False})
    yield Scenario("this request, too", "503 200", "200", (0.5,), extensions={"retry": True})
    yield Scenario("a GET that is not idempotent", "503", "503", (), extensions={"idempotent": False})
    yield Scenario(
        "a GET that is not idempotent and never left",
        "ConnectError 200",
        "200",
        (0.05,),
        extensions={"idempotent": False},
    )
    yield Scenario("409 with a key", "409 200", "200", (0.05,), "POST", {"idempotency_key": True})
    yield Scenario("409 with a key, twice", "409 409", "409", (0.05,), "POST", {"idempotency_key": True})
    yield Scenario("409 with a key, then a 500", "409 500 200", "200", (0.05, 0.1), "POST", {"idempotency_key": True})
    yield Scenario(
        "409 with a key and Retry-After", "409;Retry-After=2 200", "200", (2.1,), "POST", {"idempotency_key": True}
    )
    yield Scenario(
        "409 with the caller's key", "409 200", "200", (0.05,), "POST", None, None, {"Idempotency-Key": '"mine"'}
    )
    yield Scenario("409 without a key", "409", "409", (), "POST")
    yield Scenario("409 of a GET", "409", "409", (), "GET", {"idempotency_key": True})
    yield Scenario("a key in another field", "503 200", "200", (0.5,), "POST", {"idempotency_key": "X-Request-Key"})
    yield Scenario("a function makes no key", "503", "503", (), "POST", {"idempotency_key": lambda request: None})
    yield Scenario(
        "a function makes a key", "503 200", "200", (0.5,), "POST", {"idempotency_key": lambda request: "k1"}
    )
    yield Scenario(
        "`when` says yes",
        "404 404 200",
        "200",
        (0.05, 0.1),
        "POST",
        {"when": lambda request, outcome: outcome_is(outcome, 404)},
    )
    yield Scenario("`when` says no", "503", "503", (), "GET", {"when": lambda request, outcome: False})
    yield Scenario(
        "`when` says no to an error",
        "ConnectError",
        "ConnectError",
        (),
        "GET",
        {"when": lambda request, outcome: False},
    )
    yield Scenario("`when` says nothing", "503 200", "200", (0.5,), "GET", {"when": lambda request, outcome: None})
    yield Scenario(
        "`when` says yes to the last", "200 200 200", "200", (0.05, 0.1), "GET", {"when": lambda request, outcome: True}
    )
    yield Scenario(
        "`when` says yes to a mistake",
        "LocalProtocolError 200",
        "200",
        (0.05,),
        "POST",
        {"when": lambda request, outcome: not outcome_is(outcome, 200)},
    )
    yield Scenario(
        "`when` says yes to what is final",
        "final:ConnectError 200",
        "200",
        (0.05,),
        "GET",
        {"when": lambda request, outcome: not outcome_is(outcome, 200)},
    )


def _mixed() -> Iterator[Scenario]:
    """Like the conformance tests for clients of Google's storage: a kind of operation, and a row of failures."""
    kinds: dict[str, dict[str, Any]] = {
        "always idempotent": {"method": "GET"},
        "idempotent with a condition": {"method": "POST", "extensions": {"idempotent": True}},
        "idempotent with a key": {"method": "POST", "settings": {"idempotency_key": True}},
        "conditional without its condition": {"method": "PATCH"},
        "never idempotent": {"method": "POST"},
    }
    for name, kind in kinds.items():
        repeats = name not in ("conditional without its condition", "never idempotent")
        rows = [
            ("503 503 200", "200", (0.5, 1.0)),
            ("RemoteProtocolError RemoteProtocolError 200", "200", (0.05, 0.1)),
            ("RemoteProtocolError 503 200", "200", (0.05, 1.0)),
            ("ReadTimeout 500 200", "200", (0.05, 0.1)),
            ("200!ReadError 200!RemoteProtocolError 200", "200", (0.05, 0.1)),
            ("503 400", "400", (0.5,)),
            ("RemoteProtocolError 401", "401", (0.05,)),
        ]
        for script, result, pauses in rows:
            if repeats:
                yield Scenario(f"{name}: {script}", script, result, pauses, **kind)
        for first in () if repeats else ("503", "500", "RemoteProtocolError", "ReadTimeout", "200!ReadError"):
            yield Scenario(f"{name}: {first}", first, first.rpartition("!")[2], (), **kind)
        yield Scenario(f"{name}: it never left", "ConnectError ConnectTimeout 200", "200", (0.05, 0.1), **kind)
        for status in (400, 401, 403, 404, 412):
            yield Scenario(f"{name}: {status}", str(status), str(status), (), **kind)


def outcome_is(outcome: Any, status: int) -> bool:
    """Whether an outcome is a response with this status."""
    return getattr(outcome, "status_code", None) == status


def _all() -> Iterator[Scenario]:
    for rows in (_what_is_repeated, _bodies, _waiting, _deadlines, _settings, _mixed):
        yield from rows()


SCENARIOS = list(_all())
