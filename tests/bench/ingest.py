"""Part "store": signed Arrow batches to committed rows, what they take on disk, and peers beside.

Rounds are paired: ours, then each peer on the same records, again and again, so that what the
machine does meanwhile meets all. Ratios are of CPU time, which it moves least, the database's
processes included; wall times stand beside.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import sealers
from tests.bench.beside import costs, each, speeds
from tests.bench.generate import SHAPES, Shape, records
from tests.bench.peers.entries import Entry, Field, Sources, check_ours
from tests.bench.peers.job import ABSENT, Loaded
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result, Unmeasured
from tests.bench.running import Bench, Size
from tests.bench.store import Stored, cut_records

FULL_RECORDS = 1_000_000

# Records of each shape, and rounds. Fewer of H and what a table takes once is a tenth of its bytes.
LOADS: dict[Size, tuple[dict[str, int], int]] = {
    "full": (dict.fromkeys("SDH", FULL_RECORDS), 5),
    "small": ({"S": 200_000, "D": 200_000, "H": 400_000}, 3),
    "tiny": ({"D": 20_000}, 1),
}

_DUCK = (
    Entry("as-arrived", "DuckDB as arrived", "duck", "arrow", "as-arrived"),
    Entry("same-work", "DuckDB sorted + address table", "duck", "arrow", "same-work"),
)
_CLICKHOUSE = (
    Entry("clickhouse", "ClickHouse, lz4", "clickhouse", "arrow", "LZ4", of_bench=True),
    Entry("clickhouse-zstd", "ClickHouse, zstd", "clickhouse", "arrow", "ZSTD(1)", of_bench=True),
)
_POSTGRES = Entry("postgres", "PostgreSQL, two indexes, COPY of CSV", "postgres", "csv")
# Plain rows cost the same in any shape, and much. Small has time for what bars are about.
ENTRIES: dict[str, tuple[Entry, ...]] = {
    "S": (*_DUCK, *_CLICKHOUSE), "D": (*_DUCK, *_CLICKHOUSE, _POSTGRES),
    "H": (*_DUCK, *_CLICKHOUSE),
}  # fmt: skip


@dataclass(frozen=True)
class Rounds:
    """All rounds of one shape of so many records: ours, and each peer's by its entry."""

    shape: str
    count: int
    ours: list[Stored]
    theirs: Mapping[Entry, list[Loaded]]


def _entries(shape: str, size: Size) -> list[Entry]:
    unbarred = (_CLICKHOUSE[0], _POSTGRES) if size == "small" else ()
    return [one for one in ENTRIES[shape] if one.is_here and one not in unbarred]


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Raises `AnswersDiffer`."""
    counts, rounds = LOADS[size]
    made: list[Outcome] = []
    for name, count in counts.items():
        scaled = SHAPES[name].scaled(count / FULL_RECORDS)
        # Below a folder of the run's, and gone with its files before the next.
        with TemporaryDirectory(dir=bench.folder) as folder:
            made += _results(
                _rounds(bench, Path(folder), _entries(name, size), scaled, count, rounds)
            )
    if size == "full":
        made += sealers.measure(bench.store, bench.until)
    return made


def _rounds(
    bench: Bench, folder: Path, entries: Sequence[Entry], shape: Shape, count: int, rounds: int
) -> Rounds:
    table = records(shape, count, bench.until)
    cuts = cut_records(table)
    field = Field(bench.store, Sources(table, folder / shape.name))
    made = Rounds(shape.name, count, [], {entry: [] for entry in entries})
    for number in range(rounds):
        tell(f"{shape.name}: round {number + 1} of {rounds}")
        made.ours.append(bench.store.load(cuts))
        for entry in entries:
            made.theirs[entry].append(field.load(entry, check=number + 1 == rounds))
    check_ours(bench.store, table, bench.until)
    return made


def _results(rounds: Rounds) -> Iterator[Outcome]:
    shape, ours = rounds.shape, [one.cost for one in rounds.ours]
    for entry, theirs in rounds.theirs.items():
        costs_of_it = [one.cost for one in theirs]
        yield from speeds(f"{shape}.speed.{entry.id}", entry.about, ours, costs_of_it)
        yield from costs(f"{shape}.{entry.id}", entry.about, rounds.count, costs_of_it)
    yield from _steps(rounds)
    yield from _sizes(rounds)
    yield from _peaks(rounds)


def _steps(rounds: Rounds) -> Iterator[Result]:
    steps = {
        "client": "the collector compresses, seals, signs",
        "accept": "web takes the batches, until 202",
        "seal": "a sealer opens, seals, commits",
        "cost": "signed batch to committed rows",
    }
    for name, about in steps.items():
        id = f"{rounds.shape}.{'ours' if name == 'cost' else name}"
        yield from costs(id, about, rounds.count, [getattr(one, name) for one in rounds.ours])


def _sizes(rounds: Rounds) -> Iterator[Outcome]:
    shape, count = rounds.shape, rounds.count
    ours = [one.disk_bytes / count for one in rounds.ours]
    yield each(f"{shape}.bytes", "both maps with index", "B/record", ours)
    manifests = [one.manifest_bytes / count for one in rounds.ours]
    yield each(f"{shape}.bytes.manifests", "what proves that a row is there", "B/record", manifests)
    wal = [one.wal_bytes / count for one in rounds.ours]
    yield each(f"{shape}.wal", "write-ahead log, from batch to rows", "B/record", wal)
    for entry, theirs in rounds.theirs.items():
        sizes = [one.disk_bytes / count for one in theirs]
        yield each(f"{shape}.bytes.{entry.id}", entry.about, "B/record", sizes)
        if entry is _POSTGRES:
            wal = [one.wal_bytes / count for one in theirs]
            yield each(f"{shape}.wal.{entry.id}", entry.about, "B/record", wal)
    yield from _of_clickhouse(rounds)
    segments = [one.segments for one in rounds.ours]
    yield each(f"{shape}.segments", "rows of both maps", "rows", segments)
    yield each(f"{shape}.epochs", "signed statements", "", [one.epochs for one in rounds.ours])


def _of_clickhouse(rounds: Rounds) -> Iterator[Outcome]:
    id, zstd = f"{rounds.shape}.bytes.of-clickhouse", _CLICKHOUSE[1]
    if not zstd.is_here:
        yield Unmeasured(id, ABSENT)
        return
    pairs = zip(rounds.ours, rounds.theirs[zstd], strict=True)
    ratios = [our.disk_bytes / their.disk_bytes for our, their in pairs]
    yield each(id, "bytes beside ClickHouse, zstd", "x", ratios)


def _peaks(rounds: Rounds) -> Iterator[Outcome]:
    """Fewer records than the bar is about would meet it by being few."""
    id = f"{rounds.shape}.memory"
    if rounds.count < FULL_RECORDS:
        yield Unmeasured(id, "--full")
    else:
        yield Result.of_bar(id, [one.peak_bytes / 1e9 for one in rounds.ours])
    for entry, theirs in rounds.theirs.items():
        if entry is not _POSTGRES:  # whose server's memory is shared with ours
            peaks = [one.peak_bytes / 1e9 for one in theirs]
            yield each(f"{id}.{entry.id}", entry.about, "GB", peaks)
