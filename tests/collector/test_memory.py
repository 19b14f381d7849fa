"""However large an input, it takes bounded memory; of many days, `test_cut` counts what waits."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from tests.bench.generate import SHAPES, records
from tests.bench.inputs import write_csv

UNTIL = datetime(2026, 11, 22, 20, tzinfo=UTC)
MOST_BYTES = 300 << 20


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
