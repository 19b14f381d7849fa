"""When a witness cosigns: only a tree that continues the one it last vouched for."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint, verify_cosigned
from icrstore.tlog.errors import NoteError
from icrstore.tlog.merkle import Tree, consistency_proof
from icrstore.tlog.note import Note, SigningKey, VerifierKey
from icrstore.tlog.witness import (
    MAX_PROOF_LINES,
    AddCheckpoint,
    WitnessRefusal,
    add_cosignatures,
    decide,
    format_request,
    parse_request,
)
from tests.tlog.vectors import (
    LEAVES,
    LOG,
    LOG_KEY,
    ORIGIN,
    ROOTS,
    TREE,
    VECTORS,
    WITNESS,
    WITNESS_KEY,
)

REQUEST: bytes = VECTORS["add_checkpoint"]["request"].encode()
STRANGER = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))

FORKED_LEAVES = [*LEAVES[:3], b"rewritten", *LEAVES[4:]]
FORK = Tree(FORKED_LEAVES)


def _at(size: int, tree: Tree = TREE) -> Checkpoint:
    leaves = LEAVES[:size] if tree is TREE else FORKED_LEAVES[:size]
    return Checkpoint(ORIGIN, size, Tree(leaves).root())


def _request(old: int, new: int, tree: Tree = TREE, key: SigningKey = LOG) -> AddCheckpoint:
    proof = consistency_proof(tree.node, old, new) if old <= new else []
    return parse_request(format_request(old, proof, sign_checkpoint(_at(new, tree), key)))


def _refusal(
    request: AddCheckpoint, latest: Checkpoint | None, log_key: VerifierKey | None = LOG_KEY
) -> tuple[int, str, int | None]:
    with pytest.raises(WitnessRefusal) as refused:
        decide(request, log_key, latest)
    return refused.value.status, refused.value.reason, refused.value.latest_size


def test_the_request_of_the_vectors_is_ours_and_is_cosigned() -> None:
    note = sign_checkpoint(_at(11), LOG)
    assert format_request(7, consistency_proof(TREE.node, 7, 11), note) == REQUEST
    request = parse_request(REQUEST)
    assert decide(request, LOG_KEY, _at(7)) == _at(11)
    time = VECTORS["add_checkpoint"]["cosigned_at_unix"]
    answer = WITNESS.cosign(request.note.body, time).line()
    assert answer == VECTORS["add_checkpoint"]["response"]
    cosigned = add_cosignatures(note, answer.encode(), [WITNESS_KEY]).encode()
    verified = verify_cosigned(cosigned, ORIGIN, LOG_KEY, [WITNESS_KEY], at_least=1)
    assert verified == (_at(11), {WITNESS_KEY: time})


def test_every_growth_from_every_latest_size_is_cosigned() -> None:
    for old in range(12):
        for new in range(old, 12):
            latest = _at(old) if old else None
            assert decide(_request(old, new), LOG_KEY, latest) == _at(new)


def test_the_empty_tree_is_cosigned_first_and_again() -> None:
    assert decide(_request(0, 0), LOG_KEY, None) == _at(0)
    assert decide(_request(0, 0), LOG_KEY, _at(0)) == _at(0)
    assert decide(_request(0, 5), LOG_KEY, _at(0)) == _at(5)


def test_a_stale_old_size_is_told_the_latest() -> None:
    assert _refusal(_request(5, 11), _at(7)) == (409, "stale", 7)
    assert _refusal(_request(8, 11), _at(7)) == (409, "stale", 7)
    assert _refusal(_request(0, 11), _at(7)) == (409, "stale", 7)
    assert _refusal(_request(5, 11), None) == (409, "stale", 0)


def test_a_smaller_tree_is_never_cosigned() -> None:
    for new in range(7):
        assert _refusal(_request(7, new), _at(7)) == (400, "old-above-new", None)
        assert _refusal(_request(new, new), _at(7)) == (409, "stale", 7)


def test_another_root_of_the_same_size_is_a_conflict() -> None:
    assert _refusal(_request(7, 7, FORK), _at(7)) == (409, "conflict", 7)
    assert decide(_request(7, 7), LOG_KEY, _at(7)) == _at(7)


def test_a_rewritten_history_is_inconsistent() -> None:
    for old in range(4, 11):
        for new in range(old + 1, 12):
            assert _refusal(_request(old, new, FORK), _at(old)) == (422, "inconsistent", None)


def test_a_proof_where_none_belongs_is_inconsistent() -> None:
    for old, latest in ((0, None), (11, _at(11))):
        request = AddCheckpoint(old, (ROOTS[3],), sign_checkpoint(_at(11), LOG), _at(11))
        assert _refusal(request, latest) == (422, "inconsistent", None)


def test_it_refuses_a_checkpoint_that_its_log_did_not_sign() -> None:
    assert _refusal(_request(7, 11, key=STRANGER), _at(7)) == (403, "not-signed", None)
    note = Note(_at(11).body(), sign_checkpoint(_at(10), LOG).signatures)
    forged = parse_request(format_request(7, [], note))
    assert _refusal(forged, _at(7)) == (403, "not-signed", None)


def test_it_knows_nothing_of_a_log_that_is_not_pinned() -> None:
    assert _refusal(_request(7, 11), None, log_key=None) == (404, "unknown-origin", None)


def test_no_byte_of_a_request_can_be_changed_and_still_cosigned() -> None:
    for position in range(len(REQUEST)):
        broken = bytearray(REQUEST)
        broken[position] ^= 1
        with pytest.raises(WitnessRefusal):
            decide(parse_request(bytes(broken)), LOG_KEY, _at(7))


HASH_LINE = REQUEST.split(b"\n")[1] + b"\n"
NOTE = REQUEST.partition(b"\n\n")[2]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        NOTE,
        b"\n\n" + NOTE,
        b"old 7\n" + NOTE,
        b"old\n\n" + NOTE,
        b"old \n\n" + NOTE,
        b"old 07\n\n" + NOTE,
        b"old  7\n\n" + NOTE,
        b"old -7\n\n" + NOTE,
        b"old 7 \n\n" + NOTE,
        b"old 7\r\n\r\n" + NOTE,
        b"new 7\n\n" + NOTE,
        b"old 7\n" + HASH_LINE[1:] + b"\n" + NOTE,
        b"old 7\n" + HASH_LINE + b"\n\n" + NOTE,
        b"old 7\n \n\n" + NOTE,
        b"old 7\n\xff\n\n" + NOTE,
        b"old 7\n" + HASH_LINE * (MAX_PROOF_LINES + 1) + b"\n" + NOTE,
        b"old 7\n\n" + NOTE[:-1],
        b"old 7\n\n" + NOTE + b"\n",
        b"old 7\n\n" + NOTE.partition(b"\n")[2],
        b"old 7\n\ntext only\n",
    ],
)
def test_it_refuses_a_body_that_is_not_exactly_a_request(body: bytes) -> None:
    with pytest.raises(WitnessRefusal) as refused:
        parse_request(body)
    assert (refused.value.status, refused.value.reason) == (400, "malformed")


def test_as_many_proof_lines_as_are_allowed_are_read() -> None:
    body = b"old 7\n" + HASH_LINE * MAX_PROOF_LINES + b"\n" + NOTE
    assert len(parse_request(body).proof) == MAX_PROOF_LINES


def test_only_known_witnesses_are_taken_from_an_answer() -> None:
    note = sign_checkpoint(_at(11), LOG)
    good = WITNESS.cosign(note.body, 9)
    foreign = STRANGER.cosign(note.body, 9)
    answer = (foreign.line() + good.line()).encode()
    assert add_cosignatures(note, answer, [WITNESS_KEY]) == note.with_signatures([good])
    for bad, reason in (
        (foreign.line(), "unsigned"),
        (WITNESS.cosign("another body\n", 9).line(), "bad-signature"),
        ("", "malformed-note"),
        (good.line() + "\n", "malformed-note"),
        (note.encode().decode(), "malformed-note"),
    ):
        with pytest.raises(NoteError, match=reason):
            add_cosignatures(note, bad.encode(), [WITNESS_KEY])


def test_the_logs_own_signature_is_not_taken_for_a_cosignature() -> None:
    note = sign_checkpoint(_at(11), LOG)
    with pytest.raises(NoteError, match="unsigned"):
        add_cosignatures(note, note.signatures[0].line().encode(), [WITNESS_KEY, LOG_KEY])
