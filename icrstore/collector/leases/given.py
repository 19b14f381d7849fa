"""How a command is told of leases: its options, and what they give."""

import argparse
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from icrstore.collector.leases.file import LeaseFile
from icrstore.collector.leases.table import Leases

_LEASES = (
    "who held which address when: CSV (address,account,from,to with times like"
    " 2026-01-31T12:00Z; an address may be a prefix), RADIUS accounting (FreeRADIUS detail), or a"
    " DHCP server's leases (ISC dhcpd, Kea's CSV, dnsmasq)"
)
_FIELD = (
    "what names the account there: of RADIUS an attribute, default User-Name; of DHCP one of"
    " hardware, client-id, circuit-id, remote-id, hostname, duid"
)
_ZONE = "of times in leases that are written without their zone: Europe/London"


def add_leases(command: argparse.ArgumentParser, whose: argparse._MutuallyExclusiveGroup) -> None:
    whose.add_argument("--leases", type=Path, metavar="FILE", help=_LEASES)
    command.add_argument("--lease-account", metavar="FIELD", help=_FIELD)
    command.add_argument("--lease-zone", type=_zone, metavar="ZONE", help=_ZONE)


def leases_of(given: argparse.Namespace) -> Leases | None:
    """Raises `Stop` for leases that cannot be right."""
    if not given.leases:
        return None
    return LeaseFile(given.leases, given.lease_account, given.lease_zone).read()


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):
        raise argparse.ArgumentTypeError("not a time zone: write Europe/London") from None
