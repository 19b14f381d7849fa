"""The keepers' public day keys: signed by each keeper, checked against its pinned identity.

Kept in the sealer's secrets folder, so that a keeper that is down for a while stops no sealing.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from icrstore.keeper.client import Keeper
from icrstore.seal.epoch import Role
from icrstore.warrant.trust import KeeperIdentity

# Fetched at once: the days of late records, and some ahead in case a keeper is down.
BEHIND, AHEAD = timedelta(days=4), timedelta(days=7)


class NoDayKey(Exception):
    """A keeper's key of that day is neither kept nor to be had: sealing waits for the keeper."""


@dataclass(frozen=True)
class DayKeys:
    folder: Path
    keepers: tuple[tuple[KeeperIdentity, Keeper], ...]

    def of(self, tenant: str, day: str) -> dict[tuple[Role, int], bytes]:
        """The public day key of every keeper instance. Raises `NoDayKey`."""
        return {
            (identity.role, identity.instance): self._key(identity, keeper, tenant, day)
            for identity, keeper in self.keepers
        }
