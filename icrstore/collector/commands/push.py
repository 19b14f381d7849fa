"""``icr-collect push``: the records of some files, until all of them are sealed."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from icrstore.collector.commands.inputs import add_inputs, leases_of
from icrstore.collector.commands.progress import Progress
from icrstore.collector.config import Config
from icrstore.collector.cut import Cut, cut
from icrstore.collector.frames import Frames
from icrstore.collector.leases import Leases
from icrstore.collector.push import Push, utc_now
from icrstore.collector.read import iter_records
from icrstore.collector.spool import Spool, SpoolFull
from icrstore.flow.errors import FlowRefused
from icrstore.flow.readers import Tally
from icrstore.flow.validate import NEWEST
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import DATA, NO_INPUT, TEMPORARY, USAGE, Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt

DEFAULT_WAIT_SECONDS = 300

NAME = "push"
ABOUT = "Push the records of these files until they are sealed."
TEACHES = """example:
  icr-collect push pflog.txt --account line-17 --config edge-1.toml

edge-1.toml, as `icr-collect enrol` writes it:
  server = "https://icr.example"     # told by the store's operator, as are the two keys below
  key = "edge-1.key"                 # from `icr-collect key`; paths from this file's folder
  secret = "edge-1.secret"
  spool = "edge-1.spool"             # made at the first push
  sealer_key = "base64"              # signs intake keys and sealed receipts
  receipt_key = "base64"             # signs accepted receipts

With --leases FILE the side that held an address at the time is the subscriber: see
`icr-collect read --leases`. Replies, inbound connections and those of nobody's address are counted
and not pushed.

Push the same file as often as you like: each record is kept once. Without FILE, what the spool
still holds is pushed. Records more than 48 hours old wait there as too-old, until
`icr-collect backfill` pushes them."""


def add(command: argparse.ArgumentParser) -> None:
    add_inputs(command, "*")
    command.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or JSON")
    add_wait(command)
    counted = "read and count, and neither spool nor push anything"
    command.add_argument("--dry-run", action="store_true", help=counted)


def add_wait(command: argparse.ArgumentParser) -> None:
    wait = "give up (exit 75) so long after the last progress; default 300"
    command.add_argument(
        "--wait", type=float, default=DEFAULT_WAIT_SECONDS, metavar="SECONDS", help=wait
    )


@dataclass
class _Summary:
    """What one push did, in records; ``refused`` never left this machine."""

    read: int = 0
    cut_off: bool = False
    not_records: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    batches: list[bytes] = field(default_factory=list)
    mends: list[str] = field(default_factory=list)

    def count(self, path: str, tally: Tally) -> None:
        self.mends += [f"{path}: {mend}" for mend in tally.mends()]
        self.read += tally.records
        self.cut_off |= tally.cut_off
        self.not_records.update(tally.not_records)
        self.left_out.update(tally.left_out)


def run(given: argparse.Namespace) -> int:
    config, leases = Config.read(given.config), leases_of(given)
    if given.dry_run:
        return _dry_run(given, leases)
    secret, key = config.collector_secret(), KeyFile.read(config.key, "signing")
    spool = Spool(config.spool, secret, config.most_bytes)
    try:
        summary = _Summary(batches=[each.id for each in spool.unfinished()])
        progress = Progress(as_json=given.json, left=lambda: len(spool.unfinished()))
        push = Push(config, key.signing(), spool, given.wait, progress.tell)
        try:
            for path in given.files:
                _spool_file(path, given, leases, Frames(spool, secret), push, summary)
            push.run()
        finally:
            progress.end()
            _report(given, spool, summary, push.refused)
    finally:
        spool.close()
    return DATA if push.refused or summary.cut_off else os.EX_OK


def _dry_run(given: argparse.Namespace, leases: Leases | None) -> int:
    summary = _Summary()
    for path in given.files:
        for _ in _cuts(path, given, leases, summary):
            pass
    told = {**_counts(summary), "batches": 0}
    print(json.dumps(told) if given.json else f"read {told['read']}, pushed nothing: a dry run")
    return DATA if summary.cut_off else os.EX_OK


def _spool_file(
    path: str,
    given: argparse.Namespace,
    leases: Leases | None,
    frames: Frames,
    push: Push,
    summary: _Summary,
) -> None:
    """Each file is cut by itself, so that its batches are the same whatever comes with it.

    A whole batch of the future is left out by the clock; single records are not: without them it
    would be another batch, with another id, of the same file at another time.
    """
    for made in _cuts(path, given, leases, summary):
        now = utc_now()
        if made.first > now + NEWEST:
            summary.refused["time-in-future"] += made.records
            continue
        kept = _put(frames, made, push)
        if kept not in summary.batches:
            summary.batches.append(kept)


def _put(frames: Frames, made: Cut, push: Push) -> bytes:
    """Spool a batch; where the spool is full, push until there is room."""
    try:
        if frames.spool.has_room():
            return frames.put(made, utc_now())
        push.run()
        if frames.spool.has_room():
            return frames.put(made, utc_now())
    except SpoolFull:
        raise _full(frames.spool, "its disk is full: make room there") from None
    raise _full(frames.spool, "backfill what is too old, or raise [spool] most_bytes")


def _full(spool: Spool, mend: str) -> Stop:
    return Stop(TEMPORARY, f"{spool.path}: the spool has no room: {mend}, then push again")


def _cuts(
    path: str, given: argparse.Namespace, leases: Leases | None, summary: _Summary
) -> Iterator[Cut]:
    tally = Tally()
    try:
        records = iter_records([path], given.format, given.account, tally, leases)
        yield from cut(records, summary.refused)
    except FlowRefused as error:
        raise Stop(DATA, f"{path}: {error}") from None
    except OSError as error:
        raise Stop(NO_INPUT, f"{path}: {error.strerror}: name a file that can be read") from None
    except pa.ArrowInvalid:  # Its message may quote a record.
        raise Stop(DATA, f"{path}: not valid Arrow data: write it again") from None
    except ValueError as error:
        raise Stop(USAGE, str(error)) from None
    summary.count(path, tally)


def _report(
    given: argparse.Namespace, spool: Spool, summary: _Summary, refused: dict[bytes, str]
) -> None:
    told = _totals(spool, summary)
    told["refused_batches"] = dict(Counter(refused.values()))
    if given.json:
        print(json.dumps({"event": "summary", **told}, sort_keys=True), flush=True)
        return
    print(f"read {told['read']}, pushed {told['pushed']}, sealed {told['sealed']}")
    _list("rejected by the store", told["rejected"])
    _list("batches refused by the store", told["refused_batches"])
    if told["too_old"]:
        print(f"too old, kept in the spool: {told['too_old']}: see `icr-collect backfill --help`")
    _list("refused here, not pushed", told["refused"], sys.stderr)
    _list("not records", told["not_records"], sys.stderr)
    for mend in summary.mends:
        print(mend, file=sys.stderr)
    if summary.cut_off:
        print("CUT OFF: an input ends in the middle, what followed is not here", file=sys.stderr)


def _counts(summary: _Summary) -> dict[str, Any]:
    return {
        "read": summary.read,
        "refused": dict(summary.refused),
        "not_records": dict(summary.not_records),
        "left_out": dict(summary.left_out),
    }


def _totals(spool: Spool, summary: _Summary) -> dict[str, Any]:
    """Counts of records: pushed and sealed are of the inputs and of what the spool still had, too
    old is all that the spool has of it."""
    sealed, rejected = 0, Counter[str]()
    for batch in summary.batches:
        if encoded := spool.sealed_receipt(batch):
            receipt = Receipt.parse(Envelope.parse(encoded, "receipt"))
            sealed += receipt.records
            rejected.update(receipt.rejected or {})
    left = spool.unfinished()
    return {
        **_counts(summary),
        "too_old": sum(each.records for each in left if each.state == "too-old"),
        "pushed": spool.records_pushed(summary.batches),
        "sealed": sealed,
        "rejected": dict(rejected),
        "batches": len(summary.batches),
    }


def _list(title: str, counts: dict[str, int], out: Any = None) -> None:
    for reason, count in sorted(counts.items()):
        print(f"{title}: {count} {reason}", file=out or sys.stdout)
