"""How a log is proven: hashes, notes, checkpoints, witnesses."""

from tests.mutate.mutation import Mutation

MERKLE = "icrstore/tlog/merkle.py"
NOTE = "icrstore/tlog/note.py"
CHECKPOINT = "icrstore/tlog/checkpoint.py"
WITNESS = "icrstore/tlog/witness.py"

MUTATIONS = (
    Mutation(
        "inclusion-root",
        MERKLE,
        'if current != root:\n        raise ProofError("wrong-root")',
        "tests/tlog/test_merkle.py::test_every_inclusion_proof_is_that_of_the_definition_and_no_forgery_passes",
    ),
    Mutation(
        "inclusion-index",
        MERKLE,
        'if not 0 <= index < size:\n        raise ProofError("malformed")\n    sides',
        "tests/tlog/test_merkle.py::test_every_inclusion_proof_is_that_of_the_definition_and_no_forgery_passes",
        "sides",
    ),
    Mutation(
        "consistency-old-root",
        MERKLE,
        'if old_hash != old_root:\n        raise ProofError("wrong-old-root")',
        "tests/tlog/test_merkle.py::test_a_consistency_proof_holds_for_no_other_root_or_size",
    ),
    Mutation(
        "consistency-new-root",
        MERKLE,
        'if new_hash != new_root:\n        raise ProofError("wrong-root")',
        "tests/tlog/test_merkle.py::test_every_consistency_proof_is_that_of_the_definition_and_no_forgery_passes",
    ),
    Mutation(
        "consistency-same-size",
        MERKLE,
        'if old == new and old_root != new_root:\n        raise ProofError("wrong-root")',
        "tests/tlog/test_merkle.py::test_from_no_leaves_everything_is_consistent_without_proof",
    ),
    Mutation(
        "leaf-prefix",
        MERKLE,
        r'hashlib.sha256(b"\x00" + data)',
        "tests/tlog/test_merkle.py::test_roots_are_those_of_the_definition",
        "hashlib.sha256(data)",
    ),
    Mutation(
        "hash-length",
        MERKLE,
        "if set(map(len, hashes)) != {HASH_BYTES}:",
        "tests/tlog/test_merkle.py::test_it_refuses_hashes_of_another_length_even_if_they_hash_alike",
        "if False:",
    ),
    Mutation(
        "known-signature-cut-elsewhere",
        "icrstore/wire/ed25519.py",
        "(len(public_key), len(signature)) != (PUBLIC_BYTES, SIGNATURE_BYTES)",
        "tests/wire/test_ed25519.py::test_a_known_triple_that_is_cut_elsewhere_does_not_hold[1 bytes]",
        "False",
    ),
    Mutation(
        "known-signature-of-another-key",
        "icrstore/wire/ed25519.py",
        "hashlib.sha256(public_key + signature + message)",
        "tests/wire/test_ed25519.py::test_what_is_known_of_some_signatures_makes_no_other_triple_hold",
        "hashlib.sha256(signature + message)",
    ),
    Mutation(
        "note-signature",
        NOTE,
        "ed25519.verify(self.public, signature, message)",
        "tests/tlog/test_note.py::test_it_refuses_a_note_with_any_bit_of_it_flipped",
    ),
    Mutation(
        "note-unsigned",
        NOTE,
        'raise NoteError("unsigned")',
        "tests/tlog/test_note.py::test_the_specifications_example_parses_and_prints_again",
    ),
    Mutation(
        "checkpoint-log-signature",
        CHECKPOINT,
        'raise NoteError("unsigned")',
        "tests/tlog/test_checkpoint.py::test_it_refuses_a_cosigned_checkpoint_with_any_byte_changed",
    ),
    Mutation(
        "checkpoint-cosigned",
        CHECKPOINT,
        'raise NoteError("not-cosigned")',
        "tests/tlog/test_checkpoint.py::test_it_refuses_a_cosigned_checkpoint_with_any_byte_changed",
    ),
    Mutation(
        "checkpoint-witness-once",
        CHECKPOINT,
        "len({key.public for key in cosigned})",
        "tests/tlog/test_checkpoint.py::test_one_key_under_two_names_is_one_witness",
        "len(cosigned)",
    ),
    Mutation(
        "checkpoint-origin",
        CHECKPOINT,
        'raise NoteError("wrong-origin")',
        "tests/tlog/test_checkpoint.py::test_it_refuses_the_checkpoint_of_another_log_signed_by_the_same_key",
    ),
    Mutation(
        "witness-log-signature",
        WITNESS,
        'raise WitnessRefusal(403, "not-signed") from None',
        "tests/tlog/test_witness.py::test_it_refuses_a_checkpoint_that_its_log_did_not_sign",
    ),
    Mutation(
        "witness-known-log",
        WITNESS,
        'raise WitnessRefusal(404, "unknown-origin")',
        "tests/tlog/test_witness.py::test_it_knows_nothing_of_a_log_that_is_not_pinned",
        "return",
    ),
    Mutation(
        "witness-smaller-tree",
        WITNESS,
        'raise WitnessRefusal(400, "old-above-new")',
        "tests/tlog/test_witness.py::test_a_smaller_tree_is_never_cosigned",
    ),
    Mutation(
        "witness-stale",
        WITNESS,
        'raise WitnessRefusal(409, "stale", latest_size)',
        "tests/tlog/test_witness.py::test_a_stale_old_size_is_told_the_latest",
    ),
    Mutation(
        "witness-fork",
        WITNESS,
        'raise WitnessRefusal(409, "conflict", latest_size)',
        "tests/tlog/test_witness.py::test_another_root_of_the_same_size_is_a_conflict",
    ),
    Mutation(
        "witness-consistency",
        WITNESS,
        "verify_consistency(*sizes, request.proof, latest_root, checkpoint.root)",
        "tests/tlog/test_witness.py::test_a_rewritten_history_is_inconsistent",
    ),
)
