"""Pasted commands, as the shells they were written for take them apart."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx._shell_words import words

POSIX_COMMANDS = [
    "",
    "a  b\tc\nd",
    "a \\\n b \\\r\n c",
    "a\\ b 'c d' \"e f\" g'h'\"i\"j ''",
    '\'a"b\' "c\'d" "e\\"f\\\\g\\h\\$i"',
    '"a\\\nb"',
    "$'it\\'s\\n\\t\\\\ \\x41\\101\\u00e9\\xc3\\xa9\\e'",
    "a$ 'b$c' \"d$\" e$1",
    "\"cost $'5'\"",
    "a#b # a comment\nc",
    "'ü' ü",
]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        *zip(
            POSIX_COMMANDS,
            [
                [],
                ["a", "b", "c", "d"],
                ["a", "b", "c"],
                ["a b", "c d", "e f", "ghij", ""],
                ['a"b', "c'd", 'e"f\\g\\h$i'],
                ["ab"],
                ["it's\n\t\\ AAéé\x1b"],
                ["a$", "b$c", "d$", "e$1"],
                ["cost $'5'"],
                ["a#b", "c"],
                ["ü", "ü"],
            ],
        ),
        ("$'\\ud83d\\ude00 \\U0001f600'", ["😀 😀"]),
        ("$'\\cA\\c?\\z\\\"\\?'", ['\x01\x7f\\z"?']),
        ("a\u00a0b\u3000c", ["a\u00a0b\u3000c"]),
        ("http://a/?b=c&d=e&_f", ["http://a/?b=c&d=e&_f"]),
        ("a\\", ["a"]),
    ],
)
def test_words_of_a_posix_shell(command: str, expected: list[str]):
    assert words(command) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('curl ^"http://a/?b=c^&d^" ^\n  -H ^"X-A: b^" ^\r\n', ["curl", "http://a/?b=c&d", "-H", "X-A: b"]),
        ('curl ^"a^" --data-raw ^"^{^\\^"b^\\^":^\\^"c d^\\^"^}^"', ["curl", "a", "--data-raw", '{"b":"c d"}']),
        ('curl "http://a/?b^c" ^\n -d "a""b"', ["curl", "http://a/?b^c", "-d", 'a"b']),
        ('^"a^\n\nb^"', ["a\nb"]),
        ('^"100^%^" ^"c:\\dir\\\\^" x\\y', ["100%", "c:\\dir\\", "x\\y"]),
        ('^"^"', [""]),
    ],
)
def test_words_of_cmd(command: str, expected: list[str]):
    assert words(command) == expected


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("a 'b", "a quote with ' is not closed"),
        ('a "b', 'a quote with " is not closed'),
        ("a $'b", "a quote with \\$' is not closed"),
        ('^"a', 'a quote with " is not closed'),
        ("a | b", "without the shell's '\\|'"),
        ("a > b", "without the shell's '>'"),
        ("a && b", "without the shell's '&'"),
        ("a; b", "without the shell's ';'"),
        ('"Bearer $TOKEN"', "the shell's \\$TOKEN cannot be expanded"),
        ("${A}", "the shell's \\$\\{A\\} cannot"),
        ("$(a)", "the shell's \\$\\(...\\) cannot"),
        ('"`a`"', "the shell's `...` cannot"),
        ("$'\\ud83d'", "not a character"),
    ],
)
def test_what_only_a_shell_can_do_is_refused(command: str, message: str):
    with pytest.raises(ValueError, match=message):
        words(command)


@given(st.lists(st.text()))
def test_what_is_quoted_for_a_shell_comes_back(expected: list[str]):
    assert words(" ".join(map(shlex.quote, expected))) == expected


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"))))
def test_what_is_quoted_for_windows_comes_back(expected: list[str]):
    line = subprocess.list2cmdline(["a curl", *expected])  # a quotation makes it a command of cmd
    escaped = "".join("^" + char if char in '"^&|<>%' else char for char in line)
    assert words(escaped) == ["a curl", *expected]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("command", POSIX_COMMANDS[3:7] + POSIX_COMMANDS[8:9] + POSIX_COMMANDS[10:])
def test_bash_agrees(command: str):
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"],
        capture_output=True,
        timeout=30,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.decode().split("\0")[:-1] == words(command)
