"""Arrow input is taken in exactly a record's columns, and not believed when it is cut off."""

import io

import pyarrow as pa
import pytest

from icrstore.flow.errors import BatchRefused
from icrstore.flow.readers import Tally, open_records
from icrstore.flow.schema import record_schema

from .readings import reading
from .records import batch, record


def written(*batches: pa.RecordBatch, as_file: bool = False) -> bytes:
    sink = io.BytesIO()
    new = pa.ipc.new_file if as_file else pa.ipc.new_stream
    with new(sink, batches[0].schema) as writer:
        for one in batches:
            writer.write_batch(one)
    return sink.getvalue()


@pytest.mark.parametrize("as_file", [False, True])
def test_a_stream_and_a_file_give_the_same_records(as_file: bool) -> None:
    one = batch(record(), record(account=None), unit="ns")
    records, tally = reading(written(one, one, as_file=as_file))
    assert (len(records), tally.cut_off, tally.not_records) == (4, False, {})
    assert [entry.get("account") for entry in records] == ["line-17", None] * 2


def test_a_large_batch_comes_in_pieces() -> None:
    one = batch(record())
    many = pa.Table.from_batches([one] * 70_000).combine_chunks().to_batches()[0]
    pieces = list(open_records(io.BytesIO(written(many)), None, Tally()))
    assert [piece.num_rows for piece in pieces] == [65_536, 70_000 - 65_536]


def test_a_record_without_what_it_needs_is_counted() -> None:
    bad = [record(**{name: None}) for name in ("observed_at", "protocol", "source_address")]
    records, tally = reading(written(batch(record(), *bad)))
    assert (len(records), tally.not_records) == (1, {"field-missing": 3})


def test_a_time_beyond_all_clocks_is_counted() -> None:
    times = pa.array([-1, 0, 8_999_999_999, 9_000_000_000, 2**62])
    one = batch(*[record()] * 5, unit="s")
    far = one.set_column(0, one.schema.field(0), times.cast(pa.timestamp("s", tz="UTC")))
    records, tally = reading(written(far))
    assert (len(records), tally.not_records) == (2, {"bad-time": 3})


@pytest.mark.parametrize("name", record_schema("us").names)
def test_a_foreign_column_is_refused_by_name_even_without_rows(name: str) -> None:
    one = batch(record()).slice(0, 0)
    renamed = one.rename_columns([f"my_{n}" if n == name else n for n in one.schema.names])
    with pytest.raises(BatchRefused, match=name):
        reading(written(renamed))


@pytest.mark.parametrize("as_file", [False, True])
def test_it_says_so_when_cut_off_anywhere(as_file: bool) -> None:
    one = batch(record())
    whole = written(one, one, as_file=as_file)
    end_mark = whole.index(b"\xff\xff\xff\xff\0\0\0\0") + 8
    for length in range(8, end_mark):
        records, tally = reading(whole[:length], "arrow")
        assert tally.cut_off
        assert len(records) <= 2
    assert not reading(whole[:end_mark], "arrow")[1].cut_off


def test_a_flipped_bit_is_refused_or_changes_one_value() -> None:
    whole = written(batch(record()))
    for place in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        try:
            records, _ = reading(bytes(broken), "arrow")
        except BatchRefused:
            continue
        assert len(records) <= 1


def test_an_account_that_is_not_utf_8_is_counted_and_its_neighbours_kept() -> None:
    content = written(batch(record(account="garbled"), record()))
    records, tally = reading(content.replace(b"garbled", b"garbl\xff\xfe"))
    assert [entry["account"] for entry in records] == ["line-17"]
    assert tally.not_records == {"bad-account": 1}
