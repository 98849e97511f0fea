"""`_protocol/opening.py`: the opening handshake of a WebSocket."""

from __future__ import annotations

import base64
import contextlib
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpx import LocalProtocolError
from httpx._protocol.deflate import Deflate
from httpx._protocol.opening import OWN_NAMES, BadOpening, Opening, expected_accept, extensions
from httpx._protocol.websocket import WebSocketMachine
from support.linear import linear

NONCE = base64.b64decode(b"dGhlIHNhbXBsZSBub25jZQ==")
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", ACCEPT)]


def replaced(name: bytes, *values: bytes) -> list[tuple[bytes, bytes]]:
    """The good response's fields with other values for one of them."""
    kept = [field for field in GOOD if field[0].lower() != name.lower()]
    return kept + [(name, value) for value in values]


# The request.


def test_the_fields_of_a_request():
    assert Opening(NONCE).fields == [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    opening = Opening(NONCE, [b"chat", b"superchat"], Deflate(peer_window_bits=15))
    assert opening.fields[4:] == [
        (b"Sec-WebSocket-Protocol", b"chat, superchat"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
    ]


def test_the_fields_of_a_tunnel_have_nothing_of_http_1_1_and_no_key():
    opening = Opening(NONCE, [b"chat"], Deflate(peer_window_bits=15))
    assert opening.tunnel_fields == [
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-protocol", b"chat"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    ]


def test_every_field_of_the_request_is_one_that_callers_cannot_give():
    opening = Opening(NONCE, [b"chat"], Deflate())
    assert {name.lower() for name, _ in opening.fields} < OWN_NAMES


@pytest.mark.parametrize("name", [b"", b"a b", b"a,b", b"a\r\nX-Evil: 1", b"a\0", b"\xe9", b"a;b"])
def test_a_subprotocol_that_is_not_a_token_is_refused(name: bytes):
    """CVE-2026-1527 and its like: CR LF in what the caller gave became a header of its own."""
    with pytest.raises(LocalProtocolError, match="is not a token"):
        Opening(NONCE, [b"chat", name])


def test_a_subprotocol_cannot_be_offered_twice():
    with pytest.raises(LocalProtocolError, match="b'chat' is offered twice"):
        Opening(NONCE, [b"chat", b"other", b"chat"])


def test_a_nonce_has_16_bytes():
    with pytest.raises(ValueError, match="must have 16 bytes, got 15"):
        Opening(NONCE[:-1])


def test_the_accept_of_the_rfc():
    assert expected_accept(b"dGhlIHNhbXBsZSBub25jZQ==") == ACCEPT


# The response.


@pytest.mark.parametrize(
    "fields",
    [
        GOOD,
        GOOD[::-1],
        [(name.upper(), value) for name, value in GOOD],
        replaced(b"upgrade", b"WebSocket"),
        replaced(b"connection", b"keep-alive, UPGRADE"),
        replaced(b"connection", b"keep-alive", b"upgrade"),
        replaced(b"sec-websocket-accept", b" " + ACCEPT + b"\t"),
        [*GOOD, (b"Sec-WebSocket-Extensions", b"")],
        [*GOOD, (b"Server", b"x"), (b"Sec-WebSocket-Version", b"13")],
    ],
)
def test_a_response_that_opens(fields: Any):
    assert Opening(NONCE).accept(101, fields) == (None, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (replaced(b"upgrade"), "Upgrade is b'', expected 'websocket'"),
        (replaced(b"upgrade", b"h2c"), "Upgrade is b'h2c', expected 'websocket'"),
        (replaced(b"upgrade", b"websocket, h2c"), "Upgrade is"),
        (replaced(b"upgrade", b"websocket", b"h2c"), "Upgrade is"),
        (replaced(b"connection"), "Connection does not name 'upgrade'"),
        (replaced(b"connection", b"close"), "Connection does not name 'upgrade'"),
        (replaced(b"connection", b"upgrades, not-upgrade"), "Connection does not name 'upgrade'"),
        (replaced(b"sec-websocket-accept"), "has no Sec-WebSocket-Accept"),
        (replaced(b"sec-websocket-accept", b""), "does not belong to the request's key"),
        (replaced(b"sec-websocket-accept", ACCEPT.lower()), "does not belong to the request's key"),
        (replaced(b"sec-websocket-accept", ACCEPT + b"="), "does not belong to the request's key"),
        (replaced(b"sec-websocket-accept", ACCEPT, ACCEPT), "does not belong to the request's key"),
        (replaced(b"sec-websocket-accept", ACCEPT + b", " + ACCEPT), "does not belong to the request's key"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"chat")], "chose subprotocol b'chat', which was not offered"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"")], "chose subprotocol b'', which was not offered"),
        ([*GOOD, (b"Sec-WebSocket-Extensions", b"permessage-deflate")], "chose extension b'permessage-deflate'"),
    ],
)
def test_a_response_that_does_not_open(fields: Any, message: str):
    """Cross-protocol attacks: bytes that another program put into a response must not become messages."""
    with pytest.raises(BadOpening) as caught:
        Opening(NONCE).accept(101, fields)
    assert message in str(caught.value)


@pytest.mark.parametrize("status", [200, 204, 301, 401, 403, 404, 426, 500])
def test_only_101_opens_over_http_1_1(status: int):
    with pytest.raises(BadOpening, match=rf"^the response is {status}, expected 101 \(Switching Protocols\)$"):
        Opening(NONCE).accept(status, GOOD)


def test_a_server_of_another_version_is_named():
    with pytest.raises(BadOpening, match="the response is 426, and the server speaks version b'8, 7' of WebSocket"):
        Opening(NONCE).accept(426, [(b"sec-websocket-version", b"8, 7")])


def test_the_subprotocol_is_one_of_those_offered_in_its_very_case():
    opening = Opening(NONCE, [b"chat", b"superchat"])
    assert opening.accept(101, GOOD).subprotocol is None
    assert opening.accept(101, [*GOOD, (b"sec-websocket-protocol", b"superchat")]).subprotocol == b"superchat"
    for chosen in (b"Chat", b"chat, superchat", b"x" * 100):
        with pytest.raises(BadOpening, match="which was not offered") as caught:
            opening.accept(101, [*GOOD, (b"sec-websocket-protocol", chosen)])
        assert len(str(caught.value)) < 100
    with pytest.raises(BadOpening, match="more than one"):
        opening.accept(101, [*GOOD, (b"sec-websocket-protocol", b"chat"), (b"sec-websocket-protocol", b"chat")])


@pytest.mark.parametrize("status", [200, 201, 299])
def test_any_2xx_opens_over_http_2(status: int):
    opening = Opening(NONCE, [b"chat"], Deflate())
    fields = [(b"sec-websocket-protocol", b"chat"), (b"sec-websocket-extensions", b"permessage-deflate")]
    agreement = opening.accept_tunnel(status, fields)
    assert agreement.subprotocol == b"chat"
    assert agreement.codec is not None
    assert Opening(NONCE).accept_tunnel(status, []) == (None, None)


@pytest.mark.parametrize("status", [101, 300, 403, 405, 501])
def test_no_other_status_opens_over_http_2(status: int):
    with pytest.raises(BadOpening, match=f"the response is {status}, expected 2xx"):
        Opening(NONCE).accept_tunnel(status, GOOD)


def test_what_was_not_offered_does_not_open_over_http_2():
    with pytest.raises(BadOpening, match="not offered"):
        Opening(NONCE).accept_tunnel(200, [(b"sec-websocket-protocol", b"chat")])


# Extensions.


def chosen(value: bytes, *more: bytes) -> Any:
    fields = [*GOOD, *((b"Sec-WebSocket-Extensions", each) for each in (value, *more))]
    return Opening(NONCE, wanted=Deflate()).accept(101, fields).codec


def test_compression_is_what_the_response_chose():
    assert Opening(NONCE, wanted=Deflate()).accept(101, GOOD).codec is None
    assert chosen(b"permessage-deflate").peer_window_bits == 15
    assert chosen(b"Permessage-Deflate; Server_Max_Window_Bits=10").peer_window_bits == 10
    assert chosen(b'permessage-deflate ;\tserver_max_window_bits = "10" ,').peer_window_bits == 10
    assert chosen(b", permessage-deflate; client_no_context_takeover").context_takeover is False


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([b"permessage-deflate, permessage-deflate"], "permessage-deflate twice"),
        ([b"permessage-deflate", b"permessage-deflate"], "permessage-deflate twice"),
        ([b"permessage-deflate, x-other"], "extension b'x-other', which was not offered"),
        ([b"x-webkit-deflate-frame"], "which was not offered"),
        ([b"permessage-deflate; server_max_window_bits=16"], "must be from 8 to 15, got b'16'"),
        ([b"permessage-deflate; client_max_window_bits"], "must be from 8 to 15, got b''"),
        ([b"permessage-deflate; other"], "unknown parameter b'other'"),
        ([b"permessage-deflate; "], "is not legal at b';'"),
        ([b"permessage-deflate x"], "is not legal at b'x'"),
        ([b"permessage-deflate; a="], "is not legal at b'='"),
        ([b'permessage-deflate; a="b'], "is not legal at"),
        ([b'permessage-deflate; a="b c"'], "is not legal at"),
        ([b"=x"], "is not legal at b'=x'"),
        ([b"permessage-deflate,;"], "is not legal at"),
    ],
)
def test_extensions_that_were_not_offered_so_do_not_open(values: list[bytes], message: str):
    with pytest.raises(BadOpening) as caught:
        chosen(*values)
    assert message in str(caught.value)


TOKENS = st.text("abcXYZ019-_.!", min_size=1, max_size=8).map(str.encode)


@given(st.lists(st.tuples(TOKENS, st.lists(st.tuples(TOKENS, st.none() | TOKENS), max_size=3)), max_size=4), st.data())
def test_a_list_of_extensions_is_read_as_it_was_written(
    written: list[tuple[bytes, list[tuple[bytes, Optional[bytes]]]]], data: st.DataObject
):
    blank = st.sampled_from([b"", b" ", b"\t "])

    def parameter(name: bytes, value: Optional[bytes]) -> bytes:
        if value is None:
            return name
        value = b'"' + value + b'"' if data.draw(st.booleans()) else value
        return name + data.draw(blank) + b"=" + data.draw(blank) + value

    parts = [
        b"".join([name, *(data.draw(blank) + b";" + data.draw(blank) + parameter(*each) for each in parameters)])
        for name, parameters in written
    ]
    value = (data.draw(blank) + b"," + data.draw(blank)).join(parts)
    assert extensions(value) == [
        (name.lower(), [(key.lower(), each) for key, each in parameters]) for name, parameters in written
    ]


@given(st.binary(max_size=30) | st.text('ab;,="\\ \t', max_size=30).map(str.encode))
def test_no_list_of_extensions_does_more_than_be_refused(value: bytes):
    with contextlib.suppress(BadOpening):
        extensions(value)


@pytest.mark.parametrize("unit", [b"a, ", b",", b" ", b"a;b;", b'a;b="c', b"\t;"])
@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_long_list_of_extensions_takes_linear_time(unit: bytes, end: bytes):
    """CVE-2021-32640: a field in a handshake took quadratic time."""

    def prepare(size: int):
        value = b"permessage-deflate" + unit * (size // len(unit)) + end

        def work():
            with contextlib.suppress(BadOpening):
                extensions(value)

        return work

    linear(prepare)


# Servers' judgement: the whole way with each of two other implementations, compression included.


def request_bytes(opening: Opening) -> bytes:
    lines = [b"GET /chat HTTP/1.1", b"Host: example.org", *(name + b": " + value for name, value in opening.fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def opened(opening: Opening, response: bytes) -> tuple[WebSocketMachine, Any]:
    """A machine on what a server's response agreed to, and the agreement."""
    head, _, rest = response.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert rest == b""
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    agreement = opening.accept(int(first.split()[1]), fields)
    return WebSocketMachine(agreement.codec), agreement


WANTED = [
    None,
    Deflate(),
    Deflate(min_size=0, window_bits=9, peer_window_bits=9),
    Deflate(min_size=0, peer_window_bits=15, context_takeover=False, peer_context_takeover=False),
]
TEXTS = ["", "a", "Hello" * 100, "Hello" * 100, "κόσμε" * 10_000]


@pytest.mark.parametrize("wanted", WANTED)
def test_wsproto_as_a_server_opens_and_understands(wanted: Optional[Deflate]):
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, Request, TextMessage
    from wsproto.extensions import PerMessageDeflate

    server = WSConnection(ConnectionType.SERVER)
    opening = Opening(NONCE, [b"chat", b"other"], wanted)
    server.receive_data(request_bytes(opening))
    (request,) = server.events()
    assert isinstance(request, Request)
    assert request.subprotocols == ["chat", "other"]
    response = server.send(AcceptConnection(subprotocol="other", extensions=[PerMessageDeflate()]))
    machine, agreement = opened(opening, response)
    assert (agreement.subprotocol, agreement.codec is not None) == (b"other", wanted is not None)
    for text in TEXTS:
        machine.send(text)
        server.receive_data(machine.take())
        assert "".join(event.data for event in server.events() if isinstance(event, TextMessage)) == text
        machine.receive(server.send(TextMessage(text)))
        assert machine.take_message() == text


@pytest.mark.parametrize("wanted", WANTED)
def test_websockets_as_a_server_opens_and_understands(wanted: Optional[Deflate]):
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.http11 import Request
    from websockets.server import ServerProtocol
    from websockets.typing import Subprotocol

    factories = [ServerPerMessageDeflateFactory()]
    server = ServerProtocol(extensions=factories, subprotocols=[Subprotocol("other")])
    opening = Opening(NONCE, [b"chat", b"other"], wanted)
    server.receive_data(request_bytes(opening))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    machine, agreement = opened(opening, b"".join(server.data_to_send()))
    assert (agreement.subprotocol, agreement.codec is not None) == (b"other", wanted is not None)
    for text in TEXTS:
        machine.send(text)
        server.receive_data(machine.take())
        (received,) = server.events_received()
        assert received.data.decode() == text
        server.send_text(text.encode())
        machine.receive(b"".join(server.data_to_send()))
        assert machine.take_message() == text
