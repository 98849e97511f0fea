"""
Servers in place of the hosts that the documents name.

Each test here is a use that a user's document shows, written the way a user writes it; only hosts and file names
differ. `echo` stands for httpbin.org and for whatever is only sent to; `api` is a server that a test gives its
answers to, for documents that expect particular ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.local import LocalApi


@pytest.fixture
def echo(echo_server: Any) -> str:
    """Where the project's own server answers, without a slash at the end."""
    url: str = echo_server.url
    return url


@pytest.fixture
def api() -> Iterator[LocalApi]:
    """A server that the test gives its answers to."""
    server = LocalApi()
    yield server
    server.close()


@pytest.fixture(scope="session")
def http2_url() -> Iterator[str]:
    """An https server that speaks HTTP/2 and HTTP/1.1; its authority is that of `ca`. Skips without nginx."""
    from support import certs
    from support.running import started
    from support.servers import NginxServer

    chain, key = certs.leaf_files()
    site = (
        f"listen 127.0.0.1:PORT ssl http2; server_name localhost; ssl_certificate {chain}; ssl_certificate_key {key}; "
        'location / { default_type application/json; return 200 \'{"protocol": "$server_protocol"}\'; }'
    )
    with started(lambda: NginxServer(sites={"h2": site})) as server:
        yield f"https://localhost:{server.ports['h2']}"


@pytest.fixture
def here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty working directory, for documents that read and write files there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
