"""What a root takes back, and what it lets in late: revocations and backfills."""

from tests.mutate.mutation import Mutation

REVOCATIONS = "icrstore/keeper/revocations.py"
COMMIT = "icrstore/keeper/commit.py"
CASES = "icrstore/keeper/cases.py"
POLICIES = "icrstore/keeper/policies.py"
PRINCIPALS = "accounts/principals.py"
WEB = "accounts/revocations.py"
EPOCHS = "icrstore/keeper/epochs.py"
BACKFILL = "icrstore/warrant/backfill.py"
SEALERS = "icrstore/vault/backfills.py"

NOTHING_GOES_ON = (
    "tests/attacks/test_revoked.py::test_nothing_goes_on_once_a_key_that_signed_is_revoked"
)
ONLY_THE_ROOT = (
    "tests/attacks/test_revoked.py::test_only_the_root_that_granted_revokes_and_only_from_now_on"
)
ITS_HOURS = "tests/attacks/test_backfill.py::test_with_it_exactly_its_hours_are_logged_and_found"
ITS_COLLECTOR = "tests/attacks/test_backfill.py::test_the_sealer_takes_exactly_its_hours_of_exactly_its_collector"
IT_ENDS = "tests/attacks/test_backfill.py::test_a_backfill_ends_and_is_never_for_years"

MUTATIONS = (
    Mutation("revocation-root", REVOCATIONS, "envelope.verify(root)", ONLY_THE_ROOT),
    Mutation(
        "revocation-issuer",
        REVOCATIONS,
        'raise Refused("unknown-issuer")',
        ONLY_THE_ROOT,
        "return tenant.root_key",
    ),
    Mutation("revocation-not-yet", REVOCATIONS, 'raise Refused("not-yet-revoked")', ONLY_THE_ROOT),
    Mutation(
        "revoked-at-commit",
        COMMIT,
        "asked.case.check_unrevoked(call, asked.tenant)",
        f"{NOTHING_GOES_ON}[investigator]",
    ),
    # Release, lend and disclosure find their case by this.
    Mutation(
        "revoked-since-the-commit",
        CASES,
        "case.check_unrevoked(call, row.tenant)",
        f"{NOTHING_GOES_ON}[applicant]",
    ),
    Mutation(
        "root-replaced-since-the-commit",
        CASES,
        "case.check_root(call, row.tenant)",
        "tests/attacks/test_revoked.py::test_what_is_under_way_ends_with_the_root_that_granted_it[lend]",
    ),
    Mutation(
        "revoked-who-signed-the-warrant",
        CASES,
        "for each in (self.warrant, self.request)",
        f"{NOTHING_GOES_ON}[approver]",
        "for each in (self.request,)",
    ),
    Mutation(
        "revoked-who-asks",
        CASES,
        "for each in (self.warrant, self.request)",
        f"{NOTHING_GOES_ON}[investigator]",
        "for each in (self.warrant,)",
    ),
    Mutation(
        "revoked-by-that-root-alone",
        "icrstore/keeper/queries/revocations.py",
        '"SELECT key FROM revocation WHERE tenant = ? AND root = ?"',
        "tests/attacks/test_revoked.py::test_who_was_not_revoked_goes_on",
        '"SELECT key FROM revocation WHERE tenant = ? AND ? NOTNULL"',
    ),
    # Epochs and policies are taken of the same sealers.
    Mutation(
        "revoked-sealer",
        POLICIES,
        "return granted.without(queries.revoked_by(tx, tenant.name, tenant.root_key))",
        "tests/attacks/test_revoked.py::test_a_revoked_sealer_stops_at_once_and_what_it_sealed_opens",
        "return granted",
    ),
    Mutation(
        "revoked-at-web",
        PRINCIPALS,
        "and (issuer, key_id(grant.key)) not in revoked:",
        "tests/accounts/test_principals.py::test_whose_key_was_revoked_is_known_by_no_grant",
        ":",
    ),
    Mutation(
        "revoked-is-forgotten-at-web",
        WEB,
        "Principal.objects.filter(**of_key, authority=asked.issuer).delete()",
        "tests/accounts/test_principals.py::test_whose_key_was_revoked_is_known_by_no_grant",
    ),
    Mutation(
        "revocation-root-at-web",
        WEB,
        "envelope.verify(_root_of(tenant, asked.issuer))",
        "tests/accounts/test_principals.py::test_nobody_is_revoked_but_by_the_root_that_granted",
        "_root_of(tenant, asked.issuer)",
    ),
    Mutation(
        "backfill-hour",
        "icrstore/keeper/queries/backfills.py",
        "first <= ? AND end > ? AND",
        ITS_HOURS,
        "? NOTNULL AND ? NOTNULL AND",
    ),
    Mutation(
        "backfill-over",
        "icrstore/keeper/queries/backfills.py",
        "valid_to > ?",
        IT_ENDS,
        "? NOTNULL",
    ),
    Mutation(
        "backfill-never-for-years",
        BACKFILL,
        'raise StatementError("valid-too-long", "valid_to")',
        IT_ENDS,
    ),
    Mutation("backfill-valid", POLICIES, "policy.check_valid(call.now)", IT_ENDS),
    Mutation(
        "backfill-no-expired-day",
        EPOCHS,
        'raise Refused("expired-day")',
        "tests/attacks/test_backfill.py::test_no_backfill_brings_an_expired_day_back",
    ),
    Mutation(
        "backfill-root-at-web",
        "accounts/policies.py",
        "envelope.verify(bytes(tenant.root_key))\n    policy = Backfill",
        "tests/attacks/test_backfill.py::test_only_the_tenants_root_lets_a_backfill_be_loaded",
        "policy = Backfill",
    ),
    Mutation(
        "backfill-of-its-collector",
        SEALERS,
        "return self.logged.get(batch.collector.name, ())",
        ITS_COLLECTOR,
        "return [span for spans in self.logged.values() for span in spans]",
    ),
    Mutation(
        "backfill-ends-sooner-for-sealers",
        SEALERS,
        "policy.valid_to > now + SOONEST",
        ITS_COLLECTOR,
        "policy.valid_to",
    ),
    Mutation(
        "backfill-by-the-keepers-word",
        SEALERS,
        "if not _NONE.isdisjoint(said):",
        "tests/attacks/test_backfill.py::test_who_writes_the_database_lets_no_old_record_in",
        "if False:",
    ),
    Mutation(
        "backfill-asked-anew",
        SEALERS,
        ", is_asked_anew=True",
        "tests/attacks/test_backfill.py::test_who_writes_the_database_lets_no_old_record_in",
        "",
    ),
    Mutation(
        "backfill-waits-for-every-keeper",
        SEALERS,
        "all(word == LOGGED for word in said)",
        "tests/attacks/test_backfill.py::test_old_records_wait_for_a_keeper_that_is_down_and_others_do_not",
        "any(word == LOGGED for word in said)",
    ),
)
