"""Completion scripts, read by the shells they are for, and the page for `man`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from httpx._cli.completion import man_page, script
from httpx._cli.options import OPTIONS

SHELLS = ("bash", "zsh", "fish")


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test without the program; where servers are required, so are shells, and a missing one is a failure."""
    is_required = program in SHELLS and os.environ.get("HTTPX_REQUIRE_SERVERS") == "1"
    is_missing = shutil.which(program) is None and not is_required
    return pytest.mark.skipif(is_missing, reason=f"there is no {program}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the scripts `bash` and `fish`, and zsh's as `functions/_httpx`."""
    for shell in ("bash", "fish"):
        (tmp_path / shell).write_text(script(shell))
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "_httpx").write_text(script("zsh"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output_of(*argv: str, stdin: str = "") -> str:
    return subprocess.run(argv, input=stdin.encode(), capture_output=True, timeout=60, check=True).stdout.decode()


def in_bash(*words: str) -> list[str]:
    """What bash offers for the last of its words."""
    return output_of(
        *("bash", "--norc", "-c"),
        'source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _httpx; printf "%s\\n" "${COMPREPLY[@]}"',
        *("bash", "httpx", *words),
    ).split()


@needs("bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--check"], ["--check-digest"]),
        (["--pretty", ""], ["all", "colors", "format", "none"]),
        (["--pretty", "c"], ["colors"]),
        (["--pretty", "="], ["all", "colors", "format", "none"]),
        (["--pretty", "=", "f"], ["format"]),
        (["--style", "mono"], ["monokai"]),
        (["PA"], ["PATCH"]),
        (["ru"], ["run"]),
        (["-v", "PA"], ["PATCH"]),
        (["--timeout", "3", "PA"], ["PATCH"]),
        (["--timeout", "=", "3", "PA"], ["PATCH"]),
        (["-p", "a", "b", "PA"], ["PATCH"]),
        (["GET", "PA"], []),
        (["-v", "--timeout", "=", "3", "GET", "PA"], []),
        (["run", "a"], []),  # bash itself offers files
        (["--output", "f"], []),  # bash itself offers files
    ],
)
def test_bash_completes(folder: Path, words: list[str], offered: list[str]):
    assert in_bash(*words) == offered


@needs("bash")
def test_bash_knows_every_option(folder: Path):
    assert set(in_bash("-")) == {name for option in OPTIONS for name in option.opts}


def in_fish(line: str) -> list[str]:
    found = output_of("fish", "--no-config", "-c", f"source ./fish; complete -C '{line}'")
    return [one.partition("\t")[0] for one in found.splitlines()]


@needs("fish")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("httpx --check", ["--check-digest"]),
        ("httpx --pretty ", ["all", "colors", "format", "none"]),
        ("httpx --style mono", ["monokai"]),
        ("httpx --style=mono", ["--style=monokai"]),
        ("httpx PA", ["PATCH"]),
        ("httpx ru", ["run"]),
        ("httpx -v PA", ["PATCH"]),
        ("httpx --timeout 3 PA", ["PATCH"]),
        ("httpx -p a b PA", ["PATCH"]),
        ("httpx GET PA", []),
        ("httpx run fi", ["fish"]),
        ("httpx run fish --en", ["--env"]),
        ("httpx --output functions/", ["functions/_httpx"]),
        ("httpx --output=functions/", ["--output=functions/_httpx"]),
        ("httpx -vo functions/", ["functions/_httpx"]),
        ("httpx -f photo functions/", ["functions/_httpx"]),
        ("httpx --max-time ", []),
    ],
)
def test_fish_completes(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]):
    monkeypatch.setenv("HOME", str(folder))
    assert in_fish(line) == offered


@needs("fish")
def test_fish_knows_every_long_option(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder))
    assert set(in_fish("httpx --")) == {name for option in OPTIONS for name in option.opts if name.startswith("--")}


# A shell in a pseudo-terminal of its own, where Ctrl-X says how many matches there are and lists them.
_IN_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PROMPT=; fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -D -u; stty columns 200'
zpty -w shell 'counted() { _main_complete; print -r -- "<<$compstate[nmatches]>>"; compstate[insert]=; }'
zpty -w shell 'zle -C counted complete-word counted; bindkey "^X" counted; print READ""Y'
zpty -r -m shell out '*READY*'
zpty -n -w shell "$LINE_TO_COMPLETE"$'\\x18'
zpty -r -m shell out '*<<*>>*'
print -r -- "$out"
zpty -d shell
"""


def test_zsh_is_told_that_a_value_may_follow_an_equals_sign():
    """`--http-version=` completed nothing."""
    lines = script("zsh").splitlines()
    assert any(line.startswith("    '--http-version=[") for line in lines)
    assert any(line.startswith("    '--download=[") for line in lines)
    assert any(line.startswith("    '*--params[") for line in lines)
    assert any(line.startswith("    '(-o --output)-o[") for line in lines)


@needs("zsh")
@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("httpx --check-", 1),
        ("httpx --pretty ", 4),
        ("httpx --http-version=", 3),
        ("httpx --style mono", 1),
        ("httpx --style=mono", 1),
        ("httpx PA", 1),
        ("httpx ru", 1),
        ("httpx --timeout 3 -p a b PA", 1),
        ("httpx run fi", 1),
        ("httpx run fish --en", 1),
        ("httpx -o func", 1),
        ("httpx --output=func", 1),
        ("httpx -vo func", 1),
        ("httpx -f photo func", 1),
        ("httpx -f func", 0),  # the name of the field
        ("httpx --download func", 1),
        ("httpx --download=func", 1),
        ("httpx -H a -H b --header", 2),  # and --headers; it may be repeated
        ("httpx -4 --ipv", 1),  # not --ipv4 once more
        ("httpx -v --verb", 0),
        ("httpx -q --quie", 1),
    ],
)
def test_zsh_completes(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, count: int):
    monkeypatch.setenv("LINE_TO_COMPLETE", line)
    assert f"<<{count}>>" in output_of("zsh", "-f", stdin=_IN_ZSH)


@needs("zsh")
def test_zsh_can_read_the_script_without_a_folder_of_functions(folder: Path):
    commands = 'compdef() { print -r -- "$@" }; eval "$(cat functions/_httpx)"; whence -w _httpx'
    assert output_of("zsh", "-f", "-c", commands) == "_httpx httpx\n_httpx: function\n"


def test_the_page_has_every_option_and_no_line_that_roff_would_take_for_a_request():
    page = man_page("1.2")
    for option in OPTIONS:
        for name in option.names:
            assert "\\fB" + name.replace("-", "\\-") + "\\fR" in page
    known = {".TH", ".SH", ".TP", ".PP", ".B"}
    assert {line.split()[0] for line in page.splitlines() if line[:1] in (".", "'")} <= known


@needs("groff")
def test_the_page_is_without_a_warning():
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww"], input=man_page("1.2").encode(), capture_output=True, timeout=60, check=True
    )
    assert done.stderr == b""
    assert b"sha256:9f86d0" in done.stdout


@needs("mandoc")
def test_mandoc_finds_no_error():
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "error"],
        input=man_page("1.2").encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == (b"", 0)
