"""The types of `httpx2.testing`, for type checkers: at run time the module is `httpx.testing`."""

from httpx.testing import *  # noqa: F403  # all names, whatever they are
