"""
Puts the fragments of changelog.d/ together to a section of CHANGELOG.md.

A fragment is a file `<any-name>.<kind>.md`, where the kind is added, changed, fixed, removed or faster. It has a
sentence or two for somebody who upgrades. The marker line in CHANGELOG.md says where new sections go.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = ("added", "changed", "fixed", "removed", "faster")
MARKER = "<!-- new releases go below this line -->\n"


def fragments(folder: Path) -> dict[str, list[Path]]:
    """Kind -> files, in the order of their names. SystemExit if a file's name has no kind."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        kind = path.stem.rpartition(".")[2]
        if kind not in found:
            sys.exit(f"{path}: the name must be <any-name>.<kind>.md, the kind one of {', '.join(KINDS)}")
        found[kind].append(path)
    return found


def section(title: str, found: dict[str, list[Path]]) -> str:
    """The section as Markdown; each fragment is an item of the list of its kind."""
    lines = [f"## {title}", ""]
    for kind, paths in found.items():
        if paths:
            lines += [f"### {kind.capitalize()}", "", *(item(path) for path in paths), ""]
    return "\n".join(lines) + "\n"


def item(path: Path) -> str:
    first, *rest = path.read_text(encoding="utf-8").strip().splitlines()
    return "\n".join(["- " + first.removeprefix("- "), *(f"  {line}".rstrip() for line in rest)])


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="scripts/changelog", description="Put changelog fragments together.")
    parser.add_argument("version", nargs="?", help="release: write the section, remove the fragments")
    options = parser.parse_args(argv)
    found = fragments(root / "changelog.d")
    if options.version is None:
        print(section("Unreleased", found), end="")
        return 0
    if not any(found.values()):
        sys.exit("there are no fragments in changelog.d/")
    changelog = root / "CHANGELOG.md"
    before, marker, after = changelog.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        sys.exit(f"{changelog} lacks the line {MARKER!r}")
    text = section(f"{options.version} ({datetime.date.today().isoformat()})", found)
    changelog.write_text(before + marker + "\n" + text + after.lstrip("\n"), encoding="utf-8")
    for paths in found.values():
        for path in paths:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
