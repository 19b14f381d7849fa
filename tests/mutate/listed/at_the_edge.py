"""What a collector checks before it lets its only copy go."""

from tests.mutate.mutation import Mutation

SPOOL = "icrstore/collector/spool.py"
PUSH = "icrstore/collector/push.py"

MUTATIONS = (
    Mutation(
        "spool-bound-to-its-batch",
        SPOOL,
        "return self._key.decrypt(locked[:_NONCE_BYTES], locked[_NONCE_BYTES:], enc(*place))",
        "tests/collector/test_spool.py::test_a_body_opens_only_with_its_secret_and_under_its_id",
        "return locked[_NONCE_BYTES:]",
    ),
    Mutation(
        "spool-body-kept",
        SPOOL,
        "CHECK ((body IS NULL) = (state IN ('sealed', 'split'))),",
        "tests/collector/test_spool.py::test_a_body_cannot_go_without_a_sealed_receipt",
        "",
    ),
    Mutation(
        "spool-pinned",
        SPOOL,
        "if pinned != value:",
        "tests/collector/test_spool.py::test_what_was_pinned_stays",
        "if False:",
    ),
    Mutation(
        "push-intake-signature",
        PUSH,
        "signed.verify(sealer_key)",
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
    Mutation(
        "push-intake-hour",
        PUSH,
        'raise StatementError("wrong-hour", "intake_key")',
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
    Mutation(
        "push-receipt-signature",
        PUSH,
        "signed.verify(key)",
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
    Mutation(
        "push-receipt-batch",
        PUSH,
        'raise _unbelievable("a receipt is of another batch")',
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
    Mutation(
        "push-receipt-body",
        PUSH,
        'raise _unbelievable("the receipt is of another body")',
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
    Mutation(
        "push-sealed-body",
        PUSH,
        'raise _unbelievable("the sealed receipt is of another body")',
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
    Mutation(
        "push-every-record",
        PUSH,
        'raise _unbelievable("the sealed receipt does not account for every record")',
        "tests/collector/test_push.py::test_what_cannot_be_believed_stops_the_push_and_deletes_nothing",
    ),
)
