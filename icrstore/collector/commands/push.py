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

from icrstore.collector.commands.inputs import add_inputs, hints_of, told_leases
from icrstore.collector.commands.progress import Progress
from icrstore.collector.config import Config
from icrstore.collector.cut import Cut, cut
from icrstore.collector.frames import Frames
from icrstore.collector.leases import Leases
from icrstore.collector.push import Push, utc_now
from icrstore.collector.read import STDIN, held_until, held_words, iter_retained, left_here
from icrstore.collector.spool import Spool
from icrstore.flow.errors import FlowRefused
from icrstore.flow.readers import Hints, Tally
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
`icr-collect read --help`. Replies, inbound connections and those of nobody's address are counted
and not pushed.

What pmacct, nfdump, goflow2, Akvorado and Vector print is read with --map; deploy/COLLECTING.md
says how each is set up. A map of your own is a file like icrstore/flow/readers/maps/pmacct.toml.

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
    held: dict[str, str] = field(default_factory=dict)  # what waits of each input, in words
    refused: Counter[str] = field(default_factory=Counter)
    batches: list[bytes] = field(default_factory=list)
    mends: list[str] = field(default_factory=list)

    def count(self, path: str, tally: Tally) -> None:
        self.mends += [f"{path}: {mend}" for mend in tally.mends()]
        self.read += tally.records
        self.cut_off |= tally.cut_off
        self.not_records.update(tally.not_records)
        self.left_out.update(tally.left_out)


@dataclass(frozen=True)
class _Inputs:
    """What the command says of its files."""

    given: argparse.Namespace
    leases: Leases | None
    hints: Hints


def run(given: argparse.Namespace) -> int:
    config = Config.read(given.config)
    inputs = _Inputs(given, told_leases(given), hints_of(given))
    if given.dry_run:
        return _dry_run(inputs)
    secret, key = config.collector_secret(), KeyFile.read(config.key, "signing")
    spool = Spool(config.spool, secret, config.most_bytes)
    try:
        summary = _Summary(batches=[each.id for each in spool.unfinished()])
        progress = Progress(as_json=given.json, left=lambda: len(spool.unfinished()))
        push = Push(config, key.signing(), spool, given.wait, progress.tell)
        try:
            for path in given.files:
                _spool_file(path, inputs, Frames(spool, secret), push, summary)
            push.run()
        finally:
            progress.end()
            _report(given, spool, summary, push.refused)
    finally:
        spool.close()
    return _exit(summary, push.refused)


def _exit(summary: _Summary, refused: dict[bytes, str]) -> int:
    if refused or summary.cut_off:
        return DATA
    return TEMPORARY if summary.held else os.EX_OK


def _dry_run(inputs: _Inputs) -> int:
    given, summary = inputs.given, _Summary()
    for path in given.files:
        for _ in _cuts(path, inputs, summary):
            pass
    told = {**_counts(summary), "batches": 0}
    print(json.dumps(told) if given.json else f"read {told['read']}, pushed nothing: a dry run")
    return _exit(summary, {})


def _spool_file(path: str, inputs: _Inputs, frames: Frames, push: Push, summary: _Summary) -> None:
    """Each file is cut by itself, so that its batches are the same whatever comes with it.

    A whole batch of the future is left out by the clock; single records are not: without them it
    would be another batch, with another id, of the same file at another time.
    """
    for made in _cuts(path, inputs, summary):
        now = utc_now()
        if made.first > now + NEWEST:
            summary.refused["time-in-future"] += made.records
            continue
        kept = _put(frames, made, push)
        if kept not in summary.batches:
            summary.batches.append(kept)


def _put(frames: Frames, made: Cut, push: Push) -> bytes:
    """Spool a batch; where the spool is full, push until there is room."""
    if not frames.spool.has_room():
        push.run()
    if not frames.spool.has_room():
        raise Stop(TEMPORARY, f"{frames.spool.path}: {frames.spool.no_room()}, then push again")
    return frames.put(made, utc_now())


def _cuts(path: str, inputs: _Inputs, summary: _Summary) -> Iterator[Cut]:
    given, leases, tally = inputs.given, inputs.leases, Tally()
    try:
        if leases and path != STDIN:
            waiting, latest = held_until(path, given.format, leases, inputs.hints)
            if waiting:
                words = held_words(waiting, latest, leases)
                summary.held[path] = f"{words} and push it again; nothing of it was pushed"
                summary.not_records["held"] += waiting
                return
        records = iter_retained(path, given.format, given.account, tally, leases, inputs.hints)
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
    if leases and (waiting := tally.not_records["held"]):
        words = held_words(waiting, tally.latest_held, leases)
        summary.held[path] = f"{words}, and push a file, which waits as a whole; the others of this"
        summary.held[path] += " input were pushed, and pushed again they are one when opened"


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
    if summary.left_out:
        print(left_here(summary.left_out), file=sys.stderr)
    for path, words in summary.held.items():
        print(f"{path}: {words}", file=sys.stderr)
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
        "held": dict(summary.held),
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
