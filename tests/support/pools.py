"""
Whether a pool is consistent: what it keeps follows from its record (see `httpx._pool`).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from httpx._pool import Pool, Ticket
from httpx._sharing import SharingPool


def check_pool(pool: Pool[Any]) -> None:
    """Fails unless everything in the pool follows from its record."""
    assert kept(pool) == made_anew(pool)


def made_anew(pool: Pool[Any]) -> dict[str, Any]:
    """What follows from the record of a pool, by the definitions."""
    tickets = sorted((one for one in pool._claims.values() if isinstance(one, Ticket)), key=lambda one: one.number)
    waiting = [ticket for ticket in tickets if not ticket.served and not ticket.dial]
    slots = Counter([*pool._keys.values(), *(ticket.key for ticket in pool._dials)])
    found: dict[str, Any] = {
        "_per_key": dict(slots),
        "_idle_of": {key: [one for one in pool._idle if pool._keys[one] == key] for key in slots},
        "_dialling": {ticket for ticket in tickets if not ticket.served and ticket.dial},
        "_waiting": waiting,
    }
    oldest = {}
    for ticket in waiting:
        if pool._may_dial(ticket.key):
            oldest.setdefault(ticket.key, ticket.number)
    found["_place_of"] = oldest
    found["_line"] = sorted((number, key) for key, number in oldest.items())
    if isinstance(pool, SharingPool):
        users = pool.used()
        found["uses"] = {one: users.get(one, 0) for one in pool._shares}
        found["_roomy"] = {one for one, share in pool._shares.items() if 0 < users.get(one, 0) < share.capacity}
    return found


def kept(pool: Pool[Any]) -> dict[str, Any]:
    """The same as the pool keeps it."""
    found: dict[str, Any] = {
        "_per_key": pool._per_key,
        "_idle_of": {key: list(pool._idle_of.get(key, ())) for key in pool._per_key},
        "_dialling": {ticket for queue in pool._dialling.values() for ticket in queue},
        "_waiting": sorted((one for queue in pool._waiting.values() for one in queue), key=lambda one: one.number),
        "_place_of": pool._place_of,
        "_line": pool._line,
    }
    if isinstance(pool, SharingPool):
        found["uses"] = {one: share.uses for one, share in pool._shares.items()}
        found["_roomy"] = {one for roomy in pool._roomy.values() for one in roomy}
        assert set(pool._shares) <= set(pool._keys)
        assert all(share.has_room == (one in found["_roomy"]) for one, share in pool._shares.items())
    return found
