"""`icr-collect read --zone`: times without an offset have one, and only then."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from icrstore.collector import cli
from icrstore.flow.readers import zone_named

LINE = (
    "<166>{time} fw : %ASA-6-305011: Built dynamic UDP translation from in:10.0.0.5/51000 "
    "to out:203.0.113.9/20411\n"
)
EVENT = {
    "observed_at": "2025-07-01T11:00:00Z",
    "nat_event": "create",
    "protocol": 17,
    "source_address": "10.0.0.5",
    "source_port": 51000,
    "post_nat_source_address": "203.0.113.9",
    "post_nat_source_port": 20411,
}


@pytest.mark.parametrize("zone", ["Europe/London", "+01:00"])
def test_a_firewalls_text_is_read_by_its_zone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zone: str
) -> None:
    log = tmp_path / "fw.log"
    log.write_text(LINE.format(time="Jul  1 2025 12:00:00"))
    assert cli.main(["read", str(log), "--zone", zone]) == 0
    assert json.loads(capsys.readouterr().out) == EVENT


def test_a_time_without_a_year_lies_in_the_year_before_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "fw.log"
    log.write_text(LINE.format(time="Jul  1 12:00:00"))
    assert cli.main(["read", str(log), "--zone", "UTC"]) == 0
    read = datetime.fromisoformat(json.loads(capsys.readouterr().out)["observed_at"])
    assert -1 <= (datetime.now(UTC) - read).days < 366


def test_without_a_zone_the_line_is_refused_with_the_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "fw.log"
    log.write_text(LINE.format(time="Jul  1 12:00:00"))
    assert cli.main(["read", str(log)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "line 1: time-without-offset" in said.err
    assert "--zone" in said.err


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Land", "+1", "+24:00", "01:00", "/etc/passwd", "../x"]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no zone"):
        zone_named(name)


def test_an_offset_may_be_west() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=zone_named("-03:30"))
    assert moment == datetime(2026, 1, 31, 15, 30, tzinfo=UTC)
