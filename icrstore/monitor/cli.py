"""Follow both keepers' logs of a provider from outside, and say what is wrong or owed.

  icr-monitor keeper.isp.example/0123456789abcdef keeper.body.example/fedcba9876543210 \\
      --trust trust.json --server https://icr.example --state isp-one.json

Each LOG is an origin, as `python -m icrstore.keeper show` prints it; it stands in every answer's
checkpoints too. No key is needed. Looked at is, in each log,
  - that its keeper signed it and the other keeper cosigned it within two hours;
  - that all of its leaves are leaves, lead to the signed root, and continue what was seen before:
    a log that forked is written beside STATE, with both notes, for anyone to check;
and by the public lines of the leaves (type, day, due), after the time that each has,
  - commits that were neither released nor expired, releases about an account without a disclosure,
    disclosures whose subscribers nobody told, commits that the other log has not.

What it cannot see: the lines say what kind of leaf, never of whom or of which question. So it
counts, and a count is at least so much: while questions come without a pause, one that hangs can
hide behind later ones. A disclosure that names nobody has no leaf, so of questions about addresses
only the commits are counted. Which question a debt is of, its keeper's owner reads in
`python -m icrstore.keeper accesses`. A log shown to all but you shows to all but you: compare notes
with others, or carry STATE to another network and look from there.

A first look believes what it finds. Debts that somebody explained are taken off by --accept: from
then on only what is more is a fault.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from icrstore.monitor.look import Away, Look, look
from icrstore.monitor.reading import Fetch, NotProven, source_of
from icrstore.monitor.state import read_state, write_state, write_whole
from icrstore.seal.epoch import ROLES
from icrstore.shell.client import Server
from icrstore.shell.keyfile import read_file
from icrstore.shell.stop import DATA, TEMPORARY, USAGE, Stop
from icrstore.tlog.follow import Forked
from icrstore.warrant.strict import StatementError, dump
from icrstore.warrant.trust import Trust
from icrstore.wire.errors import CallFailed

_EXIT = "exit: 0 nothing is wrong, 64 usage, 65 a fault (each is named), 75 the server is away"


def main(argv: Sequence[str] | None = None) -> int:
    """Look once, or for ever; the status of the last look."""
    try:
        given = _parser().parse_args(argv)
    except SystemExit as stop:
        return USAGE if stop.code else os.EX_OK
    status = os.EX_OK
    try:
        trust, fetch = _trust(given.trust), fetch_from(_server(given.server))
        _check_logs(given.log, trust, fetch)
        while True:
            status = _look(given, trust, fetch)
            if given.every is None:
                return status
            given.accept = False
            time.sleep(given.every)
    except Stop as stop:
        print(f"icr-monitor: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        return status


def _server(url: str | None) -> Server:
    if not url:
        raise Stop(USAGE, "no server: give --server https://icr.example or set ICR_SERVER")
    return Server(url, None)


def fetch_from(server: Server) -> Fetch:
    """Reads a path of the store. Raises `Away`, and `NotProven` for what is not there."""

    def fetch(path: str) -> bytes:
        try:
            response = server.get(path)
        except CallFailed as error:
            raise Away(f"the server does not answer ({error.reason})") from None
        if response.status == HTTPStatus.NOT_FOUND:
            raise NotProven(f"the server has no {path}: is the origin right?")
        if response.status != HTTPStatus.OK:
            raise Away(f"the server answers {response.status}")
        return response.body

    return fetch


def _check_logs(origins: Sequence[str], trust: Trust, fetch: Fetch) -> None:
    try:
        roles = {source_of(fetch, trust, origin)[0] for origin in origins}
    except NotProven as error:
        raise Stop(USAGE, f"LOG: {error}: compare it with `keeper show`") from None
    if roles != set(ROLES):
        raise Stop(USAGE, "LOG: give one log of each keeper: one is witness of the other")


def _look(given: argparse.Namespace, trust: Trust, fetch: Fetch) -> int:
    state, now = read_state(given.state), datetime.now(UTC)
    seen = look(fetch, trust, given.log, state, now, accept=given.accept)
    for fork in seen.forks:
        _keep(given.state, fork)
    # From here what is seen next must continue this.
    write_state(given.state, seen.state)
    _show(seen, as_json=given.json)
    if seen.faults:
        return DATA
    return TEMPORARY if seen.away else os.EX_OK


def _keep(state: Path, fork: Forked) -> None:
    """The evidence, under one name for all that does not continue the same note."""
    notes, path = [note.decode() for note in fork.notes], [each.hex() for each in fork.path]
    content = dump({"v": 1, "notes": notes, "path": path})
    name = hashlib.sha256(fork.notes[0]).hexdigest()[:16]
    write_whole(state.with_name(f"{state.name}.fork-{name}.json"), content + b"\n")


def _show(seen: Look, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ok": not seen.faults and not seen.away, **seen.to_object()}), flush=True)
        return
    for log in seen.logs:
        at = f"{log.cosigned_at:%Y-%m-%d %H:%M} UTC"
        print(f"{log.origin}: {log.size} leaves, {log.new} new, cosigned {at}")
    for line in seen.explained:
        print(f"explained: {line}")
    for line in seen.away:
        print(f"AWAY: {line}")
    for line in seen.faults:
        print(f"FAULT: {line}")
    if not seen.faults and not seen.away:
        print("nothing is wrong", flush=True)


def _trust(path: Path) -> Trust:
    try:
        return Trust.parse(read_file(path))
    except StatementError as error:
        mend = "have the store's trust.json given to you"
        raise Stop(DATA, f"{path}: no trust file ({error}): {mend}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icr-monitor",
        description=__doc__,
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log", nargs=2, metavar="LOG", help="the origin of each keeper's log")
    parser.add_argument("--trust", type=Path, required=True, metavar="FILE",
                        help="the store's public keys, from somebody whom you believe")  # fmt: skip
    parser.add_argument("--server", default=os.environ.get("ICR_SERVER"), metavar="URL",
                        help="or ICR_SERVER in the environment")  # fmt: skip
    parser.add_argument("--state", type=Path, required=True, metavar="FILE",
                        help="what was seen last; made at the first look")  # fmt: skip
    parser.add_argument("--every", type=_seconds, metavar="SECONDS", help="look again and again")
    parser.add_argument("--accept", action="store_true", help="the debts of today are explained")
    parser.add_argument("--json", action="store_true", help="one JSON object a look on stdout")
    return parser


def _seconds(given: str) -> int:
    if not given.isascii() or not given.isdigit() or not 0 < int(given) <= 86400:
        raise argparse.ArgumentTypeError("give seconds, from 1 to 86400")
    return int(given)
