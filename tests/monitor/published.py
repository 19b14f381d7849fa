"""Both logs of a provider as static files, written by keys of the test: what one leaf more, one
less, or another beginning looks like from outside."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.leaves import LeafText
from icrstore.keeper.names import origin_of, pseudonym_of, witness_key_name
from icrstore.monitor.look import Away, Look, look
from icrstore.monitor.reading import NotProven
from icrstore.monitor.state import State
from icrstore.seal.epoch import ROLES, Role
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.merkle import root_of
from icrstore.tlog.note import SigningKey
from icrstore.tlog.tiles import Tile, bundle
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.trust import KeeperIdentity, Trust

# Shortly before midnight, so that a day ends within an hour.
NOW = datetime.fromisoformat("2026-11-26T23:30:00+00:00")


@dataclass
class Log:
    """One keeper's log. ``cosigned_at`` and ``witness`` are what the other keeper signs with."""

    role: Role
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    witness: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    pseudonym: str = field(default_factory=lambda: secrets.token_hex(8))
    entries: list[bytes] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"demo.icrstore/{self.role}-1"

    @property
    def origin(self) -> str:
        return origin_of(self.name, self.pseudonym)

    def identity(self) -> KeeperIdentity:
        keys = raw_public(self.key), raw_public(self.witness)
        return KeeperIdentity(self.role, 1, self.name, bytes(32), *keys)

    def add(self, type_: str, day: datetime, *, is_due: bool = False, count: int = 1) -> None:
        for _ in range(count):
            text = f"{day:%Y-%m-%d}"
            due = text if is_due else "-"
            leaf = LeafText(type_, text, due, secrets.token_bytes(16), secrets.token_bytes(32))
            self.entries.append(leaf.encode())

    def note(self, other: "Log", cosigned_at: datetime) -> bytes:
        made = Checkpoint(self.origin, len(self.entries), root_of(self.entries))
        note = sign_checkpoint(made, SigningKey(self.origin, self.key))
        witness = SigningKey(witness_key_name(other.name), other.witness)
        at = int(cosigned_at.timestamp())
        return note.with_signatures([witness.cosign(note.body, at)]).encode()


@dataclass
class Published:
    """What web serves. ``cosigned_at`` of both logs follows the clock unless it is set."""

    now: datetime = NOW
    cosigned_at: datetime | None = None
    logs: dict[Role, Log] = field(default_factory=lambda: {role: Log(role) for role in ROLES})
    state: State = field(default_factory=dict)
    # What stands at a path instead of what belongs there; None: nothing.
    instead: dict[str, bytes | None] = field(default_factory=dict)
    is_away: bool = False

    @property
    def operator(self) -> Log:
        return self.logs["operator"]

    @property
    def oversight(self) -> Log:
        return self.logs["oversight"]

    @property
    def origins(self) -> list[str]:
        return [log.origin for log in self.logs.values()]

    def trust(self) -> Trust:
        keepers = tuple(log.identity() for log in self.logs.values())
        return Trust(keepers, {}, {}, {}, bytes(32))

    def add(self, type_: str, *, is_due: bool = False, count: int = 1) -> None:
        """To both logs, now."""
        for log in self.logs.values():
            log.add(type_, self.now, is_due=is_due, count=count)

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)

    def fetch(self, path: str) -> bytes:
        if self.is_away:
            raise Away("the server does not answer")
        content = self.instead[path] if path in self.instead else self._file(path)
        if content is None:
            raise NotProven(f"the server has no {path}")
        return content

    def look(self, *, accept: bool = False) -> Look:
        made = look(self.fetch, self.trust(), self.origins, self.state, self.now, accept=accept)
        self.state = made.state
        return made

    def place(self, role: Role, path: str) -> str:
        return f"/ledger/{role}/{pseudonym_of(self.logs[role].origin)}/{path}"

    def _file(self, path: str) -> bytes | None:
        for log in self.logs.values():
            prefix = self.place(log.role, "")
            if path.startswith(prefix):
                other = next(one for one in self.logs.values() if one is not log)
                rest = path.removeprefix(prefix)
                if rest == "checkpoint":
                    return log.note(other, self.cosigned_at or self.now)
                tile = Tile.parse(rest)
                return bundle(log.entries[tile.index * 256 :][: tile.width])
        return None
