"""The pages that show a terminal (`docs/*.md`): their commands run, and what appears is what the pages show."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support import certs, consoles
from support.commands import POSIX
from support.proxies import ScriptedProxy
from support.servers import ScriptedServer, answer

pytestmark = POSIX

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = DOCS / "command-line.md"
SHOWN = [
    (path, section)
    for path in sorted(DOCS.glob("*.md"))
    for section in consoles.sections(path.read_text(encoding="utf-8"))
]

SOCKET = "app.sock"
HAS_TOML = any(importlib.util.find_spec(name) for name in ("tomllib", "tomli"))


@pytest.fixture(scope="module")
def ports(echo_server: Any, tls_echo_server: Any) -> Iterator[dict[int, int]]:
    """What the pages say that a reader starts: the port that they name -> the port here."""
    from httpx._cli.echo_server import EchoServer

    with (
        EchoServer(host="localhost", ssl_context=certs.server_context(client_cert=True)) as asking,
        ScriptedProxy() as proxy,
    ):
        yield {
            8000: echo_server.port,
            8443: tls_echo_server.port,
            8444: asking.port,
            3128: proxy.port,
        }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the pages say are there."""
    (tmp_path / "ca.pem").write_bytes(certs.authority_pem())
    chain, key = certs.leaf_files("client")
    (tmp_path / "me.pem").write_bytes(chain.read_bytes())
    (tmp_path / "me.key").write_bytes(key.read_bytes())
    return tmp_path


@pytest.mark.parametrize(("path", "section"), SHOWN, ids=lambda each: getattr(each, "title", None) or each.stem)
def test_what_a_page_shows_appears(
    path: Path, section: consoles.Section, folder: Path, ports: dict[int, int], monkeypatch: pytest.MonkeyPatch
):
    """Commands that no longer work, and output that looks otherwise now, misled every reader who copied them."""
    if not HAS_TOML and any("config.toml" in command.text for command in section.commands):
        pytest.skip("there is no reader of TOML")
    monkeypatch.chdir(folder)  # the address of a Unix socket is short
    with ExitStack() as stack:
        if any(SOCKET in command.text for command in section.commands):
            version = answer(b'{"version": "1.4"}', b"Content-Type: application/json")
            stack.enter_context(ScriptedServer([version], uds=SOCKET))
        consoles.run_section(section, folder, ports)


def test_every_command_of_the_guide_is_one_that_runs():
    page = GUIDE.read_text(encoding="utf-8")
    kinds = re.findall(r"(?m)^```(.*)$", page)
    assert set(kinds[::2]) == {"console"}
    assert set(kinds[1::2]) == {""}
    shown = [section.title for path, section in SHOWN if path == GUIDE]
    assert len(shown) >= 25
    assert len(set(shown)) == len(shown)
    jobs = re.findall(r"(?m)^### (.+)$", re.sub(r"(?ms)^```.*?^```$", "", page))
    assert shown == jobs, "every job has a command, and every command is that of a job"


def test_a_page_shows_something_that_can_be_wrong():
    """A block of which every line is left out would pass whatever the command does."""
    for path, section in SHOWN:
        for command in section.commands:
            lines = [line for line in command.shown if line.strip(" .")]
            assert lines or not command.shown, f"{path.name}:{command.line}"
        assert any(command.shown for command in section.commands), f"{path.name}: {section.title}"


# The runner.

PAGE = """# One

```console
$ echo a > file; cat file  # exit code 0
a
$ cat <<END
> x
>
> # y
> END
x

# y
```

## Two

```python
# not a heading
```

```console
$ test -e file  # exit code 1
```
"""


def test_the_runner_finds_sections_commands_and_codes():
    one, two = consoles.sections(PAGE)
    assert (one.title, two.title) == ("One", "Two")
    assert [(each.line, each.shown) for each in one.commands] == [(4, ["a"]), (6, ["x", "", "# y"])]
    assert one.commands[1].text == "cat <<END\nx\n\n# y\nEND"
    assert two.commands == [consoles.Command(23, "test -e file", [], 1)]
    with pytest.raises(ValueError, match="line 2: a block of a console begins with a command"):
        consoles.sections("```console\nx\n```\n")


def test_the_runner_gives_each_section_a_folder_of_its_own(tmp_path: Path):
    for number, section in enumerate(consoles.sections(PAGE)):
        (tmp_path / str(number)).mkdir()
        consoles.run_section(section, tmp_path / str(number), {})


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("$ echo a\nb\n", "line 2: \\$ echo a\nthe page shows:\nb\nwhat appears:\na"),
        ("$ echo a\n", "what appears:\na"),
        ("$ true\na\n", "the page shows:\na\nwhat appears:\n"),
        ("$ echo a; false\na\n", "the page states exit code 0, it is 1"),
        ("$ true  # exit code 3\n", "the page states exit code 3, it is 0"),
        ("$ echo a >&2\n...b\n", "what appears:\na"),
        ("$ httpx :8000/status/404 --print h  # exit code 4\nHTTP/1.1 403 ...\n...\n", "404 Not Found"),
    ],
)
def test_the_runner_notices_what_is_not_true(block: str, message: str, tmp_path: Path, ports: dict[int, int]):
    (section,) = consoles.sections(f"```console\n{block}```\n")
    with pytest.raises(AssertionError, match=message):
        consoles.run_section(section, tmp_path, ports)


@pytest.mark.parametrize(
    ("shown", "appeared", "outcome"),
    [
        ("a ...b", "a 12b", True),
        ("a ...b", "a 12c", False),
        ("a...", "a\nb", False),
        ("a\n...\nb", "a\nb", True),
        ("a\n    ...\nb", "a\nx\ny\nb", True),
        ("a\n...", "a\nx\ny", True),
        ("...\na", "x\na\nb", False),
        ("a.b", "axb", False),
    ],
)
def test_three_dots_are_what_is_left_out(shown: str, appeared: str, outcome: bool):
    assert consoles.is_shown(shown.split("\n"), appeared.split("\n")) is outcome


def test_the_runner_replaces_ports_both_ways_and_types_passwords(tmp_path: Path, ports: dict[int, int]):
    block = "$ httpx -u ann :8000/basic-auth/ann/secret --print Bb\nPassword:\n{\n...\n"
    (section,) = consoles.sections(f"```console\n{block}$ echo :8000 8000\n:8000 8000\n```\n")
    consoles.run_section(section, tmp_path, ports)
