"""How a command is told of leases: its options, and what they give."""

import argparse
from pathlib import Path

from icrstore.collector.leases.file import LeaseFile
from icrstore.collector.leases.table import Leases
from icrstore.flow.readers import zone_named
from icrstore.shell.stop import USAGE, Stop

_LEASES = (
    "who held which address when: CSV (address,account,from,to with times like"
    " 2026-01-31T12:00Z; an address may be a prefix), RADIUS accounting (FreeRADIUS detail), or a"
    " DHCP server's leases (ISC dhcpd, Kea's CSV, dnsmasq)"
)
_FIELD = (
    "what names the account there: of RADIUS an attribute, default User-Name; of DHCP one of"
    " hardware, client-id, circuit-id, remote-id, hostname, duid"
)


def add_leases(command: argparse.ArgumentParser, whose: argparse._MutuallyExclusiveGroup) -> None:
    whose.add_argument("--leases", type=Path, metavar="FILE", help=_LEASES)
    command.add_argument("--lease-account", metavar="FIELD", help=_FIELD)


def leases_of(given: argparse.Namespace) -> Leases | None:
    """Raises `Stop` for leases that cannot be right."""
    if not given.leases:
        return None
    try:
        zone = zone_named(given.zone) if given.zone else None
    except ValueError as error:
        raise Stop(USAGE, f"--zone: {error}") from None
    return LeaseFile(given.leases, given.lease_account, zone).read()
