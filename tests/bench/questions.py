"""The three questions on shape M, warm and cold, beside DuckDB's sorted tables with one thread:
every answer equal, row by row."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from icrstore.warrant.statements import HourRange, Purpose
from tests.bench import duck, targets
from tests.bench.bulk import Plan
from tests.bench.generate import STREAMS, Shape, streamed
from tests.bench.ground import prepared
from tests.bench.measure import Spread
from tests.bench.peers.same import AnswersDiffer
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result
from tests.bench.running import Bench, Size

TENANT = "shape-m"
NAMES: dict[Purpose, str] = {"resolve": "q1", "services": "q2", "reached": "q3"}
# Shape, records, targets for each question, and rounds; small asks about a tenth of the hours.
LOADS: dict[Size, tuple[str, int, int, int]] = {
    "full": ("M", 20_000_000, 20, 15),
    "small": ("M-day", 2_000_000, 20, 7),
    "tiny": ("M-tiny", 5_000, 4, 1),
}


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Raises `AnswersDiffer`."""
    name, count, many, rounds = LOADS[size]
    shape = STREAMS[name]
    with prepared() as ground:
        ground.add_tenant(TENANT)
        epochs, cost, _ = ground.seal(Plan(TENANT, name, count, bench.until.isoformat()))
        ground.vacuum()
        tell(f"questions: sealed in {cost.wall:.0f} s")
        path = ground.folder / "m.duckdb"
        held = duck.load(streamed(shape, count, bench.until), path)
        path.chmod(0o644)
        tell(f"questions: {held:,} records in DuckDB")
        asked = _asked(shape, count, bench.until, many)
        told = ground.ask(TENANT, epochs, asked, rounds, path)["asked"]
    check_answers(told)
    tell(f"questions: the same answers to {len(asked)} questions")
    return [result for purpose in NAMES for result in _results(purpose, told)]


def _asked(shape: Shape, count: int, until: datetime, many: int) -> list[targets.Asked]:
    hours = HourRange(until - timedelta(hours=shape.hours), until)
    return [
        *targets.resolve(shape, count, until, many),
        *targets.services(shape, hours, many),
        *targets.reached(shape, hours, many),
    ]


def check_answers(told: Mapping[str, Any]) -> None:
    """Every side gave the same rows, and most questions have some. Raises `AnswersDiffer`."""
    empty = 0
    for name, sides in told.items():
        first, *others = (side["answer"] for side in sides.values())
        empty += not first
        if any(answer != first for answer in others):
            raise AnswersDiffer(name)
    if empty > len(told) // 10:
        raise AnswersDiffer("too many are empty")


def warm(told: Mapping[str, Any], purpose: Purpose, side: str) -> list[float]:
    """Milliseconds of each target of a purpose: the median of its rounds."""
    asked = [one[side] for name, one in told.items() if name.startswith(purpose)]
    return [Spread.of(one["warm"]).median for one in asked]


def meanwhile(told: Mapping[str, Any], purpose: Purpose) -> list[float]:
    """Milliseconds of each target that the second process reads before anything is lent."""
    asked = [one["ours"] for name, one in told.items() if name.startswith(purpose)]
    return [Spread.of(one["meanwhile"]).median for one in asked]


def _results(purpose: Purpose, told: Mapping[str, Any]) -> Iterator[Outcome]:
    ours, theirs = warm(told, purpose, "ours"), warm(told, purpose, "duckdb")
    rows = warm(told, purpose, "duckdb-rows")
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    measured = {
        "": ("engine without keepers, warm", "ms", ours),
        ".duckdb": ("DuckDB sorted, warm", "ms", theirs),
        ".of-duckdb": ("beside DuckDB sorted", "x", ratios),
        ".duckdb-rows": ("DuckDB sorted, bare rows, warm", "ms", rows),
        ".p95": ("engine, warm, all but 1 in 20", "ms", [_p95(told, purpose)]),
        ".meanwhile": ("read while the keepers are asked", "ms", meanwhile(told, purpose)),
        ".cold": ("engine, cold", "ms", _cold(told, purpose, "ours")),
        ".cold.duckdb": ("DuckDB sorted, cold", "ms", _cold(told, purpose, "duckdb")),
    }
    for suffix, (what, unit, values) in measured.items():
        name = NAMES[purpose]
        yield Result(f"M.{name}{suffix}", f"{name.upper()}, {what}", unit, Spread.of(values))


def _p95(told: Mapping[str, Any], purpose: Purpose) -> float:
    rounds: list[float] = sorted(
        milliseconds
        for name, one in told.items() if name.startswith(purpose)
        for milliseconds in one["ours"]["warm"]
    )  # fmt: skip
    return rounds[int(0.95 * len(rounds))]


def _cold(told: Mapping[str, Any], purpose: Purpose, side: str) -> list[float]:
    return [one[side]["cold"] for name, one in told.items() if name.startswith(purpose)]
