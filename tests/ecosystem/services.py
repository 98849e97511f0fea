"""A server with as much of some services as the tests of their SDKs need, and the fixture that starts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

MESSAGE = {
    "id": "1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}


def events(*payloads: Any, named: bool = False) -> bytes:
    lines = []
    for payload in payloads:
        if named:
            lines.append(f"event: {payload['type']}\n")
        lines.append(f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n")
    return "".join(lines).encode()


def chunk(text: str) -> dict[str, Any]:
    return {**COMPLETION, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}


OPENAI_EVENTS = events(chunk("hel"), chunk("lo"), "[DONE]")
ANTHROPIC_EVENTS = events(
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
    named=True,
)


class Handler(BaseHTTPRequestHandler):
    """As much of the services as the tests below need."""

    protocol_version = "HTTP/1.1"
    failures = 0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = type(self)
        if kind.failures:
            kind.failures -= 1
            self.reply(500, b'{"error": {"message": "busy"}}', {"retry-after-ms": "1"})
        elif "chat" in self.path:
            self.answer(asked, COMPLETION, OPENAI_EVENTS)
        elif "messages" in self.path:
            self.answer(asked, MESSAGE, ANTHROPIC_EVENTS)
        elif "graphql" in self.path:
            broken = "broken" in asked["query"]
            self.reply(
                200, json.dumps({"errors": [{"message": "no"}]} if broken else {"data": {"name": "gql"}}).encode()
            )
        else:
            self.reply(404, b'{"error": {"message": "unknown"}}')

    def do_GET(self) -> None:
        self.reply(200, b'{"name": "elastic"}', {"x-elastic-product": "Elasticsearch"})

    def answer(self, asked: Any, whole: Any, pieces: bytes) -> None:
        if not asked.get("stream"):
            self.reply(200, json.dumps(whole).encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(pieces), 50):
            piece = pieces[start : start + 50]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def reply(self, status: int, body: bytes, fields: dict[str, str] = {}) -> None:  # noqa: B006  # read only
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def service() -> Iterator[str]:
    Handler.failures = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
