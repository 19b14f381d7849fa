"""A real day of Zeek logs: read, moved in time, pushed twice, stored once."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.demo.own_log import move
from tests.shared_data import topic
from tests.site import Site, last_hours

RECORDS = 31_367


def push_stdin(site: Site, path: Path, config: Path) -> str:
    """`icr-collect push -`, as at the end of a pipe; what it says on stdout."""
    with path.open("rb") as records:
        return subprocess.run(
            [str(Path(sys.executable).with_name("icr-collect")), "push", "-", "--config",
             str(config), "--json"],
            stdin=records, capture_output=True, text=True, check=True,
            env=site.stack.env("admin"),
        ).stdout  # fmt: skip


def test_a_day_pushed_twice_is_stored_once(site: Site, tmp_path: Path) -> None:
    logs = sorted((topic("zeek") / "rita-2024-04-19").glob("conn.*.log.gz"))
    day = tmp_path / "day.log.gz"
    day.write_bytes(b"".join(log.read_bytes() for log in logs))  # gzip members follow each other
    moved = tmp_path / "moved.ndjson"

    told = move(day, "zeek-day", moved, datetime.now(UTC))
    assert told.accounts == Counter({"zeek-day": RECORDS})
    assert told.too_old == 0

    push_stdin(site, moved, site.collector)
    held = batches(site)
    # Another spool knows nothing of the first push: the store has to recognise the batches.
    fresh = tmp_path / "fresh.json"
    fresh.write_text(
        json.dumps(
            {**json.loads(site.collector.read_text()), "spool": str(tmp_path / "fresh.spool")}
        )
    )
    push_stdin(site, moved, site.collector)
    push_stdin(site, moved, fresh)

    assert batches(site) == held
    answer = site.ask(["zeek-day"], *last_hours(26))
    assert answer["records"] + answer["collapsed"] == RECORDS
    distinct = set(moved.read_text().splitlines())
    assert answer["records"] == len(distinct)


def batches(site: Site) -> list[tuple[Any, ...]]:
    return site.sql("SELECT batch_id, records, body_sha256 FROM inbox_batch ORDER BY id")
