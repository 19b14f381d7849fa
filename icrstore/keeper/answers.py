"""What keepers answer, as values that are checked before anyone uses them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from icrstore.keeper.evidence import Evidence, EvidenceError, LogKeys, ProvenLeaf
from icrstore.keeper.leaves import Leaf, LeafError, check_told, read_lines
from icrstore.keeper.names import is_log_of
from icrstore.seal.encode import digest
from icrstore.seal.epoch import Role
from icrstore.seal.pools import DEFAULT
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import leaf_hash, verify_inclusion
from icrstore.tlog.note import parse_note
from icrstore.warrant.statements import Selector
from icrstore.warrant.strict import Fields, parse_object

MOST_EPOCHS = 1 << 20


class KeeperFailure(Exception):
    """A keeper did not do what it was asked. ``role`` says which."""

    def __init__(self, role: Role, code: str) -> None:
        super().__init__(f"{role}: {code}")
        self.role = role
        self.code = code


class KeeperRefused(KeeperFailure):
    """It refused; ``code`` is its stable reason. Asking again changes nothing."""


class KeepersRefused(Exception):
    """One keeper or both refused. ``codes`` maps each role that did to its stable reason."""

    def __init__(self, refusals: Sequence[KeeperRefused]) -> None:
        super().__init__("; ".join(str(refusal) for refusal in refusals))
        self.codes = {refusal.role: refusal.code for refusal in refusals}


class KeeperUnreachable(KeeperFailure):
    """It gave no answer that says what became of the call. Asking again is safe."""


class KeeperUntrue(KeeperFailure):
    """What it said does not hold by its own keys: tell oversight."""


class KeeperForked(KeeperUntrue):
    """Its log does not continue what its witness cosigned. ``notes`` are the checkpoint that it
    shows and, where it could be had, the one that was cosigned last; both as text, unchecked."""

    def __init__(self, role: Role, notes: Sequence[str]) -> None:
        super().__init__(role, "forked")
        self.notes = tuple(notes)


class ListedEpoch(NamedTuple):
    """An epoch as a keeper's commit lists it."""

    eid: bytes
    hour: datetime
    shard: int
    statement_sha256: bytes


@dataclass(frozen=True)
class Logged:
    """Leaves that a keeper says it wrote, proven at the size of a checkpoint of its log."""

    leaves: tuple[Leaf, ...]
    proofs: tuple[tuple[bytes, ...], ...]
    checkpoint: str

    @classmethod
    def take(cls, fields: Fields) -> "Logged":
        """Raises `StatementError`; checks nothing."""
        return cls(
            fields.items("leaves", Leaf.read),
            fields.items("proofs", read_proof),
            read_lines(fields, "checkpoint"),
        )

    def check(
        self, keys: LogKeys, told: Mapping[str, Any], subjects: Sequence[bytes]
    ) -> list[Mapping[str, Any]]:
        """The private texts, once everything about them holds.

        1. The checkpoint is of a log of this keeper and signed by it.
        2. There is one leaf for each subject, no two the same, each under the checkpoint.
        3. Each private text is its leaf's, says what is ``told``, and commits to its subject.

        Raises `EvidenceError`.
        """
        try:
            checkpoint = self._checkpoint(keys)
            if len({leaf.index for leaf in self.leaves}) != len(subjects):
                raise EvidenceError("not one leaf for each")
            for leaf, proof in zip(self.leaves, self.proofs, strict=True):
                hashed = leaf_hash(leaf.text.encode())
                verify_inclusion(hashed, leaf.index, checkpoint.size, proof, checkpoint.root)
            return [
                _check_subject(leaf, subject, told)
                for leaf, subject in zip(self.leaves, subjects, strict=True)
            ]
        except (LogError, LeafError, ValueError) as error:
            raise EvidenceError("what the keeper says does not hold") from error

    def evidence(self, checkpoint: str, proofs: Sequence[Sequence[bytes]]) -> Evidence:
        """The leaves under a cosigned checkpoint."""
        leaves = tuple(
            ProvenLeaf(leaf.index, leaf.text, leaf.private, tuple(proof))
            for leaf, proof in zip(self.leaves, proofs, strict=True)
        )
        return Evidence(checkpoint, leaves)

    def _checkpoint(self, keys: LogKeys) -> Checkpoint:
        encoded = self.checkpoint.encode()
        origin = parse_checkpoint(parse_note(encoded).body).origin
        if not is_log_of(keys.name, origin):
            raise EvidenceError("not that keeper's log")
        return verify_checkpoint(encoded, origin, keys.log_verifier(origin))


@dataclass(frozen=True)
class Proven:
    """One keeper's leaves of one step, cosigned by the other; ``salts`` open their subjects."""

    evidence: Evidence
    salts: tuple[bytes, ...]

    def records(self) -> list[int]:
        """How many records each leaf of a disclosure says. Raises `StatementError`."""
        said = [Fields(parse_object(leaf.private.encode())) for leaf in self.evidence.leaves]
        return [each.integer("records", 0, 1 << 53) for each in said]

    def to_object(self) -> dict[str, Any]:
        """The evidence with the salts, as a package shows a disclosure."""
        shown = self.evidence.to_object()
        for leaf, salt in zip(shown["leaves"], self.salts, strict=True):
            leaf["salt"] = salt.hex()
        return shown


@dataclass(frozen=True)
class Committed:
    """One keeper's commit: its proven leaves and the epochs that it fixed, by (hour, eid)."""

    proven: Proven
    epochs: tuple[ListedEpoch, ...]


Shares = Mapping[tuple[bytes, Selector], tuple[bytes, ...]]


def read_shares(
    plain: bytes, epochs: Sequence[ListedEpoch], selectors: Sequence[Selector]
) -> Shares:
    """Shares by (eid, selector), one for each of its sealed names there. Raises `EvidenceError`
    for any other layout."""
    # How many names a selector has does not depend on the pools.
    counts = [len(selector.sealed_names(DEFAULT)) for selector in selectors]
    width = 16 + 32 * sum(counts)
    if len(plain) != width * len(epochs):
        raise EvidenceError("the shares are cut")
    shares = {}
    for number, epoch in enumerate(epochs):
        block = plain[number * width : (number + 1) * width]
        if block[:16] != epoch.eid:
            raise EvidenceError("shares of another epoch")
        lent = (block[at : at + 32] for at in range(16, width, 32))
        for selector, count in zip(selectors, counts, strict=True):
            shares[epoch.eid, selector] = tuple(islice(lent, count))
    return shares


def take_epochs(fields: Fields) -> tuple[ListedEpoch, ...]:
    return fields.items("epochs", _epoch, 0, MOST_EPOCHS)


def epochs_sha256(epochs: Sequence[ListedEpoch]) -> bytes:
    """The hash by which a commit's leaves fix its list of epochs."""
    return hashlib.sha256(b"".join(e.eid + e.statement_sha256 for e in epochs)).digest()


def read_proof(value: Any, place: str) -> tuple[bytes, ...]:
    return Fields({"proof": value}, place).items("proof", _hash, 0, 63)


def _check_subject(leaf: Leaf, subject: bytes, told: Mapping[str, Any]) -> Mapping[str, Any]:
    said = check_told(leaf.text, leaf.private, told)
    if said["subject"] != digest("subject", leaf.salt, subject).hex():
        raise EvidenceError("a commitment to somebody else")
    return said


def _epoch(value: Any, place: str) -> ListedEpoch:
    fields = Fields(value, place)
    made = ListedEpoch(
        fields.hexadecimal("eid", 16),
        fields.hour("hour"),
        fields.integer("shard", 0, 65535),
        fields.hexadecimal("statement_sha256", 32),
    )
    fields.finish()
    return made


def _hash(value: Any, place: str) -> bytes:
    return Fields({"hash": value}, place).hexadecimal("hash", 32)
