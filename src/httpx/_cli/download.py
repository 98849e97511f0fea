"""
Save a body, whole or not at all.

    download = Download("photos/", url)         a folder, or "" for the current one: the server chooses the name
    request.headers.update(download.headers())
    ...
    path = download.save(response)

The body is written to a draft beside the target, which replaces the target when it is complete and the digest is right.
After a failure the target is unchanged, and the draft is deleted, unless the server sent a validator with which the
rest can be requested: then the draft stays as `<target>.part`, with its metadata in `<target>.part.json`, and
`resume=True` continues it (RFC 9110, 13.1.5 If-Range and 14.2 Range). A device or a named pipe is written to directly:
it must not be replaced by a file. On a terminal, standard error shows a bar with size, speed and time left.

A name that the server chooses is always that of a new file in the folder: it has no path, no leading dot, no control
characters, and gets a number if such a file exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

from .._fields import filename_in, media_type_of, parse_date
from .exits import OTHER_DIGEST, Failure

if TYPE_CHECKING:
    from httpx import Response

# Characters that a common file system refuses or a shell interprets, and controls (C0, C1).
_UNFIT = re.compile('[\x00-\x1f\x7f-\x9f<>:"|?*/\\\\]')
# Devices of Windows, with any extension.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.I)
# Bytes; file systems allow 255, and the number and ".part.json" need some.
_MAX_NAME = 200
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)$")


class OtherDigest(Failure):
    """The file does not have the requested digest."""

    code = OTHER_DIGEST


class NotResumed(Failure):
    """The server did not send the rest of the file."""


class Download:
    """
    A body to be saved to a file.

    Args:
        target: a file, a folder, "" for the current folder, or "-" for standard output.
        url: of the request, for a file name if the server gives none.
        resume: continue the draft of an earlier run.
        digest: name of a hash and its value, such as "sha256:9f86...".

    Raises:
        ValueError: the digest does not have this form, or `resume` is given with standard output.
    """

    def __init__(self, target: str, url: str, *, resume: bool = False, digest: str | None = None) -> None:
        self._target = target
        self._url = url
        self._digest = None if digest is None else _wanted_digest(digest)
        self._part: _Part | None = None
        if resume:
            if target == "-":
                raise ValueError("--continue needs a file, not standard output")
            self._part = _Part.found(self._path_for_resuming(), url)

    @property
    def is_repeatable(self) -> bool:
        """Return whether the body can be saved again after it broke: not where its beginning was written for good."""
        if self._target == "-":
            return False
        return _folder_of(self._target) is not None or not os.path.exists(self._target) or os.path.isfile(self._target)

    @property
    def kept(self) -> str | None:
        """Return the path of the draft that `resume` would continue; None if there is none."""
        part = self._part
        return part.path if part is not None and os.path.exists(part.path) else None

    def headers(self) -> dict[str, str]:
        """Return header fields for the request; a Range needs a body that is not compressed."""
        if self._target == "-":
            return {}
        return {"Accept-Encoding": "identity", **({} if self._part is None else self._part.headers())}

    def save(self, response: Response) -> str:
        """
        Write an unread body, or the rest of it; return the path, or "-".

        Raises:
            OSError: the file cannot be written.
            RequestError: the body did not arrive completely.
            OtherDigest: the body has another digest.
            NotResumed: the server did not send the rest.
        """
        if self._target == "-":
            self._into(sys.stdout.buffer, response, "-", 0)
            return "-"
        part = self._part
        if part is not None and response.status_code == 416 and _total(response) == part.size:
            return self._completed(part)
        if part is not None and response.status_code == 206:
            return self._resumed(part, response)
        if response.status_code == 206 and part is None:
            raise NotResumed("the server sent a part of the file, which was not requested")
        if part is not None and response.status_code >= 400:
            raise NotResumed(f"the server responded with {response.status_code}; {part.path!r} is kept")
        path = os.path.realpath(self._path(response))  # a link stays a link
        if os.path.lexists(path) and not os.path.isfile(path):
            with open(path, "wb") as device:
                self._into(device, response, path, 0)
            return path
        folder, name = os.path.split(path)
        descriptor, draft = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            self._finished(file, draft, response, path, 0)
        if part is not None:  # the file has changed, and the draft belongs to the old one
            part.remove()
        return path

    def _resumed(self, part: _Part, response: Response) -> str:
        """Append the rest to the draft."""
        if not _is_the_rest(part, response):
            raise NotResumed(f"the server did not send the part that is missing; {part.path!r} is kept")
        start = part.size
        draft = part.take()
        with open(draft, "r+b") as file:
            file.seek(0, os.SEEK_END)
            self._finished(file, draft, response, part.target, start)
        return part.target

    def _completed(self, part: _Part) -> str:
        """Rename a draft that is the whole file."""
        draft = part.take()
        with open(draft, "rb") as file:
            self._check(_hash_of(file, self._digest))
        os.chmod(draft, _mode(part.target))
        os.replace(draft, part.target)
        return part.target

    def _finished(self, file: IO[bytes], draft: str, response: Response, path: str, start: int) -> None:
        """Fill a draft and move it to the target; after a failure keep or delete it."""
        try:
            self._into(file, response, path, start)
            file.close()  # Windows cannot move open files
            os.chmod(draft, _mode(path))
            os.replace(draft, path)
        except OtherDigest:
            file.close()
            os.unlink(draft)
            raise
        except BaseException:
            file.close()
            known = None if self._part is None or not start else self._part.validator
            # If the request is sent again, it asks for the rest.
            self._part = _keep_or_remove(draft, path, _place(self._url), validator_of(response) or known)
            raise

    def _into(self, file: IO[bytes], response: Response, name: str, start: int) -> None:
        hasher = None
        if self._digest is not None:
            hasher = hashlib.new(self._digest[0])
            if start:
                with open(file.name, "rb") as written:
                    hasher = _hash_of(written, self._digest)
        with _progress(response, name, start) as advance:
            for piece in response.iter_bytes():
                file.write(piece)
                if hasher is not None:
                    hasher.update(piece)
                advance()
            file.flush()
        self._check(hasher)

    def _check(self, hasher: Any) -> None:
        if self._digest is None:
            return
        name, wanted = self._digest
        found = hasher.hexdigest()
        if found != wanted:
            raise OtherDigest(f"the file has the digest {name}:{found}, and not {name}:{wanted}")

    def _path(self, response: Response) -> str:
        folder = _folder_of(self._target)
        if folder is None:
            return self._target
        return _unused(os.path.join(folder, server_name(response, self._url)))

    def _path_for_resuming(self) -> str:
        folder = _folder_of(self._target)
        if folder is None:
            return self._target
        return os.path.join(folder, fit_name(_name_in(self._url)) or "index")


class _Part:
    """A draft of an earlier run, and the validator of the file that it is a part of."""

    def __init__(self, target: str, validator: str) -> None:
        self.target = os.path.realpath(target)
        self.path = f"{self.target}.part"
        self.validator = validator
        self.size = os.path.getsize(self.path)

    @classmethod
    def found(cls, target: str, url: str) -> _Part | None:
        """Return the draft of a target and a URL; None if there is none, or it has no metadata."""
        try:
            with open(f"{os.path.realpath(target)}.part.json", encoding="utf-8") as file:
                known = json.load(file)
            # Two files may have the same entity tag, such as "1".
            return cls(target, str(known["validator"])) if known["url"] == _place(url) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def headers(self) -> dict[str, str]:
        return {"Range": f"bytes={self.size}-", "If-Range": self.validator}

    def take(self) -> str:
        """Rename the draft so that only this process uses it; return its new path."""
        folder, name = os.path.split(self.path)
        descriptor, draft = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder)
        os.close(descriptor)
        os.replace(self.path, draft)
        _unlink(f"{self.path}.json")
        return draft

    def remove(self) -> None:
        _unlink(self.path)
        _unlink(f"{self.path}.json")


def _keep_or_remove(draft: str, path: str, place: str, validator: str | None) -> _Part | None:
    """Keep a draft where a later run can continue it, and return it; None if it cannot be continued."""
    if validator is None or not os.path.getsize(draft):
        os.unlink(draft)
        return None
    os.replace(draft, f"{path}.part")
    with open(f"{path}.part.json", "w", encoding="utf-8") as file:
        json.dump({"url": place, "validator": validator}, file)
    return _Part(path, validator)


def validator_of(response: Response) -> str | None:
    """
    Return the validator to request the rest of a body with: a strong entity tag, or a date that counts as strong.

    RFC 9110, 8.8.1 and 8.8.2.2.
    """
    headers = response.headers
    if (
        response.status_code not in (200, 206)
        or headers.get("accept-ranges") == "none"
        or "content-encoding" in headers
    ):
        return None
    tag = headers.get("etag", "")
    if tag.startswith('"'):
        return str(tag)
    changed, now = parse_date(headers.get("last-modified", "")), parse_date(headers.get("date", ""))
    is_strong = changed is not None and now is not None and now > changed
    return str(headers["last-modified"]) if is_strong else None


def server_name(response: Response, url: str) -> str:
    """Return a file name: from Content-Disposition (RFC 6266), else the end of the URL, else "index" and the type."""
    name = fit_name(filename_in(response.headers.get("content-disposition", ""))) or fit_name(_name_in(url))
    if name:
        return name
    import mimetypes

    kind = media_type_of(response.headers.get("content-type", ""))
    return "index" + (mimetypes.guess_extension(kind) or "")


def fit_name(name: str) -> str:
    """Return a name without folders, leading dots, and characters that some system refuses; "" if nothing is left."""
    name = re.split(r"[/\\]", name)[-1]
    name = _UNFIT.sub("_", name).strip(" ").lstrip(".").rstrip(". ")
    if _DEVICES.match(name):
        name = "_" + name
    if len(name.encode("utf-8", "replace")) > _MAX_NAME:
        stem, suffix = os.path.splitext(name)
        room = _MAX_NAME - len(suffix.encode("utf-8", "replace"))
        # A suffix that leaves no room is treated as part of the name.
        name = _cut(stem, room) + suffix if room > 0 else _cut(name, _MAX_NAME)
    return name


def _cut(text: str, most: int) -> str:
    """Return as many characters as fit into `most` bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _name_in(url: str) -> str:
    path = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", url)
    return unquote(re.split(r"[?#]", path)[0].rpartition("/")[2])


def _folder_of(target: str) -> str | None:
    """Return the folder that a target means; None if it is a file."""
    if not target:
        return "."
    return target if os.path.isdir(target) or target.endswith(("/", os.sep)) else None


def _unused(path: str) -> str:
    stem, suffix = os.path.splitext(path)
    number = 0
    while os.path.lexists(path):
        number += 1
        path = f"{stem}-{number}{suffix}"
    return path


def _wanted_digest(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    name, value = name.lower().replace("-", ""), value.strip().lower()
    try:
        size = hashlib.new(name).digest_size
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a digest: expected a form such as sha256:<64 digits>") from None
    if size == 0 or not re.fullmatch(rf"[0-9a-f]{{{size * 2}}}", value):
        raise ValueError(f"a digest of {name} has {size * 2} hexadecimal digits")
    return name, value


def _hash_of(file: IO[bytes], digest: tuple[str, str] | None) -> Any:
    hasher = hashlib.new("sha256" if digest is None else digest[0])
    for piece in iter(lambda: file.read(1 << 20), b""):
        hasher.update(piece)
    return hasher


def _total(response: Response) -> int | None:
    match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
    return int(match[3]) if match is not None and match[3] != "*" else None


def _is_the_rest(part: _Part, response: Response) -> bool:
    """Return whether a 206 has all that a draft lacks, of the same file, unencoded (RFC 9110, 14.4 and 15.3.7)."""
    headers = response.headers
    match = _CONTENT_RANGE.match(headers.get("content-range", ""))
    if match is None or match[1] is None or int(match[1]) != part.size or "content-encoding" in headers:
        return False
    if match[3] != "*" and int(match[2]) + 1 != int(match[3]):
        return False
    return not part.validator.startswith('"') or headers.get("etag", part.validator) == part.validator


def _place(url: str) -> str:
    """Return a URL without parts that may differ between runs or be secret: credentials, query, fragment."""
    return re.sub(r"//[^/?#@]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _mode(path: str) -> int:
    """Return the permissions of the replaced file, or of a new file: `mkstemp` gives them only to the owner."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


@contextmanager
def _progress(response: Response, target: str, start: int) -> Iterator[Any]:
    """Yield a function that moves the progress bar, to be called after each piece."""
    from .bar import bar

    length = response.headers.get("content-length", "")
    # Content-Length counts the bytes on the wire, so they are compared with it, not the decoded ones.
    total = start + int(length) if length.isdigit() else None
    with bar(os.path.basename(target)) as tell:
        tell(start, total)
        yield lambda: tell(start + response.num_bytes_downloaded, total)
