"""Who held an address when: a provider's leases, out of what it has of them.

CSV (`columns`), RADIUS accounting (`radius`) or a DHCP server's file (`dhcp`), told by content.
"""

from icrstore.collector.leases.file import LeaseFile
from icrstore.collector.leases.given import add_leases, leases_of
from icrstore.collector.leases.table import AMBIGUOUS, NO_LEASE, Leases, Session, nanoseconds

__all__ = [
    "AMBIGUOUS", "NO_LEASE", "LeaseFile", "Leases", "Session", "add_leases", "leases_of",
    "nanoseconds",
]  # fmt: skip
