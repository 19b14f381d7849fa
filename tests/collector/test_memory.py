"""However large an input, and of however many days at once, it takes bounded memory."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.bench.generate import SHAPES, records
from tests.bench.inputs import write_csv

UNTIL = datetime(2026, 11, 22, 20, tzinfo=UTC)
MOST_BYTES = 300 << 20
DAYS = 200


def peak(rows: pa.Table, path: Path, times: int) -> int:
    """Of a file that has these rows so many times."""
    with path.open("wb") as file:
        write_csv(rows, file)
    header, _, body = path.read_bytes().partition(b"\n")
    path.write_bytes(header + b"\n" + body * times)
    told = subprocess.run(
        [sys.executable, "-m", "tests.collector.peak", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, most = map(int, told.stdout.split())
    assert count == rows.num_rows * times
    return most


def test_a_longer_input_takes_no_more(tmp_path: Path) -> None:
    rows = records(SHAPES["D"], 50_000, UNTIL)
    # Two batches, and five.
    short, long = (peak(rows, tmp_path / "records.csv", times) for times in (8, 20))
    assert long < short + (40 << 20)
    assert long < MOST_BYTES


def test_an_input_of_many_days_in_turn_takes_no_more(tmp_path: Path) -> None:
    rows = records(SHAPES["D"], 50_000, UNTIL)
    place = rows.schema.get_field_index("observed_at")
    day = timedelta(days=1) // timedelta(microseconds=1)
    ticks = rows.column(place).cast(pa.int64()).to_numpy() - np.arange(50_000) % DAYS * day
    column = pa.array(ticks).cast(rows.schema.field(place).type)
    spread = rows.set_column(place, rows.schema.field(place), column)
    assert peak(spread, tmp_path / "records.csv", 14) < MOST_BYTES
