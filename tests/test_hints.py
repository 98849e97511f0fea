"""Names of other libraries: the error that Python raises anyway, with a hint."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import httpx


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("ok", "is_success"),
        ("status", "status_code"),
        ("reason", "reason_phrase"),
        ("body", "content"),
        ("iter_content", "iter_bytes"),
    ],
)
def test_an_attribute_of_another_library_names_ours(name: str, instead: str):
    """Harm: who comes from requests writes `if response.ok`, and has to search for what it is called here."""
    response = httpx.Response(200)
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; did you mean `{instead}`"):
        getattr(response, name)
    assert not hasattr(response, name)
    assert not hasattr(httpx.Response, name)
    assert getattr(response, name, None) is None
    assert hasattr(httpx.Response, instead) or hasattr(response, instead)


def test_such_an_attribute_can_be_set_by_a_program_that_wants_it():
    class Mine(httpx.Response):
        ok = True

    assert Mine(200).ok
    response: Any = httpx.Response(200)
    response.ok = True
    assert response.ok


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("app", "ASGITransport"),
        ("retries", r"middleware=\[httpx.Retry\("),
        ("max_retries", "retries="),
        ("allow_redirects", "follow_redirects="),
        ("pool_limits", "limits="),
        ("ssl", "verify="),
    ],
)
def test_an_argument_of_another_library_names_ours(kind: Any, argument: str, words: str):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{argument}'; did you mean .*{words}"):
        kind(**{argument: 3})


@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_other_arguments_are_as_unexpected_as_ever(kind: Any):
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        kind(nonsense=3)
    assert "nonsense" not in inspect.signature(kind).parameters
    assert "base_url" in inspect.signature(kind).parameters


def test_a_subclass_may_have_an_argument_of_such_a_name():
    class Mine(httpx.Client):
        def __init__(self, retries: int) -> None:
            super().__init__()
            self.retries = retries

    with Mine(retries=3) as client:
        assert client.retries == 3


def test_a_tuple_of_timeouts_that_is_too_short_names_the_class():
    with pytest.raises(ValueError, match=r"did you mean httpx.Timeout\(10, connect=3\)"):
        httpx.Client(timeout=(3,))  # type: ignore[arg-type]
