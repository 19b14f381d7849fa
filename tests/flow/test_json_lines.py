"""icrstore's own lines of JSON come back as the records that were written."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.collector.read import ndjson
from icrstore.flow.readers import Tally, open_records
from icrstore.flow.schema import UNITS, Unit, record_schema

from .readings import reading

LINE = {
    "observed_at": "2015-05-18T17:20:41.947863Z",
    "protocol": 17,
    "source_address": "192.0.2.34",
    "source_port": 49163,
    "destination_address": "2001:db8::1",
    "destination_port": 53,
}

PORTS = st.none() | st.integers(0, 65535)
ADDRESSES = st.binary(min_size=16, max_size=16)
SCALES = dict(zip(UNITS, (1, 10**3, 10**6, 10**9), strict=True))


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    unit: Unit = draw(st.sampled_from(UNITS))
    ticks = st.integers(0, 8_999_999_999 * SCALES[unit])
    row = st.fixed_dictionaries(
        {
            "observed_at": ticks.map(lambda tick: pa.scalar(tick).cast(pa.timestamp(unit, "UTC"))),
            "protocol": st.integers(0, 255),
            "source_address": ADDRESSES,
            "source_port": PORTS,
            "destination_address": ADDRESSES,
            "destination_port": PORTS,
            "post_nat_source_address": st.none() | ADDRESSES,
            "post_nat_source_port": PORTS,
            "account": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        }
    )
    rows = draw(st.lists(row, min_size=1, max_size=5))
    schema = record_schema(unit)
    columns = [pa.array([r[f.name] for r in rows], f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@settings(deadline=None)
@given(batches())
def test_what_is_written_reads_as_the_same_records_in_the_same_precision(
    batch: pa.RecordBatch,
) -> None:
    tally = Tally()
    content = "".join(f"{line}\n" for line in ndjson(batch)).encode()
    assert list(open_records(io.BytesIO(content), None, tally)) == [batch]
    assert not tally.not_records


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2015-05-18T17:20:41Z", datetime(2015, 5, 18, 17, 20, 41, tzinfo=UTC)),
        ("2015-05-18t17:20:41z", datetime(2015, 5, 18, 17, 20, 41, tzinfo=UTC)),
        ("2015-05-18T19:20:41+02:00", datetime(2015, 5, 18, 17, 20, 41, tzinfo=UTC)),
        ("2015-05-18T17:20:41-00:00", datetime(2015, 5, 18, 17, 20, 41, tzinfo=UTC)),
        ("2016-02-29T00:00:00.5Z", datetime(2016, 2, 29, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_it_reads_the_times_of_rfc_3339(time: str, moment: datetime) -> None:
    ((record,), _) = reading(json.dumps(LINE | {"observed_at": time}).encode())
    assert record["observed_at"] - moment == timedelta(0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"observed_at": "2015-05-18T17:20:41"}, "time-without-offset"),
        ({"observed_at": "2015-02-29T17:20:41Z"}, "bad-time"),
        ({"observed_at": "2015-05-18T24:20:41Z"}, "bad-time"),
        ({"observed_at": "2015-05-18T17:20:41.0000000001Z"}, "bad-time"),
        ({"observed_at": "1969-12-31T23:59:59Z"}, "bad-time"),
        ({"observed_at": "9999-12-31T23:59:59Z"}, "bad-time"),
        ({"observed_at": "\u0662015-05-18T17:20:41Z"}, "bad-time"),
        ({"observed_at": 1431969641}, "bad-time"),
        ({"observed_at": None}, "bad-time"),
        ({"protocol": "udp"}, "unknown-protocol"),
        ({"protocol": 256}, "unknown-protocol"),
        ({"protocol": True}, "unknown-protocol"),
        ({"protocol": None}, "unknown-protocol"),
        ({"source_address": "192.0.2"}, "bad-address"),
        ({"source_address": None}, "bad-address"),
        ({"source_address": 7}, "bad-address"),
        ({"destination_address": ""}, "bad-address"),
        ({"post_nat_source_address": "x"}, "bad-address"),
        ({"source_port": 65536}, "port-out-of-range"),
        ({"source_port": 10**4000}, "port-out-of-range"),
        ({"source_port": -1}, "bad-port"),
        ({"source_port": 1.5}, "bad-port"),
        ({"source_port": "53"}, "bad-port"),
        ({"post_nat_source_port": False}, "bad-port"),
        ({"account": 17}, "bad-account"),
        ({"account": "\ud800"}, "bad-account"),
        ({"url": "https://example.com"}, "unknown-field"),
        ({"src_port": 1}, "unknown-field"),
    ],
)
def test_a_bad_line_is_counted_and_its_neighbours_are_read(
    change: dict[str, Any], reason: str
) -> None:
    lines = [json.dumps(line) for line in (LINE, LINE | change, LINE)]
    records, tally = reading("\n".join([*lines, ""]).encode())
    assert len(records) == 2
    assert tally.not_records == {reason: 1}


@pytest.mark.parametrize("line", ["[" * 60_000, '{"a":' * 10_000, "NaN", "9" * 5000, "\udcff"])
def test_what_json_cannot_be_is_counted(line: str) -> None:
    content = f"{json.dumps(LINE)}\n{line}\n".encode("utf-8", "surrogateescape")
    records, tally = reading(content)
    assert len(records) == 1
    assert sum(tally.not_records.values()) == 1


def test_a_last_line_is_whole_with_its_brace_and_cut_off_without() -> None:
    text = json.dumps(LINE).encode()
    records, tally = reading(text + b"\n" + text)
    assert (len(records), tally.cut_off) == (2, False)
    for length in range(1, len(text)):
        records, tally = reading(text + b"\n" + text[:length])
        assert (len(records), tally.cut_off) == (1, True)
        assert tally.not_records == {"truncated-line": 1}
