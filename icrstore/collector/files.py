"""One file that is followed: which it is, how far it was read, and its next whole lines.

A file is told from another by device, inode and two *marks*: keyed hashes of its first bytes and of
those before the place until which it was read. Inodes are given again, names are exchanged, and a
copy or a compressed one holds the same bytes: the marks say whether reading goes on there.
"""

import gzip
import hmac
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

CHUNK_BYTES = 1 << 20
MARK_BYTES = 1024
_GZIP = b"\x1f\x8b"

# A record of RADIUS accounting is a paragraph.
_ENDINGS = {"radius": b"\n\n"}

Key = tuple[int, int]


class NotWhole(Exception):
    """A compressed file ends in the middle: somebody still writes it."""


class Content:
    """A file's plain bytes from any place; ones of gzip are read through from the start."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file: BinaryIO = path.open("rb", buffering=0)
        told = os.fstat(self._file.fileno())
        self.key: Key = (told.st_dev, told.st_ino)
        self.is_gzip = os.pread(self._file.fileno(), 2, 0) == _GZIP
        self._plain = _Unpacked(self._file)

    def close(self) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only at the end. Raises `NotWhole`, OSError."""
        if self.is_gzip:
            return self._plain.read(offset, size)
        return os.pread(self._file.fileno(), size, offset)

    def head(self, secret: bytes, offset: int) -> str:
        """The mark of the first bytes, of as many of them as were read."""
        return _mark(secret, b"head", self.read(0, min(MARK_BYTES, offset)))

    def tail(self, secret: bytes, offset: int) -> str:
        """The mark of the bytes before the place."""
        start = max(0, offset - MARK_BYTES)
        return _mark(secret, b"tail", self.read(start, offset - start))


def _mark(secret: bytes, which: bytes, content: bytes) -> str:
    return hmac.digest(secret, which + content, "sha256").hex()


class _Unpacked:
    """A gzip file's plain bytes: what was read last is at hand, so that it is read through once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._plain: gzip.GzipFile | None = None
        self._start, self._last, self._head = 0, b"", b""

    def read(self, offset: int, size: int) -> bytes:
        if offset + size <= len(self._head):
            return self._head[offset : offset + size]
        try:
            return self._read(offset, size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self._plain = None
            raise NotWhole from None

    def _read(self, offset: int, size: int) -> bytes:
        if self._plain is None or offset < self._start:
            self._file.seek(0)
            self._plain = gzip.GzipFile(fileobj=self._file, mode="rb")
            self._start, self._last = 0, self._plain.read(CHUNK_BYTES)
            self._head = self._last[:MARK_BYTES]
        while offset > self._start + len(self._last):
            self._start += len(self._last)
            self._last = self._plain.read(CHUNK_BYTES)
            if not self._last:
                return b""
        kept = self._last[offset - self._start :]
        if len(kept) < size:
            kept += self._plain.read(size - len(kept))
            self._start, self._last = offset, kept
        return kept[:size]


@dataclass(frozen=True)
class Place:
    """How far a file was read, as the spool remembers it.

    ``header``: where the lines begin and end that say what the columns are. ``is_over``: nothing
    more will come of it.
    """

    path: str
    key: Key
    offset: int = 0
    head: str = ""
    tail: str = ""
    header: tuple[int, int] = (0, 0)
    is_over: bool = False

    @classmethod
    def read(cls, told: dict[str, Any]) -> "Place":
        return cls(
            told["path"], (told["key"][0], told["key"][1]), told["offset"], told["head"],
            told["tail"], (told["header"][0], told["header"][1]), told["is_over"],
        )  # fmt: skip

    def to_fields(self) -> dict[str, Any]:
        return {
            "path": self.path, "key": self.key, "offset": self.offset, "head": self.head,
            "tail": self.tail, "header": self.header, "is_over": self.is_over,
        }  # fmt: skip

    @property
    def has_rows(self) -> bool:
        """Whether more than a header was read: files of one kind begin alike."""
        return self.header[0] > 0 or self.offset > self.header[1]

    def begins(self, content: Content, secret: bytes) -> bool:
        """Whether the file begins as the one that was read. Raises `NotWhole`, OSError."""
        return hmac.compare_digest(content.head(secret, self.offset), self.head)

    def is_in(self, content: Content, secret: bytes) -> bool:
        """Whether the file has, up to this place, what was read. Raises `NotWhole`, OSError."""
        if not self.offset:
            return True
        if not content.is_gzip and content.size < self.offset:
            return False
        return self.begins(content, secret) and hmac.compare_digest(
            content.tail(secret, self.offset), self.tail
        )


class Follow:
    """A place in an open file. What `lines` gave counts as read once `place` is kept."""

    def __init__(self, name: str, place: Place, content: Content | None, secret: bytes) -> None:
        self.name, self.place, self.content = name, place, content
        self._secret = secret
        self.is_dirty = True
        # When its name was last there, and how large and new it was then.
        self.gone_since: float | None = None
        self.seen: tuple[int, int] | None = None
        self.problem: str | None = None

    @property
    def is_living(self) -> bool:
        return self.gone_since is None

    def close(self) -> None:
        if self.content:
            self.content.close()
            self.content = None

    def lines(self, header_of: str, *, is_last: bool) -> tuple[bytes, bytes] | None:
        """(header, whole lines) that follow, and step behind them; None if there are none.

        ``is_last``: nothing will be added, so that what has no newline is read as it is. Raises
        `NotWhole`, OSError.
        """
        content, place = self.content, self.place
        if content is None or place.is_over:
            return None
        data = content.read(place.offset, CHUNK_BYTES)
        # Nothing is added to what was compressed.
        is_last |= content.is_gzip
        end = _whole_bytes(header_of, data)
        if not end and len(data) == CHUNK_BYTES:
            end = self._end_of_long_line(is_last=is_last)
            data = data[:CHUNK_BYTES] + b"\n" if end else b""
        elif is_last and len(data) < CHUNK_BYTES and data:
            end = len(data)
        if not end:
            if content.is_gzip:
                self.end()
            return None
        found = header_span(header_of, data[:end], place)
        header = content.read(place.header[0], place.header[1] - place.header[0])
        offset = place.offset + end
        head, tail = content.head(self._secret, offset), content.tail(self._secret, offset)
        self._step(replace(place, offset=offset, header=found, head=head, tail=tail))
        return header, data[:end]

    def _end_of_long_line(self, *, is_last: bool) -> int:
        """How far a line or object goes that is longer than a chunk; 0 while it has not ended."""
        assert self.content is not None
        at = CHUNK_BYTES
        while more := self.content.read(self.place.offset + at, CHUNK_BYTES):
            if (newline := more.find(b"\n")) >= 0:
                return at + newline + 1
            at += len(more)
        return at if is_last else 0

    def end(self) -> None:
        """Nothing more will come of it."""
        self._step(replace(self.place, is_over=True))
        self.close()

    def wake(self) -> None:
        """What was over and has grown is read on; what has not stays closed."""
        content, place = self.content, self.place
        if content and place.is_over:
            if not content.is_gzip and content.size > place.offset:
                self._step(replace(place, is_over=False))
            else:
                self.close()

    def restore(self, place: Place) -> None:
        """What was given was not understood: it is still to be read."""
        self.place = place

    def move(self, path: str) -> None:
        if path != self.place.path:
            self._step(replace(self.place, path=path))

    def _step(self, place: Place) -> None:
        self.place, self.is_dirty = place, True


def _whole_bytes(format: str, data: bytes) -> int:
    """How many of them are whole lines, and what is spread over lines is whole, too."""
    ending = _ENDINGS.get(format, b"\n")
    end = data.rfind(ending) + len(ending) if ending in data else 0
    if format != "ndjson":
        return end
    start = max(data.rfind(b"\n{", 0, end), data.rfind(b"\n[{", 0, end)) + 1
    return end if _is_closed(data[start:end]) else start


def _is_closed(lines: bytes) -> bool:
    """Whether the object is whole that begins with these lines, if one does."""
    first, _, rest = lines.partition(b"\n")
    begins = first.startswith((b"{", b"[{"))
    return not begins or first.rstrip(b"],\r ").endswith(b"}") or b"\n}" in b"\n" + rest


def header_span(format: str, data: bytes, place: Place) -> tuple[int, int]:
    """Where in the file the header is that holds behind these lines, which follow the place."""
    if format.endswith("csv") and not place.offset:
        return 0, data.find(b"\n") + 1
    if format != "zeek":
        return place.header
    # A file may have several, as where Zeek went on in it: the last one holds.
    start = data.rfind(b"\n#separator") + 1
    if data.startswith(b"#separator", start):
        return place.offset + start, place.offset + _comments_end(data, start)
    # One that nothing followed yet may go on.
    goes_on = place.offset == place.header[1]
    return (place.header[0], place.offset + _comments_end(data, 0)) if goes_on else place.header


def _comments_end(data: bytes, start: int) -> int:
    """Where the comments end that begin there."""
    end = start
    while data.startswith(b"#", end):
        end = data.find(b"\n", end) + 1 or len(data)
    return end
