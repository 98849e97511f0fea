"""
Names of httpx 0.28.1's private modules that have moved or are not used here any more.

Public code imports some of them (`from httpx._utils import to_bytes`). They are looked up on first use:
`_utils.install_old_names` gives their modules a `__getattr__` (PEP 562), which asks `find`. A name that was found is
then set in its module, so that later look-ups are ordinary ones and `mock.patch("httpx._utils.to_bytes")` works.

    TABLE   module -> name -> "module:name", where the name is today, or "module"
    GONE    module -> name -> what to use instead

Every module-level name of 0.28.1 is in its module, in `TABLE` or in `GONE`; a test holds this to a stored list. Small
functions of 0.28.1 that nothing here uses are in `_old_parts`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_PARTS = "httpx._old_parts"
_PRIMITIVE = "httpx._utils:primitive_to_str"
_PATTERN = "httpx._patterns:URLPattern"
_ENVIRONMENT = "httpx._proxies:environment_proxies"
_SUPPORTED = f"{_PARTS}:SUPPORTED_DECODERS"


def _parts(*names: str) -> dict[str, str]:
    """Return table entries for names that are in `_old_parts`."""
    return {name: f"{_PARTS}:{name}" for name in names}


def _public(*names: str) -> dict[str, str]:
    """Return table entries for names that `httpx` exports."""
    return {name: f"httpx:{name}" for name in names}


TABLE: dict[str, dict[str, str]] = {
    "httpx._api": _public("Response", "URL"),
    "httpx._auth": {
        **_public("Cookies", "ProtocolError", "Request", "Response"),
        **_parts("to_bytes", "to_str", "unquote"),
        "parse_http_list": "urllib.request:parse_http_list",
    },
    "httpx._client": {
        **_public("BasicAuth", "Cookies", "FunctionAuth", "Headers", "InvalidURL", "Proxy", "QueryParams"),
        **_public("RemoteProtocolError", "Timeout", "TooManyRedirects", "codes"),
        **_parts("ACCEPT_ENCODING", "BoundAsyncStream", "BoundSyncStream"),
        **_parts("_is_https_redirect", "_port_or_default", "_same_origin"),
        "SUPPORTED_DECODERS": _SUPPORTED,
        "URLPattern": _PATTERN,
        "USER_AGENT": "httpx._base_client:USER_AGENT",
        "get_environment_proxies": _ENVIRONMENT,
        "request_context": "httpx._exceptions:request_context",
    },
    "httpx._content": {
        **_parts("peek_filelike_length"),
        "MultipartStream": "httpx._multipart:MultipartStream",
        "json_dumps": "json:dumps",
        "primitive_value_to_str": _PRIMITIVE,
    },
    "httpx._decoders": {"SUPPORTED_DECODERS": _SUPPORTED},
    "httpx._main": _public("Client", "RequestError", "Response", "codes"),
    "httpx._models": {
        **_public("AsyncByteStream", "ByteStream", "CookieConflict", "HTTPStatusError", "RequestNotRead"),
        **_public("ResponseNotRead", "StreamClosed", "StreamConsumed", "SyncByteStream", "URL", "codes"),
        **_parts("SENSITIVE_HEADERS", "_is_known_encoding", "_normalize_header_key", "_normalize_header_value"),
        **_parts("_obfuscate_sensitive_headers", "_parse_content_type_charset", "_parse_header_links"),
        **_parts("to_bytes_or_str", "to_str"),
        "ByteChunker": "httpx._text:ByteChunker",
        "LineDecoder": "httpx._text:LineDecoder",
        "TextChunker": "httpx._text:TextChunker",
        "TextDecoder": "httpx._text:TextDecoder",
        "UnattachedStream": "httpx._content:UnattachedStream",
        "encode_request": "httpx._content:encode_request",
        "encode_response": "httpx._content:encode_response",
        "get_multipart_boundary_from_content_type": "httpx._multipart:get_multipart_boundary_from_content_type",
        "request_context": "httpx._exceptions:request_context",
        "ContentDecoder": "httpx._decoders:ContentDecoder",
        "IdentityDecoder": "httpx._decoders:IdentityDecoder",
        "MultiDecoder": "httpx._decoders:MultiDecoder",
        "SUPPORTED_DECODERS": _SUPPORTED,
    },
    "httpx._multipart": {
        **_parts("DataField", "FileField", "_HTML5_FORM_ENCODING_REPLACEMENTS", "_format_form_param"),
        **_parts("_guess_content_type", "peek_filelike_length", "to_bytes"),
        "Path": "pathlib:Path",
        "primitive_value_to_str": _PRIMITIVE,
    },
    "httpx._transports": {
        **_public("ASGITransport", "AsyncBaseTransport", "AsyncHTTPTransport", "BaseTransport"),
        **_public("HTTPTransport", "MockTransport", "WSGITransport"),
        "asgi": "httpx._transports.asgi",
    },
    "httpx._transports.asgi": _parts("ASGIResponseStream", "create_event", "is_running_trio"),
    "httpx._transports.default": {
        **_public("AsyncByteStream", "ConnectError", "ConnectTimeout", "LocalProtocolError", "NetworkError"),
        **_public("PoolTimeout", "ProtocolError", "Proxy", "ProxyError", "ReadError", "ReadTimeout"),
        **_public("RemoteProtocolError", "SyncByteStream", "TimeoutException", "URL", "UnsupportedProtocol"),
        **_public("WriteError", "WriteTimeout", "create_ssl_context"),
        **_parts("AsyncResponseStream", "HTTPCORE_EXC_MAP", "ResponseStream", "_load_httpcore_exceptions"),
        **_parts("map_httpcore_exceptions"),
    },
    "httpx._transports.wsgi": _parts("WSGIByteStream", "_skip_leading_empty_chunks"),
    "httpx._urlparse": {
        **_parts("FRAG_SAFE", "PASSWORD_SAFE", "PATH_SAFE", "PERCENT", "QUERY_SAFE", "SUB_DELIMS"),
        **_parts("UNRESERVED_CHARACTERS", "USERINFO_SAFE", "USERNAME_SAFE", "encode_host", "normalize_path"),
        **_parts("normalize_port", "percent_encoded", "quote", "validate_path"),
        "MAX_URL_LENGTH": "httpx._urlparse:MAX_LENGTH",
    },
    "httpx._urls": {"primitive_value_to_str": _PRIMITIVE},
    "httpx._utils": {
        **_parts("is_ipv4_hostname", "is_ipv6_hostname", "peek_filelike_length"),
        **_parts("to_bytes", "to_bytes_or_str", "to_str", "unquote"),
        "URLPattern": _PATTERN,
        "get_environment_proxies": _ENVIRONMENT,
        "getproxies": "urllib.request:getproxies",
        "primitive_value_to_str": _PRIMITIVE,
    },
}

_COMMAND_LINE = "the command line client is a new one: run `httpx` or `python -m httpx`, or call httpx.Client"

GONE: dict[str, dict[str, str]] = {
    "httpx._auth": {"_DigestAuthChallenge": "subclass httpx.Auth, or override DigestAuth.auth_flow"},
    "httpx._main": dict.fromkeys(
        (
            *("download_response", "format_certificate", "format_request_headers", "format_response_headers"),
            *("get_lexer_for_response", "handle_help", "print_help", "print_request_headers", "print_response"),
            *("print_response_headers", "trace", "validate_auth", "validate_json"),
        ),
        _COMMAND_LINE,
    ),
    "httpx._status_codes": {"code": "it was a loop variable: use httpx.codes"},
    "httpx._transports.wsgi": {"_T": "it was a type variable: use one of your own"},
    "httpx._urlparse": {"COMPONENT_REGEX": "use the attributes of httpx.URL"},
}


def find(module: str, name: str) -> Any:
    """
    Return the object that 0.28.1 had under this name, and set it in the module.

    Raises:
        AttributeError: no such name; for one that is gone, the message says what to use instead.
    """
    source = TABLE.get(module, {}).get(name)
    if source is None:
        reason = GONE.get(module, {}).get(name)
        hint = "" if reason is None else f" since httpx 0.28.2; {reason}"
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")
    place, _, attribute = source.partition(":")
    value = getattr(import_module(place), attribute) if attribute else import_module(place)
    setattr(sys.modules[module], name, value)
    return value
