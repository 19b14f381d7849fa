"""NAT events out of exports: every kind, and blocks of ports."""

from collections.abc import Sequence
from typing import Any

import pytest

from icrstore.flow.readers.exports import blocks

from .exported import (
    EVENT,
    FLOW,
    NOON,
    NOON_TIME,
    NOWHERE,
    TO,
    Field,
    a_set,
    ipfix,
    read,
    template,
    values,
)


def event(kind: int, *more: Any, fields: Sequence[Field] = ()) -> Any:
    all_fields = [*EVENT, *fields]
    row = values(all_fields, NOON * 1000, kind, 17, "10.0.0.7", 50_000, "203.0.113.5", 6000, *more)
    return read(ipfix(template(all_fields), a_set(256, row)))


@pytest.mark.parametrize(
    ("kinds", "wanted"), [((1, 4, 6, 8, 10, 14, 16), 1), ((2, 5, 7, 9, 11, 15, 17), 2)]
)
def test_every_event_begins_or_ends_a_translation(kinds: Sequence[int], wanted: int) -> None:
    for kind in kinds:
        (row,), _ = event(kind)
        assert row == {
            "observed_at": NOON_TIME,
            "nat_event": wanted,
            "protocol": 17,
            "source_address": "10.0.0.7",
            "source_port": 50_000,
            "post_nat_source_address": "203.0.113.5",
            "post_nat_source_port": 6000,
        }


@pytest.mark.parametrize(
    ("kind", "reason"),
    [*((kind, "nat-limit") for kind in (3, 12, 13, 18)), (19, "unknown-nat-event")],
)
def test_what_ran_out_is_counted_and_no_event(kind: int, reason: str) -> None:
    fields: list[Field] = [(323, 8), (230, 1), (225, 4)]
    row = values(fields, NOON * 1000, kind, "203.0.113.5")
    rows, tally = read(ipfix(template(fields), a_set(256, row)))
    assert (rows, tally.not_records) == ([], {reason: 1})


@pytest.mark.parametrize(("kind", "wanted"), [(12, 1), (13, 2)])
def test_an_address_bound_by_the_numbers_of_the_draft(kind: int, wanted: int) -> None:
    fields: list[Field] = [(323, 8), (230, 1), (8, 4), (225, 4)]
    row = values(fields, NOON * 1000, kind, "10.0.0.7", "203.0.113.5")
    (found,), _ = read(ipfix(template(fields), a_set(256, row)))
    assert found["nat_event"] == wanted


def test_of_ds_lite_the_ipv6_address_is_the_subscribers() -> None:
    (row,), _ = event(4, "2001:db8::b4", fields=[(27, 16)])
    assert row["source_address"] == "2001:db8::b4"
    (row,), _ = event(4, "::", fields=[(27, 16)])
    assert row["source_address"] == "10.0.0.7"


def test_an_event_from_outside_is_no_subscribers() -> None:
    rows, tally = event(4, 2, fields=[(229, 1)])
    assert (rows, tally.not_records) == ([], {"from-outside": 1})
    assert len(event(4, 1, fields=[(229, 1)])[0]) == 1


def test_an_event_of_one_connection_tells_where_it_went() -> None:
    (row,), _ = event(4, "198.51.100.9", 443, fields=[(12, 4), (11, 2)])
    assert (row["destination_address"], row["destination_port"]) == ("198.51.100.9", 443)


def test_an_event_is_when_it_was_observed() -> None:
    (row,), _ = event(4, NOON * 1000 - 60_000, fields=[(152, 8)])
    assert row["observed_at"] == NOON_TIME


@pytest.mark.parametrize(
    ("fields", "given", "wanted"),
    [
        ([(361, 2), (362, 2)], [1024, 2047], (1024, 2047)),
        ([(361, 2), (364, 2)], [1024, 1024], (1024, 2047)),
        ([(361, 2), (362, 2), (363, 2), (364, 2)], [1024, 2047, 1, 9], (1024, 2047)),
        ([(361, 2), (362, 2), (364, 2)], [1024, 0, 512], (1024, 1535)),
        ([(361, 2), (362, 2)], [0, 0], (None, None)),
    ],
)
def test_a_block_of_ports(fields: list[Field], given: list[int], wanted: Any) -> None:
    all_fields: list[Field] = [(323, 8), (230, 1), (8, 4), (225, 4), *fields]
    row = values(all_fields, NOON * 1000, 16, "10.0.0.7", "203.0.113.5", *given)
    (found,), tally = read(ipfix(template(all_fields), a_set(256, row)))
    assert (found.get("port_range_start"), found.get("port_range_end")) == wanted
    assert not {"protocol", "source_port", "post_nat_source_port"} & found.keys()
    assert tally.not_records == {}


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ([(361, 2), (363, 2), (364, 2)], [1024, 4, 3]),
        ([(361, 2), (362, 2), (363, 2)], [1024, 1032, 4]),
        ([(361, 2), (362, 2), (363, 2), (364, 2)], [1024, 60_000, 4, 3]),
    ],
)
def test_a_block_whose_ports_lie_apart_is_an_event_of_each(
    fields: list[Field], given: list[int]
) -> None:
    all_fields: list[Field] = [(323, 8), (230, 1), (8, 4), (225, 4), *fields]
    ends = ("10.0.0.7", "203.0.113.5")
    row = values(all_fields, NOON * 1000, 16, *ends, *given)
    plain = values(all_fields, NOON * 1000, 16, *ends, *([0] * len(given)))
    rows, tally = read(ipfix(template(all_fields), a_set(256, plain, row, plain)))
    assert [each.get("post_nat_source_port") for each in rows] == [None, 1024, 1028, 1032, None]
    assert not {"port_range_start", "port_range_end"} & {name for each in rows for name in each}
    assert (tally.not_records, tally.left_out) == ({}, {})


def test_scattered_blocks_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_PORTS_AT_ONCE", 10_000)
    fields: list[Field] = [(8, 4), (225, 4), (230, 1), (361, 2), (363, 1), (364, 2)]
    row = values(fields, "10.0.0.7", "203.0.113.5", 16, 1024, 2, 4096)
    rows, tally = read(ipfix(template(fields), a_set(256, *[row] * 4000)))
    assert len(rows) == 2 * 4096
    assert tally.not_records == {"port-block-too-scattered": 4000 - 2}


@pytest.mark.parametrize(
    ("fields", "given", "reason"),
    [
        ([(361, 2), (363, 2), (364, 2)], [1024, 2, 4097], "port-block-too-scattered"),
        ([(361, 2), (362, 2), (363, 2)], [1, 65_535, 2], "port-block-too-scattered"),
        ([(361, 2), (363, 2), (364, 2)], [1024, 1024, 64], "bad-port"),
        ([(361, 8), (363, 8), (364, 8)], [1, (1 << 64) - 1, (1 << 64) - 1], "bad-port"),
        ([(361, 2), (362, 2)], [2048, 1024], "bad-port"),
        ([(361, 2), (364, 2)], [65_000, 1024], "bad-port"),
    ],
)
def test_a_block_that_cannot_be_is_no_event(
    fields: list[Field], given: list[int], reason: str
) -> None:
    rows, tally = event(16, *given, fields=fields)
    assert (rows, tally.not_records) == ([], {reason: 1})


def test_an_event_without_both_addresses_is_none() -> None:
    fields: list[Field] = [(323, 8), (230, 1), (8, 4), (225, 4)]
    rows, tally = read(
        ipfix(
            template(fields),
            a_set(256, values(fields, NOON * 1000, 14, "10.0.0.7", NOWHERE)),
            a_set(256, values(fields, NOON * 1000, 14, NOWHERE, "203.0.113.5")),
        )
    )
    assert (rows, tally.not_records) == ([], {"no-addresses": 2})


def test_connections_and_events_may_share_a_template() -> None:
    fields: list[Field] = [*FLOW, (230, 1), (225, 4)]
    rows, tally = read(
        ipfix(
            template(fields),
            a_set(256, *(values(fields, *TO, NOON * 1000, kind, "203.0.113.5") for kind in (0, 4))),
        )
    )
    assert [row.get("nat_event") for row in rows] == [None, 1]
    assert tally.not_records == {}
