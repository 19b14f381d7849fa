"""What `read` and `push` ask of their files alike."""

import argparse
from pathlib import Path

from icrstore.collector.leases import Leases
from icrstore.flow.readers import FORMATS


def add_inputs(command: argparse.ArgumentParser, many: str) -> None:
    command.add_argument("files", nargs=many, metavar="FILE", help="a file, or - for the input")
    formats = "; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
    command.add_argument("--format", choices=list(FORMATS), help=f"told by itself; {formats}")
    whose = command.add_mutually_exclusive_group()
    whose.add_argument("--account", help="whose records they are, where they do not say")
    told = (
        "CSV of who held which address: address,account,from,to with times like 2026-01-31T12:00Z"
    )
    whose.add_argument("--leases", type=Path, metavar="FILE", help=told)


def leases_of(given: argparse.Namespace) -> Leases | None:
    return Leases.read(given.leases) if given.leases else None
