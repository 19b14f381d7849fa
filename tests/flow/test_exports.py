"""Records out of exports: every version, encoding, time and kind of record."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports

from .exported import (
    FLOW,
    NOON,
    NOON_TIME,
    NOWHERE,
    SECOND,
    TO,
    Field,
    a_set,
    flow,
    ipfix,
    options,
    read,
    record_of_v5,
    rows_of,
    template,
    v5,
    v9,
    values,
)

PLAIN = {
    "observed_at": NOON_TIME,
    "protocol": 6,
    "source_address": "10.0.0.7",
    "source_port": 50_000,
    "destination_address": "198.51.100.9",
    "destination_port": 443,
}
ENDS: list[Field] = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1)]


def one(fields: Sequence[Field], *given: Any) -> dict[str, Any]:
    """The one row of an IPFIX record of these fields."""
    (row,), tally = read(ipfix(template(list(fields)), a_set(256, values(list(fields), *given))))
    assert tally.not_records == {}
    return row


def after(row: dict[str, Any]) -> float:
    return float((row["observed_at"] - NOON_TIME).total_seconds())


def test_each_version_gives_the_same_record() -> None:
    of_v5, _ = read(v5(record_of_v5(first=60_000)))
    of_v9, _ = read(v9(template(FLOW, version=9), a_set(256, flow())))
    of_ipfix, _ = read(ipfix(template(FLOW), a_set(256, flow())))
    assert of_v9 == of_ipfix == [PLAIN]
    # The header's seven milliseconds; finer than a millisecond v5 does not count.
    assert of_v5 == [PLAIN | {"observed_at": NOON_TIME + timedelta(milliseconds=7)}]


def test_ipv6_is_read() -> None:
    row = one([(27, 16), (28, 16), (4, 1)], "2001:db8::1", "2001:db8::2", 58)
    assert (row["source_address"], row["destination_address"]) == ("2001:db8::1", "2001:db8::2")
    assert row["protocol"] == 58


@pytest.mark.parametrize(
    ("four", "six", "wanted"),
    [
        ("10.0.0.7", "::", "10.0.0.7"),
        (NOWHERE, "2001:db8::1", "2001:db8::1"),
        (NOWHERE, "::", NOWHERE),
    ],
)
def test_of_two_addresses_the_one_that_is_there_counts(four: str, six: str, wanted: str) -> None:
    row = one([(8, 4), (27, 16), (12, 4), (4, 1)], four, six, "198.51.100.9", 17)
    assert row["source_address"] == wanted


def test_numbers_of_fewer_or_more_bytes_are_the_same_numbers() -> None:
    reduced: list[Field] = [(8, 4), (12, 4), (7, 1), (11, 3), (4, 2), (152, 6)]
    row = one(reduced, "10.0.0.7", "198.51.100.9", 53, 443, 6, NOON * 1000)
    assert row == PLAIN | {"source_port": 53}


def test_a_field_of_no_bytes_is_not_there() -> None:
    fields: list[Field] = [*ENDS, (0, 0), (225, 0), (371, 0), (152, 8)]
    assert one(fields, *TO, b"", b"", b"", NOON * 1000) == PLAIN


@pytest.mark.parametrize("length", [0, 1, 254, 255, 300])
def test_text_of_variable_length_is_stepped_over(length: int) -> None:
    head = bytes([length]) if length < 255 else b"\xff" + length.to_bytes(2)
    fields: list[Field] = [(8, 4), (460, 0xFFFF), (12, 4), (7, 2), (11, 2), (4, 1), (371, 0xFFFF)]

    def row(port: int) -> bytes:
        ends = values(ENDS[1:], TO[1], port, *TO[3:])
        return values([(8, 4)], TO[0]) + head + b"x" * length + ends

    told = row(1) + b"\x06line-1", row(2) + b"\xff\0\x06line-2"
    rows, tally = read(ipfix(template(fields), a_set(256, *told, bytes(3))))
    assert [each["account"] for each in rows] == ["line-1", "line-2"]
    assert {each["destination_address"] for each in rows} == {"198.51.100.9"}
    assert tally.left_out == {"httpRequestHost": 2}


def test_padding_of_sets_and_records_is_no_record() -> None:
    padded: list[Field] = [*FLOW, (210, 3)]
    row = values(padded, *TO, NOON * 1000, b"\1\2\3")
    rows, tally = read(ipfix(template(padded), a_set(256, row, bytes(3))))
    assert (len(rows), tally.not_records, tally.left_out) == (1, {}, {})


def test_several_sets_and_records_of_one_message() -> None:
    six: list[Field] = [(27, 16), (28, 16), (4, 1), (152, 8)]
    rows, _ = read(
        v9(
            template(FLOW, version=9) + template(six, 257, version=9),
            a_set(256, flow(port=1), flow(port=2)),
            a_set(257, values(six, "2001:db8::1", "2001:db8::2", 58, NOON * 1000)),
            a_set(256, flow(port=3)),
        )
    )
    assert sorted(row.get("source_port", 0) for row in rows) == [0, 1, 2, 3]


def test_vendors_fields_are_no_fields_of_ours() -> None:
    fields: list[Field] = [(8, 4, 9), (8, 4), (12, 4), (4, 1), (7, 2, 29305)]
    row = one(fields, "192.0.2.99", "10.0.0.7", "198.51.100.9", 17, 99)
    assert (row["source_address"], "source_port" in row) == ("10.0.0.7", False)
    _, tally = read(ipfix(template(fields), a_set(256, bytes(14) + b"\1")))
    assert tally.left_out == {}
    _, tally = read(ipfix(template(fields), a_set(256, b"\1" * 15)))
    assert tally.left_out == {"element 9/8": 1, "reverse element 7": 1}


def ntp(seconds: int, fraction: int) -> int:
    return (seconds + 2_208_988_800) << 32 | fraction


HALF = 1 << 31


@pytest.mark.parametrize(
    ("fields", "given", "wanted"),
    [
        ([(150, 4)], [NOON + 1], 1.0),
        ([(152, 8)], [NOON * 1000 + 1], 0.001),
        ([(154, 8)], [ntp(NOON, HALF)], 0.5),
        ([(154, 8)], [ntp(NOON, (123_456 << 32) // 10**6)], 0.123456),
        ([(156, 8)], [ntp(NOON, HALF + 1)], 0.5),
        ([(154, 8)], [NOON * 10**6 + 7], 0.000007),
        ([(156, 8)], [NOON * 10**9 + 7000], 0.000007),
        ([(158, 4)], [2_500_000], -2.5),
        ([(322, 4)], [NOON + 2], 2.0),
        ([(323, 8)], [NOON * 1000 + 2], 0.002),
        ([(324, 8)], [ntp(NOON, HALF)], 0.5),
        ([(325, 8)], [ntp(NOON, HALF)], 0.5),
        # The finest start; a start before a time of observation; that before an end.
        ([(150, 4), (152, 8)], [NOON, NOON * 1000 + 5], 0.005),
        ([(323, 8), (152, 8)], [NOON * 1000 + 9, NOON * 1000 + 5], 0.005),
        ([(153, 8), (323, 8)], [NOON * 1000 + 9, NOON * 1000 + 5], 0.005),
        ([(153, 8)], [NOON * 1000 + 9], 0.009),
        ([(151, 4)], [NOON - 3], -3.0),
        # What is 0 or no time is not given; at last the export's own.
        ([(152, 8), (151, 4)], [0, NOON - 3], -3.0),
        ([(152, 8)], [(1 << 64) - 1], 0.0),
        ([(22, 4)], [5], 0.0),
        ([], [], 0.0),
        # IPFIX counts sysUpTime from what it tells.
        ([(22, 4), (160, 8)], [1500, NOON * 1000 - 2000], -0.5),
    ],
)
def test_when_a_flow_began(fields: list[Field], given: list[int], wanted: float) -> None:
    assert after(one([*ENDS, *fields], *TO, *given)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("uptime", "first", "wanted"),
    [
        (60_000, 50_000, -10.0),
        (60_000, 61_000, 1.0),  # a little ahead of the export
        (1_000, (1 << 32) - 1_000, -2.0),  # it has wrapped since
        ((1 << 32) - 1_000, 1_000, 2.0),
        (60_000, 7_200_000, 0.0),  # two hours ahead, and more than eight days ago
    ],
)
def test_sysuptime_wraps(uptime: int, first: int, wanted: float) -> None:
    fields: list[Field] = [*ENDS, (22, 4)]
    (row,), _ = read(
        v9(template(fields, version=9), a_set(256, values(fields, *TO, first)), uptime=uptime)
    )
    assert after(row) == wanted


def test_ipfix_tells_in_option_data_since_when_sysuptime_counts() -> None:
    fields: list[Field] = [*ENDS, (22, 4)]
    told: list[Field] = [(143, 4), (160, 8)]
    (row,), tally = read(
        ipfix(options(told), a_set(300, values(told, 1, NOON * 1000 - 60_000))),
        ipfix(template(fields), a_set(256, values(fields, *TO, 50_000)), sequence=1),
    )
    assert (after(row), tally.not_records) == (-10.0, {"option-data": 1})


def test_a_batch_has_the_coarsest_unit_that_is_exact() -> None:
    rows, _ = read(ipfix(template(FLOW), a_set(256, flow(began=NOON * 1000 + 1), flow(port=2))))
    assert [after(row) for row in rows] == [0.0, 0.001]


def test_a_port_is_kept_only_where_the_protocol_has_ports() -> None:
    row = one([*FLOW, (225, 4), (227, 2)], *TO[:4], 1, NOON * 1000, "203.0.113.5", 7)
    assert not {name for name in row if name.endswith("_port")}
    assert row["post_nat_source_address"] == "203.0.113.5"


@pytest.mark.parametrize(
    ("address", "port", "wanted"),
    [
        ("203.0.113.5", 6000, ("203.0.113.5", 6000)),
        ("10.0.0.7", 6000, ("10.0.0.7", 6000)),
        ("10.0.0.7", 50_000, (None, None)),
        (NOWHERE, 6000, (None, None)),
    ],
)
def test_only_what_was_translated_is(address: str, port: int, wanted: Any) -> None:
    row = one([*FLOW, (225, 4), (227, 2)], *TO, NOON * 1000, address, port)
    assert (row.get("post_nat_source_address"), row.get("post_nat_source_port")) == wanted


def test_translation_to_ipv6() -> None:
    row = one([*FLOW, (281, 16)], *TO, NOON * 1000, "2001:db8::9")
    assert row["post_nat_source_address"] == "2001:db8::9"


@pytest.mark.parametrize(
    ("field", "given", "wanted"),
    [
        ((371, 16), b"line-17", "line-17"),
        ((371, 16), b"", None),
        ((371, 16), b"\xff\xfe", None),
        ((28, 0xFFFF, 15397), b"line-17", "line-17"),
    ],
)
def test_who_the_subscriber_is(field: Field, given: bytes, wanted: str | None) -> None:
    assert one([*FLOW, field], *TO, NOON * 1000, given).get("account") == wanted


def test_v9_has_vendors_fields_without_a_vendor() -> None:
    fields: list[Field] = [*FLOW, (40001, 4), (40003, 2), (40005, 1), (40000, 20)]
    row = values(fields, *TO, NOON * 1000, "203.0.113.5", 6000, 1, b"anna")
    (found,), _ = read(v9(template(fields, version=9), a_set(256, row)))
    outside = {"post_nat_source_address": "203.0.113.5", "post_nat_source_port": 6000}
    assert found == PLAIN | outside | {"account": "anna"}


NOKIA: list[Field] = [*ENDS, (152, 8), (93, 0xFFFF, 637)]


@pytest.mark.parametrize(
    ("told", "inside", "account"),
    [
        (b"USER1@10.10.0.123", "10.10.0.123", "USER1"),
        (b"anna@isp.example@10.10.0.123", "10.10.0.123", "anna@isp.example"),
        (b"LSN-Host@2001:db8::1", "2001:db8::1", None),
    ],
)
def test_nokia_tells_the_inside_address_with_the_subscriber(
    told: bytes, inside: str, account: str | None
) -> None:
    row = one(NOKIA, "203.0.113.5", *TO[1:], NOON * 1000, told)
    assert (row["source_address"], row["source_port"]) == (inside, 50_000)
    assert row["post_nat_source_address"] == "203.0.113.5"
    assert row.get("account") == account


@pytest.mark.parametrize("told", [b"", b"USER1", b"USER1@", b"USER1@nowhere", b"\xff@10.0.0.1"])
def test_who_nokia_does_not_tell_of_is_nobody(told: bytes) -> None:
    row = values(NOKIA, "203.0.113.5", *TO[1:], NOON * 1000, told)
    rows, tally = read(ipfix(template(NOKIA), a_set(256, row)))
    assert (rows, tally.not_records) == ([], {"bad-address": 1})


def test_the_end_of_a_nokia_flow_is_no_flow() -> None:
    ends: list[Field] = [*ENDS, (153, 8), (136, 1), (93, 0xFFFF, 637)]
    row = values(ends, "203.0.113.5", *TO[1:], NOON * 1000, 1, b"USER1@10.10.0.123")
    rows, tally = read(ipfix(template(ends), a_set(256, row)))
    assert (rows, tally.not_records) == ([], {"flow-end": 1})


@pytest.mark.parametrize(("verdict", "records"), [(0, 1), (1, 1), (2, 1), (3, 0), (5, 1)])
def test_what_a_firewall_denied_is_no_connection(verdict: int, records: int) -> None:
    fields: list[Field] = [*FLOW, (233, 1)]
    rows, tally = read(ipfix(template(fields), a_set(256, values(fields, *TO, 1, verdict))))
    assert len(rows) == records
    assert tally.not_records == ({} if records else {"denied": 1})


@pytest.mark.parametrize(
    ("fields", "given", "reason"),
    [
        ([(8, 4), (4, 1)], ["10.0.0.7", 6], "no-addresses"),
        ([(366, 4), (1, 4)], ["10.0.0.7", 6], "no-addresses"),
        ([(8, 4), (12, 4), (4, 1)], [NOWHERE, NOWHERE, 6], "no-addresses"),
        ([(8, 4), (12, 4)], ["10.0.0.7", "198.51.100.9"], "unknown-protocol"),
        ([(8, 4), (12, 4), (4, 2)], ["10.0.0.7", "198.51.100.9", 256], "unknown-protocol"),
        ([(8, 3), (12, 4), (4, 1)], [b"\1", "198.51.100.9", 6], "no-addresses"),
    ],
)
def test_what_is_no_connection_is_counted(
    fields: list[Field], given: list[Any], reason: str
) -> None:
    rows, tally = read(ipfix(template(fields), a_set(256, values(fields, *given))))
    assert (rows, tally.not_records, tally.left_out) == ([], {reason: 1}, {})


@pytest.mark.parametrize("version", [9, 10])
def test_option_data_is_no_record(version: int) -> None:
    told: list[Field] = [(1, 4), (8, 4), (12, 4), (4, 1)]
    row = values(told, 1, "10.0.0.7", "198.51.100.9", 6)
    message = v9 if version == 9 else ipfix
    rows, tally = read(message(options(told, version=version), a_set(300, row, row)))
    assert (rows, tally.not_records) == ([], {"option-data": 2})


def test_pieces_of_one_flow_are_one_record() -> None:
    fields: list[Field] = [*FLOW, (153, 8)]

    def piece(began: int, ended: int) -> bytes:
        start = NOON * 1000
        return values(fields, *TO, start + began * 1000, start + ended * 1000)

    rows, tally = read(
        ipfix(template(fields), a_set(256, piece(30, 60), piece(0, 30))),
        ipfix(a_set(256, piece(90, 120)), sequence=2),
        ipfix(a_set(256, piece(181, 190)), sequence=3),
    )
    assert [after(row) for row in rows] == [0.0, 181.0]
    assert tally.not_records == {"later-piece": 2}


def test_what_stays_here_is_counted_by_name() -> None:
    _, tally = read(v5(record_of_v5(), record_of_v5(port=2)))
    assert tally.left_out["octetDeltaCount"] == tally.left_out["bgpSourceAsNumber"] == 2
    assert not {"sourceIPv4Address", "protocolIdentifier", "element 210"} & tally.left_out.keys()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("192.0.2.7", 1024, b"ann"), ("192.0.2.8", 1024, b"ann")),
        (("192.0.2.7", 1024, b"ann"), ("192.0.2.7", 1025, b"ann")),
        (("192.0.2.7", 1024, b"ann"), ("192.0.2.7", 1024, b"bea")),
        (("192.0.2.7", 1024, b"ann"), ("::", 0, b"ann")),
        (("192.0.2.7", 1024, b"ann"), ("192.0.2.7", 1024, b"")),
    ],
)
def test_one_private_address_at_two_sites_is_two_flows(
    one: tuple[str, int, bytes], other: tuple[str, int, bytes]
) -> None:
    """Wherever it is translated to another place or is another's account, it is another flow."""
    fields: list[Field] = [*FLOW, (225, 4), (227, 2), (371, 3)]
    known = template(fields)
    first, second = (values(fields, *TO, NOON * 1000, *each) for each in (one, other))
    for at_once in (True, False):
        exports = Exports(Tally())
        datagrams = [
            Datagram(NOON * SECOND, "site-1", ipfix(known, a_set(256, first, first))),
            Datagram(NOON * SECOND, "site-2", ipfix(known, a_set(256, second))),
        ]
        batches = [datagrams] if at_once else [[each] for each in datagrams]
        rows = [row for each in batches for row in rows_of(exports, each)]
        assert len(rows) == 2
        assert exports.tally.not_records == {"later-piece": 1}
