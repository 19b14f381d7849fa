"""ASCII eight octets at a time: what stands before a quote, and numbers, of many rows at once.

A row's octets are whole words, its first octet the lowest.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Octets = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int32]

WORD = 8
_QUOTE, _LAST_CONTROL = ord('"'), 31
_CACHED_BYTES = 1 << 17
_ONE = np.uint64(1)
_TOP_BITS = np.uint64(0x8080808080808080)
_QUOTES = np.uint64(0x2222222222222222)
_DIGITS = np.uint64(0x3030303030303030)
# What lifts an octet of ASCII that is above nine, or above zero, into its top bit.
_ABOVE_NINE = np.uint64(0x7676767676767676)
_ABOVE_ZERO = np.uint64(0x7F7F7F7F7F7F7F7F)


def unusual(octets: Octets) -> Places | None:
    """Where controls are, newlines too, and what is not ASCII; None if two are in one word."""
    words, ones = [], []
    for start in range(0, len(octets), _CACHED_BYTES):
        part = octets[start : start + _CACHED_BYTES]
        if len(part) % WORD:
            part = np.pad(part, (0, -len(part) % WORD), constant_values=ord(" "))
        # As signed numbers, what is not ASCII is below the controls.
        is_unusual = part.view(np.int8) <= _LAST_CONTROL
        of_words = is_unusual.view(np.uint64)
        found = np.flatnonzero(of_words != 0)
        words.append(found + start // WORD)
        ones.append(of_words[found])
    one, below = np.concatenate(ones), np.concatenate(ones) - _ONE
    if (one & below).any():
        return None
    places: Places = np.concatenate(words) * WORD + np.bitwise_count(below) // WORD
    return places


def before_quote(words: Words) -> tuple[Words, Lengths] | None:
    """Of each row the octets before its first quote, with zeros behind them, and how many they are;
    None if one has no quote. There are no zeros among them."""
    ends = words ^ _QUOTES
    ends += _ABOVE_ZERO
    np.invert(ends, out=ends)
    ends &= _TOP_BITS
    # All bits where there is none.
    heads = -ends
    heads &= ends
    heads >>= np.uint64(7)
    heads -= _ONE
    lengths, is_open = np.zeros(len(words), np.int32), np.ones(len(words), np.bool_)
    for head, end in zip(heads.T, ends.T, strict=True):
        head *= is_open
        lengths += np.bitwise_count(head) >> 3
        is_open &= end == 0
    heads &= words
    return None if is_open.any() else (heads, lengths)


def cut_before_quote(words: Words) -> tuple[Octets, Lengths] | None:
    """The same octets, one row's after the other's."""
    if (cut := _cut_alike(words)) is not None:
        return cut, np.full(len(words), len(cut) // len(words), np.int32)
    if (found := before_quote(words)) is None:
        return None
    octets = found[0].view(np.uint8)
    return octets[octets != 0], found[1]


def _cut_alike(words: Words) -> Octets | None:
    """The same if all rows have as many: times and accounts often have, and take a tenth of the
    time."""
    octets = words.view(np.uint8)
    size = bytes(octets[:1]).find(b'"')
    if size < 1 or (octets[:, size] != _QUOTE).any():
        return None
    items = octets.view([("text", f"V{size}"), ("rest", f"V{octets.shape[1] - size}")])
    cut: Octets = items["text"].copy().view(np.uint8).reshape(-1)
    return None if (cut == _QUOTE).any() else cut


def whole_numbers(words: Words) -> tuple[Words, npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The number that each word begins with, how many digits it has (8 if nothing follows them),
    and whether it begins with a zero that it need not."""
    digits = words ^ _DIGITS
    others = digits + _ABOVE_NINE
    others &= _TOP_BITS
    lengths: Any = np.bitwise_count((others & -others) - _ONE) >> 3
    is_zero_led = (digits & np.uint64(0xFF) == 0) & (lengths > 1)
    digits <<= (64 - 8 * lengths).astype(np.uint64)
    return _value(digits), lengths, is_zero_led


def _value(digits: Words) -> Words:
    """Of up to eight decimal digits each, the last one in the highest octet, zeros before them."""
    pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
