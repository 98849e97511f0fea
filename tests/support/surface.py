"""
What a package has in public, as plain data: for comparing ours with that of another one.

    python tests/support/surface.py httpx2 websockets >tests/data/public-api-httpx2-2.16.json

Run it so where httpx2 is installed. A module of the data has its public names; a name has `parameters` if it can be
called, and `members` if it is a class. Only names are kept: of parameters (`**` takes any keyword), of methods with
their parameters, of properties, and of attributes that constructors set.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from typing import Any

Surface = dict[str, dict[str, dict[str, Any]]]
# Operators that a class may have besides what its base classes bring.
OPERATORS = ("__or__", "__ror__", "__ior__")


def surface_of(package: str, submodules: tuple[str, ...] = ()) -> Surface:
    """Return module -> public name -> what it is, for a package and some of its public modules."""
    found = {}
    for name in (package, *(f"{package}.{each}" for each in submodules)):
        module = importlib.import_module(name)
        found[name.partition(".")[2]] = {
            each: description(getattr(module, each)) for each in sorted(module.__all__) if not each.startswith("__")
        }
    instances = examples(importlib.import_module(package))
    for name, instance in instances.items():
        members = found[""][name]["members"]
        known = {*members, *(dir(Exception) if isinstance(instance, Exception) else ())}
        members.update(
            (each, None) for each in dir(instance) if is_public(each) and each not in known and hasattr(instance, each)
        )
    return found


def description(value: Any) -> dict[str, Any]:
    said: dict[str, Any] = {}
    is_enumeration = inspect.isclass(value) and issubclass(value, int)
    parameters = None if is_enumeration else parameters_of(value)
    if parameters is not None:
        said["parameters"] = parameters
    if inspect.isclass(value):
        # `hasattr`, because `httpx._hints` has descriptors for names that are not there.
        names = [each for each in dir(value) if (is_public(each) or each in OPERATORS) and hasattr(value, each)]
        if is_enumeration:  # its members, and not the methods of numbers
            names = [each for each in [*value.__members__, *vars(value)] if is_public(each)]  # type: ignore[attr-defined]
        names = [each for each in names if not (issubclass(value, Exception) and hasattr(Exception, each))]
        said["members"] = {each: member(value, each) for each in sorted(set(names))}
    return said


def is_public(name: str) -> bool:
    return not name.startswith("_")


def member(kind: type, name: str) -> list[str] | None:
    value = inspect.getattr_static(kind, name)
    value = getattr(value, "__func__", value)
    return parameters_of(value) if inspect.isfunction(value) else None


def parameters_of(value: Any) -> list[str] | None:
    if not callable(value):
        return None
    try:
        parameters = inspect.signature(value).parameters.values()
    except (ValueError, TypeError):
        return None
    starred = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [starred.get(each.kind, each.name) for each in parameters if each.name not in ("self", "cls")]


def examples(package: Any) -> dict[str, Any]:
    """Return an instance of each class whose constructor sets attributes."""
    request = package.Request("GET", "http://127.0.0.1/")
    response = package.Response(404, request=request, content=b"")
    return {
        **({"EventSource": package.EventSource(response)} if hasattr(package, "EventSource") else {}),
        "Request": request,
        "Response": response,
        "HTTPStatusError": package.HTTPStatusError("", request=request, response=response),
        "ReadTimeout": package.ReadTimeout("", request=request),
        "Client": package.Client(),
        "AsyncClient": package.AsyncClient(),
        "Timeout": package.Timeout(5),
        "Limits": package.Limits(),
        "Proxy": package.Proxy("http://127.0.0.1/"),
        "Cookies": package.Cookies(),
        "MockTransport": package.MockTransport(lambda request: response),
    }


def differences(expected: Surface, ours: Surface) -> list[str]:
    """
    Return what `expected` has and `ours` has not.

    Each is "name", "name(parameter)", "name.member" or "name.member(parameter)", and of a submodule after its name.
    """
    missing = []
    for module, names in expected.items():
        prefix = f"{module}." if module else ""
        for name, said in names.items():
            mine = ours.get(module, {}).get(name)
            if mine is None:
                missing.append(prefix + name)
                continue
            calls = [("", said.get("parameters"), mine.get("parameters"))]
            for each, parameters in said.get("members", {}).items():
                if each in mine["members"]:
                    calls.append((f".{each}", parameters, mine["members"][each]))
                else:
                    missing.append(f"{prefix}{name}.{each}")
            for each, theirs, own in calls:
                if theirs is not None and own is not None and "**" not in own:
                    missing += [f"{prefix}{name}{each}({parameter})" for parameter in theirs if parameter not in own]
    return missing


def text_of(surface: Surface) -> str:
    """Return a surface as JSON, one public name in each line."""
    modules = [
        f"{json.dumps(module)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(said)}" for name, said in names.items())
        + "\n }"
        for module, names in surface.items()
    ]
    return "{\n " + ",\n ".join(modules) + "\n}\n"


if __name__ == "__main__":
    sys.stdout.write(text_of(surface_of(sys.argv[1], tuple(sys.argv[2:]))))
