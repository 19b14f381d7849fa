"""The keeper's own logs, one for each tenant: leaves appended, proven and signed for.

A leaf is written in the transaction of what it stands for. A checkpoint is signed only of what a
transaction has made durable, since from then on the log has promised it.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.errors import Refused, StoreLost
from icrstore.keeper.keys import Identity
from icrstore.keeper.leaves import Leaf, LeafText
from icrstore.keeper.locked import lock, unlock
from icrstore.keeper.names import origin_of
from icrstore.keeper.queries import Tenant
from icrstore.keeper.store import Connection
from icrstore.seal.encode import digest, enc, prf, text, u32
from icrstore.seal.epoch import day_of
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.note import SigningKey
from icrstore.warrant.strict import dump

SALT_BYTES = 16
# The leaves whose subscriber is told at once.
_TOLD = ("release", "disclosure")
# What others have kept a copy of and may bring again. Its nonce is made of what the leaf says, so
# that this keeper knows its own leaf again, and nobody else can guess the text.
_BROUGHT_AGAIN = ("epoch", "policy")


@dataclass(frozen=True)
class Draft:
    """A leaf to be. ``subject`` is what the commitment hides (an account, or an address by its name
    of the default pools); ``is_account`` whether there is someone to tell."""

    type: str
    told: Mapping[str, Any]
    subject: bytes | None = None
    is_account: bool = False


class Ledger:
    """One tenant's log within one transaction."""

    def __init__(self, tx: Connection, identity: Identity, tenant: Tenant) -> None:
        self._tx, self._identity, self._tenant = tx, identity, tenant
        self.size = self._begun_at = tenant.size
        self._nodes: dict[tuple[int, int], bytes] = {}

    @property
    def origin(self) -> str:
        return origin_of(self._identity.name, self._tenant.pseudonym)

    def append(self, draft: Draft, frozen_now: datetime) -> Leaf:
        """Write the next leaf with its nodes; it is in the log if the transaction is durable.

        Raises `StoreLost` where what it is hashed with is not what was written.
        """
        salt = os.urandom(SALT_BYTES) if draft.subject is not None else b""
        private = self._private_text(draft, salt)
        leaf_text = LeafText(
            type=draft.type,
            day=day_of(frozen_now),
            due=day_of(frozen_now) if draft.is_account and draft.type in _TOLD else "-",
            tag=self._tag(draft, frozen_now),
            private_sha256=hashlib.sha256(private).digest(),
        ).encode()
        self._write(leaf_text, salt, private)
        queries.set_last_leaf_at(self._tx, int(frozen_now.timestamp()))
        return Leaf(self.size - 1, leaf_text.decode(), private.decode(), salt)

    def leaves(self, first: int, count: int) -> list[Leaf]:
        """Leaves that were written before, with their private parts."""
        return [self._leaf(number) for number in range(first, first + count)]

    def checkpoint(self) -> str:
        """The log of now, signed. Hand it out only after the transaction is durable.

        Raises Refused(quarantined), and `StoreLost` where what is stored is not what was written.
        """
        if salvage.is_quarantined(self._tx):
            raise Refused("quarantined", 503)
        for number in range(max(0, min(self._begun_at, self.size - 1)), self.size):
            self._rehashed(0, number)
        made = Checkpoint(self.origin, self.size, merkle.root(self._rehashed, self.size))
        return sign_checkpoint(made, SigningKey(self.origin, self._identity.log)).encode().decode()

    def take_back(self, leaf: LeafText) -> None:
        """Write a leaf of ours that was published; its private text is lost."""
        salvage.add_lost(
            self._tx, self._tenant.name, self.size, leaf.private_sha256, leaf.type, leaf.day
        )
        self._add(leaf.encode(), b"")

    def has_lost(self, draft: Draft) -> bool:
        """Whether this log has a leaf of this very private text, which it lost."""
        return self._lost(self._private_text(draft, b"")) is not None

    def restore(self, draft: Draft) -> bool:
        """Whether a leaf had lost this very private text, which it has again now.

        Only of a draft without subject that `_BROUGHT_AGAIN` names; no leaf is added.
        """
        private = self._private_text(draft, b"")
        number = self._lost(private)
        if number is not None:
            box = self._locked(number, b"", private)
            salvage.restore_private(self._tx, self._tenant.name, number, box)
        return number is not None

    def _lost(self, private: bytes) -> int | None:
        return salvage.lost_with(self._tx, self._tenant.name, hashlib.sha256(private).digest())

    def tag(self, subject: bytes, day: str, number: int) -> bytes:
        """The tag of an account's leaf of this number (0, 1, ..) in the month of a day."""
        return prf(self._subject_key(subject, day), "tag", u32(number))[:16]

    def inclusion(self, index: int) -> list[bytes]:
        return merkle.inclusion_proof(self.node, index, self.size)

    def answer(self, leaves: Sequence[Leaf]) -> dict[str, Any]:
        """Leaves with their proofs under a checkpoint, as every call answers them."""
        return {
            "leaves": [leaf.to_object() for leaf in leaves],
            "proofs": [[each.hex() for each in self.inclusion(leaf.index)] for leaf in leaves],
            "checkpoint": self.checkpoint(),
        }

    def node(self, level: int, number: int) -> bytes:
        """As it is stored, read once: the proofs and the root of one answer share most of them."""
        if (level, number) not in self._nodes:
            self._nodes[level, number] = queries.node(self._tx, self._tenant.name, level, number)
        return self._nodes[level, number]

    def _rehashed(self, level: int, number: int) -> bytes:
        """A node, computed again from what is right below it. Raises `StoreLost` if it differs."""
        if level:
            below = self.node(level - 1, 2 * number), self.node(level - 1, 2 * number + 1)
            computed = merkle.node_hash(*below)
        else:
            (leaf_text,) = queries.leaf_texts(self._tx, self._tenant.name, number, 1)
            computed = merkle.leaf_hash(leaf_text)
        if computed != self.node(level, number):
            raise StoreLost("a node is not what its leaves hash to")
        return computed

    def _private_text(self, draft: Draft, salt: bytes) -> bytes:
        told = {"v": 1, "type": draft.type, "tenant": self._tenant.name, **draft.told}
        if draft.subject is not None:
            told["subject"] = digest("subject", salt, draft.subject).hex()
        return dump({**told, "nonce": self._nonce(draft).hex()})

    def _nonce(self, draft: Draft) -> bytes:
        if draft.type not in _BROUGHT_AGAIN:
            return os.urandom(16)
        return prf(self._tag_key, "nonce", text(draft.type), dump(draft.told))[:16]

    @cached_property
    def _tag_key(self) -> bytes:
        place = tag_key_place(self._tenant)
        return unlock(self._identity.storage, place, self._tenant.tag_key)

    def _tag(self, draft: Draft, frozen_now: datetime) -> bytes:
        """Random without an account. A leaf that nobody is told of counts by its own month."""
        if draft.subject is None or not draft.is_account:
            return os.urandom(16)
        day, first = day_of(frozen_now), self._first_tag()
        name = prf(self._subject_key(draft.subject, day), "name")[:16]
        number = queries.next_tag_number(self._tx, self._tenant.name, name, first)
        return self.tag(draft.subject, day, number)

    def _subject_key(self, subject: bytes, day: str) -> bytes:
        month = day[:7].encode("ascii")
        return prf(self._tag_key, "sub", text(self._tenant.name), subject, month)

    def _first_tag(self) -> int:
        """Nobody knows how many of the leaves that lost their text were one subject's: after a
        recovery tags count from its leaf, so that none repeats."""
        before = salvage.recovered(self._tx, self._tenant.name)
        return before[-1].leaf if before else 0

    def _write(self, leaf_text: bytes, salt: bytes, private: bytes) -> None:
        self._add(leaf_text, self._locked(self.size, salt, private))

    def _add(self, leaf_text: bytes, locked: bytes) -> None:
        number, name = self.size, self._tenant.name
        nodes = merkle.new_nodes(self._rehashed, number, merkle.leaf_hash(leaf_text))
        queries.add_leaf(self._tx, name, number, leaf_text, locked)
        queries.add_nodes(self._tx, name, nodes)
        self.size = number + 1

    def _leaf(self, number: int) -> Leaf:
        leaf_text, box = queries.leaf(self._tx, self._tenant.name, number)
        kept = unlock(self._identity.storage, self._leaf_place(number), box)
        end = 2 + int.from_bytes(kept[:2], "big")
        return Leaf(number, leaf_text.decode(), kept[end:].decode(), kept[2:end])

    def _locked(self, number: int, salt: bytes, private: bytes) -> bytes:
        return lock(self._identity.storage, self._leaf_place(number), enc(salt) + private)

    def _leaf_place(self, number: int) -> bytes:
        return enc(b"icr/v1/leaf-private", self._tenant.pseudonym.encode("ascii"), u32(number))


def tag_key_place(tenant: Tenant) -> bytes:
    return enc(b"icr/v1/tag-key", tenant.pseudonym.encode("ascii"))
