from __future__ import annotations

import pickle
from http import HTTPStatus

import pytest

from httpx._status_codes import codes

PREDICATES = {
    codes.is_informational: range(100, 200),
    codes.is_success: range(200, 300),
    codes.is_redirect: range(300, 400),
    codes.is_client_error: range(400, 500),
    codes.is_server_error: range(500, 600),
    codes.is_error: range(400, 600),
}

# Phrases that differ from the standard library's, or that it names differently from one Python to the next.
PHRASES = {
    203: "Non-Authoritative Information",
    207: "Multi-Status",
    226: "IM Used",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
    425: "Too Early",
    451: "Unavailable For Legal Reasons",
    505: "HTTP Version Not Supported",
}


def test_a_code_is_its_number() -> None:
    number: int = codes.NOT_FOUND
    assert number == 404
    assert codes(404) is codes.NOT_FOUND
    assert isinstance(codes.OK, int)
    assert pickle.loads(pickle.dumps(codes.OK)) is codes.OK


def test_there_are_62_codes() -> None:
    assert len(codes) == 62
    assert len(set(codes)) == 62


@pytest.mark.parametrize("text", [str(codes.OK), f"{codes.OK}", f"{codes.OK:d}", f"{codes.OK!s}"])
def test_a_code_prints_as_its_number_in_every_python(text: str) -> None:
    assert text == "200"
    assert f"{codes.OK:>5}" == "  200"
    assert repr(codes.OK) == "<codes.OK: 200>"


def test_each_code_has_a_lower_case_alias() -> None:
    for code in codes:
        alias = getattr(codes, code.name.lower())
        assert alias == code
        assert type(alias) is int


@pytest.mark.parametrize("code", list(codes))
def test_each_code_has_the_phrase_of_its_registration(code: codes) -> None:
    phrase = codes.get_reason_phrase(code)
    if code.value in PHRASES:
        assert phrase == PHRASES[code.value]
    else:
        assert phrase.lower() == HTTPStatus(code).phrase.lower()


@pytest.mark.parametrize("value", [0, 99, 299, 306, 419, 600, -1])
def test_an_unregistered_number_has_no_phrase(value: int) -> None:
    assert codes.get_reason_phrase(value) == ""
    with pytest.raises(ValueError):
        codes(value)


def test_the_first_digit_tells_the_class_also_of_unregistered_numbers() -> None:
    for predicate, numbers in PREDICATES.items():
        assert [value for value in range(-600, 1000) if predicate(value)] == list(numbers)


def test_the_predicates_can_be_asked_of_a_member_too() -> None:
    assert codes.OK.is_success(codes.OK)
    assert not codes.OK.is_error(codes.OK)


def test_names_of_rfc_9110_are_aliases() -> None:
    assert codes.CONTENT_TOO_LARGE is codes.REQUEST_ENTITY_TOO_LARGE
    assert codes.URI_TOO_LONG is codes.REQUEST_URI_TOO_LONG
    assert codes.RANGE_NOT_SATISFIABLE is codes.REQUESTED_RANGE_NOT_SATISFIABLE
    assert codes.UNPROCESSABLE_CONTENT is codes.UNPROCESSABLE_ENTITY
    assert (codes.content_too_large, codes.unprocessable_content) == (413, 422)
    assert codes.CONTENT_TOO_LARGE.name == "REQUEST_ENTITY_TOO_LARGE"
