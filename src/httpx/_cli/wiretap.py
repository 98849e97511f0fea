"""
The output of --verbose: connections, certificates, and heads as they were on the wire.

The library's `trace` extension reports events as they happen, and a response hook sees each response of a chain of
redirects or of an authentication. The certificate is known only with the response, so on a new TLS connection the
request is held back until then (or until the failure) and shown after the lines about TLS.
"""

from __future__ import annotations

import ssl
from collections.abc import Container
from typing import Any

import httpx

from .screen import Screen

# RFC 9113, 8.2.2.
_OF_HTTP1 = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))


def head_of(response: httpx.Response) -> tuple[bytes, int, bytes, list[tuple[bytes, bytes]]]:
    """Version, status, reason and fields of a response, as received."""
    extensions = response.extensions
    version, reason = extensions.get("http_version", b"HTTP/1.1"), extensions.get("reason_phrase", b"")
    return version, response.status_code, reason, response.headers.raw


class Wiretap:
    """
    An observer that shows the course of a request on a screen.

    Args:
        screen: to write to.
        parts: which of "H", "B", "h" (head and body of the request, head of the response) to show.
        verbose: show connections and every hop; else only the last request and its response.
        masks: hide the credentials in Authorization.
    """

    def __init__(
        self, screen: Screen, parts: Container[str] = "HBh", verbose: bool = True, masks: bool = False
    ) -> None:
        self._screen = screen
        self._parts = parts
        self._verbose = verbose
        self._masks = masks
        self._name = ""
        self._peer = ""
        self._held: list[tuple[httpx.Request, bytes]] = []
        self._holds = not verbose
        self._after_body = False

    def event(self, name: str, info: dict[str, Any]) -> None:
        """Take an event of the extension `trace`."""
        if name.endswith("send_request_headers.started"):
            version = b"HTTP/2" if name.startswith("http2") else b"HTTP/1.1"
            if not self._verbose:
                self._held.clear()
            self._held.append((info["request"], version))
            if not self._holds:
                self.flush()
        elif self._verbose:
            self._step(name, info)

    def _note(self, text: str) -> None:
        self.separate()
        self._screen.note(text)

    def separate(self) -> None:
        """Write an empty line if a body was shown last: it may not end with a line break."""
        if self._after_body:
            self._screen.write("\n\n")
            self._after_body = False

    def _step(self, name: str, info: dict[str, Any]) -> None:
        if name.endswith("resolve_host.started"):
            self._name = repr(info["host"])
        elif name.endswith("resolve_host.complete"):
            addresses = info.get("return_value") or ["no address"]
            self._note(f"{self._name} is {', '.join(map(str, addresses))}")
        elif name.endswith("connect_tcp.started"):
            self._peer = f"{info['host']!r} on port {info['port']}"
            self._note(f"Connecting to {self._peer}")
        elif name.endswith("connect_unix_socket.started"):
            self._peer = f"the socket {info['path']!r}"
            self._note(f"Connecting to {self._peer}")
        elif name.endswith(("connect_tcp.complete", "connect_unix_socket.complete")):
            self._note(f"Connected to {self._peer}")
        elif name.endswith("start_tls.complete"):
            self._holds = True

    def response(self, response: httpx.Response) -> None:
        """Take the head of a response, from the event hook `response`."""
        if not self._verbose:
            return
        if self._holds:
            stream = response.extensions.get("network_stream")
            self._tls(None if stream is None else stream.get_extra_info("ssl_object"))
            self._holds = False
        self.flush()
        if "h" not in self._parts:
            return
        self.separate()
        version, final, reason, raw = head_of(response)
        if "stream_id" in response.extensions:
            self._screen.note(f"Response on stream {response.extensions['stream_id']}")
        for status, fields in response.extensions.get("informational", ()):
            self._screen.response(version, status, httpx.codes.get_reason_phrase(status).encode(), fields)
        self._screen.response(version, final, reason, raw)

    def last(self, response: httpx.Response) -> None:
        """Take the final response; without `verbose`, nothing is shown before it."""
        self.flush()
        if not self._verbose and "h" in self._parts:
            self.separate()
            self._screen.response(*head_of(response))

    def flush(self) -> None:
        """Show requests that were held back."""
        held, self._held = self._held, []
        for request, version in held:
            self.request(request, version)

    def request(self, request: httpx.Request, version: bytes = b"HTTP/1.1") -> None:
        """Show the requested parts of a request."""
        self.separate()
        if "H" in self._parts:
            target = request.extensions.get("target", request.url.raw_path)
            fields = _fields_of_http2(request) if version == b"HTTP/2" else request.headers.raw
            if self._masks:
                fields = [_masked(name, value) for name, value in fields]
            self._screen.request(request.method.encode(), _as_bytes(target), version, fields)
        if "B" in self._parts:
            self._sent(request)

    def _sent(self, request: httpx.Request) -> None:
        try:
            content = request.content
        except httpx.RequestNotRead:
            self._screen.stand_in(f"{request.headers.get('content-length', 'some')} bytes from files")
            self._after_body = True
            return
        if content:
            self._screen.sent(content, request.headers.get("content-type", ""))
            self._after_body = True

    def _tls(self, connection: Any) -> None:
        if connection is None:
            return
        cipher = (connection.cipher() or ("an unknown cipher",))[0]
        protocol = connection.selected_alpn_protocol()
        self._note(f"{connection.version()} with {cipher}" + (f", agreed on {protocol}" if protocol else ""))
        certificate = connection.getpeercert()
        if not certificate:
            self._note("The server's certificate was not checked")
            return
        for line in certificate_lines(certificate):
            self._note(line)


def certificate_lines(certificate: dict[str, Any]) -> list[str]:
    """Return lines about a certificate, given as the dictionary of `SSLObject.getpeercert`."""
    names = [f"{value}" for _, value in certificate.get("subjectAltName", ())]
    return [
        f"Certificate of {_distinguished(certificate.get('subject', ()))}",
        f"  issued by {_distinguished(certificate.get('issuer', ()))}",
        f"  valid from {_day(certificate.get('notBefore'))} to {_day(certificate.get('notAfter'))}",
        f"  for {', '.join(names[:8])}" + (f" and {len(names) - 8} more" if len(names) > 8 else ""),
    ]


def _distinguished(name: Any) -> str:
    parts = {key: value for part in name for key, value in part}
    return ", ".join(parts[key] for key in ("commonName", "organizationName") if key in parts) or "an unnamed party"


def _day(time: str | None) -> str:
    if time is None:
        return "?"
    import datetime

    seconds = ssl.cert_time_to_seconds(time)
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).date().isoformat()


def _fields_of_http2(request: httpx.Request) -> list[tuple[bytes, bytes]]:
    """Return the fields as in HTTP/2: in lower case, with pseudo-fields, without fields of the connection."""
    fields = [(name.lower(), value) for name, value in request.headers.raw]
    hosts = [(b":authority", value) for name, value in fields if name == b"host"]
    return [*hosts, *((name, value) for name, value in fields if name != b"host" and name not in _OF_HTTP1)]


def _masked(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name.lower() != b"authorization":
        return name, value
    from .. import _redaction as redaction

    return name, redaction.field(name.decode("latin-1"), value.decode("latin-1")).encode("latin-1")


def _as_bytes(target: str | bytes) -> bytes:
    return target.encode() if isinstance(target, str) else target
