"""
Shells: the only place with sockets, threads, event loops and clocks.

    settings.py  what a transport was told
    route.py     which host to dial, and the hops that follow
    race.py      order and schedule of a host's addresses
    job.py       one request: where it goes and how long it may take
    story.py     trace events and log lines
    sync.py      blocking calls, safe under threads
    asyncio.py   persistent reader callbacks on non-blocking sockets
    trio.py      waits for readiness under cancel scopes
    http2/       connections that many requests share
"""
