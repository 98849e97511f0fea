"""
With which code a run of the command line client ends, and why.

The codes are an interface: scripts test them. 4 and 5 are the first digit of the status, as in HTTPie.
"""

from __future__ import annotations

import httpx

OK = 0
FAILED = 1
USAGE = 2
CLIENT_ERROR = 4
SERVER_ERROR = 5
TIMED_OUT = 6
NETWORK = 7
OTHER_DIGEST = 8
# What a shell reports for a process that the signals SIGINT (2) and SIGPIPE (13) ended.
INTERRUPTED = 128 + 2
BROKEN_PIPE = 128 + 13

MEANINGS = {
    OK: "an answer with a status below 400",
    FAILED: "anything not listed here, such as an answer that is no HTTP or a file that cannot be written",
    USAGE: "the command makes no sense: options, URL, or what to send",
    CLIENT_ERROR: "an answer with a status from 400 to 499",
    SERVER_ERROR: "an answer with a status from 500",
    TIMED_OUT: "it took too long",
    NETWORK: "no connection, or it broke, or the proxy refused",
    OTHER_DIGEST: "the file does not have the digest that --check-digest demands",
    INTERRUPTED: "Ctrl-C",
    BROKEN_PIPE: "nobody reads the output any more",
}


class Failure(Exception):
    """
    What went wrong behind the answer, told in a line.

    Attributes:
        code: with which the run ends.
    """

    code = FAILED


def of_status(status: int) -> int:
    """The exit code for an answer."""
    if status < 400:
        return OK
    return CLIENT_ERROR if status < 500 else SERVER_ERROR


def of_error(exc: Exception) -> int:
    """The exit code for what the library raised."""
    if isinstance(exc, httpx.TimeoutException):
        return TIMED_OUT
    if isinstance(exc, (httpx.NetworkError, httpx.ProxyError)):
        return NETWORK
    if isinstance(exc, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return USAGE
    return FAILED
