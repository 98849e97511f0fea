"""The echo server's wire, with the standard library's client and bare sockets."""

from __future__ import annotations

import http.client
import json
import re
import runpy
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from httpx._cli import echo_server as module
from httpx._cli.echo_server import EchoServer, Received, Reply, main
from support import certs


@pytest.fixture
def connection(echo_server: EchoServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", echo_server.port, timeout=5)
    yield connection
    connection.close()


def test_a_connection_is_used_again(connection: http.client.HTTPConnection):
    connection.request("GET", "/get")
    first = connection.getresponse()
    assert json.loads(first.read())["url"] == f"http://127.0.0.1:{connection.port}/get"
    before = connection.sock
    connection.request("POST", "/post", body=b"abc")
    assert json.loads(connection.getresponse().read())["data"] == "abc"
    connection.request("POST", "/upload", body=iter([b"abc", b"", b"def"]), encode_chunked=True)
    assert json.loads(connection.getresponse().read())["size"] == 6
    assert connection.sock is before


def test_head_and_204_have_no_body(connection: http.client.HTTPConnection):
    connection.request("HEAD", "/bytes/10")
    answer = connection.getresponse()
    assert (answer.headers["content-length"], answer.read()) == ("10", b"")
    connection.request("HEAD", "/stream/1")
    answer = connection.getresponse()
    assert (answer.headers["transfer-encoding"], answer.read()) == ("chunked", b"")
    connection.request("GET", "/status/204")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-length"], answer.read()) == (204, None, b"")


def test_iterables_go_out_in_chunks(connection: http.client.HTTPConnection):
    connection.request("GET", "/stream/5")
    answer = connection.getresponse()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert len(answer.read().splitlines()) == 5
    connection.request("GET", "/drip?duration=0")
    assert connection.getresponse().read() == b"*" * 10


def test_an_empty_piece_is_no_last_chunk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "respond", lambda received: Reply([b"a", b"", b"b"]))
    with EchoServer() as server:
        answer = talk(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


def talk(server: EchoServer, data: bytes) -> bytes:
    """Everything that the server answers to `data`, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_status_without_a_name(echo_server: EchoServer):
    answer = talk(echo_server, b"GET /status/299 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 299 \r\n")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_client_of_http_1_0_gets_the_body_up_to_the_end(echo_server: EchoServer):
    answer = talk(echo_server, b"GET /stream-bytes/3?seed=1 HTTP/1.0\r\nHost: h\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert len(body) == 3
    assert b"chunked" not in head


def test_a_request_without_host_gets_the_address(echo_server: EchoServer):
    answer = talk(echo_server, b"GET /get HTTP/1.0\r\n\r\n")
    assert f'"url": "http://127.0.0.1:{echo_server.port}/get"'.encode() in answer


def test_a_client_that_expects_100_gets_it(echo_server: EchoServer):
    head = b"POST /upload HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", echo_server.port), timeout=5) as sock:
        sock.sendall(head)
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"either"),
        (b"Transfer-Encoding: gzip\r\n\r\n", b"either"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", b"conflicting"),
        (b"Content-Length: +3\r\n\r\nabc", b"whole number"),
        (b"Content-Length: 3\r\n\r\nab", b"after 2 of 3"),
        (b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", b"not a chunk size"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", b"does not end"),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", b"too large"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"not a chunk size"),
    ],
)
def test_a_body_whose_end_is_unclear_ends_the_connection(echo_server: EchoServer, rest: bytes, message: bytes):
    """Otherwise what follows could be read as another request."""
    answer = talk(echo_server, b"POST /post HTTP/1.1\r\nHost: h\r\n" + rest)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"\r\nConnection: close\r\n" in answer
    assert message in answer


def test_trailers_are_read_and_dropped(echo_server: EchoServer):
    request = b"POST /post HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    answer = talk(echo_server, request + b"GET /status/299 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b'"data": "abc"' in answer
    assert b"HTTP/1.1 299" in answer


@pytest.mark.parametrize("request_line", [b"GET /" + b"a" * 70000 + b" HTTP/1.1", b"GET / HTTP/9.9", b"nonsense"])
def test_a_request_line_that_makes_no_sense_ends_the_connection(echo_server: EchoServer, request_line: bytes):
    with socket.create_connection(("127.0.0.1", echo_server.port), timeout=5) as sock:
        sock.sendall(request_line + b"\r\n\r\n")
        try:
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionResetError:  # closed with unread bytes
            answer = b""
    assert b" 200 " not in answer


def test_https(tls_echo_server: EchoServer, trusting: ssl.SSLContext):
    connection = http.client.HTTPSConnection("localhost", tls_echo_server.port, context=trusting, timeout=5)
    connection.request("GET", "/get")
    assert json.loads(connection.getresponse().read())["url"] == tls_echo_server.url + "/get"
    connection.close()


def test_a_client_that_does_not_trust_the_server_disturbs_nobody(tls_echo_server: EchoServer, trusting: ssl.SSLContext):
    for context in (ssl.create_default_context(), trusting):
        with socket.create_connection(("127.0.0.1", tls_echo_server.port), timeout=5) as sock:
            if context is trusting:
                with context.wrap_socket(sock, server_hostname="localhost") as secured:
                    assert secured.version()
            else:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(sock, server_hostname="localhost")


def test_a_body_that_is_cut_off_ends_the_connection(connection: http.client.HTTPConnection):
    """The next response would be taken for the rest of this body."""
    connection.request("GET", "/range/10?breaks=4")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    assert caught.value.partial == b"abcd"


def test_closing_ends_connections_in_every_state(no_leaks: None):
    """A server that waits for its clients to go could keep a test run from ending."""
    server = EchoServer(ssl_context=None)
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(3)]
    clients[1].sendall(b"GET /delay/10 HTTP/1.1\r\nHost: h\r\n\r\n")
    clients[2].sendall(b"GET /events?count=100&interval=10 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert clients[2].recv(10)
    started = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - started < 3
    rest = b"".join(iter(lambda: clients[2].recv(65536), b""))
    assert b"event: end" not in rest
    assert not rest.endswith(b"0\r\n\r\n"), "a body that was cut off must not look complete"
    for client in clients:
        client.close()


def test_closing_ends_a_handshake_that_never_comes(no_leaks: None):
    server = EchoServer(ssl_context=certs.server_context())
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        while not any(isinstance(each, ssl.SSLSocket) for each in list(server._listener.open.values())):
            time.sleep(0.001)
        server.close()
        try:
            assert client.recv(10) == b""
        except ConnectionResetError:
            pass


def test_a_handshake_that_begins_while_the_server_closes_is_given_up():
    with EchoServer(ssl_context=certs.server_context()) as server:
        ours, theirs = socket.socketpair()
        server._listener.stopping.set()
        server._listener.open[threading.current_thread()] = theirs
        with pytest.raises(ConnectionAbortedError):
            server._listener.encrypted(theirs)
        server._listener.open.clear()
        ours.close()


def test_closing_survives_a_connection_that_is_gone_already():
    server = EchoServer()
    thread = threading.Thread(target=bool)
    thread.start()
    gone = socket.socket()
    gone.close()
    server._listener.open[thread] = gone
    server.close()


def test_ipv6():
    try:
        server = EchoServer(host="::1")
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")
    with server:
        assert server.url == f"http://[::1]:{server.port}"
        with socket.create_connection(("::1", server.port), timeout=5) as sock:
            sock.sendall(b"GET /ip HTTP/1.0\r\n\r\n")
            assert b'"origin": "::1"' in b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_mistake_in_a_route_ends_the_connection_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken(received: Received) -> Reply:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(module, "respond", broken)
    with EchoServer() as server:
        assert talk(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") == b""
    assert "a mistake" in capsys.readouterr().err


def test_the_log_has_a_line_for_each_answer_and_no_control_characters():
    lines: list[str] = []
    with EchoServer(log=lines.append) as server:
        talk(server, b"GET /get?\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n")
    assert lines == ['"GET /get?\\x1b[2J HTTP/1.1" 200 -']


# The command line.


class Stop:
    """Stands in for the listening thread: Ctrl-C comes at once."""

    def join(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is pressed as soon as `main` waits, after one request was answered."""

    class Server(EchoServer):
        def __enter__(self) -> EchoServer:
            if self._listener.scheme == "http":
                talk(self, b"GET /ip HTTP/1.0\r\n\r\n")
            self._real, self._thread = self._thread, Stop()  # type: ignore[assignment]
            return self

        def close(self) -> None:
            self._thread = self._real
            super().close()

    monkeypatch.setattr(module, "EchoServer", Server)


def test_main_says_where_it_listens_and_ends_with_ctrl_c(interrupted: None, capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+ .*\n", out)
    assert '"GET /ip HTTP/1.0" 200' in err


def test_main_can_be_quiet_and_speak_https(interrupted: None, capsys: pytest.CaptureFixture[str], tmp_path: Any):
    pem = tmp_path / "server.pem"
    pem.write_bytes(certs.leaf().private_key_and_cert_chain_pem.bytes())
    assert main(["--quiet", "--cert", str(pem)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("listening on https://")
    assert err == ""


def test_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["echo_server", "--help"])
    monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module.__name__, run_name="__main__")
    assert stop.value.code == 0
    assert "usage: echo_server" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["65536", "-1", "8x", "", "٣", "999999999"])
def test_a_port_that_is_none_is_told(port: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([f"--port={port}"])
    assert ended.value.code == 2
    assert "a port must be a number from 0 to 65535" in capsys.readouterr().err
