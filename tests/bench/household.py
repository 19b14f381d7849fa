"""One household's year: what an engine needs for a month of its services, and for twelve months
against a hundred networks, in time and in memory."""

from collections.abc import Sequence
from datetime import timedelta

from icrstore.warrant.statements import HourRange
from tests.bench import targets
from tests.bench.bulk import KeptEpoch, Plan
from tests.bench.generate import STREAMS
from tests.bench.ground import Ground, prepared
from tests.bench.measure import Spread
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result
from tests.bench.running import Bench, Size

TENANT = "household"
MONTH = timedelta(days=30)
# Shape, records, and rounds: 33,000 records a day, 1,400 an hour.
LOADS: dict[Size, tuple[str, int, int]] = {
    "full": ("Y", 12_045_000, 5), "small": ("Y", 12_045_000, 5), "tiny": ("Y-tiny", 2_000, 1),
}  # fmt: skip


def measure(bench: Bench, size: Size) -> list[Outcome]:
    name, count, rounds = LOADS[size]
    shape, until = STREAMS[name], bench.until
    whole = HourRange(until - timedelta(hours=shape.hours), until)
    month = HourRange(max(until - MONTH, whole.first), until)
    with prepared() as ground:
        ground.add_tenant(TENANT)
        epochs, cost, peak = ground.seal(Plan(TENANT, name, count, until.isoformat()))
        ground.vacuum()
        tell(f"household: {count:,} records sealed in {cost.wall:.0f} s, {peak / 1e6:.0f} MB")
        (services,) = targets.services(shape, month, 1)
        (reached,) = targets.reached(shape, whole, 1)
        q2, q2_meanwhile, _ = _ask(ground, epochs, services, rounds)
        q3, q3_meanwhile, q3_peak = _ask(ground, epochs, reached, rounds)
    what = "read while the keepers are asked"
    return [
        Result.of_bar("household.q2", q2),
        Result("household.q2.meanwhile", what, "ms", Spread.of(q2_meanwhile)),
        Result.of_bar("household.q3", [each / 1000 for each in q3]),
        Result("household.q3.meanwhile", what, "ms", Spread.of(q3_meanwhile)),
        Result.of_bar("household.memory", [q3_peak / 1e6]),
    ]


def _ask(
    ground: Ground, epochs: Sequence[KeptEpoch], asked: targets.Asked, rounds: int
) -> tuple[list[float], list[float], int]:
    """Milliseconds of each round, warm, and of what is read meanwhile; and the peak of the engine's
    processes in bytes."""
    told = ground.ask(TENANT, epochs, [asked], rounds)
    side = told["asked"][asked.name]["ours"]
    if not side["answer"]:
        raise AssertionError("an answer has no rows")
    tell(f"household: {asked.name} gives {len(side['answer']):,} rows")
    return side["warm"], side["meanwhile"], told["peak_bytes"]
