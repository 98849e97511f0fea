"""
Hints for people who know curl or HTTPie and use an option that is another one here.

    hint_for(exc)       "; here: --ca PATH", for the error of an unknown option --cacert

    explained(exc)      the message of an error of the library, which names options instead of arguments

Letters that 0.28.1 has (-f, -h, -d, -p, -c) keep its meaning.
"""

from __future__ import annotations

import click

import httpx

from . import exits

_ALWAYS = "not needed: "
_FAILS = _ALWAYS + "the exit code is 4 or 5, and -o saves only a success"

# Unknown name -> ours.
_OURS = {
    "-b": "--print b shows the body alone; --cookies NAME VALUE sends a cookie",
    "--cookie": "--cookies NAME VALUE",
    **dict.fromkeys(("-A", "--user-agent"), "-h User-Agent TEXT"),
    **dict.fromkeys(("-e", "--referer"), "-h Referer URL"),
    "-F": "--multipart with the items NAME=VALUE and NAME@FILE; to follow redirects, -L",
    **dict.fromkeys(("-G", "--get"), "-p NAME VALUE"),
    **dict.fromkeys(("-O", "--remote-name"), "--download"),
    **dict.fromkeys(("-C", "--continue-at"), "--continue"),
    **dict.fromkeys(("-T", "--upload-file"), "PUT URL @FILE"),
    **dict.fromkeys(("-s", "--silent"), "-q, which hides the body, too; only a terminal gets a progress bar"),
    "-S": "--stream shows what arrives at once; errors are always shown",
    "--show-error": _ALWAYS + "errors are always shown",
    **dict.fromkeys(("--data-raw", "--data-binary", "--data-ascii"), "-c TEXT, or the item @FILE"),
    "--data-urlencode": "-d NAME VALUE",
    "--compressed": _ALWAYS + "compressed responses are requested and decoded",
    **dict.fromkeys(("--fail", "--fail-with-body", "--check-status"), _FAILS),
    **dict.fromkeys(("-a", "--auth-type"), "--auth USER PASS, --digest, --bearer TOKEN"),
    "--verify": "--no-verify, or --ca PATH",
    **dict.fromkeys(("--cacert", "--capath"), "--ca PATH"),
    "-E": "--cert FILE",
    "--key": "--cert-key FILE",
    "-x": "--proxy URL",
    "--connect-timeout": "--timeout SECONDS",
    **dict.fromkeys(("-N", "--no-buffer"), "--stream"),
    **dict.fromkeys(("--http1.1", "--http1.0"), "--http-version 1.1"),
    "--http2-prior-knowledge": "--http-version 2-prior-knowledge",
    "--max-redirs": "--max-redirects N",
    **dict.fromkeys(("-M", "--meta"), "--print m"),
    "-V": "--version",
    **dict.fromkeys(("-Z", "--parallel-max"), "--parallel N"),
    "--no-clobber": "--skip-existing",
}

# Key of an option of ours whose letter or name means something else in curl or HTTPie -> what that is here.
_OTHERS = {
    "files": "a form of fields is --form, and curl's -f is " + _FAILS,
    "headers": "the head alone is --print h",
    "params": "the parts to show are chosen with --print",
    "data": "to save the body, --download",
    "content": "to continue a download, --continue",
}


def hint_for(exc: click.UsageError) -> str:
    """Return what to write instead, to be appended to the message; "" if nothing is known."""
    if isinstance(exc, click.NoSuchOption):
        ours = _OURS.get(exc.option_name)
        if ours is None:
            return ""
        return f"; {ours}" if ours.startswith(_ALWAYS) else f"; here: {ours}"
    if isinstance(exc, click.BadParameter) and exc.param is not None:
        key = exc.param.name or ""
    elif isinstance(exc, click.BadOptionUsage):
        from .options import OPTIONS

        key = next((option.dest for option in OPTIONS if exc.option_name in option.opts), "")
    else:
        return ""
    other = _OTHERS.get(key)
    return "" if other is None else f" ({other})"


# Text in a message of the library -> what to add.
_ADVICE = (
    ("the total timeout", "--max-time SECONDS allows more"),
    ("timeout of", "--timeout SECONDS waits longer, 0 without a limit"),
    ("wrong version number", "if the server does not use TLS there, write http://"),
    ("record layer failure", "if the server does not use TLS there, write http://"),
    ("certificate verify failed", "--no-verify accepts any certificate"),
)
# What the library suggests in terms of its arguments -> in terms of options.
_ARGUMENTS = (
    ("give it as `verify`", "--ca FILE trusts it"),
    ("give other authorities as `verify`", "--ca PATH trusts other authorities"),
    ("give one as `cert`", "--cert FILE gives one"),
)


def explained(exc: Exception) -> str:
    """Return the message of an error, with the options that may help."""
    text = str(exc)
    for argument, option in _ARGUMENTS:
        text = text.replace(argument, option)
    advice = next((ours for part, ours in _ADVICE if part in text), None)
    if advice is None and _may_be_tls(exc, text):
        advice = "if the server uses TLS there, write https://"
    return text if advice is None else f"{text}; {advice}"


def _may_be_tls(exc: Exception, text: str) -> bool:
    """Return whether a server may have been sent HTTP where it expects TLS: it closes, or responds with an alert."""
    if not isinstance(exc, httpx.RemoteProtocolError):
        return False
    try:
        is_plain = exc.request.url.scheme == "http"
    except RuntimeError:  # it has no request
        return False
    return is_plain and (r"b'\x15\x03" in text or (exits.is_closed(exc) and text.endswith("without a response")))
