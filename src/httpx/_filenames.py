"""
Names for files that a server or a URL chooses, made safe.

    fit_name(name)          without folders, devices, and what a system, a shell or a terminal misreads
    name_in(url)            the end of the path
    server_name(...)        the name of a response: Content-Disposition, else the URL, else "index" and the type
    place_of(url)           a URL without what may be secret or differ between runs, to know it again

Not here: whether such a file exists (`_transports.drafts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Optional

from ._fields import filename_in, media_type_of
from ._utils import lazy_pattern, percent_decoded

# Characters that a common file system refuses or a shell interprets, and controls. Of Unicode those that change
# the direction of text, or are not seen: "exe.gpj" must not look like "jpg.exe". Lone surrogates are not text.
_UNFIT = lazy_pattern(
    '[\x00-\x1f\x7f-\x9f<>:"|?*/\\\\\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]'
)
# Devices of Windows, with any extension; the last three are superscript digits, which it takes for digits.
_DEVICES = lazy_pattern(r"(?i)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d\xb9\xb2\xb3])\s*(?:\.|$)")
# What downloads call their drafts and the records of these: a server that chose such a name could have the bytes of its
# own file taken for the beginning of another server's. In any case, as some file systems ignore it.
_DRAFTS = lazy_pattern(r"(?i)\.part(?:\.json(?:\.new)?)?$")
_SEPARATOR = lazy_pattern(r"[/\\]")
_HOST = lazy_pattern(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
# Bytes; file systems allow 255, and the number and ".part.json" need some.
MAX_NAME = 200
# What is looked at of a name: more of it could not be kept, but its end has the extension.
_MAX_READ = 4096


def fit_name(name: str) -> str:
    """
    Return a name without folders, leading dots and dashes, and characters that some system refuses.

    At most 201 bytes of UTF-8; "" if nothing is left. Never one that a download gives to its draft.
    """
    name = _SEPARATOR.split(name[-_MAX_READ:])[-1]
    name = _UNFIT.sub("_", name).strip().lstrip(".-~ ").rstrip(". ")
    if _DEVICES.match(name):
        name = "_" + name
    if len(name.encode("utf-8")) > MAX_NAME:
        stem, dot, suffix = name.rpartition(".")
        room = MAX_NAME - len((dot + suffix).encode("utf-8"))
        # A suffix that leaves no room is treated as part of the name.
        name = _cut(stem, room) + dot + suffix if stem and room > 0 else _cut(name, MAX_NAME).rstrip(". ")
    return f"{name}_" if _DRAFTS.search(name) else name


def _cut(text: str, most: int) -> str:
    """Return as many characters as fit into `most` bytes of UTF-8."""
    return text.encode("utf-8")[:most].decode("utf-8", "ignore")


def name_in(url: str) -> str:
    """Return the end of the path of a URL, decoded; it may hold anything."""
    path = re.split(r"[?#]", _HOST.sub("", url), maxsplit=1)[0]
    return percent_decoded(path.rpartition("/")[2])


def server_name(headers: Mapping[str, str], url: str) -> str:
    """Return a file name: from Content-Disposition (RFC 6266), else the end of the URL, else "index" and the type."""
    name = fit_name(filename_in(headers.get("content-disposition", ""))) or fit_name(name_in(url))
    if name:
        return name
    import mimetypes

    kind = media_type_of(headers.get("content-type", ""))
    return "index" + (mimetypes.guess_extension(kind) or "")


def place_of(url: str) -> str:
    """Return a URL without parts that may differ between runs or be secret: credentials, query, fragment."""
    return re.sub(r"//[^/?#@]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])


def query_of(url: str) -> Optional[str]:
    """Return the query of a URL; None if it has none."""
    found = re.search(r"\?([^#]*)", url.partition("#")[0])
    return found[1] if found and found[1] else None
