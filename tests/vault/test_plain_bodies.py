"""Plain bodies that would cost a sealer far more than they cost their sender."""

import gzip

import pytest

from icrstore.inbox.plain import Plain
from icrstore.vault.bodies import MOST_RECORDS, TooManyRecords
from icrstore.vault.plain_bodies import NotReadable, read_plain

HEADER = b"observed_at,protocol,source_address,destination_address,account\n"


@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_what_is_compressed_and_does_not_say_so_is_not_inflated(format: str) -> None:
    """The readers would inflate it, and nothing would bound that."""
    for held in (gzip.compress(HEADER), gzip.compress(HEADER)[:-9], b"\x1f\x8b"):
        with pytest.raises(NotReadable, match="batch-wrong-encoding"):
            read_plain(held, Plain(format, None))
        with pytest.raises(NotReadable, match="batch-wrong-encoding"):
            read_plain(gzip.compress(held), Plain(format, "gzip"))


@pytest.mark.parametrize("line", [b"\n", b"x\n", b"{}\n", b'"\n'])
@pytest.mark.parametrize(("format", "header"), [("ndjson", b""), ("csv", HEADER)])
def test_more_lines_than_records_are_not_looked_at(format: str, header: bytes, line: bytes) -> None:
    """Of a few kilobytes become half a gigabyte of lines, and each would be counted."""
    with pytest.raises(TooManyRecords):
        read_plain(header + line * (MOST_RECORDS + 2), Plain(format, None))


def test_a_header_is_no_record() -> None:
    body = HEADER + b"\n" * MOST_RECORDS
    assert read_plain(body, Plain("csv", None)).records.num_rows == 0
