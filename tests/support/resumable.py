"""A server of resumable uploads, in memory, in the words of both protocols, and what can go wrong with it."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import httpx


class Trouble(NamedTuple):
    """
    What comes of one request.

    Attributes:
        kind: "fine", "lost" (`size` bytes arrive, and no response), "late" (all arrives, and no response), "status"
            (`size`), "some" (only `size` bytes are taken, with a good response), "forgets" (bytes that were taken are
            lost), "number" (an Upload-Offset that is not one), "silent" (no Upload-Offset).
    """

    kind: str
    size: int = 0


class Uploads:
    """
    A server.

    Attributes:
        plan: what comes of the next requests.
        taken: the bytes of the upload.
        done: whether it is complete.
        asked: (method, fields) of each request.
    """

    def __init__(self, protocol: str, **headers: str) -> None:
        self.protocol = protocol
        self.headers = headers
        self.plan: list[Trouble] = []
        self.taken = b""
        self.length: Optional[int] = None
        self.done = False
        self.location = "/uploads/1"
        self.asked: list[tuple[str, httpx.Headers]] = []

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    def transport(self, is_async: bool) -> Any:
        if is_async:

            async def handle(request: httpx.Request) -> httpx.Response:
                return self.respond(request, await request.aread())

            return httpx.MockTransport(handle)
        return httpx.MockTransport(lambda request: self.respond(request, request.read()))

    def respond(self, request: httpx.Request, body: bytes) -> httpx.Response:
        self.asked.append((request.method, request.headers))
        trouble = self.plan.pop(0) if self.plan else Trouble("fine")
        if trouble.kind == "status":
            return httpx.Response(trouble.size)
        if trouble.kind == "forgets":
            self.taken = self.taken[: trouble.size]
        if request.method == "POST":
            return self.create(request, trouble)
        assert request.url.path == "/uploads/1"
        if request.method == "HEAD":
            if trouble.kind in ("lost", "late"):
                raise httpx.ReadTimeout("silence")
            return httpx.Response(204, headers=self.state(trouble))
        return self.append(request, body, trouble)

    def create(self, request: httpx.Request, trouble: Trouble) -> httpx.Response:
        if trouble.kind in ("lost", "late"):
            raise httpx.ReadError("lost")
        self.length = int(request.headers["Upload-Length"])
        assert request.headers["Content-Length"] == "0"
        if self.protocol == "tus":
            assert request.headers["Tus-Resumable"] == "1.0.0"
            self.done = self.length == 0
        else:
            assert request.headers["Upload-Complete"] == "?0"
            assert request.headers["Upload-Draft-Interop-Version"] == "8"
        return httpx.Response(201, headers={"Location": self.location, **self.headers})

    def append(self, request: httpx.Request, body: bytes, trouble: Trouble) -> httpx.Response:
        kind = "application/offset+octet-stream" if self.protocol == "tus" else "application/partial-upload"
        assert request.headers["Content-Type"] == kind
        if int(request.headers["Upload-Offset"]) != len(self.taken):
            return httpx.Response(409, headers=self.state(trouble))
        assert int(request.headers["Content-Length"]) == len(body)
        is_last = request.headers.get("Upload-Complete") == "?1"
        if trouble.kind in ("lost", "some"):
            is_last = is_last and trouble.size >= len(body)
            body = body[: trouble.size]
        self.taken += body
        assert self.length is not None
        assert len(self.taken) <= self.length
        self.done = is_last if self.protocol == "ietf" else len(self.taken) == self.length
        if trouble.kind in ("lost", "late"):
            raise httpx.WriteError("lost")
        if self.done and self.protocol == "ietf":
            return httpx.Response(200, text="stored")
        return httpx.Response(204, headers=self.state(trouble))

    def state(self, trouble: Trouble) -> dict[str, str]:
        if trouble.kind == "silent":
            return {}
        offset = "-1" if trouble.kind == "number" else str(len(self.taken))
        complete = {} if self.protocol == "tus" else {"Upload-Complete": "?1" if self.done else "?0"}
        return {"Upload-Offset": offset, **complete, **self.headers}
