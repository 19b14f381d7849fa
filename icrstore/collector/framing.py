"""Messages of syslog out of a stream: counted octets, or lines (RFC 6587)."""

LONGEST_MESSAGE_BYTES = 1 << 16
_LONGEST_COUNT = 6


class Framing:
    """Cuts a stream into messages: counted octets, or lines (RFC 6587, 3.4.1 and 3.4.2).

    Each message tells by its first character which it is: a count begins with a digit, a message
    with ``<`` or a text that is no count.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        self.dropped = 0

    def feed(self, content: bytes) -> list[bytes]:
        self._rest += content
        made: list[bytes] = []
        while (message := self._next()) is not None:
            if message:
                made.append(message)
        return made

    def end(self) -> list[bytes]:
        """What is left when the sender closes: a line may end so, a count may not."""
        is_cut = self._skipping or self._count() is not None
        rest, self._rest = self._rest, b""
        if is_cut:
            self.dropped += 1
            return []
        return [rest] if rest else []

    def _next(self) -> bytes | None:
        counted = self._count()
        if counted is not None:
            size, start = counted
            if size > LONGEST_MESSAGE_BYTES:
                return self._line()
            if len(self._rest) < start + size:
                return None
            message = self._rest[start : start + size]
            self._rest = self._rest[start + size :]
            return message.rstrip(b"\r\n\0")
        return self._line()

    def _count(self) -> tuple[int, int] | None:
        digits, space, _ = self._rest[: _LONGEST_COUNT + 1].partition(b" ")
        if not space or not digits.isdigit() or digits.startswith(b"0"):
            return None
        return int(digits), len(digits) + 1

    def _line(self) -> bytes | None:
        line, newline, rest = self._rest.partition(b"\n")
        if not newline:
            if len(self._rest) > LONGEST_MESSAGE_BYTES:
                self._rest, self._skipping = b"", True
            return None
        self._rest = rest
        if self._skipping or len(line) > LONGEST_MESSAGE_BYTES:
            self._skipping = False
            self.dropped += 1
            return b""
        return line.rstrip(b"\r\0")
