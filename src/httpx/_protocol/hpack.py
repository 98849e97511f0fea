"""
Header compression for HTTP/2 (RFC 7541).

    Encoder.encode(fields)   -> bytes, a header block
    Decoder.decode(block)    -> HeaderBlock; raises HPACKError
    path_field(target)       -> bytes, `:path` for any header block

Both sides of a connection keep a table of recent fields. A header block refers to the table and changes it, so blocks
must be encoded and sent, received and decoded, in one order without gaps.

Fields with secrets (authorization, cookies, keys) are sent as "never indexed": no table keeps them, neither here nor in
a proxy (RFC 7541 7.1.3).

Not here: which fields are legal (`http2`), frames (`frames`).
"""

from __future__ import annotations

from collections import deque
from typing import Any

from .._secrets import NEVER_INDEXED
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

_Sized = tuple[tuple[bytes, bytes], int]  # a field, and its size in the table

OVERHEAD = 32  # bytes that an entry counts for besides its name and value (RFC 7541 4.1)
DEFAULT_TABLE_SIZE = 4096

_INDEXES = [bytes((0x80 | number,)) for number in range(0x7F)]
# For the decoder. Byte of an indexed field of the static table -> that field. First byte of a literal -> the distance
# to the length of its value, or 0 if a name comes first.
_INDEXED: dict[int, _Sized] = {
    0x80 + number: ((name, value), len(name) + len(value) + OVERHEAD) for number, (name, value) in enumerate(_STATIC, 1)
}
_TO_VALUE = [min(1, byte & (0x3F if byte >= 0x40 else 0x0F)) for byte in range(0x80)]

# Fields whose value changes with nearly every request: in the table they would only evict others.
_NOT_INDEXED = frozenset(
    (b":path", b"content-length", b"if-modified-since", b"if-none-match", b"range", b"age", b"etag", b"location")
)


# Bytes of entries in the decoder's list, overdue ones included, that make it evict at once.
MAX_OVERDUE = 16 * DEFAULT_TABLE_SIZE
# Blocks that the decoder remembers, and the largest size of their fields: usually 50 KiB in all, 2 MiB at most.
_MAX_REMEMBERED = 128
_MAX_REMEMBERED_SIZE = 4096


class HPACKError(Exception):
    """A header block that cannot be decoded; the connection is lost (RFC 9113 4.3)."""


def _integer(value: int, prefix: int, flags: int) -> bytes:
    """Return an integer of a block; its first byte also has the upper bits of `flags` (RFC 7541 5.1)."""
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
    """Return a string of a block, as Huffman code where that is shorter (RFC 7541 5.2)."""
    size = huffman.encoded_size(data)
    if size < len(data):
        return _integer(size, 7, 0x80) + huffman.encode(data)
    return _integer(len(data), 7, 0) + data


def path_field(target: bytes) -> bytes:
    """
    Return the `:path` of a request as it may stand in any block.

    It is not Huffman-coded, which would take 3 us to save 7 of 30 bytes.
    """
    number = _STATIC_FIELD.get((b":path", target))
    if number is not None:
        return _integer(number, 7, 0x80)
    return _integer(_STATIC_NAME[b":path"], 4, 0) + _integer(len(target), 7, 0) + target


class Encoder:
    """
    The sending side of one connection.

    Attributes:
        version: of the table; grows with each change. A block whose encoding changed nothing may be sent again while
            the version is the same.
    """

    def __init__(self) -> None:
        self._entries: deque[tuple[bytes, bytes]] = deque()  # newest first
        self._added = 0  # entries ever; the index of an entry follows from its number
        self._when: dict[tuple[bytes, bytes], int] = {}
        self._values: dict[bytes, bytes] = {}  # name -> the value with which it was added
        self._heads: dict[bytes, tuple[bytes, bytes, bool]] = {}  # name -> see `_new_head`
        self._size = 0
        self._max_size = DEFAULT_TABLE_SIZE
        self._updates: list[int] = []
        self.version = 0

    def set_max_size(self, size: int) -> None:
        """Apply the peer's SETTINGS_HEADER_TABLE_SIZE; more than the default of 4,096 bytes is not used."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size == self._max_size and not self._updates:
            return
        self._max_size = size
        # The lowest size in between must be sent as well (RFC 7541 4.2).
        self._updates = [min([size, *self._updates]), size] if self._updates else [size]
        self.version += 1
        self._evict()

    def encode(self, fields: Fields) -> bytes:
        """Return the header block of `fields`, or a part of it, and change the table; names must be lower case."""
        out = []
        if self._updates:
            out = [_integer(size, 5, 0x20) for size in dict.fromkeys(self._updates)]
            self._updates = []
            self.version += 1
        for field in fields:
            number = _STATIC_FIELD.get(field)
            if number is None:
                when = self._when.get(field)
                if when is None:
                    out.append(self._literal(field))
                    continue
                number = _STATIC_SIZE + self._added - when
            out.append(_INDEXES[number] if number < 0x7F else _integer(number, 7, 0x80))
        return b"".join(out)

    def _literal(self, field: tuple[bytes, bytes]) -> bytes:
        name, value = field
        plain, indexed, is_private = self._heads.get(name) or self._new_head(name)
        if is_private:
            return plain + _string(value)
        if self._is_worth_an_entry(name, value):
            self._add(field)
            return indexed + _string(value)
        # Not Huffman-coded: for a value that is new each time that takes 3 us and saves 4 of 16 bytes.
        return plain + _integer(len(value), 7, 0) + value

    def _new_head(self, name: bytes) -> tuple[bytes, bytes, bool]:
        """Return the beginning of a literal with this name, not indexed and indexed, and whether it is a secret."""
        number = _STATIC_NAME.get(name, 0)
        text = b"" if number else _string(name)
        is_private = NEVER_INDEXED.search(name) is not None
        head = (_integer(number, 4, 0x10 if is_private else 0) + text, _integer(number, 6, 0x40) + text, is_private)
        if len(self._heads) >= 256:
            self._heads.clear()
        self._heads[name] = head
        return head

    def _is_worth_an_entry(self, name: bytes, value: bytes) -> bool:
        """
        Return True if the field will probably be sent again.

        A field whose value differs from the last one (a request's number, a time) will not. Its entries would evict
        others, and each would make all remembered blocks useless.
        """
        if name in _NOT_INDEXED or len(name) + len(value) + OVERHEAD > self._max_size // 2:
            return False
        return self._values.get(name, value) == value

    def _add(self, field: tuple[bytes, bytes]) -> None:
        if len(self._values) >= 256:
            self._values.clear()
        self._values[field[0]] = field[1]
        self._entries.appendleft(field)
        self._when[field] = self._added
        self._added += 1
        self.version += 1
        self._size += len(field[0]) + len(field[1]) + OVERHEAD
        self._evict()

    def _evict(self) -> None:
        while self._size > self._max_size:
            field = self._entries.pop()
            self._size -= len(field[0]) + len(field[1]) + OVERHEAD
            del self._when[field]


class HeaderBlock:
    """
    A decoded header block, kept for the next time that the same bytes arrive.

    Attributes:
        fields: in their order; shared, so they must not be changed.
        size: of the fields in bytes: names, values and 32 for each.
        added: the fields that the block adds to the table, in their order.
        added_size: the size of those in bytes.
        version: of the table that the block was decoded with.
        refers: the block refers to the table, so that its meaning depends on the state of that.
        meaning: what a reader made of the fields, kept for the next time; None at first.
    """

    __slots__ = ("added", "added_size", "fields", "meaning", "refers", "size", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.refers = False
        self.fields: Fields = []
        self.size = 0
        self.added: list[_Sized] = []
        self.added_size = 0
        self.meaning: Any = None


class Decoder:
    """
    The receiving side of one connection.

    Servers repeat themselves: the same response is often the same block, and otherwise most of its strings are the
    same. Both are remembered, within bounds. A block that is known costs 0.4 us instead of 10, which was a third of the
    machine's time for a small request.

    Args:
        max_table_size: the SETTINGS_HEADER_TABLE_SIZE that was sent to the peer.
        max_list_size: the largest size of the fields of one block in bytes: names, values and 32 for each. It is
            checked while a block is decoded, so that a small block cannot become a large list.
    """

    def __init__(self, max_table_size: int = DEFAULT_TABLE_SIZE, max_list_size: int = 65_536) -> None:
        self._limit = max_table_size
        self._max_size = max_table_size
        self._max_list_size = max_list_size
        # Newest last. The first ones may be overdue: they are evicted before an entry is looked up, not each time that
        # one is added (nginx adds five with every response and never refers to them).
        self._entries: list[_Sized] = []
        self._size = 0
        self._version = 0  # of the table; grows with each change
        self._blocks: dict[bytes, HeaderBlock] = {}
        # Literal fields and Huffman-coded strings as they stood on the wire -> decoded.
        self._literals: dict[bytes, _Sized] = {}
        self._strings: dict[bytes, bytes] = {}

    def decode(self, block: bytes) -> HeaderBlock:
        """
        Return a header block, decoded; the table changes with it.

        Raises:
            HPACKError: the block cannot be decoded, or its list of fields is too large.
        """
        known = self._blocks.get(block)
        if known is None or (known.refers and known.version != self._version):
            return self._decode(block)
        if known.added:
            self._entries += known.added
            self._size += known.added_size
            self._version += 1
            if self._size > MAX_OVERDUE:
                self._evict()
        return known

    def _decode(self, block: bytes) -> HeaderBlock:
        """Decode a block that is not known in this state of the table."""
        made = HeaderBlock(self._version)
        fields, added, entries, literals = made.fields, made.added, self._entries, self._literals
        position, end, room = 0, len(block), self._max_list_size
        try:
            while position < end:
                byte = block[position]
                start = position
                if byte >= 0x80:
                    position += 1
                    if byte <= 0x80 + _STATIC_SIZE:
                        known = _INDEXED.get(byte)
                    else:
                        if self._size > self._max_size:
                            self._evict()
                        place = byte - 0x80 - _STATIC_SIZE
                        known = entries[-place] if place <= len(entries) and byte != 0xFF else None
                        made.refers = True
                elif byte & 0xE0 == 0x20:
                    position = self._update(block, position, made)
                    continue
                else:
                    # Most literals are known. The end of one is guessed here, correctly for short ones. No literal is
                    # the beginning of another, so a known one is what stands there (0.6 us for each instead of 2).
                    position += _TO_VALUE[byte] or 2 + block[position + 1] % 128
                    if position < end:
                        position += 1 + block[position] % 128
                    known = literals.get(block[start:position])
                if known is None:
                    known, position = self._field(block, start, made)
                field, size = known
                room -= size
                if room < 0:
                    raise HPACKError(f"the fields of one block take more than {self._max_list_size} bytes")
                fields.append(field)
                if 0x40 <= byte < 0x80:
                    entries.append(known)
                    added.append(known)
                    self._size += size
                    made.added_size += size
        except IndexError:
            raise HPACKError("the block ends within a field") from None
        made.size = self._max_list_size - room
        self._version += len(added)
        if self._size > MAX_OVERDUE:
            self._evict()
        self._remember(block, made)
        return made

    def _remember(self, block: bytes, made: HeaderBlock) -> None:
        # A block that refers to the table and changes it will not arrive again in the same state.
        if made.size <= _MAX_REMEMBERED_SIZE and (not made.refers or made.version == self._version):
            if len(self._blocks) >= _MAX_REMEMBERED:
                self._blocks.clear()
            self._blocks[block] = made

    def _update(self, block: bytes, position: int, made: HeaderBlock) -> int:
        """Take a new size of the table; return where the next field begins."""
        if made.fields:
            raise HPACKError("a table size update follows a field")
        size, position = self._integer(block, position, 5)
        if size > self._limit:
            raise HPACKError(f"a table size of {size} is more than the {self._limit} that are allowed")
        # Before and after: a larger table does not bring back entries that the smaller one had no room for.
        self._evict()
        self._max_size = size
        self._evict()
        self._version += 1
        made.refers = True
        return position

    def _field(self, block: bytes, start: int, made: HeaderBlock) -> tuple[_Sized, int]:
        """Return a field that is not known, and where the next one begins."""
        byte = block[start]
        if byte >= 0x80:
            number, position = self._integer(block, start, 7)
            name, value = self._entry(number)
        else:
            number, position = self._integer(block, start, 6 if byte >= 0x40 else 4)
            if number:
                name = self._entry(number)[0]
            else:
                name, position = self._string(block, position)
            value, position = self._string(block, position)
        sized = (name, value), len(name) + len(value) + OVERHEAD
        if number > _STATIC_SIZE:
            made.refers = True
        elif position - start <= 96:
            if len(self._literals) >= 256:
                self._literals.clear()
            self._literals[block[start:position]] = sized
        return sized, position

    @staticmethod
    def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
        limit = (1 << prefix) - 1
        value = block[position] & limit
        position += 1
        if value < limit:
            return value, position
        # Five bytes hold every number that makes sense here.
        for shift in range(0, 35, 7):
            byte = block[position]
            position += 1
            value += (byte & 127) << shift
            if byte < 128:
                return value, position
        raise HPACKError("an integer is too large")

    def _string(self, block: bytes, position: int) -> tuple[bytes, int]:
        first = block[position]
        size = first & 0x7F
        start = position + 1
        if size == 0x7F:
            size, start = self._integer(block, position, 7)
        end = start + size
        if end > len(block):
            raise HPACKError("a string is longer than its block")
        data = block[start:end]
        if first < 0x80:
            return data, end
        text = self._strings.get(data)
        if text is None:
            text = self._huffman(data)
        return text, end

    def _huffman(self, data: bytes) -> bytes:
        try:
            text = huffman.decode(data)
        except ValueError as exc:
            raise HPACKError(str(exc)) from None
        if len(data) <= 64:
            if len(self._strings) >= 256:
                self._strings.clear()
            self._strings[data] = text
        return text

    def _entry(self, number: int) -> tuple[bytes, bytes]:
        if 0 < number <= _STATIC_SIZE:
            return _STATIC[number - 1]
        if self._size > self._max_size:
            self._evict()
        place = number - _STATIC_SIZE
        if number == 0 or place > len(self._entries):
            raise HPACKError(f"the table does not have an entry {number}")
        return self._entries[-place][0]

    def _evict(self) -> None:
        """Remove the oldest entries, for which the table has no room."""
        entries, size, count = self._entries, self._size, 0
        if size > 2 * self._max_size:
            # More is evicted than kept, so the entries that are kept are counted.
            size = 0
            for _, one in reversed(entries):
                if size + one > self._max_size:
                    break
                size += one
                count += 1
            count = len(entries) - count
        while size > self._max_size:
            size -= entries[count][1]
            count += 1
        del entries[:count]
        self._size = size
