"""What is fuzzed: a name, samples to begin with, and the call that takes any bytes."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from icrstore.flow.errors import FlowRefused
from icrstore.flow.readers import FORMATS, Hints, Tally, open_records
from icrstore.flow.schema import event_schema, is_of_events, record_schema
from tests.flow.test_readers import ONE_OF_EACH

_HINTS = Hints(zone=UTC, now=datetime(2026, 6, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Target:
    """``run`` may raise nothing, whatever the bytes."""

    name: str
    samples: tuple[bytes, ...]
    run: Callable[[bytes], None]


def targets() -> dict[str, Target]:
    """By name: every format, and the recognition of formats by their first bytes."""
    all_samples = tuple(ONE_OF_EACH.values())
    made = [Target(name, (ONE_OF_EACH[name], ONE_OF_EACH[name] * 3), _reader(name))
            for name in FORMATS]  # fmt: skip
    return {each.name: each for each in [*made, Target("any", all_samples, _reader(None))]}


def _reader(format: str | None) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        tally, rows = Tally(), 0
        try:
            for batch in open_records(io.BytesIO(content), format, tally, _HINTS):
                batch.validate(full=True)
                unit = batch.schema.field("observed_at").type.unit
                schema = event_schema(unit) if is_of_events(batch) else record_schema(unit)
                assert batch.schema == schema
                rows += batch.num_rows
        except FlowRefused:
            return
        assert rows == tally.records

    return read
