"""Somebody outside who follows both keepers' logs, and publishes them as a folder."""

from dataclasses import dataclass, field
from pathlib import Path

from icrstore.keeper.answers import Logged
from icrstore.keeper.carry import Carrier
from icrstore.keeper.evidence import check_cosigned
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.names import pseudonym_of
from icrstore.seal.epoch import ROLES, Role, other_role
from icrstore.tlog.merkle import root_of
from icrstore.tlog.tiles import TILE_WIDTH, Tile, bundle
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT


@dataclass
class Outside:
    """What was seen so far of each keeper's log: it may only ever grow."""

    pair: Pair
    seen: dict[Role, list[bytes]] = field(default_factory=lambda: {role: [] for role in ROLES})
    notes: dict[Role, str] = field(default_factory=dict)
    history: dict[Role, list[str]] = field(default_factory=lambda: {role: [] for role in ROLES})

    def follow(self) -> None:
        """Read both logs whole, cosigned; fails where one is no continuation."""
        for role in ROLES:
            keeper = self.pair.keeper(role)
            origin = keeper.origin(TENANT)
            carrier = Carrier(keeper, self.pair.keeper(other_role(role)))
            note = carrier.carry(Logged((), (), keeper.checkpoint(origin)), None)
            signed, _ = check_cosigned(note.evidence.checkpoint.encode(), carrier.keys)
            entries = keeper.entries(origin, 0, signed.size)
            assert root_of(entries) == signed.root
            assert entries[: len(self.seen[role])] == self.seen[role]
            self.seen[role], self.notes[role] = entries, note.evidence.checkpoint
            self.history[role].append(self.notes[role])

    def publish(self, folder: Path) -> Path:
        """What was followed, in the layout of `/ledger`."""
        for role, note in self.notes.items():
            place = folder / "ledger" / role / pseudonym_of(note.splitlines()[0])
            entries = self.seen[role]
            for first in range(0, len(entries), TILE_WIDTH):
                few = entries[first : first + TILE_WIDTH]
                path = place / Tile(None, first // TILE_WIDTH, len(few)).path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bundle(few))
            (place / "checkpoint").write_text(note)
        return folder

    def types(self, role: Role, first: int = 0) -> list[str]:
        return [LeafText.parse(each.decode()).type for each in self.seen[role][first:]]
