"""``icr-collect read``."""

import argparse
import sys

from icrstore.collector.commands.inputs import add_inputs, hints_of, told_leases
from icrstore.collector.read import read_files

NAME = "read"
ABOUT = "Show what the collector reads in these files."
TEACHES = """example:
  icr-collect read /var/log/pflog --account line-17     # or any capture: its first packets
  tcpdump -tt -n -r pflog | icr-collect read - --account line-17
  icr-collect read pflog.txt --account line-17 --zone Europe/London    # OpenBSD's tcpdump -nettt
  icr-collect read flows.ndjson --leases leases.csv
  icr-collect read nfdump.json --map nfdump --zone UTC
  icr-collect read fw.log --zone Europe/London   # deploy/DIALECTS.md: ASA, Juniper, conntrack, ...
  icr-collect read templates.dat flows.dat     # exports of NetFlow or IPFIX, templates first
  icr-collect read flows.ndjson --leases /var/log/radacct/detail --lease-account Class

Shows each record as one line of JSON and pushes nothing; then counts what was no record, and what
stays here since no record has it.

Leases are known until their file was written. Records of later are held, never guessed (exit 75),
and a file with any is not pushed: export the leases again, or touch the file if nothing changed.
A CSV's lease that names its end holds until then. A record against one that was seen within the
hour is its reply, with leases and without: one flow is one record."""


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
        leases=told_leases(given),
        hints=hints_of(given),
    )
