"""A collector that runs, with the real store: a file that rotates, and one cut off under it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.collector.household import record
from tests.site import Site, last_hours


def test_each_line_is_found_and_what_was_lost_is_said(site: Site, tmp_path: Path) -> None:
    log, lost = tmp_path / "conn.ndjson", tmp_path / "lost.ndjson"
    config = tmp_path / "runs.json"
    settings = {
        "spool": str(tmp_path / "runs.spool"),
        "metrics": {"listen": "off"},
        "tail": [{"files": [str(tmp_path / "*.ndjson")], "format": "ndjson"}],
    }
    config.write_text(json.dumps({**json.loads(site.collector.read_text()), **settings}))
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    lines = [
        json.dumps(record(end - timedelta(minutes=5 + n), n, account="runs-1")) + "\n"
        for n in range(60)
    ]

    log.write_text("".join(lines[:20]))
    lost.write_text("".join(lines[20:30]))
    site.run("icr-collect", "run", "--once", "--config", str(config), "--wait", "60")
    with log.open("a") as file:
        file.writelines(lines[30:40])
    log.rename(tmp_path / "conn.1")
    log.write_text("".join(lines[40:]))
    lost.write_text("")
    told = site.run("icr-collect", "run", "--once", "--json", "--config", str(config))

    events = [json.loads(line) for line in told.splitlines()]
    counts = events[-1]["counts"]
    assert counts["records_sealed"] == 30
    assert counts["gaps"] == {"input-lost": 1}
    # Its hour goes on: the batch that tells of the gap is accepted, and sealed as the hour ends.
    assert [each["records"] for each in events if each["event"] == "accepted"].count(0) == 1
    answer = site.ask(["runs-1"], *last_hours(3))
    assert (answer["records"], answer["collapsed"]) == (60, 0)
