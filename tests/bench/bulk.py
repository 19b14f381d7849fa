"""Months of records sealed and stored by the real functions, without inbox and keepers, under atoms
that the benchmark keeps; run in the sealer's role as ``python -m tests.bench.bulk``.

Told a `Plan` as JSON; prints the epochs with their atoms, and what all of it cost.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import django

from icrstore.keeper.answers import ListedEpoch
from icrstore.seal.epoch import ROLES, Epoch, Role, commitment, new_atoms, seal_atom
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.sealing import SealedEpoch, seal_epoch
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement
from icrstore.wire import hpke
from tests.bench.generate import PART_HOURS, STREAMS, streamed
from tests.bench.measure import peak_bytes, timed
from tests.bench.progress import tell


@dataclass(frozen=True)
class Plan:
    """Which records of `generate.streamed` are sealed, for whom. ``until`` is an ISO time."""

    tenant: str
    shape: str
    count: int
    until: str
    seed: int = 1

    def to_object(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class KeptEpoch:
    """What both keepers would list and hold of an epoch."""

    listed: ListedEpoch
    atoms: Mapping[Role, bytes]

    def to_object(self) -> dict[str, Any]:
        return {
            "eid": self.listed.eid.hex(),
            "hour": self.listed.hour.isoformat(),
            "shard": self.listed.shard,
            "sha256": self.listed.statement_sha256.hex(),
            "atoms": {role: atom.hex() for role, atom in self.atoms.items()},
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "KeptEpoch":
        hour = datetime.fromisoformat(told["hour"])
        sha256 = bytes.fromhex(told["sha256"])
        atoms = {role: bytes.fromhex(told["atoms"][role]) for role in ROLES}
        return cls(ListedEpoch(bytes.fromhex(told["eid"]), hour, told["shard"], sha256), atoms)


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    django.setup()
    epochs: list[KeptEpoch] = []
    _, cost = timed(lambda: epochs.extend(_seal(plan)))
    made = [one.to_object() for one in epochs]
    print(json.dumps({
        "epochs": made, "wall": cost.wall, "cpu": cost.cpu, "peak_bytes": peak_bytes(),
    }))  # fmt: skip


def _seal(plan: Plan) -> Iterator[KeptEpoch]:
    # Models can only be imported now.
    from accounts.models import Tenant
    from accounts.tenancy import of_tenant
    from icrstore.vault import months
    from icrstore.vault.storing import store

    tenant = Tenant.objects.get(name=plan.tenant)
    day_keys = {role: hpke.PrivateKey.generate().public_bytes() for role in ROLES}
    signing = _signing_key()
    until = datetime.fromisoformat(plan.until)
    for number, part in enumerate(streamed(STREAMS[plan.shape], plan.count, until, plan.seed)):
        made = []
        for hour, group in by_hour(part):
            epoch, atoms = Epoch.new(tenant.name, hour, 0), new_atoms()
            sealed = seal_epoch(epoch, atoms, [group], DEFAULT)
            one = _stated(epoch, atoms, sealed, day_keys, signing, until)
            made.append(one)
            sha256 = hashlib.sha256(one.statement.payload).digest()
            yield KeptEpoch(ListedEpoch(epoch.eid, hour, 0, sha256), atoms)
        months.make({months.month_of(one.epoch.hour) for one in made})
        with of_tenant(tenant.name):
            store(tenant, made)
        if not number % max(STREAMS[plan.shape].hours // PART_HOURS // 4, 1):
            tell(f"{plan.tenant}: sealed up to {made[-1].epoch.hour:%Y-%m-%d %H:%M}")


def _stated(
    epoch: Epoch,
    atoms: Mapping[Role, bytes],
    sealed: SealedEpoch,
    day_keys: Mapping[Role, bytes],
    signing: Any,
    now: datetime,
) -> Any:
    """The epoch with its signed statement, as `vault.sealer` makes it."""
    from icrstore.vault.storing import MadeEpoch

    seals = {
        (role, 1): seal_atom(key, epoch, role, 1, atoms[role]) for role, key in day_keys.items()
    }
    statement = EpochStatement(
        epoch=epoch,
        commitments={role: commitment(epoch, role, atoms[role]) for role in ROLES},
        seal_sha256={name: hashlib.sha256(seal).digest() for name, seal in seals.items()},
        rows=sealed.manifest.rows,
        manifest_root=sealed.manifest.root,
        batches=(),
        pools_sha256=DEFAULT.sha256,
        sealed_at=now,
    )
    signed = Envelope.sign("epoch", statement.to_fields(), signing)
    return MadeEpoch(epoch, sealed, signed, seals, ())


def _signing_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate()


if __name__ == "__main__":
    main()
