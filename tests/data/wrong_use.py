"""
Wrong uses that type checkers must refuse, each line for the reason that it names. Never run.

`scripts/check` gives it to mypy and to pyright. For both, an `ignore` that nothing needs is an error, so a line that
they accept fails the check.
"""

from __future__ import annotations

import httpx

URL = "http://example.org"


def arguments(client: httpx.Client) -> None:
    client.get(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, cookies=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, cookies="a=b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, params=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, params={"a": object()})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    client.get(URL, headers={"a": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, headers="a: b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, auth="jo")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, timeout=(3, 10))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, follow_redirects="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(URL, json={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.get(URL, verify=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.post(URL, content=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.post(URL, content=["a"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    client.post(URL, data=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.post(URL, files={"a": 5})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    client.send(URL)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.get(URL, cookies=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.get(URL, retries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def configuration(client: httpx.Client) -> None:
    httpx.Client(retries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    httpx.Client(max_redirects="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(verify=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(middleware=[async_results])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    httpx.Client(credentials_for="origins")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(transport=httpx.AsyncHTTPTransport())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.AsyncClient(transport=httpx.HTTPTransport())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.HTTPTransport(retries="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Limits(10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    httpx.Limits(max_connections="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Timeout(connect="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Proxy(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.auth = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    client.timeout = "5"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    client.is_closed = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def results(client: httpx.Client) -> None:
    response = client.get(URL)
    response.ok  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
    response.status  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
    response.status_code = "200"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    text: bytes = response.text  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(text, httpx.codes.okay)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def many_results(client: httpx.Client) -> None:
    client.map([5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    for outcome in client.map(["/"], errors="yield"):
        outcome.text  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


async def async_results(client: httpx.AsyncClient) -> None:
    client.get(URL).json()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with client.stream("GET", URL):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
