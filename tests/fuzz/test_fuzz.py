"""The short form of `python -m tests.fuzz`, with the same inputs at every run."""

import random

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import targets

INPUTS = 100


@pytest.mark.parametrize("name", targets())
def test_no_bytes_break_a_reader(name: str) -> None:
    target, chance = targets()[name], random.Random(name)
    for n in range(INPUTS):
        content = mutated(chance, target.samples)
        try:
            target.run(content)
        except Exception as error:
            error.add_note(f"input {n} of {name}: {content[:2000]!r}")
            raise
