"""Two sealers on two cores beside one, on the same backlog, by the clock.

They share what waits by claims (`icrstore.vault.trying`), so it must be more than one claim takes.
"""

from collections.abc import Iterator
from datetime import datetime

from tests.bench.beside import each
from tests.bench.generate import SHAPES, records
from tests.bench.progress import tell
from tests.bench.results import Result
from tests.bench.store import Store, cut_records

SHAPE, RECORDS, ROUNDS = "D", 8_000_000, 3


def measure(store: Store, until: datetime) -> Iterator[Result]:
    shape = SHAPES[SHAPE].scaled(RECORDS / 1_000_000)
    cuts = cut_records(records(shape, RECORDS, until))
    one, two = [], []
    for number in range(ROUNDS):
        tell(f"two sealers beside one: round {number + 1} of {ROUNDS}")
        one.append(store.seal_together(cuts, 1))
        two.append(store.seal_together(cuts, 2))
    ratios = [alone / both for alone, both in zip(one, two, strict=True)]
    yield each(f"{SHAPE}.sealers.two", "two sealers beside one, by wall", "x", ratios)
    for name, seconds in (("one", one), ("two", two)):
        rates = [RECORDS / each_ / 1000 for each_ in seconds]
        yield each(f"{SHAPE}.sealers.{name}.rate", f"sealed by {name}", "1,000/s", rates)
