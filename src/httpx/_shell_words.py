"""
Split a pasted command into words, as the shell that it was written for does.

    words("curl -H 'a: b' $'it\\'s'")          ["curl", "-H", "a: b", "it's"]
    words('curl ^"http://a/^" ^\\n -d ^"x^"')     ["curl", "http://a/", "-d", "x"]

Two kinds: POSIX shells with bash's `$'...'`, and cmd of Windows. Nothing is run or expanded: a variable, a command
substitution, a pipe or a redirection is an error, because its value is unknown.
"""

from __future__ import annotations

import re

# Only cmd has a caret before a quote or at the end of a line; within '...' it is text.
_CMD = re.compile(r"(?:^|\s)\^[\"\r\n]")
_SINGLE_QUOTED = re.compile(r"'[^']*'")
_SIMPLE = re.compile(r"[^\s\\'\"$`|;&<>#]+", re.A)
_IN_QUOTES = re.compile(r"[^\"\\$`]+")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^}]*\}?|\()|`")
_ANSI = re.compile(r"\\(?:u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|c[ -~]|.)", re.S)
_PAIR = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.I)
_ANSI_LETTERS = {
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "v": b"\v",
    "e": b"\x1b",
    "E": b"\x1b",
    **{char: char.encode() for char in "\\'\"?"},
}


def words(text: str) -> list[str]:
    """
    Return the words of a command.

    Raises:
        ValueError: a quote is not closed, or there is something that only a shell can do.
    """
    return _cmd_words(text) if _CMD.search(_SINGLE_QUOTED.sub("''", text)) else _Posix(text).words()


class _Posix:
    """A reader of the words of a command for a POSIX shell."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._out: list[str] = []
        self._word: list[str] | None = None  # None between words

    def words(self) -> list[str]:
        """Return all words."""
        while self._at < len(self._text):
            self._step()
        self._end()
        return self._out

    def _step(self) -> None:
        char = self._text[self._at]
        match = _SIMPLE.match(self._text, self._at)
        if match is not None:
            self._add(match[0], match.end())
        elif char in " \t\n\r\v\f":
            self._at += 1
            self._end()
        elif char == "\\":
            self._backslash()
        elif char == "'":
            end = self._closing(self._at + 1)
            self._add(self._text[self._at + 1 : end], end + 1)
        elif char == '"' or self._text.startswith('$"', self._at):
            self._quoted(self._at + (1 if char == '"' else 2))
        elif self._text.startswith("$'", self._at):
            self._ansi()
        elif char == "#" and self._word is None:
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
        else:
            self._special(char)

    def _special(self, char: str) -> None:
        """Read a character that is special to a shell; a lone `$`, and `&` and `#` within a URL, are text."""
        self._refuse_variables(self._at)
        following = self._text[self._at + 1 : self._at + 2]
        if char in "|;<>" or (char == "&" and (self._word is None or not (following.isalnum() or following == "_"))):
            raise ValueError(f"only one curl command can be converted, without the shell's {char!r}; put it in quotes")
        self._add(char, self._at + 1)

    def _add(self, text: str, at: int) -> None:
        self._word = [] if self._word is None else self._word
        self._word.append(text)
        self._at = at

    def _end(self) -> None:
        if self._word is not None:
            self._out.append("".join(self._word))
            self._word = None

    def _backslash(self) -> None:
        match = re.compile(r"\\\r?\n").match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        else:
            self._add(self._text[self._at + 1 : self._at + 2], self._at + 2)

    def _closing(self, start: int) -> int:
        end = self._text.find("'", start)
        if end < 0:
            raise ValueError("a quote with ' is not closed")
        return end

    def _quoted(self, at: int) -> None:
        out: list[str] = []
        while at < len(self._text):
            match = _IN_QUOTES.match(self._text, at)
            char, following = self._text[at], self._text[at + 1 : at + 2]
            if match is not None:
                out.append(match[0])
                at = match.end()
            elif char == '"':
                self._add("".join(out), at + 1)
                return
            elif char == "\\" and following and following in '"\\$`\n':
                out.append(following.strip("\n"))
                at += 2
            else:
                self._refuse_variables(at)
                out.append(char)
                at += 1
        raise ValueError('a quote with " is not closed')

    def _ansi(self) -> None:
        match = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.S).match(self._text, self._at)
        if match is None:
            raise ValueError("a quote with $' is not closed")
        self._add(_unescaped(match[1]), match.end())

    def _refuse_variables(self, at: int) -> None:
        match = _VARIABLE.match(self._text, at)
        if match is not None:
            what = match[0] if match[0] not in ("`", "$(") else f"{match[0]}...{')' if match[0] == '$(' else '`'}"
            raise ValueError(f"the shell's {what} cannot be expanded: write its value instead")


def _unescaped(text: str) -> str:
    """Read the text between `$'` and `'`. Several byte escapes may form one character."""
    # Browsers write a character above U+FFFF as a surrogate pair, as JavaScript does.
    text = _PAIR.sub(lambda pair: chr(0x10000 + ((int(pair[1], 16) & 0x3FF) << 10) + (int(pair[2], 16) & 0x3FF)), text)
    out, at = bytearray(), 0  # to which can be added in linear time
    for match in _ANSI.finditer(text):
        out += text[at : match.start()].encode("utf-8", "surrogateescape")
        out += _escape(match[0][1:])
        at = match.end()
    out += text[at:].encode("utf-8", "surrogateescape")
    if b"\0" in out:
        raise ValueError("an argument cannot contain a NUL, which $'...' has here")
    return out.decode("utf-8", "surrogateescape")


def _escape(escape: str) -> bytes:
    kind = escape[0]
    if kind in "uU" and len(escape) > 1:
        code = int(escape[1:], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"\\{escape} is not a character")
        return chr(code).encode()
    if kind == "x" and len(escape) > 1:
        return bytes([int(escape[1:], 16)])
    if kind in "01234567":
        return bytes([int(escape, 8) & 0xFF])
    if kind == "c" and len(escape) > 1:
        return b"\x7f" if escape[1] == "?" else bytes([ord(escape[1]) & 0x1F])  # Ctrl and that key
    # A backslash before any other character stays.
    return _ANSI_LETTERS.get(kind) or f"\\{escape}".encode("utf-8", "surrogateescape")


def _cmd_words(text: str) -> list[str]:
    """Return the words of a cmd command: remove the carets, then split as Microsoft's C library does."""
    return _windows_arguments(_without_carets(text))


def _without_carets(text: str) -> str:
    out: list[str] = []
    at, in_quotes = 0, False
    line_break = re.compile(r"\^\r?\n(\r?\n)?")
    while at < len(text):
        char = text[at]
        match = line_break.match(text, at)
        if match is not None:  # the line continues; an empty line after it is a line break in the text
            out.append("\n" if match[1] else "")
            at = match.end()
        elif char == "^" and not in_quotes:
            out.append(text[at + 1 : at + 2])
            at += 2
        else:
            in_quotes ^= char == '"'
            out.append(char)
            at += 1
    return "".join(out)


def _windows_arguments(line: str) -> list[str]:
    out: list[str] = []
    word: list[str] | None = None
    in_quotes, at = False, 0
    token = re.compile(r'(\\*)"|\\+|[ \t\r\n]+|[^ \t\r\n"\\]+')
    while at < len(line):
        match = token.match(line, at)
        assert match is not None  # an argument begins
        text, at = match[0], match.end()
        if text[0] in " \t\r\n" and not in_quotes:
            if word is not None:
                out.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        if not text.endswith('"'):
            word.append(text)
            continue
        word.append("\\" * (len(match[1]) // 2))
        if len(match[1]) % 2:
            word.append('"')
        elif in_quotes and line.startswith('"', at):  # two quotes in quotes are one quote
            word.append('"')
            at += 1
        else:
            in_quotes = not in_quotes
    if in_quotes:
        raise ValueError('a quote with " is not closed')
    return out if word is None else [*out, "".join(word)]
