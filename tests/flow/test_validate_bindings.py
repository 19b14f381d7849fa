"""Bindings that may be retained, and why the others may not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.elements import BINDING_ELEMENTS
from icrstore.flow.errors import BatchRefused
from icrstore.flow.schema import Unit, address_bytes, binding_schema, is_of_bindings
from icrstore.flow.validate import Scope, validate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def binding(**changed: Any) -> dict[str, Any]:
    return {
        "observed_at": NOON,
        "observed_until": NOON + SECOND,
        "protocol": 17,
        "post_nat_source_address": address_bytes("198.51.100.1"),
        "port_range_start": 640,
        "port_range_end": 640,
        "account": "line-17",
    } | changed


def batch(*rows: dict[str, Any], unit: Unit = "us") -> pa.RecordBatch:
    schema = pa.schema([field.with_nullable(True) for field in binding_schema(unit)])
    return pa.RecordBatch.from_pylist(list(rows), schema)


def rejected(**changed: Any) -> dict[str, int]:
    scope = Scope(NOON, NOON)
    return dict(validate(batch(binding(**changed)), now=NOON + HOUR, scope=scope).rejected)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"observed_at": None}, "observed-at-missing"),
        ({"observed_until": None}, "observed-until-missing"),
        ({"post_nat_source_address": None}, "post-nat-source-address-missing"),
        ({"protocol": None}, None),
        ({"observed_until": NOON}, None),
        ({"observed_until": NOON - SECOND}, "ends-before-it-begins"),
        ({"observed_until": NOON + HOUR}, None),
        ({"observed_until": NOON + HOUR + SECOND}, "not-within-one-hour"),
        ({"observed_at": NOON + HOUR - SECOND, "observed_until": NOON + HOUR}, None),
        ({"observed_at": NOON - SECOND}, "outside-scope"),
        ({"observed_at": NOON + HOUR, "observed_until": NOON + HOUR}, "outside-scope"),
        ({"observed_at": NOON - 48 * HOUR}, "time-too-old"),
        ({"observed_at": NOON + 2 * HOUR, "observed_until": NOON + 2 * HOUR}, "time-in-future"),
        ({"port_range_start": None}, "half-a-port-range"),
        ({"port_range_end": None}, "half-a-port-range"),
        ({"port_range_start": None, "port_range_end": None}, None),
        ({"port_range_start": 641}, "port-range-reversed"),
        ({"port_range_start": 0, "port_range_end": 65_535}, None),
        ({"protocol": 1}, "port-on-portless-protocol"),
        ({"protocol": 1, "port_range_start": None, "port_range_end": None}, None),
        ({"account": None}, "account-missing"),
        ({"account": ""}, "account-missing"),
        ({"account": "a\n"}, "account-control-character"),
        ({"account": "a" * 65}, "account-too-long"),
        ({"account": "e\u0301"}, "account-not-nfc"),
    ],
)
def test_each_reason(changed: dict[str, Any], reason: str | None) -> None:
    assert rejected(**changed) == ({reason: 1} if reason else {})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_hours_edges_in_every_unit(unit: Unit) -> None:
    rows = batch(
        binding(observed_until=NOON + HOUR),
        binding(observed_at=NOON + HOUR, observed_until=NOON + 2 * HOUR),
        binding(observed_until=NOON + HOUR + SECOND),
        unit=unit,
    )
    verdict = validate(rows, now=NOON + 3 * HOUR)
    assert (verdict.kept.tolist(), verdict.rejected) == (
        [True, True, False], {"not-within-one-hour": 1}
    )  # fmt: skip
    assert is_of_bindings(verdict.good)


def test_the_farthest_times_that_there_are_overflow_nothing() -> None:
    for unit in ("s", "ms", "us", "ns"):
        ends = pa.array([2**63 - 1, -(2**63)], pa.timestamp(unit, tz="UTC"))
        begins = pa.array([-(2**63), 2**63 - 1], pa.timestamp(unit, tz="UTC"))
        rows = batch(binding(), binding(), unit=unit)
        for names, columns in ((("observed_at",), (begins,)), (("observed_until",), (ends,))):
            wrong = rows.set_column(rows.schema.get_field_index(*names), *names, *columns)
            assert not validate(wrong, now=NOON + HOUR).good.num_rows


@pytest.mark.parametrize("element", [each.name for each in BINDING_ELEMENTS])
def test_columns_that_are_not_a_bindings_are_refused_by_name(element: str) -> None:
    whole = batch(binding())
    place = whole.schema.get_field_index(element)
    wrong = whole.set_column(place, element, pa.array([1.5]))
    for broken in (whole.drop_columns([element]), whole.append_column(element, whole[element])):
        with pytest.raises(BatchRefused):
            validate(broken, now=NOON)
    with pytest.raises(BatchRefused, match=element):
        validate(wrong, now=NOON)


def test_a_connections_columns_beside_a_bindings_are_refused() -> None:
    both = batch(binding()).append_column("destination_port", pa.array([443], pa.uint16()))
    with pytest.raises(BatchRefused, match="destination_port"):
        validate(both, now=NOON)
