"""
The pages for users are true: every Python block in `docs/` runs, from top to bottom, as one program in an empty folder.

A reader can paste the blocks of a page in order, into a file or at the prompt of Python 3.13: the page makes every
name that it uses, hides nothing, and has `await` in functions only. What it expects on the machine is in `GIVEN`.

A comment after an expression is checked: a literal is its value, `raises X` the class that it raises.

    response.status_code  # 200
    response.raise_for_status()  # raises httpx.HTTPStatusError

Any other comment is for the reader.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import logging
import os
import re
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
README = DOCS.parent / "README.md"

GIVEN = {
    8000: "httpx --serve",  # in all pages: the server of the quickstart
    3128: "an HTTP proxy at port 3128",  # in tls.md: a proxy would be longer than what the page explains
}
"""What the reader starts in another terminal: its port in the pages, and the words with which a page says so."""

OPTIONAL = ("tqdm",)
"""Packages whose blocks are left out where they are not installed."""

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the Python blocks of a page, each with the number of the line before it."""
    return [(page.count("\n", 0, match.start()) + 1, match[1]) for match in _BLOCK.finditer(page)]


def comments(source: str) -> dict[int, str]:
    """Return the comments of a program, by line."""
    return {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }


def is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


class Checked(ast.NodeTransformer):
    """Replaces each expression that has a comment with its value or error by a check of that comment."""

    def __init__(self, said: dict[int, str]) -> None:
        self.said = said

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        line = node.end_lineno or 0
        said = self.said.get(line, "")
        arguments = [ast.Constant(said), ast.Constant(line)]
        if said.startswith("raises "):
            call = ast.Call(ast.Name("_raises", ast.Load()), arguments, [])
            return ast.copy_location(ast.With([ast.withitem(call)], [node]), node)
        if said and is_literal(said):
            call = ast.Call(ast.Name("_is", ast.Load()), [node.value, *arguments], [])
            return ast.copy_location(ast.Expr(call), node)
        return node


class Checks:
    """The lines of a page that state a value or an error, and those of them that were reached."""

    def __init__(self) -> None:
        self.stated: set[int] = set()
        self.reached: set[int] = set()

    def value(self, value: object, said: str, line: int) -> None:
        self.reached.add(line)
        expected = ast.literal_eval(said)
        assert value == expected, f"the page says {expected!r}, it is {value!r}"

    @contextmanager
    def raises(self, said: str, line: int) -> Iterator[None]:
        self.reached.add(line)
        name = said.split()[1].rstrip(":,")
        try:
            yield
        except BaseException as exc:  # also asyncio.CancelledError
            if name.rpartition(".")[2] not in {kind.__name__ for kind in type(exc).__mro__}:
                raise AssertionError(f"the page says that {name} is raised, it was {exc!r}") from exc
        else:
            pytest.fail(f"the page says that {name} is raised, and nothing was")


def run_page(page: str, path: str, ports: dict[int, int]) -> int:
    """
    Run the blocks of a page.

    Args:
        page: the text.
        path: its name in tracebacks.
        ports: for each port in the page, the one that is used instead.

    Returns:
        How many expressions were checked.
    """
    checks = Checks()
    names: dict[str, Any] = {"__name__": "page", "_is": checks.value, "_raises": checks.raises}
    for port, used in ports.items():
        page = re.sub(rf"(?<=:){port}\b", str(used), page)
    for line, source in blocks(page):
        if any(f"import {name}" in source and importlib.util.find_spec(name) is None for name in OPTIONAL):
            continue
        source = "\n" * line + source
        said = comments(source)
        checks.stated |= {at for at, text in said.items() if text.startswith("raises ") or is_literal(text)}
        tree = ast.fix_missing_locations(Checked(said).visit(ast.parse(source, path)))
        exec(compile(tree, path, "exec", dont_inherit=True), names)
    assert checks.stated == checks.reached, "the page states values in lines that are no expressions or never run"
    return len(checks.reached)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Pages show how to switch logging on; other tests count what a request costs with it off."""
    loggers = [logging.getLogger(name) for name in (None, "httpx", "httpcore")]
    before = [(logger, logger.level, logger.handlers.copy()) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def environment_as_before() -> Iterator[None]:
    """Pages set variables of the environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Any]:
    from support.proxies import ScriptedProxy

    with ScriptedProxy() as proxy:
        yield proxy


@pytest.mark.usefixtures("logging_as_before", "environment_as_before", "without_httpx2")
@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_every_block_of_python_runs(
    path: Path, echo_server: Any, proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Blocks that used names of hidden blocks, or a bare `await`, failed for every reader who pasted them."""
    monkeypatch.chdir(tmp_path)
    page = path.read_text("utf-8")
    if "import trio" in page:
        pytest.importorskip("trio")
    checked = run_page(page, str(path), {8000: echo_server.port, 3128: proxy.port})
    assert checked or not blocks(page), "a page with code says at least once what comes of it"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_hide_nothing_and_say_what_a_reader_starts(path: Path):
    page = path.read_text("utf-8")
    assert "<!--" not in page
    shown = "".join(source for _, source in blocks(page))
    for port, words in GIVEN.items():
        if re.search(rf"127\.0\.0\.1:{port}\b", shown):
            assert words in page


def anchors(page: str) -> set[str]:
    """Return the anchors of the headings of a page, as Markdown viewers make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def test_the_reference_is_what_the_docstrings_say():
    spec = importlib.util.spec_from_file_location("api_reference", DOCS.parent / "scripts" / "api_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.page()
    assert made == (DOCS / "api.md").read_text("utf-8"), "the page is old: run scripts/api-reference"
    assert re.search(r"(?m)^### Client$", made)
    assert " object at 0x" not in made


def test_every_page_is_in_the_index():
    """But for pages that another page leads to."""
    index = (DOCS / "index.md").read_text("utf-8")
    assert [path.name for path in PAGES if path.name != "index.md" and f"({path.name})" not in index] == []


WORDS = {
    # pattern: how often it may occur in all pages together
    r"\b(is|are|was) no\b(?! longer)": 3,
    r"\b(whoever|whatever|nobody|somebody)\b": 5,
    r"\bbehind\b(?! (a|the|an HTTP|this) proxy)": 0,
    r"\banswer(s|ed|ing)?\b": 3,  # of resolvers: a server sends a response
}
"""Words of an English that slowed readers down; `api.md` is left to the docstrings that it is made from."""


@pytest.mark.parametrize("pattern", WORDS)
def test_the_pages_use_the_usual_words(pattern: str):
    found = [
        f"{path.name}: {line}"
        for path in [README, *PAGES]
        if path.name != "api.md"
        for line in path.read_text("utf-8").splitlines()
        for _ in re.finditer(pattern, line, re.IGNORECASE)
    ]
    assert len(found) <= WORDS[pattern], "\n".join(found)


def test_the_runner_notices_what_is_not_true():
    page = "```python\n1 + 1  # 3\n```\n"
    with pytest.raises(AssertionError, match="the page says 3, it is 2"):
        run_page(page, "page", {})
    with pytest.raises(AssertionError, match="it was KeyError"):
        run_page("```python\n{}[0]  # raises ValueError\n```\n", "page", {})
    with pytest.raises(pytest.fail.Exception):
        run_page("```python\nint()  # raises ValueError\n```\n", "page", {})


def test_the_runner_notices_what_never_runs_and_an_await_outside_of_functions():
    with pytest.raises(AssertionError, match="never run"):
        run_page("```python\nasync def main():\n    1 + 1  # 3\n```\n", "page", {})
    with pytest.raises(AssertionError, match="no expressions"):
        run_page("```python\nx = 3  # 3\n```\n", "page", {})
    with pytest.raises(SyntaxError):
        run_page("```python\nasync def main():\n    pass\n\nawait main()\n```\n", "page", {})


def test_the_runner_runs_coroutines_and_replaces_ports():
    page = (
        "```python\nimport asyncio\nx = 1\n```\n\n"
        "```python\nasync def main():\n    await asyncio.sleep(0)\n    x  # 1\n    return 2\n```\n"
        "```python\nasyncio.run(main())  # 2\n```\n"
        "```python\nif x:\n    [][0]  # raises IndexError: for it is empty\n    x  # just a word\n```\n"
        '```python\nu = "http://127.0.0.1:8000/a"\nlen(u)  # 20\n```\n'
    )
    assert run_page(page, "page", {8000: 1}) == 4


def test_an_error_of_a_block_shows_its_line_in_the_page():
    with pytest.raises(ZeroDivisionError) as caught:
        run_page("text\n\n```python\n1\n1 / 0\n```\n", "page", {})
    assert caught.traceback[-1].lineno + 1 == 5
