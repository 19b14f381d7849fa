"""From a pushed file to an answer: purpose 2, end to end."""

import json
from collections import Counter
from pathlib import Path

from tests.site import Site, last_hours

# As it was when the tests began: an hour that ends meanwhile may be logged by one keeper only.
FIRST, END = last_hours(4)


def lines(account: str, count: int) -> list[str]:
    return [
        json.dumps({
            "observed_at": (FIRST + (END - FIRST) * n / count)
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
    records = lines("journey-1", 600)
    path = tmp_path / "records.ndjson"
    path.write_text("\n".join(records + records[:50] + lines("journey-2", 100)) + "\n")

    site.push(path)
    answer = site.ask(["journey-1"], FIRST, END)

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
