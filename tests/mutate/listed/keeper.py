"""What a keeper checks by itself before it logs, releases, lends, takes an epoch or destroys."""

from tests.mutate.mutation import Mutation

BUDGETS = "icrstore/keeper/budgets.py"
COMMIT = "icrstore/keeper/commit.py"
CASES = "icrstore/keeper/cases.py"
RELEASE = "icrstore/keeper/release.py"
EXPIRY = "icrstore/keeper/expiry.py"
LEND = "icrstore/keeper/lend.py"
EVIDENCE = "icrstore/keeper/evidence.py"
DISCLOSURE = "icrstore/keeper/disclosure.py"
DEBTS = "icrstore/keeper/debts.py"
EPOCHS = "icrstore/keeper/epochs.py"
POLICIES = "icrstore/keeper/policies.py"
WITNESS = "icrstore/keeper/witness.py"
CLOCK = "icrstore/keeper/clock.py"
UPKEEP = "icrstore/keeper/upkeep.py"
DOORS = "icrstore/keeper/doors.py"
SERVER = "icrstore/keeper/server.py"
TRUSTED = "icrstore/keeper/queries/trusted.py"
NAMES = "icrstore/keeper/names.py"
STORE = "icrstore/keeper/store.py"
CARRY = "icrstore/keeper/carry.py"

MUTATIONS = (
    Mutation(
        "keeper-budget",
        BUDGETS,
        'raise Refused("budget-spent")',
        "tests/keeper/test_commit.py::test_a_budget_holds_exactly_under_twenty_commits_at_once[operator]",
    ),
    Mutation(
        "commit-repeat-engine",
        COMMIT,
        'raise Refused("another-engine", 409)',
        "tests/keeper/test_commit.py::test_a_repeat_by_another_engine_is_refused[operator]",
    ),
    Mutation(
        "commit-repeat-key",
        COMMIT,
        'raise Refused("another-engine-key", 409)',
        "tests/keeper/test_commit.py::test_a_repeat_with_another_engine_key_is_refused[operator]",
    ),
    Mutation(
        "case-tenant",
        CASES,
        'raise Refused("wrong-tenant")',
        "tests/keeper/test_commit.py::test_it_refuses_a_warrant_for_another_tenant[operator]",
    ),
    Mutation(
        "retention-expired-day",
        CASES,
        'raise Refused("expired-day")',
        "tests/keeper/test_commit.py::test_it_refuses_a_day_from_the_365th_on[365-expired-day-operator]",
    ),
    Mutation(
        "retention-future-hour",
        CASES,
        'raise Refused("future-hour")',
        "tests/keeper/test_commit.py::test_it_refuses_an_hour_that_has_not_begun[operator]",
    ),
    Mutation(
        "keeper-engine-pinned",
        TRUSTED,
        'raise Refused("unknown-engine")',
        "tests/attacks/test_cast_keepers.py::test_a_request_of_another_provider_looks_like_none[away engine-/v1/release]",
        'row = ("engine-1",)',
    ),
    Mutation(
        "release-own-evidence",
        RELEASE,
        "check_own_evidence(call, row, told, own, row.commit_leaf, row.committed_at)",
        "tests/keeper/test_release.py::test_it_releases_nothing_on_spoilt_evidence_of_either_log[unsigned_by_witness-operator-operator]",
    ),
    Mutation(
        "release-peer-evidence",
        RELEASE,
        "_check_peer_evidence(call, row, told, asked.evidence[call.keeper.peer_role])",
        "tests/keeper/test_release.py::test_it_releases_nothing_on_spoilt_evidence_of_either_log[unsigned_by_witness-operator-oversight]",
    ),
    Mutation(
        "release-warrant-in-force",
        RELEASE,
        'granted, _ = case.granted(call, row.tenant)\n    granted.signer(case.request, "investigator")',
        "tests/keeper/test_release.py::test_a_warrant_that_ended_since_the_commit_is_not_released",
    ),
    Mutation(
        "release-own-leaves-stored",
        RELEASE,
        "if checkpoint.origin != ledger.origin or not _are_stored(ledger, evidence, first_leaf):",
        "tests/keeper/test_release.py::test_it_releases_nothing_on_its_own_word_of_before_it_was_put_back[operator]",
        "if False:",
    ),
    Mutation(
        "release-cosignature-time",
        RELEASE,
        'raise Refused("cosignature-time")',
        "tests/keeper/test_release.py::test_a_cosignature_by_a_clock_that_is_ahead_is_refused[operator]",
    ),
    Mutation(
        "release-in-15-minutes",
        EXPIRY,
        'if row.state == "committed" and row.committed_at < _first_in_time(call):',
        "tests/keeper/test_release.py::test_a_commit_that_nobody_released_in_time_ends",
        "if False:",
    ),
    Mutation(
        "release-repeat-for-a-day",
        RELEASE,
        'raise Refused("release-over")',
        "tests/keeper/test_release.py::test_shares_are_lent_again_for_a_day_and_to_a_living_key",
    ),
    Mutation(
        "keeper-another-engine",
        CASES,
        'raise Refused("another-engine")',
        "tests/keeper/test_release.py::test_a_release_and_a_loan_may_be_repeated_by_the_same_engine_alone[operator]",
    ),
    Mutation(
        "lend-released",
        LEND,
        'raise Refused("not-released")',
        "tests/keeper/test_release.py::test_it_lends_nothing_before_the_release[operator]",
        "return",
    ),
    Mutation(
        "lend-engine-key",
        LEND,
        'raise Refused("engine-key-expired")',
        "tests/keeper/test_release.py::test_shares_are_lent_again_for_a_day_and_to_a_living_key",
    ),
    Mutation(
        "lend-own-release-cosigned",
        LEND,
        'cosigned_at = check_own_evidence(\n        call, row, case.told("release"), evidence, row.release_leaf, row.released_at\n    )',
        "tests/keeper/test_release.py::test_it_lends_nothing_on_a_release_that_its_peer_did_not_cosign[operator]",
        "cosigned_at = call.unix_seconds",
    ),
    Mutation(
        "lend-clock",
        LEND,
        'raise Refused("clock-doubtful", 503)',
        "tests/keeper/test_clock.py::test_a_doubtful_clock_lends_nothing_against_an_old_cosignature",
    ),
    Mutation(
        "lend-owes-a-notice",
        LEND,
        "owe_release(call, row, case)\n    identity",
        "tests/keeper/test_debts.py::test_every_account_that_was_asked_for_and_named_is_due_once_shares_were_lent[operator]",
        "identity",
    ),
    Mutation(
        "evidence-one-leaf-each",
        EVIDENCE,
        'raise EvidenceError("not one leaf for each")',
        "tests/keeper/test_evidence.py::test_nothing_is_shown_by[a leaf too many]",
    ),
    Mutation(
        "evidence-leaf-twice",
        EVIDENCE,
        'raise EvidenceError("one leaf shown twice")',
        "tests/keeper/test_evidence.py::test_nothing_is_shown_by[one leaf twice]",
    ),
    Mutation(
        "evidence-inclusion",
        EVIDENCE,
        "verify_inclusion(hashed, leaf.index, checkpoint.size, leaf.proof, checkpoint.root)",
        "tests/keeper/test_evidence.py::test_nothing_is_shown_by[a leaf at another place]",
    ),
    Mutation(
        "evidence-private-text",
        EVIDENCE,
        "check_told(leaf.text, leaf.private, told)",
        "tests/keeper/test_release.py::test_it_releases_nothing_on_spoilt_evidence_of_either_log[private_text_changed-operator-oversight]",
    ),
    Mutation(
        "evidence-log-of-the-keeper",
        EVIDENCE,
        'raise EvidenceError("not that keeper\'s log")',
        "tests/keeper/test_evidence.py::test_nothing_is_shown_by[a log under another name]",
    ),
    Mutation(
        "disclosure-signature",
        DISCLOSURE,
        "envelope.verify(row.engine_identity)",
        "tests/keeper/test_release.py::test_a_disclosure_before_the_release_or_by_another_is_refused[operator]",
    ),
    Mutation(
        "disclosure-once",
        DISCLOSURE,
        'raise Refused("answer-differs", 409)',
        "tests/keeper/test_release.py::test_a_disclosure_is_logged_once_and_for_one_answer",
    ),
    Mutation(
        "disclosure-names-asked",
        DISCLOSURE,
        'raise Refused("account-not-asked")',
        "tests/keeper/test_debts.py::test_an_engine_names_nobody_who_was_not_asked_for",
    ),
    Mutation(
        "disclosure-names-limit",
        DISCLOSURE,
        'raise Refused("too-many-names")',
        "tests/keeper/test_debts.py::test_an_engine_names_no_more_than_the_warrant_allows[0-1-1]",
    ),
    Mutation(
        "notice-signature",
        DEBTS,
        "envelope.verify(caller)",
        "tests/keeper/test_debts.py::test_a_notice_that_is_not_true_is_refused[operator]",
    ),
    Mutation(
        "notice-leaf",
        DEBTS,
        'raise Refused("another-leaf")',
        "tests/keeper/test_debts.py::test_a_notice_that_is_not_true_is_refused[operator]",
    ),
    Mutation(
        "notice-time",
        DEBTS,
        'raise Refused("notice-time")',
        "tests/keeper/test_debts.py::test_a_notice_that_is_not_true_is_refused[operator]",
    ),
    Mutation(
        "epoch-sealer",
        EPOCHS,
        'office.granted.signer(sealed.envelope, "sealer")',
        "tests/keeper/test_epochs.py::test_it_refuses_an_epoch_that_an_outsider_signed[operator]",
    ),
    Mutation(
        "epoch-differs",
        EPOCHS,
        'raise Refused("epoch-differs")',
        "tests/keeper/test_epochs.py::test_it_refuses_another_statement_of_a_kept_epoch[operator]",
        "return",
    ),
    Mutation(
        "epoch-future-hour",
        EPOCHS,
        'raise Refused("future-hour")',
        "tests/keeper/test_epochs.py::test_it_takes_hours_up_to_96_old[-1-future-hour-operator]",
    ),
    Mutation(
        "epoch-old-hour",
        EPOCHS,
        'raise Refused("hour-too-old")',
        "tests/keeper/test_epochs.py::test_it_takes_hours_up_to_96_old[97-hour-too-old-operator]",
    ),
    Mutation(
        "epoch-pools",
        EPOCHS,
        'raise Refused("unknown-pools")',
        "tests/keeper/test_epochs.py::test_it_refuses_other_pools[operator]",
    ),
    Mutation(
        "epoch-seal-named",
        EPOCHS,
        'raise Refused("wrong-seal")',
        "tests/keeper/test_epochs.py::test_it_refuses_a_seal_that_the_statement_does_not_name[operator]",
    ),
    Mutation(
        "epoch-commitment",
        EPOCHS,
        'raise Refused("wrong-commitment")',
        "tests/keeper/test_epochs.py::test_it_refuses_an_atom_that_was_not_committed_to[operator]",
    ),
    Mutation(
        "epoch-one-tenant",
        EPOCHS,
        'raise Refused("wrong-tenant", 400)',
        "tests/keeper/test_epochs.py::test_epochs_of_two_tenants_are_not_one_call[operator]",
    ),
    Mutation(
        "policy-root",
        POLICIES,
        "envelope.verify(tenant.root_key)",
        "tests/keeper/test_policies.py::test_only_the_tenants_root_rules[stranger-operator]",
    ),
    Mutation(
        "policy-past-hour",
        POLICIES,
        'raise Refused("past-hour")',
        "tests/keeper/test_policies.py::test_an_hour_that_has_begun_is_past[operator]",
    ),
    Mutation(
        "policy-takes-no-place",
        POLICIES,
        'raise Refused("policy-differs")',
        "tests/keeper/test_policies.py::test_no_policy_takes_anothers_place[operator]",
        "return",
    ),
    Mutation(
        "witness-pinned-log",
        WITNESS,
        "if is_log_of(p.name, origin)), None)",
        "tests/keeper/test_witness.py::test_it_cosigns_only_the_logs_of_its_peer[operator]",
        "), None)",
    ),
    Mutation(
        "witness-remembers",
        WITNESS,
        "remember(tx, made, _with(request.note, log_key, cosignature))",
        "tests/keeper/test_witness.py::test_it_never_cosigns_a_fork_also_after_a_restart[operator]",
    ),
    Mutation(
        "clock-behind",
        CLOCK,
        'raise Refused("clock-behind", 503)',
        "tests/keeper/test_clock.py::test_a_clock_that_is_off_after_a_restart_refuses_and_destroys_nothing[ahead2-clock-behind-operator]",
    ),
    Mutation(
        "clock-ahead",
        CLOCK,
        'raise Refused("clock-ahead", 503)',
        "tests/keeper/test_clock.py::test_a_clock_that_is_off_after_a_restart_refuses_and_destroys_nothing[ahead0-clock-ahead-operator]",
    ),
    Mutation(
        "clock-stepped",
        CLOCK,
        'raise Refused("clock-stepped", 503)',
        "tests/keeper/test_clock.py::test_a_clock_that_was_set_while_the_host_ran_is_found_out[step0]",
    ),
    Mutation(
        "clock-peer-agrees",
        CLOCK,
        "if not _agree(unix_seconds, cosigned_at):",
        "tests/keeper/test_clock.py::test_a_peers_time_that_differs_is_no_agreement[86400]",
        "if False:",
    ),
    Mutation(
        "clock-confirmed-is-doubted",
        CLOCK,
        "queries.trust_clock(tx, 0)",
        "tests/keeper/test_clock.py::test_a_step_of_hours_that_was_confirmed_destroys_nothing_alone",
    ),
    Mutation(
        "keeper-body-digest",
        DOORS,
        "verified.check_body(hashlib.sha256(knock.body).digest())",
        "tests/keeper/test_server.py::test_calls_that_are_not_signed_as_they_must_be_are_refused",
    ),
    Mutation(
        "keeper-body-length",
        SERVER,
        'raise Refused("body-too-large", 413)',
        "tests/keeper/test_server.py::test_sizes_have_limits",
    ),
    Mutation(
        "keeper-headers",
        SERVER,
        'raise Refused("headers-too-large", 431)',
        "tests/keeper/test_server.py::test_sizes_have_limits",
    ),
    Mutation(
        "keeper-access-log",
        SERVER,
        'door = self.door if status not in (400, 404) else "-"',
        "tests/keeper/test_secrets.py::test_the_access_log_holds_nothing_that_was_asked",
        'door = self.path.partition("?")[0]',
    ),
    Mutation(
        "together-undone-alone",
        STORE,
        'self._writer.execute("ROLLBACK TO one")',
        "tests/keeper/test_store.py::test_one_that_is_refused_is_undone_and_takes_no_other_with_it",
    ),
    Mutation(
        "together-answered-once-durable",
        STORE,
        "together.has_ended.wait()",
        "tests/keeper/test_store.py::test_writes_that_wait_are_committed_once_and_each_then_sees_all",
    ),
    Mutation(
        "together-lost",
        STORE,
        'raise StoreLost("the store failed")\n\n    def _end',
        "tests/keeper/test_store.py::test_a_commit_that_fails_is_everybodys_and_nothing_is_written_after_it",
        "pass\n\n    def _end",
    ),
    Mutation(
        "carried-since-it-was-asked",
        CARRY,
        "self._times[origin] == before or ",
        "tests/keeper/test_carry.py::test_who_comes_later_gets_a_cosignature_of_then",
        "",
    ),
    Mutation(
        "carried-by-a-proof-that-holds",
        CARRY,
        "merkle.verify_consistency(old, new, proof, before.checkpoint.root, root)",
        "tests/keeper/test_carry.py::test_what_a_carrier_holds_falsely_costs_a_question_and_no_more",
    ),
    Mutation(
        "lend-context",
        NAMES,
        'return enc(b"icr/v1/lend", request_sha256, role.encode("ascii"), u8(instance))',
        "tests/keeper/test_release.py::test_what_is_lent_opens_for_the_committed_key_this_request_and_this_keeper[operator]",
        'return b"icr/v1/lend"',
    ),
    Mutation(
        "upkeep-clock",
        UPKEEP,
        "if call.is_clock_trusted:",
        "tests/keeper/test_clock.py::test_after_a_weekend_nothing_is_destroyed_until_the_peer_agrees[operator]",
        "if True:",
    ),
)
