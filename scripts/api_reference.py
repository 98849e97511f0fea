"""
Writes docs/api.md: every public name of httpx, with its signature and what its docstring says.

The docstrings are the source, so that `help()`, an editor and the page say the same. Their sections (`Args:`,
`Raises:`) become lists, what is indented in them becomes code. `tests/test_docs.py` compares the page with what this
makes, and fails if one was changed without the other.

The page is the same with every Python, so nothing is taken from where versions differ: annotations are shown as they
are written, and of members only those that httpx defines.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx.testing

PAGE = Path(__file__).parent.parent / "docs" / "api.md"

HEAD = """\
# Reference

Every public name of `httpx`. This page is made from the docstrings by `scripts/api-reference`; `help(httpx.Client)`
says the same. For explanations by subject, begin at the [index](index.md).
"""

# Title, and the names below it in their order. A public name that is missing here is an error.
SECTIONS: list[tuple[str, str]] = [
    ("One request", "request get options head post put patch delete query stream sse websocket"),
    ("Clients", "Client AsyncClient USE_CLIENT_DEFAULT"),
    ("Requests and responses", "Request Response Timings codes"),
    ("Event streams", "EventSource ServerSentEvent Reconnect"),
    ("Values", "URL Origin QueryParams Headers Cookies"),
    ("Configuration", "Timeout Limits Proxy create_ssl_context public_only"),
    ("Authentication", "Auth BasicAuth BearerAuth DigestAuth NetRCAuth FunctionAuth"),
    ("Middleware", "Step Retry RateLimit"),
    (
        "Transports",
        "BaseTransport AsyncBaseTransport HTTPTransport AsyncHTTPTransport MockTransport ASGITransport WSGITransport",
    ),
    ("Streams", "SyncByteStream AsyncByteStream ByteStream"),
    ("Packages that import httpx2", "alias_httpx2 alias_httpx"),
    ("Command line", "main"),
]
# Their members are those of the class named here, awaited.
TWINS = {"AsyncClient": "Client", "AsyncHTTPTransport": "HTTPTransport"}

_SECTION = re.compile(r"^(Args|Raises|Returns|Yields|Attributes):(?:\s+(.*))?$")
_ITEM = re.compile(r"^([*\w][\w .,*/`-]*?): (.*)$")


def default_text(value: Any) -> str:
    if inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    text = repr(value)
    return "..." if " object" in text else text


def signature_of(name: str, function: Any, is_method: bool) -> str:
    """`name(argument: type = default, ...) -> type`, one line each if it is long."""
    found = inspect.signature(function)
    parameters = list(found.parameters.values())
    if is_method and parameters and parameters[0].name == "self":
        del parameters[0]
    parts, starred = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        typed = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        equals = " = " if typed else "="
        given = "" if parameter.default is parameter.empty else f"{equals}{default_text(parameter.default)}"
        parts.append(f"{stars}{parameter.name}{typed}{given}")
    returned = "" if found.return_annotation in (found.empty, "None") else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(parts)}){returned}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returned}"])


def fenced(code: str) -> list[str]:
    return ["```py", code, "```", ""]


def items_of(lines: list[str]) -> Iterator[str]:
    """The entries of a section as a list; what is indented deeper belongs to the entry before."""
    body = textwrap.dedent("\n".join(lines)).strip("\n").split("\n")
    for line in body:
        match = _ITEM.match(line)
        if match:
            yield f"- `{match[1]}`: {match[2]}"
        elif line.strip():
            yield f"  {line.strip()}"


def is_code(block: str) -> bool:
    return all(line.startswith("    ") or not line for line in block.split("\n"))


def blocks(text: str) -> Iterator[str]:
    """The paragraphs of a text; code that has empty lines in it is one."""
    code = ""
    for block in re.split(r"\n(?: *\n)+", text.rstrip()):
        if is_code(block):
            code = f"{code}\n\n{block}" if code else block
            continue
        if code:
            yield code
            code = ""
        yield block
    if code:
        yield code


def markdown_of(docstring: str) -> list[str]:
    """A docstring as Markdown."""
    made: list[str] = []
    for block in blocks(inspect.cleandoc(docstring)):
        lines = block.split("\n")
        section = _SECTION.match(lines[0])
        if section:
            entries = list(items_of(lines[1:]))
            made += [f"**{section[1]}:**" + (f" {section[2]}" if section[2] else ""), "", *entries, ""]
        elif is_code(block):
            made += fenced(textwrap.dedent(block))
        else:
            made += [*lines, ""]
    return made


def members_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that httpx defines, in alphabetical order."""
    for name in sorted(dir(kind)):
        found = inspect.getattr_static(kind, name)
        function = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
        if not name.startswith("_") and callable(function) and getattr(function, "__module__", "").startswith("httpx"):
            yield name, found


def member_text(name: str, found: Any) -> list[str]:
    function = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    if isinstance(found, property):
        shown = f"{name}: {inspect.signature(function).return_annotation}"
        if found.fset is None:
            shown += "  # cannot be set"
    else:
        shown = signature_of(name, function, is_method=not isinstance(found, staticmethod))
        if inspect.iscoroutinefunction(function):
            shown = f"async {shown}"
    return [f"#### {name}", "", *fenced(shown), *markdown_of(function.__doc__ or "")]


def class_text(name: str, kind: Any) -> list[str]:
    constructor = "" if kind.__init__ is object.__init__ else signature_of(name, kind, is_method=False)
    lines = [f"### {name}", "", *(fenced(constructor) if constructor and name != "codes" else [])]
    lines += markdown_of(kind.__doc__)
    if name == "codes":
        members = ", ".join(f"`{code.name}` {code.value}" for code in kind)
        return [*lines, *textwrap.wrap(members, 118, break_on_hyphens=False), ""]
    if name in TWINS:
        awaited = [member for member, found in members_of(kind) if inspect.iscoroutinefunction(found)]
        names = ", ".join(f"`{member}`" for member in awaited)
        said = f"Members as those of `{TWINS[name]}`. To be awaited: {names}."
        return [*lines, *textwrap.wrap(said, 118), ""]
    for member, found in members_of(kind):
        lines += member_text(member, found)
    return lines


def name_text(name: str, module: Any = httpx) -> list[str]:
    found = getattr(module, name)
    if inspect.isclass(found):
        return class_text(name, found)
    if name == "USE_CLIENT_DEFAULT":
        said = "The default of arguments for which `None` means something else: what the client was told."
        return [f"### {name}", "", said, ""]
    return [f"### {name}", "", *fenced(signature_of(name, found, is_method=False)), *markdown_of(found.__doc__)]


def exceptions() -> list[str]:
    return sorted(
        name
        for name in httpx.__all__
        if inspect.isclass(getattr(httpx, name)) and issubclass(getattr(httpx, name), Exception)
    )


def page() -> str:
    """The page. SystemExit if a public name is in no section, or a section has one that is not public."""
    named = [name for _, names in SECTIONS for name in names.split()]
    expected = {name for name in httpx.__all__ if not name.startswith("__")} - set(exceptions())
    if set(named) != expected or len(named) != len(expected):
        sys.exit(f"sections of scripts/api_reference.py: {sorted(set(named) ^ expected)} is missing or too much")
    lines = HEAD.split("\n")
    for title, names in SECTIONS:
        lines += [f"## {title}", ""]
        for name in names.split():
            lines += name_text(name)
    lines += ["## httpx.testing", "", "A module of its own: `import httpx.testing`.", ""]
    for name in httpx.testing.__all__:
        lines += name_text(name, httpx.testing)
    lines += ["## Exceptions", "", "As a tree, and what to do about them: [Exceptions](exceptions.md).", ""]
    lines += ["| | is a | |", "|---|---|---|"]
    for name in exceptions():
        kind = getattr(httpx, name)
        base = next(base.__name__ for base in kind.__mro__[1:] if not base.__name__.startswith("_"))
        said = " ".join(inspect.cleandoc(kind.__doc__).split("\n\n")[0].split())
        lines.append(f"| `{name}` | `{base}` | {said} |")
    text = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")
