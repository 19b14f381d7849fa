"""Part "text": the same records as NDJSON, in by signed HTTP and sealed, beside peers.

Ours, which the bars judge, is the way that deploy/COLLECTING.md recommends to who cannot seal: the
sender puts its NDJSON into a zstd frame and signs that, web seals it, the sealer commits both maps;
what the sender does counts. The same not compressed, signed by somebody before, stands beside, and
``icr-collect``, which reads the file, seals before it sends, and counts as well. Django + Fernet
gets fewer records, whose cost is scaled to as many as ours; the bar is about the one that checks
its records as ours does, and the one that takes whatever a line says stands beside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.beside import costs, each, speeds
from tests.bench.generate import SHAPES, records
from tests.bench.measure import Cost
from tests.bench.peers.entries import Entry, Field, Sources, check_ours
from tests.bench.peers.job import ABSENT, Loaded
from tests.bench.progress import tell
from tests.bench.pushing import lines_of
from tests.bench.results import Outcome, Unmeasured
from tests.bench.running import Bench, Size

# By shape D: 1,000 records a segment.
SHAPE = "D"
_CLICKHOUSE = Entry("clickhouse", "ClickHouse, lz4", "clickhouse", "ndjson", "LZ4", of_bench=True)
_FERNET = Entry("fernet", "Django + Fernet", "fernet", "ndjson", "checked")
_NO_CHECK = Entry("fernet-unchecked", "Django + Fernet, no check", "fernet", "ndjson", "unchecked")
DJANGO = (_FERNET, _NO_CHECK)
ENTRIES = (_CLICKHOUSE, *DJANGO)


@dataclass(frozen=True)
class Load:
    """So many records in each round, and so many of them for Django."""

    records: int
    few: int
    rounds: int


LOADS: dict[Size, Load] = {
    "full": Load(1_000_000, 20_000, 5),
    "small": Load(200_000, 3_000, 3),
    "tiny": Load(20_000, 500, 1),
}


@dataclass
class Rounds:
    """All rounds: ours as cost, theirs as `Loaded`."""

    ours: list[Cost]
    uncompressed: list[Cost]
    collector: list[Cost]
    clickhouse: list[Loaded]
    django: dict[Entry, list[Loaded]]


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Raises `AnswersDiffer`."""
    load = LOADS[size]
    with TemporaryDirectory(dir=bench.folder) as folder:
        return list(_results(load, _rounds(bench, load, Path(folder))))


def _rounds(bench: Bench, load: Load, folder: Path) -> Rounds:
    table = records(SHAPES[SHAPE].scaled(load.records / 1_000_000), load.records, bench.until)
    all_ = Sources(table, folder / "all")
    field = Field(bench.store, all_)
    few = Field(bench.store, Sources(table.slice(0, load.few), folder / "few"))
    parts = list(lines_of(table))
    made = Rounds([], [], [], [], {entry: [] for entry in DJANGO})
    for number in range(load.rounds):
        tell(f"NDJSON: round {number + 1} of {load.rounds}")
        last = number + 1 == load.rounds
        collected = bench.store.collect(all_.path("ndjson"), load.records)
        made.collector.append(collected.collect + collected.seal)
        made.uncompressed.append(bench.store.load_plain(parts, compressed=False).cost)
        compressed = bench.store.load_plain(parts, compressed=True)
        made.ours.append(compressed.client + compressed.cost)
        if _CLICKHOUSE.is_here:
            made.clickhouse.append(field.load(_CLICKHOUSE, last))
        for entry, loads in made.django.items():
            loads.append(few.load(entry, last))
    check_ours(bench.store, table, bench.until)
    return made


def _results(load: Load, rounds: Rounds) -> Iterator[Outcome]:
    count = load.records
    yield from costs("ndjson.ours", "NDJSON, compressed, signed, to rows", count, rounds.ours)
    about = "signed NDJSON as it is, to rows"
    yield from costs("ndjson.uncompressed", about, count, rounds.uncompressed)
    yield from costs("ndjson.collector", "the same by icr-collect", count, rounds.collector)
    for entry, loads in rounds.django.items():
        yield from _of_django(entry, load, rounds, loads)
    if not _CLICKHOUSE.is_here:
        yield Unmeasured("ndjson.speed.of-clickhouse", ABSENT)
        return
    yield from _beside(_CLICKHOUSE, count, rounds, [one.cost for one in rounds.clickhouse])
    peaks = [one.peak_bytes / 1e9 for one in rounds.clickhouse]
    yield each("ndjson.memory.clickhouse", _CLICKHOUSE.about, "GB", peaks)


def _of_django(entry: Entry, load: Load, ours: Rounds, loads: list[Loaded]) -> Iterator[Outcome]:
    scaled = [one.cost.scaled(load.records / load.few) for one in loads]
    yield from _beside(entry, load.records, ours, scaled)
    sizes = [one.disk_bytes / load.few for one in loads]
    yield each(f"ndjson.bytes.{entry.id}", entry.about, "B/record", sizes)
    wal = [one.wal_bytes / load.few for one in loads]
    yield each(f"ndjson.wal.{entry.id}", entry.about, "B/record", wal)


def _beside(entry: Entry, count: int, ours: Rounds, theirs: list[Cost]) -> Iterator[Outcome]:
    yield from speeds(f"ndjson.speed.of-{entry.id}", entry.about, ours.ours, theirs)
    about = f"{entry.about}, ours not compressed"
    id = f"ndjson.uncompressed.speed.of-{entry.id}"
    yield from speeds(id, about, ours.uncompressed, theirs)
    yield from costs(f"ndjson.{entry.id}", entry.about, count, theirs)
