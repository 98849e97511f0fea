"""
The pages for users say what is true: every block of Python in `docs/` runs, against the echo server.

The blocks of a page run from top to bottom as one program, in an empty working directory, where `await` may stand
outside of functions. What a block needs and a reader does not goes before it in a comment of the page:

    <!-- run
    Path("notes.txt").write_text("text")
    -->

What stands behind an expression in a comment is checked: a literal is its value, `raises X` the class that it raises.

    response.status_code  # 200
    response.raise_for_status()  # raises httpx.HTTPStatusError

Any other comment is for the reader. The address in the pages, http://127.0.0.1:8000, becomes the server's.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import io
import logging
import re
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ADDRESS = "http://127.0.0.1:8000"

_BLOCK = re.compile(r"^(?:```python\n(?P<shown>.*?)^```|<!-- run\n(?P<hidden>.*?)^-->)", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str]]:
    """The blocks of Python of a page, each with the number of the line before it."""
    return [
        (page.count("\n", 0, match.start()) + 1, match["shown"] or match["hidden"] or "")
        for match in _BLOCK.finditer(page)
    ]


def comments(source: str) -> dict[int, str]:
    """The comments of a program, by line."""
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
    """Puts a check in the place of each expression that has a comment which says what comes of it."""

    def __init__(self, said: dict[int, str]) -> None:
        self.said = said

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        said = self.said.get(node.end_lineno or 0, "")
        if said.startswith("raises "):
            call = ast.Call(ast.Name("_raises", ast.Load()), [ast.Constant(said.split()[1].rstrip(":,"))], [])
            return ast.copy_location(ast.With([ast.withitem(call)], [node]), node)
        if said and is_literal(said):
            call = ast.Call(ast.Name("_is", ast.Load()), [node.value, ast.Constant(said)], [])
            return ast.copy_location(ast.Expr(call), node)
        return node


def check_value(value: object, said: str) -> None:
    expected = ast.literal_eval(said)
    assert value == expected, f"the page says {expected!r}, it is {value!r}"


@contextmanager
def check_raises(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException as exc:  # also asyncio.CancelledError
        if name.rpartition(".")[2] not in {kind.__name__ for kind in type(exc).__mro__}:
            raise AssertionError(f"the page says that {name} is raised, it was {exc!r}") from exc
    else:
        pytest.fail(f"the page says that {name} is raised, and nothing was")


def run_page(page: str, path: str, address: str) -> int:
    """Run the blocks of a page. Returns how many expressions were checked."""
    names: dict[str, Any] = {"__name__": "page", "_is": check_value, "_raises": check_raises}
    loop = asyncio.new_event_loop()
    checked = 0
    try:
        for line, source in blocks(page.replace(ADDRESS, address)):
            tree = ast.parse("\n" * line + source, path)
            said = comments("\n" * line + source)
            checked += sum(text.startswith("raises ") or is_literal(text) for text in said.values())
            tree = ast.fix_missing_locations(Checked(said).visit(tree))
            code = compile(tree, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                loop.run_until_complete(eval(code, names))
            else:
                exec(code, names)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    return checked


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Pages show how to switch logging on; other tests count what a request costs with it off."""
    loggers = [logging.getLogger(name) for name in (None, "httpx", "httpcore")]
    before = [(logger, logger.level, logger.handlers.copy()) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_of_python_runs(path: Path, echo_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    page = path.read_text("utf-8")
    if "import trio" in page:
        pytest.importorskip("trio")
    checked = run_page(page, str(path), echo_server.url)
    assert checked or not blocks(page), "a page with code says at least once what comes of it"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target.partition("#")[0]).exists(), target


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


def test_the_runner_notices_what_is_not_true():
    page = "```python\n1 + 1  # 3\n```\n"
    with pytest.raises(AssertionError, match="the page says 3, it is 2"):
        run_page(page, "page", ADDRESS)
    with pytest.raises(AssertionError, match="it was KeyError"):
        run_page("```python\n{}[0]  # raises ValueError\n```\n", "page", ADDRESS)
    with pytest.raises(pytest.fail.Exception):
        run_page("```python\nint()  # raises ValueError\n```\n", "page", ADDRESS)


def test_the_runner_runs_hidden_blocks_and_awaits():
    page = (
        "<!-- run\nimport asyncio\nx = 1\n-->\n\n"
        "```python\nasync def double(y):\n    return 2 * y\n\nawait double(x)  # 2\n```\n"
        "```python\nif x:\n    [][0]  # raises IndexError: for it is empty\n    x  # just a word\n```\n"
        '```python\nu = "http://127.0.0.1:8000/a"\nu  # "http://127.0.0.1:8000/a"\n```\n'
    )
    assert run_page(page, "page", "http://[::1]:1") == 3


def test_an_error_of_a_block_shows_its_line_in_the_page():
    with pytest.raises(ZeroDivisionError) as caught:
        run_page("text\n\n```python\n1\n1 / 0\n```\n", "page", ADDRESS)
    assert caught.traceback[-1].lineno + 1 == 5
