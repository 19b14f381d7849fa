"""What shows what is missing: an answer's coverage, the audit, the monitor, a fork's evidence."""

from tests.mutate.mutation import Mutation

ACCEPTED = "icrstore/vault/accepted.py"
STREAMS = "icrstore/vault/streams.py"
COVERAGE = "icrstore/query/coverage.py"
WAITS = "icrstore/query/waits.py"
OPENING = "icrstore/query/opening.py"
AUDIT = "icrstore/vault/audit.py"
CHECKPOINT = "icrstore/tlog/checkpoint.py"
FOLLOW = "icrstore/tlog/follow.py"
LOOK = "icrstore/monitor/look.py"
TALLY = "icrstore/monitor/tally.py"
VERIFY = "icrstore/verify/icr_verify.py"

HIDDEN = "tests/attacks/test_hidden_batches.py"
NO_OTHER_RECEIPT = f"{HIDDEN}::test_no_other_receipt_makes_it_sealed"
NOT_REWRITTEN = f"{HIDDEN}::test_what_waited_when_a_crashed_query_began_is_not_rewritten"
NAMED = "tests/attacks/test_audit.py::test_each_deed_is_named"
MONITOR = "tests/monitor/test_look.py"
OWED = f"{MONITOR}::test_a_debt_is_told_of_once_its_time_is_over"
FORK = "tests/verify/test_fork.py"

MUTATIONS = (
    Mutation(
        "coverage-gaps",
        ACCEPTED,
        "yield from _gap(tenant, known, row, trust, window, kept_since)",
        f"{HIDDEN}::test_a_batch_that_somebody_hides_leaves_no_hour_complete_that_it_reaches[delete]",
    ),
    Mutation(
        "coverage-first-of-a-stream",
        ACCEPTED,
        "known[-1].sequence if known else 0",
        f"{HIDDEN}::test_a_stream_that_does_not_begin_with_one_lacks_its_first",
        "known[-1].sequence if known else after.sequence",
    ),
    Mutation(
        "coverage-receipt-signature",
        STREAMS,
        " or not _is_signed(envelope, keys)",
        f"{NO_OTHER_RECEIPT}[changed0]",
        "",
    ),
    Mutation(
        "coverage-receipt-of-this-batch",
        STREAMS,
        "if about != (tenant, self.collector, self.batch_id):",
        f"{NO_OTHER_RECEIPT}[changed3]",
        "if False:",
    ),
    Mutation(
        "coverage-receipt-of-this-number",
        STREAMS,
        "number != (self.stream, self.sequence) or ",
        f"{NO_OTHER_RECEIPT}[changed5]",
        "",
    ),
    Mutation(
        "coverage-set-aside",
        ACCEPTED,
        "if sealed and not set_aside:",
        f"{NO_OTHER_RECEIPT}[changed6]",
        "if sealed:",
    ),
    Mutation(
        "coverage-far-row",
        ACCEPTED,
        "yield from _misdated(tenant, row, trust, window)",
        f"{HIDDEN}::test_a_row_of_ones_own_far_away_hides_no_gap",
    ),
    Mutation(
        "coverage-shard-denied",
        COVERAGE,
        "shards = max(shards, epoch.shard + 1)",
        "tests/query/test_coverage.py::test_a_shard_that_the_database_denies_is_known_by_what_was_logged_of_it",
    ),
    Mutation(
        "waits-signature",
        WAITS,
        "envelope.verify(raw_public(key))",
        f"{NOT_REWRITTEN}[signed by oneself]",
    ),
    Mutation(
        "waits-engine-key",
        WAITS,
        'raise StatementError("wrong-engine-key", KIND)',
        f"{NOT_REWRITTEN}[of another]",
    ),
    Mutation(
        "opening-chunk-after-the-last",
        OPENING,
        "if after is not None and number == max(chunks.last, 0):",
        "tests/query/test_opening.py::test_the_chunk_after_the_last_is_proven_absent[2]",
        "if False:",
    ),
    Mutation(
        "audit-sealer",
        AUDIT,
        'yield "no sealer host of the trust file signed its statement"',
        f"{NAMED}[sign_the_statement_oneself-no sealer host of the trust file signed its statement]",
    ),
    Mutation(
        "audit-manifest",
        AUDIT,
        'yield "its manifest is not the one of its statement"',
        f"{NAMED}[shorten_the_manifest-its manifest is not the one of its statement]",
    ),
    Mutation(
        "audit-rows",
        AUDIT,
        'yield f"{count} rows {what}"',
        f"{NAMED}[delete_a_row-1 rows missing]",
        "yield from ()",
    ),
    Mutation(
        "audit-body",
        AUDIT,
        "altered += 1",
        f"{NAMED}[alter_a_body-1 rows altered]",
    ),
    Mutation(
        "audit-strays",
        AUDIT,
        "if (month, number) not in known:",
        f"{NAMED}[leave_rows_of_no_epoch-1 rows of no epoch]",
        "if False:",
    ),
    Mutation(
        "audit-keepers-lists",
        AUDIT,
        "for eid in sorted(listed.keys() - held):",
        "tests/attacks/test_audit.py::test_an_epoch_that_is_gone_or_planted_shows_against_the_keepers_lists",
        "for eid in ():",
    ),
    Mutation(
        "monitor-log-signature",
        CHECKPOINT,
        "if log_key not in times:",
        f"{MONITOR}::test_a_log_signed_by_another_key_is_no_log[operator]",
        "if False:",
    ),
    Mutation(
        "monitor-witness",
        FOLLOW,
        "[source.witness], at_least=1\n    )",
        f"{MONITOR}::test_a_log_that_the_other_did_not_cosign_is_told_of[operator]",
        "[source.witness], at_least=0\n    )\n    times.setdefault(source.witness, 1795735800)",
    ),
    Mutation(
        "monitor-cosigned-lately",
        LOOK,
        "if log.cosigned_at < now - OLD:",
        f"{MONITOR}::test_an_old_cosignature_is_told_of_and_one_to_come",
        "if False:",
    ),
    Mutation(
        "monitor-entries",
        FOLLOW,
        "if root(growth.node, checkpoint.size) != checkpoint.root:",
        f"{MONITOR}::test_an_altered_swapped_added_or_missing_leaf_is_found_out[operator]",
        "if False:",
    ),
    Mutation(
        "monitor-fork",
        FOLLOW,
        "if before is None or tree.root() != checkpoint.root:",
        f"{MONITOR}::test_a_fork_is_told_of_with_evidence_that_anyone_can_check[0-7]",
        "if True:",
    ),
    Mutation(
        "monitor-fewer-leaves",
        FOLLOW,
        'raise FollowError("fewer-leaves")',
        f"{MONITOR}::test_a_log_that_lost_leaves_is_told_of_and_not_forgotten",
    ),
    Mutation(
        "monitor-days",
        TALLY,
        'raise NotProven("the days of its leaves go back")',
        f"{MONITOR}::test_days_that_go_back_are_told_of_also_across_two_looks",
    ),
    Mutation(
        "monitor-unended",
        TALLY,
        'recent["commit"] - held["release"] - held["expired"]',
        f"{OWED}[unended-unended-1-30]",
        "0",
    ),
    Mutation(
        "monitor-undisclosed",
        TALLY,
        'max(0, old["release-due"] - held["disclosure"])',
        f"{OWED}[undisclosed-undisclosed-1-1440]",
        "0",
    ),
    Mutation(
        "monitor-untold",
        TALLY,
        'old["release-due"] + old["disclosure-due"] - held["notice"] - undisclosed',
        f"{OWED}[untold-untold-2-1440]",
        "0",
    ),
    Mutation(
        "monitor-alone",
        TALLY,
        'old["commit"] - held["expired"] - other.counts["commit"] if other else 0',
        f"{MONITOR}::test_a_commit_that_the_other_log_never_had_is_told_of",
        "0",
    ),
    Mutation(
        "verify-fork-signature",
        VERIFY,
        'check_log_signature(note, keepers[0]["log_key"])',
        f"{FORK}::test_only_what_one_keepers_log_key_signed_counts",
    ),
    Mutation(
        "verify-fork-of-one-log",
        VERIFY,
        " or small.origin != large.origin:",
        f"{FORK}::test_only_what_one_keepers_log_key_signed_counts",
        ":",
    ),
    Mutation(
        "verify-fork-path",
        VERIFY,
        'raise Wrong("the path does not lead to the larger checkpoint")',
        f"{FORK}::test_a_path_that_does_not_lead_to_what_was_signed_convicts_nobody",
    ),
    Mutation(
        "verify-fork-of-two-roots",
        VERIFY,
        "if begun == small.root:",
        f"{FORK}::test_every_fork_is_convicted_and_no_honest_log",
        "if False:",
    ),
    Mutation(
        "verify-fork-of-one-size",
        VERIFY,
        " or small.root == large.root:",
        f"{FORK}::test_nothing_is_made_of_nothing",
        ":",
    ),
)
