"""Evidence shows what it is brought for, or nothing: its checks one by one, without keepers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.evidence import Evidence, EvidenceError, LogKeys, ProvenLeaf, check_leaves
from icrstore.keeper.names import witness_key_name
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.merkle import Tree
from icrstore.tlog.note import SigningKey
from icrstore.warrant.dsse import raw_public

NAME, PEER = "demo.icrstore/operator-1", "demo.icrstore/oversight-1"
TEXTS = ("a", "b", "c", "d", "e")
SHOWN = (1, 3)
COSIGNED_AT = 1_800_000_000


@dataclass(frozen=True)
class Log:
    """A keeper's log of five leaves, of which two are shown."""

    log_key: Ed25519PrivateKey
    witness_key: Ed25519PrivateKey
    origin: str = f"{NAME}/0123456789abcdef"

    @property
    def keys(self) -> LogKeys:
        return LogKeys(NAME, raw_public(self.log_key), PEER, raw_public(self.witness_key))

    def evidence(self, witness_name: str = PEER) -> Evidence:
        tree = Tree(text.encode() for text in TEXTS)
        checkpoint = Checkpoint(self.origin, tree.size, tree.root())
        note = sign_checkpoint(checkpoint, SigningKey(self.origin, self.log_key))
        witness = SigningKey(witness_key_name(witness_name), self.witness_key)
        cosigned = note.with_signatures([witness.cosign(note.body, COSIGNED_AT)])
        leaves = tuple(
            ProvenLeaf(index, TEXTS[index], "", tuple(tree.inclusion_proof(index)))
            for index in SHOWN
        )
        return Evidence(cosigned.encode().decode(), leaves)


@pytest.fixture
def log() -> Log:
    return Log(Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())


def test_what_is_logged_and_cosigned_is_shown(log: Log) -> None:
    checkpoint, cosigned_at = check_leaves(log.evidence(), log.keys, len(SHOWN))
    assert (checkpoint.origin, checkpoint.size, cosigned_at) == (log.origin, 5, COSIGNED_AT)


def with_leaves(change: Callable[..., list[ProvenLeaf]]) -> Callable[[Log], Evidence]:
    def spoil(log: Log) -> Evidence:
        honest = log.evidence()
        return replace(honest, leaves=tuple(change(*honest.leaves)))

    return spoil


def of(**changes: object) -> Callable[[Log], Evidence]:
    """By those very keys, but of another log."""
    return lambda log: replace(log, **changes).evidence()  # type: ignore[arg-type]


SPOILT: dict[str, Callable[[Log], Evidence]] = {
    "a leaf too few": with_leaves(lambda one, other: [one]),
    "a leaf too many": with_leaves(lambda one, other: [one, other, one]),
    "one leaf twice": with_leaves(lambda one, other: [one, one]),
    "a leaf at another place": with_leaves(lambda one, other: [one, replace(other, index=2)]),
    "another text": with_leaves(lambda one, other: [one, replace(other, text="x")]),
    "another leaf's proof": with_leaves(lambda one, other: [one, replace(other, proof=one.proof)]),
    "a log under another name": of(origin=f"{PEER}/0123456789abcdef"),
    "a log under a longer name": of(origin=f"{NAME}x/0123456789abcdef"),
    "a log under no pseudonym": of(origin=NAME),
    "another log key": of(log_key=Ed25519PrivateKey.generate()),
    "another witness key": of(witness_key=Ed25519PrivateKey.generate()),
    "its own cosignature": lambda log: log.evidence(witness_name=NAME),
}


@pytest.mark.parametrize("what", SPOILT)
def test_nothing_is_shown_by(what: str, log: Log) -> None:
    with pytest.raises(EvidenceError):
        check_leaves(SPOILT[what](log), log.keys, len(SHOWN))
