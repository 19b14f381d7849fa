"""Line four: files of text read, cut, spooled and pushed until the store has accepted them, beside
the sealing of the same records in the same run; and the collector's memory as its input grows."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from tests.bench.generate import SHAPES, records
from tests.bench.inputs import WRITERS, written
from tests.bench.measure import Cost, Spread
from tests.bench.results import Bar, Result
from tests.bench.store import Collected, Store

# How fast files are read and pushed, beside how fast they are sealed.
OF_SEALING = 0.25
PEAK_MEGABYTES = 300
# By shape D: 1,000 records a segment, which is what sealers do best.
SHAPE = "D"


def measure(
    store: Store, folder: Path, count: int, rounds: int, growing: Sequence[int], until: datetime
) -> list[Result]:
    made: list[Result] = []
    shape = SHAPES[SHAPE].scaled(count / 1_000_000)
    table = records(shape, count, until)
    paths = {name: written(name, table, folder) for name in WRITERS}
    done: dict[str, list[Collected]] = {name: [] for name in WRITERS}
    for number in range(rounds):
        for name, path in paths.items():
            done[name].append(store.collect(path, count))
        _tell(f"collector: round {number + 1} of {rounds}")
    for name in WRITERS:
        # Zeek knows no accounts, and one account's records are sealed faster than anybody's are.
        made += _results(name, count, done[name], [one.seal for one in done["ndjson"]])
        paths[name].unlink()
    for name in WRITERS:
        peaks = [one.peak_bytes for one in done[name]]
        peaks += _peaks(store, folder, name, growing, until)
        spread = Spread.of([peak / 1e6 for peak in peaks])
        bar = Bar("at most", PEAK_MEGABYTES)
        what = f"the collector's peak, {name}"
        # Whichever input it was: the greatest counts.
        spread = Spread(spread.most, spread.least, spread.most)
        made.append(Result(f"{name}.memory", what, "MB", spread, bar))
    return made


def _results(
    name: str, count: int, rounds: Sequence[Collected], sealed: Sequence[Cost]
) -> Iterator[Result]:
    bar = Bar("at least", OF_SEALING)
    for kind, told in (("cpu", "by CPU"), ("wall", "by wall")):
        ratios = [
            getattr(seal, kind) / getattr(one.collect, kind)
            for one, seal in zip(rounds, sealed, strict=True)
        ]
        what = f"{name} read and pushed beside sealed, {told}"
        yield Result(f"{name}.of-sealing.{kind}", what, "x", Spread.of(ratios), bar)
    for step in ("collect", "seal"):
        rates = [count / getattr(one, step).wall / 1e3 for one in rounds]
        yield Result(f"{name}.{step}", f"{name}: {step}", "1,000/s", Spread.of(rates))


def _peaks(
    store: Store, folder: Path, name: str, growing: Sequence[int], until: datetime
) -> Iterator[int]:
    """The collector's peaks over inputs that grow."""
    for count in growing:
        table = records(SHAPES[SHAPE].scaled(count / 1_000_000), count, until)
        path = written(name, table, folder)
        peak = store.collect(path, count).peak_bytes
        path.unlink()
        _tell(f"{name}: {count:,} records, {peak / 1e6:.0f} MB")
        yield peak


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
