"""Two histories of one log: evidence that holds for every size, and nothing else that does."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.ledger.forks import evidence_of
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.merkle import Tree, consistency_proof, fork_path
from icrstore.tlog.note import SigningKey
from icrstore.verify.icr_verify import CheckFailed, main, read_trust, verify_fork
from icrstore.warrant.strict import dump, encode_base64

ORIGIN = f"demo.icrstore/operator-1/{7:016x}"
KEYS = {
    role: [Ed25519PrivateKey.generate() for _ in range(3)] for role in ("operator", "oversight")
}
LOG = SigningKey(ORIGIN, KEYS["operator"][1])
MOST = 18
TRUE = [b"leaf %d" % n for n in range(MOST)]


def public(key: Ed25519PrivateKey) -> str:
    return encode_base64(key.public_key().public_bytes_raw())


TRUST_FILE = dump({
    "keepers": [
        {"role": role, "instance": 1, "name": f"demo.icrstore/{role}-1", "identity_key": public(a),
         "log_key": public(b), "witness_key": public(c)} for role, (a, b, c) in KEYS.items()
    ],
    "engines": {}, "authorities": {}, "sealers": {}, "receipt_key": encode_base64(bytes(32)),
})  # fmt: skip
TRUST = read_trust(TRUST_FILE)


def signed(leaves: list[bytes], key: SigningKey = LOG) -> tuple[Checkpoint, str]:
    made = Checkpoint(key.name, len(leaves), Tree(leaves).root())
    return made, sign_checkpoint(made, key).encode().decode()


def forked(size: int, at: int) -> list[bytes]:
    """The log as it is told elsewhere: another leaf at one place."""
    return [*TRUE[:at], b"another", *TRUE[at + 1 : size]]


def shown(small: str, large: str, path: Any) -> bytes:
    return json.dumps({"v": 1, "notes": [small, large], "path": [p.hex() for p in path]}).encode()


def refuses(raw: bytes) -> str:
    with pytest.raises(CheckFailed) as failed:
        verify_fork(raw, TRUST)
    return failed.value.name


def test_every_fork_is_convicted_and_no_honest_log() -> None:
    for new in range(1, MOST):
        for old in range(1, new + 1):
            other = forked(old, old // 2)
            evidence = evidence_of(signed(other), signed(TRUE[:new]), [lambda n: TRUE[:n]])
            assert evidence is not None
            _, said = verify_fork(evidence, TRUST)
            assert said == {"keeper": "operator", "log": ORIGIN, "sizes": [old, new]}
            honest = signed(TRUE[:old]), signed(TRUE[:new])
            assert evidence_of(*honest, [lambda n: TRUE[:n]]) is None
            path = fork_path(Tree(TRUE[:new]).node, old, new) if old < new else []
            assert refuses(shown(honest[0][1], honest[1][1], path)) == "fork"


def test_a_path_that_does_not_lead_to_what_was_signed_convicts_nobody() -> None:
    """As a consistency proof that fails: anybody can make one."""
    tree = Tree(TRUE)
    for old in range(1, MOST):
        honest, large = signed(TRUE[:old])[1], signed(TRUE)[1]
        path = fork_path(tree.node, old, MOST)
        other = Tree(forked(MOST, 0))
        wrong = [
            fork_path(other.node, old, MOST), consistency_proof(other.node, old, MOST), path[:-1],
            [*path, bytes(32)], [bytes(32), *path[1:]], path[::-1] if len(set(path)) > 1 else [],
        ]  # fmt: skip
        for each in wrong:
            assert refuses(shown(honest, large, each)) == "fork"


def test_nothing_is_made_of_nothing() -> None:
    empty, large = signed([])[1], signed(TRUE)[1]
    assert refuses(shown(empty, large, [])) == "fork"
    assert refuses(shown(empty, empty, [])) == "fork"
    assert refuses(shown(large, large, [])) == "fork"
    assert evidence_of(signed([]), signed(TRUE), [lambda n: TRUE[:n]]) is None


def test_only_what_one_keepers_log_key_signed_counts() -> None:
    one, other = signed(TRUE)[1], signed(forked(MOST, 3))[1]
    assert verify_fork(shown(one, other, []), TRUST)
    stranger = SigningKey(ORIGIN, Ed25519PrivateKey.generate())
    elsewhere = SigningKey(ORIGIN[:-1] + "8", LOG.private)
    unknown = SigningKey("elsewhere/1", LOG.private)
    for key in (stranger, elsewhere, unknown):
        assert refuses(shown(one, signed(forked(MOST, 3), key)[1], [])) == "log"
    assert refuses(shown(one, other, [bytes(32)])) == "fork"
    small = signed(forked(4, 1))[1]
    assert refuses(shown(one, small, [])) == "evidence"


def test_no_bit_of_the_notes_may_change(tmp_path: Path) -> None:
    one, other = signed(forked(9, 3))[1], signed(TRUE)[1]
    path = fork_path(Tree(TRUE).node, 9, MOST)
    for at in range(len(one)):
        changed = one[:at] + chr(ord(one[at]) ^ 1) + one[at + 1 :]
        assert refuses(shown(changed, other, path)) in ("evidence", "log")
    for at in range(len(path)):
        flipped = bytes([path[at][0] ^ 1]) + path[at][1:]
        assert refuses(shown(one, other, [*path[:at], flipped, *path[at + 1 :]])) == "fork"


def test_the_command_says_whose_log_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust, evidence = tmp_path / "trust.json", tmp_path / "fork.json"
    trust.write_bytes(TRUST_FILE)
    evidence.write_bytes(shown(signed(TRUE)[1], signed(forked(MOST, 3))[1], []))
    assert main(["fork", str(evidence), "--trust", str(trust)]) == 0
    assert "keeper: operator" in capsys.readouterr().out
    evidence.write_bytes(shown(signed(TRUE)[1], signed(TRUE)[1], []))
    assert main(["fork", str(evidence), "--trust", str(trust)]) == 1
