"""The command ``icr-collect``: read what a network emits, spool it, push it until it is sealed."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from icrstore.collector.commands import backfill, check, enrol, key, push, read, run, status
from icrstore.shell.harden import harden
from icrstore.shell.stop import USAGE, Stop

_COMMANDS = (enrol, key, check, read, push, run, status, backfill)
_TOP = """examples:
  icr-collect enrol https://icr.example TOKEN --config edge-1.toml
  icr-collect read pflog.txt --account line-17
  icr-collect push pflog.txt --account line-17 --config edge-1.toml
  icr-collect check --config edge-1.toml
  icr-collect run --config edge-1.toml

exit: 0 done, 64 usage, 65 data refused or cut off, 66 no such file,
      75 try again later (everything is in the spool), 77 refused"""


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
    top = argparse.ArgumentParser(
        prog="icr-collect",
        description="Read internet connection records and push them, sealed, to the store.",
        epilog=_TOP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = "|".join(each.NAME for each in _COMMANDS)
    commands = top.add_subparsers(required=True, metavar=names)
    for each in _COMMANDS:
        made = commands.add_parser(
            each.NAME,
            help=each.ABOUT,
            description=each.ABOUT,
            epilog=each.TEACHES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.add_argument("--json", action="store_true", help="lines of JSON instead of words")
        each.add(made)
        made.set_defaults(run=each.run)
    return top
