"""The distribution named httpx2: built, installed, and imported first by a package that knows nothing of httpx."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from httpx._alias import HTTPX2_VERSION

PACKAGING = Path(__file__).parents[3] / "packaging" / "httpx2"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_requirements_are_met():
    assert "No broken requirements found." in run(*PIP, "check")


def test_it_is_built_and_installed(tmp_path: Path):
    run(*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(PACKAGING))
    (wheel,) = tmp_path.glob("httpx2-*.whl")
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    stubs = {"httpx2/testing.pyi", "httpx2/websockets.pyi"}
    assert files == {"httpx2/__init__.py", "httpx2/py.typed", "httpcore2.py", *stubs}
    site = tmp_path / "site"
    run(*PIP, "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    program = (
        "import sys; assert not {'httpx', 'httpx2'} & set(sys.modules); import httpcore2, httpx2, httpx; "
        "from importlib.metadata import distribution; assert httpx2 is httpx; print(distribution('httpx2').version)"
    )
    assert run(sys.executable, "-c", program, PYTHONPATH=str(site)) == f"{HTTPX2_VERSION}\n"


@pytest.mark.parametrize(
    "module",
    [
        *("openai", "anthropic", "mcp.client.streamable_http", "mcp.client.sse", "huggingface_hub.hf_api"),
        *("starlette.testclient", "authlib.integrations.httpx_client"),
    ],
)
def test_a_package_that_imports_httpx2_first_gets_httpx(module: str):
    run(
        sys.executable,
        "-W",
        "error::ImportWarning",
        "-c",
        f"import {module}, httpx2, httpx; assert httpx2.Client is httpx.Client",
    )


def test_a_command_of_an_installed_package_runs():
    assert run(sys.executable, "-m", "httpx.alias", "hf", "version")
