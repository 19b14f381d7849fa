"""Zeek's conn.log is read by its header: by known names, and by no guess."""

import json

import pytest

from icrstore.flow.errors import FormatRefused

from .readings import reading

FIELDS = ["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "conn_state"]
ROW = ["1713484784.962686", "C1", "192.0.2.1", "51000", "198.51.100.2", "443", "tcp", "SF"]
RECORD = (6, "192.0.2.1", 51000, "198.51.100.2", 443)


def log(
    *rows: list[str], fields: list[str] = FIELDS, separator: str = "\t", unset: str = "-"
) -> bytes:
    named = f"\\x{ord(separator):02x}" if separator == "\t" else separator
    lines = [f"#separator {named}"]
    lines += [separator.join(line) for line in (["#unset_field", unset], ["#path", "conn"])]
    lines += [separator.join(line) for line in (["#fields", *fields], *rows)]
    return ("\n".join(lines) + "\n").encode()


def connections(content: bytes, **expected: int) -> list[tuple[object, ...]]:
    records, tally = reading(content, "zeek")
    tally.not_records.pop("comment", None)
    assert tally.not_records == expected
    names = ("protocol", "source_address", "source_port", "destination_address")
    return [tuple(r.get(name) for name in (*names, "destination_port")) for r in records]


def changed(**fields: str) -> list[str]:
    names = {"h": "id.orig_h", "p": "id.orig_p", "rh": "id.resp_h"}
    row = list(ROW)
    for name, value in fields.items():
        row[FIELDS.index(names.get(name, name))] = value
    return row


def test_columns_are_found_by_name_wherever_they_stand() -> None:
    places = [7, 3, 0, 6, 5, 1, 4, 2]
    fields, row = [FIELDS[place] for place in places], [ROW[place] for place in places]
    assert connections(log(row, fields=fields)) == [RECORD]


def test_the_separator_and_the_unset_mark_are_the_headers_own() -> None:
    assert connections(log(ROW, separator=",")) == [RECORD]
    unknown = changed(p="n/a")
    assert connections(log(unknown, unset="n/a")) == [(6, "192.0.2.1", None, *RECORD[3:])]


def test_the_scope_separator_dialect_is_known() -> None:
    assert connections(log(ROW, fields=[name.replace(".", "_") for name in FIELDS])) == [RECORD]


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("uid", "conn_state")])
def test_a_renamed_or_doubled_column_is_refused_by_name(name: str) -> None:
    renamed = ["src" if field == name else field for field in FIELDS]
    with pytest.raises(FormatRefused, match=name):
        reading(log(ROW, fields=renamed))
    with pytest.raises(FormatRefused, match=name):
        reading(log([*ROW, "x"], fields=[*FIELDS, name]))


@pytest.mark.parametrize("separator", ["", "\\x0a", "\\x23", "ab", "é", "#"])
def test_a_separator_that_could_not_separate_is_refused(separator: str) -> None:
    with pytest.raises(FormatRefused, match="#separator"):
        reading(f"#separator {separator}\n".encode())


def test_another_log_of_zeek_is_refused() -> None:
    with pytest.raises(FormatRefused, match=r"conn\.log"):
        reading(log(ROW).replace(b"#path\tconn", b"#path\tdns"))


def test_a_second_header_rules_from_where_it_stands() -> None:
    swapped = [*FIELDS[:2], *FIELDS[4:6], *FIELDS[2:4], *FIELDS[6:]]
    both = log(ROW) + b"#close\t2024\n" + log(ROW, fields=swapped, separator=",")
    assert connections(both) == [RECORD, (6, "198.51.100.2", 443, "192.0.2.1", 51000)]


@pytest.mark.parametrize(
    ("proto", "source", "number"),
    [("udp", "192.0.2.1", 17), ("icmp", "192.0.2.1", 1), ("icmp", "2001:db8::1", 58)],
)
def test_the_protocol_has_its_number(proto: str, source: str, number: int) -> None:
    ((protocol, *_),) = connections(log(changed(proto=proto, h=source)))
    assert protocol == number


def test_icmp_types_are_no_ports_and_port_zero_of_udp_is_one() -> None:
    rows = [changed(proto="icmp", p="8"), changed(proto="udp", p="0")]
    assert connections(log(*rows)) == [
        (1, "192.0.2.1", None, "198.51.100.2", None),
        (17, "192.0.2.1", 0, "198.51.100.2", 443),
    ]


def test_a_newer_zeek_tells_the_number_of_every_protocol() -> None:
    fields = [*FIELDS, "ip_proto"]
    rows = [[*changed(proto="unknown_transport"), number] for number in ("47", "132", "-", "256")]
    assert connections(log(*rows, fields=fields), **{"unknown-protocol": 2}) == [
        (47, "192.0.2.1", None, "198.51.100.2", None),
        (132, *RECORD[1:]),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (changed(ts="XXXXXXXXXX.XXXXXX"), "bad-time"),
        (changed(ts="-"), "bad-time"),
        (changed(ts="1e9"), "bad-time"),
        (changed(h="192.0.2"), "bad-address"),
        (changed(h="-"), "bad-address"),
        (changed(h="192.0.2.1\udcff"), "bad-address"),
        (changed(p="70000"), "port-out-of-range"),
        (changed(p="-1"), "bad-port"),
        (changed(p=""), "bad-port"),
        (changed(proto="unknown_transport"), "unknown-protocol"),
        (ROW[:-1], "wrong-number-of-fields"),
        ([*ROW, "x"], "wrong-number-of-fields"),
        ([], "blank-line"),
    ],
)
def test_a_bad_row_is_counted_and_its_neighbours_are_read(row: list[str], reason: str) -> None:
    lines = log(ROW) + "\t".join(row).encode("utf-8", "surrogateescape") + b"\n"
    content = lines + "\t".join(ROW).encode() + b"\n"
    assert connections(content, **{reason: 1}) == [RECORD, RECORD]


def test_quotes_are_bytes_like_any_other() -> None:
    assert connections(log(changed(conn_state='"'), changed(uid='"a'))) == [RECORD, RECORD]


def test_records_before_any_header_are_counted() -> None:
    assert connections(b"a\tb\nc\n" + log(ROW), **{"line-before-header": 2}) == [RECORD]


def test_a_last_line_without_newline_is_read_only_if_our_fields_are_whole() -> None:
    records, tally = reading(log(ROW, ROW)[:-1])
    assert (len(records), tally.cut_off) == (2, False)
    records, tally = reading(log(ROW, ROW)[:-4])  # the last two fields have become one
    assert (len(records), tally.cut_off) == (1, True)
    last = [*FIELDS[1:], "ts"]
    records, tally = reading(log([*ROW[1:], ROW[0]], fields=last)[:-3])
    assert (len(records), tally.cut_off) == (0, True)


def test_json_is_read_like_the_text() -> None:
    keys = dict(zip(FIELDS, [1713484784.962686, "C1", *ROW[2:]], strict=True))
    keys |= {"id.orig_p": 51000, "id.resp_p": 443}
    underscored = {key.replace(".", "_"): value for key, value in keys.items()}
    iso = keys | {"ts": "2024-04-18T23:59:44.962686Z"}
    content = "\n".join(json.dumps(line) for line in (keys, underscored, iso)).encode()
    assert connections(content) == [RECORD, RECORD, RECORD]
    assert len({str(record["observed_at"]) for record in reading(content)[0]}) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id.orig_h": None}, "bad-address"),
        ({"id.orig_p": "443"}, "bad-port"),
        ({"id.orig_p": True}, "bad-port"),
        ({"id.orig_p": 70000}, "port-out-of-range"),
        ({"proto": 6}, "unknown-protocol"),
        ({"ts": "2024-04-18T23:59:44"}, "time-without-offset"),
        ({"ts": True}, "bad-time"),
        ({"_path": "dns"}, "not-a-connection"),
        ({"trans_id": 7}, "not-a-connection"),
    ],
)
def test_a_bad_line_of_json_is_counted(change: dict[str, object], reason: str) -> None:
    good: dict[str, object] = dict(zip(FIELDS, [1713484784, "C1", *ROW[2:]], strict=True))
    good |= {"id.orig_p": 51000, "id.resp_p": 443}
    lines = [json.dumps(good), json.dumps(good | change), "[]", "{", ""]
    del good["id.resp_p"]
    content = "\n".join([*lines, json.dumps(good), ""]).encode()
    others = {"not-a-record": 1, "not-json": 1, "blank-line": 1, "field-missing": 1}
    assert connections(content, **{reason: 1}, **others) == [RECORD]
