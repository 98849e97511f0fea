"""
Completion scripts for shells, and the page for `man`.

    script("bash")      to be read by the shell: eval "$(httpx --completion bash)"
    man_page()          roff

Made from the table in `options`, so that they are always up to date.
"""

from __future__ import annotations

from . import manual, palette
from .exits import MEANINGS
from .options import GROUPS, OPTIONS, Option

# What the first word may be that is not an option or its value, beside the URL.
FIRST = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "run", "ws", "curl")


def _with_arity(arity: int, separator: str) -> str:
    """Return the names of the options that are followed by so many words."""
    return separator.join(name for option in OPTIONS if option.arity == arity for name in option.opts)


def _choices(option: Option) -> tuple[str, ...]:
    """Return the values that are offered; the names of styles are those of the pygments that is installed now."""
    return tuple(palette.names()) if option.dest == "style" else option.choices


def script(shell: str) -> str:
    """Return the script that completes the command in "bash", "zsh" or "fish"."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _bash() -> str:
    paths = "|".join(name for option in OPTIONS if option.path for name in option.opts)
    choices = "\n".join(
        f"        {'|'.join(option.opts)}) COMPREPLY=($(compgen -W '{' '.join(_choices(option))}' -- \"$word\"))\n"
        "            return;;"
        for option in OPTIONS
        if _choices(option)
    )
    words = " ".join(name for option in OPTIONS for name in option.opts)
    return f"""# Completion of httpx for bash: eval "$(httpx --completion bash)"
# Whether no word before the current one is the method or the URL.
_httpx_is_first() {{
    local index=1 words=("${{COMP_WORDS[@]:0:COMP_CWORD}}")
    while [ "$index" -lt "${{#words[@]}}" ]; do
        case ${{words[index]}} in
            {_with_arity(2, "|")}) index=$((index + 3));;
            {_with_arity(1, "|")}) index=$((index + 2));
                # To bash, --option=value is three words.
                [ "${{words[index-1]}}" != = ] || index=$((index + 1));;
            -*) index=$((index + 1));;
            *) return 1;;
        esac
    done
}}
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
        *) _httpx_is_first && COMPREPLY=($(compgen -W '{" ".join(FIRST)}' -- "$word"));;
    esac
}}
complete -o default -F _httpx httpx
"""


def _zsh() -> str:
    lines = []
    for option in OPTIONS:
        text = option.help.partition(" [default")[0].replace("[", "(").replace("]", ")").replace(":", "\\:")
        text = text.replace("'", "'\\''")
        # One that was given is not offered again, under any of its names.
        many = "*" if option.multiple else f"({' '.join(option.opts)})" if len(option.opts) > 1 else ""
        lines += [
            f"    '{many}{name}{_zsh_equals(name, option)}[{text}]{_zsh_value(option)}' \\" for name in option.opts
        ]
    body = "\n".join(lines)
    return f"""#compdef httpx
# Completion of httpx for zsh: eval "$(httpx --completion zsh)", or save it as _httpx in a folder of $fpath.
_httpx() {{
    _arguments -s \\
{body}
    '1:method or URL:({" ".join(FIRST)})' \\
    '*:item:_files'
}}
# Found in $fpath, this file is the function itself; read by eval, it only defines one.
if [ "$funcstack[1]" = _httpx ]; then _httpx "$@"; else compdef _httpx httpx; fi
"""


def _zsh_equals(name: str, option: Option) -> str:
    """Return "=" for an option that may be written as --name=value."""
    return "=" if name.startswith("--") and not option.is_flag and option.arity < 2 else ""


def _zsh_value(option: Option) -> str:
    if option.is_flag:
        return ""
    choices = _choices(option)
    what = f"({' '.join(choices)})" if choices else "_files" if option.path else ""
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
        choices = _choices(option)
        if choices:
            parts.append(f"-x -a '{' '.join(choices)}'")
        elif not option.is_flag and option.bare is None:
            parts.append("-r" if option.path else "-x")
        text = option.help.replace("\\", "\\\\").replace("'", "\\'")
        parts.append(f"-d '{text}'")
        lines.append(" ".join(parts))
    lines += [
        "# Whether no word before the current one is the method or the URL; values of options are words, too.",
        "function __httpx_is_first",
        "    set -l words (commandline -opc)",
        "    set -e words[1]",
        "    while set -q words[1]",
        "        switch $words[1]",
        f"            case {_with_arity(2, ' ')}",
        "                set -e words[1..3]",
        f"            case {_with_arity(1, ' ')}",
        "                set -e words[1..2]",
        "            case '-*'",
        "                set -e words[1]",
        "            case '*'",
        "                return 1",
        "        end",
        "    end",
        "end",
        f"complete -c httpx -n __httpx_is_first -a '{' '.join(FIRST)}'",
    ]
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
