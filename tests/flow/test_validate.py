"""Every rule of a record rejects the record that breaks it, and only that one."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.flow.errors import BatchRefused
from icrstore.flow.schema import UNITS, Unit, address_bytes, record_schema
from icrstore.flow.validate import NEWEST, OLDEST, Scope, validate

from .records import NOON, batch, record

V4 = address_bytes("198.51.100.1")
TICK = timedelta(microseconds=1)


def reasons(*records: dict[str, Any], **options: Any) -> dict[str, int]:
    return dict(validate(batch(*records), now=NOON, **options).rejected)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"observed_at": None}, "observed-at-missing"),
        ({"protocol": None}, "protocol-missing"),
        ({"source_address": None}, "source-address-missing"),
        ({"destination_address": None}, "destination-address-missing"),
        ({"observed_at": NOON - OLDEST - TICK}, "time-too-old"),
        ({"observed_at": NOON + NEWEST + TICK}, "time-in-future"),
        ({"protocol": 1}, "port-on-portless-protocol"),
        ({"protocol": 0, "source_port": None}, "port-on-portless-protocol"),
        ({"protocol": 255, "destination_port": None}, "port-on-portless-protocol"),
        ({"post_nat_source_port": 1024}, "post-nat-port-without-address"),
        ({"account": None}, "account-missing"),
        ({"account": ""}, "account-missing"),
        ({"account": "a" * 65}, "account-too-long"),
        ({"account": "é" * 33}, "account-too-long"),
        ({"account": "a\tb"}, "account-control-character"),
        ({"account": "a\0"}, "account-control-character"),
        ({"account": "a\x7f"}, "account-control-character"),
        ({"account": "a\x85"}, "account-control-character"),
        ({"account": "e\u0301"}, "account-not-nfc"),
    ],
)
def test_it_rejects_a_record_for_its_reason_and_keeps_its_neighbours(
    fields: dict[str, Any], reason: str
) -> None:
    good, bad = record(), record(**fields)
    verdict = validate(batch(good, bad, good), now=NOON)
    assert verdict.rejected == Counter({reason: 1})
    assert verdict.kept.tolist() == [True, False, True]
    assert verdict.good.to_pylist() == [good, good]


@pytest.mark.parametrize(
    "fields",
    [
        {"observed_at": NOON - OLDEST},
        {"observed_at": NOON + NEWEST},
        {"source_port": None, "destination_port": None},  # a fragment: its ports are not seen
        {"protocol": 17, "source_port": 0},
        {"protocol": 33},
        {"protocol": 132},
        {"protocol": 136},
        {"protocol": 1, "source_port": None, "destination_port": None},
        {"post_nat_source_address": V4},
        {"post_nat_source_address": V4, "post_nat_source_port": 1024},
        {"account": "é" * 32},
        {"account": " spaces count "},
    ],
)
def test_it_keeps_what_is_unusual_and_right(fields: dict[str, Any]) -> None:
    assert reasons(record(**fields)) == {}


def test_a_record_counts_once_under_the_first_rule_it_breaks() -> None:
    worst = record(observed_at=NOON - timedelta(days=9), protocol=1, account=None)
    assert reasons(worst, record(protocol=1, account="")) == {
        "time-too-old": 1,
        "port-on-portless-protocol": 1,
    }


def test_an_account_may_be_missing_where_the_caller_adds_it_later() -> None:
    assert reasons(record(account=None), account_required=False) == {}
    assert reasons(record(account=""), account_required=False) == {"account-missing": 1}


def test_both_hours_of_a_scope_are_inside_it() -> None:
    scope = Scope(NOON - timedelta(hours=2), NOON - timedelta(hours=1))
    inside = [NOON - timedelta(hours=2), NOON - TICK]
    outside = [NOON - timedelta(hours=2) - TICK, NOON]
    batches = [record(observed_at=time) for time in inside + outside]
    assert reasons(*batches, scope=scope) == {"outside-scope": 2}


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (NOON + timedelta(minutes=1), NOON + timedelta(hours=1)),
        (NOON, NOON - timedelta(hours=1)),
        (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)),
        (NOON.astimezone(timezone(timedelta(hours=1))), NOON),
    ],
)
def test_a_scope_is_whole_utc_hours_in_order(first: datetime, last: datetime) -> None:
    with pytest.raises(ValueError, match="scope"):
        Scope(first, last)


@pytest.mark.parametrize("unit", UNITS)
def test_limits_hold_in_every_unit_when_the_clock_stands_between_two_ticks(unit: Unit) -> None:
    now = NOON + timedelta(microseconds=500)
    oldest, newest = NOON - OLDEST, NOON + NEWEST
    step = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1)}.get(unit, TICK)
    inner = TICK * 500 if unit in ("us", "ns") else step
    records = batch(
        record(observed_at=oldest),  # 500 us too old
        record(observed_at=oldest + inner),
        record(observed_at=newest),
        record(observed_at=newest + (TICK * 501 if unit in ("us", "ns") else step)),
        unit=unit,
    )
    verdict = validate(records, now=now)
    assert verdict.kept.tolist() == [False, True, True, False]


def test_an_older_limit_may_be_set() -> None:
    old = record(observed_at=NOON - timedelta(hours=72))
    assert reasons(old, oldest=timedelta(hours=96)) == {}


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(UNITS))
def test_no_time_that_arrow_can_hold_confuses_it(ticks: int, unit: Unit) -> None:
    one = batch(record(), unit=unit)
    times = pa.array([ticks]).cast(pa.timestamp(unit, tz="UTC"))
    verdict = validate(one.set_column(0, "observed_at", times), now=NOON)
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    noon = int(NOON.timestamp()) * scale
    expected = noon - 48 * 3600 * scale <= ticks <= noon + 300 * scale
    assert verdict.kept.tolist() == [expected]


def test_a_table_of_several_chunks_is_judged_like_one_batch() -> None:
    table = pa.Table.from_batches([batch(record()), batch(record(account=None), record())])
    verdict = validate(table, now=NOON)
    assert verdict.rejected == {"account-missing": 1}
    assert verdict.kept.tolist() == [True, False, True]
    assert verdict.good.num_rows == 2


def test_an_empty_batch_is_good() -> None:
    verdict = validate(record_schema("s").empty_table(), now=NOON)
    assert verdict.good.num_rows == 0
    assert not verdict.rejected


def test_columns_in_another_order_come_out_in_order() -> None:
    shuffled = batch(record()).select(list(reversed(record_schema("us").names)))
    assert validate(shuffled, now=NOON).good.schema.names == record_schema("us").names


@pytest.mark.parametrize("name", record_schema("us").names)
def test_it_names_the_column_that_is_missing_renamed_mistyped_or_doubled(name: str) -> None:
    whole = batch(record())
    place = whole.schema.get_field_index(name)
    text = pa.array(["x"])
    for broken in (
        whole.remove_column(place),
        whole.rename_columns([f"my_{n}" if n == name else n for n in whole.schema.names]),
        whole.set_column(place, name, text if name != "account" else text.cast(pa.large_string())),
        whole.append_column(name, whole.column(place)),
    ):
        with pytest.raises(BatchRefused, match=name) as refused:
            validate(broken, now=NOON)
        assert refused.value.column == name


def test_it_names_a_column_that_no_record_has() -> None:
    with pytest.raises(BatchRefused, match="'url'") as refused:
        validate(batch(record()).append_column("url", pa.array(["x"])), now=NOON)
    assert refused.value.column == "url"


@pytest.mark.parametrize("zone", [None, "Europe/London", "+01:00"])
def test_times_must_be_utc(zone: str | None) -> None:
    times = pa.array([NOON.replace(tzinfo=None)]).cast(pa.timestamp("us", tz=zone))
    with pytest.raises(BatchRefused, match="UTC"):
        validate(batch(record()).set_column(0, "observed_at", times), now=NOON)


def accounts(content: bytes, *ends: int) -> Any:
    """A column of texts, of any bytes."""
    offsets = pa.py_buffer(b"".join(end.to_bytes(4, "little") for end in (0, *ends)))
    return pa.Array.from_buffers(pa.string(), len(ends), [None, offsets, pa.py_buffer(content)])


def test_an_account_that_is_not_utf_8_falls_out_before_anything_reads_it_and_alone() -> None:
    rows = batch(record(), record(account="b"), record())
    verdict = validate(rows.set_column(8, "account", accounts(b"a\xffb", 1, 2, 3)), now=NOON)
    assert verdict.rejected == Counter({"account-not-utf-8": 1})
    assert verdict.kept.tolist() == [True, False, True]
    assert [row["account"] for row in verdict.good.to_pylist()] == ["a", "b"]
    assert verdict.good.schema.names == record_schema("us").names


def test_accounts_that_are_not_there_refuse_the_batch() -> None:
    for ends in ((2, 1, 2), (900, 1, 2)):
        wrong = batch(record(), record(), record()).set_column(8, "account", accounts(b"ab", *ends))
        with pytest.raises(BatchRefused, match="not valid Arrow"):
            validate(wrong, now=NOON)


def test_nothing_of_a_record_is_in_a_reason() -> None:
    verdict = validate(batch(record(account="secret\n")), now=datetime.now(UTC))
    assert "secret" not in repr(verdict.rejected)
