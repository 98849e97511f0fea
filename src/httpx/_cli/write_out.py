"""
`--write-out`: a line of figures after the response, in curl's notation.

    write_out("%{http_code} in %{time_total} s\\n", {"http_code": 200, "time_total": 0.01}) -> "200 in 0.010000 s\\n"

A variable is `%{name}`, or `%header{name}` for a field of the response; `%%` is `%`; `\\n`, `\\r` and `\\t` are as in
C. `%{json}` is all variables as one JSON object. `facts_of` collects the figures.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from .screen import text_of

if TYPE_CHECKING:
    import httpx

    from .timings import Hops

# Variables that choose the stream of what follows them.
_STREAMS = ("stderr", "stdout")
# The variables of curl's manual that have a meaning here.
VARIABLES = (
    *(
        "certs",
        "content_type",
        "errormsg",
        "exitcode",
        "filename_effective",
        "header_json",
        "http_code",
        "http_version",
        "json",
    ),
    *(
        "local_ip",
        "local_port",
        "method",
        "num_certs",
        "num_connects",
        "num_headers",
        "num_redirects",
        "num_retries",
        "redirect_url",
    ),
    *("referer", "remote_ip", "remote_port", "response_code", "scheme", "size_download", "size_header"),
    *("size_request", "size_upload", "speed_download", "speed_upload", "ssl_verify_result", "time_appconnect"),
    *(
        "time_connect",
        "time_namelookup",
        "time_pretransfer",
        "time_redirect",
        "time_starttransfer",
        "time_total",
        "url",
    ),
    *("url_effective", "urlnum"),
)

_PART = re.compile(r"%%|%\{([^}]*)\}|%header\{([^}]*)\}|\\([nrt\\])")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def check(format: str) -> None:
    """
    Check the variables of a format, before a request is sent.

    Raises:
        ValueError: a variable is unknown.
    """
    for match in _PART.finditer(format):
        if match[1] is not None and match[1] not in (*VARIABLES, *_STREAMS):
            raise ValueError(f"unknown variable {match[1]!r} for --write-out")


def loaded(format: str) -> str:
    """
    Return the format, or the text of the file if it is `@path`; `@-` is standard input.

    Raises:
        ValueError: the file is not UTF-8.
        OSError: it cannot be read.
    """
    if not format.startswith("@"):
        return format
    if format == "@-":
        return "" if sys.stdin is None else sys.stdin.read()
    with open(os.path.expanduser(format[1:]), encoding="utf-8") as file:
        return file.read()


def by_stream(format: str) -> list[tuple[str, str]]:
    """Return the parts of a format, each with the stream that it goes to, "stdout" or "stderr"."""
    parts, stream, start = [], "stdout", 0
    for match in _PART.finditer(format):
        if match[1] in _STREAMS:
            parts.append((stream, format[start : match.start()]))
            stream, start = match[1], match.end()
    return [(name, part) for name, part in [*parts, (stream, format[start:])] if part]


def write_out(format: str, facts: dict[str, Any]) -> str:
    """
    Return the format with its variables filled in; one that is unknown or has no value is empty.

    Args:
        format: see the module.
        facts: values by variable; "headers", for `%header{}` and `%{header_json}`, is a list of pairs of text.
    """
    return _PART.sub(lambda match: _filled(match, facts), format)


def _filled(match: re.Match[str], facts: dict[str, Any]) -> str:
    name, field, escape = match.groups()
    if escape is not None:
        return _ESCAPES[escape]
    if field is not None:
        return next((value for key, value in facts.get("headers", ()) if key.lower() == field.lower()), "")
    if name is None:
        return "%"
    if name == "json":
        return json.dumps({key: facts.get(key) for key in VARIABLES if key not in ("json", "header_json")})
    if name == "header_json":
        return json.dumps(_grouped(facts.get("headers", ())))
    return _text(name, facts.get(name))


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in ("http_code", "response_code"):
        return f"{value:03}"
    return f"{value:.6f}" if isinstance(value, float) and name.startswith("time_") else str(value)


def _grouped(headers: Any) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        grouped.setdefault(name.lower(), []).append(value)
    return grouped


def facts_of(response: httpx.Response, timings: Hops, **more: Any) -> dict[str, Any]:
    """
    Return facts about an exchange, by curl's names.

    Args:
        response: the last of a chain of redirects, with its body read.
        timings: of the whole chain, finished.
        more: facts of the caller, such as `filename_effective`, and `addresses_of` the response.
    """
    request = response.request
    received, total = response.num_bytes_downloaded, timings.total
    status = response.status_code
    facts = {
        "content_type": response.headers.get("content-type"),
        "http_code": status,
        "response_code": status,
        "http_version": response.http_version.rpartition("/")[2],
        "method": request.method,
        "num_connects": timings.connections,
        "num_headers": len(response.headers.raw),
        "num_redirects": len(response.history),
        "redirect_url": None if response.next_request is None else str(response.next_request.url),
        "referer": request.headers.get("referer"),
        "scheme": request.url.scheme,
        "size_download": received,
        "size_header": sum(len(name) + len(value) + 4 for name, value in response.headers.raw),
        "size_upload": _size(request),
        "speed_download": int(received / total) if total > 0 else 0,
        "time_total": total,
        "url_effective": str(request.url),
        "urlnum": 0,
        "headers": [(name.decode("latin-1"), text_of(value)) for name, value in response.headers.raw],
    }
    return {**facts, **_times(timings), **more}


def facts_of_error(request: httpx.Request, timings: Hops, **more: Any) -> dict[str, Any]:
    """Return facts about an exchange without a response: the status is 000, as in curl."""
    facts = {
        "http_code": 0,
        "response_code": 0,
        "http_version": "0",
        "method": request.method,
        "num_connects": timings.connections,
        "num_headers": 0,
        "num_redirects": 0,
        "referer": request.headers.get("referer"),
        "scheme": request.url.scheme,
        "size_download": 0,
        "size_header": 0,
        "size_upload": _size(request),
        "speed_download": 0,
        "time_total": timings.total,
        "url_effective": str(request.url),
        "urlnum": 0,
    }
    return {**facts, **_times(timings), **more}


def _size(request: httpx.Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else 0


def _times(timings: Hops) -> dict[str, float]:
    """Return the times from the beginning of the run to each phase's end; a missing phase ends with the one before."""
    last = timings.hops[-1] if timings.hops else None
    queue = timings.until("queue")
    lookup = max(timings.until("DNS"), queue)
    connect = max(timings.until("connect"), lookup)
    tls = timings.until("TLS")
    sending = last.spans["send"].start if last is not None and "send" in last.spans else max(connect, tls)
    return {
        "time_namelookup": lookup,
        "time_connect": connect,
        "time_appconnect": tls,
        "time_pretransfer": sending,
        "time_starttransfer": max(timings.until("wait"), sending),
        "time_redirect": timings.hops[-1].start if len(timings.hops) > 1 else 0.0,
    }


def _chain(tls: Any) -> list[bytes]:
    """Return the certificates that the server sent, in DER; before Python 3.13 only its own."""
    if hasattr(tls, "get_unverified_chain"):
        return list(tls.get_unverified_chain())
    own = tls.getpeercert(True)
    return [own] if own else []


def addresses_of(response: httpx.Response) -> dict[str, Any]:
    """
    Return addresses and ports of both ends, and the result of the certificate's check, while there is a connection.

    By curl's names. `ssl_verify_result` is 0 for a valid certificate and for a connection without TLS; with --no-verify
    it has no value.
    """
    stream = response.extensions.get("network_stream")
    out: dict[str, Any] = {}
    for side, key in (("remote", "server_addr"), ("local", "client_addr")):
        address = None if stream is None else stream.get_extra_info(key)
        if isinstance(address, tuple):
            out[f"{side}_ip"], out[f"{side}_port"] = address[0], address[1]
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    if tls is None or tls.getpeercert():
        out["ssl_verify_result"] = 0
    if tls is not None:
        chain = _chain(tls)
        import ssl

        out.update(num_certs=len(chain), certs="".join(map(ssl.DER_cert_to_PEM_cert, chain)))
    return out
