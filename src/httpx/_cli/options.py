"""
The table of options, for the parser, the help, the completion and the man page.

    OPTIONS[0].names      ("-m", "--method")

It is plain data, so that the help needs no parser. Not here: parsing (`parser`), the effect of the options (`command`
and other modules), the layout of the help (`manual`).
"""

from __future__ import annotations

from typing import NamedTuple

# The kind of an option's value.
FLAG, COUNT, TEXT, PAIR, FILE_PAIR, JSON = "flag", "count", "text", "pair", "file pair", "json"
SECONDS, NUMBER = "seconds", "number"


class Option(NamedTuple):
    """
    An option.

    Attributes:
        names: the short form first; the long one without its hyphens is the key in the result.
        metavar: the name of the value in the help; "" without a value.
        help: a sentence or two.
        kind: of the value: "flag" and "count" (how often it is given) have none; "text", "pair" (two words),
            "file pair" (name and path), "json", "seconds" (above 0, or from 0 if `zero`), "number" (an integer from 0).
        multiple: whether it may be repeated; the result is then a tuple.
        choices: the values that are allowed; () for any.
        bare: the value if it is left out; None if it must be given.
        default: the result without the option, for the parser.
        key: in the result, if it is not the long name.
        aliases: more names, those of curl and HTTPie.
        path: whether the value is a file name, for the completion.
    """

    names: tuple[str, ...]
    metavar: str
    help: str
    kind: str = TEXT
    multiple: bool = False
    choices: tuple[str, ...] = ()
    bare: str | None = None
    default: object = None
    key: str = ""
    zero: bool = False
    path: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def opts(self) -> list[str]:
        """Return all names."""
        return [*self.names, *self.aliases]

    @property
    def is_flag(self) -> bool:
        """Return whether it has no value."""
        return self.kind in (FLAG, COUNT)

    @property
    def arity(self) -> int:
        """Return the number of words that follow it, without an optional value."""
        if self.is_flag or self.bare is not None:
            return 0
        return 2 if self.kind in (PAIR, FILE_PAIR) else 1

    @property
    def dest(self) -> str:
        """Return the key in the result of the parser."""
        return self.key or self.names[-1].lstrip("-").replace("-", "_")


def _flag(*names: str, help: str, key: str = "", aliases: tuple[str, ...] = ()) -> Option:
    return Option(names, "", help, FLAG, default=False, key=key, aliases=aliases)


def _pairs(*names: str, metavar: str, help: str, kind: str = PAIR) -> Option:
    return Option(names, metavar, help, kind, multiple=True, default=(), path=kind == FILE_PAIR)


# Title -> options, in the order of the help.
GROUPS: dict[str, list[Option]] = {
    "Request": [
        Option(
            ("-m", "--method"),
            "METHOD",
            "Request method; it may also be before the URL. [default: GET, with a body POST]",
            aliases=("-X", "--request"),
        ),
        _pairs("-p", "--params", metavar="NAME VALUE", help="Query parameter of the URL. Repeat it for more."),
        _pairs("-h", "--headers", metavar="NAME VALUE", help="Header of the request. Repeat it for more."),
        Option(
            ("-H", "--header"),
            "LINE",
            "Header of the request in one word, such as 'Name: value'. Repeat it for more.",
            multiple=True,
            default=(),
            key="header_lines",
        ),
        _flag("-I", "--head", help="Request with the method HEAD, and show the head of the response."),
        _pairs("--cookies", metavar="NAME VALUE", help="Cookie of the request. Repeat it for more."),
        Option(
            ("--session",),
            "NAME",
            "Keep cookies, headers and authentication under this name, for each host separately.",
        ),
        Option(("--session-read-only",), "NAME", "Use a session, but do not change it."),
        _flag("--no-config", help="Ignore the configuration file, httpx/config.toml."),
    ],
    "Body": [
        Option(("-c", "--content"), "TEXT", "Request body as it is."),
        _pairs(
            "-d", "--data", metavar="NAME VALUE", help="Field of a form; NAME=VALUE works, too. Repeat it for more."
        ),
        _pairs(
            "-f",
            "--files",
            metavar="NAME FILENAME",
            kind=FILE_PAIR,
            help="File of a form, sent as multipart/form-data. Repeat it for more.",
        ),
        Option(("-j", "--json"), "TEXT", "Request body in JSON.", JSON),
        _flag("--form", help="Send the items as a form, and not as JSON."),
        _flag("--multipart", help="Send the fields of a form as multipart/form-data, even without a file."),
        Option(("--raw",), "TEXT", "Request body as it is, with the Content-Type of JSON if it is JSON."),
        Option(
            ("--compress",),
            "CODING",
            "Compress the body of the request, if that makes it smaller: gzip, deflate, br or zstd.",
            choices=("gzip", "deflate", "br", "zstd"),
        ),
        _flag("--ignore-stdin", help="Take no body from standard input."),
    ],
    "Many URLs": [
        Option(
            ("--urls",),
            "FILE",
            "Send a request to each URL of FILE as well, one in a line; lines with # first are comments. '-' is "
            "standard input.",
            path=True,
        ),
        _flag("-g", "--globoff", help="Send [1-3] and {a,b} in a URL as they are, not as patterns."),
        Option(("--parallel",), "N", "At most N requests at the same time, up to 100. [default: 1]", NUMBER),
        Option(("--rate",), "N/TIME", "Send no faster than this, such as 10/s, 0.5/s, 100/m or 1000/h."),
        _flag("--fail-early", help="Begin no request after the first failure."),
        _flag("--skip-existing", help="Request nothing whose file is there already, with --download and --output."),
    ],
    "Authentication": [
        Option(
            ("--auth",),
            "USER PASS",
            "Basic authentication. '-' for PASS asks for it. Mind that --verbose shows it.",
            PAIR,
        ),
        Option(
            ("-u", "--user"),
            "USER:PASS",
            "The same in one word; without :PASS it asks for the password.",
        ),
        _flag("--digest", help="Use Digest authentication with --auth."),
        _flag("--netrc", help="Use the user names and passwords of ~/.netrc."),
        Option(("--bearer",), "TOKEN", "Bearer authentication. Mind that --verbose shows it."),
    ],
    "Redirects, timeouts and retries": [
        _flag(
            "--follow-redirects",
            help="Follow redirects, at most 20 times.",
            aliases=("-L", "--location", "--follow"),
        ),
        Option(("--max-redirects",), "N", "Follow redirects, at most N times.", NUMBER),
        Option(
            ("--timeout",),
            "SECONDS",
            "Longest wait for each of: a connection, the next bytes of the response, sending; 0 is no limit. "
            "[default: 5; for an event stream, and with --stream, no limit for the next bytes]",
            SECONDS,
            zero=True,
        ),
        Option(("--max-time",), "SECONDS", "Longest time for the whole exchange. [default: no limit]", SECONDS),
        Option(
            ("--retry",),
            "N",
            "Retry, at most N times, after a temporary failure of a request that is safe to repeat.",
            NUMBER,
            default=0,
        ),
    ],
    "Output": [
        Option(
            ("--print",),
            "WHAT",
            "Which parts to show: H and B, head and body of the request; h and b, of the response; m, its figures. "
            "[default: hb on a terminal, else b; with the method HEAD h]",
        ),
        _flag("-i", "--include", help="Show head and body of the response, like --print hb."),
        _flag("--body", help="Show the body of the response alone, like --print b."),
        Option(
            ("--pretty",),
            "HOW",
            "Colours and indentation: all, colors, format, none. [default: all on a terminal, else none]",
            choices=("all", "colors", "format", "none"),
        ),
        Option(
            ("--style",),
            "NAME",
            "Colours: those of the terminal, or a style of pygments such as monokai. [default: auto]",
        ),
        _flag("--sorted", help="Sort header fields by name, and the names of JSON objects where JSON is indented."),
        _flag("-v", "--verbose", help="Show connection, certificate and request as well."),
        Option(
            ("-q", "--quiet"),
            "",
            "Show nothing but errors and what --write-out, --output-json and --timings ask for. Given twice, not even "
            "errors.",
            COUNT,
            multiple=True,
            default=0,
        ),
        _flag("--stream", help="Show each line as it arrives; server-sent events one by one."),
        Option(
            ("-o", "--output"),
            "FILE",
            "Save the body of the response to FILE if it is a success, and show nothing else; '-' is standard output.",
            path=True,
        ),
        _flag("--output-json", help="Show the whole exchange as one JSON object."),
        Option(
            ("-w", "--write-out"), "FORMAT", "Show this after the response, with curl's variables such as %{http_code}."
        ),
        _flag("--timings", help="Show the time of each phase on standard error."),
    ],
    "WebSockets": [
        _flag(
            "--ws",
            help="Open a WebSocket: each line of standard input is sent, each message is shown. Also: httpx ws URL.",
        ),
        Option(
            ("--subprotocol",),
            "NAME",
            "Offer this subprotocol. Repeat it for more.",
            multiple=True,
            default=(),
        ),
    ],
    "Downloads": [
        Option(
            ("--download",),
            "[FILE]",
            "Save the body of the response to FILE if it is a success; to a folder, or without FILE here, by the name "
            "the server gives. '-' is standard output.",
            bare="",
            path=True,
        ),
        _flag("--continue", help="Continue a download that was interrupted.", key="resume"),
        _flag("--no-fail", help="Save the body of any response.", key="no_fail"),
        Option(("--check-digest",), "NAME:HEX", "Fail unless the file has this digest, such as sha256:9f86d0..."),
    ],
    "Network": [
        Option(("--proxy",), "URL", "Send the request through this proxy."),
        _flag("--http2", help="Speak HTTP/2 if the server does."),
        Option(
            ("--http-version",),
            "VERSION",
            "HTTP version: 1.1, 2 (if the server does), or 2-prior-knowledge.",
            choices=("1.1", "2", "2-prior-knowledge"),
        ),
        Option(
            ("--resolve",),
            "HOST:PORT:ADDRESS",
            "Connect to ADDRESS instead of looking up HOST. Repeat it for more.",
            multiple=True,
            default=(),
        ),
        Option(("--unix-socket",), "PATH", "Connect to this Unix domain socket.", path=True),
        _flag("-4", "--ipv4", help="Use IPv4 only."),
        _flag("-6", "--ipv6", help="Use IPv6 only."),
    ],
    "TLS": [
        _flag("--no-verify", help="Do not check the certificate of the server.", aliases=("-k", "--insecure")),
        Option(("--ca",), "PATH", "File or folder with the certificate authorities to trust.", path=True),
        Option(
            ("--cert",),
            "FILE",
            "Client certificate, in PEM, with its key or with --cert-key.",
            path=True,
        ),
        Option(("--cert-key",), "FILE", "Key of the certificate, in PEM.", path=True),
    ],
    "Requests in a file": [
        Option(("--env",), "NAME", "Use this environment of http-client.env.json and http-client.private.env.json."),
        Option(
            ("--var",), "NAME=VALUE", "Value of a variable, which wins. Repeat it for more.", multiple=True, default=()
        ),
        _flag("--list", help="List the requests of the file, or the entries of --from-har; send nothing."),
    ],
    "Record and replay": [
        Option(
            ("--har",),
            "FILE",
            "Record what is sent and received in a HAR file, without secrets unless --with-secrets is given.",
            path=True,
        ),
        Option(
            ("--from-har",),
            "FILE",
            "List the entries of a HAR file; with a number after it, send that entry again. Other options are added.",
            path=True,
        ),
    ],
    "Other actions": [
        _flag("--offline", help="Show the request, do not send it."),
        _flag("--curl", help="Show a curl command that does the same, without secrets."),
        _flag("--with-secrets", help="Let --curl, --output-json and --har show passwords and tokens."),
        Option(
            ("--from-curl",),
            "COMMAND",
            "Do what this curl command does ('-': the one on standard input); other options are added. "
            "'httpx curl ...' does the same.",
        ),
        Option(("--app",), "MODULE:APP", "Give the request to a WSGI or ASGI application in this process."),
        Option(
            ("--serve",),
            "[PORT]",
            "Run a test server that describes each request in its response. [default: 8000]",
            bare="8000",
        ),
        Option(
            ("--completion",),
            "SHELL",
            "Show a completion script for bash, zsh or fish.",
            choices=("bash", "zsh", "fish"),
        ),
        _flag("--manual", help="Show the manual; write it as a page for man if the output is a file."),
        _flag("--version", help="Show the version."),
        _flag("--help", help="Show this page."),
    ],
}

OPTIONS: list[Option] = [option for group in GROUPS.values() for option in group]
