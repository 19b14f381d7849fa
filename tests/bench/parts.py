"""The parts of the benchmark, by name: what ``--only`` takes, and who measures which bars."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import (
    answers,
    day,
    growth,
    hour,
    household,
    ingest,
    keepers,
    questions,
    reading,
    text,
)  # fmt: skip
from tests.bench.results import Outcome
from tests.bench.running import Bench, Size

Measure = Callable[[Bench, Size], list[Outcome]]


@dataclass(frozen=True)
class Part:
    """``in_small`` says whether its small size belongs to the few minutes of ``--small``."""

    about: str
    measure: Measure
    in_small: bool = True


PARTS = {
    "store": Part("signed Arrow batches to committed rows, their bytes, the sealer's memory",
                  ingest.measure),
    "text": Part("the same as NDJSON, signed and by HTTP", text.measure),
    "questions": Part("the three questions beside DuckDB, every answer equal", questions.measure),
    "answers": Part("every peer's answers to the same questions, all equal", answers.measure),
    "household": Part("one account's year: time and memory", household.measure, in_small=False),
    "hour": Part("from an hour's end until it can be searched; an urgent question", hour.measure),
    "keepers": Part("two keepers under questions, beside one alone; a year lent", keepers.measure),
    "collector": Part("files of text read and pushed, beside the sealing of their records",
                      reading.measure, in_small=False),
    "day": Part("three collectors push a day of logs at once", day.measure, in_small=False),
    "growth": Part("to 100 million records, month after month", growth.measure, in_small=False),
}  # fmt: skip
