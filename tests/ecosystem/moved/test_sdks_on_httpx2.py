"""openai 3, anthropic 1, huggingface_hub 2: clients of services, which import httpx2."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import huggingface_hub
import openai
import pytest
from services import ASK, COMPLETION, Handler

import httpx


def test_openai_answers_and_streams(service: str):
    with openai.OpenAI(api_key="key", base_url=service) as client:
        assert isinstance(client._client, httpx.Client)
        assert client.chat.completions.create(**ASK).choices[0].message.content == "hello"
        with client.chat.completions.create(**ASK, stream=True) as stream:
            assert "".join(each.choices[0].delta.content or "" for each in stream) == "hello"
        raw = client.chat.completions.with_raw_response.create(**ASK)
        assert type(raw.http_response) is httpx.Response
        assert len(client._client._transport._pool._requests) == 0


def test_openai_works_in_async_code(service: str):
    async def main() -> tuple[str, str]:
        async with openai.AsyncOpenAI(api_key="key", base_url=service) as client:
            whole = await client.chat.completions.create(**ASK)
            stream = await client.chat.completions.create(**ASK, stream=True)
            pieces = [each.choices[0].delta.content async for each in stream]
            return whole.choices[0].message.content, "".join(pieces)

    assert asyncio.run(main()) == ("hello", "hello")


def test_openai_retries_and_reports_errors(service: str):
    with openai.OpenAI(api_key="key", base_url=service, max_retries=1) as client:
        Handler.failures = 1
        assert client.chat.completions.create(**ASK).id == "1"
        Handler.failures = 2
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**ASK)
        assert caught.value.response.status_code == 500
    with (
        openai.OpenAI(api_key="key", base_url="http://127.0.0.1:1", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError) as refused,
    ):
        client.chat.completions.create(**ASK)
    assert isinstance(refused.value.__cause__, httpx.ConnectError)


def test_openai_takes_clients_under_both_names():
    """With both names in use, a client of one world was refused in the other."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=COMPLETION)

    for package in (httpx, httpx2):
        client = openai.OpenAI(api_key="key", http_client=package.Client(transport=package.MockTransport(answer)))
        assert client.chat.completions.create(**ASK, timeout=package.Timeout(3, total=9)).id == "1"


def test_anthropic_takes_clients_and_timeouts_of_httpx(service: str):
    """anthropic 1 looks at the module of their classes, and refuses a package named httpx."""
    timeout = httpx.Timeout(5, total=30)
    with anthropic.Anthropic(api_key="key", base_url=service, timeout=timeout, http_client=httpx.Client()) as client:
        assert client.messages.create(**ASK, max_tokens=9, timeout=httpx.Timeout(9)).id == "1"

    async def main() -> str:
        http_client = anthropic.DefaultAsyncHttpxClient(transport=httpx.AsyncHTTPTransport(retries=1))
        async with anthropic.AsyncAnthropic(api_key="key", base_url=service, http_client=http_client) as client:
            return (await client.messages.create(**ASK, max_tokens=9)).id

    assert asyncio.run(main()) == "1"


def test_anthropic_answers_and_streams(service: str):
    with anthropic.Anthropic(api_key="key", base_url=service) as client:
        assert client.messages.create(**ASK, max_tokens=9).content[0].text == "hello"
        with client.messages.stream(**ASK, max_tokens=9) as stream:
            assert list(stream.text_stream) == ["hel", "lo"]
            assert stream.get_final_message().usage.output_tokens == 2
        Handler.failures = 1
        assert client.messages.create(**ASK, max_tokens=9).id == "1"
        assert len(client._client._transport._pool._requests) == 0


def test_anthropic_works_in_async_code_and_reports_errors(service: str):
    async def main() -> list[str]:
        async with anthropic.AsyncAnthropic(api_key="key", base_url=service, max_retries=0) as client:
            Handler.failures = 1
            with pytest.raises(anthropic.InternalServerError):
                await client.messages.create(**ASK, max_tokens=9)
            async with client.messages.stream(**ASK, max_tokens=9) as stream:
                return [text async for text in stream.text_stream]

    assert asyncio.run(main()) == ["hel", "lo"]


def test_huggingface_hub_reads_and_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = b"weights" * 100

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/models/"):
            return httpx.Response(200, json={"id": "org/model", "siblings": [], "tags": [], "private": False})
        headers = {"X-Repo-Commit": "0" * 40, "ETag": '"tag"', "Content-Length": str(len(content))}
        return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else content)

    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    try:
        assert huggingface_hub.HfApi(token=False).model_info("org/model").id == "org/model"
        path = huggingface_hub.hf_hub_download("org/model", "file.bin", cache_dir=tmp_path, token=False)
        assert Path(path).read_bytes() == content
    finally:
        huggingface_hub.set_client_factory(httpx.Client)


def test_huggingface_hub_reports_errors():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, headers={"X-Error-Code": "RepoNotFound", "X-Request-Id": "7"}, json={})

    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    try:
        with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError) as caught:
            huggingface_hub.HfApi(token=False).model_info("org/none")
        assert isinstance(caught.value, httpx.HTTPError)
    finally:
        huggingface_hub.set_client_factory(httpx.Client)


def test_huggingface_hub_infers(service: str):
    asked: dict[str, Any] = {"messages": ASK["messages"], "model": "m"}
    client = huggingface_hub.InferenceClient(base_url=service, api_key="key")
    assert client.chat_completion(**asked).choices[0].message.content == "hello"
    pieces = [each.choices[0].delta.content for each in client.chat_completion(**asked, stream=True)]
    assert "".join(pieces) == "hello"

    async def main() -> str:
        async with huggingface_hub.AsyncInferenceClient(base_url=service, api_key="key") as client:
            stream = await client.chat_completion(**asked, stream=True)
            return "".join([each.choices[0].delta.content async for each in stream])

    assert asyncio.run(main()) == "hello"
