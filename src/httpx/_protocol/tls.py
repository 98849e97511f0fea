"""
TLS as a filter between a wire and a machine: bytes of the wire in, plain bytes out, and the other way.

OpenSSL works on two memory buffers and never sees a socket, so the same filter serves threads, asyncio and trio, and
one filter may run inside another (TLS to an origin through a TLS proxy).

    handshake(data)  -> bytes for the wire, until `established`
    encrypt(data)    -> bytes for the wire
    receive(data)    -> plain bytes; `ended` once nothing more comes
    pending()        -> bytes for the wire that OpenSSL wants to send on its own (replies to key updates); after
                        `receive`, `due` tells whether there are any

A peer that closes without close_notify has ended too: many servers never send it. `incomplete_close` tells it from a
peer that sent it, because anyone on the path can close a connection. Whether a body is complete without it is decided
by the body's framing (RFC 9112 section 9.8), not here. With OP_IGNORE_UNEXPECTED_EOF (OpenSSL 3) the context hides it.

Not here: contexts and what they trust (`_config`), which session belongs to which peer (`_engine.security`), what
OpenSSL's reasons mean (`tls_errors`), sockets and time (`_engine`).
"""

from __future__ import annotations

import ssl
from typing import Any, Callable

from .._exceptions import ConnectError, ReadError, TransportError, WriteError, final
from .tls_errors import explain, reason, refusal

# The most that one TLS record holds (RFC 8446 section 5.1): what `SSLObject.read` can return at once.
RECORD = 16_384
# More than waits in OpenSSL for the rest of its record, and a record that is asked for: what a buffer needs besides the
# plain bytes of new input.
SLACK = 4 * RECORD
# Bytes of what the peer sends first: enough to tell what it speaks.
_MAX_FIRST = 8
# Plain bytes that may wait for the peer to complete a handshake message: a request, and not a whole upload.
MAX_HELD = 1_048_576


class TLSFilter:
    """
    The client's side of one TLS session.

    Args:
        context: says what is trusted and offered.
        server_hostname: for SNI and for the check of the certificate; None for neither, if the context checks no name.
        over: the filter that carries this one, for TLS within TLS.
        peer: how errors name the peer; by default its host name.
        check: called with the peer's certificate (DER, None if it showed none) before the last bytes of the handshake
            leave; returns why it is not the right one, or None.
        session: an `ssl.SSLSession` to resume, which makes the handshake short. One of another context, or one that
            the server no longer knows, is ignored.
        keep: called with the SSLObject, whose session may serve the next connection, and whether this one is closed:
            when the peer's first plain bytes have arrived (with TLS 1.3 what a session needs comes after the
            handshake), and at the end.

    Raises:
        ConnectError: the context does not accept the host name.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        server_hostname: str | None,
        over: TLSFilter | None = None,
        *,
        peer: str | None = None,
        check: Callable[[bytes | None], str | None] | None = None,
        session: ssl.SSLSession | None = None,
        keep: Callable[[ssl.SSLObject, bool], None] | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._over = over
        self.established = False
        self.ended = False  # nothing more comes: the peer sent close_notify, or the wire ended
        self.incomplete_close = False  # it ended without close_notify
        self.due = False
        self.peer = repr(server_hostname) if peer is None else peer
        self._check = check
        self._keep = keep
        self._heard = False  # plain bytes of the peer have arrived
        self._first = b""  # what it sent first
        self._held = b""  # plain bytes that wait for the peer to complete a handshake message
        self._eof = False  # the incoming buffer was told that nothing more comes
        self._failure: TransportError | None = None  # why nothing more can be received; it stays so
        if server_hostname is None and getattr(context, "check_hostname", False):
            # On memory buffers the standard library checks nothing then, and accepts any host's certificate.
            raise final(ConnectError("TLS cannot begin: the context checks host names, but no server name is given"))
        try:
            self.ssl_object = self._wrap(context, server_hostname, session)
        # A name with NUL is a TypeError, one that is a number an AttributeError.
        except (ssl.SSLError, ValueError, TypeError, AttributeError) as exc:
            raise final(ConnectError(f"TLS cannot begin with server name {server_hostname!r}: {reason(exc)}")) from exc

    def _wrap(self, context: ssl.SSLContext, name: str | None, session: ssl.SSLSession | None) -> ssl.SSLObject:
        if session is not None:
            try:
                return context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
            except (ssl.SSLError, ValueError, TypeError):
                pass  # a session of another context, or a context without sessions
        return context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def handshake(self, data: bytes | None = None) -> bytes:
        """
        Go on with the handshake, and return the bytes for the wire.

        Args:
            data: what arrived; None at the beginning.

        Raises:
            ConnectError: the handshake failed; the message has OpenSSL's reason, or that of `check`.
        """
        try:
            if data is not None:
                data = self._put(data)
                if len(self._first) < _MAX_FIRST:
                    self._first += data[:_MAX_FIRST]
            try:
                self.ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                return self.pending()
            refused = None if self._check is None else self._check(self.ssl_object.getpeercert(True))
            if refused is not None:
                raise final(ConnectError(f"TLS handshake with {self.peer} failed: {refused}"))
            self.established = True
            return self.pending()
        except ssl.SSLError as exc:
            why = explain(exc, self._first, self._chain())
            is_final = isinstance(exc, ssl.SSLCertVerificationError)
            raise final(ConnectError(f"TLS handshake with {self.peer} failed: {why}"), is_final) from exc
        except (ReadError, WriteError) as exc:
            raise ConnectError(f"TLS handshake with {self.peer} failed below: {exc}") from exc

    def _chain(self) -> list[bytes] | None:
        """Return the certificates that the peer showed, unverified; None where Python does not tell (before 3.13)."""
        try:
            chain: list[bytes] = self.ssl_object.get_unverified_chain()  # type: ignore[attr-defined]  # since 3.13
        except (AttributeError, ValueError, ssl.SSLError):
            return None
        return chain

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on, or None."""
        return self.ssl_object.selected_alpn_protocol()

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """
        Return bytes for the wire that carry `data`, and all else that is due.

        Raises:
            WriteError: the session is closed or broken.
        """
        try:
            if data:  # writing nothing is an error before Python 3.10
                if self._held:
                    data, self._held = self._held + data, b""
                self.ssl_object.write(data)  # all of it: the outgoing buffer grows
        except ssl.SSLWantReadError:
            # In the middle of a handshake message that follows the handshake, such as a session ticket with a large
            # client certificate in it, OpenSSL writes nothing. The rest of the message is on its way.
            if len(data) > MAX_HELD:
                raise WriteError("TLS: the peer has not completed a handshake message") from None
            self._held = bytes(data)
        except ssl.SSLError as exc:
            raise WriteError(f"TLS: {reason(exc)}" if self._failure is None else str(self._failure)) from exc
        return self.pending()

    def pending(self) -> bytes:
        """Remove and return what is due to be sent."""
        data = self._outgoing.read()
        return data if self._over is None else self._over.encrypt(data)

    def receive(self, data: bytes, into: memoryview | None = None) -> bytes:
        """
        Return the plain bytes that came with `data`, maybe none. `ended` tells whether more can come.

        Where something that is not TLS follows plain bytes in one piece, they are returned, and the session has ended
        without close_notify.

        Args:
            data: from the wire; b"" means that the peer closed it.
            into: where the plain bytes go, with room for `SLACK` bytes more than `data` has. What is returned is a view
                of it, which counts as bytes for those who know.

        Raises:
            ReadError: what arrived is not TLS, or is an alert that ends the session.
            ConnectError: before anything else, the peer sent an alert that refuses the handshake.
        """
        if data and self._over is None and not self._eof:
            self._incoming.write(data)  # what `_put` does for nearly all, inlined
        else:
            self._put(data)
        plain = self.leftover(into)
        if self._held:
            self._write_held()
        self.due = self._outgoing.pending > 0 or (self._over is not None and self._over.due)
        return plain

    def _write_held(self) -> None:
        """Write what could not be written before, if that is possible now; an error shows at the next `encrypt`."""
        try:
            self.ssl_object.write(self._held)
            self._held = b""
        except ssl.SSLError:
            pass

    def leftover(self, into: memoryview | None = None) -> bytes:
        """
        Return the plain bytes that are there without new input: those that came with the end of the handshake.

        Args:
            into: as for `receive`.

        Raises:
            ReadError, ConnectError: as for `receive`.
        """
        if self._failure is not None:
            raise self._again(self._failure)
        read, incoming = self.ssl_object.read, self._incoming
        pieces = []
        at = 0
        try:
            while True:
                if into is None:
                    piece: Any = read(RECORD)
                else:
                    size: Any = read(RECORD, into[at:])
                    piece = into[at : at + size]
                    at += size
                if not piece:
                    self.ended = True
                    break
                pieces.append(piece)
                # Leaves without the cost of an exception: this record is read, and another one has not arrived.
                if not incoming.pending and len(piece) < RECORD and not self._eof:
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            # After the end of the wire any error means just that: which one it is depends on OpenSSL's version.
            if not self._eof:
                self._failure = (None if pieces else self._refusal(exc)) or ReadError(f"TLS: {reason(exc)}")
                if not pieces:
                    raise self._again(self._failure) from exc
                # What came before, maybe the rest of a response, counts as it would have in a segment of its own.
            self.incomplete_close = not self.ended or self.incomplete_close
            self.ended = True
        if not self._heard and pieces:
            self._heard = True  # the peer has accepted the handshake
            if self._keep is not None:
                self._keep(self.ssl_object, False)
        if into is not None:
            return into[:at]  # type: ignore[return-value]  # a view, as `receive` says
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _refusal(self, exc: ssl.SSLError) -> ConnectError | None:
        """Return the error if the peer refused a handshake that was complete on this side, else None."""
        refused = None if self._heard else refusal(exc)
        return None if refused is None else final(ConnectError(f"TLS handshake with {self.peer} failed: {refused}"))

    @staticmethod
    def _again(failure: TransportError) -> TransportError:
        """Return a new error like `failure`: one that was raised keeps the frames of its caller alive."""
        return final(type(failure)(str(failure)), failure._is_final)

    def close(self) -> bytes:
        """Return the bytes that tell the peer that nothing more comes (close_notify)."""
        try:
            self.ssl_object.unwrap()
        except ssl.SSLError:
            pass  # it wants the peer's close_notify, which is not waited for
        if self._heard and self._keep is not None:
            self._keep(self.ssl_object, True)
            self._keep = None
        try:
            return self.pending()
        except WriteError:
            return b""

    def _put(self, data: bytes) -> bytes:
        """Give OpenSSL what arrived, and return it as it is above the filter that carries this one."""
        over = self._over
        if over is not None:
            data = over.receive(data)
        if self._eof:
            return b""  # the buffer takes nothing more
        if data:
            self._incoming.write(data)
        if over.ended if over is not None else not data:
            self._incoming.write_eof()
            self._eof = True
        return data
