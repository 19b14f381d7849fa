"""Bytes in, whole lines out, in bounded memory; gzip (RFC 1952) is known by its first bytes."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from .tally import Tally

BLOCK_BYTES = 1 << 22
# For readers that need little memory beside a block, and some time whatever its size.
LARGE_BLOCK_BYTES = 1 << 23
LONGEST_LINE_BYTES = 1 << 16
_CACHED_BYTES = 1 << 16

_GZIP = b"\x1f\x8b"


class Source(Protocol):
    """Anything bytes can be read from: a file, a pipe, a socket's file."""

    def read(self, size: int, /) -> bytes: ...


class Input(io.RawIOBase):
    """A source whose first bytes can be looked at before it is read; it never seeks.

    ``is_whole``: it is read from its beginning, and its first bytes may say how it is packed. Those
    of a part of an input are anybody's.
    """

    def __init__(self, source: Source, tally: Tally, *, is_whole: bool = False) -> None:
        self._read = getattr(source, "read1", source.read)
        self._tally = tally
        self.is_whole = is_whole
        self.head = b""
        self.at_end = False

    def readable(self) -> bool:
        """Arrow asks before it reads."""
        return True

    def look_further(self) -> bool:
        """Add what comes next to `head`; False at the end, or when there is enough to judge by."""
        if len(self.head) >= LONGEST_LINE_BYTES:
            return False
        more = self._fetch(LARGE_BLOCK_BYTES)
        self.head += more
        return bool(more)

    def skip(self, size: int) -> None:
        """Step over bytes already looked at."""
        self.head = self.head[size:]

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        parts, wanted = [], size if size >= 0 else sys.maxsize
        while wanted and (part := self._next(min(wanted, BLOCK_BYTES))):
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """As it comes, for `io.BufferedReader`; 0 at the end."""
        part = self._next(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def chunks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """What is left, as it comes: a pipe that has little to say is not waited for."""
        while chunk := self._next(size):
            yield chunk

    def _next(self, size: int) -> bytes:
        if not self.head:
            return self._fetch(size)
        part, self.head = self.head[:size], self.head[size:]
        return part

    def _fetch(self, size: int) -> bytes:
        try:
            part = self._read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            # Half a gzip member, or a damaged one: what came before it stands.
            self._tally.cut_off = True
            part = b""
        self.at_end = not part
        return part


def opened(source: Source, tally: Tally) -> Input:
    """The source as an Input, through gzip if it begins like one."""
    plain = Input(source, tally, is_whole=True)
    while len(plain.head) < len(_GZIP) and plain.look_further():
        pass
    if not plain.head.startswith(_GZIP):
        return plain
    return Input(gzip.GzipFile(fileobj=plain, mode="rb"), tally, is_whole=True)


def line_blocks(source: Input, tally: Tally, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time; only the last block may lack its newline.

    A line longer than 64 kB is counted and passed over, without being held. `tally.line` is the
    number of the first line of what was yielded. Raises `TooManyLines`.
    """
    rest, in_long_line = b"", False
    tally.line = 1
    for chunk in source.chunks(size):
        if in_long_line:
            _, newline, chunk = chunk.partition(b"\n")
            in_long_line = not newline
            tally.line += len(newline)
        end = chunk.rfind(b"\n") + 1
        if end:
            whole = b"".join((rest, memoryview(chunk)[:end]))
            rest = b""
            yield from _without_long_lines(whole, tally)
        rest += chunk[end:]
        if len(rest) > LONGEST_LINE_BYTES:
            tally.drop("line-too-long", at=0)
            rest, in_long_line = b"", True
    if in_long_line:
        tally.cut_off = True
    if rest:
        yield rest


def count_objects(block: bytes) -> tuple[int, int]:
    """How many newlines there are, and how many of them have a brace after them."""
    octets, newlines, braces = np.frombuffer(block, np.uint8), 0, 0
    for start in range(0, len(octets), _CACHED_BYTES):
        # One more than a piece: what stands after its last newline.
        part = octets[start : start + _CACHED_BYTES + 1]
        ends = part[:_CACHED_BYTES] == ord("\n")
        newlines += int(np.count_nonzero(ends))
        braces += int(np.count_nonzero(ends[: len(part) - 1] & (part[1:] == ord("{"))))
    return newlines, braces


def count_lines(block: bytes) -> int:
    """How many newlines there are; a third of the time that `bytes.count` takes for short lines, as
    long as what lies between is not fetched anew from the system each time."""
    octets = np.frombuffer(block, np.uint8)
    return sum(
        int(np.count_nonzero(octets[start : start + _CACHED_BYTES] == ord("\n")))
        for start in range(0, len(octets), _CACHED_BYTES)
    )


def _has_long_line(block: bytes) -> bool:
    """From newline to newline, in the longest steps that may be."""
    start = 0
    while start < len(block):
        newline = block.rfind(b"\n", start, start + LONGEST_LINE_BYTES + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _without_long_lines(block: bytes, tally: Tally) -> Iterator[bytes]:
    """The runs of lines between those that are too long. Raises `TooManyLines` before any of it."""
    count = count_lines(block)
    tally.allow(count)
    if not _has_long_line(block):
        yield block
        tally.line += count
        return
    for is_long, lines in groupby(
        block[:-1].split(b"\n"), lambda line: len(line) > LONGEST_LINE_BYTES
    ):
        run = list(lines)
        if is_long:
            tally.drop("line-too-long", len(run), at=0)
        else:
            yield b"".join(line + b"\n" for line in run)
        tally.line += len(run)
