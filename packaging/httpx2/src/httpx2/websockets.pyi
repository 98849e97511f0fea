"""The types of `httpx2.websockets`, for type checkers: at run time the module is `httpx.websockets`."""

from httpx.websockets import *  # noqa: F403  # all names, whatever they are
