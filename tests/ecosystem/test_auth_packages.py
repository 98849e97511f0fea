"""authlib, httpx-oauth and httpx-auth: clients and auth flows on top of the public API."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs

import httpx_auth
import httpx_oauth.clients.github
import httpx_oauth.oauth2
import pytest
from authlib.integrations import httpx_client
from authlib.jose import JsonWebKey

import httpx

TOKEN_URL = "https://id.example/token"
TOKEN = {"access_token": "abc", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "again"}


class Provider:
    """Gives tokens at `TOKEN_URL`, and shows the Authorization of any other request."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url == TOKEN_URL:
            self.forms.append(parse_qs(request.content.decode()))
            return httpx.Response(200, json={**TOKEN, "access_token": f"abc{len(self.forms)}"})
        return httpx.Response(200, text=request.headers.get("Authorization", "-"))

    async def in_async(self, request: httpx.Request) -> httpx.Response:
        return self(request)


# authlib.


def test_authlib_fetches_and_sends_a_token():
    provider = Provider()
    client = httpx_client.OAuth2Client("id", "secret", transport=httpx.MockTransport(provider))
    token = client.fetch_token(TOKEN_URL, grant_type="client_credentials")
    assert token["access_token"] == "abc1"
    assert provider.forms == [{"grant_type": ["client_credentials"]}]
    assert client.get("https://api.example/").text == "Bearer abc1"


def test_authlib_refreshes_a_token_that_has_expired():
    provider = Provider()

    async def main() -> str:
        client = httpx_client.AsyncOAuth2Client(
            "id",
            "secret",
            token={**TOKEN, "expires_at": int(time.time()) - 10},
            token_endpoint=TOKEN_URL,
            transport=httpx.MockTransport(provider.in_async),
        )
        async with client:
            sent = await asyncio.gather(*(client.get("https://api.example/") for _ in range(3)))
            assert len({response.text for response in sent}) == 1
            return sent[0].text

    assert asyncio.run(main()) == "Bearer abc1"
    assert [form["grant_type"] for form in provider.forms] == [["refresh_token"]]


def test_authlib_fetches_and_sends_a_token_in_async_code():
    provider = Provider()

    async def main() -> tuple[str, str]:
        transport = httpx.MockTransport(provider.in_async)
        async with httpx_client.AsyncOAuth2Client("id", "secret", transport=transport) as client:
            url, state = client.create_authorization_url("https://id.example/authorize")
            assert httpx.URL(url).params["state"] == state
            token = await client.fetch_token(TOKEN_URL, authorization_response=f"https://me/?code=1&state={state}")
            async with client.stream("GET", "https://api.example/") as response:
                return token["access_token"], (await response.aread()).decode()

    assert asyncio.run(main()) == ("abc1", "Bearer abc1")
    assert provider.forms[0]["code"] == ["1"]


def test_authlib_refreshes_a_token_that_has_expired_in_sync_code():
    provider = Provider()
    updates = []
    client = httpx_client.OAuth2Client(
        "id",
        "secret",
        token={**TOKEN, "expires_at": int(time.time()) - 10},
        token_endpoint=TOKEN_URL,
        update_token=lambda token, refresh_token=None, access_token=None: updates.append(token["access_token"]),
        transport=httpx.MockTransport(provider),
    )
    assert client.get("https://api.example/").text == "Bearer abc1"
    assert client.refresh_token(TOKEN_URL)["access_token"] == "abc2"
    assert updates == ["abc1", "abc2"]
    with pytest.raises(httpx_client.OAuthError):
        httpx_client.OAuth2Client(
            "id", transport=httpx.MockTransport(lambda request: httpx.Response(400, json={"error": "no"}))
        ).fetch_token(TOKEN_URL)


def test_authlib_signs_oauth1_requests():
    auth = httpx_client.OAuth1Auth("client", "secret", token="t", token_secret="s")
    with httpx.Client(transport=httpx.MockTransport(Provider()), auth=auth) as client:
        header = client.post("https://api.example/?a=1", data={"b": "2"}).text
    assert header.startswith("OAuth ")
    assert 'oauth_signature_method="HMAC-SHA1"' in header

    async def main() -> str:
        client = httpx_client.AsyncOAuth1Client("client", "secret", transport=httpx.MockTransport(Provider().in_async))
        async with client:
            return (await client.get("https://api.example/?a=1")).text

    assert asyncio.run(main()).startswith("OAuth ")


def test_authlib_asserts_with_a_key():
    provider = Provider()
    key = JsonWebKey.generate_key("RSA", 2048, is_private=True)
    client = httpx_client.AssertionClient(
        TOKEN_URL,
        issuer="me",
        subject="",
        audience="api",
        header={"alg": "RS256"},
        key=key,
        transport=httpx.MockTransport(provider),
    )
    assert client.get("https://api.example/").text == "Bearer abc1"
    assertion = provider.forms[0]["assertion"][0].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(assertion + "=="))["iss"] == "me"


# httpx-oauth.


def test_httpx_oauth_gets_a_token(respx_mock: Any):
    route = respx_mock.post(TOKEN_URL).respond(json=TOKEN)
    client = httpx_oauth.oauth2.OAuth2("id", "secret", "https://id.example/authorize", TOKEN_URL, TOKEN_URL)

    async def main() -> Any:
        url = await client.get_authorization_url("https://me/back", state="s", scope=["a", "b"])
        assert httpx.URL(url).params["scope"] == "a b"
        await client.refresh_token("again")
        return await client.get_access_token("code", "https://me/back")

    token = asyncio.run(main())
    assert (token["access_token"], token.is_expired()) == ("abc", False)
    assert parse_qs(route.calls.last.request.content.decode())["code"] == ["code"]


def test_httpx_oauth_reports_errors(respx_mock: Any):
    respx_mock.post("https://github.com/login/oauth/access_token").respond(400, json={"error": "no"})
    client = httpx_oauth.clients.github.GitHubOAuth2("id", "secret")
    with pytest.raises(httpx_oauth.oauth2.GetAccessTokenError):
        asyncio.run(client.get_access_token("code", "https://me/back"))


# httpx-auth.


def test_httpx_auth_adds_keys_and_credentials(httpx_mock: Any):
    httpx_mock.add_response(match_headers={"X-API-Key": "key", "Authorization": "Basic dTpw"}, url="https://x/?k=v")
    auth = httpx_auth.HeaderApiKey("key") + httpx_auth.Basic("u", "p") + httpx_auth.QueryApiKey("v", "k")
    assert httpx.get("https://x/", auth=auth).status_code == 200


def test_httpx_auth_gets_a_token_once(httpx_mock: Any):
    httpx_auth.OAuth2.token_cache.clear()
    httpx_mock.add_response(url=TOKEN_URL, json=TOKEN, method="POST")
    httpx_mock.add_response(url="https://x/", match_headers={"Authorization": "Bearer abc"}, is_reusable=True)
    auth = httpx_auth.OAuth2ClientCredentials(TOKEN_URL, client_id="id", client_secret="secret")
    with httpx.Client(auth=auth) as client:
        assert [client.get("https://x/").status_code for _ in range(2)] == [200, 200]

    async def main() -> int:
        async with httpx.AsyncClient(auth=auth) as client:
            return (await client.get("https://x/")).status_code

    assert asyncio.run(main()) == 200


def test_httpx_auth_signs_for_aws(httpx_mock: Any):
    httpx_mock.add_response()
    auth = httpx_auth.AWS4Auth(access_id="id", secret_key="key", region="us-east-1", service="iam")
    httpx.post("https://iam.amazonaws.com/", json=[1], auth=auth)
    header = httpx_mock.get_request().headers["Authorization"]
    assert header.startswith("AWS4-HMAC-SHA256 Credential=id/")
