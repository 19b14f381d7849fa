"""One running keeper: its keys, its store and its clock, and the transactions that they make."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from icrstore.keeper import clock as clocks
from icrstore.keeper import queries, salvage
from icrstore.keeper.clock import Boot, this_boot, utc_now
from icrstore.keeper.errors import WITHHELD, Refused
from icrstore.keeper.evidence import LogKeys
from icrstore.keeper.keys import Chain, Identity
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.keeper.store import Connection, Store
from icrstore.keeper.strangers import Strangers
from icrstore.seal.epoch import Role, other_role
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import StatementError

STORE = "keeper.db"


@dataclass(frozen=True)
class Call:
    """One transaction at one moment: ``now`` is read once the store is ours.

    While ``is_clock_trusted`` is false nothing may be destroyed or lent.
    """

    keeper: "Keeper"
    tx: Connection
    now: datetime
    boot: Boot
    is_clock_trusted: bool

    def agree(self, cosigned_at: int) -> bool:
        """Whether the clock is trusted; from now on it is, if the peer's agreed as it cosigned."""
        return self.is_clock_trusted or clocks.agree(self.tx, self.now, self.boot, cosigned_at)

    @property
    def unix_seconds(self) -> int:
        return int(self.now.timestamp())

    def ledger(self, tenant_name: str) -> Ledger:
        """Raises Refused(unknown-tenant)."""
        return Ledger(self.tx, self.keeper.identity, queries.tenant(self.tx, tenant_name))


@dataclass(frozen=True)
class Keeper:
    """Safe to use from many threads, and beside other processes on the same folder."""

    folder: Path
    identity: Identity
    store: Store
    # Other clocks than the host's are for tests; no option, file or variable reaches these.
    clock: Callable[[], datetime] = utc_now
    boot: Callable[[], Boot] = this_boot
    strangers: Strangers = field(default_factory=Strangers)

    @classmethod
    def open(
        cls,
        folder: Path,
        clock: Callable[[], datetime] = utc_now,
        boot: Callable[[], Boot] = this_boot,
    ) -> "Keeper":
        return cls(folder, Identity.load(folder), Store(folder / STORE), clock, boot)

    def close(self) -> None:
        self.store.close()

    def chain(self) -> Chain:
        return Chain.load(self.folder)

    @property
    def peer_role(self) -> Role:
        return other_role(self.identity.role)

    @contextmanager
    def write(self) -> Iterator[Call]:
        """A transaction. Raises Refused(quarantined, clock-behind, clock-ahead, clock-stepped)."""
        with self._transaction(clocks.check) as call:
            check_not_quarantined(call.tx)
            yield call

    @contextmanager
    def write_confirmed(self) -> Iterator[Call]:
        """A transaction for somebody who looked at another clock. Raises Refused(quarantined,
        clock-behind)."""
        with self.write_recovering() as call:
            check_not_quarantined(call.tx)
            yield call

    @contextmanager
    def write_recovering(self) -> Iterator[Call]:
        """The one transaction that quarantine lets through. Raises Refused(clock-behind)."""
        with self._transaction(lambda held, now, _: clocks.check_not_behind(held, now)) as call:
            yield call

    @contextmanager
    def _transaction(
        self, check: Callable[[queries.ClockRow | None, datetime, Boot], None]
    ) -> Iterator[Call]:
        with self.store.write() as tx:
            now, boot, held = self.clock(), self.boot(), queries.clock(tx)
            check(held, now, boot)
            changes = tx.total_changes
            yield Call(self, tx, now, boot, clocks.is_trusted(held, now, boot))
            # A call that changed nothing writes nothing, and so costs no sync.
            if tx.total_changes != changes:
                clocks.note(tx, now, boot)

    @contextmanager
    def refusals_logged(
        self, caller: bytes, tenant_name: str, request_sha256: bytes
    ) -> Iterator[None]:
        """Turn what is refused inside into a leaf, if the caller is an engine of that tenant.

        A reason that is withheld is in the leaf alone; its caller reads ``refused``.
        """
        try:
            yield
        except (Refused, StatementError) as error:
            refused = error if isinstance(error, Refused) else Refused(error.code)
            if refused.status < 500:
                self._log_refusal(caller, tenant_name, request_sha256, refused.code)
            raise Refused("refused") if refused.code in WITHHELD else refused from error

    def own_log_keys(self, peer: queries.Peer) -> LogKeys:
        own = self.identity
        return LogKeys(own.name, raw_public(own.log), peer.name, peer.witness_key)

    def peer_log_keys(self, peer: queries.Peer) -> LogKeys:
        own = self.identity
        return LogKeys(peer.name, peer.log_key, own.name, raw_public(own.witness))

    def _log_refusal(
        self, caller: bytes, tenant_name: str, request_sha256: bytes, code: str
    ) -> None:
        try:
            with self.write() as call:
                queries.engine_named(call.tx, tenant_name, caller)
                if queries.add_refusal(call.tx, tenant_name, request_sha256, code):
                    told = {"code": code, "request_sha256": request_sha256.hex()}
                    ledger = call.ledger(tenant_name)
                    leaf = ledger.append(Draft("refusal", told), call.now)
                    if code == "canary":
                        # Before the leaf is durable: if all stops now, somebody was called for
                        # nothing, which is the safe side.
                        _alert(f"{code} tenant={tenant_name} log={ledger.origin} leaf={leaf.index}")
        except Refused:
            self.strangers.count(code)


def check_not_quarantined(tx: Connection) -> None:
    """In quarantine a keeper signs and lends nothing. Raises Refused(quarantined)."""
    if salvage.is_quarantined(tx):
        raise Refused("quarantined", 503)


def _alert(told: str) -> None:
    """For whoever watches this keeper's log: a keeper calls nobody."""
    with suppress(OSError):
        sys.stderr.write(f"ALERT {told}\n")
        sys.stderr.flush()
