"""The witness: cosigns what continues, waits for nobody, and is never talked into a fork."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.keys import Identity
from icrstore.keeper.names import witness_key_name
from icrstore.seal.epoch import ROLES, Role, other_role
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.note import COSIGNATURE, Note, SigningKey, VerifierKey, parse_note, verify
from icrstore.tlog.witness import SIZE_CONTENT_TYPE, add_cosignatures, format_request
from icrstore.wire.httpunix import Response
from tests.keeper.pair import Pair

each_role = pytest.mark.parametrize("role", ROLES)


def ask(pair: Pair, role: Role, old: int, proof: list[bytes], note: Note) -> Response:
    body = format_request(old, proof, note)
    return pair.raw(role).call("POST", "/add-checkpoint", {}, body)


def log_of(pair: Pair, role: Role, pseudonym: str) -> SigningKey:
    """The signing key of a log that this keeper could have: taken from its own files."""
    identity = Identity.load(pair.processes[role].folder)
    return SigningKey(f"{identity.name}/{pseudonym}", identity.log)


def signed(key: SigningKey, tree: merkle.Tree) -> Note:
    return sign_checkpoint(Checkpoint(key.name, tree.size, tree.root()), key)


def leaves(count: int, twist: bytes = b"") -> merkle.Tree:
    return merkle.Tree(b"leaf %d" % n + twist for n in range(count))


def witness_key(pair: Pair, role: Role) -> VerifierKey:
    own = pair.identities[role]
    return VerifierKey(witness_key_name(own.name), COSIGNATURE, own.witness_key)


@each_role
def test_it_cosigns_what_continues_and_tells_its_size_otherwise(pair: Pair, role: Role) -> None:
    key = log_of(pair, other_role(role), f"{1:016x}")
    small, large = leaves(3), leaves(8)
    answer = ask(pair, role, 0, [], signed(key, small))
    assert answer.status == 200
    cosigned = add_cosignatures(signed(key, small), answer.body, [witness_key(pair, role)])
    assert verify(cosigned, [witness_key(pair, role)])

    proof = merkle.consistency_proof(large.node, 3, 8)
    stale = ask(pair, role, 2, merkle.consistency_proof(large.node, 2, 8), signed(key, large))
    assert (stale.status, stale.body) == (409, b"3\n")
    assert stale.headers["content-type"] == SIZE_CONTENT_TYPE
    assert ask(pair, role, 3, proof[:-1], signed(key, large)).status == 422
    assert ask(pair, role, 3, proof, signed(key, large)).status == 200
    assert ask(pair, role, 8, [], signed(key, large)).status == 200
    assert ask(pair, role, 8, [], signed(key, small)).status == 400


@each_role
def test_it_never_cosigns_a_fork_also_after_a_restart(own_pair: Pair, role: Role) -> None:
    key = log_of(own_pair, other_role(role), f"{2:016x}")
    assert ask(own_pair, role, 0, [], signed(key, leaves(5))).status == 200
    own_pair.processes[role].kill()
    own_pair.processes[role].start()
    forked = leaves(5, b"!")
    assert ask(own_pair, role, 5, [], signed(key, forked)).status == 409
    assert ask(own_pair, role, 0, [], signed(key, forked)).status == 409
    longer = leaves(9, b"!")
    proof = merkle.consistency_proof(longer.node, 5, 9)
    assert ask(own_pair, role, 5, proof, signed(key, longer)).status == 422


@each_role
def test_it_cosigns_only_the_logs_of_its_peer(pair: Pair, role: Role) -> None:
    peer = pair.identities[other_role(role)].name
    stranger = Ed25519PrivateKey.generate()
    tree = leaves(2)
    forged = signed(SigningKey(f"{peer}/{3:016x}", stranger), tree)
    assert ask(pair, role, 0, [], forged).status == 403
    for origin in ("elsewhere/x", f"{peer}/{3:015x}", f"{peer}/x/{3:016x}", f"{peer}x/{3:016x}",
                   f"{pair.identities[role].name}/{3:016x}"):  # fmt: skip
        key = SigningKey(origin, log_of(pair, other_role(role), f"{3:016x}").private)
        assert ask(pair, role, 0, [], signed(key, tree)).status == 404
    assert pair.raw(role).call("POST", "/add-checkpoint", {}, b"old x\n\n").status == 400


@contextmanager
def main_store_held(pair: Pair, role: Role) -> Iterator[None]:
    """Someone else writes in the keeper's store and does not end."""
    path = pair.processes[role].folder / "keeper.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        yield
        held.execute("ROLLBACK")


@each_role
def test_it_does_not_wait_for_the_keepers_store(pair: Pair, role: Role) -> None:
    key = log_of(pair, other_role(role), f"{4:016x}")
    with main_store_held(pair, role):
        assert ask(pair, role, 0, [], signed(key, leaves(1))).status == 200


def test_a_checkpoint_that_was_overtaken_is_carried_at_the_larger_size(pair: Pair) -> None:
    """Two clients, each with a memory of its own, commit in turns."""
    one, two = pair.keepers(), pair.keepers()
    for _ in range(3):
        first, second = pair.question(), pair.question()
        logged, _ = pair.keeper("operator").logged("/v1/commit", first.to_object())
        two.commit(second)
        size = int(parse_note(logged.checkpoint.encode()).body.splitlines()[1])
        cosigned = one.commit(first)["operator"].proven.evidence.checkpoint
        assert int(cosigned.splitlines()[1]) > size
