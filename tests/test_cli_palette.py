"""Colours of styles, and `--style`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from httpx._cli import exits
from httpx._cli.echo_server import EchoServer
from httpx._cli.palette import AUTO, check, names, nearest, palette_of
from support.commands import POSIX, in_a_pipe, on_a_terminal

pytest.importorskip("click")
pytest.importorskip("pygments")


def test_auto_is_the_terminals_own():
    assert palette_of(None) is palette_of("auto") is AUTO
    check(None)
    check("auto")


@pytest.mark.parametrize("name", names())
def test_every_style_has_a_palette(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLORTERM", raising=False)
    few = palette_of(name)
    assert few.keys() == AUTO.keys()
    if name != "auto":
        assert all(code == "" or code.split(";")[0] in ("1", "3", "4", "38") for code in few.values())


def test_a_style_is_bold_italic_or_underlined_where_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLORTERM", "24bit")
    assert palette_of("bw")["name"] == "1"
    assert palette_of("default")["constant"] == "1;38;2;0;128;0"
    assert palette_of("algol")["constant"] == "1;4"


@pytest.mark.parametrize(
    ("colour", "number"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 231),
        ((255, 0, 0), 196),
        ((8, 8, 8), 232),
        ((127, 127, 127), 244),
        ((230, 219, 116), 186),
    ],
)
def test_the_nearest_of_256_colours(colour: tuple[int, int, int], number: int):
    assert nearest(*colour) == number


def test_an_unknown_name_is_told_with_those_that_are_close():
    with pytest.raises(ValueError, match=r"unknown style 'monokay': did you mean monokai"):
        check("monokay")
    with pytest.raises(ValueError, match=r"unknown style 'MONOKAI': did you mean monokai"):
        check("MONOKAI")
    with pytest.raises(ValueError, match=r"unknown style 'qqqqqqqq': known are auto, abap, .*zenburn"):
        palette_of("qqqqqqqq")


def test_without_pygments_only_auto_is_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pygments.styles", None)
    assert names() == ["auto"]
    with pytest.raises(ValueError, match="a style needs pygments"):
        check("monokai")


def test_the_command_refuses_an_unknown_style_also_in_a_pipe():
    done = in_a_pipe("http://a.invalid/", "--style", "solarised-dark")
    assert (done.returncode, done.stdout) == (exits.USAGE, b"")
    assert b"httpx: --style: unknown style 'solarised-dark': did you mean solarized-dark" in done.stderr


@POSIX
def test_a_terminal_gets_the_style(echo_server: EchoServer):
    url = f"{echo_server.url}/json"
    for colorterm, sign in (("", "\x1b[38;5;"), ("truecolor", "\x1b[38;2;")):
        code, shown = on_a_terminal(url, "--style", "monokai", COLORTERM=colorterm)
        assert code == 0
        head, _, body = shown.partition("\n\n")
        assert sign in head
        assert sign in body
    assert "\x1b" not in on_a_terminal(url, "--style", "monokai", NO_COLOR="1")[1]
    assert in_a_pipe(url, "--style", "monokai").stdout == in_a_pipe(url).stdout
    assert on_a_terminal(url, "--body", "--style", "auto") == on_a_terminal(url, "--body")


@POSIX
def test_the_configuration_may_name_a_style(echo_server: EchoServer, tmp_path: Path):
    (tmp_path / "httpx").mkdir()
    config = tmp_path / "httpx" / "config.toml"
    config.write_text('options = ["--style", "monokai", "--sorted"]\n')
    config.chmod(0o600)
    code, shown = on_a_terminal(f"{echo_server.url}/anything", XDG_CONFIG_HOME=str(tmp_path), COLORTERM="")
    assert (code, "\x1b[38;5;" in shown) == (0, True)
    own = on_a_terminal(f"{echo_server.url}/get", "--style", "auto", XDG_CONFIG_HOME=str(tmp_path), COLORTERM="")
    assert "\x1b[38;5;" not in own[1]
    config.write_text('options = ["--style", "none"]\n')
    refused = on_a_terminal("http://a.invalid/", XDG_CONFIG_HOME=str(tmp_path))
    assert "httpx: --style: unknown style 'none'" in refused[1]


@pytest.mark.parametrize(
    ("more", "loaded"), [([], set()), (["--style", "nord"], {"pygments.styles", "pygments.token"})]
)
def test_json_needs_nothing_of_pygments_but_a_style(echo_server: EchoServer, more: list[str], loaded: set[str]):
    code = (
        "import sys; from httpx._cli.command import run; run(sys.argv[1:]); "
        "print(*[name for name in sys.modules if name.startswith('pygments.')], file=sys.stderr)"
    )
    argv = [sys.executable, "-c", code, f"{echo_server.url}/json", "--pretty", "all", *more]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=True)
    imported = set(done.stderr.decode().split())
    assert loaded <= imported
    assert not {name for name in imported if "formatters" in name or "lexer" in name}
    assert bool(imported) is bool(more)
