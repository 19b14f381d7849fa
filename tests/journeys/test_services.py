"""From a pushed file to an answer: purpose 2, end to end."""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

from tests.site import Site, last_hours


def lines(account: str, count: int, hours: int) -> list[str]:
    first, _ = last_hours(hours)
    return [
        json.dumps({
            "observed_at": (first + timedelta(seconds=n * hours * 3600 / count))
            .isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "protocol": 6 if n % 3 else 17,
            "source_address": "203.0.113.9",
            "source_port": 1024 + n,
            "destination_address": f"198.51.100.{n % 7}",
            "destination_port": 443 if n % 3 else 53,
            "account": account,
        })
        for n in range(count)
    ]  # fmt: skip


def test_an_answer_counts_each_distinct_record_once(site: Site, tmp_path: Path) -> None:
    records = lines("journey-1", 600, 4)
    path = tmp_path / "records.ndjson"
    path.write_text("\n".join(records + records[:50] + lines("journey-2", 100, 4)) + "\n")

    site.push(path)
    answer = site.ask(["journey-1"], *last_hours(4))

    wanted = Counter(
        (r["destination_address"], r["protocol"], r["destination_port"])
        for r in map(json.loads, records)
    )
    told = {
        (r["destination_address"], r["protocol"], r["destination_port"]): r["records"]
        for r in answer["services"]
    }
    assert told == wanted
    assert (answer["records"], answer["collapsed"]) == (600, 50)
    assert {hour["coverage"] for hour in answer["hours"]} == {"COMPLETE"}
    assert answer["accounts"] == ["journey-1"]
