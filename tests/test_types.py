"""The two interfaces for bodies; the aliases are for type checkers, and are only looked at for being there."""

from __future__ import annotations

import pytest

import httpx
from httpx import _types
from support.drivers import Driver

# What starlette, litestar and others import (reference: names outside `__all__` that users rely on).
ALIASES = (
    *("CookieTypes", "HeaderTypes", "QueryParamTypes", "RequestContent", "RequestFiles", "RequestData"),
    *("TimeoutTypes", "URLTypes", "AuthTypes", "FileTypes", "ProxyTypes", "CertTypes", "ResponseContent"),
    *("RequestExtensions", "ResponseExtensions", "SyncByteStream", "AsyncByteStream", "PrimitiveData", "FileContent"),
)


@pytest.mark.parametrize("name", ALIASES)
def test_types_that_other_packages_import_are_there(name: str):
    assert hasattr(_types, name)


class Counted(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body both ways, that frees nothing."""

    def __iter__(self):
        yield b"ab"
        yield b"c"

    async def __aiter__(self):
        yield b"ab"
        yield b"c"


def test_a_stream_of_ones_own_needs_only_to_iterate(driver: Driver):
    async def read():
        if not driver.is_async:
            response = httpx.Response(200, stream=Counted())
            return response.read()
        return await httpx.Response(200, stream=Counted()).aread()

    assert driver.run_bare(read) == b"abc"


def test_closing_does_nothing_unless_it_is_defined(driver: Driver):
    async def close():
        stream = Counted()
        if driver.is_async:
            await stream.aclose()
        stream.close()

    driver.run_bare(close)


def test_a_stream_that_does_not_iterate_says_what_is_missing(driver: Driver):
    class Nothing(httpx.SyncByteStream, httpx.AsyncByteStream):
        pass

    async def iterate():
        if driver.is_async:
            return [piece async for piece in Nothing()]
        return list(Nothing())

    with pytest.raises(NotImplementedError, match=r"Nothing must define __a?iter__"):
        driver.run_bare(iterate)
