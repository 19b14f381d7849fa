"""``icr-collect read``."""

import argparse
import sys

from icrstore.collector.commands.inputs import add_inputs, leases_of
from icrstore.collector.read import read_files

NAME = "read"
ABOUT = "Show what the collector reads in these files."
TEACHES = """example:
  tcpdump -tt -n -r pflog | icr-collect read - --account line-17
  icr-collect read flows.ndjson --leases leases.csv

Shows each record as one line of JSON and pushes nothing."""


def add(command: argparse.ArgumentParser) -> None:
    add_inputs(command, "+")


def run(given: argparse.Namespace) -> int:
    return read_files(
        given.files,
        given.format,
        given.account,
        sys.stdout,
        sys.stderr,
        as_json=given.json,
        leases=leases_of(given),
    )
