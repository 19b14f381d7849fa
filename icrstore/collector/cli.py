"""The command ``icr-collect``: read what a network emits, spool it, push it until it is sealed."""

import argparse
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from icrstore.collector.config import SECRET_BYTES, Config
from icrstore.collector.cut import cut
from icrstore.collector.enrol import enrol
from icrstore.collector.leases import Leases, add_leases, leases_of
from icrstore.collector.push import Push, spool_cut, utc_now
from icrstore.collector.read import (
    STDIN,
    held_until,
    held_words,
    iter_retained,
    left_here,
    read_files,
)
from icrstore.collector.spool import Spool, Spooled
from icrstore.flow.errors import FlowRefused, FormatRefused
from icrstore.flow.readers import FORMATS, Hints, Tally, maps, zone_named
from icrstore.shell.harden import harden
from icrstore.shell.keyfile import KeyFile, write_secret
from icrstore.shell.stop import DATA, NO_INPUT, TEMPORARY, USAGE, Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from icrstore.warrant.strict import encode_base64

DEFAULT_WAIT_SECONDS = 300

_TOP = """examples:
  icr-collect enrol https://icr.example TOKEN --config edge-1.toml
  icr-collect read pflog.txt --account line-17
  icr-collect push pflog.txt --account line-17 --config edge-1.toml

exit: 0 done, 64 usage, 65 data refused or cut off, 66 no such file,
      75 try again later (everything is in the spool), 77 refused"""
_ENROL = """example:
  icr-collect enrol https://icr.example TOKEN --config edge-1.toml

TOKEN is what the store's operator has from `manage.py collector enrol`; it serves once, within
24 hours. Makes edge-1.key and edge-1.secret beside the config, hands in the public key, pins the
store's keys, and writes the config that `icr-collect push` reads. Compare the fingerprints with
the operator. Then the provider's root vouches for the public key that is shown (`icr grant --role
collector`), and the operator stores that (`manage.py collector grant`): nothing is taken before."""
_KEY = """example:
  icr-collect key --out edge-1.key --secret edge-1.secret

Hand the public key to the store's operator, who adds it. Keep both files on this machine only:
the key signs what is pushed, the secret names the batches and locks the spool."""
_READ = """example:
  icr-collect read /var/log/pflog --account line-17     # or any capture: its first packets
  tcpdump -tt -n -r pflog | icr-collect read - --account line-17
  icr-collect read pflog.txt --account line-17 --zone Europe/London    # OpenBSD's tcpdump -nettt
  icr-collect read flows.ndjson --leases leases.csv
  icr-collect read nfdump.json --map nfdump --zone UTC
  icr-collect read fw.log --zone Europe/London   # deploy/DIALECTS.md: ASA, Juniper, conntrack, ...
  icr-collect read templates.dat flows.dat     # exports of NetFlow or IPFIX, templates first

Shows each record as one line of JSON and pushes nothing."""
_PUSH = """example:
  icr-collect push pflog.txt --account line-17 --config edge-1.toml

edge-1.toml:
  server = "https://icr.example"     # told by the store's operator, as are the two keys below
  key = "edge-1.key"                 # from `icr-collect key`; paths from this file's folder
  secret = "edge-1.secret"
  spool = "edge-1.spool"             # made at the first push
  sealer_key = "base64"              # signs intake keys and sealed receipts
  receipt_key = "base64"             # signs accepted receipts

With --leases FILE the side that held an address at the time is the subscriber: see
`icr-collect read --leases`. Replies, inbound connections and those of nobody's address are counted
and not pushed.

What pmacct, nfdump, goflow2, Akvorado and Vector print is read with --map: deploy/COLLECTING.md
says how each is set up. A map of your own is a file like icrstore/flow/readers/maps/pmacct.toml.

Push the same file as often as you like: each record is kept once. Without FILE, what the spool
still holds is pushed."""


def program() -> int:
    """The command in a process of its own, which will hold keys."""
    harden()
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns an exit status of sysexits."""
    try:
        given = _parser().parse_args(argv)
    except SystemExit as stop:
        return USAGE if stop.code else os.EX_OK
    try:
        done: int = given.run(given)
        return done
    except Stop as stop:
        if given.json:
            print(json.dumps({"event": "stopped", "status": stop.status, "why": str(stop)}))
        print(f"icr-collect: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("icr-collect: interrupted: what was spooled stays in the spool", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    def add(name: str, about: str, epilog: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about, epilog=epilog)
        made.formatter_class = argparse.RawDescriptionHelpFormatter
        made.add_argument("--json", action="store_true", help="lines of JSON instead of words")
        return made

    top = argparse.ArgumentParser(
        prog="icr-collect",
        description="Read internet connection records and push them, sealed, to the store.",
        epilog=_TOP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="enrol|key|read|push")
    enrolling = add("enrol", "Become a collector of a store, by a one-use token.", _ENROL)
    enrolling.add_argument("url", metavar="URL", help="the store: https://icr.example")
    enrolling.add_argument("token", metavar="TOKEN", help="from the store's operator")
    made = "the config to write: TOML, or JSON if it ends in .json"
    enrolling.add_argument("--config", type=Path, required=True, metavar="FILE", help=made)
    enrolling.set_defaults(run=_enrol)
    key = add("key", "Make this collector's signing key and secret.", _KEY)
    key.add_argument("--out", type=Path, required=True, metavar="FILE", help="the key file to make")
    key.add_argument("--secret", type=Path, required=True, metavar="FILE", help="the secret's file")
    key.set_defaults(run=_key)
    read = add("read", "Show what the collector reads in these files.", _READ)
    _add_inputs(read, "+")
    read.set_defaults(run=_read)
    push = add("push", "Push the records of these files until they are sealed.", _PUSH)
    _add_inputs(push, "*")
    push.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML or JSON")
    old = "records older than 48 hours, too: the store must have a backfill of their hours"
    push.add_argument("--backfill", action="store_true", help=old)
    wait = "give up (exit 75) so long after the last progress; default 300"
    push.add_argument(
        "--wait", type=float, default=DEFAULT_WAIT_SECONDS, metavar="SECONDS", help=wait
    )
    push.set_defaults(run=_push)
    return top


def _add_inputs(command: argparse.ArgumentParser, many: str) -> None:
    command.add_argument("files", nargs=many, metavar="FILE", help="a file, or - for the input")
    formats = "; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
    command.add_argument("--format", choices=list(FORMATS), help=f"told by itself; {formats}")
    mapped = f"CSV or JSON as a tool prints it: {', '.join(maps.names())}, or a map's own FILE.toml"
    command.add_argument("--map", metavar="NAME", help=mapped)
    zone = "of times without an offset: UTC, Europe/London; without it they are refused"
    command.add_argument("--zone", metavar="ZONE", help=zone)
    whose = command.add_mutually_exclusive_group()
    whose.add_argument("--account", help="whose records they are, where they do not say")
    add_leases(command, whose)


def _enrol(given: argparse.Namespace) -> int:
    enrolled = enrol(given.url, given.token, given.config)
    keys = (enrolled.own, enrolled.sealer, enrolled.receipts)
    if given.json:
        print(json.dumps({
            "tenant": enrolled.tenant, "collector": enrolled.collector,
            **dict(zip(("own", "sealer", "receipts"), (k.to_object() for k in keys), strict=True)),
        }))  # fmt: skip
        return os.EX_OK
    print(f"enrolled as {enrolled.collector} of {enrolled.tenant}; {given.config} is ready")
    for name, key in zip(("own key", "sealer", "receipts"), keys, strict=True):
        print(f"{name:<12} {key.fingerprint}")
    print(f"{'public key':<12} {encode_base64(enrolled.own.public)}")
    print("Compare the fingerprints with the store's operator, and have the provider's root vouch")
    print("for the public key: `icr grant --role collector`. Nothing is taken before.")
    return os.EX_OK


def _key(given: argparse.Namespace) -> int:
    for path in (given.out, given.secret):
        if path.exists():
            raise Stop(USAGE, f"{path}: it exists, and a key is not replaced: name another")
    made = KeyFile.new("signing", given.out.stem)
    write_secret(given.secret, secrets.token_bytes(SECRET_BYTES))
    made.write(given.out)
    public = made.public_half().to_object()
    if given.json:
        print(json.dumps(public))
    else:
        print(f"public key   {public['public']}\nkey id       {public['keyid']}")
        print(f"fingerprint  {public['fingerprint']}")
        print("Give these to the store's operator; read the fingerprint out to be sure.")
    return os.EX_OK


def _read(given: argparse.Namespace) -> int:
    return read_files(
        given.files,
        given.format,
        given.account,
        sys.stdout,
        sys.stderr,
        as_json=given.json,
        leases=_told(leases_of(given)),
        hints=_hints(given),
    )


def _hints(given: argparse.Namespace) -> Hints:
    """What the command says of its inputs. Raises `Stop`, naming the mend."""
    try:
        return Hints(
            zone=zone_named(given.zone) if given.zone else None,
            now=utc_now(),
            map=maps.load(given.map) if given.map else None,
        )
    except ValueError as error:
        raise Stop(USAGE, f"--zone: {error}") from None
    except FormatRefused as error:
        raise Stop(USAGE, f"--map: {error}") from None


def _told(leases: Leases | None) -> Leases | None:
    """Says what their owner should know of how they were read."""
    for note in leases.notes if leases else ():
        print(f"leases: {note}", file=sys.stderr)
    return leases


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


def _push(given: argparse.Namespace) -> int:
    config = Config.read(given.config)
    secret, key = config.collector_secret(), KeyFile.read(config.key, "signing")
    hints, leases = _hints(given), _told(leases_of(given))
    spool = Spool(config.spool, secret)
    try:
        summary = _Summary(batches=[each.id for each in spool.unfinished()])
        for path in given.files:
            _spool_file(path, given, leases, hints, spool, secret, summary)
        progress = _Progress(as_json=given.json, left=len(spool.unfinished()))
        push = Push(config, key.signing(), spool, given.wait, progress.tell)
        try:
            push.run()
        finally:
            progress.end()
            _report(given, spool, summary, push.refused)
    finally:
        spool.close()
    if push.refused or summary.cut_off:
        return DATA
    return TEMPORARY if summary.held else os.EX_OK


def _spool_file(
    path: str,
    given: argparse.Namespace,
    leases: Leases | None,
    hints: Hints,
    spool: Spool,
    secret: bytes,
    summary: _Summary,
) -> None:
    """Each file is cut by itself, so that its batches are the same whatever comes with it."""
    tally, now = Tally(), utc_now()
    try:
        if leases and path != STDIN:
            waiting, latest = held_until(path, given.format, leases, hints)
            if waiting:
                words = held_words(waiting, latest, leases)
                summary.held[path] = f"{words} and push it again; nothing of it was pushed"
                summary.not_records["held"] += waiting
                return
        records = iter_retained(path, given.format, given.account, tally, leases, hints)
        for made in cut(records, summary.refused):
            kept = spool_cut(spool, made, secret, now, is_backfill=given.backfill)
            if isinstance(kept, str):
                summary.refused[kept] += made.records
            elif kept not in summary.batches:
                summary.batches.append(kept)
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


class _Progress:
    """One line that changes on a terminal; a line of JSON for each event if asked for."""

    def __init__(self, as_json: bool, left: int) -> None:
        self._as_json, self._left = as_json, left
        self._on_terminal = not as_json and sys.stderr.isatty()
        self._counts: Counter[str] = Counter()

    def tell(self, event: str, batch: Spooled | None, more: dict[str, object]) -> None:
        self._counts[event] += 1
        if self._as_json:
            told: dict[str, object] = {"event": event, **more}
            if batch:
                told |= {"batch_id": batch.id.hex(), "records": batch.records}
            print(json.dumps(told), flush=True)
        elif self._on_terminal:
            counts = ", ".join(f"{count} {name}" for name, count in self._counts.items())
            print(f"\r{self._left} batches to push: {counts}\033[K", end="", file=sys.stderr)

    def end(self) -> None:
        if self._on_terminal and self._counts:
            print(file=sys.stderr)


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


def _totals(spool: Spool, summary: _Summary) -> dict[str, Any]:
    """Counts of records: pushed and sealed are of the inputs and of what the spool still had."""
    sealed, rejected = 0, Counter[str]()
    for batch in summary.batches:
        if encoded := spool.sealed_receipt(batch):
            receipt = Receipt.parse(Envelope.parse(encoded, "receipt"))
            sealed += receipt.records
            rejected.update(receipt.rejected or {})
    return {
        "read": summary.read,
        "refused": dict(summary.refused),
        "not_records": dict(summary.not_records),
        "left_out": dict(summary.left_out),
        "held": dict(summary.held),
        "pushed": spool.records_pushed(summary.batches),
        "sealed": sealed,
        "rejected": dict(rejected),
        "batches": len(summary.batches),
    }


def _list(title: str, counts: dict[str, int], out: Any = None) -> None:
    for reason, count in sorted(counts.items()):
        print(f"{title}: {count} {reason}", file=out or sys.stdout)
