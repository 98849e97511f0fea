"""The interface of transports: what a subclass gets without writing it."""

from __future__ import annotations

import pytest

import httpx
from support.drivers import run_without_loop

REQUEST = httpx.Request("GET", "https://example.org/")


def test_a_sync_transport_closes_itself_at_the_end_of_a_with_block():
    closed = []

    class Transport(httpx.BaseTransport):
        def close(self) -> None:
            closed.append(self)

    transport = Transport()
    with transport as entered:
        assert entered is transport
        assert not closed
    assert closed == [transport]


def test_an_async_transport_closes_itself_at_the_end_of_a_with_block():
    closed = []

    class Transport(httpx.AsyncBaseTransport):
        async def aclose(self) -> None:
            closed.append(self)

    async def main() -> None:
        transport = Transport()
        async with transport as entered:
            assert entered is transport
            assert not closed
        assert closed == [transport]

    run_without_loop(main())


def test_a_transport_needs_no_close_of_its_own():
    with httpx.BaseTransport():
        pass

    async def main() -> None:
        async with httpx.AsyncBaseTransport():
            pass

    run_without_loop(main())


def test_a_transport_that_sends_nothing_says_what_is_missing():
    class Lazy(httpx.BaseTransport, httpx.AsyncBaseTransport):
        pass

    with pytest.raises(NotImplementedError, match="Lazy must define handle_request"):
        Lazy().handle_request(REQUEST)
    with pytest.raises(NotImplementedError, match="Lazy must define handle_async_request"):
        run_without_loop(Lazy().handle_async_request(REQUEST))


def test_an_exception_goes_through_a_transports_with_block():
    with pytest.raises(KeyError), httpx.BaseTransport():
        raise KeyError
