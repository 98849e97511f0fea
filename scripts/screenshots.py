"""
The pictures of docs/command-line.md and its reference: a shell runs a command on a terminal, and what appears there
becomes an SVG.

Run it with `scripts/screenshots`, or with the names of some pictures. It talks to the project's own echo server only.
POSIX, because of the terminal.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import shlex
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import trustme
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from httpx._cli.echo_server import EchoServer

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "screenshots"
COLUMNS = 100

REQUESTS = """\
@host = http://localhost:8000

### login
POST {{host}}/anything
Content-Type: application/json

{"token": "{{$uuid}}"}

### profile
GET {{host}}/get?page=2
Authorization: Bearer {{login.response.body.$.json.token}}

# @expect status 2xx
# @expect body.$.args.page == "1"
"""

# What rich fills in, without the fonts that its own frame loads from a server of others.
FRAME = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix" xml:space="preserve">{matrix}</g></g></svg>
"""

# Everything that drives a terminal but does not paint: moves of the cursor, erasing, hiding.
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")


# Pictures: the command, and the exit code that it ends with.
SHOTS = {
    "json": ("httpx PUT :8000/anything name=Ann age:=31 X-Id:7 lang==en", 0),
    "verbose": ("httpx -v https://localhost:8443/json --ca ca.pem", 0),
    "timings": ("httpx --timings --print h https://localhost:8443/redirect/2 --ca ca.pem -L", 0),
    "download": ("httpx --download :8000/bytes/50000000", 0),
    "run": ("httpx run api.http --print h", 9),
    "websocket": ("printf 'hello\\nbye\\n' | httpx ws :8000/websocket -v --timeout 1", 0),
}


def appears(command: str, folder: str, code: int = 0) -> str:
    """What a command shows on a terminal, with its colours, as it looks at the end; it ends with this exit code."""
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    environment.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), PYTHONWARNINGS="ignore", XDG_CONFIG_HOME=folder)
    process = subprocess.Popen(
        ["sh", "-c", f'httpx() {{ {shlex.quote(sys.executable)} -m httpx "$@"; }}\n{command}'],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        cwd=folder,
    )
    os.close(terminal)
    shown = b""
    while select.select([master], [], [], 30)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:  # how Linux reports that nobody has the terminal open any more
            break
    os.close(master)
    if process.wait(30) != code:
        sys.exit(f"{command} ended with {process.returncode}:\n{shown.decode()}")
    lines = _MOVES.sub("", shown.decode().replace("\r\n", "\n")).split("\n")
    # A line that was written again and again shows its last state.
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines).rstrip("\n")


def picture(name: str, typed: str, shown: str) -> None:
    """Write the SVG of a terminal in which `typed` was entered."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(f"\x1b[1m$ {typed}\x1b[0m\n{shown}"))
    svg = console.export_svg(title="httpx", theme=MONOKAI, code_format=FRAME, unique_id=name)
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")


def main(wanted: list[str]) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        EchoServer() as plain,
        EchoServer(ssl_context=context) as tls,
    ):
        authority.cert_pem.write_to_path(os.path.join(folder, "ca.pem"))
        # The ports are free ones, different each time; those of the pictures are those of the pages.
        ports = {8000: plain.port, 8443: tls.port}
        Path(folder, "api.http").write_text(REQUESTS.replace(":8000", f":{plain.port}"), encoding="utf-8")
        for name, (command, code) in SHOTS.items():
            if not wanted or name in wanted:
                used = command
                for port, free in ports.items():
                    used = used.replace(f":{port}", f":{free}")
                shown = appears(used, folder, code)
                for port, free in ports.items():
                    shown = shown.replace(str(free), str(port))
                picture(name, command, shown)
                print(FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
