"""Addresses by number: whichever rows are looked up, each number stands for its row's address."""

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from icrstore.seal.dictionaries import addresses_of, dictionary

BYTES = pa.binary(16)


def column(values: Sequence[bytes | None], rng: random.Random) -> Any:
    """As a sender may write it: under a null lies anything, say the address of the row before."""
    lying = [value or (values[at - 1] or rng.randbytes(16)) for at, value in enumerate(values)]
    bits = bytearray(-(-len(values) // 8))
    for at, value in enumerate(values):
        bits[at >> 3] |= (value is not None) << (at & 7)
    buffers: list[pa.Buffer | None] = [pa.py_buffer(bytes(bits)), pa.py_buffer(b"".join(lying))]
    return pa.FixedSizeBinaryArray.from_buffers(BYTES, len(values), buffers)


@pytest.mark.parametrize("absent", [0, 0.1, 0.6, 1])
@pytest.mark.parametrize("moved", [0, 0.02, 0.9])
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_every_row_has_the_number_of_its_address(absent: float, moved: float, cut: int) -> None:
    rng = random.Random(f"{absent} {moved}")
    pool = [rng.randbytes(8) + bytes([n]) * 8 for n in range(40)]
    pool += [one[8:] + one[:8] for one in pool[:9]] + [one[:8] + bytes(8) for one in pool[:9]]
    names = [rng.choice("abcdefgh") for _ in range(900)]
    home = {name: rng.choice(pool) for name in "abcdefgh"}

    def some(absent: float) -> list[bytes | None]:
        return [
            None if rng.random() < absent else rng.choice(pool) if rng.random() < moved else home[n]
            for n in names
        ]

    given: list[list[bytes | None]] = [some(0), [rng.choice(pool) for _ in names], some(absent)]
    source, destination, public = (column(values, rng).slice(cut) for values in given)
    _, account = dictionary(pa.chunked_array([pa.array(names[cut:])]))
    values, *numbers = addresses_of(source, destination, public, account)

    listed = values.to_pylist()
    told = [value for values in given for value in values[cut:] if value is not None]
    assert listed == list(dict.fromkeys(told))  # by first appearance, and each once
    for wanted, found in zip(given, numbers, strict=True):
        pairs = zip(wanted[cut:], found.tolist(), strict=True)
        assert all(listed[number] == value for value, number in pairs if value is not None)
