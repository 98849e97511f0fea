"""Variables of `.http` files: where their values come from, and that they stay bounded."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Mapping
from typing import Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._cli import http_variables
from httpx._cli.http_file import HttpFileError, Variable
from httpx._cli.http_variables import Exchange, Scope, World, dotenv, environment_of, referenced
from support.linear import linear

NOW = 1_700_000_000.25  # 2023-11-14 22:13:20 UTC
EXCHANGE = Exchange(
    201, {"x-id": "7"}, '{"token": "abc", "list": [1, {"a": "é"}]}', {"accept": "*/*"}, '{"sent": true}'
)


def exchange(name: str) -> Exchange:
    if name != "login":
        raise LookupError(f"there is no request {name!r}")
    return EXCHANGE


def scope(
    *variables: tuple[str, str, int],
    given: Optional[Mapping[str, str]] = None,
    environment: Optional[Mapping[str, str]] = None,
    hint: str = "",
) -> Scope:
    world = World(
        lambda: NOW,
        lambda seconds: 7200.0,
        random.Random(1),
        {"HOME": "/home/ann", "KEY": "secret"},
        lambda: {"D": "dot"},
        exchange,
    )
    defined = tuple(Variable(*variable) for variable in variables)
    return Scope("f.http", defined, given or {}, environment or {}, world, hint)


def expand(text: str, *variables: tuple[str, str, int]) -> str:
    return scope(*variables).expand(text, 9)


def test_text_without_variables_is_unchanged():
    for text in ("", "a", "{a}", "{{", "}}", "{{a", "a}}", "{{{}}}", "{ {a} }"):
        assert scope(given={"": "x"}).expand(text, 1) == text.replace("{{}}", "x")


def test_variables_refer_to_each_other():
    assert expand("{{ a }}/{{b}}", ("a", "1{{b}}", 1), ("b", "2", 3)) == "12/2"


def test_the_command_line_wins_then_the_file_then_the_environment():
    found = scope(("b", "file", 1), ("c", "file", 1), given={"c": "{{x}}"}, environment={"a": "env {{b}}", "b": "env"})
    assert found.expand("{{a}} {{b}} {{c}}", 1) == "env file file {{x}}"


def test_the_last_definition_above_counts_and_one_below_if_there_is_none():
    found = scope(("a", "1", 1), ("a", "2", 5), ("b", "3", 9))
    assert [found.expand("{{a}}{{b}}", 2, end) for end in (2, 5, 20)] == ["13", "23", "23"]


def test_a_random_value_of_a_variable_stays_the_same():
    found = scope(("id", "{{$uuid}}", 1))
    assert found.expand("{{id}}", 1) == found.expand("{{id}}", 1)
    assert found.expand("{{$uuid}}", 1) != found.expand("{{$uuid}}", 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("login.response.body.$.token", "abc"),
        ("login.response.body.token", "abc"),
        ("login.response.body.$.list[1].a", "é"),
        ("login.response.body.$.list", '[1, {"a": "é"}]'),
        ("login.response.body.*", EXCHANGE.body),
        ("login.response.body", EXCHANGE.body),
        ("login.response.headers.X-Id", "7"),
        ("login.response.status", "201"),
        ("login.request.headers.Accept", "*/*"),
        ("login.request.body.$.sent", "true"),
        ("$timestamp", "1700000000"),
        ("$timestamp -1 d", "1699913600"),
        ("$timestamp 500 ms", "1700000000"),
        ("$timestamp 1 M", "1702592000"),
        ("$timestamp -1 y", "1668464000"),
        ("$isoTimestamp", "2023-11-14T22:13:20.250Z"),
        ("$datetime iso8601", "2023-11-14T22:13:20.250Z"),
        ("$datetime rfc1123 1 h", "Tue, 14 Nov 2023 23:13:20 GMT"),
        ("$datetime 'YYYY-MM-DD HH:mm:ss.SSS Z' 1 m", "2023-11-14 22:14:20.250 +00:00"),
        ("$localDatetime iso8601", "2023-11-15T00:13:20.250+02:00"),
        ("$localDatetime rfc1123", "Wed, 15 Nov 2023 00:13:20 +0200"),
        ("$localDatetime 'Z'", "+02:00"),
        ("$processEnv HOME", "/home/ann"),
        ("$processEnv %which", "/home/ann"),
        ("$env.HOME", "/home/ann"),
        ("$dotenv D", "dot"),
        ("$dotenv %d", "dot"),
    ],
)
def test_a_name_has_a_value(name: str, value: str):
    assert expand("{{" + name + "}}", ("which", "HOME", 1), ("d", "D", 1)) == value


def test_the_end_of_a_month_is_no_day_of_the_next():
    world = World(lambda: 1706659200.0, lambda seconds: 0.0, random.Random(1), {}, dict, exchange)  # 2024-01-31
    assert Scope("f", (), {}, {}, world).expand("{{$datetime 'YYYY-MM-DD' 1 M}}", 1) == "2024-02-29"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("$guid", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("$random.uuid", r"[0-9a-f-]{36}"),
        ("$randomInt", r"\d{1,4}"),
        ("$randomInt -3 -2", "-3"),
        ("$random.integer(5, 6)", "5"),
        ("$random.integer", r"\d{1,3}"),
        ("$random.float(1, 2)", r"1\.\d+"),
        ("$random.alphabetic(8)", "[A-Za-z]{8}"),
        ("$random.alphanumeric(8)", r"[A-Za-z0-9]{8}"),
        ("$random.hexadecimal(8)", "[0-9a-f]{8}"),
        ("$random.email", r"[a-z]{10}@example\.com"),
    ],
)
def test_a_random_value_has_its_form(name: str, pattern: str):
    for _ in range(20):
        value = expand("{{" + name + "}}")
        assert re.fullmatch(pattern, value)
        if "uid" in name:
            assert uuid.UUID(value).version == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x", "the variable 'x' is not defined; --env NAME uses an environment"),
        ("other.response.status", "there is no request 'other'"),
        ("login.response.headers.X-No", "the response has no header 'X-No'"),
        ("login.response.body.$.no", "there is no member 'no'"),
        ("login.response.body.$..a", "is not a path to one value"),
        ("login.response.body.//a", "XPath is not supported"),
        ("login.response.size", "expected .response.body, .response.headers.NAME or .response.status"),
        ("login.request.status", "expected .response.body"),
        ("$unknown", "expected one of $uuid, $guid,"),
        ("$processEnv NO", "'NO' is not set"),
        ("$env.NO", "'NO' is not set"),
        ("$dotenv NO", "'NO' is not set"),
        ("$processEnv %no", "the variable 'no' is not defined"),
        ("$timestamp 1", "expected a number and a unit"),
        ("$timestamp 1 q", "expected a number and a unit"),
        ("$timestamp 999999999 y", "expected a number and a unit"),
        ("$timestamp 999999999 w", "expected a number and a unit"),
        ("$randomInt 5 5", "expected two integers, the smaller first"),
        ("$randomInt 5", "expected two integers, the smaller first"),
        ("$random.word", "expected $random.uuid"),
        ("$random.alphabetic(99999)", "expected $random.uuid"),
    ],
)
def test_an_error_names_variable_and_line(name: str, message: str):
    with pytest.raises(HttpFileError, match=re.escape(message)) as caught:
        scope(hint="; --env NAME uses an environment").expand("{{" + name + "}}", 9)
    assert str(caught.value).startswith("f.http:9: ")
    assert "secret" not in str(caught.value)


def test_a_body_that_is_not_json_has_no_values():
    world = World(
        lambda: 0.0, lambda seconds: 0.0, random.Random(1), {}, dict, lambda name: EXCHANGE._replace(body="<a>")
    )
    with pytest.raises(HttpFileError, match="the body of the response is not JSON"):
        Scope("f", (), {}, {}, world).expand("{{x.response.body.$.a}}", 1)


@pytest.mark.parametrize("count", [1, 2])
def test_variables_that_refer_to_themselves_are_refused(count: int):
    for found in (
        scope(("a", "{{b}}" * count, 1), ("b", "{{a}}" * count, 2)),
        scope(environment={"a": "{{a}}" * count}),
    ):
        with pytest.raises(HttpFileError, match="refers to itself"):
            found.expand("{{a}}", 3)


def test_variables_that_double_each_other_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """40 lines would fill 1 TiB, or take as long with empty values."""
    monkeypatch.setattr(http_variables, "MAX_LENGTH", 1 << 16)
    names = {f"a{number}": f"{{{{a{number - 1}}}}}" * 2 for number in range(1, 41)}
    for first in ("x", ""):
        values = {**names, "a0": first}
        for found in (scope(*((name, value, 1) for name, value in values.items())), scope(environment=values)):
            if first:
                with pytest.raises(HttpFileError, match="longer than"):
                    found.expand("{{a40}}", 1)
            else:
                assert found.expand("{{a40}}", 1) == ""


@given(
    st.lists(st.one_of(st.sampled_from(["{{a}}", "{{ b }}", "{", "}", "{{"]), st.text("ab{} ", max_size=3))).map(
        "".join
    )
)
def test_expansion_is_replacement(text: str):
    """The oracle replaces one place after the other, from the left."""
    values = {"a": "1", "b": "}}{{"}
    expected, rest = "", text
    while True:
        places = [(match.start(), match) for match in re.finditer(r"\{\{[^{}]*\}\}", rest)]
        if not places:
            break
        at, match = places[0]
        name = match[0][2:-2].strip()
        if name not in values:
            with pytest.raises(HttpFileError):
                scope(given=values).expand(text, 1)
            return
        expected += rest[:at] + values[name]
        rest = rest[match.end() :]
    assert scope(given=values).expand(text, 1) == expected + rest


@pytest.mark.parametrize("piece", ["{{", "{{a}}", "{", "{{a ", "}}"])
def test_work_is_linear(piece: str):
    def prepare(size: int) -> Callable[[], object]:
        text = piece * (size // len(piece))
        found = scope(given={"a": ""})
        return lambda: found.expand(text, 1)

    linear(prepare, 1 << 14, 1 << 16)


def test_the_requests_that_a_text_needs_are_known():
    assert referenced("{{a}} {{login.response.body.$.x}} {{b.request.headers.Y}} {{$uuid}}") == ["login", "b"]


def test_an_environment_is_merged_from_the_files():
    public = {"$shared": {"s": "1", "a": "0"}, "dev": {"a": "1", "b": 2}, "prod": {}}
    private = {"dev": {"a": "3", "c": True}}
    assert environment_of("dev", public, private) == {"s": "1", "a": "3", "b": "2", "c": "true"}
    assert environment_of("prod", public, private) == {"s": "1", "a": "0"}
    with pytest.raises(LookupError, match="expected one of dev, prod"):
        environment_of("test", public, private)
    with pytest.raises(LookupError, match="there are none"):
        environment_of("test", {})
    with pytest.raises(ValueError, match="'dev' must be an object"):
        environment_of("dev", {"dev": []})


def test_a_dotenv_file_has_names_and_values():
    text = "# x=1\nA=1\n export B = two # comment\nC='a # b'\nD=\"q\" x\nE=\n=f\ng\nH='open\n"
    assert dotenv(text) == {"A": "1", "B": "two", "C": "a # b", "D": "q", "E": "", "H": "'open"}
