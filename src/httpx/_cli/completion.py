"""
Completion scripts for shells, and the page for `man`.

    script("bash")      to be read by the shell: eval "$(httpx --completion bash)"
    man_page()          roff

Made from the table in `options`, so that they are always up to date.
"""

from __future__ import annotations

from . import manual
from .exits import MEANINGS
from .options import GROUPS, OPTIONS, Option

# What the first word may be.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "run")


def script(shell: str) -> str:
    """Return the script that completes the command in "bash", "zsh" or "fish"."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _bash() -> str:
    paths = "|".join(name for option in OPTIONS if option.path for name in option.opts)
    choices = "\n".join(
        f"        {'|'.join(option.opts)}) COMPREPLY=($(compgen -W '{' '.join(option.choices)}' -- \"$word\"))\n"
        "            return;;"
        for option in OPTIONS
        if option.choices
    )
    words = " ".join(name for option in OPTIONS for name in option.opts)
    return f"""# Completion of httpx for bash: eval "$(httpx --completion bash)"
_httpx() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    COMPREPLY=()
    # To bash, --option=value is three words.
    if [ "$word" = = ]; then word=
    elif [ "$before" = = ]; then before=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    case $before in
{choices}
        {paths}) return;;  # files, by `-o default`, which puts quotes around what needs them
    esac
    case $word in
        -*) COMPREPLY=($(compgen -W '{words}' -- "$word"));;
        *) [ "$COMP_CWORD" -eq 1 ] && COMPREPLY=($(compgen -W '{" ".join(METHODS)}' -- "$word"));;
    esac
}}
complete -o default -F _httpx httpx
"""


def _zsh() -> str:
    lines = []
    for option in OPTIONS:
        text = option.help.partition(" [default")[0].replace("[", "(").replace("]", ")").replace(":", "\\:")
        text = text.replace("'", "'\\''")
        many = "*" if option.multiple else ""
        lines += [
            f"    '{many}{name}{_zsh_equals(name, option)}[{text}]{_zsh_value(option)}' \\" for name in option.opts
        ]
    body = "\n".join(lines)
    return f"""#compdef httpx
# Completion of httpx for zsh: eval "$(httpx --completion zsh)", or save it as _httpx in a folder of $fpath.
_httpx() {{
    _arguments -s \\
{body}
    '1:method or URL:({" ".join(METHODS)})' \\
    '*:item:_files'
}}
# Found in $fpath, this file is the function itself; read by eval, it only defines one.
if [ "$funcstack[1]" = _httpx ]; then _httpx "$@"; else compdef _httpx httpx; fi
"""


def _zsh_equals(name: str, option: Option) -> str:
    """Return "=" for an option that may be written as --name=value."""
    return "=" if name.startswith("--") and option.arity == 1 else ""


def _zsh_value(option: Option) -> str:
    if option.is_flag:
        return ""
    what = f"({' '.join(option.choices)})" if option.choices else "_files" if option.path else ""
    optional = ":" if option.bare is not None else ""
    # In options with two values, the second is the path.
    names = option.metavar.strip("[]").replace(":", "\\:").split() or ["value"]
    return "".join(f":{optional}{name}:{what if number == len(names) else ''}" for number, name in enumerate(names, 1))


def _fish() -> str:
    lines = ["# Completion of httpx for fish: httpx --completion fish | source"]
    for option in OPTIONS:
        parts = ["complete -c httpx"]
        for name in option.opts:
            parts.append(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}")
        if option.choices:
            parts.append(f"-x -a '{' '.join(option.choices)}'")
        elif not option.is_flag and option.bare is None:
            parts.append("-r" if option.path else "-x")
        text = option.help.replace("\\", "\\\\").replace("'", "\\'")
        parts.append(f"-d '{text}'")
        lines.append(" ".join(parts))
    lines.append(f"complete -c httpx -n __fish_is_first_token -a '{' '.join(METHODS)}'")
    return "\n".join(lines) + "\n"


def man_page(version: str) -> str:
    """Return the page for `man`, in its macros."""
    out = [
        f'.TH HTTPX 1 "" "httpx {_roff(version)}" "User Commands"',
        ".SH NAME",
        "httpx \\- an HTTP client for the terminal",
        ".SH SYNOPSIS",
        ".B httpx",
        "[\\fIMETHOD\\fR] \\fIURL\\fR [\\fIURL\\fR ...] [\\fIITEM\\fR ...] [\\fIOPTIONS\\fR]",
        ".PP",
        ".B httpx run",
        "\\fIFILE.http\\fR [\\fINAME\\fR ...] [\\fIOPTIONS\\fR]",
        ".SH DESCRIPTION",
        _roff(
            "Sends HTTP requests; shows the responses on standard output, errors on standard error. A terminal gets "
            "head and body, with colours and indentation; a pipe or a file gets the bytes of the body."
        ),
        ".PP",
        _roff(manual.ADDRESSES),
        ".SH ITEMS",
    ]
    for item, text in manual.ITEMS:
        out += [".TP", f".B {_roff(item)}", _roff(text)]
    for title, options in GROUPS.items():
        out.append(f'.SH "{_roff(title.upper())}"')
        for option in options:
            names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in option.names)
            out += [
                ".TP",
                f"{names} \\fI{_roff(option.metavar)}\\fR" if option.metavar else names,
                _roff(manual.described(option)),
            ]
    out.append(".SH EXIT STATUS")
    for code, text in MEANINGS.items():
        out += [".TP", f".B {code}", _roff(text)]
    out.append(".SH ENVIRONMENT")
    for name, text in manual.ENVIRONMENT:
        out += [".TP", f".B {_roff(name)}", _roff(text)]
    out.append(".SH EXAMPLES")
    for command, text in manual.EXAMPLES:
        out += [".TP", f".B {_roff(command)}", _roff(text)]
    return "\n".join(out) + "\n"


def _roff(text: str) -> str:
    """Return text escaped for roff: backslashes, hyphens, and dots or quotes at the beginning of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text
