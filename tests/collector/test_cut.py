"""Batches are the same for the same records, however and whenever these were read."""

import io
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from icrstore.collector import cut as cut_module
from icrstore.collector.cut import Cut, cut
from icrstore.flow.schema import Unit, record_schema

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_module, "BATCH_RECORDS", 25)


def table(count: int, *, step: timedelta = timedelta(minutes=1), unit: Unit = "us") -> pa.Table:
    rows = [
        {
            "observed_at": START + step * n,
            "protocol": 6 if n % 3 else 1,
            "source_address": bytes(15) + bytes([n % 256]),
            "source_port": n if n % 3 else None,
            "destination_address": bytes(16),
            "destination_port": 443 if n % 3 else None,
            "post_nat_source_address": bytes(16) if n % 2 else None,
            "post_nat_source_port": None,
            "account": f"line-{n % 7}",
        }
        for n in range(count)
    ]
    return pa.Table.from_pylist(rows, record_schema(unit))


def pieces(whole: pa.Table, seed: int) -> Iterator[pa.RecordBatch]:
    draw, at = random.Random(seed), 0
    while at < whole.num_rows:
        size = draw.randint(1, 40)
        yield from whole.slice(at, size).combine_chunks().to_batches()
        at += size


def read(made: Cut) -> pa.Table:
    return pa.ipc.open_stream(io.BytesIO(made.arrow)).read_all()


def test_the_pieces_in_which_an_input_comes_make_no_difference() -> None:
    whole = table(240)
    once = [each.arrow for each in cut(pieces(whole, 0), Counter())]
    assert len(once) > 5
    for seed in range(1, 8):
        assert [each.arrow for each in cut(pieces(whole, seed), Counter())] == once


def test_what_lies_under_a_null_makes_no_difference() -> None:
    whole = table(20)
    ports = whole["source_port"].combine_chunks()
    noisy = pa.Array.from_buffers(
        pa.uint16(), 20, [ports.buffers()[0], pa.py_buffer(bytes(range(40)))]
    )
    valid = ports.is_valid().to_numpy(zero_copy_only=False)
    values = [int(v) if ok else None for v, ok in zip(noisy.to_numpy(False), valid, strict=True)]
    place = whole.schema.get_field_index("source_port")
    clean = whole.set_column(place, "source_port", pa.array(values, pa.uint16()))
    spoilt = whole.set_column(place, "source_port", noisy)
    assert clean.equals(spoilt)
    assert [each.arrow for each in cut(clean.to_batches(), Counter())] == [
        each.arrow for each in cut(spoilt.to_batches(), Counter())
    ]


def test_precision_is_the_coarsest_that_loses_nothing() -> None:
    for step, unit in ((1_000_000, "s"), (1_000, "ms"), (1, "us")):
        made = next(cut(table(20, step=timedelta(microseconds=step)).to_batches(), Counter()))
        assert read(made).schema.equals(record_schema(unit))  # type: ignore[arg-type] # a Unit
    finer = table(20).cast(record_schema("ns"))
    assert (
        next(cut(finer.to_batches(), Counter())).arrow
        == next(cut(table(20).to_batches(), Counter())).arrow
    )


def test_every_record_comes_out_once_in_order_with_its_scope() -> None:
    made = list(cut(pieces(table(240), 3), Counter()))
    together = pa.concat_tables([read(each).cast(record_schema("us")) for each in made])
    assert together.sort_by("observed_at").equals(table(240))
    for each in made:
        times: list[datetime] = [t for t in read(each)["observed_at"].to_pylist() if t]
        assert times == sorted(times)
        assert (each.first, each.last, each.records) == (times[0], times[-1], len(times))
        assert each.first_hour <= each.first < each.first_hour + timedelta(hours=1)
        assert each.last_hour <= each.last < each.last_hour + timedelta(hours=1)
        assert each.first.date() == each.last.date()
        assert each.records <= 25


def test_a_record_of_another_century_is_counted_and_left_out() -> None:
    late = table(3, step=timedelta(days=365 * 100), unit="s")
    refused: Counter[str] = Counter()
    assert sum(each.records for each in cut(late.to_batches(), refused)) == 2
    assert refused == {"time-in-future": 1}


def test_no_records_make_no_batch() -> None:
    assert list(cut([], Counter())) == []
    assert list(cut(table(0).to_batches(), Counter())) == []


def many_days(count: int, days: int) -> pa.Table:
    """Records of so many days in turn, as a tool writes that flushes what it held."""
    times = [START + timedelta(days=n * 7 % days, seconds=n) for n in range(count)]
    rows = table(count)
    place = rows.schema.get_field_index("observed_at")
    column = pa.array(times, rows.schema.field(place).type)
    return rows.set_column(place, rows.schema.field(place), column)


def test_of_many_days_at_once_no_more_waits_than_two_batches_and_a_run() -> None:
    given = 0

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal given
        for batch in batches:
            given += batch.num_rows
            yield batch

    whole, taken, most = many_days(2000, 300), 0, 0
    for made in cut(counted(pieces(whole, 0)), Counter()):
        most = max(most, given - taken)
        taken += made.records
        assert made.first.date() == made.last.date()
    assert taken == 2000
    # What waits, the run that was just sorted, and the piece that filled it.
    assert most <= 25 * 3 + 40


def test_of_many_days_too_the_pieces_make_no_difference() -> None:
    whole = many_days(1000, 90)
    once = [each.arrow for each in cut(pieces(whole, 0), Counter())]
    for seed in range(1, 5):
        assert [each.arrow for each in cut(pieces(whole, seed), Counter())] == once
    rows = pa.concat_tables([pa.ipc.open_stream(io.BytesIO(each)).read_all() for each in once])
    assert rows.sort_by("observed_at").equals(whole.cast(rows.schema).sort_by("observed_at"))
