"""Every bar and aim of the project's speed, in one list: what a run of the benchmark is judged by.

A bar must be met, an aim is worth reaching. The ids are stable: whoever compares two runs goes by
them.
"""

from dataclasses import dataclass
from typing import Literal

Sense = Literal["at least", "at most"]


@dataclass(frozen=True)
class Bar:
    """The median must be at least, or at most, ``value``; better still ``aim``, if there is one."""

    id: str
    what: str
    unit: str
    sense: Sense
    value: float
    aim: float | None = None

    def is_met_by(self, median: float) -> bool:
        return _reaches(self.sense, median, self.value)

    def aim_is_reached_by(self, median: float) -> bool:
        return self.aim is not None and _reaches(self.sense, median, self.aim)


def _least(id: str, what: str, unit: str, value: float, aim: float | None = None) -> Bar:
    return Bar(id, what, unit, "at least", value, aim)


def _most(id: str, what: str, unit: str, value: float, aim: float | None = None) -> Bar:
    return Bar(id, what, unit, "at most", value, aim)


def _reaches(sense: Sense, median: float, value: float) -> bool:
    return median >= value if sense == "at least" else median <= value


_STORE = (
    _least("D.speed.same-work", "beside DuckDB sorted + address table, by cpu", "x", 1.5, 3),
    _least("H.speed.same-work", "beside DuckDB sorted + address table, by cpu", "x", 1.5, 3),
    _least("D.speed.as-arrived", "beside DuckDB as arrived, by cpu", "x", 0.5, 1),
    _least("H.speed.as-arrived", "beside DuckDB as arrived, by cpu", "x", 0.5, 1),
    _least("S.speed.as-arrived", "beside DuckDB as arrived, by cpu", "x", 0.25, 0.5),
    _most("D.bytes", "both maps with index", "B/record", 15, 12),
    _most("H.bytes", "both maps with index", "B/record", 11, 9),
    _most("D.bytes.of-clickhouse", "bytes beside ClickHouse, zstd", "x", 0.8, 0.6),
    _most("H.bytes.of-clickhouse", "bytes beside ClickHouse, zstd", "x", 0.8, 0.6),
    _most("S.memory", "a sealer's peak, a million records", "GB", 1, 0.4),
    _most("D.memory", "a sealer's peak, a million records", "GB", 1, 0.4),
    _most("H.memory", "a sealer's peak, a million records", "GB", 1, 0.4),
)
_TEXT = (
    _least("ndjson.speed.of-clickhouse", "signed, by HTTP, beside ClickHouse, by cpu", "x", 0.5, 1),
    _least("ndjson.speed.of-fernet", "signed, by HTTP, beside Fernet, by cpu", "x", 50, 110),
)
_QUESTIONS = (
    _most("M.q1", "Q1, engine without keepers, warm", "ms", 2, 0.9),
    _most("M.q2.of-duckdb", "Q2 beside DuckDB sorted", "x", 2, 1),
    _most("M.q3.of-duckdb", "Q3 beside DuckDB sorted", "x", 2, 1),
)
_HOUSEHOLD = (
    _most("household.q2", "one account's 30 days, Q2", "ms", 200, 90),
    _most("household.q3", "one account's 12 months, Q3", "s", 3, 1),
    _most("household.memory", "an engine's peak over those 12 months", "MB", 500),
)
_HOUR = (
    _most("hour.searchable", "from an hour's end to searchable", "s", 600, 360),
    _most("hour.urgent", "an urgent question about the running hour", "s", 60, 10),
)
_KEEPERS = (
    _least("keepers.both", "commits + releases at both, 4 callers", "1/s", 40, 100),
    _most("keepers.p95", "longest but for 1 in 20, commit to release", "ms", 150),
    _most("keepers.year", "one account, a year's epochs lent by both", "s", 1.5),
)
_GROWTH = (
    _least("growth.rate", "ingest at the end beside the beginning", "x", 0.8, 1),
    _most("growth.q1", "Q1 at the end beside the beginning", "x", 1.25, 1),
)
_COLLECTOR = tuple(
    bar
    for name in ("ndjson", "csv", "zeek")
    for bar in (
        _least(f"{name}.of-sealing.cpu", "read and pushed beside sealed, by cpu", "x", 0.25),
        _least(f"{name}.of-sealing.wall", "read and pushed beside sealed, by wall", "x", 0.25),
        _most(f"{name}.memory", "the collector's peak", "MB", 300),
    )
)
_DAY = (_most("day.memory", "a collector's peak over a day's logs", "MB", 300),)

# By the part that measures them (`tests.bench.parts`).
BY_PART = {
    "store": _STORE,
    "text": _TEXT,
    "questions": _QUESTIONS,
    "answers": (),  # equal or the part fails
    "household": _HOUSEHOLD,
    "hour": _HOUR,
    "keepers": _KEEPERS,
    "growth": _GROWTH,
    "collector": _COLLECTOR,
    "day": _DAY,
}
BARS = {bar.id: bar for bars in BY_PART.values() for bar in bars}
PART_OF = {bar.id: part for part, bars in BY_PART.items() for bar in bars}
