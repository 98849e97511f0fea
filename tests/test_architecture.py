"""
The structure of the package, held by tests: who may import whom, what `import httpx` costs, how long a function may be,
and that the sync and the async client say the same.

The rules are those of docs/design.md. When one of these tests fails, the change goes against the structure: change
the code, or change the rule here and in the document, with a reason.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Union

import pytest

from support.programs import unmeasured
from support.twins import Difference, compare_texts, compare_twins, members

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "httpx"

# Module -> level; a name with a star at its end stands for all modules below it. Imports go downwards only.
LEVELS = {
    "_exceptions": 0,
    "_fields": 0,
    "_filenames": 0,
    "_websocket_exceptions": 0,
    "_bytestreams": 0,
    "_types": 0,
    "_shell_words": 0,
    "_hints": 0,
    "_secrets": 0,
    "_status_codes": 0,
    "_loggers": 0,
    "_quiet": 0,
    "_utils": 0,
    "_forks": 0,
    "_latch": 0,
    "_clock": 0,
    "__version__": 0,
    "_urlparse": 1,
    "_urls": 1,
    "_headers": 1,
    "_cookies": 1,
    "_cookies.*": 1,
    "_content": 1,
    "_files": 1,
    "_destinations": 1,
    "_multipart": 1,
    "_decoders": 1,
    "_encoders": 1,
    "_events": 1,
    "_jsonl": 1,
    "_config": 1,
    "_tls_context": 1,
    "_curl": 1,
    "_curl_command": 1,
    "_redaction": 1,
    "_models": 1,
    "_reading": 1,
    "_origins": 1,
    "_request": 1,
    "_text": 1,
    "_timings": 1,
    "_response": 1,
    "_structured": 1,
    "_retry_after": 1,
    "_steps": 1,
    "_protocol.*": 2,
    "_pool": 2,
    "_sharing": 2,
    "_auth": 3,
    "_auth.*": 3,
    "_flow": 3,
    "_interim": 3,
    "_middleware": 3,
    "_middleware.*": 3,
    "_subscription": 3,
    "_redirects": 3,
    "_reconnect": 3,
    "_patterns": 3,
    "_proxies": 3,
    "_transfer": 3,
    "_upload": 3,
    "_engine.*": 4,
    "_transports.*": 4,
    "_bulk": 5,
    "_bulk.*": 5,
    "_base_client": 5,
    "_client": 5,
    "_event_source": 5,
    "_transfer_arguments": 5,
    "_verbs": 5,
    "_api": 5,
    "_websockets": 5,
    "_websocket_clients": 5,
    "websockets": 5,
    "_cli.*": 5,
    "_main": 5,
    "_old_names": 5,
    "_old_parts": 5,
    "testing": 5,
    "_alias": 5,
    "_httpcore2": 5,
    "alias": 5,
    "__init__": 5,
    "__main__": 5,
}

# What would make a machine impure: the world outside, and the clock. TLS over memory needs `ssl`, and no socket.
IMPURE = frozenset({"socket", "ssl", "select", "selectors", "asyncio", "threading", "time", "trio", "anyio"})
MAY_IMPORT = {"_protocol.tls": frozenset({"ssl"})}

# Names that say nothing about what is in a module; `_utils` is upstream's, and small.
VAGUE = ("data", "info", "manager", "helper", "util")
VAGUE_BUT_KNOWN = frozenset({"_utils"})

MAX_LINES = 60
MAX_MEDIAN = 15

# What a program that imports httpx must not pay for before it uses it.
HEAVY = (
    *("httpcore", "anyio", "sniffio", "trio", "click", "rich", "pygments", "h11", "h2", "http.cookiejar"),
    *("brotli", "zstandard", "asyncio", "hashlib", "ipaddress", "httpx._transports.asgi", "httpx._websockets"),
    *("httpx._destinations", "httpx._bulk"),
    *("httpx._middleware", "httpx.testing", "httpx._interim", "httpx._encoders"),
    *("httpx._alias", "httpx.alias", "httpx._httpcore2"),
    *("httpx._events", "httpx._event_source", "httpx._subscription", "httpx._engine.sleeping"),
    *("httpx._timings", "httpx._curl", "netrc", "shlex"),
    *("httpx._upload", "httpx._transports.slices"),
    *("httpx._transfer", "httpx._transfer_arguments", "httpx._transports.carrying", "httpx._transports.drafts"),
    *("httpx.websockets", "httpx._engine.websocket", "httpx._protocol.websocket"),
)
# What a program that makes a sync client must not pay for; the decoders may be looked up for Accept-Encoding.
HEAVY_FOR_A_CLIENT = tuple(name for name in HEAVY if name not in ("http.cookiejar", "brotli", "zstandard"))

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class Import(NamedTuple):
    """One import: of a module of the package (a dotted name below it), or of a module outside."""

    module: str
    inside: bool
    line: int
    lazy: bool  # in a function, so not when the module is imported


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file; a package's own file has the package's name, ours is `__init__`."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts)
        found[name[: -len(".__init__")] if len(parts) > 1 and parts[-1] == "__init__" else name] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in MODULES.items()}


UNKNOWN = 99


def level_of(name: str) -> int:
    """The level of a module; `UNKNOWN`, above all others, if the table does not say."""
    return LEVELS.get(name, LEVELS.get(name.split(".")[0] + ".*", UNKNOWN))


def imports_of(tree: ast.Module, module: str, known: dict[str, Path]) -> Iterator[Import]:
    """All imports of a module but those that only a type checker sees."""
    # The package that relative imports start from, as names below httpx.
    is_package = module == "__init__" or known[module].name == "__init__.py"
    package = [] if module == "__init__" else module.split(".")
    package = package if is_package else package[:-1]
    for node, lazy in walk(tree, lazy=False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield outside_or_inside(alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield outside_or_inside(node.module or "", node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - (node.level - 1)] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                # `from . import x` may mean a module x or a name in the package itself.
                whole = ".".join([*start, alias.name])
                name = whole if whole in known else ".".join(start) or "__init__"
                yield Import(name, True, node.lineno, lazy)


def outside_or_inside(name: str, line: int, lazy: bool) -> Import:
    first, _, rest = name.partition(".")
    return Import(rest or "__init__", True, line, lazy) if first == "httpx" else Import(name, False, line, lazy)


def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes with whether they are in a function, without what is under `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.orelse:
            yield from walk(child, lazy)
        return
    yield node, lazy
    lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from walk(child, lazy)


IMPORTS = {name: list(imports_of(tree, name, MODULES)) for name, tree in TREES.items()}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_level(module: str):
    assert level_of(module) != UNKNOWN, f"{module} is in no level: say where it belongs in LEVELS and docs/design.md"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downwards(module: str):
    for imported in IMPORTS[module]:
        if imported.inside:
            assert level_of(imported.module) <= level_of(module), (
                f"{MODULES[module]}:{imported.line} imports {imported.module}, which is above it"
            )


@pytest.mark.parametrize("module", [name for name in MODULES if level_of(name) == 2])
def test_machines_are_pure(module: str):
    for imported in IMPORTS[module]:
        where = f"{MODULES[module]}:{imported.line}"
        if imported.inside:
            assert level_of(imported.module) != 1, f"{where}: a machine speaks bytes, not {imported.module}"
        else:
            first = imported.module.split(".")[0]
            assert first not in IMPURE - MAY_IMPORT.get(module, frozenset()), f"{where}: {first} in a machine"


@pytest.mark.parametrize("module", [name for name in MODULES if level_of(name) < 4])
def test_nothing_below_the_shells_knows_an_async_library(module: str):
    found = {imported.module.split(".")[0] for imported in IMPORTS[module] if not imported.inside}
    assert not found & {"asyncio", "trio", "anyio", "sniffio", "selectors"}


def test_words_and_values_do_not_import_each_other_in_circles():
    graph = {
        name: {each.module for each in imports if each.inside and not each.lazy and each.module != name}
        for name, imports in IMPORTS.items()
        if level_of(name) <= 1
    }
    assert cycle_in(graph) == []


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The names on some cycle, or none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            found = visit(other, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := visit(name, []))), [])


@pytest.mark.parametrize("module", MODULES)
def test_no_module_has_a_name_that_says_nothing(module: str):
    for part in module.split("."):
        assert part in VAGUE_BUT_KNOWN or not any(word in part for word in VAGUE), f"what is in {part}?"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str):
    if MODULES[module].read_text(encoding="utf-8").strip() and module != "__version__":
        assert ast.get_docstring(TREES[module]), f"{MODULES[module]} has no docstring"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_postpones_its_annotations(module: str):
    """Without it an annotation that Python 3.9 cannot evaluate breaks the import there, and only there."""
    names = [alias.name for node in TREES[module].body if isinstance(node, ast.ImportFrom) for alias in node.names]
    has_annotations = any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(TREES[module]))
    assert not has_annotations or "annotations" in names


# Functions.


def functions_of(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def length_of(function: Function) -> int:
    """Lines from `def` to the end, without the docstring: what it explains is not what makes it long."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_long_without_a_reason(module: str):
    for function in functions_of(TREES[module]):
        reason = any(
            line.strip().startswith("Long because") for line in (ast.get_docstring(function) or "").split("\n")
        )
        assert length_of(function) <= MAX_LINES or reason, (
            f"{MODULES[module]}:{function.lineno}: {function.name} has {length_of(function)} lines; make it shorter, "
            "or say why not in a line of its docstring that starts with `Long because`"
        )


def test_most_functions_are_short():
    lengths = [length_of(function) for tree in TREES.values() for function in functions_of(tree)]
    assert statistics.median(lengths) < MAX_MEDIAN


# What an import costs.


def loaded_by(code: str) -> set[str]:
    """The modules that `code` makes a fresh interpreter load."""
    program = f"import sys; before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    # Measuring coverage in there would load modules of its own.
    environment = unmeasured()
    environment["PYTHONPATH"] = str(SOURCE.parent)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_httpx_loads_nothing_heavy():
    assert loaded_by("import httpx") & set(HEAVY) == set()


@pytest.mark.skipif("_client" not in MODULES, reason="there is no client yet")
def test_making_a_client_loads_nothing_that_it_does_not_use():
    assert loaded_by("import httpx; httpx.Client().close()") & set(HEAVY_FOR_A_CLIENT) == set()


# The twins.

# Async name -> sync name: the only differences besides `async` and `await` that the two clients may have.
TWIN_NAMES = {
    "AsyncClient": "Client",
    "AsyncVerbs": "Verbs",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncHTTPTransport": "HTTPTransport",
    "AsyncBound": "Bound",
    "AsyncByteStream": "SyncByteStream",
    "AsyncIterator": "Iterator",
    "AsyncIterable": "Iterable",
    "AsyncGenerator": "Generator",
    "asynccontextmanager": "contextmanager",
    "handle_async_request": "handle_request",
    "async_auth_flow": "sync_auth_flow",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration",
    "aclose": "close",
    "AsyncEventStream": "EventStream",
    "AbstractAsyncContextManager": "AbstractContextManager",
    "AsyncEvents": "Events",
    "AsyncSleeper": "Sleeper",
    "aread": "read",
    "aiter_bytes": "iter_bytes",
    "aiter_raw": "iter_raw",
    "asend": "send",
    "athrow": "throw",
    "_adrain": "_drain",
    "afinished": "finished",
    "AsyncWebSocketClient": "WebSocketClient",
    "AsyncWebSocketConnector": "WebSocketConnector",
    "AsyncWebSocketSession": "WebSocketSession",
    "async_channel": "sync_channel",
    "asleep": "sleep",
    "in_async": "in_sync",
    "acall": "call",
    "await_for": "wait_for",
    "apause": "pause",
    "acarry_out": "carry_out",
    "U": "T",
}
# Methods that differ on purpose, each with its reason.
UNPAIRED: tuple[str, ...] = (
    "map",  # only threads can use an executor; tests/test_bulk.py compares the signatures
)


def class_named(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


@pytest.mark.skipif("_client" not in MODULES, reason="there is no client yet")
def test_the_clients_are_twins():
    for module, name in (
        ("_client", "Client"),
        ("_verbs", "Verbs"),
        ("_event_source", "Events"),
        ("_event_source", "EventStream"),
    ):
        pair = class_named(TREES[module], name), class_named(TREES[module], f"Async{name}")
        differences = compare_twins(*pair, TWIN_NAMES, UNPAIRED)
        assert not differences, "\n\n".join(differences)


CARRYING_NAMES = {
    **TWIN_NAMES,
    "acopy": "copy",
    "apieces_of": "pieces_of",
    "Worker": "InPlace",
    "at_once_in_tasks": "at_once",
    "_BATCH": "_PIECE",
}


def test_transfers_are_carried_out_alike():
    functions = {node.name: node for node in functions_of(TREES["_transports.carrying"])}
    pairs = (("carry_out", "copy"), ("acarry_out", "acopy"))
    classes = [ast.parse("class Carrying: pass").body[0] for _ in pairs]
    for made, names in zip(classes, pairs):
        assert isinstance(made, ast.ClassDef)
        made.body = [functions[name] for name in names]
    differences = compare_twins(*classes, CARRYING_NAMES)
    assert not differences, "\n\n".join(differences)


def test_the_sessions_of_websockets_are_twins():
    for module, name in (
        ("_websockets", "WebSocketSession"),
        ("_websockets", "WebSocketConnector"),
        ("_websocket_clients", "WebSocketClient"),
    ):
        pair = class_named(TREES[module], name), class_named(TREES[module], f"Async{name}")
        differences = compare_twins(*pair, TWIN_NAMES, ())
        assert not differences, "\n\n".join(differences)


# The shells. What stays written by hand in each of them is compared, too: threads with trio, and asyncio with trio.
ENGINE_NAMES = {
    "TrioEngine": "SyncEngine",
    "TrioConnection": "SyncConnection",
    "AsyncioConnection": "SyncConnection",
    "AsyncBody": "SyncBody",
    "now": "monotonic",
    "anext_piece": "next_piece",
    "aend_pieces": "end_pieces",
    "do_chores": "settle",
}
PUMP = (
    *(
        "handle",
        "receive",
        "hear",
        "_feed",
        "_await_room",
        "_await_consent",
        "_stream",
        "_exchange_on",
        "tell",
        "later",
    ),
)

SYNC_AND_TRIO = [
    Difference("handle", "while True:", "while not self._closed:", "a thread that waits is told by `_closings`"),
    Difference("handle", "", "raise ConnectError(CLOSED)", "the same"),
    Difference(
        "receive",
        "received = wire.receive_lent(until) if has_head and job.lends else wire.receive(until)",
        "received = connection.receive(until)",
        "only threads write to files at once",
    ),
    Difference(
        "handle",
        """
        with self.lock:
            connection = pool.acquire(job.key, moment, job)
        if (
            isinstance(connection, Ticket)
            or pool.has_chores
            or (connection.multiplexer is None and connection.wire.poll(0))
        ):
            connection = self._acquire(connection, job)
            moment = monotonic()
        """,
        """
        connection = pool.acquire(job.key, moment, job)
        if isinstance(connection, Ticket):
            connection = self._redeem(connection, job)
            moment = monotonic()
        if pool.has_chores:
            self.settle()
        """,
        "threads have a lock; they look at the socket before, and a multiplexer may have it in another thread",
    ),
    Difference(
        "handle",
        "",
        """
        if connection.closed or (connection.reused and (not connection.is_quiet())):
            self.release(connection, False, job)
            moment = job.note_acquired(monotonic())
            continue
        """,
        "in threads that is a part of `_acquire`",
    ),
    Difference(
        "handle",
        "if not connection.interrupted and job.may_replay(exchange, exc, reused):",
        "if not self._closed and job.may_replay(exchange, exc, reused):",
        "what has begun to wait for a closed client of threads fails; async clients do not begin again",
    ),
    Difference(
        "handle",
        "received = wire.receive(until)",
        "received = connection.receive(until)",
        "a thread waits in the wire, for one frame less",
    ),
    Difference(
        "_await_consent",
        "data = connection.wire.receive(until)",
        "data = connection.receive(until)",
        "the same as in `receive`",
    ),
    Difference(
        "_feed",
        "",
        """
        if job.should_rest():
            trio.lowlevel.checkpoint()
        """,
        "threads need not be kept from keeping others from running",
    ),
    Difference(
        "tell",
        "narrator.callback(*event)",
        """
        result = narrator.callback(*event)
        if result is not None:
            result
        """,
        "an async function may be called",
    ),
    Difference(
        "hear",
        "refuse_awaitable(job.request.extensions['informational'](interim))",
        """
        result = job.request.extensions['informational'](interim)
        if result is not None:
            result
        """,
        "the same",
    ),
    Difference(
        "later",
        """
        self._later.append(function)
        self.pool.has_chores = True
        """,
        """
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            pass
        """,
        "there is no loop that could call it",
    ),
]

LOOP_NAMES = {**ENGINE_NAMES, "AsyncioEngine": "SyncEngine"}
SHARED = ("handle", "receive", "hear", "_feed", "_await_consent", "_stream", "_exchange_on", "tell", "later")

ASYNCIO_AND_TRIO = [
    *(
        Difference(method, "monotonic = self.loop.time", "", "the clock is the loop's")
        for method in ("handle", "_await_consent")
    ),
    Difference("receive", "wire, monotonic = (connection.wire, self.loop.time)", "wire = connection.wire", "the same"),
    Difference(
        "handle",
        "if connection.closed or (connection.reused and connection.wire.poll(0) and not connection.is_quiet()):",
        "if connection.closed or (connection.reused and not connection.is_quiet()):",
        "on asyncio `is_quiet` receives",
    ),
    Difference(
        "handle",
        """
        if connection.reused:
            connection.exchange = exchange
        connection.deadline = None
        """,
        "",
        "a callback receives; on a new connection it waits until the request is out",
    ),
    Difference(
        "handle",
        """
        moment = monotonic()
        connection.exchange = None
        connection.reused = True
        connection.deadline = None if self._expiry is None else moment + self._expiry
        reusable = exchange.reusable and not (connection.closed or connection.unsent)
        pool.release(connection, reusable, moment, job)
        if pool.has_chores:
            self.settle()
        """,
        "self.release(connection, exchange.reusable, job)",
        "inlined: the frame that trio has here is the one of the callback",
    ),
    Difference(
        "receive",
        "if connection.unsent and need != NOTHING and not exchange.abandoned:",
        "if wire.unsent and need != NOTHING and not exchange.abandoned:",
        "what is unsent leaves by a callback",
    ),
    *(
        Difference(
            method,
            """
            rest = wire.send(data if wire.tls is None else wire.tls.encrypt(data))
            if rest:
                connection.queue(rest)
            """,
            "wire.unsent = wire.send(data if wire.tls is None else wire.tls.encrypt(data))",
            "the same",
        )
        for method in ("handle", "receive")
    ),
    Difference(
        "handle",
        "if exchange.need == INPUT and (not (connection.unsent or connection.error or connection.closed)):",
        "if exchange.need == INPUT and (not wire.unsent):",
        "the same, and a callback has noticed",
    ),
    Difference(
        "handle",
        "if not connection.wait(until):",
        """
        try:
            received = connection.receive(until)
        except TransportError as exc:
            raise why(connection, exc) from None
        if received is None:
        """,
        "a callback receives",
    ),
    Difference(
        "handle", "", "exchange.receive(received) if received else wire.deliver_end(exchange)", "a callback receives"
    ),
    Difference("receive", "connection.begin(exchange)", "hear_early(connection, exchange)", "a callback receives"),
    Difference(
        "receive",
        """
        if connection.error is not None or connection.closed:
            raise why(connection)
        """,
        "",
        "a callback has noticed",
    ),
    Difference(
        "receive",
        "if not connection.wait(until) or (job.deadline is not None and job.is_late(monotonic())):",
        """
        try:
            received = connection.receive(until)
        except TransportError as exc:
            raise why(connection, exc) from None
        if received is None or (job.deadline is not None and job.is_late(monotonic())):
        """,
        "a callback receives",
    ),
    Difference(
        "receive", "", "exchange.receive(received) if received else wire.deliver_end(exchange)", "a callback receives"
    ),
    Difference(
        "_feed",
        """
        if job.should_rest():
            asyncio.sleep(0)
        if exchange.need == BODY:
            piece = job.next_piece()
            if piece is None and job.request.trailers is not None:
                exchange.feed(None, job.trailers())
            else:
                exchange.feed(piece)
        """,
        """
        if job.should_rest():
            trio.lowlevel.checkpoint()
        if not (connection.wire.poll(0) and listen(connection, exchange)):
            piece = job.next_piece()
            if piece is None and job.request.trailers is not None:
                exchange.feed(None, job.trailers())
            else:
                exchange.feed(piece)
        """,
        "a callback receives while others run",
    ),
    Difference(
        "_await_consent",
        """
        if connection.error is not None or connection.closed:
            raise why(connection)
        if not connection.wait(until) or (until is not None and monotonic() >= until):
            job.check_patience(monotonic())
            exchange.proceed()
        """,
        """
        try:
            data = connection.receive(until)
        except TransportError as exc:
            raise why(connection, exc) from None
        if data is not None:
            exchange.receive(data) if data else connection.wire.deliver_end(exchange)
        if data is None or (until is not None and monotonic() >= until):
            job.check_patience(monotonic())
            exchange.proceed()
        """,
        "a callback receives",
    ),
    Difference(
        "later",
        """
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass
        """,
        """
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            pass
        """,
        "another library",
    ),
]

BODIES = [
    Difference(
        "__init__",
        "",
        """
        self._chunks: Iterator[bytes] = iter(())
        """,
        "an iterator that is a class keeps its place",
    ),
    Difference("__init__", "", "self._begun = False", "the same"),
    Difference(
        "_receive",
        "self._job.lends = self.lends and self._exchange.is_unframed",
        "",
        "only threads write to files at once",
    ),
    *(
        Difference(
            name,
            """
            if self._job.lends:
                self._connection.wire.take_back()
            """,
            "",
            "the same",
        )
        for name in ("_close", "_drop")
    ),
]


def test_the_engines_of_threads_and_trio_are_twins():
    differences = compare_texts(
        class_named(TREES["_engine.sync"], "SyncEngine"),
        class_named(TREES["_engine.trio"], "TrioEngine"),
        ENGINE_NAMES,
        PUMP,
        SYNC_AND_TRIO,
    )
    assert not differences, "\n\n".join(differences)


def test_the_engines_of_asyncio_and_trio_are_twins():
    """But for `_await_room`, where the one is told by callbacks what the other does itself."""
    differences = compare_texts(
        class_named(TREES["_engine.asyncio"], "AsyncioEngine"),
        class_named(TREES["_engine.trio"], "TrioEngine"),
        LOOP_NAMES,
        SHARED,
        ASYNCIO_AND_TRIO,
    )
    assert not differences, "\n\n".join(differences)


def test_a_difference_between_twins_that_is_not_listed_is_found():
    ours, theirs = (ast.parse(textwrap.dedent(code)).body[0] for code in (SYNC, ASYNC))
    assert isinstance(ours, ast.ClassDef)
    assert isinstance(theirs, ast.ClassDef)
    listed = Difference("close", "raise Error('Client.close() was called', self.transport.close())", "x", "why")
    assert len(compare_texts(ours, theirs, {}, ["send"], [])) == 1
    assert "this difference is no more: why" in compare_texts(ours, theirs, TWIN_NAMES, ["close"], [listed])[0]
    assert compare_texts(ours, theirs, TWIN_NAMES, ["close"], []) == []


def test_the_bodies_of_responses_are_twins():
    """Iterating is what differs: a generator in threads, a class where a generator would need its loop to end."""
    differences = compare_texts(
        class_named(TREES["_engine.sync"], "SyncBody"),
        class_named(TREES["_engine.async_body"], "AsyncBody"),
        {**ENGINE_NAMES, "aclose": "close", "now": "now"},
        ("__init__", "_receive", "hurry", "close", "_close", "_drop", "__del__"),
        BODIES,
    )
    assert not differences, "\n\n".join(differences)


# The iterators of `map`: who sends is another crew, and a sync one does not wait after Ctrl-C.
BULK_NAMES = {**TWIN_NAMES, "AsyncBulk": "Bulk", "TaskCrew": "ThreadCrew"}
BULK_UNPAIRED = (
    "_give_up",  # tasks can be cancelled; threads are waited for, but not after Ctrl-C
    "__exit__",  # the same
)
BULKS = [
    Difference(
        "__init__",
        """
        self._is_async = hasattr(requests, '__iter__')
        self._source: Any = requests.__iter__() if self._is_async else iter(requests)
        """,
        "self._source: Any = iter(requests)",
        "the input may be async",
    ),
    Difference(
        "_read",
        """
        try:
            item = self._source.__next__() if self._is_async else next(self._source)
            call = call_of(self._number, self._client, item)
        except (StopIteration, StopIteration):
        """,
        """
        try:
            call = call_of(self._number, self._client, next(self._source))
        except StopIteration:
        """,
        "the same",
    ),
]


def test_the_iterators_of_map_are_twins():
    pair = class_named(TREES["_bulk"], "AsyncBulk"), class_named(TREES["_bulk"], "Bulk")
    methods = [name for name in members(pair[1]) if name not in BULK_UNPAIRED]
    differences = compare_texts(*pair, BULK_NAMES, methods, BULKS)
    assert not differences, "\n\n".join(differences)


def twins(sync: str, asynchronous: str, names: dict[str, str], unpaired: tuple[str, ...] = ()) -> list[str]:
    trees = [ast.parse(textwrap.dedent(code)).body[0] for code in (sync, asynchronous)]
    assert isinstance(trees[0], ast.ClassDef)
    assert isinstance(trees[1], ast.ClassDef)
    return compare_twins(trees[0], trees[1], names, unpaired)


SYNC = '''
class Client(Base):
    """The sync one."""
    limit: int = 5

    def send(self, request: Request) -> Iterator[bytes]:
        """Send it."""
        with self.lock as lock, open(request) as other:
            for item in request.stream:
                yield item
        return [x.read() for x in self.items if x.close()]

    def close(self):
        raise Error("Client.close() was called", self.transport.close())
'''
ASYNC = '''
class AsyncClient(Base):
    """The async one, described in other words."""

    async def aclose(self):
        raise Error("AsyncClient.aclose() was called", await self.transport.aclose())

    limit: int = 5

    async def send(self, request: Request) -> AsyncIterator[bytes]:
        async with self.lock as lock, open(request) as other:
            async for item in request.stream:
                yield item
        return [await x.aread() async for x in self.items if await x.aclose()]
'''
NAMES = {"AsyncClient": "Client", "AsyncIterator": "Iterator", "aclose": "close", "aread": "read"}


def test_twins_agree_when_only_async_await_and_the_named_names_differ():
    assert twins(SYNC, ASYNC, NAMES) == []


def test_a_name_that_is_not_in_the_list_is_a_difference():
    differences = twins(SYNC, ASYNC, {name: value for name, value in NAMES.items() if name != "aread"})
    assert len(differences) == 1
    assert differences[0].startswith("send:\n")
    assert "x.aread()" in differences[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit: int = 5", "limit: int = 6"),
        ("request: Request", "request: Request = None"),
        ("as lock, open(request) as other", "as lock"),
        ("if await x.aclose()", "if not await x.aclose()"),
        ("was called", "was never called"),
        ("raise Error", "return Error"),
    ],
)
def test_a_change_on_one_side_is_a_difference(old: str, new: str):
    assert old in ASYNC
    assert len(twins(SYNC, ASYNC.replace(old, new), NAMES)) == 1


def test_a_method_that_only_one_has_is_a_difference_unless_it_is_expected():
    more = ASYNC + "\n    async def extra(self):\n        pass\n"
    assert twins(SYNC, more, NAMES) == ["extra: only AsyncClient has it"]
    assert twins(SYNC, more, NAMES, ("extra",)) == []
    fewer = SYNC + "\n    def only_sync(self):\n        pass\n"
    assert twins(fewer, ASYNC, NAMES) == ["only_sync: only Client has it"]


def test_a_property_and_its_setter_are_compared_together():
    one = "class A:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): self.v = v\n"
    assert twins(one, one, {}) == []
    assert len(twins(one, one.replace("self.v = v", "self.w = v"), {})) == 1


def test_the_types_of_generators_are_compared_by_what_both_have():
    sync = "class A:\n    def f(self) -> Generator[int, str, None]: pass\n"
    asynchronous = "class A:\n    async def f(self) -> AsyncGenerator[int, str]: pass\n"
    assert twins(sync, asynchronous, {"AsyncGenerator": "Generator"}) == []


def test_other_statements_in_a_class_are_compared_too():
    one = "class A:\n    a = b = 1\n    if x:\n        y = 1\n    def f(self):\n        'only a docstring'\n"
    assert twins(one, one, {}) == []
    assert len(twins(one, one.replace("y = 1", "y = 2"), {})) == 2


# The tests of the tests: a rule that never fails holds nothing.


def found_in(code: str, module: str) -> set[tuple[str, bool, bool]]:
    known = {name: SOURCE / f"{name}.py" for name in ("_urls", "_pool", "_protocol.http1", "_protocol.exchange")}
    known["_protocol"] = SOURCE / "_protocol" / "__init__.py"
    known["__init__"] = SOURCE / "__init__.py"
    return {(each.module, each.inside, each.lazy) for each in imports_of(ast.parse(code), module, known)}


def test_imports_are_found_in_every_form():
    assert found_in("import ssl, os.path", "_pool") == {("ssl", False, False), ("os.path", False, False)}
    assert found_in("from socket import socket", "_pool") == {("socket", False, False)}
    assert found_in("from ._urls import URL", "_pool") == {("_urls", True, False)}
    assert found_in("from . import _urls, codes", "_pool") == {("_urls", True, False), ("__init__", True, False)}
    assert found_in("from .._urls import URL", "_protocol.http1") == {("_urls", True, False)}
    assert found_in("from . import exchange", "_protocol.http1") == {("_protocol.exchange", True, False)}
    assert found_in("from .http1 import X", "_protocol") == {("_protocol.http1", True, False)}
    assert found_in("from ._urls import URL", "__init__") == {("_urls", True, False)}
    assert found_in("import httpx._urls", "_pool") == {("_urls", True, False)}
    assert found_in("from httpx import URL", "_pool") == {("__init__", True, False)}


def test_imports_in_functions_are_lazy_and_those_for_type_checkers_are_none():
    assert found_in("def f():\n    import ssl", "_pool") == {("ssl", False, True)}
    assert found_in("if TYPE_CHECKING:\n    import ssl\nelse:\n    import os", "_pool") == {("os", False, False)}
    assert found_in("try:\n    import ssl\nexcept ImportError: pass", "_pool") == {("ssl", False, False)}


def test_cycles_are_found():
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_the_docstring_does_not_count_as_length():
    (function,) = functions_of(ast.parse('def f(\n    a,\n):\n    """One\n\n    two."""\n    return a\n'))
    assert length_of(function) == 4
