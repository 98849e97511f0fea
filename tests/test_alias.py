"""The name httpx2 for this package, and the command that runs programs with it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pickle
import subprocess
import sys
import threading
import types
from importlib import import_module
from pathlib import Path
from unittest import mock

import pytest

import httpx
from httpx import _alias, alias


@pytest.fixture
def aliased(without_httpx2: None) -> None:
    httpx.alias_httpx2()


def test_both_names_are_one_package(aliased: None):
    import httpx2

    assert httpx2 is httpx
    assert httpx2.Client is httpx.Client
    assert httpx.__spec__.name == "httpx"


@pytest.mark.parametrize(
    "name", ["_client", "_config", "_types", "_transports", "_transports.default", "_jsonl", "testing"]
)
def test_modules_are_the_same_objects(aliased: None, name: str):
    """`from httpx2._config import DEFAULT_TIMEOUT_CONFIG` of another object would not be the client's default."""
    assert import_module(f"httpx2.{name}") is import_module(f"httpx.{name}")


@pytest.mark.parametrize("first", ["httpx2", "httpx"])
def test_a_module_that_is_loaded_later_is_loaded_once(aliased: None, first: str, monkeypatch: pytest.MonkeyPatch):
    """A second copy would have classes that no `except` of the first one catches."""
    import httpx._hints  # a module without state

    before = httpx._hints
    monkeypatch.delitem(sys.modules, "httpx._hints")
    monkeypatch.delitem(sys.modules, "httpx2._hints")
    found = import_module(f"{first}._hints")
    assert found is import_module("httpx._hints") is import_module("httpx2._hints")
    assert found.__name__ == found.__spec__.name == "httpx._hints"
    assert found.__package__ == "httpx"
    monkeypatch.setattr(httpx, "_hints", before)


def test_a_name_that_was_removed_from_the_modules_is_found_again(aliased: None):
    del sys.modules["httpx2"], sys.modules["httpx2._client"]
    assert import_module("httpx2._client").Client is httpx.Client
    assert import_module("httpx2") is httpx
    assert httpx.__spec__.name == "httpx"


def test_modules_that_are_loaded_are_there_without_an_import(aliased: None):
    assert sys.modules["httpx2._models"] is sys.modules["httpx._models"]


def test_from_imports_find_modules_that_are_not_loaded(aliased: None):
    from httpx2._transports import asgi

    assert asgi.ASGITransport is httpx.ASGITransport


def test_specs_are_found_without_loading(aliased: None, monkeypatch: pytest.MonkeyPatch):
    for each in ("httpx", "httpx2"):
        monkeypatch.delitem(sys.modules, f"{each}._cli.manual", raising=False)
    spec = importlib.util.find_spec("httpx2._cli.manual")
    assert spec is not None
    assert spec.origin == importlib.util.find_spec("httpx._cli.manual").origin
    assert "httpx._cli.manual" not in sys.modules
    assert importlib.util.find_spec("httpx2._cli").submodule_search_locations is not None


@pytest.mark.parametrize("name", ["httpx2.nothing", "httpx2._client.nothing", "httpcore2.nothing"])
def test_a_module_that_is_not_there_is_missed_under_its_name(aliased: None, name: str):
    with pytest.raises(ModuleNotFoundError, match=name):
        import_module(name)


def test_other_names_are_left_to_others(aliased: None):
    assert _alias._FINDER.find_spec("httpx3") is None
    assert import_module("json") is sys.modules["json"]


def test_patches_of_one_name_have_an_effect_on_the_other(aliased: None):
    with mock.patch("httpx2._client.Client.send", return_value="patched"):
        assert httpx.Client().get("http://127.0.0.1/") == "patched"


def test_pickles_of_both_names_are_read(aliased: None):
    headers = httpx.Headers({"a": "1"})
    text = pickle.dumps(headers, 0)
    assert b"chttpx\n" in text or b"chttpx._headers\n" in text
    assert pickle.loads(text.replace(b"chttpx\n", b"chttpx2\n").replace(b"chttpx.", b"chttpx2.")) == headers


def test_what_an_sdk_is_given_says_that_it_is_of_httpx2(aliased: None):
    """anthropic refuses clients, timeouts and transports with a base class of a module named httpx."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    for given in (httpx.Client(), httpx.AsyncClient(), httpx.Timeout(5), httpx.HTTPTransport(), transport):
        modules = [kind.__module__ for kind in type(given).__mro__ if kind is not object]
        assert modules[0] == "httpx2"
        assert {module.partition(".")[0] for module in modules} == {"httpx2"}
    assert httpx.Response.__module__ == httpx.ConnectError.__module__ == httpx.URL.__module__ == "httpx"
    httpx.alias_httpx2()
    assert httpx.Client.__module__ == "httpx2"


def test_a_pickled_client_is_read_where_the_alias_is(aliased: None):
    client = pickle.loads(pickle.dumps(httpx.Client(timeout=httpx.Timeout(7), headers={"A": "1"})))
    assert type(client) is httpx.Client
    assert (client.timeout, client.headers["A"]) == (httpx.Timeout(7), "1")


def test_threads_that_import_at_once_get_one_module(aliased: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(httpx, "_hints", import_module("httpx._hints"))
    for each in ("httpx", "httpx2"):
        monkeypatch.delitem(sys.modules, f"{each}._hints")
    found: list[types.ModuleType] = []
    start = threading.Barrier(8)

    def load(name: str) -> None:
        start.wait(5)
        found.append(import_module(name))

    threads = [threading.Thread(target=load, args=(f"{name}._hints",)) for name in ("httpx", "httpx2") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert found[0].__spec__.name == "httpx._hints"


# httpcore2.


def test_exceptions_of_httpcore2_are_those_of_httpx(aliased: None):
    """huggingface_hub's `except (httpx2.HTTPError, httpcore2.TimeoutException)` must catch what is raised here."""
    import httpcore2

    for name in httpcore2.__all__:
        assert getattr(httpcore2, name) is getattr(httpx, name)
    with pytest.raises(AttributeError, match=r"'httpcore2' has no attribute 'ConnectionPool'; after"):
        httpcore2.ConnectionPool  # noqa: B018  # the look is what is tested
    assert not hasattr(httpcore2, "__wrapped__")


def test_where_httpcore_is_installed_it_is_httpcore2(
    without_httpx2: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Mocks patch its pools under the name httpcore2; a module of its own would send their requests to the network."""
    (tmp_path / "httpcore").mkdir()
    for name in ("__init__", "_pool"):
        (tmp_path / "httpcore" / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "httpcore"]:
        monkeypatch.delitem(sys.modules, name)
    httpx.alias_httpx2()
    found = import_module("httpcore2._pool")
    assert found is sys.modules.pop("httpcore._pool")
    assert import_module("httpcore2") is sys.modules.pop("httpcore")


def test_an_httpcore2_that_was_imported_before_stays(without_httpx2: None):
    real = sys.modules["httpcore2"] = types.ModuleType("httpcore2")
    httpx.alias_httpx2()
    assert import_module("httpcore2") is real


# importlib.metadata.


def test_the_distribution_is_found(aliased: None):
    assert importlib.metadata.version("httpx2") == _alias.HTTPX2_VERSION
    found = importlib.metadata.distribution("HTTPX2")
    assert found.metadata["Name"] == "httpx2"
    assert found.requires == ["httpx"]
    assert found.files is None
    assert list(found.entry_points) == []
    assert found.locate_file("httpx") == Path(httpx.__file__).parent
    assert "httpx2" in {each.metadata["Name"] for each in importlib.metadata.distributions()}


def test_other_distributions_are_what_they_were(aliased: None, tmp_path: Path):
    assert importlib.metadata.version("httpx") == httpx.__version__
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("httpx-3")
    assert list(importlib.metadata.distributions(path=[str(tmp_path)])) == []


# Once, and before.


def test_calling_it_again_does_nothing(aliased: None):
    finders = sys.meta_path.copy()
    httpx.alias_httpx2()
    assert sys.meta_path == finders
    assert import_module("httpx2") is httpx


@pytest.mark.parametrize("name", ["httpx2", "httpx2._client"])
def test_it_refuses_to_make_a_second_world(without_httpx2: None, name: str):
    """With two, a response of one client would be of no class that the other one's users know."""
    finders = sys.meta_path.copy()
    real = sys.modules[name] = types.ModuleType(name)
    real.__file__ = "/packages/httpx2/__init__.py"
    with pytest.raises(
        RuntimeError, match=f"before httpx2 is imported, got {name} from '/packages/httpx2/__init__.py'"
    ):
        httpx.alias_httpx2()
    assert sys.meta_path == finders
    assert {each: sys.modules[each] for each in sys.modules if each.split(".")[0] == "httpx2"} == {name: real}


def test_a_stand_in_and_a_blocked_name_are_replaced(without_httpx2: None, monkeypatch: pytest.MonkeyPatch):
    stand_in = types.ModuleType("httpx2")
    setattr(stand_in, _alias.STAND_IN, True)
    for present in (stand_in, None):
        monkeypatch.setitem(sys.modules, "httpx2", present)
        httpx.alias_httpx2()
        assert import_module("httpx2") is httpx


def test_the_function_of_httpx2_does_nothing(aliased: None):
    import httpx2

    before = sys.modules.copy()
    assert httpx2.alias_httpx() is None
    assert sys.modules == before


def test_it_costs_nothing_before_it_is_called():
    program = (
        "import sys, httpx; before = sys.meta_path.copy(); httpx.Client().close(); "
        "print([name for name in sys.modules if 'httpx2' in name or name in ('httpx.alias', 'httpx._alias')], "
        "sys.meta_path == before)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout == "[] True\n"


@pytest.mark.parametrize(
    "program",
    [
        "class Absent:\n @staticmethod\n def find_spec(name, path=None, target=None):\n"
        "  if name == 'httpx2': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent)\n"
        "try:\n import httpx2\nexcept ImportError: pass\nelse: sys.exit('it is there')\n"
        "httpx.alias_httpx2()\nimport httpx2\nassert httpx2 is httpx",
        "httpx.alias_httpx2()\nimport httpx2, importlib, httpx2._client\nkind = httpx.Client\n"
        "assert importlib.reload(httpx2) is httpx and httpx2.Client is kind and httpx2.__spec__.name == 'httpx'\n"
        "assert importlib.reload(httpx2._client).__name__ == 'httpx._client'",
        "import threading\nthread = threading.Thread(target=httpx.alias_httpx2)\nthread.start()\nthread.join()\n"
        "import httpx2\nassert httpx2 is httpx",
    ],
    ids=["after an import that failed", "before a reload", "in a thread"],
)
def test_it_may_be_called(program: str):
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; import httpx\n{program}"]
    subprocess.run(command, timeout=60, check=True)


@pytest.mark.skipif(importlib.util.find_spec("_interpreters") is None, reason="a module of Python 3.13")
def test_each_interpreter_has_an_alias_of_its_own(aliased: None):
    """Workers of `InterpreterPoolExecutor` import the program's modules anew."""
    import _interpreters

    interpreter = _interpreters.create()
    program = "import httpx; httpx.alias_httpx2(); import httpx2, httpx2._client; assert httpx2.Client is httpx.Client"
    try:
        assert _interpreters.run_string(interpreter, f"import sys; sys.path[:] = {sys.path!r}; {program}") is None
    finally:
        _interpreters.destroy(interpreter)


# The command.


@pytest.fixture
def run(without_httpx2: None, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run the command in this process; its outcome is the exit code."""

    def run(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["alias.py", *arguments])
        monkeypatch.setattr(sys, "path", ["", *sys.path])
        try:
            alias.main()
        except SystemExit as exc:
            return exc.code
        return None

    return run


PROGRAM = """\
import sys
import httpx2, httpx
assert httpx2 is httpx and __name__ == "__main__"
print(sys.argv[1:], sys.path[0] == {folder!r})
"""


def test_it_runs_a_file(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "app.py"
    file.write_text(PROGRAM.format(folder=str(tmp_path.resolve())))
    assert run(str(file), "-m", "--port") is None
    assert capsys.readouterr().out == "['-m', '--port'] True\n"


def test_it_runs_a_folder(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "__main__.py").write_text(PROGRAM.format(folder=str(tmp_path)))
    assert run(str(tmp_path), "a") is None
    assert capsys.readouterr().out == "['a'] True\n"


def test_it_runs_a_module(run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "runs_on_httpx2.py").write_text(PROGRAM.format(folder=""))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("-m", "runs_on_httpx2", "-x") is None
    assert capsys.readouterr().out == "['-x'] True\n"


def test_it_runs_a_command(run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "runs_as_command.py").write_text("import sys, httpx2\ndef main():\n    print(sys.argv)\n    return 3\n")
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nthing-run = runs_as_command:main\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("thing-run", "x") == 3
    assert capsys.readouterr().out == "['thing-run', 'x']\n"


def test_it_leaves_the_path_alone_if_python_was_told_so(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if not name.startswith("_")}
    monkeypatch.setattr(sys, "flags", types.SimpleNamespace(**{**flags, "safe_path": True}))
    file = tmp_path / "app.py"
    file.write_text("import sys\nassert sys.path[0] == ''\n")
    assert run(str(file)) is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "usage: python -m httpx.alias PROGRAM"),
        (("--help",), 0, "usage: python -m httpx.alias PROGRAM"),
        (("-m",), 2, "httpx.alias: -m needs the name of a module\n"),
        (("--port", "80"), 2, "httpx.alias: unknown option '--port'; options of the program follow its name\n"),
        (
            ("no-such-program",),
            2,
            "httpx.alias: 'no-such-program' is neither a file nor a command that an installed package has\n",
        ),
    ],
)
def test_it_says_what_is_wrong(
    run, arguments: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
):
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert (captured.out if code == 0 else captured.err).startswith(said)


def test_it_is_a_command_of_python(tmp_path: Path):
    file = tmp_path / "app.py"
    file.write_text("import httpx, httpx2, sys\nsys.exit(7 if httpx2 is httpx else 1)\n")
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-m", "httpx.alias", str(file)], timeout=60, check=False, env=environment)
    assert done.returncode == 7


# The distribution of packaging/httpx2; tests/ecosystem/httpx2 builds and installs it.

PACKAGING = Path(__file__).parent.parent / "packaging" / "httpx2"


@pytest.mark.parametrize(
    "program",
    [
        "import httpx2; import httpx",
        "import httpx; from httpx2 import _client; import httpx2; assert _client is httpx._client",
        "from httpx2._config import Timeout; import httpx, httpx2; assert Timeout is httpx.Timeout",
        "import httpcore2, httpx2, httpx; assert httpcore2.ReadTimeout is httpx.ReadTimeout",
        "import httpx; httpx.alias_httpx2(); import httpx2, httpcore2; assert httpcore2.ReadError is httpx.ReadError",
    ],
)
def test_the_modules_of_the_distribution_give_way_to_httpx(program: str):
    program += "; assert httpx2 is httpx; assert httpx2.Client is httpx.Client; httpx.alias_httpx2()"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGING / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=True)


def test_the_distribution_has_the_version_of_the_alias():
    text = (PACKAGING / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{_alias.HTTPX2_VERSION}"\n' in text
    assert _alias.STAND_IN in (PACKAGING / "src" / "httpx2" / "__init__.py").read_text("utf-8")


def test_type_checkers_find_the_public_modules_of_the_distribution():
    """`import httpx2.websockets` was an error of mypy and pyright, though it works."""
    public = {path.stem for path in Path(httpx.__path__[0]).glob("[a-z]*.py")} - {"alias"}  # which is a command
    assert "websockets" in public
    stubs = {path.stem: path.read_text("utf-8") for path in (PACKAGING / "src" / "httpx2").glob("*.pyi")}
    assert set(stubs) == public
    for name, text in stubs.items():
        assert f"from httpx.{name} import *" in text
