"""A function in place of the network."""

from __future__ import annotations

import asyncio

import pytest

import httpx
from support.drivers import Driver

URL = "https://example.org/path"


def answer(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=request.content)


async def answer_later(request: httpx.Request) -> httpx.Response:
    return answer(request)


async def echo(client: httpx.AsyncClient, **options: object) -> bytes:
    return (await client.post(URL, **options)).content


def test_a_handler_answers_every_request_in_any_client(driver: Driver):
    assert driver.run(lambda client: echo(client, content=b"abc"), transport=httpx.MockTransport(answer)) == b"abc"


def test_the_body_is_read_before_the_handler_sees_the_request(driver: Driver):
    """Harm otherwise: a handler that looks at `request.content` fails only for those who stream."""
    body = driver.body([b"a", b"bc"])
    assert driver.run(lambda client: echo(client, content=body), transport=httpx.MockTransport(answer)) == b"abc"


def test_the_handler_of_an_async_client_may_be_async():
    for name in ("asyncio", "trio"):
        transport = httpx.MockTransport(answer_later)
        assert Driver(name).run(lambda client: echo(client, content=b"abc"), transport=transport) == b"abc"


def test_a_handler_may_return_anything_that_can_be_awaited():
    """0.28.1 awaits whatever is not a response: a task or a future as well as a coroutine."""

    async def main() -> bytes:
        transport = httpx.MockTransport(lambda request: asyncio.ensure_future(answer_later(request)))
        async with httpx.AsyncClient(transport=transport) as client:
            return await echo(client, content=b"abc")

    assert asyncio.run(main()) == b"abc"


def test_an_async_handler_in_a_sync_client_is_an_error_and_no_warning():
    client = httpx.Client(transport=httpx.MockTransport(answer_later))
    with pytest.raises(TypeError, match="is `async def`: use it with an AsyncClient"):
        client.get(URL)


@pytest.mark.parametrize("wrong", [None, 200, "body", {"a": 1}])
def test_a_handler_that_returns_no_response_is_named_as_the_culprit(driver: Driver, wrong: object):
    """Harm otherwise: a forgotten `return` shows as an AttributeError deep inside the client."""
    with pytest.raises(TypeError, match=f"returned {type(wrong).__name__}, expected an httpx.Response"):
        driver.run(echo, transport=httpx.MockTransport(lambda request: wrong))


def test_what_a_handler_raises_reaches_the_caller_with_the_request(driver: Driver):
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow")

    with pytest.raises(httpx.ReadTimeout, match="too slow") as caught:
        driver.run(echo, transport=httpx.MockTransport(fail))
    assert caught.value.request.url == URL


def test_the_handler_is_an_attribute():
    assert httpx.MockTransport(answer).handler is answer


def test_a_response_may_be_a_subclass_of_response():
    class Own(httpx.Response):
        pass

    with httpx.Client(transport=httpx.MockTransport(lambda request: Own(200))) as client:
        assert type(client.get(URL)) is Own
