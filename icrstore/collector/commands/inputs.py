"""What `read` and `push` ask of their files alike."""

import argparse
import sys

from icrstore.collector.leases import Leases, add_leases, leases_of
from icrstore.collector.push import utc_now
from icrstore.flow.errors import FormatRefused
from icrstore.flow.readers import FORMATS, Hints, maps, zone_named
from icrstore.shell.stop import USAGE, Stop


def add_inputs(command: argparse.ArgumentParser, many: str) -> None:
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


def hints_of(given: argparse.Namespace) -> Hints:
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


def told_leases(given: argparse.Namespace) -> Leases | None:
    """The leases, after saying what their owner should know of how they were read."""
    leases = leases_of(given)
    for note in leases.notes if leases else ():
        print(f"leases: {note}", file=sys.stderr)
    return leases
