"""
The clients, each in its own words: one small file per client, listed here.

This module imports none of them and nothing heavy, because a process that measures one client must not have paid for
another (or for `ssl`, or `asyncio`) before the clock starts.
"""

from __future__ import annotations

# name -> (module here, class in it, distribution, what `import` times)
#
# The import statement names the classes: a package that defers its work until then is charged for it, since
# no program can do anything with the client before that.
PEERS = {
    "ours": ("httpx_like", "Httpx", "httpx", "import httpx; httpx.Client, httpx.AsyncClient"),
    "raw sockets": ("raw", "Raw", None, None),
    "httpx 0.28.1": ("httpx_like", "Httpx", "httpx", "import httpx; httpx.Client, httpx.AsyncClient"),
    "httpx2": ("httpx_like", "Httpx2", "httpx2", "import httpx2; httpx2.Client, httpx2.AsyncClient"),
    "aiohttp": ("aiohttp_peer", "Aiohttp", "aiohttp", "import aiohttp; aiohttp.ClientSession"),
    "urllib3": ("urllib3_peer", "Urllib3", "urllib3", "import urllib3; urllib3.PoolManager"),
    "pycurl": ("pycurl_peer", "Pycurl", "pycurl", "import pycurl; pycurl.Curl"),
    "pyreqwest": (
        "pyreqwest_peer",
        "Pyreqwest",
        "pyreqwest",
        "import pyreqwest.client; pyreqwest.client.SyncClientBuilder, pyreqwest.client.ClientBuilder",
    ),
    "primp": ("primp_peer", "Primp", "primp", "import primp; primp.Client, primp.AsyncClient"),
    "wreq": ("wreq_peer", "Wreq", "wreq", "import wreq, wreq.blocking; wreq.Client, wreq.blocking.Client"),
}
