"""Each map's own vectors are read as they say; `test_csv_tables` refuses what lacks a column."""

import io
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from icrstore.flow.readers import Hints, Tally, maps, open_records
from icrstore.flow.schema import address_text, event_schema, is_of_events, record_schema

VECTORS = [
    pytest.param(name, vector, id=f"{name}-{number}")
    for name in maps.names()
    for number, vector in enumerate(maps.load(name).vectors)
]


def read(content: bytes, hints: Hints, format: str | None = None) -> tuple[list[Any], Tally]:
    """Connections and events as plain values, and the tally."""
    tally, rows = Tally(), []
    for batch in open_records(io.BytesIO(content), format, tally, hints):
        schema = event_schema if is_of_events(batch) else record_schema
        assert batch.schema == schema(batch.schema.field("observed_at").type.unit)
        rows += [_plain(row) for row in batch.cast(schema("ns")).cast(_lossless(batch)).to_pylist()]
    assert tally.records == len(rows)
    assert tally.events == sum("nat_event" in row for row in rows)
    return rows, tally


def _lossless(batch: pa.RecordBatch) -> pa.Schema:
    """Times as integers: Python's have no nanoseconds."""
    schema = batch.schema
    return schema.set(0, pa.field("observed_at", pa.int64()))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: address_text(value) if name.endswith("_address") else value
        for name, value in row.items()
        if value is not None
    }


def _wanted(record: Mapping[str, Any]) -> dict[str, Any]:
    whole, _, fraction = record["observed_at"].removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return {**record, "observed_at": seconds * 10**9 + int(fraction.ljust(9, "0") or 0)}


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_a_maps_vectors_are_read_as_it_says(name: str, vector: Mapping[str, Any]) -> None:
    zone = ZoneInfo(vector["zone"]) if "zone" in vector else None
    rows, tally = read(vector["input"].encode(), Hints(zone=zone, map=maps.load(name)))
    assert rows == [_wanted(record) for record in vector["records"]]
    assert tally.not_records == vector["not_records"]
    assert tally.left_out == vector["left_out"]
    assert not tally.cut_off


def test_every_map_has_vectors_and_knows_its_columns() -> None:
    assert set(maps.names()) == {
        "akvorado", "argus", "goflow2", "nfdump", "pmacct", "vector"
    }  # fmt: skip
    assert {name for name, *_ in (each.values for each in VECTORS)} == set(maps.names())


def test_the_map_and_the_names_that_the_docs_teach_are_good(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "deploy" / "COLLECTING.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (taught,) = (block for block in blocks if "[columns]" in block)
    path = tmp_path / "taught.toml"
    path.write_text(taught)
    assert maps.load(str(path)).numbers == "ms"
    assert set(re.findall(r'map = "(\w+)"', text)) <= set(maps.names())
    for name in maps.names():
        assert f"`{name}`" in text


def test_a_map_may_be_of_text_between_tabs(tmp_path: Path) -> None:
    path = tmp_path / "tabs.toml"
    names = ("observed_at", "protocol", "source_address", "destination_address")
    columns = "\n".join(f'{name} = "{name[:4]}"' for name in names)
    path.write_text(f'meaning = "tabs"\nseparator = "\\t"\n[columns]\n{columns}\n')
    content = b"obse\tprot\tsour\tdest\n1772366400\t6\t192.0.2.1\t192.0.2.2\n"
    rows, _ = read(content, Hints(map=maps.load(str(path))))
    assert [row["protocol"] for row in rows] == [6]
