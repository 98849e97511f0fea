"""
What a transport's guard is asked, and what its responses mean.

    check(guard, has_proxy, uds)          when a transport is made
    check_route(guard, proxy, uds)        before a dial resolves anything
    allowed(guard, host, addresses)       the addresses to connect to: exactly those that the guard was asked about

A guard is a function of host, address and port that says whether this may be connected to. It is asked about every
address of a host before the first attempt to connect, and one refused address refuses all of them: which one wins the
race is for the peer's network to decide. There is no look-up after that. The addresses that are connected to are
made of the texts that the guard has seen, so none of them is a name, or a spelling that another reader of addresses
reads in another way.

Everything that is not a plain True refuses: False, an exception, and any other value, because a coroutine of an
`async def` is true. A refusal is `DestinationRefused`, which no retry repeats.

With a proxy the destination is looked up by the proxy, so a guard would be asked about the proxy, and about nothing
else. Only a guard with an attribute `proxies` that is True wants that.

Not here: which addresses are public (`_destinations`), when a guard is asked (`connecting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from socket import AF_INET, inet_ntop, inet_pton
from typing import Any

from .._exceptions import DestinationRefused
from .._types import GuardTypes
from .names import Address, is_async


def wants_proxies(guard: GuardTypes) -> bool:
    """Return whether a guard is asked about the addresses of proxies."""
    return getattr(guard, "proxies", False) is True


def check(guard: Any, has_proxy: bool = False, uds: Any = None) -> None:
    """
    Check the argument `guard=` of a transport.

    Raises:
        TypeError: it is not a function of the kind that a guard is.
        ValueError: the transport has a proxy or a Unix socket, of which the guard would not see the destination.
    """
    if not callable(guard) or isinstance(guard, type):
        raise TypeError(f"guard must be a function of host, address and port, got {type(guard).__name__}")
    if is_async(guard):
        raise TypeError("guard must not be an async function: it is asked between the look-up and the connection")
    if uds is not None:
        raise ValueError("guard= cannot be used with uds=: a Unix socket has no address that the guard could judge")
    if has_proxy and not wants_proxies(guard):
        raise ValueError(
            "guard= cannot be used with proxy=: the proxy chooses the address that is connected to; "
            "a guard with the attribute `proxies = True` is asked about the address of the proxy"
        )


def check_route(guard: GuardTypes, proxy: str | None, uds: str | None) -> None:
    """
    Refuse a dial whose destination the guard would not see.

    Args:
        proxy: the host of the proxy, if there is one.

    Raises:
        DestinationRefused: it goes through a proxy or a Unix socket.
    """
    if uds is not None:
        raise DestinationRefused("the guard cannot judge a Unix socket, which has no address")
    if proxy is not None and not wants_proxies(guard):
        raise DestinationRefused(
            f"the guard cannot judge what is reached through the proxy {proxy!r}: "
            "the proxy chooses the address that is connected to"
        )


def allowed(guard: GuardTypes, host: str, addresses: Sequence[Address]) -> list[Address]:
    """
    Return the addresses in the form in which the guard was asked about them; it has allowed all of them.

    The text that a guard gets of an IPv6 address has its scope, if there is one: "fe80::1%2".

    Raises:
        DestinationRefused: it has not allowed one of them.
    """
    numeric: list[Address] = []
    for family, kind, protocol, _, where in addresses:
        try:
            if "%" in where[0]:
                raise ValueError("the scope must be a number of its own")
            text = shown = inet_ntop(family, inet_pton(family, where[0]))
            port = index(where[1])
            rest: tuple[int, ...] = ()
            if family != AF_INET:
                rest = (index(where[2]), index(where[3])) if len(where) > 2 else (0, 0)  # flow, scope
                shown = f"{text}%{rest[1]}" if rest[1] else text
        except (OSError, TypeError, ValueError, LookupError) as exc:
            raise _unreadable(host, where) from exc
        try:
            answer: object = guard(host, shown, port)
        except DestinationRefused:
            raise
        except Exception as exc:
            raise DestinationRefused(
                f"the guard failed with {type(exc).__name__} for {host!r} at {_readable(shown, port)}"
            ) from exc
        if answer is not True:
            raise _refusal(answer, host, shown, port)
        numeric.append((family, kind, protocol, "", (text, port, *rest)))
    return numeric


def _unreadable(host: str, where: object) -> DestinationRefused:
    return DestinationRefused(f"the guard cannot judge {str(where)[:50]!r} for {host!r}: not a numeric IP address")


def _refusal(answer: object, host: str, text: str, port: int) -> DestinationRefused:
    """Return the exception for an address about which the guard did not say True."""
    if answer is not False:
        import inspect  # a mistake is rare

        if inspect.iscoroutine(answer):
            answer.close()  # without a warning that it was never awaited
        return DestinationRefused(
            f"the guard gave {type(answer).__name__} for {host!r} at {_readable(text, port)}, expected True or False"
        )
    from .._destinations import special  # a refusal is rare

    reason = special(text)
    what = "" if reason is None else f" ({reason})"
    return DestinationRefused(f"the guard refused {host!r} at {_readable(text, port)}{what}")


def _readable(text: str, port: int) -> str:
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
