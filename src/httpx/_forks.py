"""
Locks that outlive forks and interruptions, and what else must be made anew in a forked child.

    FORKS.watch(owner)                      calls `owner.forget()` in every child
    FORKS.leave(owner)                      not any more
    FORKS.renew(owner, attribute, make)     sets an attribute to `make()` there: a lock whose state may be kept
    unlock(lock)                            releases what this thread has of a lock, after an exception anywhere
    is_owned(lock)                          does this thread have it?

A child has the thread that forked and no other. A lock that another thread held is locked there for ever, and what it
guards may be half changed. Sockets are shared with the parent: two processes on one connection would mix up responses.
Every lock of the package is renewed here, or its owner forgets; owners are not kept alive by being known.

Not here: what an exception out of a signal handler leaves behind (`_pool`, `_engine`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any


class ForkGuard:
    """What is known of the owners of locks and connections."""

    def __init__(self) -> None:
        # By identity: an owner may be of a class that cannot be hashed.
        self._owners: dict[tuple[int, str], tuple[weakref.ref[Any], Callable[[], Any] | None]] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def watch(self, owner: Any) -> None:
        """Call `owner.forget()` in every child that is forked from now on."""
        self._add(owner, "", None)

    def renew(self, owner: Any, attribute: str, make: Callable[[], Any]) -> None:
        """Set `owner.attribute` to `make()` in every child that is forked from now on, before any owner forgets."""
        self._add(owner, attribute, make)

    def leave(self, owner: Any) -> None:
        """Do not call `owner.forget()` any more: another owner does. An entry here takes half a KiB."""
        self._owners.pop((id(owner), ""), None)

    def _add(self, owner: Any, attribute: str, make: Callable[[], Any] | None) -> None:
        key = id(owner), attribute
        self._owners[key] = weakref.ref(owner, partial(self._remove, key)), make

    def _remove(self, key: tuple[int, str], reference: weakref.ref[Any]) -> None:
        """The owner is gone; by now another one may have its place in memory."""
        entry = self._owners.get(key)
        if entry is not None and entry[0] is reference:
            self._owners.pop(key, None)

    def _in_child(self) -> None:
        owners = list(self._owners.items())
        for (_, attribute), (reference, make) in owners:
            owner = reference()
            if make is not None and owner is not None:
                setattr(owner, attribute, make())
        failure: Exception | None = None
        for _, (reference, make) in owners:
            owner = reference()
            if make is None and owner is not None:
                try:
                    owner.forget()
                except Exception as exc:
                    failure = exc  # the others must forget all the same
        if failure is not None:
            raise failure


FORKS = ForkGuard()


def unlock(lock: threading.RLock) -> bool:
    """
    Release a lock as often as this thread has it, after an exception at an unknown point; False if it has not.

    One out of a signal handler may come between the end of a `with` block and the release, and with some versions of
    Python between taking the lock and the beginning of the block. Then no `with` releases it.
    """
    had = False
    try:
        while True:
            lock.release()
            had = True
    except RuntimeError:
        return had  # it is not this thread's


def is_owned(lock: threading.RLock) -> bool:
    """Return whether this thread has the lock. `threading.Condition` asks the same way."""
    owned: bool = lock._is_owned()  # type: ignore[attr-defined]  # not in typeshed
    return owned
