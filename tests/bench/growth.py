"""The store as it grows to 100 million records: two tenants side by side, month after month.

Each step seals ten days of an earlier month in bulk, for both tenants at once, and then takes a
signed million through door and sealer. After it: what that million cost, three questions about the
same ten days of the first step (which must not get slower), the tables' sizes, what VACUUM has to
do, and a look of the sealer that finds nothing.

``python -m tests.bench.growth --records 300000000 --json FILE`` goes further, up to what the disk
has room for; `tests.bench.report --growth FILE` draws that.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import linear_regression
from typing import Any

from icrstore.warrant.statements import HourRange
from tests.bench import targets
from tests.bench.bulk import KeptEpoch, Plan
from tests.bench.generate import SHAPES, STREAMS, records
from tests.bench.ground import Ground
from tests.bench.measure import Spread
from tests.bench.progress import tell
from tests.bench.results import Curve, Outcome, Result
from tests.bench.running import Bench, Size
from tests.bench.store import Store, cut_records
from tests.site import TENANT

TENANTS = (TENANT, "isp-two")
MONTH, MONTHS, PIECE = timedelta(days=30), 11, timedelta(days=10)
ASKED = {"resolve": 20, "services": 5, "reached": 5}
# A step's segments with its WAL, and what PostgreSQL needs to stop in good order.
LEFT_ON_DISK = 4_000_000_000


@dataclass(frozen=True)
class Load:
    """Records of each step in bulk, and by the door; how many steps; rounds of each question."""

    shape: str
    bulk: int
    door: int
    steps: int
    rounds: int


LOADS: dict[Size, Load] = {
    "full": Load("G", 10_000_000, 1_000_000, 10, 5),
    "small": Load("G", 10_000_000, 1_000_000, 10, 5),
    "tiny": Load("G-tiny", 4_000, 2_000, 1, 1),
}


@dataclass(frozen=True)
class Point:
    """After a step: ``records`` are all that the store holds. By CPU: the rate, and the look."""

    records: int
    ingest_per_second: float
    ingest_wall_seconds: float
    q1_ms: float
    q2_ms: float
    q3_ms: float
    table_bytes: int
    index_bytes: int
    other_bytes: int
    vacuum_seconds: float
    dead_rows: int
    idle_look_ms: float


def measure(bench: Bench, size: Size) -> list[Outcome]:
    points = list(grow(bench.store, LOADS[size], bench.until))
    return [*results(points), *curves(points)]


def grow(ours: Store, load: Load, until: datetime) -> Iterator[Point]:
    """A point after each step."""
    ours.forget()
    growing = _Growing(ours, load, until)
    return (growing.step(number) for number in range(load.steps))


def results(points: Sequence[Point]) -> list[Outcome]:
    """The end beside the beginning, of each measure that must stay as it was: by the straight line
    through all steps, since one step alone says what else the machine did."""
    first, end = points[0], points[-1]

    def ratio(name: str) -> float:
        if first is end:
            return 1.0
        slope, start = linear_regression(
            [point.records for point in points], [getattr(point, name) for point in points]
        )
        return (start + slope * end.records) / (start + slope * first.records)

    told = {
        "growth.records": ("kept at the end", "million", end.records / 1e6),
        "growth.q2": ("Q2 at the end beside the beginning", "x", ratio("q2_ms")),
        "growth.q3": ("Q3 at the end beside the beginning", "x", ratio("q3_ms")),
        "growth.look": ("an idle look beside the beginning", "x", ratio("idle_look_ms")),
        "growth.index": ("of the index", "B/record", end.index_bytes / end.records),
        "growth.bytes": ("segments with index", "B/record",
                         (end.table_bytes + end.index_bytes) / end.records),
        "growth.vacuum": ("VACUUM of everything, at the end", "s", end.vacuum_seconds),
    }  # fmt: skip
    return [
        Result.of_bar("growth.rate", [ratio("ingest_per_second")]),
        Result.of_bar("growth.q1", [ratio("q1_ms")]),
        *(Result(id, what, unit, Spread.of([value])) for id, (what, unit, value) in told.items()),
    ]


def curves(points: Sequence[Point]) -> list[Curve]:
    """Each picture by the part of the id before its point."""
    told: dict[str, tuple[str, str, Callable[[Point], float]]] = {
        "growth-rate.ours": ("ingest", "records/CPU-s", lambda one: one.ingest_per_second),
        "growth-questions.q1": ("Q1", "ms", lambda one: one.q1_ms),
        "growth-questions.q2": ("Q2", "ms", lambda one: one.q2_ms),
        "growth-questions.q3": ("Q3", "ms", lambda one: one.q3_ms),
        "growth-bytes.table": ("segments", "bytes", lambda one: one.table_bytes),
        "growth-bytes.index": ("their index", "bytes", lambda one: one.index_bytes),
        "growth-vacuum.seconds": ("VACUUM", "s", lambda one: one.vacuum_seconds),
        "growth-look.idle": ("idle look", "CPU-ms", lambda one: one.idle_look_ms),
    }
    return [
        Curve(id, what, "records kept", unit, tuple((one.records, of(one)) for one in points))
        for id, (what, unit, of) in told.items()
    ]


class _Growing:
    def __init__(self, ours: Store, load: Load, until: datetime) -> None:
        self._store, self._load, self._until = ours, load, until
        ours.site.add_tenant(TENANTS[1])
        self._ground = Ground(ours.site.stack)
        self._records = 0
        self._epochs: list[KeptEpoch] = []
        # The questions are about the days of the first step.
        self._end = self._end_of(0)

    def step(self, number: int) -> Point:
        load = self._load
        epochs = self._seal_in_bulk(number)
        self._epochs = self._epochs or epochs
        dead, vacuum_seconds = self._vacuum()
        table = records(SHAPES["D"].scaled(load.door / 1e6), load.door, self._until, number)
        added = self._store.add(cut_records(table))
        self._records += load.bulk + load.door
        q1, q2, q3 = self._ask()
        cost = added.accept + added.seal
        point = Point(
            self._records, load.door / cost.cpu, cost.wall, q1, q2, q3, *self._sizes(),
            vacuum_seconds, dead, 1000 * self._store.look(),
        )  # fmt: skip
        tell(f"growth: {point.records:,} records: {point.ingest_per_second:,.0f}/cpu-s,"
             f" Q1 {q1:.1f} ms, Q2 {q2:.0f} ms, Q3 {q3:.0f} ms")  # fmt: skip
        return point

    def _end_of(self, step: int) -> datetime:
        """Each step has another month, until all have their first ten days; then comes the next
        piece of each, and after the third the same hours again."""
        back = step % MONTHS * MONTH + step // MONTHS % 3 * PIECE
        # The sealer itself makes empty epochs of the last four days.
        return self._until.replace(hour=0) - timedelta(days=5) - back

    def _seal_in_bulk(self, step: int) -> list[KeptEpoch]:
        """The first tenant's epochs."""
        end, count = self._end_of(step).isoformat(), self._load.bulk // len(TENANTS)
        plans = [Plan(name, self._load.shape, count, end, step) for name in TENANTS]
        with ThreadPoolExecutor(len(plans)) as several:
            made = list(several.map(self._ground.seal, plans))
        # As registration leaves it.
        self._ground.sql(
            "UPDATE vault_epochseal SET acknowledged_at = now() WHERE acknowledged_at IS NULL"
        )
        return made[0][0]

    def _vacuum(self) -> tuple[int, float]:
        """How many dead rows PostgreSQL knew of, and how long it takes to do away with them."""
        ((dead,),) = self._ground.sql("SELECT sum(n_dead_tup) FROM pg_stat_user_tables")
        began = time.monotonic()
        self._ground.vacuum()
        return int(dead), time.monotonic() - began

    def _ask(self) -> list[float]:
        """Milliseconds for each purpose: the median over its targets of the fastest round, since
        what the machine does meanwhile only makes slower."""
        shape, load = STREAMS[self._load.shape], self._load
        hours = HourRange(self._end - timedelta(hours=shape.hours), self._end)
        count = load.bulk // len(TENANTS)
        asked = [
            *targets.resolve(shape, count, self._end, ASKED["resolve"], seed=0),
            *targets.services(shape, hours, ASKED["services"]),
            *targets.reached(shape, hours, ASKED["reached"]),
        ]
        told = self._ground.ask(TENANTS[0], self._epochs, asked, load.rounds)["asked"]
        return [
            Spread.of([
                min(one["ours"]["warm"]) for name, one in told.items() if name.startswith(purpose)
            ]).median
            for purpose in ASKED
        ]  # fmt: skip

    def _sizes(self) -> tuple[int, int, int]:
        """Bytes of the segments with the manifests, of their indexes, and of everything else."""
        ((table, index),) = self._ground.sql(
            "SELECT sum(pg_table_size(inhrelid)), sum(pg_indexes_size(inhrelid))"
            " FROM pg_inherits"
            " WHERE inhparent IN ('vault_segment'::regclass, 'vault_bucket'::regclass)"
        )
        ((everything,),) = self._ground.sql("SELECT pg_database_size(current_database())")
        return int(table), int(index), int(everything - table - index)


def _told(points: Sequence[Point]) -> dict[str, Any]:
    return {
        "points": [asdict(one) for one in points],
        "curves": [one.to_object() for one in curves(points)],
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument(
        "--records", type=int, default=100_000_000,
        help="in bulk, in all; it ends before that when the disk is full up to 4 GB",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the points here")
    options = parser.parse_args(arguments)
    full = LOADS["full"]
    load = Load(full.shape, full.bulk, full.door, options.records // full.bulk, full.rounds)
    points: list[Point] = []
    with Bench() as bench:
        for point in grow(bench.store, load, bench.until):
            points.append(point)
            # After each step: one that is ended by hand has told what it saw.
            if options.json:
                options.json.write_text(json.dumps(_told(points), indent=2) + "\n")
            if shutil.disk_usage(bench.folder).free < LEFT_ON_DISK:
                tell(f"growth: ends here, less than {LEFT_ON_DISK:,} bytes of disk are left")
                break
    for outcome in results(points):
        print(outcome.to_object())


if __name__ == "__main__":
    main(sys.argv[1:])
