"""
Mask secrets in output that people paste into tickets and chats.

    field("Authorization", "Bearer abc")      "Bearer ***"
    address(httpx.URL("http://ann:pw@a/?token=abc"))      "http://ann:***@a/?token=***"
    body("application/json", b'{"token": "abc"}')         b'{"token": "***"}'

Secrets are recognized by name, as in the library's logs. A body is looked at if it is a form or JSON; one without a
Content-Type is JSON if it begins like it. In JSON all that stands below a secret name is hidden: text, numbers, and
whole arrays and objects.
"""

from __future__ import annotations

import json
import re

from ._exceptions import InvalidURL
from ._secrets import ADDRESS_FIELDS, HIDDEN, hide_parameters, is_secret_field, looks_secret
from ._urls import URL

MASK = "***"
_WITH_SCHEME = frozenset(("authorization", "proxy-authorization"))
# Every string, so that no end of one is taken for a beginning; with its value, or the beginning of that, if it is a
# name. One that has no end goes on to the end of the text, which is not looked at again then.
_STRING = rb'"((?:[^"\\]|\\.)*)'
_MEMBER = re.compile(_STRING + rb'(?:"(?:(\s*:\s*)(?:' + _STRING + rb'"?|-?\d[\d.eE+-]*|([\[{])))?)?', re.S)
_STRING_OR_BRACKET = re.compile(_STRING + rb'"?|[\[\]{}]', re.S)
# After a byte order mark, also in UTF-16 and UTF-32.
_BEGINS_LIKE_JSON = re.compile(rb"(?:\xef\xbb\xbf|[\0\xfe\xff]+)?[\s\0]*[\[{]")
# Ends of media types: also of JSON Lines and text sequences.
_JSON = ("json", "jsonl", "jsonlines", "json-seq")
_PART_NAME = re.compile(rb'(?:^|\s|;)name="([^"]*)"', re.I)


def field(name: str, value: str) -> str:
    """Return the value of a header field, or the part of it that is not secret."""
    lower = name.lower()
    if lower in _WITH_SCHEME:
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {MASK}" if space else MASK
    if is_secret_field(name):
        return MASK
    if lower in ADDRESS_FIELDS:
        try:
            return address(URL(value))
        except (InvalidURL, ValueError):
            return MASK  # its content is unknown
    return value


def address(url: URL) -> str:
    """Return a URL without its password and without the values of parameters whose names look secret."""
    # The library's mask has brackets, which curl would read as a range.
    return url._redacted().replace(HIDDEN, MASK)


def target(text: str) -> str:
    """Return a request target without the values of parameters whose names look secret."""
    path, mark, query = text.partition("?")
    return path + mark + hide_parameters(query).replace(HIDDEN, MASK)


def body(content_type: str, content: bytes) -> bytes:
    """Return a body without the values of members, fields and parts whose names look secret."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        text = hide_parameters(content.decode("utf-8", "surrogateescape")).replace(HIDDEN, MASK)
        return text.encode("utf-8", "surrogateescape")
    if kind.endswith(_JSON) or (not kind and _BEGINS_LIKE_JSON.match(content)):
        return _hide_members(content)
    boundary = re.search(r'boundary="?([^;"\s]+)', content_type) if kind.startswith("multipart/") else None
    if boundary is None:
        return content
    separator = b"--" + boundary[1].encode("utf-8", "surrogateescape")
    return separator.join(map(_hide_part, content.split(separator)))


def _hide_members(content: bytes) -> bytes:
    """Return JSON without the values of members whose names look secret; its encoding stays."""
    if b"\0" not in content[:4]:
        return _hide_utf_8(content)
    encoding = json.detect_encoding(content)  # UTF-16 or UTF-32
    try:
        shown = _hide_utf_8(content.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass"))
        return shown.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return MASK.encode()  # its content is unknown


def _hide_utf_8(content: bytes) -> bytes:
    out: list[bytes] = []
    at = 0
    for match in _MEMBER.finditer(content):
        name, colon, _, bracket = match.groups()
        if match.start() >= at and colon is not None and looks_secret(_unescaped(name)):
            out += content[at : match.start()], b'"', name, b'"', colon, f'"{MASK}"'.encode()
            at = match.end() if bracket is None else _end_of_brackets(content, match.end())
    return b"".join([*out, content[at:]])


def _end_of_brackets(content: bytes, at: int) -> int:
    """Return where the array or object ends that begins before `at`."""
    depth = 1
    for match in _STRING_OR_BRACKET.finditer(content, at):
        if match[1] is None:
            depth += 1 if match[0] in b"[{" else -1
            if not depth:
                return match.end()
    return len(content)


def _unescaped(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), text)


def _hide_part(part: bytes) -> bytes:
    head, separator, _ = part.partition(b"\r\n\r\n")
    name = _PART_NAME.search(head)
    if name is None or not looks_secret(name[1].decode("utf-8", "replace")):
        return part
    return head + separator + MASK.encode() + b"\r\n"
