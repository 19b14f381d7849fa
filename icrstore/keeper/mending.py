"""The commands for a store that was put back from a copy, or that may be damaged."""

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from icrstore.keeper.fsck import fsck
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.published import source
from icrstore.keeper.recover import recover
from icrstore.shell.stop import DATA

MENDS = {
    "quarantined": "it signed what it does not know any more: `recover --help`",
    "not-published": "a log, or a part of one, is not there: of each keeper's logs all is needed",
    "published-wrong": "what is there does not lead to what this log signed and its peer cosigned",
    "published-too-old": "the peer has cosigned more than is there: get a newer copy",
    "pins-lost": "in the lost time somebody was pinned, replaced or revoked: compare `show` with"
    " what must be trusted, recover with --pins-compared, pin and revoke what differs, then serve;"
    " a log in its `quarantine` that is no tenant's was of one pinned then, and is given up so",
    "peer-forked": "the other keeper's log is not what we cosigned: keep all, tell its owner",
}
_RECOVER = """\
A keeper whose store was put back from a copy has forgotten what its peer cosigned: it is found out
and stops itself (quarantine). Stop it, then have this command read its logs as they are published:
--from is https://STORE, or a folder that holds ledger/ROLE/PSEUDONYM/checkpoint and tile/... of
both keepers. The leaves come back, and a `recovery` leaf says so; what was private does not:

- warrants that may have been used in the lost time are refused (before-recovery): make new ones;
- epochs come back by themselves, as the sealers bring them again;
- so do pools; backfills that still hold do not: `policy FILE`;
- pins that were set or replaced in the lost time are as old as the copy, and who was revoked in it
  is believed again: see pins-lost.

Never put chain.json back: it has to be today's.
"""
_FSCK = """\
Reads the whole store and changes nothing; it may run beside the keeper. Ends with 65 where anything
differs: then stop the keeper, keep a copy as evidence, put the store back from a mirror, or from an
older copy and `recover` it. Days that expired since it ran last are for its upkeep to destroy.
"""


def add_mending(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    made = command(commands, "fsck", "check the whole store, and change nothing", _fsck)
    made.description, made.formatter_class = _FSCK, argparse.RawDescriptionHelpFormatter

    about = "put the logs right after the store was put back from a copy"
    made = command(commands, "recover", about, _recover)
    made.description, made.formatter_class = _RECOVER, argparse.RawDescriptionHelpFormatter
    made.add_argument("--from", required=True, dest="where", help="a folder, or https://STORE")
    made.add_argument("--pins-compared", action="store_true", help="what is trusted was compared")


def _fsck(asked: argparse.Namespace) -> int:
    faults = fsck(asked.store, lambda told: print(told, file=sys.stderr))
    for fault in faults:
        print(fault)
    if not faults:
        print("whole: every leaf, row and key is what it must be")
    return DATA if faults else 0


def _recover(asked: argparse.Namespace) -> None:
    with closing(Keeper.open(asked.store)) as keeper:
        made = recover(keeper, source(asked.where), asked.pins_compared)
    if not made:
        print("nothing to recover: the logs hold all that is published")
    for one in made:
        lost = ", ".join(f"{count} {type_}" for type_, count in sorted(one.lost.items())) or "none"
        print(f"{one.tenant}: {one.kept} leaves kept, {one.anew} logged anew, lost texts: {lost}")
