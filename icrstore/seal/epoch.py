"""Epochs: what one sealing transaction seals of one (tenant, UTC hour, shard), and its keys.

An epoch has one atom per keeper role. Each atom is sealed to that role's day key; what a keeper
lends is never the atom, only a share derived from it for one selector. Two shares, one of each
role, make the label and the key of that selector's rows (`icrstore.seal.rows`).
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from icrstore.seal.encode import digest, enc, text, u8, u16
from icrstore.wire import hpke

SUITE = 1
HOUR = timedelta(hours=1)
_NO_TIME = timedelta(0)
# A day lives until the end of D + LIFE_DAYS.
LIFE_DAYS = 364

Role = Literal["operator", "oversight"]
Kind = Literal["account", "address"]
ROLES: tuple[Role, ...] = get_args(Role)
KINDS: tuple[Kind, ...] = get_args(Kind)


# How the text of every share begins: the label of its PRF, and the kind.
_SHARE = {kind: enc(b"icr/v1/share", kind.encode("ascii")) for kind in KINDS}


def other_role(role: Role) -> Role:
    """Who cosigns the logs of a keeper of this role."""
    return next(each for each in ROLES if each != role)


class EpochError(Exception):
    """An epoch's seal does not open, or does not hold the atom that was committed to."""


@dataclass(frozen=True)
class Epoch:
    """One (tenant, hour, shard) as sealed once; ``hour`` is the aware UTC start of the hour."""

    tenant: str
    hour: datetime
    shard: int
    nonce: bytes

    def __post_init__(self) -> None:
        # Two aware times of one moment are equal: the offset itself must be UTC's.
        hour = self.hour
        if hour.utcoffset() != _NO_TIME or hour.minute or hour.second or hour.microsecond:
            raise ValueError("an epoch's hour is the aware UTC start of an hour")
        if len(self.nonce) != 16:
            raise ValueError("an epoch's nonce has 16 bytes")

    @classmethod
    def new(cls, tenant: str, hour: datetime, shard: int) -> "Epoch":
        return cls(tenant, hour, shard, secrets.token_bytes(16))

    @property
    def day(self) -> str:
        return day_of(self.hour)

    def encode(self) -> bytes:
        """``E = enc(suite, tenant, day, hour, shard, nonce16)``."""
        return enc(
            u8(SUITE),
            text(self.tenant),
            self.day.encode("ascii"),
            u8(self.hour.hour),
            u16(self.shard),
            self.nonce,
        )

    @property
    def eid(self) -> bytes:
        """The epoch's name, 16 bytes."""
        return digest("epoch", self.encode())[:16]


def hour_start(moment: datetime) -> datetime:
    """The UTC hour that holds an aware moment."""
    if moment.tzinfo is None:
        raise ValueError("a time without an offset names no hour")
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> str:
    """The UTC day of an aware moment, ``YYYY-MM-DD``."""
    return moment.astimezone(UTC).date().isoformat()


def first_living(now: datetime) -> datetime:
    """The start of the first UTC day that has not expired."""
    return hour_start(now).replace(hour=0) - timedelta(days=LIFE_DAYS)


def is_expired(day: date, today: date) -> bool:
    """From 00:00Z of day D + 365 on, day D is expired."""
    return (today - day).days > LIFE_DAYS


def shard_of(account: str, shards: int) -> int:
    """The shard that holds an account: two bytes of a hash, modulo the tenant's shard count."""
    return int.from_bytes(digest("shard", text(account))[:2], "big") % shards


def new_atoms() -> dict[Role, bytes]:
    """A fresh atom for each role. Call only in the process that seals, after any fork."""
    return {role: secrets.token_bytes(32) for role in ROLES}


def seal_atom(public_key: bytes, epoch: Epoch, role: Role, instance: int, atom: bytes) -> bytes:
    """The atom of ``role``, for the day key of one keeper instance. The context is the info."""
    return hpke.seal(public_key, _seal_info(epoch, role, instance), atom)


def open_seal(
    private_key: hpke.PrivateKey, epoch: Epoch, role: Role, instance: int, sealed: bytes
) -> bytes:
    """The atom inside a seal. Raises `EpochError` if it does not open or is no atom."""
    try:
        atom = hpke.open_(private_key, _seal_info(epoch, role, instance), sealed)
    except hpke.DoesNotOpen as error:
        raise EpochError("the seal does not open") from error
    if len(atom) != 32:
        raise EpochError("the seal does not open")
    return atom


def commitment(epoch: Epoch, role: Role, atom: bytes) -> bytes:
    """``com[r] = SHA-256(enc("icr/v1/atom-commit", E, r, a[r]))``."""
    return digest("atom-commit", epoch.encode(), role.encode("ascii"), atom)


class Shares:
    """The shares of some atoms; the PRF is keyed once for each."""

    def __init__(self, *atoms: bytes) -> None:
        self._keyed = [HMAC(atom, SHA256()) for atom in atoms]

    def of(self, kind: Kind, selector: bytes) -> list[bytes]:
        """``P(a[r], "share", kind, sel)`` of each: the only thing a keeper ever lends, 32 bytes."""
        named = _SHARE[kind] + enc(selector)
        made = []
        for keyed in self._keyed:
            one = keyed.copy()
            one.update(named)
            made.append(one.finalize())
        return made


def share(atom: bytes, kind: Kind, selector: bytes) -> bytes:
    """One share of an atom."""
    return Shares(atom).of(kind, selector)[0]


def _seal_info(epoch: Epoch, role: Role, instance: int) -> bytes:
    return enc(b"icr/v1/epoch-seal", epoch.encode(), role.encode("ascii"), u8(instance))
