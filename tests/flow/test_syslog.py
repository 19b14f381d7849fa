"""What syslog puts around a message: headers, octet counting, the end of a stream."""

from datetime import UTC, datetime

import pytest

from icrstore.flow.readers import Hints, Tally, open_records

from .readings import reading
from .test_readers import Drip

HINTS = Hints(zone=UTC, now=datetime(2026, 2, 3, tzinfo=UTC))
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SAID = "%ASA-6-305011: Built dynamic UDP translation from in:10.0.0.5/5 to out:203.0.113.9/6"
LINE = f"<166>Jan 31 12:00:00 fw : {SAID}"


def moment(line: str, hints: Hints = HINTS) -> datetime:
    (record,), tally = reading(f"{line}\n".encode(), "syslog", hints)
    assert not tally.not_records
    assert record["source_port"] == 5
    made: datetime = record["observed_at"]
    return made


@pytest.mark.parametrize(
    "header",
    [
        "<166>Jan 31 12:00:00 fw : ",
        "<166>Jan 31 12:00:00 fw ",
        "<166>Jan 31 12:00:00 2001:db8::1 ",
        "<166>Jan 31 12:00:00: ",
        "Jan 31 12:00:00 ",
        "<166>Jan 31 2026 12:00:00 fw.example : ",
        "<166>2026-01-31T12:00:00Z fw : ",
        "<166>2026-01-31T13:00:00+01:00 fw : ",
        "2026-01-31 12:00:00 UTC fw ",
        "<13>Feb  1 08:00:00 relay <166>Jan 31 12:00:00 fw : ",
        "<13>Feb  1 08:00:00 relay Jan 31 12:00:00 fw : ",
        "<13>1 2026-02-01T08:00:00Z relay 2026-01-31T12:00:00Z fw : ",
        "<13>Jan 31 12:00:00 relay <166>",
    ],
)
def test_a_header_tells_when_and_the_devices_own_counts(header: str) -> None:
    assert moment(header + SAID) == NOON


@pytest.mark.parametrize(
    ("line", "hints", "reason"),
    [
        (f"<166>{SAID}", HINTS, "time-missing"),
        (LINE, Hints(now=HINTS.now), "time-without-offset"),
        (LINE, Hints(zone=UTC), "time-without-year"),
        (LINE.replace("Jan 31", "Jan 32"), HINTS, "bad-time"),
        (LINE.replace("10.0.0.5", "10.0.0.500"), HINTS, "bad-address"),
        (LINE.replace("/5 ", "/70000 "), HINTS, "port-out-of-range"),
        (LINE.replace("UDP", "FROG"), HINTS, "unknown-protocol"),
        (LINE.replace("to out", "via out"), HINTS, "not-understood"),
        ("<166>Jan 31 12:00:00 fw cron[1]: done", HINTS, "not-a-record"),
        ("", HINTS, "blank-line"),
    ],
)
def test_what_is_no_record_is_counted_and_its_neighbours_are_read(
    line: str, hints: Hints, reason: str
) -> None:
    good = LINE.replace("Jan 31 12:00:00", "2026-01-31T12:00:00Z")
    records, tally = reading(f"{good}\n{line}\r\n{good}\n".encode(), "syslog", hints)
    assert len(records) == 2
    assert tally.not_records == {reason: 1}
    assert tally.first_lines == {reason: 2}


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_messages_of_a_stream_may_be_counted(size: int) -> None:
    stream = b"".join(b"%d %s" % (len(line), line) for line in [LINE.encode()] * 3)
    tally = Tally()
    batches = open_records(Drip(stream, size), None, tally, HINTS)
    assert sum(batch.num_rows for batch in batches) == 3
    assert not tally.not_records
    assert not tally.cut_off


def test_a_counted_message_may_have_newlines_in_it() -> None:
    broken = LINE.replace("Jan 31", "Jan\n31").encode() + b"\n"
    stream = b"%d %s%d %s" % (len(broken), broken, len(LINE), LINE.encode())
    records, _ = reading(stream, "syslog", HINTS)
    assert len(records) == 2


def test_a_stream_that_loses_count_says_so() -> None:
    stream = b"%d %s" % (len(LINE), LINE.encode()) + LINE.encode() * 2
    records, tally = reading(stream, "syslog", HINTS)
    assert (len(records), tally.cut_off, tally.not_records) == (1, True, {"bad-frame": 1})
    records, tally = reading(b"%d %s" % (len(LINE) + 1, LINE.encode()), "syslog", HINTS)
    assert (len(records), tally.cut_off, tally.not_records) == (0, True, {"truncated-line": 1})


def test_a_last_line_without_its_newline_may_have_gone_on() -> None:
    records, tally = reading(f"{LINE}\n{LINE}".encode(), "syslog", HINTS)
    assert (len(records), tally.cut_off, tally.not_records) == (1, True, {"truncated-line": 1})


def test_text_that_is_not_utf_8_does_not_keep_the_record_away() -> None:
    line = LINE.encode().replace(b"in:", b"\xe9tage:")
    assert len(reading(line + b"\n", "syslog", HINTS)[0]) == 1


def test_an_account_that_is_not_utf_8_is_refused() -> None:
    line = (
        b'2026-01-31T12:00:00Z srx RT_FLOW - RT_FLOW_SESSION_CREATE [source-address="10.0.0.5" '
        b'source-port="1" destination-address="192.0.2.1" destination-port="2" protocol-id="6" '
        b'nat-source-address="10.0.0.5" nat-source-port="1" username="\xe9"]\n'
    )
    records, tally = reading(line, "syslog", HINTS)
    assert (records, tally.not_records) == ([], {"bad-account": 1})


def test_an_unknown_protocol_of_a_translation_is_not_every_protocol() -> None:
    records, tally = reading(LINE.replace("UDP", "x").encode() + b"\n", "syslog", HINTS)
    assert (records, tally.not_records) == ([], {"unknown-protocol": 1})


def test_packets_of_radius_end_at_a_blank_line_wherever_the_blocks_do() -> None:
    packet = (
        b"Acct-Status-Type = Start\nNFWare-vCGNAT-Inside-Addr = 10.0.0.5\n"
        b"NFWare-vCGNAT-Nat-Addr = 203.0.113.9\nEvent-Timestamp = 1769860800\n\n"
    )
    for size in (1, 50, 1 << 16):
        tally = Tally()
        batches = open_records(Drip(packet * 3, size), None, tally, HINTS)
        assert sum(batch.num_rows for batch in batches) == 3
    whole, cut = reading(packet.rstrip(), "radius", HINTS)
    assert (whole, cut.cut_off) == ([], True)
    assert len(reading(packet[:-1], "radius", HINTS)[0]) == 1
