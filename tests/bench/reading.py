"""Line four: files of text read, cut, spooled and pushed until the store has accepted them, beside
the sealing of the same records in the same run; and the collector's memory as its input grows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.bench.generate import SHAPES, records
from tests.bench.inputs import WRITERS, written
from tests.bench.measure import Cost, Spread
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result
from tests.bench.running import Bench, Size
from tests.bench.store import Collected, Store

# By shape D: 1,000 records a segment, which is what sealers do best.
SHAPE = "D"


@dataclass(frozen=True)
class Load:
    """So many records in each round, and more for the peak of memory over inputs that grow."""

    formats: tuple[str, ...]
    records: int
    rounds: int
    growing: tuple[int, ...]


LOADS: dict[Size, Load] = {
    "full": Load((*WRITERS,), 500_000, 3, (2_000_000,)),
    "small": Load((*WRITERS,), 200_000, 3, (500_000,)),
    "tiny": Load(("ndjson", "zeek"), 20_000, 1, ()),
}


def measure(bench: Bench, size: Size) -> list[Outcome]:
    load, store, folder, until = LOADS[size], bench.store, bench.folder, bench.until
    count, rounds = load.records, load.rounds
    made: list[Outcome] = []
    shape = SHAPES[SHAPE].scaled(count / 1_000_000)
    table = records(shape, count, until)
    paths = {name: written(name, table, folder) for name in load.formats}
    done: dict[str, list[Collected]] = {name: [] for name in load.formats}
    for number in range(rounds):
        for name, path in paths.items():
            done[name].append(store.collect(path, count))
        tell(f"collector: round {number + 1} of {rounds}")
    for name in load.formats:
        # Zeek knows no accounts, and one account's records are sealed faster than anybody's are.
        made += _results(name, count, done[name], [one.seal for one in done["ndjson"]])
        paths[name].unlink()
    for name in load.formats:
        peaks = [one.peak_bytes for one in done[name]]
        peaks += _peaks(store, folder, name, load.growing, until)
        # Whichever input it was: the greatest counts.
        spread = Spread(max(peaks) / 1e6, min(peaks) / 1e6, max(peaks) / 1e6)
        made.append(Result(f"{name}.memory", "the collector's peak", "MB", spread))
    return made


def _results(
    name: str, count: int, rounds: Sequence[Collected], sealed: Sequence[Cost]
) -> Iterator[Result]:
    for kind in ("cpu", "wall"):
        ratios = [
            getattr(seal, kind) / getattr(one.collect, kind)
            for one, seal in zip(rounds, sealed, strict=True)
        ]
        yield Result.of_bar(f"{name}.of-sealing.{kind}", ratios)
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
        tell(f"{name}: {count:,} records, {peak / 1e6:.0f} MB")
        yield peak
