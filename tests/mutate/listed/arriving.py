"""Whose batch it is, and which secrets a process takes: what is checked as something comes in."""

from tests.mutate.mutation import Mutation

GRANTS = "accounts/collector_grants.py"
AUTHORSHIP = "icrstore/inbox/authorship.py"
SEALER = "icrstore/vault/sealer.py"
DOOR = "api/collectors.py"
LIMITS = "icrstore/inbox/limits.py"
ACCEPTED = "icrstore/vault/accepted.py"
STREAMS = "icrstore/vault/streams.py"
HARDEN = "icrstore/shell/harden.py"

SET_ASIDE = "tests/attacks/test_inbox.py::test_a_batch_that_somebody_meddled_with_is_set_aside"
WRONG_GAPS = "tests/vault/test_gaps.py::test_gaps_that_cannot_be_so_are_refused_with_their_batch"
CLOSED_UP = "tests/vault/test_quiet.py::test_a_worker_leaves_no_core_lets_nobody_trace_it_and_keeps_its_files_to_itself"

MUTATIONS = (
    Mutation(
        "collector-grant-root",
        GRANTS,
        "envelope.verify(root)",
        f"{SET_ASIDE}[grant_it_by_a_root_of_ones_own]",
    ),
    Mutation(
        "collector-grant-of-this-one",
        GRANTS,
        "if (grant.issuer, grant.role, grant.holder) != (collector.tenant_id, ROLE, collector.name):",
        f"{SET_ASIDE}[use_anothers_grant]",
        "if False:",
    ),
    Mutation(
        "collector-grant-at-the-door",
        DOOR,
        "if grant.key != bytes(collector.key) or now >= grant.not_after:",
        "tests/api/test_enrolment.py::test_a_grant_that_ended_or_is_not_for_this_collector_takes_nothing",
        "if False:",
    ),
    Mutation(
        "batch-granted-key",
        AUTHORSHIP,
        "verified = call.verify(grant.key)",
        f"{SET_ASIDE}[sign_it_oneself_and_add_the_key]",
        "verified = call.verify(bytes(batch.collector.key))",
    ),
    Mutation(
        "batch-body",
        AUTHORSHIP,
        "verified.check_body(body_sha256)",
        f"{SET_ASIDE}[exchange_it_with_another_body]",
    ),
    Mutation(
        "batch-label",
        AUTHORSHIP,
        " or label != Label.of(batch)",
        f"{SET_ASIDE}[widen_the_scope]",
        "",
    ),
    Mutation(
        "batch-signed-before-the-grants-end",
        AUTHORSHIP,
        "signed_at >= grant.not_after or ",
        f"{SET_ASIDE}[keep_a_signature_from_after_the_grants_end]",
        "",
    ),
    Mutation(
        "batch-late-by-its-signature",
        SEALER,
        "now=signed_at",
        "tests/attacks/test_inbox.py::test_when_records_are_late_is_told_by_the_collectors_signature_not_by_the_row",
        "now=batch.accepted_at",
    ),
    Mutation(
        "secret-that-others-can-read",
        HARDEN,
        'raise Exposed(f"{path}: others can read it: run `chmod 600 {path}`")',
        "tests/attacks/test_processes.py::test_a_secret_that_others_can_read_is_refused_with_the_mend",
    ),
    Mutation(
        "harden-nobody-traces",
        HARDEN,
        "_prctl(_PR_SET_DUMPABLE, 0)",
        CLOSED_UP,
        "pass",
    ),
    Mutation(
        "harden-private-files",
        HARDEN,
        "os.umask(0o077)",
        CLOSED_UP,
    ),
    Mutation(
        "harden-no-core",
        HARDEN,
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
        CLOSED_UP,
    ),
    Mutation(
        "worker-ends-with-its-broker",
        "icrstore/messages.py",
        "state.should_stop = os.EX_TEMPFAIL",
        "tests/test_messages.py::test_a_worker_that_cannot_say_that_it_heard_ends",
    ),
    Mutation(
        "inbox-counted-under-a-lock",
        "icrstore/inbox/accept.py",
        "limits.lock(collector.tenant_id)",
        "tests/inbox/test_limits.py::test_of_many_at_once_exactly_as_many_are_taken_as_there_is_room_for",
        '("SELECT 1", {})',
    ),
    Mutation(
        "inbox-quota",
        LIMITS,
        "if hour_batches >= collector.hour_batches or hour_bytes + body_bytes > collector.hour_bytes:",
        "tests/inbox/test_limits.py::test_a_quota_is_refused_until_its_hour_or_day_is_over[quota1]",
        "if False:",
    ),
    Mutation(
        "inbox-age",
        LIMITS,
        "if since is not None and since < now - LONGEST_WAIT and not _has_sealed(collector, since):",
        "tests/inbox/test_limits.py::test_nothing_more_is_taken_where_nothing_was_sealed_for_days",
        "if False:",
    ),
    Mutation(
        "gap-within-its-batch",
        SEALER,
        "if gap.first < scope.first_hour or gap.last >= scope.last_hour + HOUR:",
        f"{WRONG_GAPS}[after its hours]",
        "if gap.first < scope.first_hour:",
    ),
    Mutation(
        "gap-not-to-come",
        SEALER,
        "if gap.last > signed_at + NEWEST:",
        f"{WRONG_GAPS}[to come]",
        "if False:",
    ),
    Mutation(
        "gaps-and-nothing-else",
        "icrstore/vault/bodies.py",
        "if not is_all or any(column.metadata for column in schema):",
        f"{WRONG_GAPS}[of a column]",
        "if not is_all:",
    ),
    Mutation(
        "gap-in-the-answer",
        ACCEPTED,
        "return True, _told(row, sealed)",
        "tests/attacks/test_told_gaps.py::test_an_hour_that_a_gap_reaches_is_incomplete_and_says_who_told_what",
        "return True, []",
    ),
    Mutation(
        "gap-told-late",
        ACCEPTED,
        "found.update(_of_row(tenant, row, trust)[1])",
        "tests/attacks/test_told_gaps.py::test_a_gap_of_long_ago_that_nothing_leads_to_is_found_by_its_hours",
    ),
    Mutation(
        "gap-after-a-silence",
        STREAMS,
        "greatest(e.after + %(after_silence)s",
        "tests/attacks/test_told_gaps.py::test_nor_one_that_was_told_after_a_silence[False-7-say_nothing_of_it]",
        "greatest(e.after",
    ),
    Mutation(
        "gap-after-a-silence-and-records",
        STREAMS,
        "AFTER_SILENCE = 9",
        "tests/attacks/test_told_gaps.py::test_nor_one_that_was_told_after_a_silence[False-7-delete]",
        "AFTER_SILENCE = 8",
    ),
    Mutation(
        "poison-tries",
        "icrstore/vault/trying.py",
        "AND tries < {MOST_TRIES}",
        "tests/vault/test_poison.py::test_a_sealer_that_is_killed_over_it_has_tried",
        "",
    ),
    Mutation(
        "claims-wait",
        "icrstore/vault/trying.py",
        "FOR UPDATE\n",
        "tests/vault/test_sealer.py::test_a_sealer_waits_for_another_that_is_claiming_and_takes_what_it_leaves",
        "FOR UPDATE SKIP LOCKED\n",
    ),
    Mutation(
        "let-go-in-order",
        "icrstore/vault/trying.py",
        "ORDER BY id FOR NO KEY UPDATE\n",
        "tests/vault/test_at_once.py::test_what_is_let_go_is_locked_in_the_order_of_claims",
        "FOR NO KEY UPDATE\n",
    ),
    Mutation(
        "hurry-waits",
        "icrstore/inbox/accept.py",
        "FOR NO KEY UPDATE\n",
        "tests/inbox/test_accept.py::test_to_hurry_waits_for_a_sealer_that_is_claiming",
        "FOR NO KEY UPDATE SKIP LOCKED\n",
    ),
)
