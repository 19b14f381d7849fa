"""That each step asks for its checks, and that nobody believes a keeper, or a row, by its word."""

from tests.mutate.mutation import Mutation

COMMIT = "icrstore/keeper/commit.py"
CASES = "icrstore/keeper/cases.py"
RELEASE = "icrstore/keeper/release.py"
LEND = "icrstore/keeper/lend.py"
EPOCHS = "icrstore/keeper/epochs.py"
POLICIES = "icrstore/keeper/policies.py"
DEBTS = "icrstore/keeper/debts.py"
DISCLOSURE = "icrstore/keeper/disclosure.py"
PINS = "icrstore/keeper/pins.py"
RECOVERY = "icrstore/keeper/recovery.py"
CALLS = "icrstore/keeper/calls.py"
ANSWERS = "icrstore/keeper/answers.py"
COURIER = "icrstore/keeper/courier.py"
SCHEDULE = "icrstore/vault/schedule.py"
DELIVER = "icrstore/notices/deliver.py"
REPORT = "icrstore/notices/report.py"
PULL = "icrstore/notices/pull.py"
ENROLMENTS = "accounts/enrolments.py"
ACCOUNT_POLICIES = "accounts/policies.py"
LODGE = "icrstore/query/lodge.py"

EXPIRED = "tests/keeper/test_shred.py::test_every_call_that_reaches_the_day_is_refused_from_its_first_second"
AGAIN = "tests/keeper/test_release.py::test_shares_are_lent_again_for_a_day_and_to_a_living_key"
AHEAD = "tests/keeper/test_release.py::test_a_cosignature_by_a_clock_that_is_ahead_is_refused"
SCHEDULED = (
    "tests/vault/test_schedule.py::test_a_schedule_that_comes_is_this_keepers_and_this_tenants"
)
BACKFILL = "tests/attacks/test_backfill.py::test_only_the_tenants_root_lets_a_backfill_be_loaded"
CERTIFICATE = "tests/retention/test_certificates.py::test_a_certificate_that_its_log_does_not_hold_is_not_kept"

MUTATIONS = (
    Mutation(
        "commit-engine-key",
        COMMIT,
        "engine_key = _check_engine(call, caller, asked)",
        "tests/keeper/test_commit.py::test_it_refuses_an_engine_key_that_another_signed[operator]",
        "engine_key = EngineKey.parse(asked.engine_key)",
    ),
    Mutation(
        "commit-request",
        COMMIT,
        "request = check_request(asked.case.request, warrant, warrant_sha256, granted, call.now)",
        "tests/keeper/test_commit.py::test_it_refuses_another_account[operator]",
        "request = Request.parse(asked.case.request)",
    ),
    Mutation(
        "commit-again-retention",
        COMMIT,
        "check_retention(asked.case.request_said, call)",
        EXPIRED,
    ),
    Mutation(
        "commit-budgets",
        COMMIT,
        "check_budgets(call, asked.tenant, warrant_sha256, warrant, by)",
        "tests/attacks/test_budgets.py::test_an_authority_that_spent_a_day_stops_all_of_its_officers",
    ),
    Mutation(
        "case-warrant",
        CASES,
        "return granted, check_warrant(self.warrant, granted, call.now)",
        "tests/keeper/test_commit.py::test_it_refuses_one_person_in_both_parts[operator]",
        "return granted, unchecked",
    ),
    Mutation("case-retention", CASES, "check_retention(case.request_said, call)", EXPIRED),
    Mutation(
        "release-investigator-still-granted",
        RELEASE,
        'granted.signer(case.request, "investigator")',
        "tests/keeper/test_release.py::test_an_investigator_whose_grant_ended_since_the_commit_is_not_released",
    ),
    Mutation(
        "release-own-cosignature-of-now",
        RELEASE,
        "check_cosigned_now(call, cosigned_at, logged_at)",
        f"{AHEAD}[operator]",
    ),
    Mutation(
        "release-peers-cosignature-of-now",
        RELEASE,
        "check_cosigned_now(call, cosigned_at, row.committed_at)",
        f"{AHEAD}[oversight]",
    ),
    Mutation(
        "release-again-for-a-day",
        RELEASE,
        "check_repeatable(call, row.released_at)",
        AGAIN,
    ),
    Mutation(
        "lend-again-for-a-day",
        LEND,
        "check_repeatable(call, row.released_at)",
        AGAIN,
    ),
    Mutation(
        "disclosure-after-the-release",
        DISCLOSURE,
        'if row.state == "released":',
        "tests/keeper/test_release.py::test_a_disclosure_before_the_release_or_by_another_is_refused[operator]",
        'if row.state in ("committed", "released"):',
    ),
    Mutation(
        "epochs-of-a-sealer",
        EPOCHS,
        'raise Refused("no-sealer")',
        "tests/keeper/test_epochs.py::test_who_was_a_sealer_at_the_door_and_is_none_any_more_is_refused[operator]",
    ),
    Mutation(
        "policy-of-a-sealer",
        POLICIES,
        'raise Refused("no-sealer")',
        "tests/keeper/test_policies.py::test_who_was_a_sealer_at_the_door_and_is_none_any_more_brings_none[operator]",
    ),
    Mutation(
        "notice-tenant",
        DEBTS,
        'raise Refused("wrong-tenant")',
        "tests/keeper/test_debts.py::test_a_notice_that_is_not_true_is_refused[operator]",
    ),
    Mutation(
        "pin-stays",
        PINS,
        'raise Refused("already-pinned")',
        "tests/keeper/test_pins.py::test_another_key_for_a_pinned_name_needs_replace",
    ),
    Mutation(
        "clock-by-the-peer-alone",
        RECOVERY,
        'raise Refused("evidence-refused") from error',
        "tests/keeper/test_clock.py::test_nobody_but_the_peer_makes_an_agreement",
        "cosigned_at = int(keeper.clock().timestamp())",
    ),
    Mutation(
        "key-schedule-of-this-keeper",
        CALLS,
        "envelope.verify(self.identity.identity_key)",
        f"{SCHEDULED}[stranger-changes0]",
    ),
    Mutation(
        "key-schedule-of-this-tenant",
        CALLS,
        "if whose != (tenant, self.role, self.identity.instance):",
        f"{SCHEDULED}[own-changes1]",
        "if False:",
    ),
    Mutation(
        "key-schedule-on-file",
        SCHEDULE,
        "envelope.verify(keeper.identity.identity_key)",
        "tests/vault/test_schedule.py::test_a_schedule_that_the_keeper_did_not_sign_is_not_used[stranger]",
    ),
    Mutation(
        "shares-of-another-layout",
        ANSWERS,
        'raise EvidenceError("the shares are cut")',
        "tests/keeper/test_release.py::test_the_client_believes_no_shares_of_another_layout",
    ),
    Mutation(
        "certificate-in-its-log",
        COURIER,
        "if hashlib.sha256(private).digest() != lines.private_sha256:",
        f"{CERTIFICATE}[change3]",
        "if False:",
    ),
    Mutation(
        "debt-says-what-is-shown",
        "icrstore/keeper/telling.py",
        "_check_shown(said)",
        "tests/keeper/test_lying_debts.py::test_a_leaf_that_does_not_say_what_a_subscriber_is_shown_is_no_debt[request_sha256-None]",
    ),
    Mutation(
        "telling-of-our-own",
        REPORT,
        "made.verify(public)",
        "tests/notices/test_telling.py::test_a_telling_that_somebody_wrote_into_the_database_is_no_telling",
    ),
    Mutation(
        "telling-of-this-leaf",
        REPORT,
        "if (said.tenant, said.leaf) == (leaf.tenant_id, leaf.leaf):",
        "tests/notices/test_telling.py::test_another_leafs_telling_is_no_telling",
        "if True:",
    ),
    Mutation(
        "contact-that-was-loaded",
        DELIVER,
        "if to.mac(tenant, sealed, self.keys.lookup) != subscriber.contact_mac:",
        "tests/notices/test_subscribers.py::test_a_contact_that_nobody_loaded_gets_no_message_and_no_code",
        "if False:",
    ),
    Mutation(
        "notice-before-this-subscriber",
        DELIVER,
        'raise NotDeliverable("before-this-subscriber")',
        "tests/notices/test_subscribers.py::test_whoever_has_the_account_now_hears_nothing_of_the_one_before",
    ),
    Mutation(
        "code-is-digits",
        DELIVER,
        "if not CODE.fullmatch(code):",
        "tests/notices/test_sign_in.py::test_a_code_that_is_no_code_is_not_sent",
        "if False:",
    ),
    Mutation(
        "debt-marked-as-logged",
        PULL,
        "        and not (row.logged and debt.notice is None)\n",
        "tests/notices/test_rechecking.py::test_debts_that_somebody_marked_as_logged_are_told",
        "",
    ),
    Mutation(
        "debt-that-nobody-owes",
        PULL,
        "return int(rows.delete()[0])",
        "tests/notices/test_rechecking.py::test_rows_of_debts_that_no_keeper_owes_are_deleted",
        "return 0",
    ),
    Mutation(
        "token-expired",
        ENROLMENTS,
        "if invited.expires_at <= now:",
        "tests/api/test_enrolment.py::test_an_expired_token_is_refused",
        "if False:",
    ),
    Mutation(
        "token-once",
        ENROLMENTS,
        "if not unused.update(used_at=now):",
        "tests/api/test_enrolment.py::test_a_newer_token_ends_the_older_while_it_is_being_used",
        "unused.update(used_at=now)\n    if False:",
    ),
    Mutation(
        "backfill-tenant-at-web",
        ACCOUNT_POLICIES,
        "policy = Backfill.parse(envelope)\n    if policy.tenant != tenant.name:",
        BACKFILL,
        "policy = Backfill.parse(envelope)\n    if False:",
    ),
    Mutation(
        "backfill-valid-at-web",
        ACCOUNT_POLICIES,
        "policy.check_valid(now)",
        BACKFILL,
    ),
    Mutation(
        "policy-root-at-web",
        ACCOUNT_POLICIES,
        "envelope.verify(bytes(tenant.root_key))\n    policy = PoolPolicy",
        "tests/accounts/test_commands.py::test_what_is_no_policy_of_this_root_is_not_loaded",
        "policy = PoolPolicy",
    ),
    Mutation(
        "lodge-warrant",
        LODGE,
        "checked = check_warrant(warrant, granted, now)",
        "tests/api/test_investigators.py::test_a_warrant_half_signed_is_refused",
        "checked = claimed",
    ),
)
