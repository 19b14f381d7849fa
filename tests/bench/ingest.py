"""Lines one and two: signed Arrow batches to committed rows, and what they take on disk.

Rounds are paired: ours, then DuckDB on the same records, again and again, so that what the machine
does meanwhile meets both. Ratios are of CPU time, which it moves least; wall times stand beside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.bench import peer
from tests.bench.generate import SHAPES, Shape, records
from tests.bench.measure import Cost, Spread
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result, Unmeasured
from tests.bench.running import Bench, Size
from tests.bench.store import Store, Stored, cut_records

ASKED_ACCOUNTS, ASKED_HOURS = 3, 4
FULL_RECORDS = 1_000_000

# Records of each shape, and rounds.
LOADS: dict[Size, tuple[int, int]] = {
    "full": (FULL_RECORDS, 5), "small": (200_000, 3), "tiny": (20_000, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Round:
    ours: Stored
    as_arrived: Cost
    as_arrived_bytes: int
    same_work: Cost
    same_work_bytes: int


class AnswersDiffer(Exception):
    """Ours and DuckDB do not hold the same records."""


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Every shape. Raises `AnswersDiffer`."""
    count, rounds = LOADS[size]
    made: list[Outcome] = []
    for shape in SHAPES.values():
        scaled = shape.scaled(count / FULL_RECORDS)
        done = _rounds(bench.store, bench.folder, scaled, count, rounds, bench.until)
        made += _results(shape.name, count, done)
    return made


def _rounds(
    store: Store, folder: Path, shape: Shape, count: int, rounds: int, until: datetime
) -> list[Round]:
    table = records(shape, count, until)
    cuts = cut_records(table)
    plain, sorted_ = folder / "as-arrived.duckdb", folder / "same-work.duckdb"
    made = []
    for number in range(rounds):
        ours = store.load(cuts)
        made.append(Round(ours, *peer.load(table, plain, peer.AS_ARRIVED),
                          *peer.load(table, sorted_, peer.SAME_WORK)))  # fmt: skip
        tell(f"{shape.name}: round {number + 1} of {rounds}")
    _check_answers(store, sorted_, shape, until)
    return made


def _check_answers(store: Store, path: Path, shape: Shape, until: datetime) -> None:
    """A few accounts, opened through both keepers, have the records that DuckDB has."""
    accounts = [f"account-{n:06d}" for n in range(min(ASKED_ACCOUNTS, shape.accounts))]
    first = until - timedelta(hours=ASKED_HOURS)
    asked = (accounts, first, until)
    if not (held := peer.services(path, *asked)) or store.services(*asked) != held:
        raise AnswersDiffer(shape.name)
    tell(f"{shape.name}: the same {held.total()} records of {len(accounts)} accounts")


def _results(shape: str, count: int, rounds: Sequence[Round]) -> Iterator[Outcome]:
    yield from _ratios(shape, rounds)
    yield from _sizes(shape, count, rounds)
    ours = [one.ours for one in rounds]
    steps = {
        "client": ("the collector compresses, seals, signs", [one.client for one in ours]),
        "accept": ("web takes the batches, until 202", [one.accept for one in ours]),
        "seal": ("a sealer opens, seals, commits", [one.seal for one in ours]),
        "ours": ("signed batch to committed rows", [one.cost for one in ours]),
        "same-work": ("DuckDB, sorted and address table", [one.same_work for one in rounds]),
        "as-arrived": ("DuckDB, as arrived", [one.as_arrived for one in rounds]),
    }
    for name, (what, costs) in steps.items():
        for kind, unit in (("cpu", "cpu-s/M"), ("wall", "s/M")):
            spread = Spread.of([getattr(cost, kind) * 1e6 / count for cost in costs])
            yield Result(f"{shape}.{name}.{kind}", what, unit, spread)


def _ratios(shape: str, rounds: Sequence[Round]) -> Iterator[Outcome]:
    """How many times our cost theirs is, round by round."""
    pairs = {
        "same-work": [(one.same_work, one.ours.cost) for one in rounds],
        "as-arrived": [(one.as_arrived, one.ours.cost) for one in rounds],
    }
    for peer_name, costs in pairs.items():
        what = f"speed beside DuckDB {peer_name.replace('-', ' ')}"
        for kind, suffix in (("cpu", ""), ("wall", ".wall")):
            ratios = [getattr(theirs, kind) / getattr(ours, kind) for theirs, ours in costs]
            id, told = f"{shape}.speed.{peer_name}{suffix}", f"{what}, by {kind}"
            yield Result(id, told, "x", Spread.of(ratios))


def _sizes(shape: str, count: int, rounds: Sequence[Round]) -> Iterator[Outcome]:
    sizes = {
        "": ("both maps with index", [one.ours.disk_bytes for one in rounds]),
        ".same-work": ("DuckDB, both orders", [one.same_work_bytes for one in rounds]),
        ".as-arrived": ("DuckDB, as arrived", [one.as_arrived_bytes for one in rounds]),
    }
    for name, (what, values) in sizes.items():
        spread = Spread.of([value / count for value in values])
        yield Result(f"{shape}.bytes{name}", what, "B/record", spread)
    segments = Spread.of([one.ours.segments for one in rounds])
    yield Result(f"{shape}.segments", "rows of both maps", "rows", segments)
    epochs = Spread.of([one.ours.epochs for one in rounds])
    yield Result(f"{shape}.epochs", "signed epoch statements", "", epochs)
    yield _memory(shape, count, [one.ours.peak_bytes / 1e9 for one in rounds])


def _memory(shape: str, count: int, gigabytes: Sequence[float]) -> Outcome:
    """Fewer records than the bar is about would meet it by being few."""
    if count < FULL_RECORDS:
        return Unmeasured(f"{shape}.memory", "--full")
    return Result.of_bar(f"{shape}.memory", gigabytes)
