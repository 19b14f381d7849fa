"""The janitor's side of a keeper: its certificates, checked, and the other keeper's time carried.

It needs no key: what it is told is everyone's, and what it brings speaks for itself.
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from icrstore.keeper.calls import Keeper
from icrstore.keeper.carry import Carrier
from icrstore.keeper.evidence import Evidence, ProvenLeaf
from icrstore.keeper.leaves import LeafError, LeafText
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object
from icrstore.warrant.trust import KeeperIdentity


@dataclass(frozen=True)
class Certificate:
    """A keeper's leaf that it destroyed a day, of which it had so many epochs."""

    day: date
    epochs: int
    evidence: Evidence


class Courier:
    """One keeper, and the one that cosigns its log."""

    def __init__(self, keeper: Keeper, witness: Keeper) -> None:
        self._keeper = keeper
        self._carrier = Carrier(keeper, witness)

    @property
    def identity(self) -> KeeperIdentity:
        return self._keeper.identity

    def certificates(self, tenant: str, after: date) -> tuple[list[Certificate], str]:
        """Those of the days after one, in order, and the cosigned checkpoint that proves them.

        Some at a time; none where there are no more. Raises what calls to a keeper do.
        """
        logged = self._keeper.certificates(tenant, after.isoformat())
        evidence = self._carrier.carry(logged, None).evidence
        read = self._keeper.read
        made = [
            read(lambda leaf=leaf: _read(tenant, evidence.checkpoint, leaf))  # type: ignore[misc]
            for leaf in evidence.leaves
        ]
        days = [after, *(one.day for one in made)]
        if any(later <= earlier for earlier, later in pairwise(days)):
            raise self._keeper.untrue("certificates")
        return made, evidence.checkpoint

    def agree(self, checkpoint: str) -> None:
        """Show the keeper when the other one cosigned: a clock in doubt is trusted by that.

        Raises `KeeperRefused` with the keeper's own code where its clock is not to be trusted.
        """
        self._keeper.show_cosigned(checkpoint)


def _read(tenant: str, checkpoint: str, leaf: ProvenLeaf) -> Certificate:
    """Raises `StatementError`."""
    private = leaf.private.encode()
    fields = Fields(parse_object(private))
    try:
        lines = LeafText.parse(leaf.text)
    except LeafError:
        raise StatementError("not-a-leaf", "leaf") from None
    fields.version()
    said = fields.text("type", 16), fields.text("tenant", 64)
    day, epochs = fields.text("day", 10), fields.integer("epochs", 0, 1 << 53)
    fields.hexadecimal("nonce", 16)
    fields.finish()
    if said != ("shred", tenant) or lines.type != "shred" or dump(parse_object(private)) != private:
        raise StatementError("another-leaf", "leaf")
    if hashlib.sha256(private).digest() != lines.private_sha256:
        raise StatementError("another-leaf", "leaf")
    try:
        return Certificate(date.fromisoformat(day), epochs, Evidence(checkpoint, (leaf,)))
    except ValueError:
        raise StatementError("not-a-day", "day") from None
