"""`# @expect`: what it means, and what a failure says."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli.expectations import Received, failure_of, parse
from support.linear import linear

BODY = {"id": 1, "name": "Ann", "ok": True, "nil": None, "list": [1, "two", {"a": 1}], "a b": 2, "token": "s3cret"}
RECEIVED = Received(
    201, {"content-type": "application/json", "x-id": "7", "set-cookie": "s3cret"}, json.dumps(BODY), 0.25
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "status 201",
            "status == 201",
            "status 200 201",
            "status 2xx",
            "status < 300",
            "status >= 201",
            "status != 200",
        ),
        *("header X-Id", "header X-Id exists", "header X-No missing", "header x-id == 7", "header X-Id < 10"),
        *("header X-Id != 8", "header Content-Type contains json", "header Content-Type > a"),
        *("body contains Ann", "body.$.id == 1", "body.$.id == 1.0", "body.id >= 1", 'body.$.name == "Ann"'),
        *("body.$.name == Ann", "body.$.ok == true", "body.$.nil == null", "body.$.nil exists", "body.$.no missing"),
        *(
            "body.$.list contains 1",
            "body.$.list contains two",
            'body.$.list contains {"a": 1}',
            "body.$.list[2].a == 1",
        ),
        *("body.$ contains id", "body.$['a b'] == 2", 'body["a b"] == 2', "body.$.name != Bob", "body.$.name < B"),
        *("body.$.id", "time < 500 ms", "time <= 0.25 s", "time > 10ms"),
        # What compares to nothing is not met, and its negation is.
        *("body.$.ok != 1", "body.$.id != true", 'body.$.id != "1"', "body.$.name != 1"),
    ],
)
def test_it_is_met(text: str):
    assert failure_of(parse(text), RECEIVED) is None


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("status 200", ", got 201"),
        ("status 4xx 5xx", ", got 201"),
        ("status > 300", ", got 201"),
        ("header X-Id == 8", ", got 7"),
        ("header X-Id missing", ", got 7"),
        ("header X-No", ", but there is no such header"),
        ("header X-No == 1", ", but there is no such header"),
        ("header Set-Cookie == x", ", got ***"),
        ("body.$.id == 2", ", got 1"),
        ('body.$.id == "1"', ", got 1"),
        ("body.$.ok == 1", ", got true"),
        ("body.$.name == 5", ', got "Ann"'),
        ("body.$.name < 5", ', got "Ann"'),
        ("body.$.token == x", ", got ***"),
        ("body.$.list == 1", ", got a list with 3 values"),
        ("body.$ contains 5", ", got an object with 7 values"),
        ("body.$.id contains 1", ", got 1"),
        ("body.$.no == 1", ", but there is no member 'no' of '$.no'"),
        ("body contains Bob", f", got a body of {len(RECEIVED.body)} characters"),
        ("time < 10 ms", ", got 250 ms"),
    ],
)
def test_a_failure_says_what_came(text: str, end: str):
    assert failure_of(parse(text), RECEIVED) == f"expected {text}{end}"


def test_a_failure_has_an_excerpt_only_and_the_variables_as_written():
    long = RECEIVED._replace(body=json.dumps({"a": "x\x1b" * 50}))
    failure = failure_of(parse("body.$.a == secret-1", "body.$.a == {{key}}"), long)
    assert failure is not None
    assert failure.startswith("expected body.$.a == {{key}}, got ")
    assert len(failure) < 80
    assert "\x1b" not in failure


def test_a_body_that_is_not_json_has_no_values():
    assert failure_of(parse("body.$.a == 1"), RECEIVED._replace(body="<a>")) == (
        "expected body.$.a == 1, but the body is not JSON"
    )
    assert failure_of(parse("body.$.a missing"), RECEIVED._replace(body="[" * 100_000)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected status, header, body or time, got ''"),
        ("bodies x", "expected status, header, body or time, got 'bodies'"),
        ("status", "expected one of ==, !=,"),
        ("status ok", "expected one of"),
        ("status contains 2", "expected a status such as 200, 2xx or '< 400'"),
        ("status < x", "expected a status"),
        ("header", "expected the name of a header"),
        ("header X-A is 1", "expected one of ==, !=, <, <=, >, >=, contains, exists, missing, got 'is'"),
        ("header X-A ==", "'==' must be followed by a value"),
        ("header X-A exists 1", "'exists' must not be followed by a value"),
        ("body.$..a == 1", "is not a path to one value"),
        ("time < 5", "expected a time such as"),
        ("time == 5 s", "expected a time such as"),
    ],
)
def test_what_is_no_expectation_is_refused(text: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


_VALUES: Any = st.one_of(st.integers(-3, 3), st.booleans(), st.none(), st.text("ab", max_size=2))


@given(_VALUES, _VALUES)
def test_equality_is_that_of_json(found: Any, value: Any):
    failure: Optional[str] = failure_of(
        parse(f"body.$.a == {json.dumps(value)}"), RECEIVED._replace(body=json.dumps({"a": found}))
    )
    assert (failure is None) == (json.dumps(found) == json.dumps(value))


@given(st.text(max_size=30), st.sampled_from(["", "status ", "header ", "body.", "body['", "time < "]))
def test_any_text_is_parsed_or_refused(text: str, start: str):
    try:
        expectation = parse(start + text)
    except ValueError:
        return
    failure_of(expectation, RECEIVED)


@pytest.mark.parametrize("piece", ["status ", " ", "body.$", "body['", "1", ".a"])
def test_work_is_linear(piece: str):
    def prepare(size: int) -> Callable[[], object]:
        text = "body.$" + piece * (size // len(piece))

        def work() -> object:
            try:
                return failure_of(parse(text), RECEIVED)
            except ValueError:
                return None

        return work

    linear(prepare, 1 << 14, 1 << 16)
