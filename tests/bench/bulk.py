"""Months of records sealed and stored by the real functions, without inbox and keepers, under atoms
that the benchmark keeps; run in the sealer's role as ``python -m tests.bench.bulk``.

Told a `Plan` as JSON; prints the epochs with their atoms, and what all of it cost.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import django
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
    shape, until = STREAMS[plan.shape], datetime.fromisoformat(plan.until)
    parts = streamed(shape, plan.count, until, plan.seed)
    often = max(shape.hours // PART_HOURS // 4, 1)
    epochs: list[KeptEpoch] = []

    def seal() -> None:
        for number, made in enumerate(sealed(plan.tenant, parts, until)):
            epochs.extend(made)
            if not number % often:
                tell(f"{plan.tenant}: sealed up to {made[-1].listed.hour:%Y-%m-%d %H:%M}")

    _, cost = timed(seal)
    print(json.dumps({
        "epochs": [one.to_object() for one in epochs],
        "wall": cost.wall, "cpu": cost.cpu, "peak_bytes": peak_bytes(),
    }))  # fmt: skip


def sealed(tenant_name: str, parts: Iterable[pa.Table], now: datetime) -> Iterator[list[KeptEpoch]]:
    """The epochs of each part, once they are committed."""
    # Models can only be imported now.
    from accounts.models import Tenant
    from accounts.tenancy import of_tenant
    from icrstore.vault import months
    from icrstore.vault.storing import store

    tenant = Tenant.objects.get(name=tenant_name)
    day_keys = {role: hpke.PrivateKey.generate().public_bytes() for role in ROLES}
    signing = Ed25519PrivateKey.generate()
    for part in parts:
        made, kept = [], []
        for hour, group in by_hour(part):
            epoch, atoms = Epoch.new(tenant.name, hour, 0), new_atoms()
            rows = seal_epoch(epoch, atoms, [group], DEFAULT)
            one = _stated(epoch, atoms, rows, day_keys, signing, now)
            made.append(one)
            sha256 = hashlib.sha256(one.statement.payload).digest()
            kept.append(KeptEpoch(ListedEpoch(epoch.eid, hour, 0, sha256), atoms))
        months.make({months.month_of(one.epoch.hour) for one in made})
        with of_tenant(tenant.name):
            store(tenant, made)
        yield kept


def _stated(
    epoch: Epoch,
    atoms: Mapping[Role, bytes],
    rows: SealedEpoch,
    day_keys: Mapping[Role, bytes],
    signing: Ed25519PrivateKey,
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
        rows=rows.manifest.rows,
        manifest_root=rows.manifest.root,
        batches=(),
        pools_sha256=DEFAULT.sha256,
        sealed_at=now,
    )
    signed = Envelope.sign("epoch", statement.to_fields(), signing)
    return MadeEpoch(epoch, rows, signed, seals, ())


if __name__ == "__main__":
    main()
