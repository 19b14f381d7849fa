"""A thief's own code: what the files of keepers' stores and a dump of the database give away.

Written from deploy/DESIGN.md section 6 and the files' contents, with none of the keeper's code: a
thief has a whole evening.
"""

import base64
import hmac
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tests.site import Site


@dataclass(frozen=True)
class StolenRow:
    """A row of the database and the name of its epoch."""

    eid: bytes
    label: bytes
    body: bytes


def enc(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def prf(key: bytes, label: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, enc(b"icr/v1/" + label, *parts), "sha256")


def atoms_of(store: Path) -> dict[bytes, bytes]:
    """Every atom in the files of one keeper, whose key chain opens its days and they its atoms."""
    role = json.loads((store / "keys.json").read_text())["role"].encode()
    chain = json.loads((store / "chain.json").read_text())
    start, link = date.fromisoformat(chain["day"]), base64.b64decode(chain["link"])
    with closing(sqlite3.connect(store / "keeper.db")) as database:
        days = {
            (tenant, day): _day_key(tenant, day, seed, day_key, start, link)
            for tenant, day, seed, day_key in database.execute(
                "SELECT tenant, day, seed, day_key FROM day WHERE (tenant, day) IN"
                " (SELECT tenant, date(hour, 'unixepoch') FROM epoch)"
            )
        }
        epochs = database.execute("SELECT tenant, date(hour, 'unixepoch'), eid, atom FROM epoch")
        return {
            eid: _unlock(days[tenant, day], enc(b"icr/v1/atom", eid, role), atom)
            for tenant, day, eid, atom in epochs
        }


def opens_seed(store: Path, day: str, key: bytes) -> bool:
    """Whether a key opens what a keeper's store holds of a day, of any tenant."""
    with closing(sqlite3.connect(store / "keeper.db")) as database:
        found = database.execute("SELECT tenant, seed FROM day WHERE day = ?", [day]).fetchall()
    for tenant, seed in found:
        with suppress(InvalidTag):
            _unlock(key, enc(b"icr/v1/day-seed", tenant.encode(), day.encode()), seed)
            return True
    return False


def _day_key(tenant: str, day: str, seed: bytes, day_key: bytes, start: date, link: bytes) -> bytes:
    # The seed of a day is wrapped under the chain's link of 364 days later.
    for _ in range(date.fromisoformat(day).toordinal() + 364 - start.toordinal()):
        link = prf(link, b"kek")
    opened = _unlock(link, enc(b"icr/v1/day-seed", tenant.encode(), day.encode()), seed)
    wrap = prf(opened, b"day-wrap")
    return _unlock(wrap, enc(b"icr/v1/day-key", tenant.encode(), day.encode()), day_key)


def _unlock(key: bytes, place: bytes, box: bytes) -> bytes:
    return AESGCMSIV(key).decrypt(box[:12], box[12:], place)


@dataclass(frozen=True)
class Keys:
    """What two shares make, be they the right ones or guesses."""

    operator: bytes
    oversight: bytes
    eid: bytes
    kind: bytes
    selector: bytes

    def label_and_key(self, chunk: int) -> tuple[bytes, bytes]:
        told = enc(b"icr/v1/row", self.eid, self.kind, self.selector, chunk.to_bytes(4, "big"))
        made = hmac.digest(self.operator + self.oversight, told, "sha512")
        return made[:16], made[16:48]

    def open(self, row: StolenRow, chunk: int) -> bytes | None:
        """The segment in a row, if this chunk's key opens it."""
        key = self.label_and_key(chunk)[1]
        place = enc(b"icr/v1/seg", self.eid, row.label)
        try:
            padded = AESGCMSIV(key).decrypt(bytes(12), row.body[1:], place)
        except InvalidTag:
            return None
        return padded[4 : 4 + int.from_bytes(padded[:4], "big")]


@dataclass(frozen=True)
class Selector:
    """What a thief knows to look for: a name under which rows are kept."""

    kind: bytes
    name: bytes

    @classmethod
    def account(cls, account: str) -> "Selector":
        return cls(b"account", account.encode())

    @classmethod
    def address(cls, address: bytes) -> "Selector":
        """Of 16 bytes: IPv4 by the address, IPv6 by the /64, all ports in one block of 2^16."""
        is_v4 = address[:12] == bytes(10) + b"\xff\xff"
        network, prefix = (address, 32) if is_v4 else (address[:8] + bytes(8), 64)
        return cls(b"address", enc(network, bytes([prefix]), bytes([16]), bytes(2)))

    def share(self, atom: bytes) -> bytes:
        return prf(atom, b"share", self.kind, self.name)

    def keys(self, eid: bytes, operator: bytes, oversight: bytes) -> Keys:
        return Keys(operator, oversight, eid, self.kind, self.name)


def rows_of(site: Site, eids: Sequence[bytes]) -> list[StolenRow]:
    """The rows of some epochs, as whoever dumps the database has them."""
    found = site.sql(
        "SELECT e.eid, s.label, s.body FROM vault_epoch e"
        " JOIN vault_segment s ON s.month = e.month AND s.epoch_no = e.id WHERE e.eid = ANY(%s)",
        list(eids),
    )
    return [StolenRow(*row) for row in found]
