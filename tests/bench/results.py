"""What was measured beside what it must be: one row each, as a table and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.bench.measure import Spread


@dataclass(frozen=True)
class Bar:
    """The median must be at least, or at most, this."""

    sense: Literal["at least", "at most"]
    value: float

    def is_met_by(self, value: float) -> bool:
        return value >= self.value if self.sense == "at least" else value <= self.value


@dataclass(frozen=True)
class Result:
    """One measure over all rounds. ``id`` is stable; ``bar`` is None where none is set."""

    id: str
    what: str
    unit: str
    spread: Spread
    bar: Bar | None = None

    @property
    def is_met(self) -> bool:
        return self.bar is None or self.bar.is_met_by(self.spread.median)

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
            made |= {"bar": self.bar.value, "sense": self.bar.sense, "met": self.is_met}
        return made


def table(results: Iterable[Result]) -> str:
    """One line for each result under a heading, in columns."""
    rows = [("id", "measure", "unit", "median", "min - max", "bar", ""), *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(result: Result) -> tuple[str, ...]:
    spread = result.spread
    bar, verdict = "", ""
    if result.bar:
        bar = f"{result.bar.sense} {result.bar.value:g}"
        verdict = "met" if result.is_met else "MISSED"
    return (
        result.id,
        result.what,
        result.unit,
        f"{spread.median:.2f}",
        f"{spread.least:.2f} - {spread.most:.2f}",
        bar,
        verdict,
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
