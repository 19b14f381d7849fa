"""From an hour's end until its records can be searched, and how long an urgent question about the
running hour takes: real processes, real keepers, the schedule as it is.

Searchable is an hour once both keepers have logged its epochs and every batch has its sealed
receipt. The hour's batches are handed in together, as collectors do when it turns; what the
schedule may make them wait at most is added to what was measured, since a run meets its luck.
"""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from icrstore.celery import SWEEP_SECONDS
from icrstore.collector.service import LOOK_SECONDS, STEP_SECONDS
from icrstore.flow.schema import record_schema
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.strict import decode_base64
from tests.bench import store
from tests.bench.generate import Shape, records
from tests.bench.measure import Spread
from tests.bench.peers.same import AnswersDiffer
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result
from tests.bench.roles import told_by
from tests.bench.running import Bench, Size
from tests.bench.store import Store, cut_records
from tests.site import TENANT

# Records of the hour that ended, of the running one, and rounds of the urgent question.
LOADS: dict[Size, tuple[int, int, int]] = {
    "full": (1_000_000, 100_000, 5), "small": (200_000, 50_000, 2), "tiny": (2_000, 1_000, 1),
}  # fmt: skip
# A collector reads what was written, and takes its step; then a look that no message brings.
SCHEDULE_SECONDS = LOOK_SECONDS + STEP_SECONDS + SWEEP_SECONDS
ACCOUNTS = 1000
PATIENCE_SECONDS = 600
MICROSECONDS = 10**6


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Raises `AnswersDiffer`."""
    ended, running, rounds = LOADS[size]
    with store.running() as ours:
        ours.site.stack.start("sealer", "beat")
        ours.site.wait_ready()
        seconds = _until_searchable(ours, ended)
        tell(f"hour: {ended:,} records searchable after {seconds:.1f} s")
        before = _before_keepers(ours)
        pushed: list[pa.Table] = []
        urgent = [_urgent(ours, running, pushed) for _ in range(rounds)]
        tell(f"hour: urgent answers after {', '.join(f'{each:.1f}' for each in urgent)} s")
    return [
        Result.of_bar("hour.searchable", [seconds + SCHEDULE_SECONDS]),
        Result.of_bar("hour.urgent", urgent),
        before,
    ]


def _until_searchable(ours: Store, count: int) -> float:
    end = hour_start(datetime.now(UTC))
    table = records(Shape("hour", ACCOUNTS, 1), count, end)
    cuts = cut_records(table)
    began = time.monotonic()
    ours.hand_in(cuts)
    ours.site.wait_for(
        "SELECT NOT EXISTS (SELECT 1 FROM inbox_batch WHERE sealed_receipt IS NULL) AND NOT EXISTS"
        " (SELECT 1 FROM vault_epochseal WHERE acknowledged_at IS NULL)",
        PATIENCE_SECONDS,
    )
    seconds = time.monotonic() - began
    account = "account-000001"
    answer = ours.site.ask([account], end - HOUR, end)
    _check(answer, [table], account)
    if [each["coverage"] for each in answer["hours"]] != ["COMPLETE"]:
        raise AnswersDiffer("the hour is not complete")
    return seconds


def _before_keepers(ours: Store) -> Result:
    """What a question costs for each batch that came around its hours, while nothing waits."""
    hour = hour_start(datetime.now(UTC)) - HOUR
    told = told_by(
        ours.site.installation, "engine", "tests.bench.waiting",
        {"tenant": TENANT, "hour": hour.isoformat()},
    )  # fmt: skip
    each = [milliseconds / told["batches"] for milliseconds in told["milliseconds"]]
    what = f"before keepers are asked, for each of {told['batches']} batches around the hour"
    return Result("hour.each-batch", what, "ms", Spread.of(each))


def _urgent(ours: Store, count: int, pushed: list[pa.Table]) -> float:
    """From lodging the question to its disclosure, opened. To ``pushed``, which are the hour's
    records so far, it adds its own."""
    pushed.append(_of_running_hour(count, len(pushed)))
    ours.hand_in(cut_records(pushed[-1]))
    site, hour = ours.site, hour_start(datetime.now(UTC))
    account = "account-000001"
    warrant = site.warrant([account], hour, hour + HOUR)
    site.lodge(warrant)
    request = site.request(warrant, [account], hour, hour + HOUR, urgent=True)
    began = time.monotonic()
    query = site.put(request)
    told = site.wait(query, PATIENCE_SECONDS)
    if told["state"] != "answered":
        raise AnswersDiffer(told["state"])
    package = site.package(query)
    seconds = time.monotonic() - began
    _check(json.loads(decode_base64(package["answer"]) or b""), pushed, account)
    return seconds


def _check(answer: dict[str, Any], tables: Sequence[pa.Table], account: str) -> None:
    """Raises `AnswersDiffer` unless each record of the account was counted."""
    pushed = sum(table.column("account").to_pylist().count(account) for table in tables)
    if answer["records"] != pushed:
        raise AnswersDiffer("an hour")


def _of_running_hour(count: int, number: int) -> pa.Table:
    """Records of the hour so far: of a whole hour's, the time is made to pass faster."""
    now = datetime.now(UTC)
    hour = hour_start(now)
    table = records(Shape("hour", ACCOUNTS, 1), count, hour + HOUR, seed=1000 + number)
    moments = np.asarray(table.column("observed_at").cast(pa.int64()))
    start = int(hour.timestamp()) * MICROSECONDS
    passed = (now - hour) / HOUR
    squeezed = start + ((moments - start) * passed).astype(np.int64)
    kind = record_schema("us").field("observed_at").type
    return table.set_column(0, table.schema.field("observed_at"), pa.array(squeezed).cast(kind))
