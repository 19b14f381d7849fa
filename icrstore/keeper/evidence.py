"""Evidence: leaves that a log holds, under a checkpoint that the other keeper cosigned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icrstore.keeper.leaves import MOST_PRIVATE_BYTES, LeafError, check_told, read_lines
from icrstore.keeper.names import is_log_of, witness_key_name
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint, verify_cosigned
from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import leaf_hash, verify_inclusion
from icrstore.tlog.note import COSIGNATURE, ED25519, VerifierKey, parse_note
from icrstore.warrant.strict import Fields


class EvidenceError(Exception):
    """The evidence does not show what it is brought for; no finer reason."""


@dataclass(frozen=True)
class ProvenLeaf:
    index: int
    text: str
    private: str
    proof: tuple[bytes, ...]

    def to_object(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "leaf": self.text,
            "private": self.private,
            "proof": [each.hex() for each in self.proof],
        }


@dataclass(frozen=True)
class Evidence:
    """A log-signed and cosigned checkpoint, and leaves proven at its size."""

    checkpoint: str
    leaves: tuple[ProvenLeaf, ...]

    @classmethod
    def read(cls, value: Any, place: str = "") -> "Evidence":
        """Raises StatementError; proves nothing."""
        fields = Fields(value, place)
        made = cls(read_lines(fields, "checkpoint"), fields.items("leaves", _leaf, 0, 1000))
        fields.finish()
        return made

    def to_object(self) -> dict[str, Any]:
        return {
            "checkpoint": self.checkpoint,
            "leaves": [leaf.to_object() for leaf in self.leaves],
        }


@dataclass(frozen=True)
class LogKeys:
    """By whom a log must be signed and cosigned; ``name`` is its keeper's."""

    name: str
    log_key: bytes
    witness_name: str
    witness_key: bytes

    def log_verifier(self, origin: str) -> VerifierKey:
        return VerifierKey(origin, ED25519, self.log_key)

    @property
    def witness(self) -> VerifierKey:
        return VerifierKey(witness_key_name(self.witness_name), COSIGNATURE, self.witness_key)


def check_evidence(
    evidence: Evidence, keys: LogKeys, told: Mapping[str, Any], count: int
) -> tuple[Checkpoint, int]:
    """The checkpoint and the Unix time of its cosignature: `check_leaves`, and then that each
    private text is its leaf's and says what is ``told``.

    Raises `EvidenceError`.
    """
    proven = check_leaves(evidence, keys, count)
    try:
        for leaf in evidence.leaves:
            check_told(leaf.text, leaf.private, told)
    except (LeafError, UnicodeEncodeError) as error:
        raise EvidenceError("the evidence does not hold") from error
    return proven


def check_leaves(evidence: Evidence, keys: LogKeys, count: int) -> tuple[Checkpoint, int]:
    """The checkpoint and the Unix time of its cosignature.

    1. The checkpoint is of a log of this keeper, signed by it and cosigned by the other.
    2. There are as many leaves as there must be, no two the same.
    3. Each is under the checkpoint.

    Raises `EvidenceError`.
    """
    try:
        checkpoint, cosigned_at = check_cosigned(evidence.checkpoint.encode(), keys)

        if len(evidence.leaves) != count:
            raise EvidenceError("not one leaf for each")
        if len({leaf.index for leaf in evidence.leaves}) != count:
            raise EvidenceError("one leaf shown twice")

        for leaf in evidence.leaves:
            hashed = leaf_hash(leaf.text.encode())
            verify_inclusion(hashed, leaf.index, checkpoint.size, leaf.proof, checkpoint.root)
    except (LogError, UnicodeEncodeError) as error:
        raise EvidenceError("the evidence does not hold") from error
    return checkpoint, cosigned_at


def check_cosigned(encoded: bytes, keys: LogKeys) -> tuple[Checkpoint, int]:
    """A checkpoint of a keeper's log that the other cosigned, and when. Raises `EvidenceError`."""
    try:
        origin = parse_checkpoint(parse_note(encoded).body).origin
        if not is_log_of(keys.name, origin):
            raise EvidenceError("not that keeper's log")
        checkpoint, times = verify_cosigned(
            encoded, origin, keys.log_verifier(origin), [keys.witness], at_least=1
        )
    except LogError as error:
        raise EvidenceError("the evidence does not hold") from error
    return checkpoint, times[keys.witness]


def _leaf(value: Any, place: str) -> ProvenLeaf:
    fields = Fields(value, place)
    made = ProvenLeaf(
        fields.integer("index", 0, 1 << 53),
        read_lines(fields, "leaf"),
        fields.text("private", MOST_PRIVATE_BYTES),
        fields.items("proof", _hash, 0, 63),
    )
    fields.finish()
    return made


def _hash(value: Any, place: str) -> bytes:
    return Fields({"hash": value}, place).hexadecimal("hash", 32)
