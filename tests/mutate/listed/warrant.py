"""Who may ask what: signatures, roles, times and scope, as keepers, web and engine check them."""

from tests.mutate.mutation import Mutation

AUTHORITY = "icrstore/warrant/authority.py"
SCOPE = "icrstore/warrant/scope.py"
DSSE = "icrstore/warrant/dsse.py"
STRICT = "icrstore/warrant/strict.py"

MUTATIONS = (
    Mutation(
        "grant-signature",
        AUTHORITY,
        "envelope.verify(root)",
        "tests/warrant/test_authority.py::test_a_grant_of_another_root_is_refused",
    ),
    Mutation(
        "grant-issuer",
        AUTHORITY,
        'raise StatementError("wrong-issuer", "grant")',
        "tests/warrant/test_authority.py::test_a_grant_of_another_issuer_is_refused_even_under_the_same_root",
    ),
    Mutation(
        "grant-in-force",
        AUTHORITY,
        "if grant.not_before - SKEW <= now < grant.not_after:",
        "tests/warrant/test_authority.py::test_a_grant_holds_from_its_beginning_to_before_its_end",
        "if True:",
    ),
    Mutation(
        "grant-role",
        AUTHORITY,
        "if g.role == role and key_id(g.key) in named]",
        "tests/warrant/test_authority.py::test_a_grant_of_oversight_signs_no_warrant_and_no_request",
        "if key_id(g.key) in named]",
    ),
    Mutation(
        "grant-role-of-keys",
        AUTHORITY,
        "if grant.role == role]",
        "tests/keeper/test_epochs.py::test_a_collector_whom_the_tenant_vouches_for_is_no_sealer",
        "]",
    ),
    Mutation(
        "signer-signature",
        AUTHORITY,
        "envelope.verify(grant.key)",
        "tests/warrant/test_authority.py::test_one_false_signature_is_enough_to_refuse",
    ),
    Mutation(
        "warrant-two-people",
        AUTHORITY,
        'raise StatementError("applicant-is-approver", "warrant")',
        "tests/warrant/test_authority.py::test_one_key_under_two_grants_is_not_two_people",
    ),
    Mutation(
        "warrant-two-holders",
        AUTHORITY,
        " and one.holder != other.holder",
        "tests/warrant/test_authority.py::test_one_person_with_two_keys_is_not_two_people",
        "",
    ),
    Mutation(
        "warrant-authority",
        AUTHORITY,
        'raise StatementError("wrong-authority", "authority")',
        "tests/warrant/test_authority.py::test_a_warrant_of_another_authority_is_refused_though_its_people_signed",
    ),
    Mutation(
        "warrant-begun",
        AUTHORITY,
        'raise StatementError("not-yet-valid", "warrant")',
        "tests/warrant/test_authority.py::test_a_warrant_not_in_force_is_refused",
    ),
    Mutation(
        "warrant-ended",
        AUTHORITY,
        'raise StatementError("expired", "warrant")',
        "tests/warrant/test_authority.py::test_a_warrant_not_in_force_is_refused",
    ),
    Mutation(
        "request-investigator",
        AUTHORITY,
        'granted.signer(envelope, "investigator")',
        "tests/warrant/test_authority.py::test_a_grant_of_oversight_signs_no_warrant_and_no_request",
    ),
    Mutation(
        "request-warrant",
        AUTHORITY,
        'raise StatementError("wrong-warrant", "request")',
        "tests/warrant/test_authority.py::test_a_request_names_its_own_warrant",
    ),
    Mutation(
        "request-recent",
        AUTHORITY,
        'raise StatementError("not-recent", "created")',
        "tests/warrant/test_authority.py::test_a_request_that_is_not_recent_is_refused",
    ),
    Mutation(
        "request-within-warrant",
        AUTHORITY,
        "check_within(request, warrant)",
        "tests/warrant/test_authority.py::test_a_request_outside_the_hours_of_its_warrant_is_refused",
    ),
    Mutation(
        "engine-key-signature",
        AUTHORITY,
        "envelope.verify(engines[made.engine])",
        "tests/warrant/test_authority.py::test_an_engine_key_that_the_engine_did_not_sign_is_refused",
    ),
    Mutation(
        "engine-key-life",
        AUTHORITY,
        'raise StatementError("expired", "engine-key")',
        "tests/warrant/test_authority.py::test_any_other_engine_key_is_refused",
    ),
    Mutation(
        "engine-key-tenant",
        AUTHORITY,
        'raise StatementError("wrong-tenant", "engine-key")',
        "tests/warrant/test_authority.py::test_any_other_engine_key_is_refused",
    ),
    Mutation(
        "scope-selectors",
        SCOPE,
        'raise StatementError("outside-the-warrant", "selectors")',
        "tests/warrant/test_scope.py::test_another_selector_is_refused",
    ),
    Mutation(
        "scope-targets",
        SCOPE,
        'raise StatementError("outside-the-warrant", "targets")',
        "tests/warrant/test_scope.py::test_another_target_is_refused",
    ),
    Mutation(
        "scope-purpose",
        SCOPE,
        'raise StatementError("does-not-fit-the-purpose", "targets")',
        "tests/warrant/test_scope.py::test_a_request_cannot_turn_one_purpose_into_another",
    ),
    Mutation(
        "scope-hours",
        SCOPE,
        'raise StatementError("outside-the-warrant", "hours")',
        "tests/warrant/test_scope.py::test_one_hour_outside_is_refused",
    ),
    Mutation(
        "scope-tolerance",
        SCOPE,
        'raise StatementError("outside-the-hours", "selectors")',
        "tests/warrant/test_scope.py::test_the_tolerance_of_a_selector_stays_inside_the_hours",
    ),
    Mutation(
        "scope-names",
        SCOPE,
        'raise StatementError("too-many-names", "selectors")',
        "tests/warrant/test_scope.py::test_no_more_may_be_asked_than_one_disclosure_can_name",
    ),
    Mutation(
        "dsse-signature",
        DSSE,
        "ed25519.verify(public_key, signature.sig, pae(self.kind, self.payload))",
        "tests/warrant/test_dsse.py::test_every_flipped_bit_of_the_payload_is_found",
    ),
    Mutation(
        "dsse-kind",
        DSSE,
        'raise StatementError("wrong-kind", "payloadType")',
        "tests/warrant/test_dsse.py::test_a_statement_of_one_kind_is_none_of_another",
    ),
    Mutation(
        "dsse-one-signature-a-key",
        DSSE,
        'raise StatementError("duplicate-signature", "signatures")',
        "tests/warrant/test_dsse.py::test_one_key_signs_once",
    ),
    Mutation(
        "strict-duplicate-key",
        STRICT,
        'raise ValueError("duplicate key")',
        "tests/warrant/test_strict.py::test_a_key_stands_once_at_every_depth",
    ),
    Mutation(
        "strict-unknown-field",
        STRICT,
        'for name in self._left:\n            self._refuse("not-supported", name)',
        "tests/warrant/test_strict.py::test_an_unread_field_is_refused_and_an_odd_name_is_not_repeated",
    ),
    Mutation(
        "strict-float",
        STRICT,
        'raise ValueError("not an integer")',
        "tests/warrant/test_strict.py::test_a_number_is_an_integer_in_digits",
        "return 0",
    ),
    Mutation(
        "strict-offset",
        STRICT,
        'self._refuse("time-without-offset", name)',
        "tests/warrant/test_strict.py::test_a_time_has_one_shape_and_an_offset",
    ),
    Mutation(
        "strict-nfc",
        STRICT,
        'self._refuse("not-nfc", name)',
        "tests/warrant/test_strict.py::test_a_text_is_nfc",
    ),
)
