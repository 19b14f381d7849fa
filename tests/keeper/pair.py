"""Two real keeper processes, pinned to each other, and everyone who has to do with them.

`tests.keeper.pairs` makes them.
"""

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.answers import Committed, ListedEpoch, Proven, Shares
from icrstore.keeper.carry import Carrier
from icrstore.keeper.cli import shown
from icrstore.keeper.client import Keeper, KeeperRefused, Keepers, KeepersRefused, Question
from icrstore.keeper.evidence import LogKeys
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.names import authority_of
from icrstore.keeper.recovery import confirm
from icrstore.keeper.telling import Teller
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import (
    ROLES,
    Epoch,
    Kind,
    Role,
    commitment,
    new_atoms,
    other_role,
    seal_atom,
    share,
)
from icrstore.seal.manifest import Manifest
from icrstore.seal.pools import DEFAULT
from icrstore.seal.rows import Row, Segment, SelectorKeys
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement, KeySchedule
from icrstore.warrant.statements import Selector
from icrstore.warrant.trust import KeeperIdentity
from icrstore.wire import hpke
from icrstore.wire.httpunix import Peer
from tests.keeper.papers import TENANT, Papers, utc_now
from tests.keeper.processes import Process, boot_of, serving_here


@dataclass(frozen=True)
class SealedEpoch:
    """An epoch as a sealer makes it: its statement, a seal for each role, its rows and atoms."""

    epoch: Epoch
    statement: EpochStatement
    seals: Mapping[Role, bytes]
    rows: Mapping[bytes, bytes]
    atoms: Mapping[Role, bytes]
    envelope: Envelope

    @property
    def listed(self) -> ListedEpoch:
        epoch = self.epoch
        return ListedEpoch(epoch.eid, epoch.hour, epoch.shard, self.envelope.sha256)


@dataclass(frozen=True)
class Lent:
    """How far a question came."""

    question: Question
    commits: Mapping[Role, Committed]
    releases: Mapping[Role, Proven]
    shares: Mapping[Role, Shares]


@dataclass
class Pair(Papers):
    """Both keepers and everyone's keys."""

    processes: dict[Role, Process]
    identities: dict[Role, KeeperIdentity]
    # What is due is sealed to it: the key that every copy of a pair pins.
    notifier_key: hpke.PrivateKey

    def keeper(self, role: Role, caller: str = "engine", ahead: timedelta = timedelta(0)) -> Keeper:
        """A client; its clock is ``ahead`` of ours, as that of `serving_ahead`."""
        address, key = self.processes[role].address, self.keys[caller]
        seconds = ahead.total_seconds()
        return Keeper(self.identities[role], address, key, lambda: time.time() + seconds)

    def keepers(self, caller: str = "engine", ahead: timedelta = timedelta(0)) -> Keepers:
        return Keepers({role: self.keeper(role, caller, ahead) for role in ROLES})

    @contextlib.contextmanager
    def serving_ahead(self, ahead: timedelta) -> Iterator[Keepers]:
        """Both keepers served from this process by a clock that is ``ahead``; none serve after."""
        self.stop()
        with contextlib.ExitStack() as stack:
            for process in self.processes.values():
                stack.enter_context(serving_here(process, ahead))
            yield self.keepers(ahead=ahead)

    @contextlib.contextmanager
    def owner(self, role: Role, ahead: timedelta = timedelta(0)) -> Iterator[StoreOwner]:
        """The keeper itself in this process, on a host that was off until then."""
        folder, clock = self.processes[role].folder, lambda: datetime.now(UTC) + ahead
        with closing(StoreOwner.open(folder, clock, boot_of(ahead))) as keeper:
            yield keeper

    def agree(self, ahead: timedelta) -> None:
        """Carry each keeper's checkpoint to the other and back, as the janitor does."""
        keepers = {role: self.keeper(role, ahead=ahead) for role in ROLES}
        for role, keeper in keepers.items():
            carrier = Carrier(keeper, keepers[other_role(role)])
            logged = keeper.certificates(TENANT, "0001-01-01")
            keeper.show_cosigned(carrier.carry(logged, None).evidence.checkpoint)

    def live_until(self, ahead: timedelta) -> None:
        """Both keepers after so long: their clocks confirmed, agreed upon, their upkeep done."""
        for role in ROLES:
            with self.owner(role, ahead) as keeper:
                confirm(keeper)
        with self.serving_ahead(ahead):
            self.agree(ahead)
        for role in ROLES:
            with self.owner(role, ahead) as keeper:
                keep_up(keeper)

    def start(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: process.start(), self.processes.values()))

    def stop(self) -> None:
        for process in self.processes.values():
            if process.running is not None:
                process.stop()

    # What a sealer host does.

    def seal_epoch(
        self,
        hour: datetime,
        segments: Mapping[tuple[Kind, bytes], bytes],
        signer: str = "sealer",
        shard: int = 0,
    ) -> SealedEpoch:
        """An epoch with one chunk of these columns for each (kind, sealed name)."""
        epoch, atoms = Epoch.new(TENANT, hour, shard), new_atoms()
        rows = [
            _selector_keys(epoch, atoms, *name).seal(Segment(0, 0, 1, columns))
            for name, columns in segments.items()
        ]
        seals = {
            role: seal_atom(self.day_key(role, epoch.day), epoch, role, 1, atoms[role])
            for role in ROLES
        }
        return self.signed_epoch(epoch, atoms, seals, rows, signer)

    def signed_epoch(
        self,
        epoch: Epoch,
        atoms: Mapping[Role, bytes],
        seals: Mapping[Role, bytes],
        rows: Sequence[Row] = (),
        signer: str = "sealer",
        **changes: Any,
    ) -> SealedEpoch:
        made = EpochStatement(
            epoch=epoch,
            commitments={role: commitment(epoch, role, atoms[role]) for role in ROLES},
            seal_sha256={(role, 1): hashlib.sha256(seals[role]).digest() for role in ROLES},
            rows=len(rows),
            manifest_root=Manifest.of(rows).root,
            batches=(),
            pools_sha256=DEFAULT.sha256,
            sealed_at=utc_now(),
        )
        made = dataclasses.replace(made, **changes)
        envelope = Envelope.sign("epoch", made.to_fields(), self.keys[signer])
        bodies = {row.label: row.body for row in rows}
        return SealedEpoch(epoch, made, seals, bodies, atoms, envelope)

    def day_key(self, role: Role, day: str) -> bytes:
        envelope = self.keeper(role).key_schedule(TENANT, day, day)
        return KeySchedule.parse(envelope).days[day]

    def register(self, *sealed: SealedEpoch, role: Role | None = None) -> dict[Role, list[Any]]:
        """Hand epochs to both keepers (or one); each epoch's refusal code, None if logged."""
        answered: dict[Role, list[Any]] = {}
        for each in [role] if role else ROLES:
            pairs = [(one.envelope, one.seals[each]) for one in sealed]
            acks = self.keeper(each, "sealer").register(pairs, [self.grant("sealer")])
            answered[each] = [acks.codes[one.epoch.eid] for one in sealed]
        return answered

    # What an engine does.

    def run(self, question: Question) -> Lent:
        """Commit, release and lend at both."""
        keepers = self.keepers()
        commits = keepers.commit(question)
        releases = keepers.release(question, commits)
        shares = keepers.lend(question, commits, releases, self.engine_key)
        return Lent(question, commits, releases, shares)

    def open_rows(self, lent: Lent, sealed: SealedEpoch, selector: Selector) -> list[bytes]:
        """The columns of a selector's rows in one epoch, opened with both roles' shares."""
        eid, name = sealed.epoch.eid, selector.sealed_names(DEFAULT)[0]
        shares = [lent.shares[role][eid, selector][0] for role in ROLES]
        keys = SelectorKeys(shares[0], shares[1], eid, selector.kind, name)
        return [segment.columns for segment in keys.open_all(sealed.rows.get)]

    # What a notifier does.

    def teller(self, role: Role, caller: str = "notifier") -> Teller:
        keepers = self.keeper(role, caller), self.keeper(other_role(role), caller)
        return Teller(*keepers, self.notifier_key)

    def log_keys(self, role: Role) -> LogKeys:
        """By whom a keeper's log is signed and cosigned."""
        own, other = self.identities[role], self.identities[other_role(role)]
        return LogKeys(own.name, own.log_key, other.name, other.witness_key)

    # What anyone can see.

    def show(self, role: Role) -> dict[str, Any]:
        """What `keeper show` tells."""
        with closing(StoreOwner.open(self.processes[role].folder)) as keeper:
            return shown(keeper)

    def leaves(self, role: Role) -> int:
        """How many leaves the tenant's log has."""
        count: int = self.show(role)["tenants"][0]["leaves"]
        return count

    def raw(self, role: Role) -> Peer:
        authority = authority_of(self.identities[role].identity_key)
        return Peer(self.processes[role].address, authority, 10, 1 << 24)


def rows_of(*accounts: str) -> dict[tuple[Kind, bytes], bytes]:
    """Columns for some accounts, each told from the other."""
    return {("account", name.encode()): b"columns of " + name.encode() for name in accounts}


def _selector_keys(
    epoch: Epoch, atoms: Mapping[Role, bytes], kind: Kind, name: bytes
) -> SelectorKeys:
    shares = [share(atoms[role], kind, name) for role in ROLES]
    return SelectorKeys(shares[0], shares[1], epoch.eid, kind, name)


def agreed(keeper: StoreOwner) -> None:
    """As if the peer had cosigned just now, by the same clock."""
    with keeper.write() as call:
        assert call.agree(call.unix_seconds)


def held_days(keeper: StoreOwner) -> list[queries.DayRow]:
    """The days whose keys this keeper has."""
    with keeper.store.read() as tx:
        return queries.days(tx, TENANT, "0000", "9999")


def code_of(call: Callable[[], Any]) -> str:
    """The stable code by which a keeper refuses a call; fails the test if it does not."""
    try:
        call()
    except KeeperRefused as refused:
        return refused.code
    except KeepersRefused as refused:
        (code,) = set(refused.codes.values())
        return code
    raise AssertionError("the keeper did not refuse")
