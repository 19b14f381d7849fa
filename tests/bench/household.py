"""One household's year: what an engine needs for a month of its services, and for twelve months
against a hundred networks, in time and in memory."""

from datetime import datetime, timedelta

from icrstore.warrant.statements import HourRange
from tests.bench import targets
from tests.bench.bulk import KeptEpoch, Plan
from tests.bench.generate import STREAMS
from tests.bench.ground import Ground, tell
from tests.bench.measure import Spread
from tests.bench.results import Bar, Result

TENANT = "household"
MONTH = timedelta(days=30)
Q2_MILLISECONDS, Q3_SECONDS, ENGINE_MEGABYTES = 200.0, 3.0, 500.0


def measure(
    ground: Ground, shape: str, count: int, until: datetime, repeats: int
) -> list[Result]:
    ground.add_tenant(TENANT)
    epochs, cost, peak = ground.seal(Plan(TENANT, shape, count, until.isoformat()))
    tell(f"household: {count:,} records sealed in {cost.wall:.0f} s, {peak / 1e6:.0f} MB")
    whole = HourRange(until - timedelta(hours=STREAMS[shape].hours), until)
    month = HourRange(max(until - MONTH, whole.first), until)
    (services,) = targets.services(STREAMS[shape], month, 1)
    (reached,) = targets.reached(STREAMS[shape], whole, 1)
    q2, _ = _ask(ground, epochs, services, repeats)
    q3, q3_peak = _ask(ground, epochs, reached, repeats)
    return [
        Result("household.q2", f"{_days(month)} days of services", "ms",
               Spread.of(q2), Bar("at most", Q2_MILLISECONDS)),
        Result("household.q3", f"{_days(whole)} days against {len(reached.targets)} networks", "s",
               Spread.of([each / 1000 for each in q3]), Bar("at most", Q3_SECONDS)),
        Result("household.memory", "the engine's peak over those days", "MB",
               Spread.of([q3_peak / 1e6]), Bar("at most", ENGINE_MEGABYTES)),
    ]  # fmt: skip


def _ask(
    ground: Ground, epochs: list[KeptEpoch], asked: targets.Asked, repeats: int
) -> tuple[list[float], int]:
    """Milliseconds of each round, warm, and the peak of the engine's process."""
    told = ground.ask(TENANT, epochs, [asked], repeats)
    side = told["asked"][asked.name]["ours"]
    if not side["answer"]:
        raise AssertionError("an answer has no rows")
    tell(f"household: {asked.name} gives {len(side['answer']):,} rows")
    return side["warm"], told["peak_bytes"]


def _days(hours: HourRange) -> int:
    return (hours.end - hours.first).days
