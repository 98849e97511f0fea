"""A Unix socket whose backlog is full: on Linux, nothing can connect to it."""

from __future__ import annotations

import socket
import threading

from .servers import Conn, answer


class FullBacklog:
    """A Unix socket that takes no connection until `make_room`, after which it answers every request."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(0)
        self._fillers: list[socket.socket] = []
        while True:
            filler = socket.socket(socket.AF_UNIX)
            filler.setblocking(False)
            self._fillers.append(filler)
            if filler.connect_ex(path):
                break
        self._thread = threading.Thread(target=self._serve)

    def make_room(self) -> None:
        self._thread.start()

    def _serve(self) -> None:
        self._listener.settimeout(5)
        for _ in self._fillers[:-1]:
            self._listener.accept()[0].close()
        with self._listener.accept()[0] as sock:
            sock.settimeout(5)
            answer()(Conn(sock, []))

    def __enter__(self) -> FullBacklog:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._thread.ident is not None:
            self._thread.join()
        for sock in (*self._fillers, self._listener):
            sock.close()
