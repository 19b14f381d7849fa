"""Checkpoints and cosignatures: ours as vectors, and every way to bend them."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.tlog.checkpoint import (
    LARGEST_SIZE,
    Checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosigned,
)
from icrstore.tlog.errors import NoteError
from icrstore.tlog.merkle import EMPTY_ROOT
from icrstore.tlog.note import COSIGNATURE, Note, SigningKey, VerifierKey
from tests.tlog.vectors import (
    CHECKPOINTS,
    LOG,
    LOG_KEY,
    ORIGIN,
    ROOTS,
    WITNESS,
    WITNESS_KEY,
)

SEVEN = Checkpoint(ORIGIN, 7, ROOTS[7])
SECOND = SigningKey("second.example", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
SECOND_KEY = SECOND.verifier(COSIGNATURE)


@pytest.mark.parametrize("size", sorted(CHECKPOINTS))
def test_our_checkpoints_are_those_of_the_vectors(size: int) -> None:
    vector, checkpoint = CHECKPOINTS[size], Checkpoint(ORIGIN, size, ROOTS[size])
    note = sign_checkpoint(checkpoint, LOG)
    assert note.body == vector["body"]
    assert note.encode() == vector["signed"].encode()
    assert parse_checkpoint(note.body) == checkpoint
    assert verify_checkpoint(note.encode(), ORIGIN, LOG_KEY) == checkpoint
    time = vector["cosigned_at_unix"]
    cosigned = note.with_signatures([WITNESS.cosign(note.body, time)]).encode()
    assert cosigned == vector["cosigned"].encode()
    verified = verify_cosigned(cosigned, ORIGIN, LOG_KEY, [WITNESS_KEY], at_least=1)
    assert verified == (checkpoint, {WITNESS_KEY: time})


def test_it_refuses_a_cosigned_checkpoint_with_any_byte_changed() -> None:
    encoded = CHECKPOINTS[7]["cosigned"].encode()
    for position in range(len(encoded)):
        broken = bytearray(encoded)
        broken[position] ^= 1
        with pytest.raises(NoteError):
            verify_cosigned(bytes(broken), ORIGIN, LOG_KEY, [WITNESS_KEY], at_least=1)


def test_it_refuses_the_checkpoint_of_another_log_signed_by_the_same_key() -> None:
    note = sign_checkpoint(Checkpoint("icr.example/other", 7, ROOTS[7]), LOG)
    for check in (
        lambda: verify_checkpoint(note.encode(), ORIGIN, LOG_KEY),
        lambda: verify_cosigned(note.encode(), ORIGIN, LOG_KEY, [], at_least=0),
    ):
        with pytest.raises(NoteError, match="wrong-origin"):
            check()


def _cosigned(*cosigners: SigningKey) -> bytes:
    note = sign_checkpoint(SEVEN, LOG)
    return note.with_signatures(key.cosign(note.body, 9) for key in cosigners).encode()


def test_it_counts_witnesses_by_their_keys() -> None:
    both = [WITNESS_KEY, SECOND_KEY]
    _, times = verify_cosigned(_cosigned(WITNESS, SECOND), ORIGIN, LOG_KEY, both, at_least=2)
    assert times == {WITNESS_KEY: 9, SECOND_KEY: 9}
    with pytest.raises(NoteError, match="not-cosigned"):
        verify_cosigned(_cosigned(WITNESS), ORIGIN, LOG_KEY, both, at_least=2)
    with pytest.raises(NoteError, match="not-cosigned"):
        verify_cosigned(_cosigned(SECOND), ORIGIN, LOG_KEY, [WITNESS_KEY], at_least=1)


def test_one_key_under_two_names_is_one_witness() -> None:
    alias = SigningKey("alias.example", WITNESS.private)
    witnesses = [WITNESS_KEY, alias.verifier(COSIGNATURE)]
    encoded = _cosigned(WITNESS, alias)
    assert len(verify_cosigned(encoded, ORIGIN, LOG_KEY, witnesses, at_least=1)[1]) == 2
    with pytest.raises(NoteError, match="not-cosigned"):
        verify_cosigned(encoded, ORIGIN, LOG_KEY, witnesses, at_least=2)


def test_a_cosignature_without_the_logs_own_signature_is_refused() -> None:
    body = SEVEN.body()
    encoded = Note(body, (WITNESS.cosign(body, 9),)).encode()
    with pytest.raises(NoteError, match="unsigned"):
        verify_cosigned(encoded, ORIGIN, LOG_KEY, [WITNESS_KEY], at_least=1)


def test_a_log_does_not_witness_itself() -> None:
    note = sign_checkpoint(SEVEN, LOG)
    with pytest.raises(NoteError, match="not-cosigned"):
        verify_cosigned(note.encode(), ORIGIN, LOG_KEY, [LOG_KEY], at_least=1)
    cosigning = VerifierKey(LOG.name, COSIGNATURE, LOG_KEY.public)
    encoded = Note(note.body, (LOG.cosign(note.body, 9),)).encode()
    with pytest.raises(NoteError, match="not-cosigned"):
        verify_cosigned(encoded, ORIGIN, cosigning, [cosigning], at_least=1)


def test_a_cosignature_of_one_checkpoint_is_none_of_another() -> None:
    six = sign_checkpoint(Checkpoint(ORIGIN, 6, ROOTS[6]), LOG)
    moved = six.with_signatures([WITNESS.cosign(SEVEN.body(), 9)]).encode()
    with pytest.raises(NoteError, match="bad-signature"):
        verify_cosigned(moved, ORIGIN, LOG_KEY, [WITNESS_KEY], at_least=1)


def test_extension_lines_are_accepted_and_stay_signed() -> None:
    body = SEVEN.body() + "an extension\nand another\n"
    note = Note(body, (LOG.sign(body), WITNESS.cosign(body, 9)))
    assert verify_checkpoint(note.encode(), ORIGIN, LOG_KEY) == SEVEN
    with pytest.raises(NoteError, match="bad-signature"):
        verify_checkpoint(Note(SEVEN.body(), note.signatures).encode(), ORIGIN, LOG_KEY)
    assert "extension" not in sign_checkpoint(SEVEN, LOG).body


ROOT_LINE = SEVEN.body().split("\n")[2]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        f"{ORIGIN}\n7\n",
        f"{ORIGIN}\n7\n{ROOT_LINE}",
        f"\n7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\n{ROOT_LINE}\n",
        f"{ORIGIN}\n7\n\n{ROOT_LINE}\n",
        f"{ORIGIN}\n7\n{ROOT_LINE}\n\n",
        f"{ORIGIN}\n7\n{ROOT_LINE}\n\nextension\n",
        f"{ORIGIN}\n07\n{ROOT_LINE}\n",
        f"{ORIGIN}\n00\n{ROOT_LINE}\n",
        f"{ORIGIN}\n+7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n-7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n7 \n{ROOT_LINE}\n",
        f"{ORIGIN}\n0x7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\N{ARABIC-INDIC DIGIT SEVEN}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n{LARGEST_SIZE + 1}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n{10**40}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n0\n{ROOT_LINE}\n",
        f"{ORIGIN}\n7\n{ROOT_LINE[:-1]}\n",
        f"{ORIGIN}\n7\n{ROOT_LINE[4:]}\n",
        f"{ORIGIN}\n7\nAAAA{ROOT_LINE}\n",
        f"{ORIGIN}\n7\n {ROOT_LINE}\n",
    ],
)
def test_it_refuses_a_body_that_is_not_exactly_a_checkpoint(body: str) -> None:
    with pytest.raises(NoteError, match="malformed-checkpoint"):
        parse_checkpoint(body)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, EMPTY_ROOT),
        ("two\nlines", 1, EMPTY_ROOT),
        (ORIGIN, -1, EMPTY_ROOT),
        (ORIGIN, LARGEST_SIZE + 1, EMPTY_ROOT),
        (ORIGIN, 1, EMPTY_ROOT[1:]),
        (ORIGIN, 0, ROOTS[1]),
    ],
)
def test_it_makes_no_checkpoint_that_it_would_not_read(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(NoteError, match="malformed-checkpoint"):
        Checkpoint(origin, size, root)
