"""Two real keeper processes, pinned to each other, and everyone who has to do with them.

Other folders may use it: ``with make_pair(folder) as pair``, or import the fixture `pair`.
"""

import base64
import contextlib
import dataclasses
import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper import queries
from icrstore.keeper.answers import Committed, ListedEpoch, Proven, Shares
from icrstore.keeper.carry import Carrier
from icrstore.keeper.cli import shown
from icrstore.keeper.client import Keeper, KeeperRefused, Keepers, KeepersRefused, Question
from icrstore.keeper.clock import Boot, this_boot
from icrstore.keeper.evidence import LogKeys
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.names import authority_of
from icrstore.keeper.pins import pin, pin_notifier, pin_peer, pin_tenant
from icrstore.keeper.recovery import confirm
from icrstore.keeper.server import Server
from icrstore.keeper.telling import Teller
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import (
    ROLES,
    Epoch,
    Kind,
    Role,
    commitment,
    hour_start,
    new_atoms,
    other_role,
    seal_atom,
    share,
)
from icrstore.seal.manifest import Manifest
from icrstore.seal.pools import DEFAULT
from icrstore.seal.rows import Row, Segment, SelectorKeys
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Disclosure, EngineKey, EpochStatement, KeySchedule
from icrstore.warrant.statements import (
    AccountSelector,
    Grant,
    HourRange,
    Request,
    Selector,
    Warrant,
)
from icrstore.warrant.trust import KeeperIdentity
from icrstore.wire import hpke
from icrstore.wire.httpunix import Peer

TENANT, AUTHORITY, ENGINE = "demo", "Avon Constabulary", "engine-1"
ACCOUNT = "17-zoe"
HOUR = timedelta(hours=1)
PYTHON = [sys.executable, "-W", "error", "-m", "icrstore.keeper"]
PEOPLE = (
    "root", "applicant", "approver", "investigator", "tenant", "sealer", "engine", "engine-2",
    "notifier", "stranger",
)  # fmt: skip


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def last_hour() -> datetime:
    return hour_start(utc_now()) - HOUR


def run(*arguments: str | Path) -> str:
    """The keeper's command line; raises CalledProcessError."""
    command = [*PYTHON, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


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
class Process:
    """One keeper: its folder, its socket and, while it serves, its process."""

    role: Role
    folder: Path
    socket: Path
    running: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def start(self, *before: str) -> None:
        """Serve, under the command ``before`` if there is one; returns once it answers."""
        where = ["--store", str(self.folder), "--socket", str(self.socket)]
        command = [*before, *PYTHON, "serve", *where]
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(command, stderr=log, stdout=log)
        self._wait_until_it_answers()

    def stop(self) -> int:
        """End it as an init system does; its exit code."""
        assert self.running is not None
        self.running.terminate()
        return self.wait()

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.wait()

    def wait(self) -> int:
        assert self.running is not None
        code = self.running.wait(timeout=40)
        self.running = None
        return code

    def _wait_until_it_answers(self) -> None:
        assert self.running is not None
        peer = Peer(self.address, "anyone", 5, 1 << 20)
        for _ in range(1000):
            with contextlib.suppress(Exception):
                if peer.call("GET", "/healthz", {}).status == 200:
                    return
            if self.running.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(self.log.read_text())


@dataclass
class Pair:
    """Both keepers and everyone's keys; a private key of each of PEOPLE, by name."""

    keys: dict[str, Ed25519PrivateKey]
    processes: dict[Role, Process]
    identities: dict[Role, KeeperIdentity]
    # What is due is sealed to it: the key that every copy of a pair pins.
    notifier_key: hpke.PrivateKey
    engine_key: hpke.PrivateKey = field(default_factory=hpke.PrivateKey.generate)

    def public(self, name: str) -> bytes:
        return raw_public(self.keys[name])

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
                stack.enter_context(_serving_here(process, ahead))
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

    # What people sign.

    def grant(self, role: str, holder: str | None = None, **changes: Any) -> Envelope:
        """A person's grant by the authority's root; a sealer's by the tenant's."""
        signer, issuer = ("tenant", TENANT) if role == "sealer" else ("root", AUTHORITY)
        made = Grant(
            issuer=issuer,
            role=role,
            key=self.public(holder or role),
            holder=holder or role,
            not_before=utc_now() - timedelta(days=1),
            not_after=utc_now() + timedelta(days=30),
        )
        made = dataclasses.replace(made, **changes)
        return Envelope.sign("grant", made.to_fields(), self.keys[signer])

    def grants(self) -> tuple[Envelope, ...]:
        return tuple(self.grant(role) for role in ("applicant", "approver", "investigator"))

    def warrant_of(self, **changes: Any) -> Warrant:
        """A warrant for everything of one account in the last two days, 50 questions."""
        made = Warrant(
            id="2026/117",
            nonce=secrets.token_bytes(16),
            tenant=TENANT,
            instrument="authorisation",
            authority=AUTHORITY,
            purpose="services",
            basis="a reason",
            selectors=(AccountSelector(ACCOUNT),),
            targets=(),
            hours=HourRange(last_hour() - 47 * HOUR, last_hour() + HOUR),
            valid_from=utc_now() - timedelta(hours=1),
            valid_to=utc_now() + timedelta(days=1),
            max_requests=50,
            max_candidates=1,
            recipient_keys=(self.engine_key.public_bytes(),),
        )
        return dataclasses.replace(made, **changes)

    def warrant(self, value: Warrant, *signers: str) -> Envelope:
        names = signers or ("applicant", "approver")
        return Envelope.sign("warrant", value.to_fields(), *(self.keys[name] for name in names))

    def request_of(self, warrant: Envelope, **changes: Any) -> Request:
        """A request for all that a warrant allows."""
        under = Warrant.parse(warrant)
        made = Request(
            request_id=secrets.token_bytes(16),
            warrant_sha256=warrant.sha256,
            selectors=under.selectors,
            targets=under.targets,
            hours=(under.hours,),
            urgent=False,
            nonce=secrets.token_bytes(16),
            created=utc_now(),
        )
        return dataclasses.replace(made, **changes)

    def request(self, value: Request, signer: str = "investigator") -> Envelope:
        return Envelope.sign("request", value.to_fields(), self.keys[signer])

    def engine_statement(self, signer: str = "engine", **changes: Any) -> Envelope:
        public, ends = self.engine_key.public_bytes(), utc_now() + timedelta(hours=23)
        made = dataclasses.replace(EngineKey(TENANT, ENGINE, public, ends), **changes)
        return Envelope.sign("engine-key", made.to_fields(), self.keys[signer])

    def question_at(self, ahead: timedelta, hours: HourRange) -> Question:
        """A question that is put after so long, by papers of that time."""
        now = utc_now() + ahead
        first, last = now - timedelta(days=1), now + timedelta(days=1)
        grants = tuple(
            self.grant(role, not_before=first, not_after=last)
            for role in ("applicant", "approver", "investigator")
        )
        made = self.warrant_of(hours=hours, valid_from=first, valid_to=last)
        warrant = self.warrant(made)
        request = self.request(self.request_of(warrant, created=now))
        engine_key = self.engine_statement(not_after=now + 23 * HOUR)
        return Question(TENANT, warrant, request, grants, engine_key)

    def question(self, warrant: Envelope | None = None, **changes: Any) -> Question:
        """A question that every keeper takes; changes are of the request."""
        warrant = warrant or self.warrant(self.warrant_of())
        request = self.request(self.request_of(warrant, **changes))
        return Question(TENANT, warrant, request, self.grants(), self.engine_statement())

    def disclosure(
        self, question: Question, *accounts: str, answer: bytes = b"{}", records: int = 0
    ) -> Envelope:
        made = Disclosure(
            question.request.sha256, accounts, (records,) * len(accounts), len(accounts),
            hashlib.sha256(answer).digest(),
        )  # fmt: skip
        return Envelope.sign("disclosure", made.to_fields(), self.keys["engine"])

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

    # What a notifier does.

    def teller(self, role: Role, caller: str = "notifier") -> Teller:
        keepers = self.keeper(role, caller), self.keeper(other_role(role), caller)
        return Teller(*keepers, self.notifier_key)

    def log_keys(self, role: Role) -> LogKeys:
        """By whom a keeper's log is signed and cosigned."""
        own, other = self.identities[role], self.identities[other_role(role)]
        return LogKeys(own.name, own.log_key, other.name, other.witness_key)

    def open_rows(self, lent: Lent, sealed: SealedEpoch, selector: Selector) -> list[bytes]:
        """The columns of a selector's rows in one epoch, opened with both roles' shares."""
        eid, name = sealed.epoch.eid, selector.sealed_names(DEFAULT)[0]
        shares = [lent.shares[role][eid, selector][0] for role in ROLES]
        keys = SelectorKeys(shares[0], shares[1], eid, selector.kind, name)
        return [segment.columns for segment in keys.open_all(sealed.rows.get)]

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


@contextlib.contextmanager
def make_pair(folder: Path) -> Iterator[Pair]:
    """Two keepers made, pinned and serving below ``folder``; they end with the block."""
    with _sockets() as sockets:
        pair = _make(folder, sockets)
        yield from _serving(pair)


@contextlib.contextmanager
def copy_pair(template: Pair, folder: Path) -> Iterator[Pair]:
    """The stores of a pair that is stopped, copied and served: much faster than a new pair."""
    with _sockets() as sockets:
        yield from _serving(_copied(template, folder, sockets))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that was made and never served; only to be copied."""
    with _sockets() as sockets:
        yield _make(tmp_path_factory.mktemp("template"), sockets)


@pytest.fixture(scope="session")
def pair(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair that many tests share: leave it serving, and use a warrant of your own."""
    with copy_pair(template, tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def own_pair(template: Pair, tmp_path: Path) -> Iterator[Pair]:
    """A pair of one's own, to kill, starve and restart."""
    with copy_pair(template, tmp_path) as made:
        yield made


@pytest.fixture
def still_pair(template: Pair, tmp_path: Path) -> Iterator[Pair]:
    """A pair of one's own that nobody serves, for clocks of one's own (`Pair.owner`)."""
    with copy_still(template, tmp_path) as made:
        yield made


@contextlib.contextmanager
def copy_still(template: Pair, folder: Path) -> Iterator[Pair]:
    """As `copy_pair`, but served by nobody."""
    with _sockets() as sockets:
        yield _copied(template, folder, sockets)


def _copied(template: Pair, folder: Path, sockets: Path) -> Pair:
    processes = {}
    for role, process in template.processes.items():
        shutil.copytree(process.folder, folder / role)
        processes[role] = Process(role, folder / role, sockets / role)
    return Pair(template.keys, processes, template.identities, template.notifier_key)


def _serving(pair: Pair) -> Iterator[Pair]:
    try:
        pair.start()
        yield pair
    finally:
        for process in pair.processes.values():
            if process.running is not None:
                process.kill()


@contextlib.contextmanager
def _serving_here(process: Process, ahead: timedelta) -> Iterator[None]:
    keeper = StoreOwner.open(process.folder, lambda: datetime.now(UTC) + ahead, boot_of(ahead))
    server = Server(process.socket, keeper)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.finish()
        thread.join()
        keeper.close()


def boot_of(ahead: timedelta) -> Callable[[], Boot]:
    """A boot of its own for each clock: another host's, or this one's after it was off."""
    here = this_boot()
    return lambda: Boot(f"{here.name} {ahead}", this_boot().seconds)


@contextlib.contextmanager
def _sockets() -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket's 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="icr", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def _make(folder: Path, sockets: Path) -> Pair:
    keys = {name: Ed25519PrivateKey.generate() for name in PEOPLE}
    processes = {role: Process(role, folder / role, sockets / role) for role in ROLES}
    with ThreadPoolExecutor() as pool:
        identities = dict(zip(ROLES, pool.map(_init, processes.values()), strict=True))
        pair = Pair(keys, processes, identities, hpke.PrivateKey.generate())
        list(pool.map(lambda role: _pin_all(pair, role), ROLES))
    return pair


def _init(process: Process) -> KeeperIdentity:
    name = f"demo.icrstore/{process.role}-1"
    made = json.loads(
        run("init", "--store", process.folder, "--role", process.role, "--instance", "1",
            "--name", name, "--json")
    )  # fmt: skip
    keys = {key: base64.b64decode(made[key]) for key in ("identity_key", "log_key", "witness_key")}
    return KeeperIdentity(process.role, 1, name, **keys)


def _pin_all(pair: Pair, role: Role) -> None:
    """By the functions behind the command line, which has tests of its own and starts slowly."""
    keeper = StoreOwner.open(pair.processes[role].folder)
    peer = next(identity for identity in pair.identities.values() if identity.role != role)
    pin_tenant(keeper, TENANT, pair.public("tenant"), replace=False)
    pin(keeper, "authority", TENANT, AUTHORITY, pair.public("root"), replace=False)
    pin(keeper, "engine", TENANT, ENGINE, pair.public("engine"), replace=False)
    pin(keeper, "engine", TENANT, "engine-2", pair.public("engine-2"), replace=False)
    sealing_key = pair.notifier_key.public_bytes()
    notifier = queries.NotifierRow(TENANT, "notifier-1", pair.public("notifier"), sealing_key)
    pin_notifier(keeper, notifier, replace=False)
    pinned = queries.Peer(peer.role, peer.name, peer.log_key, peer.witness_key)
    pin_peer(keeper, pinned, replace=False)
    keeper.close()


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
