"""What the one-file verifier checks by itself, offline."""

from tests.mutate.mutation import Mutation

VERIFY = "icrstore/verify/icr_verify.py"

MUTATIONS = (
    Mutation(
        "verify-signature",
        VERIFY,
        "if not _is_signature(key, signature, pae):",
        "tests/verify/test_icr_verify.py::test_no_bit_of_a_signature_may_change",
        "if False:",
    ),
    Mutation(
        "verify-grant",
        VERIFY,
        'raise Wrong("a grant is not the authority\'s")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[another root granted]",
    ),
    Mutation(
        "verify-two-people",
        VERIFY,
        'raise Wrong("the applicant approved it")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[one person signs as applicant and approver]",
    ),
    Mutation(
        "verify-two-holders",
        VERIFY,
        ' and one["holder"] != other["holder"]',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[one person signs with two keys]",
        "",
    ),
    Mutation(
        "verify-role",
        VERIFY,
        'if grant["role"] == role\n            and',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the applicant asks]",
        "if",
    ),
    Mutation(
        "verify-warrant-of-request",
        VERIFY,
        'raise Wrong("it is of another warrant")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the request is of another warrant]",
    ),
    Mutation(
        "verify-in-force",
        VERIFY,
        'raise Wrong("the warrant was not in force when it was made")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the warrant had ended]",
    ),
    Mutation(
        "verify-scope",
        VERIFY,
        'raise Wrong(f"{name} reach outside the warrant")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[another account is asked for]",
    ),
    Mutation(
        "verify-hours",
        VERIFY,
        'raise Wrong("hours reach outside the warrant, or are out of order")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[a later hour is asked for]",
    ),
    Mutation(
        "verify-engine",
        VERIFY,
        'raise Wrong("no engine of the trust file signed it")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[a strange engine answers]",
    ),
    Mutation(
        "verify-answer-of-disclosure",
        VERIFY,
        'raise Wrong("it is of another answer")',
        "tests/verify/test_icr_verify.py::test_no_byte_of_the_package_may_change",
    ),
    Mutation(
        "verify-names",
        VERIFY,
        'raise Wrong("it names other accounts than the disclosure does")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the answer names one more]",
    ),
    Mutation(
        "verify-each-hour",
        VERIFY,
        'raise Wrong("it does not account for each hour that was asked for")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the answer leaves out an hour]",
    ),
    Mutation(
        "verify-log-signature",
        VERIFY,
        'raise Wrong("a checkpoint is not signed by the log\'s key")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[another log key signs]",
    ),
    Mutation(
        "verify-cosignature",
        VERIFY,
        "raise Wrong(\"a checkpoint's cosignature is not the other keeper's\")",
        "tests/verify/test_icr_verify.py::test_it_refuses_a_cosignature_at_another_time",
    ),
    Mutation(
        "verify-cosigned",
        VERIFY,
        'raise Wrong("the other keeper did not cosign a checkpoint")',
        "tests/verify/test_icr_verify.py::test_it_refuses_a_checkpoint_without_the_cosignature",
    ),
    Mutation(
        "verify-inclusion",
        VERIFY,
        'raise Wrong("a leaf is not in the log")',
        "tests/verify/test_icr_verify.py::test_it_refuses_a_proof_too_short_too_long_or_of_another_leaf",
    ),
    Mutation(
        "verify-split-view",
        VERIFY,
        'raise Wrong("two checkpoints of one size have different roots")',
        "tests/verify/test_icr_verify.py::test_it_refuses_a_split_view_at_one_size",
    ),
    Mutation(
        "verify-one-log",
        VERIFY,
        'raise Wrong("the checkpoints are of different logs")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the release is in another log]",
    ),
    Mutation(
        "verify-order",
        VERIFY,
        'raise Wrong("the leaves are not in the order commit, release, disclosure")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[the release was before the commit]",
    ),
    Mutation(
        "verify-leaf-twice",
        VERIFY,
        'raise Wrong("one leaf stands for two")',
        "tests/verify/test_icr_verify.py::test_it_refuses_one_leaf_that_stands_for_two",
    ),
    Mutation(
        "verify-private",
        VERIFY,
        'raise Wrong(f"a {step} private text differs in {name}")',
        "tests/verify/test_icr_verify.py::test_it_refuses_a_logged_disclosure_of_another_answer",
    ),
    Mutation(
        "verify-subject",
        VERIFY,
        'raise Wrong("an account is not the one that was logged")',
        "tests/verify/test_icr_verify.py::test_it_refuses_a_logged_subject_that_is_another_account",
    ),
    Mutation(
        "verify-due",
        VERIFY,
        'raise Wrong(f"a {step} leaf\'s notice is due on another day")',
        "tests/verify/test_icr_verify.py::test_it_refuses_when[a notice is never due]",
    ),
    Mutation(
        "verify-epochs",
        VERIFY,
        'raise Wrong("its epochs are not those that the keepers committed to")',
        "tests/verify/test_purposes.py::test_it_refuses_epochs_when",
    ),
    Mutation(
        "verify-complete-has-epochs",
        VERIFY,
        'raise Wrong("an hour without an epoch is called COMPLETE")',
        "tests/verify/test_purposes.py::test_it_refuses_epochs_when",
    ),
    Mutation(
        "verify-verdict",
        VERIFY,
        'raise Wrong("a verdict does not follow from the records and the coverage")',
        "tests/verify/test_purposes.py::test_it_refuses_a_verdict_on_a_network_when",
    ),
    Mutation(
        "verify-counts",
        VERIFY,
        'raise Wrong("its records are not as many as the disclosure says")',
        "tests/verify/test_purposes.py::test_it_refuses_counts_of_records_that_the_answer_does_not_bear_out",
    ),
    Mutation(
        "verify-one-key-one-keeper",
        VERIFY,
        'raise Wrong("one key of the trust file stands for two")',
        "tests/verify/test_icr_verify.py::test_it_refuses_a_trust_file_in_which_one_key_plays_both_witnesses",
    ),
    Mutation(
        "verify-access-subject",
        VERIFY,
        'raise Wrong("it is about another account")',
        "tests/verify/test_access.py::test_another_account_is_refused",
    ),
    Mutation(
        "verify-access-of-both",
        VERIFY,
        'raise Wrong("the keepers do not say the same")',
        "tests/verify/test_access.py::test_it_refuses_keepers_that_do_not_say_the_same[records]",
    ),
    Mutation(
        "verify-access-text",
        VERIFY,
        'raise Wrong("a leaf is of another private text")',
        "tests/verify/test_access.py::test_each_part_of_a_leaf_is_guarded_by_its_own_check[its nonce]",
    ),
    Mutation(
        "verify-access-request",
        VERIFY,
        'raise Wrong("the private texts are of another request or tenant")',
        "tests/verify/test_access.py::test_it_refuses_a_proof_when[another request]",
    ),
)
