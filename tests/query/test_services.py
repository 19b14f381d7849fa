from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.schema import NANOSECONDS, UNITS, Unit, address_bytes, record_schema
from icrstore.query.names import PORTS, PROTOCOLS, is_tunnel, service
from icrstore.query.records import Records
from icrstore.query.services import LIMITS, TUNNEL_LIMIT, ServiceReport, Tally, limits
from icrstore.seal import account_map
from icrstore.seal.group import by_hour
from icrstore.seal.rows import Segment

HOUR = datetime(2026, 11, 22, 9, tzinfo=UTC)
START = int(HOUR.timestamp()) * 10**9
Segments = list[tuple[datetime, Segment]]


def row(nanoseconds: int = 0, **changed: Any) -> dict[str, Any]:
    """A record so long after the hour's start."""
    return {
        "observed_at": START + nanoseconds,
        "protocol": 6,
        "source_address": address_bytes("192.168.1.7"),
        "source_port": 40001,
        "destination_address": address_bytes("198.51.100.7"),
        "destination_port": 443,
        "post_nat_source_address": address_bytes("203.0.113.9"),
        "post_nat_source_port": 50001,
        "account": "zoe",
        **changed,
    }


def sealed(rows: Sequence[dict[str, Any]], unit: Unit = "ns") -> Segments:
    """The rows as segments of the account map, as a sealer writes them."""
    scaled = [{**r, "observed_at": r["observed_at"] // NANOSECONDS[unit]} for r in rows]
    schema = record_schema(unit)
    index = schema.get_field_index("observed_at")
    plain = schema.set(index, pa.field("observed_at", pa.int64()))
    table = pa.Table.from_pylist(scaled, plain).cast(schema)
    made: Segments = []
    for hour, group in by_hour(table):
        pieces = list(account_map.pieces(group))
        for n, piece in enumerate(pieces):
            made.append((hour, Segment(n, len(pieces) - 1, piece.records, piece.columns)))
    return made


def report(account: str, segments: Segments) -> ServiceReport:
    made = Tally()
    if segments:
        made.add(Records(segments))
    return made.report(account)


def test_each_destination_protocol_and_port_is_a_line() -> None:
    rows = [
        row(1), row(2), row(3, destination_port=80), row(4, protocol=17),
        row(5, destination_address=address_bytes("2001:db8::1")),
    ]  # fmt: skip
    made = report("zoe", sealed(rows))
    assert [
        (s["destination_address"], s["protocol"], s["destination_port"], s["service"], s["records"])
        for s in made.services
    ] == [
        ("198.51.100.7", 6, 443, "https", 2),
        ("198.51.100.7", 6, 80, "http", 1),
        ("198.51.100.7", 17, 443, "https", 1),
        ("2001:db8::1", 6, 443, "https", 1),
    ]
    assert (made.records, made.collapsed) == (5, 0)
    assert made.by_service == [
        {"account": "zoe", "service": "https", "records": 4, "destinations": 2},
        {"account": "zoe", "service": "http", "records": 1, "destinations": 1},
    ]


def test_equal_records_collapse_whoever_sent_them_and_are_counted() -> None:
    made = report("zoe", sealed([row(1)] * 3) + sealed([row(1), row(2)]))
    assert (made.records, made.collapsed) == (2, 3)
    assert made.services[0]["records"] == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"observed_at": START + 2}, {"protocol": 17}, {"source_address": address_bytes("::1")},
        {"source_port": 1}, {"source_port": None}, {"destination_port": 444},
        {"destination_port": None}, {"destination_address": address_bytes("::2")},
        {"post_nat_source_address": None, "post_nat_source_port": None},
        {"post_nat_source_port": None}, {"post_nat_source_port": 0},
        {"post_nat_source_address": bytes(16)},
    ],
)  # fmt: skip
def test_records_that_differ_in_one_field_are_two(changed: dict[str, Any]) -> None:
    first = row(1, post_nat_source_port=1) if "post_nat_source_port" in changed else row(1)
    made = report("zoe", sealed([first]) + sealed([{**first, **changed}]))
    assert (made.records, made.collapsed) == (2, 0)


def test_nothing_and_zero_are_not_the_same_port() -> None:
    made = report("zoe", sealed([row(1, destination_port=None), row(1, destination_port=0)]))
    assert [s.get("destination_port") for s in made.services] == [0, None]
    assert made.records == 2


def test_a_protocol_without_ports_has_none_in_its_line() -> None:
    ping = row(1, protocol=1, source_port=None, destination_port=None,
               post_nat_source_port=None)  # fmt: skip
    (line,) = report("zoe", sealed([ping])).services
    assert "destination_port" not in line
    assert line["service"] == "icmp"


@pytest.mark.parametrize(
    ("unit", "nanoseconds", "told"),
    [
        ("ns", 1, "2026-11-22T09:00:00.000000001Z"),
        ("ns", 3_599_999_999_999, "2026-11-22T09:59:59.999999999Z"),
        ("ns", 500_000_000, "2026-11-22T09:00:00.5Z"),
        ("us", 1_000, "2026-11-22T09:00:00.000001Z"),
        ("ms", 1_000_000, "2026-11-22T09:00:00.001Z"),
        ("s", 0, "2026-11-22T09:00:00Z"),
        ("s", 3_599 * 10**9, "2026-11-22T09:59:59Z"),
    ],
)
def test_times_are_told_to_the_nanosecond(unit: Unit, nanoseconds: int, told: str) -> None:
    (line,) = report("zoe", sealed([row(nanoseconds)], unit)).services
    assert (line["first"], line["last"]) == (told, told)


def test_one_instant_in_every_precision_is_one_record() -> None:
    segments = [one for unit in UNITS for one in sealed([row(7 * 10**9)], unit)]
    made = report("zoe", segments)
    assert (made.records, made.collapsed) == (1, 3)


def test_first_and_last_are_of_all_hours() -> None:
    hours = [row(n * 3600 * 10**9 + n) for n in (5, 0, 9)]
    (line,) = report("zoe", sealed(hours)).services
    assert line["first"] == "2026-11-22T09:00:00Z"
    assert line["last"] == "2026-11-22T18:00:00.000000009Z"


def test_no_segment_at_all_is_an_empty_report() -> None:
    made = report("zoe", [])
    assert (made.records, made.collapsed, made.services, made.by_service) == (0, 0, [], [])
    assert limits([made]) == list(LIMITS)


@pytest.mark.parametrize(
    ("protocol", "port", "is_one"),
    [(47, None, True), (50, None, True), (41, None, True), (4, None, True), (17, 51820, True),
     (17, 4500, True), (17, 1194, True), (6, 1194, True), (6, 1723, True), (17, 3544, True),
     (6, 51820, False), (17, 443, False), (6, 443, False), (1, None, False)],
)  # fmt: skip
def test_tunnels_are_named_beside_the_answer(protocol: int, port: int | None, is_one: bool) -> None:
    ports = {} if port is not None else {"source_port": None, "post_nat_source_port": None}
    made = report("zoe", sealed([row(1, protocol=protocol, destination_port=port, **ports)]))
    assert (TUNNEL_LIMIT in limits([made, report("yan", [])])) == is_one


def test_a_port_without_a_name_keeps_its_number() -> None:
    assert service(17, 51413) == "udp/51413"
    assert service(6, 443) == service(17, 443) == "https"
    assert service(99, None) == "protocol 99"
    assert service(99, 443) == "protocol 99/443"
    assert service(132, 443) == "sctp/443"
    assert service(1, None) == "icmp"


def test_names_are_plain_and_none_is_a_tunnel_by_accident() -> None:
    for names in (PROTOCOLS, *PORTS.values()):
        for number, name in names.items():
            assert 0 <= number <= 65535
            assert is_tunnel(name) == name.endswith(" (tunnel)")
            assert name == name.strip().lower()


DESTINATIONS = [address_bytes(f"198.51.100.{n}") for n in range(4)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5 * 3600 * 1000 - 1), st.sampled_from([6, 17]),
            st.sampled_from([None, 0, 53, 443]), st.sampled_from(DESTINATIONS),
        ),
        max_size=40,
    ),
    st.sampled_from(UNITS),
)  # fmt: skip
def test_a_report_counts_as_a_reader_would(
    drawn: list[tuple[int, int, int | None, bytes]], unit: Unit
) -> None:
    step = NANOSECONDS[unit]
    rows = [
        row(ms * 10**6 // step * step, protocol=protocol, destination_port=port,
            destination_address=place)
        for ms, protocol, port, place in drawn
    ]  # fmt: skip
    made = report("zoe", sealed(rows, unit) if rows else [])
    distinct = {tuple(sorted(r.items(), key=str)) for r in rows}
    wanted = Counter(
        (r["destination_address"], r["protocol"], r["destination_port"])
        for r in map(dict, distinct)
    )
    told = {
        (address_bytes(s["destination_address"]), s["protocol"], s.get("destination_port")):
        s["records"] for s in made.services
    }  # fmt: skip
    assert told == wanted
    assert (made.records, made.collapsed) == (len(distinct), len(rows) - len(distinct))
