"""Downloads from nginx: its ranges, conditions and times, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import httpx
from httpx import _transfer
from httpx._transports.drafts import Target
from support.drivers import Driver
from support.servers import NginxServer

LARGE = bytes(range(256)) * 4096


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fetch(driver: Driver, url: str, path: Any, ranges: list[str | None], client: dict[str, Any], **how: Any) -> Path:
    def note(request: httpx.Request) -> None:
        ranges.append(request.headers.get("range"))

    async def scenario(given: Any) -> Path:
        if driver.is_async:
            return await given.download(url, path, **how)  # type: ignore[no-any-return]
        return given.inner.download(url, path, **how)  # type: ignore[no-any-return]

    return driver.run(scenario, event_hooks={"request": [driver.hook(note)]}, **client)


@pytest.mark.parametrize("http2", [False, True])
def test_parts_come_at_once(
    driver: Driver, nginx: NginxServer, folder: Path, trusting: Any, monkeypatch: pytest.MonkeyPatch, http2: bool
):
    monkeypatch.setattr(_transfer, "MIN_PART", 100_000)
    url = f"https://localhost:{nginx.tls_port}/large.bin" if http2 else f"http://127.0.0.1:{nginx.port}/large.bin"
    ranges: list[str | None] = []
    client = {"http2": http2, "verify": trusting}
    assert fetch(driver, url, "file", ranges, client, parts=4).read_bytes() == LARGE
    assert len(ranges) == 4
    assert os.listdir(folder) == ["file"]


@pytest.mark.parametrize("had", [300_000, len(LARGE)])
def test_a_draft_is_continued(driver: Driver, nginx: NginxServer, folder: Path, had: int):
    """With all of the file, nginx responds with 416."""
    url = f"http://127.0.0.1:{nginx.port}/large.bin"
    left = Target("file", url)
    left.begin("", httpx.head(url).headers["etag"], len(LARGE))
    left.write(0, [LARGE[:had]])
    left.leave(keep=True)
    ranges: list[str | None] = []
    assert fetch(driver, url, "file", ranges, {}).read_bytes() == LARGE
    assert ranges == [f"bytes={had}-"]
    assert os.listdir(folder) == ["file"]


def test_a_complete_file_is_recognised(driver: Driver, nginx: NginxServer, folder: Path):
    os.utime(nginx.folder / "files" / "text.txt", (1_700_000_000, 1_700_000_000))
    url = f"http://127.0.0.1:{nginx.port}/text.txt"
    path = fetch(driver, url, "", [], {})
    assert path.stat().st_mtime == 1_700_000_000
    before = path.stat().st_ino
    assert fetch(driver, url, "", [], {}).stat().st_ino == before
    (nginx.folder / "files" / "text.txt").touch()
    assert fetch(driver, url, path, [], {}).stat().st_ino != before


def test_a_page_that_would_be_compressed_is_not(driver: Driver, nginx: NginxServer, folder: Path):
    url = f"http://127.0.0.1:{nginx.port}/gzip/text.txt"
    assert b"line 99 of a file" in fetch(driver, url, "", [], {}).read_bytes()
