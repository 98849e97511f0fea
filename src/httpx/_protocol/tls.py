"""
TLS as a filter between a wire and a machine: bytes of the wire in, plain bytes out, and the other way.

OpenSSL works on two memory buffers here and never sees a socket, so the same filter serves threads, asyncio and trio,
and one filter may run inside another (TLS to an origin through a TLS proxy).

    handshake(data)  -> bytes for the wire, until `established`
    encrypt(data)    -> bytes for the wire
    receive(data)    -> plain bytes; `ended` once the peer said that nothing more comes
    pending()        -> bytes for the wire that OpenSSL wants sent by itself (answers to key updates)

A peer that closes without close_notify counts as one that ended: many servers never send it, and whether a body is
complete is decided by its framing, not here.

Not here: contexts and what they trust (`_config`), sockets and time (`_engine`).
"""

from __future__ import annotations

import ssl

from .._exceptions import ConnectError, ReadError, WriteError

# The most that one TLS record holds (RFC 8446 5.1): what `SSLObject.read` can give at once.
RECORD = 16_384


class TLSFilter:
    """
    The client's side of one TLS session.

    Args:
        context: says what is trusted and offered.
        server_hostname: for SNI and for the check of the certificate; None for neither, if the context checks none.
        over: the filter that carries this one, for TLS within TLS.

    Raises:
        ConnectError: the context and the host name do not fit.
    """

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None, over: TLSFilter | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._over = over
        self.established = False
        self.ended = False
        self._host = server_hostname
        self._eof = False  # the incoming buffer was told that nothing more comes
        self._failure: str | None = None  # why nothing more can be received; it stays so
        if server_hostname is None and getattr(context, "check_hostname", False):
            # On memory buffers the standard library checks nothing then, and any host's certificate would do.
            raise ConnectError("TLS cannot begin: the context checks host names, and no server name is given")
        try:
            self.ssl_object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        except (ssl.SSLError, ValueError, TypeError) as exc:  # a name with NUL is a TypeError
            raise ConnectError(f"TLS cannot begin with server name {server_hostname!r}: {_reason(exc)}") from exc

    def handshake(self, data: bytes | None = None) -> bytes:
        """
        Go on with the handshake; `data` is what arrived, None at the beginning.

        Raises:
            ConnectError: the handshake failed; the message has OpenSSL's reason.
        """
        try:
            if data is not None:
                self._put(data)
            try:
                self.ssl_object.do_handshake()
                self.established = True
            except ssl.SSLWantReadError:
                pass
            return self.pending()
        except ssl.SSLError as exc:
            raise ConnectError(f"TLS handshake with {self._host!r} failed: {_reason(exc)}") from exc
        except (ReadError, WriteError) as exc:
            raise ConnectError(f"TLS handshake with {self._host!r} failed below: {exc}") from exc

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on, or None."""
        return self.ssl_object.selected_alpn_protocol()

    def encrypt(self, data: bytes) -> bytes:
        """
        Bytes for the wire that carry `data`, and whatever else is due.

        Raises:
            WriteError: the session is closed or broken.
        """
        try:
            if data:  # writing nothing is an error before Python 3.10
                self.ssl_object.write(data)  # all of it: the buffer behind it grows
        except ssl.SSLError as exc:
            raise WriteError(self._failure or f"TLS: {_reason(exc)}") from exc
        return self.pending()

    def pending(self) -> bytes:
        """Remove and return what is due to be sent."""
        data = self._outgoing.read()
        return data if self._over is None else self._over.encrypt(data)

    def receive(self, data: bytes) -> bytes:
        """
        The plain bytes that came with `data`: maybe none. `ended` tells whether more can come.

        Args:
            data: from the wire; b"" means that the peer closed it.

        Raises:
            ReadError: what arrived is not TLS, or is the peer's word that it gives up.
        """
        self._put(data)
        return self.leftover()

    def leftover(self) -> bytes:
        """
        The plain bytes that are there without anything new from the wire: those that came with the handshake's end.

        Raises:
            ReadError: as for `receive`.
        """
        read, incoming = self.ssl_object.read, self._incoming
        pieces = []
        try:
            while True:
                piece = read(RECORD)
                if not piece:
                    self.ended = True
                    break
                pieces.append(piece)
                # The way out without the cost of an exception: nothing is left in either buffer.
                if not incoming.pending and not self.ssl_object.pending() and not self._eof:
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            # After the end of the wire any error means just that: which one it is depends on OpenSSL's version.
            if self._failure is not None or not self._eof:
                self._failure = self._failure or f"TLS: {_reason(exc)}"
                raise ReadError(self._failure) from exc
            self.ended = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> bytes:
        """The bytes that tell the peer that nothing more comes (close_notify)."""
        try:
            self.ssl_object.unwrap()
        except ssl.SSLError:
            pass  # it wants the peer's close_notify, which nobody waits for
        try:
            return self.pending()
        except WriteError:
            return b""

    def _put(self, data: bytes) -> None:
        over = self._over
        if over is not None:
            data = over.receive(data)
        if self._eof:
            return  # the buffer takes nothing more
        if data:
            self._incoming.write(data)
        if over.ended if over is not None else not data:
            self._incoming.write_eof()
            self._eof = True


def _reason(exc: Exception) -> str:
    """OpenSSL's words, without the file and line of its source."""
    verify = getattr(exc, "verify_message", None)
    if verify:
        return f"certificate verify failed: {verify}"
    reason = getattr(exc, "reason", None)
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or (reason and "EOF" in reason):
        return "the peer closed the connection"
    return reason.replace("_", " ").lower() if reason else str(exc).partition(" (_ssl.c:")[0]
