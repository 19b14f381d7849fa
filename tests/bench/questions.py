"""The three questions on shape M, warm and cold, beside DuckDB's sorted tables with one thread:
every answer equal, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from icrstore.warrant.statements import HourRange
from tests.bench import duck, targets
from tests.bench.bulk import Plan
from tests.bench.generate import STREAMS, Shape, streamed
from tests.bench.ground import Ground, tell
from tests.bench.ingest import AnswersDiffer
from tests.bench.measure import Spread
from tests.bench.results import Bar, Result

TARGETS = 20
TENANT = "shape-m"
NAMES = {"resolve": "q1", "services": "q2", "reached": "q3"}
Q1_MILLISECONDS, OF_DUCKDB = 2.0, 2.0


def measure(
    ground: Ground, shape: str, count: int, until: datetime, repeats: int
) -> list[Result]:
    """Raises `AnswersDiffer`."""
    ground.add_tenant(TENANT)
    epochs, cost, _ = ground.seal(Plan(TENANT, shape, count, until.isoformat()))
    tell(f"questions: {count:,} records sealed in {cost.wall:.0f} s")
    path = ground.folder / "m.duckdb"
    held = duck.load(streamed(STREAMS[shape], count, until), path)
    path.chmod(0o644)
    tell(f"questions: {held:,} records in DuckDB")
    asked = _asked(STREAMS[shape], count, until)
    told = ground.ask(TENANT, epochs, asked, repeats, path)["asked"]
    check_answers(told)
    tell(f"questions: the same answers to {len(asked)} questions")
    return [result for purpose in NAMES for result in _results(purpose, told)]


def _asked(shape: Shape, count: int, until: datetime) -> list[targets.Asked]:
    hours = HourRange(until - timedelta(hours=shape.hours), until)
    return [
        *targets.resolve(shape, count, until, TARGETS),
        *targets.services(shape, hours, TARGETS),
        *targets.reached(shape, hours, TARGETS),
    ]


def check_answers(told: Mapping[str, Any]) -> None:
    """Every side gave the same rows, and most questions have some."""
    empty = 0
    for name, sides in told.items():
        first, *others = (side["answer"] for side in sides.values())
        empty += not first
        if any(answer != first for answer in others):
            raise AnswersDiffer(name)
    if empty > len(told) // 10:
        raise AnswersDiffer("too many are empty")


def _results(purpose: str, told: Mapping[str, Any]) -> Iterator[Result]:
    name = NAMES[purpose]
    sides = [one for asked, one in told.items() if asked.startswith(purpose)]
    ours, theirs = ([one[side] for one in sides] for side in ("ours", "duckdb"))
    # Of each target the median of its rounds; the spread is over the targets.
    warm, beside = ([_median(one["warm"]) for one in side] for side in (ours, theirs))
    ratios = [a / b for a, b in zip(warm, beside, strict=True)]
    bar = Bar("at most", Q1_MILLISECONDS) if purpose == "resolve" else None
    yield Result(f"M.{name}", f"{purpose}, warm, without keepers", "ms", Spread.of(warm), bar)
    bar = Bar("at most", OF_DUCKDB) if purpose != "resolve" else None
    what = f"{purpose}, beside DuckDB sorted"
    yield Result(f"M.{name}.of-duckdb", what, "x", Spread.of(ratios), bar)
    yield Result(f"M.{name}.duckdb", f"{purpose}, warm, DuckDB sorted", "ms", Spread.of(beside))
    p95 = sorted(time for one in ours for time in one["warm"])
    yield Result(f"M.{name}.p95", f"{purpose}, warm, all but 1 in 20", "ms",
                 Spread.of([p95[int(0.95 * len(p95))]]))  # fmt: skip
    for suffix, side in (("", ours), (".duckdb", theirs)):
        cold = Spread.of([one["cold"] for one in side])
        yield Result(f"M.{name}.cold{suffix}", f"{purpose}, cold{suffix}", "ms", cold)


def _median(values: Sequence[float]) -> float:
    return Spread.of(values).median
