"""How bytes are locked, found and proven, and how machines sign what they send."""

from tests.mutate.mutation import Mutation

EPOCH = "icrstore/seal/epoch.py"
ROWS = "icrstore/seal/rows.py"
MANIFEST = "icrstore/seal/manifest.py"
INTAKE = "icrstore/seal/intake.py"
UNPACKED = "icrstore/seal/unpacked.py"
SIGNATURES = "icrstore/wire/signatures.py"

MUTATIONS = (
    Mutation(
        "seal-context",
        EPOCH,
        'return enc(b"icr/v1/epoch-seal", epoch.encode(), role.encode("ascii"), u8(instance))',
        "tests/seal/test_epoch.py::test_a_seal_does_not_open_for_another_epoch",
        'return b"icr/v1/epoch-seal"',
    ),
    Mutation(
        "atom-length",
        EPOCH,
        'if len(atom) != 32:\n        raise EpochError("the seal does not open")',
        "tests/seal/test_epoch.py::test_what_is_not_32_bytes_is_no_atom",
    ),
    Mutation(
        "commitment-of-the-epoch",
        EPOCH,
        'return digest("atom-commit", epoch.encode(), role.encode("ascii"), atom)',
        "tests/seal/test_epoch.py::test_every_part_of_an_epoch_changes_its_name_and_its_commitments",
        'return digest("atom-commit", atom)',
    ),
    Mutation(
        "share-of-one-selector",
        EPOCH,
        "named = _SHARE[kind] + enc(selector)",
        "tests/seal/test_epoch.py::test_shares_differ_by_atom_kind_and_selector",
        "named = _SHARE[kind]",
    ),
    Mutation(
        "share-of-one-kind",
        EPOCH,
        "named = _SHARE[kind] + enc(selector)",
        "tests/seal/test_epoch.py::test_shares_differ_by_atom_kind_and_selector",
        "named = enc(selector)",
    ),
    Mutation(
        "row-place",
        ROWS,
        "return self._seg + label",
        "tests/seal/test_rows.py::test_the_epoch_and_the_label_are_bound_even_where_the_key_would_fit",
        'return b""',
    ),
    Mutation(
        "row-keys-of-both-roles",
        ROWS,
        "self._secret = operator_share + oversight_share",
        "tests/seal/test_rows.py::test_a_body_moved_elsewhere_does_not_open[oversight]",
        "self._secret = operator_share",
    ),
    Mutation(
        "row-chunk-missing",
        ROWS,
        'return\n                raise RowError("corrupted or tampered with")',
        "tests/seal/test_rows.py::test_a_list_that_misses_a_chunk_is_refused",
        "return\n                return",
    ),
    Mutation(
        "row-chunks-agree",
        ROWS,
        "if chunk and segment.last_chunk != last:",
        "tests/seal/test_rows.py::test_a_list_whose_chunks_disagree_about_the_last_is_refused",
        "if False:",
    ),
    Mutation(
        "row-chunk-number",
        ROWS,
        "if number != chunk or last < chunk or not 0 < records <= RECORDS_PER_CHUNK:",
        "tests/seal/test_rows.py::test_a_segment_that_contradicts_its_place_is_refused",
        "if last < chunk:",
    ),
    Mutation(
        "row-padding",
        ROWS,
        'if len(padded) < 4 or len(padded) != padme(end) or padded[end:].strip(b"\\0"):',
        "tests/seal/test_rows.py::test_unpad_refuses_every_other_padding",
        "if len(padded) < 4:",
    ),
    Mutation(
        "manifest-root",
        MANIFEST,
        'raise BucketError("the bucket does not belong to the epoch") from error',
        "tests/seal/test_manifest.py::test_a_proof_of_one_epoch_is_refused_under_the_root_of_another[1]",
    ),
    Mutation(
        "manifest-bucket",
        MANIFEST,
        'raise BucketError("the bucket does not answer for this label")',
        "tests/seal/test_manifest.py::test_only_the_bucket_that_answers_for_a_label_is_taken[65]",
    ),
    Mutation(
        "manifest-row",
        MANIFEST,
        'raise ManifestError("the row differs from the manifest")',
        "tests/seal/test_manifest.py::test_every_row_is_proven_present_and_never_absent[1]",
    ),
    Mutation(
        "manifest-order",
        MANIFEST,
        'raise ManifestError("the manifest is not in label order")',
        "tests/seal/test_manifest.py::test_two_neighbours_swapped_make_no_manifest",
    ),
    Mutation(
        "http-covered",
        SIGNATURES,
        'raise SignatureRefused("not-covered")',
        "tests/wire/test_signatures.py::test_trap_a_swapped_body_with_its_own_digest_beside_the_signature_does_not_pass",
    ),
    Mutation(
        "http-time",
        SIGNATURES,
        'if abs(now_unix_seconds - created) > max_clock_skew_seconds:\n        raise SignatureRefused("wrong-time")',
        "tests/wire/test_signatures.py::test_it_refuses_a_request_from_another_time",
    ),
    Mutation(
        "http-expiry",
        SIGNATURES,
        "if expires is not None and now_unix_seconds >= int(expires):",
        "tests/wire/test_signatures.py::test_it_honours_an_expiry",
        "if False:",
    ),
    Mutation(
        "http-body",
        SIGNATURES,
        "verify_content_digest(signed, sha256)",
        "tests/wire/test_signatures.py::test_trap_a_swapped_body_does_not_pass",
    ),
    Mutation(
        "http-no-body",
        SIGNATURES,
        'raise SignatureRefused("wrong-digest")',
        "tests/wire/test_signatures.py::test_trap_a_body_smuggled_into_a_request_without_one_does_not_pass",
    ),
    Mutation(
        "http-header-twice",
        SIGNATURES,
        'raise SignatureRefused("duplicate-header")',
        "tests/wire/test_signatures.py::test_trap_a_header_that_came_twice_is_refused",
    ),
    Mutation(
        "http-one-signature",
        SIGNATURES,
        'raise SignatureRefused("ambiguous-signature")',
        "tests/wire/test_signatures.py::test_trap_two_signatures_with_our_tag_are_refused",
    ),
    Mutation(
        "http-parameters",
        SIGNATURES,
        'raise SignatureRefused("missing-parameter")',
        "tests/wire/test_signatures.py::test_trap_parameters_that_the_library_lets_be_absent",
    ),
    Mutation(
        "batch-context",
        INTAKE,
        'return enc(b"icr/v1/batch", text(tenant), text(collector), batch_id)',
        "tests/vault/test_sealer.py::test_a_batch_sealed_to_another_key_or_as_another_batch_does_not_open",
        'return b"icr/v1/batch"',
    ),
    Mutation(
        "code-of-what-was-named",
        UNPACKED,
        "(named[np.cumsum(rows) - 1] != until).any() or (made > named).any()",
        "tests/seal/test_codec.py::test_a_code_names_what_was_named_or_the_next",
        "(named[np.cumsum(rows) - 1] != until).any()",
    ),
    Mutation(
        "all-of-a-dictionary-is-named",
        UNPACKED,
        "(named[np.cumsum(rows) - 1] != until).any() or (made > named).any()",
        "tests/seal/test_codec.py::test_a_code_names_what_was_named_or_the_next",
        "(made > named).any()",
    ),
    Mutation(
        "plane-of-one-kind",
        UNPACKED,
        "if plain & packed or (plain | packed) >> planes",
        "tests/seal/test_unpacked.py::test_a_plane_is_plain_or_packed_and_never_both",
        "if (plain | packed) >> planes",
    ),
)
