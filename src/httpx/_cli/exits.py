"""
Exit codes of the command line client.

The codes are a public interface: scripts test them. 4 and 5 are the first digit of the status, as in HTTPie.
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
UNEXPECTED = 9
# The codes that a shell reports for a process ended by the signals SIGINT (2) and SIGPIPE (13).
INTERRUPTED = 128 + 2
BROKEN_PIPE = 128 + 13

MEANINGS = {
    OK: "a response with a status below 400",
    FAILED: "any other error, such as a response that is not HTTP or a file that cannot be written",
    USAGE: "the command is invalid: options, URL, or the data to send",
    CLIENT_ERROR: "a response with a status from 400 to 499",
    SERVER_ERROR: "a response with a status from 500",
    TIMED_OUT: "a timeout",
    NETWORK: "no connection, a lost connection, or a refusal by the proxy",
    OTHER_DIGEST: "the file does not have the digest of --check-digest",
    UNEXPECTED: "a response does not meet an expectation of the file of requests",
    INTERRUPTED: "Ctrl-C",
    BROKEN_PIPE: "the reader of the output has closed it",
}


class Failure(Exception):
    """
    A failure after the response, with a message of one line.

    Attributes:
        code: the exit code.
    """

    code = FAILED


def of_status(status: int) -> int:
    """Return the exit code for a response."""
    if status < 400:
        return OK
    return CLIENT_ERROR if status < 500 else SERVER_ERROR


def is_closed(exc: Exception) -> bool:
    """Return whether the peer closed the connection too early: the library has no exception of its own for that."""
    return isinstance(exc, httpx.RemoteProtocolError) and str(exc).startswith("the peer closed the connection")


def of_error(exc: Exception) -> int:
    """Return the exit code for an exception of the library."""
    if isinstance(exc, httpx.TimeoutException):
        return TIMED_OUT
    if isinstance(exc, (httpx.NetworkError, httpx.ProxyError)) or is_closed(exc):
        return NETWORK
    if isinstance(exc, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return USAGE
    return FAILED
