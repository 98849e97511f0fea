from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpx._exceptions import LocalProtocolError
from httpx._headers import _ASKED, _SENT, Headers

RAW = [(b"A", b"1"), (b"b", b"2"), (b"a", b"3"), (b"C", b"4")]


@pytest.fixture
def headers() -> Headers:
    return Headers(RAW)


# -- making


@pytest.mark.parametrize(
    "source",
    [
        {"Accept": "x", "b": "y"},
        {b"Accept": b"x", b"b": b"y"},
        {"Accept": b"x", b"b": "y"},
        [("Accept", "x"), ("b", "y")],
        [["Accept", "x"], ["b", "y"]],
        ((b"Accept", b"x"), (b"b", b"y")),
        iter([("Accept", "x"), ("b", "y")]),
        Headers({"Accept": "x", "b": "y"}),
    ],
)
def test_headers_are_made_from_mappings_and_pairs_of_text_and_bytes(source: Any) -> None:
    headers = Headers(source)
    assert headers.raw == [(b"Accept", b"x"), (b"b", b"y")]
    assert dict(headers) == {"accept": "x", "b": "y"}


def test_headers_of_nothing_are_empty_and_false() -> None:
    assert Headers().raw == Headers(None).raw == []
    assert not Headers()
    assert Headers({"": ""}).raw == [(b"", b"")]


@pytest.mark.parametrize("value", [None, 1, True, 1.5, ["x"], bytearray(b"x"), memoryview(b"x")])
def test_a_value_that_is_no_text_is_a_type_error_that_names_the_header(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^header 'X-A' must be str or bytes, got "):
        Headers({"X-A": value})
    with pytest.raises(TypeError, match=r"^header 'X-A' must be str or bytes, got "):
        Headers()["X-A"] = value


@pytest.mark.parametrize("name", [None, 1, ("a",)])
def test_a_name_that_is_no_text_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match=r"^header name .* must be str or bytes, got "):
        Headers([(name, "x")])
    with pytest.raises(TypeError, match=r"^header name .* must be str or bytes, got "):
        Headers()[name] = "x"


@pytest.mark.parametrize("source", [5, "abc", [("a",)], [("a", "b", "c")], [1]])
def test_what_is_no_collection_of_pairs_is_refused(source: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Headers(source)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x-a", "123\r\nX-Evil: 1", "header 'x-a' contains a newline at position 3"),
        ("x-a", "\n", "header 'x-a' contains a newline at position 0"),
        ("x-a", b"a\rb", "header 'x-a' contains a newline at position 1"),
        ("x-a", "a\tb\0", "header 'x-a' contains a NUL at position 3"),
        ("x\na", "1", r"header name 'x\na' contains a newline at position 1"),
        (b"x\0a", "1", r"header name b'x\x00a' contains a NUL at position 1"),
    ],
)
def test_newlines_and_nul_are_refused_where_they_are_given(name: Any, value: Any, message: str) -> None:
    """A server would see further headers, of an attacker's choice, if a program passes on what it was told."""
    headers = Headers({"a": "1"})
    for put in (
        lambda: Headers({name: value}),
        lambda: Headers([(name, value)], encoding="utf-8"),
        lambda: headers.update({name: value}),
        lambda: headers.setdefault(name, value),
        lambda: headers.__setitem__(name, value),
    ):
        for _ in range(2):  # a cached name is refused again
            with pytest.raises(LocalProtocolError) as caught:
                put()
            assert str(caught.value) == message
    assert headers.raw == [(b"a", b"1")]


def test_an_encoding_cannot_smuggle_a_newline_in() -> None:
    with pytest.raises(LocalProtocolError, match="contains a newline"):
        Headers({"a": "\u0a0d"}, encoding="utf-16-le")


def test_other_odd_bytes_are_kept_for_the_gate_to_judge() -> None:
    assert Headers({" a b ": " \t1\x7f "}).raw == [(b" a b ", b" \t1\x7f ")]


def test_text_that_is_not_ascii_needs_an_encoding() -> None:
    for source in ({"a": "é"}, {"é": "a"}):
        with pytest.raises(LocalProtocolError, match="cannot be encoded as ascii at position 0"):
            Headers(source)
        with pytest.raises(LocalProtocolError, match="cannot be encoded as ascii"):
            Headers().update(source)
    with pytest.raises(LocalProtocolError, match="header 'a' cannot be encoded as utf-8 at position 1"):
        Headers({"a": "x\ud800"}, encoding="utf-8")
    assert Headers({"a": "é", "ö": "x"}, encoding="utf-8").raw == [(b"a", b"\xc3\xa9"), (b"\xc3\xb6", b"x")]
    assert Headers({"a": "é"}, encoding="latin-1").raw == [(b"a", b"\xe9")]


def test_a_codec_that_fails_without_a_position_is_reported_too() -> None:
    with pytest.raises(LocalProtocolError, match="header 'a' cannot be encoded as idna"):
        Headers._from_raw([], "idna")["a"] = "é" * 100


@pytest.mark.parametrize("encoding", ["nope", "hex", "", "\x00", "\udc80", "undefined", "idna"])
def test_an_unknown_encoding_fails_at_once(encoding: str) -> None:
    with pytest.raises(LookupError):
        Headers(encoding=encoding)
    with pytest.raises(LookupError):
        Headers().encoding = encoding


@pytest.mark.parametrize("given", ["a: b", b"a", 1, [1], ["ab:"], [("a",)], [("a", "b", "c")], {"a": None}])
def test_what_is_no_collection_of_pairs_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError):
        Headers(given)
    with pytest.raises(TypeError):
        Headers().update(given)


def test_the_caches_of_names_do_not_grow_without_end() -> None:
    long = "x-" + "a" * 100
    headers = Headers({f"x-{number}": "1" for number in range(2000)})
    assert all(f"X-{number}" in headers for number in range(2000))
    headers[long] = "2"
    assert headers[long] == "2"
    for cache in (_SENT, _ASKED):
        assert len(cache) <= 1024
        assert long not in cache
    assert Headers({"x-1999": "1"})["x-1999"] == "1"


# -- reading


def test_names_are_found_in_any_case(headers: Headers) -> None:
    for name in ("A", "a"):
        assert headers[name] == "1, 3"
        assert headers.get(name) == "1, 3"
        assert name in headers
    assert headers["c"] == headers["C"] == "4"


def test_the_mapping_has_each_name_once_but_the_length_counts_all(headers: Headers) -> None:
    assert list(headers) == list(headers.keys()) == ["a", "b", "c"]
    assert list(headers.values()) == ["1, 3", "2", "4"]
    assert list(headers.items()) == [("a", "1, 3"), ("b", "2"), ("c", "4")]
    assert headers.multi_items() == [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")]
    assert len(headers) == 4


def test_what_is_not_there_is_a_key_error_or_the_default(headers: Headers) -> None:
    for name in ("x", "日", "\ud800", 1, None):
        key: Any = name
        assert key not in headers
        assert headers.get(key) is None
        assert headers.get(key, "d") == "d"
        assert headers.get_list(key) == []
        with pytest.raises(KeyError):
            headers[key]
        with pytest.raises(KeyError):
            del headers[key]
    assert headers.get("x", 5) == 5
    assert headers.pop("x", None) is None


def test_bytes_are_keys_too(headers: Headers) -> None:
    key: Any = b"A"
    assert headers[key] == "1, 3"
    assert key in headers


def test_get_list_gives_each_field_and_on_request_each_part() -> None:
    headers = Headers([("Vary", "a, b"), ("x", "1"), ("vary", " c,,d"), ("e", "")])
    assert headers.get_list("vary") == ["a, b", " c,,d"]
    assert headers.get_list("Vary", split_commas=True) == ["a", "b", "c", "", "d"]
    assert headers.get_list("x", split_commas=True) == headers.get_list("x") == ["1"]
    assert headers.get_list("e", split_commas=True) == [""]
    assert headers.get_list("nope", split_commas=True) == []


def test_raw_is_a_list_of_its_own(headers: Headers) -> None:
    assert headers["a"]
    headers.raw.clear()
    assert headers.raw == RAW
    assert headers["a"] == "1, 3"


def test_the_triples_that_pytest_httpx_reads(headers: Headers) -> None:
    assert headers._list[0] == (b"A", b"a", b"1")
    assert [triple[1] for triple in headers._list] == [b"a", b"b", b"a", b"c"]


def test_the_package_asks_in_lower_case_bytes(headers: Headers) -> None:
    assert headers._has(b"a")
    assert headers._get(b"a") == b"1"
    assert headers._get_all(b"a") == [b"1", b"3"]
    assert headers._get_all(b"b") == [b"2"]
    assert Headers({"x": "1"})._get_all(b"x") == [b"1"]
    assert not headers._has(b"A")
    assert headers._get(b"x") is None
    assert headers._get_all(b"x") == []
    assert Headers()._get(b"x") is None


def test_what_comes_from_the_wire_is_taken_as_it_is() -> None:
    raw = [(b"A\n", b"\xff\0")]
    headers = Headers._from_raw(raw)
    assert headers._raw is raw
    assert headers.encoding == "iso-8859-1"
    assert Headers._from_raw([], "cp1252").encoding == "cp1252"


# -- encoding


@pytest.mark.parametrize(
    ("value", "encoding", "text"),
    [
        (b"x", "ascii", "x"),
        ("é日".encode(), "utf-8", "é日"),
        (b"\xe9", "iso-8859-1", "é"),
        (b"\xc3", "iso-8859-1", "Ã"),
        (b"\xff\xfe", "iso-8859-1", "ÿþ"),
    ],
)
def test_the_encoding_is_the_first_that_fits_all_fields(value: bytes, encoding: str, text: str) -> None:
    headers = Headers([(b"a", value), (b"b", b"plain")])
    assert headers.encoding == encoding
    assert headers["a"] == text
    assert headers["b"] == "plain"
    assert dict(headers.items()) == {"a": text, "b": "plain"}


def test_halves_of_a_character_in_two_fields_do_not_make_one() -> None:
    assert Headers([(b"a", b"\xc3"), (b"\xa9", b"x")]).encoding == "iso-8859-1"


def test_the_encoding_follows_the_fields_until_it_is_set() -> None:
    headers = Headers({"a": "1"})
    assert headers.encoding == "ascii"
    headers["b"] = "é"
    assert headers.raw[1] == (b"b", b"\xc3\xa9")
    assert headers.encoding == "utf-8"
    headers.encoding = "iso-8859-1"
    assert headers["b"] == "Ã©"
    headers["c"] = "é"
    assert headers._get(b"c") == b"\xe9"
    headers.encoding = None  # goes back to looking
    assert headers.encoding == "iso-8859-1"


def test_bytes_that_do_not_fit_the_encoding_that_was_set_never_raise() -> None:
    headers = Headers([(b"a", b"\xff")], encoding="ascii")
    assert headers["a"] == "\ufffd"


def test_names_may_be_beyond_ascii() -> None:
    headers = Headers({"É": "1"}, encoding="utf-8")
    assert headers["É"] == "1"
    headers["É"] = "2"
    assert headers.multi_items() == [("É", "2")]


# -- changing


def test_setting_replaces_the_first_and_removes_the_rest(headers: Headers) -> None:
    headers["a"] = "9"
    assert headers.raw == [(b"a", b"9"), (b"b", b"2"), (b"C", b"4")]
    assert headers["a"] == "9"
    headers["C"] = "8"
    headers["D"] = "7"
    assert headers.raw == [(b"a", b"9"), (b"b", b"2"), (b"C", b"8"), (b"D", b"7")]
    assert headers["d"] == "7"


def test_bytes_may_be_set(headers: Headers) -> None:
    headers[b"B"] = b"\xff"
    assert headers.raw[1] == (b"B", b"\xff")


def test_deleting_removes_every_field_of_the_name(headers: Headers) -> None:
    assert "a" in headers
    del headers["A"]
    assert headers.raw == [(b"b", b"2"), (b"C", b"4")]
    assert "a" not in headers
    assert headers.pop("b") == "2"
    headers.clear()
    assert headers.raw == []


def test_updating_moves_overridden_fields_to_the_end_and_keeps_repetitions(headers: Headers) -> None:
    headers.update([("A", "x"), ("n", "z"), ("a", "y")])
    assert headers.raw == [(b"b", b"2"), (b"C", b"4"), (b"A", b"x"), (b"n", b"z"), (b"a", b"y")]
    assert headers["a"] == "x, y"
    headers.update(Headers({"B": "new"}))
    assert headers.raw[-1] == (b"B", b"new")
    before = headers.raw
    headers.update(None)
    headers.update()
    assert headers.raw == before


def test_an_update_that_fails_changes_nothing(headers: Headers) -> None:
    with pytest.raises(LocalProtocolError):
        headers.update([("b", "ok"), ("c", "\n")])
    assert headers.raw == RAW


def test_setdefault_keeps_what_is_there(headers: Headers) -> None:
    assert headers.setdefault("A", "x") == "1, 3"
    assert headers.setdefault("new", "x") == "x"
    assert headers.raw == [*RAW, (b"new", b"x")]


def test_every_change_is_seen_by_the_next_look_up(headers: Headers) -> None:
    assert headers._get(b"a") == b"1"
    headers.update({"a": "2"})
    assert headers._get(b"a") == b"2"
    headers["a"] = "3"
    assert headers._get(b"a") == b"3"
    del headers["a"]
    assert headers._get(b"a") is None


# -- copies, comparison, text


@pytest.mark.parametrize(
    "duplicate", [Headers.copy, copy.copy, copy.deepcopy, Headers, lambda h: pickle.loads(pickle.dumps(h))]
)
def test_a_copy_changes_apart_from_its_original(headers: Headers, duplicate: Any) -> None:
    assert headers._has(b"a")
    other = duplicate(headers)
    assert type(other) is Headers
    assert other == headers
    other["a"] = "x"
    del other["b"]
    other["new"] = "y"
    assert headers.raw == RAW
    headers["c"] = "z"
    assert other["c"] == "4"
    assert other["a"] == "x"


def test_copies_and_pickles_keep_the_encoding_that_was_set() -> None:
    headers = Headers({"a": "é"}, encoding="iso-8859-1")
    for other in (headers.copy(), pickle.loads(pickle.dumps(headers)), copy.copy(headers)):
        assert other.encoding == "iso-8859-1"
        assert other["a"] == "é"


def test_subclasses_pickle_with_what_they_add() -> None:
    headers = Tagged({"a": "1"})
    headers.tag = "t"
    other = pickle.loads(pickle.dumps(headers))
    assert type(other) is Tagged
    assert other.tag == "t"
    assert repr(other) == "Tagged({'a': '1'})"


class Tagged(Headers):
    tag: str


def test_equality_ignores_order_and_case_of_names_but_not_repetitions(headers: Headers) -> None:
    assert headers == Headers(list(reversed(RAW)))
    assert headers == [("a", "1"), ("A", "3"), ("B", "2"), ("c", "4")]
    assert headers != [*RAW, (b"a", b"1")]
    assert headers != {"a": "1, 3", "b": "2", "c": "4"}
    assert Headers({"a": "1"}) == {"A": "1"}
    assert Headers([(b"a", "é".encode())]) == {"a": "é"}


@pytest.mark.parametrize("other", [None, 5, "abc", [1], {"a": None}, {"a": "日"}, {"a": "\n"}, object()])
def test_what_cannot_be_headers_is_just_unequal(other: Any) -> None:
    assert Headers({"a": "1"}) != other
    assert Headers() != other


def test_headers_cannot_be_hashed() -> None:
    with pytest.raises(TypeError):
        hash(Headers())


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (Headers(), "Headers({})"),
        (Headers({"A": "1", "b": "2"}), "Headers({'a': '1', 'b': '2'})"),
        (Headers([("A", "1"), ("a", "2")]), "Headers([('a', '1'), ('a', '2')])"),
        (Headers({"a": "é"}, encoding="utf-8"), "Headers({'a': 'é'}, encoding='utf-8')"),
        (Headers([(b"a", b"\xe9")]), "Headers({'a': 'é'}, encoding='iso-8859-1')"),
        (Headers([("x-api-key", "s"), ("X-Api-Key", "s")]), "Headers([('x-api-key', '[secure]')] * 2)"),
    ],
)
def test_the_repr_can_be_read(headers: Headers, text: str) -> None:
    assert repr(headers) == str(headers) == text.replace("] * 2", ", ('x-api-key', '[secure]')]")


@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "X-API-Key", "x-auth-token"])
def test_the_repr_hides_secrets(name: str) -> None:
    headers = Headers({name: "hunter2"})
    assert repr(headers) == f"Headers({{{name.lower()!r}: '[secure]'}})"
    assert headers[name] == "hunter2"


# -- properties

NAMES = st.sampled_from(["a", "A", "b", "Content-Type", "content-type", "X-1"])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@settings(max_examples=100)
@given(PAIRS, PAIRS, NAMES, VALUES)
def test_headers_behave_like_a_list_of_pairs(
    pairs: list[tuple[str, str]], more: list[tuple[str, str]], name: str, value: str
) -> None:
    """Against the plainest model there is: a list, searched anew each time."""
    headers = Headers(pairs)
    model = [(key.encode(), text.encode()) for key, text in pairs]
    assert headers.raw == model
    headers.update(more)
    gone = {key.lower() for key, _ in more}
    model = [pair for pair in model if pair[0].decode().lower() not in gone]
    model += [(key.encode(), text.encode()) for key, text in more]
    assert headers.raw == model
    values = [text.decode() for key, text in model if key.decode().lower() == name.lower()]
    assert headers.get_list(name) == values
    assert headers.get(name) == (", ".join(values) if values else None)
    headers[name] = value
    assert headers.get_list(name) == [value]
    assert len(headers) == len(model) - max(0, len(values) - 1) + (not values)
    assert [pair for pair in headers.raw if pair[0].decode().lower() != name.lower()] == [
        pair for pair in model if pair[0].decode().lower() != name.lower()
    ]
    assert headers == headers.copy()


@settings(max_examples=100)
@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=6))
def test_any_bytes_from_the_wire_can_be_read_without_an_error(raw: list[tuple[bytes, bytes]]) -> None:
    headers = Headers._from_raw(list(raw))
    assert headers.raw == raw
    assert len(headers.multi_items()) == len(raw)
    assert isinstance(repr(headers), str)
    for name, value in raw:
        assert value in headers._get_all(name.lower())
        assert name.lower().decode(headers.encoding) in list(headers)


# Operators.


def test_operators_merge_as_those_of_dictionaries_do() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("b", "3")])
    merged = headers | {"b": "9", "C": "4"}
    assert merged.raw == [(b"A", b"1"), (b"b", b"9"), (b"C", b"4")]
    assert headers.get_list("b") == ["2", "3"]
    merged = {"b": "0", "X": "1"} | headers
    assert type(merged) is Headers
    assert merged.raw == [(b"X", b"1"), (b"A", b"1"), (b"B", b"2"), (b"b", b"3")]
    assert (headers | Headers({"a": "5"}))["A"] == "5"


def test_an_operator_changes_headers_in_place() -> None:
    headers = same = Headers({"A": "1"})
    headers |= [("a", "2"), ("a", "3")]
    headers |= None
    assert headers is same
    assert headers.get_list("a") == ["2", "3"]
    assert headers["a"] == "2, 3"


@pytest.mark.parametrize("other", [None, 3, "x", [("a", "1")]])
def test_operators_refuse_what_is_not_a_mapping(other: Any) -> None:
    with pytest.raises(TypeError):
        Headers() | other
    with pytest.raises(TypeError):
        other | Headers()


def test_operators_keep_the_encoding() -> None:
    assert (Headers({"A": "é"}, encoding="utf-8") | {"b": "é"}).raw[1] == (b"b", "é".encode())
    assert ({"b": "é"} | Headers({"A": "é"}, encoding="latin-1")).raw[0] == (b"b", b"\xe9")
