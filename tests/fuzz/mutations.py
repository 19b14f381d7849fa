"""Samples made wrong in the ways that break parsers; all of it follows from a seed."""

import random
from collections.abc import Callable, Sequence

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_MOST_BYTES = 1 << 18
_WORDS = (
    b"\0", b"\n", b"\r\n", b"\t", b" ", b",", b'"', b"=", b"-", b"{", b"}", b"[[", b"\xff\xfe",
    b"\xc3", b"\xed\xa0\x80", b"\\ud800", b"1e999", b"NaN", b"-1", b"65536", b"4294967296", b"::",
    b"255.255.255.256", b"9" * 400, b"2026-02-30T25:61:61Z", b"#fields\t", b"#separator \\x09\n",
)  # fmt: skip


def mutated(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """One of the samples with one to eight changes, at most 256 kB."""
    made = bytearray(chance.choice(samples))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        chance.choice(_CHANGES)(chance, made, samples)
    return bytes(made[:_MOST_BYTES])


def _flip(chance: random.Random, made: bytearray, _: Sequence[bytes]) -> None:
    if made:
        made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)


def _number(chance: random.Random, made: bytearray, _: Sequence[bytes]) -> None:
    """A length, a count or an offset that lies."""
    size = chance.choice((1, 2, 4))
    if len(made) >= size:
        at = chance.randrange(len(made) - size + 1)
        value = chance.choice(_EDGES) & (1 << 8 * size) - 1
        made[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))


def _word(chance: random.Random, made: bytearray, _: Sequence[bytes]) -> None:
    at = chance.randrange(len(made) + 1)
    made[at : at + chance.choice((0, 1, 3))] = chance.choice(_WORDS)


def _cut(chance: random.Random, made: bytearray, _: Sequence[bytes]) -> None:
    start = chance.randrange(len(made) + 1)
    end = len(made) if chance.random() < 0.5 else chance.randrange(start, len(made) + 1)
    del made[start:end]


def _double(chance: random.Random, made: bytearray, _: Sequence[bytes]) -> None:
    start = chance.randrange(len(made) + 1)
    piece = made[start : start + chance.choice((1, 4, 16, 256))]
    made[start:start] = piece * chance.choice((1, 2, 50))


def _splice(chance: random.Random, made: bytearray, samples: Sequence[bytes]) -> None:
    other = chance.choice(samples)
    made[chance.randrange(len(made) + 1) :] = other[chance.randrange(len(other) + 1) :]


_CHANGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip, _flip, _number, _number, _word, _cut, _double, _splice,
)  # fmt: skip
