"""CSV is read by its header: by our names or a map's, and by no guess; each line is counted."""

import io
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.errors import FormatRefused
from icrstore.flow.readers import Hints, Tally, maps, open_records, separated
from icrstore.flow.readers.separated import Layout, read_fields

from .readings import reading

HEADER = (
    "observed_at,protocol,source_address,source_port,destination_address,destination_port,account"
)
ROW = "2026-03-01T12:00:00.25Z,6,192.0.2.7,51234,2001:db8::443,443,line-17"
RECORD = (6, "192.0.2.7", 51234, "2001:db8::443", 443, "line-17")


def table(*rows: str, header: str = HEADER) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode("utf-8", "surrogateescape")


def records(content: bytes, **expected: int) -> list[tuple[object, ...]]:
    made, tally = reading(content)
    assert tally.not_records.pop("header") == 1
    assert tally.not_records == expected
    names = ("protocol", "source_address", "source_port", "destination_address")
    return [tuple(r.get(n) for n in (*names, "destination_port", "account")) for r in made]


def test_a_header_of_our_names_is_known_in_any_order() -> None:
    places = [6, 3, 0, 5, 1, 4, 2]
    header, row = (",".join(line.split(",")[at] for at in places) for line in (HEADER, ROW))
    assert records(table(row, header=header)) == [RECORD]
    assert records(b"\xef\xbb\xbf" + table(ROW)) == [RECORD]
    assert records(table(ROW).replace(b"\n", b"\r\n")) == [RECORD]


def test_quotes_may_stand_around_each_field_and_double_in_it() -> None:
    quoted = ",".join(f'"{field}"' for field in ROW.split(","))
    assert records(table(quoted, ROW)) == [RECORD, RECORD]
    odd = ROW.replace("line-17", '"line ""17"", first"')
    assert records(table(odd, ROW)) == [(*RECORD[:-1], 'line "17", first'), RECORD]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (HEADER.replace("source_port", "src_port"), "src_port"),
        (HEADER + ",url", "url"),
        (HEADER + ",account", "account"),
    ],
)
def test_a_column_that_no_record_has_or_is_there_twice_is_refused_by_name(
    header: str, named: str
) -> None:
    with pytest.raises(FormatRefused, match=named):
        reading(table(ROW, header=header))


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(FormatRefused, match="protocol"):
        reading(table(ROW, header=HEADER.replace("protocol,", "")), "csv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("Z,", ","), "time-without-offset"),
        (ROW.replace("2026-03-01", "2026-02-29"), "bad-time"),
        (ROW.replace(",6,", ",tcpx,"), "unknown-protocol"),
        (ROW.replace(",6,", ",256,"), "unknown-protocol"),
        (ROW.replace("192.0.2.7", ""), "bad-address"),
        (ROW.replace("192.0.2.7", "192.0.2.7\udcff"), "bad-address"),
        (ROW.replace("line-17", "line-\udcff"), "bad-account"),
        (ROW.replace("51234", "70000"), "port-out-of-range"),
        (ROW.replace("51234", "-1"), "bad-port"),
        (ROW + ",x", "wrong-number-of-fields"),
        (ROW.replace(",6", ""), "wrong-number-of-fields"),
        (ROW.replace("line-17", '"line-17'), "wrong-quotes"),
        (ROW.replace("line-17", '"line"-17'), "wrong-quotes"),
        ("", "blank-line"),
        ("  ", "blank-line"),
        ("a\rb", "wrong-number-of-fields"),
    ],
)
def test_a_bad_row_is_counted_where_it_stands_and_its_neighbours_are_read(
    row: str, reason: str
) -> None:
    content = table(ROW, row, ROW)
    assert records(content, **{reason: 1}) == [RECORD, RECORD]
    _, tally = reading(content)
    assert tally.first_lines[reason] == 3


def test_a_last_line_without_newline_may_have_gone_on() -> None:
    made, tally = reading(table(ROW, ROW)[:-1])
    assert (len(made), tally.cut_off, tally.not_records["truncated-line"]) == (1, True, 1)
    made, tally = reading(HEADER.encode())
    assert (made, tally.cut_off) == ([], False)


def test_named_columns_are_read_where_the_operator_says_and_the_rest_stays_and_is_counted() -> None:
    header = HEADER.replace("source_port", "sport") + ",url"
    hints = Hints(columns={"source_port": "sport"})
    tally = Tally()
    (batch,) = open_records(io.BytesIO(table(ROW + ",x", header=header)), None, tally, hints)
    assert batch.column("source_port").to_pylist() == [51234]
    assert tally.left_out == {"url": 1}
    with pytest.raises(FormatRefused, match="sport"):
        list(open_records(io.BytesIO(table(ROW)), None, Tally(), hints))
    with pytest.raises(FormatRefused, match="src"):
        Hints(columns={"src": "x"}).mapping()


@pytest.mark.parametrize("name", maps.names())
def test_a_map_whose_column_was_renamed_is_refused_by_name(name: str) -> None:
    map = maps.load(name)
    header = [names[-1] for names in map.columns.values()]
    for element, names in map.columns.items():
        if element not in map.optional:
            renamed = ",".join("renamed" if column in names else column for column in header)
            with pytest.raises(FormatRefused, match=names[-1]):
                list(open_records(io.BytesIO(renamed.encode()), "csv", Tally(), Hints(map=map)))


def test_local_times_are_of_the_zone_and_refused_in_the_hour_that_comes_twice() -> None:
    rows = [ROW.replace("2026-03-01T12:00:00.25Z", time) for time in (
        "2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 02:30:00", "2026-06-01 12:00:00",
    )]  # fmt: skip
    tally = Tally()
    hints = Hints(zone=ZoneInfo("Europe/London"))
    (batch,) = open_records(io.BytesIO(table(*rows)), None, tally, hints)
    assert batch.column("observed_at").to_pylist() == [
        datetime(2026, 10, 24, 23, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 2, 30, tzinfo=UTC),
        datetime(2026, 6, 1, 11, tzinfo=UTC),
    ]
    assert tally.not_records == {"header": 1, "time-ambiguous": 1}


LAYOUT = Layout(("a", "b", "c"), frozenset("ab"), ",", frozenset("-"), has_quotes=False)
PARTS = st.sampled_from(
    ["a", "-", "", ",", ",", ",", "\n", "\n", "\r", "\r\n", '"', " ", "é", "\udcff", "\x00", "\t"]
)


def fields_of(block: bytes, *, by_line: bool) -> tuple[Any, ...]:
    with pytest.MonkeyPatch.context() as patch:
        if by_line:
            patch.setattr(separated, "_at_once", None)
            patch.setattr(separated, "is_plain", lambda *_: False)
        tally = Tally(line=1)
        fields = read_fields(block, LAYOUT, tally, 0)
        columns = {name: column.to_pylist() for name, column in fields.columns.items()}
        return columns, list(fields.lines), tally


@settings(deadline=None, max_examples=200)
@given(st.lists(PARTS, min_size=1, max_size=40).map("".join))
def test_a_block_at_once_is_what_its_lines_are_one_by_one(text: str) -> None:
    block = text.encode("utf-8", "surrogateescape")
    assert fields_of(block, by_line=False) == fields_of(block, by_line=True)


def test_an_operators_map_is_checked(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    good = 'meaning = "mine"\n[columns]\nobserved_at = "t"\nprotocol = "p"\nsource_address = "s"\n'
    path.write_text(good + 'destination_address = "d"\n')
    content = b"t,p,s,d,x\n2026-03-01T12:00:00Z,udp,192.0.2.1,192.0.2.2,secret\n"
    tally = Tally()
    (batch,) = open_records(io.BytesIO(content), None, tally, Hints(map=maps.load(str(path))))
    assert isinstance(batch, pa.RecordBatch)
    assert tally.left_out == {"x": 1}
    for wrong, named in (
        (good, "destination_address"),
        (good + 'destination_address = "d"\nurl = "u"\n', "url"),
        (good + "destination_address = []\n", "destination_address"),
        ("]", "TOML"),
        (good + 'destination_address = "d"\n[none]\nurl = ["-"]\n', "url"),
    ):
        path.write_text(wrong)
        with pytest.raises(FormatRefused, match=named):
            maps.load(str(path))
    with pytest.raises(FormatRefused, match="pmacct"):
        maps.load("nobody")
    with pytest.raises(FormatRefused, match="No such file"):
        maps.load(str(tmp_path / "away.toml"))
