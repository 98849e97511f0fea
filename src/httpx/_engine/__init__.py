"""
Shells: the only place with sockets, threads, event loops and clocks.

    dial.py      what all three share of connecting: order of addresses, schedule, errors
    job.py       what all three share of one request: its exchange, its time limits, its events
    sync.py      blocking calls, safe under threads
    asyncio.py   persistent reader callbacks on non-blocking sockets
    trio.py      waits for readiness under cancel scopes
"""
