"""
Header compression for HTTP/2 (RFC 7541).

    Encoder.encode(fields)   -> a header block
    Decoder.decode(block)    -> fields, or HPACKError

Both sides of a connection keep a table of fields that went over it; a block refers to the table and changes it, so
blocks must be made and sent, received and decoded, in one order without gaps.

What is private (authorization, cookies, keys) is sent as "never indexed": no table keeps it, here or in any proxy (RFC
7541 7.1.3).

Not here: which fields are legal (`http2`), frames (`frames`).
"""

from __future__ import annotations

from collections import deque

from . import huffman

Fields = list[tuple[bytes, bytes]]

# RFC 7541, appendix A: "name" or "name=value" of the entries 1 to 61.
_STATIC: Fields = [
    (name.encode("ascii"), value.encode("ascii"))
    for name, _, value in (
        entry.partition("=")
        for entry in [
            ":authority",
            ":method=GET",
            ":method=POST",
            ":path=/",
            ":path=/index.html",
            ":scheme=http",
            ":scheme=https",
            ":status=200",
            ":status=204",
            ":status=206",
            ":status=304",
            ":status=400",
            ":status=404",
            ":status=500",
            "accept-charset",
            "accept-encoding=gzip, deflate",
            "accept-language",
            "accept-ranges",
            "accept",
            "access-control-allow-origin",
            "age",
            "allow",
            "authorization",
            "cache-control",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-length",
            "content-location",
            "content-range",
            "content-type",
            "cookie",
            "date",
            "etag",
            "expect",
            "expires",
            "from",
            "host",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "last-modified",
            "link",
            "location",
            "max-forwards",
            "proxy-authenticate",
            "proxy-authorization",
            "range",
            "referer",
            "refresh",
            "retry-after",
            "server",
            "set-cookie",
            "strict-transport-security",
            "transfer-encoding",
            "user-agent",
            "vary",
            "via",
            "www-authenticate",
        ]
    )
]
_STATIC_SIZE = len(_STATIC)
_STATIC_FIELD = {field: number for number, field in enumerate(_STATIC, 1)}
_STATIC_NAME = {name: number for number, (name, _) in reversed(list(enumerate(_STATIC, 1)))}

OVERHEAD = 32  # what an entry costs besides its bytes (RFC 7541 4.1)
DEFAULT_TABLE_SIZE = 4096

_NEVER_INDEXED = frozenset(
    (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"x-api-key", b"x-auth-token")
)
# Fields whose value is another one in nearly every request: indexing them only pushes others out.
_NOT_INDEXED = frozenset(
    (b":path", b"content-length", b"if-modified-since", b"if-none-match", b"range", b"age", b"etag", b"location")
)


class HPACKError(Exception):
    """A header block that cannot be decoded; the connection is lost (RFC 9113 4.3)."""


def _integer(value: int, prefix: int, flags: int) -> bytes:
    """An integer behind the upper bits of `flags` (RFC 7541 5.1)."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes((flags | value,))
    out = bytearray((flags | limit,))
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(data: bytes) -> bytes:
    """A string, as Huffman code where that is shorter (RFC 7541 5.2)."""
    size = huffman.encoded_size(data)
    if size < len(data):
        return _integer(size, 7, 0x80) + huffman.encode(data)
    return _integer(len(data), 7, 0) + data


class Encoder:
    """
    The sending side of one connection.

    A block that is asked for again while the table is as it was (the same request once more) is remembered: then all
    its fields are in the table, and encoding them changes nothing.
    """

    def __init__(self) -> None:
        self._entries: deque[tuple[bytes, bytes]] = deque()  # newest first
        self._added = 0  # ever; an entry's place follows from when it was added
        self._when: dict[tuple[bytes, bytes], int] = {}
        self._size = 0
        self._max_size = DEFAULT_TABLE_SIZE
        self._updates: list[int] = []
        self._remembered: dict[tuple[tuple[bytes, bytes], ...], tuple[int, bytes]] = {}

    def set_max_size(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE; more than the default 4,096 is not used."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size == self._max_size and not self._updates:
            return
        self._max_size = size
        # A size that was lower in between must be told, too (RFC 7541 4.2).
        self._updates = [min([size, *self._updates]), size] if self._updates else [size]
        self._evict()

    def encode(self, fields: Fields) -> bytes:
        """The header block of `fields`, whose names are lower case; the table changes with it."""
        key = tuple(fields)
        remembered = self._remembered.get(key)
        if remembered is not None and remembered[0] == self._added and not self._updates:
            return remembered[1]
        out = [_integer(size, 5, 0x20) for size in dict.fromkeys(self._updates)]
        # A block with an update in it is good for once: later the table may have another size.
        changed, self._updates = bool(self._updates), []
        before = self._added
        for field in fields:
            out.append(self._field(field))
        block = b"".join(out)
        if before == self._added and not changed:
            if len(self._remembered) >= 64:
                self._remembered.clear()
            self._remembered[key] = (self._added, block)
        return block

    def _field(self, field: tuple[bytes, bytes]) -> bytes:
        number = _STATIC_FIELD.get(field)
        if number is None:
            when = self._when.get(field)
            if when is not None:
                number = _STATIC_SIZE + self._added - when
        if number is not None:
            return _integer(number, 7, 0x80)
        name, value = field
        name_number = _STATIC_NAME.get(name, 0)
        if name in _NEVER_INDEXED:
            head = _integer(name_number, 4, 0x10)
        elif name in _NOT_INDEXED or len(name) + len(value) + OVERHEAD > self._max_size // 2:
            head = _integer(name_number, 4, 0)
        else:
            head = _integer(name_number, 6, 0x40)
            self._add(field)
        return head + (b"" if name_number else _string(name)) + _string(value)

    def _add(self, field: tuple[bytes, bytes]) -> None:
        self._entries.appendleft(field)
        self._when[field] = self._added
        self._added += 1
        self._size += len(field[0]) + len(field[1]) + OVERHEAD
        self._evict()

    def _evict(self) -> None:
        while self._size > self._max_size:
            field = self._entries.pop()
            self._size -= len(field[0]) + len(field[1]) + OVERHEAD
            del self._when[field]
            self._remembered.clear()


class Decoder:
    """
    The receiving side of one connection.

    Args:
        max_table_size: what SETTINGS_HEADER_TABLE_SIZE told the peer.
        max_list_size: bytes that the fields of one block may take, names, values and 32 for each; what says more is
            refused while it is decoded, so that a small block cannot become a large list.

    Attributes:
        list_size: bytes that the fields of the last block took, counted in the same way.
    """

    def __init__(self, max_table_size: int = DEFAULT_TABLE_SIZE, max_list_size: int = 65_536) -> None:
        self._limit = max_table_size
        self._max_size = max_table_size
        self._max_list_size = max_list_size
        self.list_size = 0
        self._entries: deque[tuple[bytes, bytes]] = deque()  # newest first
        self._size = 0
        # Literal strings as they stood on the wire -> decoded. Servers repeat theirs; bounded.
        self._strings: dict[bytes, bytes] = {}

    def decode(self, block: bytes) -> Fields:
        """
        The fields of a header block, in their order.

        Raises:
            HPACKError: it cannot be decoded, or its list of fields is too large.
        """
        fields: Fields = []
        position, end, room = 0, len(block), self._max_list_size
        try:
            while position < end:
                byte = block[position]
                if byte >= 0x80:
                    number = byte & 0x7F
                    if number == 0x7F:
                        number, position = self._integer(block, position, 7)
                    else:
                        position += 1
                    field = _STATIC[number - 1] if 0 < number <= _STATIC_SIZE else self._entry(number)
                elif byte < 0x40 and byte & 0x20:
                    if fields:
                        raise HPACKError("a table size update stands behind a field")
                    size, position = self._integer(block, position, 5)
                    self._resize(size)
                    continue
                else:
                    field, position = self._literal(block, position)
                room -= len(field[0]) + len(field[1]) + OVERHEAD
                if room < 0:
                    raise HPACKError(f"the fields of one block take more than {self._max_list_size} bytes")
                fields.append(field)
        except IndexError:
            raise HPACKError("the block ends within a field") from None
        self.list_size = self._max_list_size - room
        return fields

    def _literal(self, block: bytes, position: int) -> tuple[tuple[bytes, bytes], int]:
        indexed = block[position] >= 0x40
        number, position = self._integer(block, position, 6 if indexed else 4)
        if number:
            name = (_STATIC[number - 1] if number <= _STATIC_SIZE else self._entry(number))[0]
        else:
            name, position = self._string(block, position)
        value, position = self._string(block, position)
        if indexed:
            self._add((name, value))
        return (name, value), position

    @staticmethod
    def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
        limit = (1 << prefix) - 1
        value = block[position] & limit
        position += 1
        if value < limit:
            return value, position
        # Five bytes hold every number that makes sense here; more are a way to waste time.
        for shift in range(0, 35, 7):
            byte = block[position]
            position += 1
            value += (byte & 127) << shift
            if byte < 128:
                return value, position
        raise HPACKError("an integer is too large")

    def _string(self, block: bytes, position: int) -> tuple[bytes, int]:
        coded = block[position] >= 0x80
        size, start = self._integer(block, position, 7)
        end = start + size
        if end > len(block):
            raise HPACKError("a string is longer than its block")
        data = block[start:end]
        if not coded:
            return data, end
        text = self._strings.get(data)
        if text is None:
            try:
                text = huffman.decode(data)
            except ValueError as exc:
                raise HPACKError(str(exc)) from None
            if size <= 64:
                if len(self._strings) >= 256:
                    self._strings.clear()
                self._strings[data] = text
        return text, end

    def _entry(self, number: int) -> tuple[bytes, bytes]:
        place = number - _STATIC_SIZE - 1
        if number == 0 or place >= len(self._entries):
            raise HPACKError(f"there is no entry {number} in the table")
        return self._entries[place]

    def _add(self, field: tuple[bytes, bytes]) -> None:
        self._entries.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + OVERHEAD
        self._evict()

    def _resize(self, size: int) -> None:
        if size > self._limit:
            raise HPACKError(f"a table size of {size} is more than the {self._limit} that were allowed")
        self._max_size = size
        self._evict()

    def _evict(self) -> None:
        while self._size > self._max_size:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + OVERHEAD
