"""What was measured beside what it must be: one row each, as a table and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.bars import BARS, Bar
from tests.bench.measure import Spread


@dataclass(frozen=True)
class Result:
    """One measure over all rounds. ``id`` is stable, and that of its bar where it has one."""

    id: str
    what: str
    unit: str
    spread: Spread

    @classmethod
    def of_bar(cls, id: str, values: Sequence[float]) -> "Result":
        bar = BARS[id]
        return cls(id, bar.what, bar.unit, Spread.of(values))

    @property
    def bar(self) -> Bar | None:
        return BARS.get(self.id)

    @property
    def is_met(self) -> bool:
        return self.bar is None or self.bar.is_met_by(self.spread.median)

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        if not self.is_met:
            return "MISSED"
        reached = self.bar.aim_is_reached_by(self.spread.median)
        return "met, aim reached" if reached else "met"

    def to_object(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": self.id,
            "what": self.what,
            "unit": self.unit,
            "median": self.spread.median,
            "min": self.spread.least,
            "max": self.spread.most,
        }
        if self.bar:
            reached = self.bar.aim_is_reached_by(self.spread.median)
            made |= _bar_object(self.bar) | {"met": self.is_met, "aim_reached": reached}
        return made


@dataclass(frozen=True)
class Unmeasured:
    """A bar of which this run says nothing, and why."""

    id: str
    why: str

    @property
    def verdict(self) -> str:
        return f"not measured: {self.why}"

    def to_object(self) -> dict[str, Any]:
        bar = BARS[self.id]
        told = {"id": bar.id, "what": bar.what, "unit": bar.unit}
        return told | _bar_object(bar) | {"not_measured": self.why}


@dataclass(frozen=True)
class Curve:
    """One measure at many sizes, for the pictures of `tests.bench.report`; the table has none.

    ``id`` is PICTURE.NAME: what shares a picture shares its axes. ``x`` says what the first number
    of each point is, ``unit`` what the second is.
    """

    id: str
    what: str
    x: str
    unit: str
    points: tuple[tuple[float, float], ...]

    def to_object(self) -> dict[str, Any]:
        return asdict(self)


Outcome = Result | Unmeasured | Curve
Row = Result | Unmeasured


def judged(outcomes: Iterable[Row], why: Mapping[str, str]) -> list[Row]:
    """Every bar in its order, then what has none. A bar that is not among the outcomes is
    unmeasured for what ``why`` says of it."""
    given = {one.id: one for one in outcomes}
    barred: list[Row] = [given.get(id) or Unmeasured(id, why[id]) for id in BARS]
    return [*barred, *(one for one in given.values() if one.id not in BARS)]


def table(outcomes: Iterable[Row]) -> str:
    """One line for each under a heading, in columns."""
    heading = ("id", "measure", "unit", "median", "min - max", "bar", "aim", "verdict")
    rows = [heading, *map(row, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def row(one: Row) -> tuple[str, ...]:
    """The cells of its line."""
    bar = BARS.get(one.id)
    limits = (f"{bar.sense} {bar.value:g}", f"{bar.aim:g}" if bar.aim else "") if bar else ("", "")
    return (one.id, *_measured(one), *limits, one.verdict)


def _measured(one: Row) -> Iterator[str]:
    if isinstance(one, Unmeasured):
        yield from (BARS[one.id].what, BARS[one.id].unit, "", "")
        return
    spread = one.spread
    yield from (one.what, one.unit, number(spread.median))
    yield f"{number(spread.least)} - {number(spread.most)}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def _bar_object(bar: Bar) -> dict[str, Any]:
    return {"sense": bar.sense, "bar": bar.value, "aim": bar.aim}


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
