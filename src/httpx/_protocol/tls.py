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
        server_hostname: for SNI and for the check of the certificate; None for neither.
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
        try:
            self.ssl_object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        except (ValueError, UnicodeError) as exc:
            raise ConnectError(f"TLS cannot begin with server name {server_hostname!r}: {exc}") from exc

    def handshake(self, data: bytes | None = None) -> bytes:
        """
        Go on with the handshake; `data` is what arrived, None at the beginning.

        Raises:
            ConnectError: the handshake failed; the message has OpenSSL's reason.
        """
        if data is not None:
            self._put(data)
        try:
            self.ssl_object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, ssl.CertificateError) as exc:
            raise ConnectError(f"TLS handshake with {self._host!r} failed: {_reason(exc)}") from exc
        return self.pending()

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on, or None."""
        return self.ssl_object.selected_alpn_protocol()

    def encrypt(self, data: bytes) -> bytes:
        """Bytes for the wire that carry `data`, and whatever else is due."""
        try:
            written = self.ssl_object.write(data)
            while written < len(data):
                data = data[written:]
                written = self.ssl_object.write(data)
        except ssl.SSLError as exc:
            raise WriteError(f"TLS: {_reason(exc)}") from exc
        return self.pending()

    def pending(self) -> bytes:
        """Remove and return what is due to be sent."""
        data = self._outgoing.read()
        if self._over is not None:
            return self._over.encrypt(data) if data else self._over.pending()
        return data

    def receive(self, data: bytes) -> bytes:
        """
        The plain bytes that came with `data`: maybe none. `ended` tells whether more can come.

        Args:
            data: from the wire; b"" means that the peer closed it.

        Raises:
            ReadError: what arrived is not TLS.
        """
        self._put(data)
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
                if not incoming.pending and not self.ssl_object.pending() and data:
                    break
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.ended = True
        except ssl.SSLError as exc:
            if data:
                raise ReadError(f"TLS: {_reason(exc)}") from exc
            self.ended = True  # OpenSSL 3 reports an end without close_notify as a plain error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> bytes:
        """The bytes that tell the peer that nothing more comes (close_notify)."""
        try:
            self.ssl_object.unwrap()
        except (ssl.SSLError, ValueError, OSError):
            pass  # it wants the peer's close_notify, which nobody waits for
        try:
            return self.pending()
        except WriteError:
            return b""

    def _put(self, data: bytes) -> None:
        over = self._over
        if over is not None:
            data = over.receive(data)
            if over.ended:
                self._incoming.write(data)
                self._incoming.write_eof()
                return
        if data:
            self._incoming.write(data)
        elif over is None:
            self._incoming.write_eof()


def _reason(exc: Exception) -> str:
    """OpenSSL's words, without the file and line of its source."""
    verify = getattr(exc, "verify_message", None)
    if verify:
        return f"certificate verify failed: {verify}"
    reason = getattr(exc, "reason", None)
    return reason.replace("_", " ").lower() if reason else str(exc)
