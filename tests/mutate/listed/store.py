"""The store between the doors: inbox, sealer, registration, reader, query, sign-in, tenants."""

from tests.mutate.mutation import Mutation

ACCEPT = "icrstore/inbox/accept.py"
SEALER = "icrstore/vault/sealer.py"
REGISTER = "icrstore/vault/register.py"
READER = "icrstore/vault/reader.py"
BODIES = "icrstore/vault/bodies.py"
MESSAGES = "icrstore/vault/messages.py"
SHOWN_TO_ARROW = (
    "tests/vault/test_messages.py::test_what_arrow_would_make_larger_is_not_shown_to_it"
)
OPENING = "icrstore/query/opening.py"
COVERAGE = "icrstore/query/coverage.py"
LODGE = "icrstore/query/lodge.py"
PACKAGE = "icrstore/query/package.py"
SECOND = "icrstore/query/second.py"
SIGN_IN = "icrstore/notices/sign_in.py"
TENANCY = "accounts/tenancy.py"
PRINCIPALS = "accounts/principals.py"
COPYING = "icrstore/ledger/copying.py"
ROW_SECURITY = "icrstore/query/migrations/0003_row_security.py"
GRANTS = "deploy/postgres/grants.sql"
MANY, SPOILT = "tests/vault/test_many_batches.py", "tests/vault/test_spoilt.py"

MUTATIONS = (
    Mutation(
        "inbox-shard",
        ACCEPT,
        "if label.shard >= collector.tenant.shards:",
        "tests/inbox/test_accept.py::test_a_label_that_does_not_fit_is_refused",
        "if False:",
    ),
    Mutation(
        "inbox-future",
        ACCEPT,
        "if label.first_hour > hour_start(now) + HOUR:",
        "tests/inbox/test_accept.py::test_a_label_that_does_not_fit_is_refused",
        "if False:",
    ),
    Mutation(
        "inbox-intake-key",
        ACCEPT,
        "if not current or not",
        "tests/inbox/test_accept.py::test_an_intake_key_lives_for_two_hours_after_its_own",
        "if not",
    ),
    Mutation(
        "inbox-lies-open",
        ACCEPT,
        "if _lies_open(body):",
        "tests/inbox/test_accept.py::test_a_body_that_nobody_sealed_is_refused",
        "if False:",
    ),
    Mutation(
        "sealer-claim-lost",
        SEALER,
        "raise ClaimLost",
        "tests/vault/test_sealer.py::test_a_sealer_that_lost_its_claim_commits_nothing",
    ),
    Mutation(
        "sealer-scope",
        SEALER,
        "backfilled=backfilled, scope=scope)",
        "tests/vault/test_sealer.py::test_bad_records_are_counted_by_reason_and_good_ones_beside_them_kept",
        "backfilled=backfilled)",
    ),
    Mutation(
        "receipt-every-keeper",
        REGISTER,
        "if not all(set(receipt.epochs) <= eids for eids in logged):",
        "tests/vault/test_register.py::test_acknowledgements_that_somebody_wrote_into_the_table_give_no_receipt",
        "if False:",
    ),
    Mutation(
        "register-in-calls",
        REGISTER,
        "if some and length > CALL_BYTES:",
        f"{MANY}::test_what_waits_is_brought_in_calls_that_a_keeper_takes",
        "if False:",
    ),
    Mutation(
        "register-this-epoch",
        REGISTER,
        'raise StatementError("another-epoch", "statement")',
        f"{SPOILT}::test_one_that_is_spoilt_keeps_nobody_else_from_being_registered[is_of_another_tenant]",
    ),
    Mutation(
        "register-long-seal",
        REGISTER,
        'raise StatementError("too-long", "seal")',
        f"{SPOILT}::test_one_that_is_spoilt_keeps_nobody_else_from_being_registered[has_a_huge_seal]",
    ),
    Mutation(
        "claim-many",
        "icrstore/vault/trying.py",
        "WHEN 0 THEN %(batches)s",
        f"{MANY}::test_a_claim_has_no_more_batches_than_a_statement_names",
        "WHEN 0 THEN 9 * %(batches)s",
    ),
    Mutation(
        "receipt-as-sealed",
        REGISTER,
        "envelope.verify(raw_public(keys.signing))",
        "tests/vault/test_review_receipts.py::test_what_another_host_signed_or_of_another_batch_is_no_receipt",
    ),
    Mutation(
        "receipt-of-this-batch",
        REGISTER,
        "return receipt if receipt.batch_id == bytes(batch.batch_id) else None",
        "tests/vault/test_review_receipts.py::test_what_another_host_signed_or_of_another_batch_is_no_receipt",
        "return receipt",
    ),
    Mutation(
        "second-late-answer",
        SECOND,
        "if self._owes:\n            self.close()",
        "tests/query/test_second.py"
        "::test_what_it_tells_of_a_question_that_failed_is_no_answer_to_the_next[the keepers]",
        "pass",
    ),
    Mutation(
        "second-of-another-scope",
        SECOND,
        "self._told() if self._prepared is whole else None",
        "tests/query/test_second.py"
        "::test_what_it_reads_ahead_of_one_scope_is_not_taken_for_another",
        "self._told()",
    ),
    Mutation(
        "second-writes-at-once",
        SECOND,
        "if self._owes or not len(nanoseconds) or",
        "tests/query/test_second.py"
        "::test_it_writes_one_column_at_a_time_and_what_it_does_not_is_written_here",
        "if not len(nanoseconds) or",
    ),
    Mutation(
        "second-forgets-what-is-wrong",
        READER,
        "return checked, wrong | dict.fromkeys(by_eid, MISSING)",
        "tests/query/test_second.py::test_an_epoch_that_is_gone_spoils_its_hour_in_either_half[0]",
        "return checked, wrong",
    ),
    Mutation(
        "second-outlives-the-engine",
        SECOND,
        "end_with(parent)\n",
        "tests/query/test_second_ends.py::test_it_ends_with_an_engine_that_is_killed",
        "pass\n",
    ),
    Mutation(
        "second-halves-an-hour",
        "icrstore/query/scope.py",
        'bisect_left(self.epochs, middle, key=attrgetter("hour"))',
        "tests/query/test_second_shards.py::test_an_hour_is_looked_at_by_one_of_them",
        "len(self.epochs) // 2",
    ),
    Mutation(
        "second-is-not-waited-for",
        SECOND,
        "os.waitpid(self.pid, 0)",
        "tests/query/test_second_ends.py::test_it_leaves_nothing_of_itself_in_the_engine",
    ),
    Mutation(
        "second-keeps-sockets",
        SECOND,
        "os.closerange(3, wire.fileno())",
        "tests/query/test_second_ends.py::test_it_keeps_nothing_open_of_the_engine",
        "pass",
    ),
    Mutation(
        "reader-statement-logged",
        READER,
        "if hashlib.sha256(payload).digest() != logged.statement_sha256:",
        "tests/query/test_engine.py::test_who_writes_the_database_cannot_shorten_an_answer_unseen"
        "[rewrite_epoch-its statement is not the one that the keepers logged]",
        "if False:",
    ),
    Mutation(
        "body-one-frame",
        BODIES,
        "if not 0 < size <= MAX_ARROW_BYTES:",
        "tests/vault/test_bodies.py::test_a_batch_that_cannot_be_read_is_refused_whole_and_stops_no_other",
        "if False:",
    ),
    Mutation(
        "body-compressed-twice",
        MESSAGES,
        "header.place(_BATCH_COMPRESSION) or ",
        "tests/vault/test_bodies.py::test_a_batch_that_cannot_be_read_is_refused_whole_and_stops_no_other",
        "",
    ),
    Mutation(
        "body-said-to-be-compressed",
        MESSAGES,
        "if message.place(_MESSAGE_SAYS):",
        f"{SHOWN_TO_ARROW}[compressed, its messages say]",
        "if False:",
    ),
    Mutation(
        "body-of-many-names",
        MESSAGES,
        "and schema.count(_SCHEMA_SAYS) <= MOST_SAID",
        f"{SHOWN_TO_ARROW}[said often]",
        "",
    ),
    Mutation(
        "links-by-the-keepers-clocks",
        "icrstore/vault/publish.py",
        "begun = min(hour_start(now), max(logged) + HOUR)",
        "tests/vault/test_publish.py::test_a_clock_that_was_a_day_ahead_has_forgotten_no_link_of_today",
        "begun = hour_start(now)",
    ),
    Mutation(
        "reader-each-its-place",
        READER,
        "one.after or one.label for",
        "tests/query/test_reader.py::test_of_some_no_label_after_is_wanted_and_the_others_get_theirs[64]",
        'one.after or b"" for',
    ),
    Mutation(
        "opening-proven",
        OPENING,
        "_prove(epoch, label, body, proof)",
        "tests/query/test_opening.py::test_rows_that_the_manifest_does_not_name_fail_the_epoch",
    ),
    Mutation(
        "opening-bucket-there",
        OPENING,
        'raise BucketError("the bucket is missing")',
        "tests/query/test_opening.py::test_an_epoch_looked_for_in_another_month_or_number_fails",
        "return",
    ),
    Mutation(
        "opening-rows-as-stated",
        OPENING,
        "if len(proof.leaf) != leaf_bytes(epoch.rows, proof.index):",
        "tests/query/test_opening.py::test_a_bucket_has_as_many_rows_as_the_statement_says[12]",
        "if False:",
    ),
    Mutation(
        "opening-chunks-agree",
        OPENING,
        "if segment is not None and segment.last_chunk == last:",
        "tests/query/test_opening.py::test_chunks_that_disagree_about_the_last_fail_the_epoch",
        "if segment is not None:",
    ),
    Mutation(
        "opening-no-more-than-there-are",
        OPENING,
        "if last >= chunks.lent.epoch.rows:",
        "tests/query/test_opening.py::test_a_chunk_that_names_more_than_the_epoch_has_asks_for_none_of_them",
        "if False:",
    ),
    Mutation(
        "coverage-listed-alike",
        COVERAGE,
        "if epoch in odd)",
        "tests/query/test_coverage.py::test_lists_that_differ_are_incomplete_and_name_the_epochs",
        "if False)",
    ),
    Mutation(
        "coverage-failing",
        COVERAGE,
        "if epoch.eid in failed]",
        "tests/query/test_coverage.py::test_a_failing_epoch_is_named_and_spoils_its_hour_alone",
        "if False]",
    ),
    Mutation(
        "coverage-waiting",
        COVERAGE,
        "if hour <= waiting[place].last]",
        "tests/query/test_coverage.py::test_a_batch_that_waits_makes_each_hour_of_its_scope_unsealed",
        "if False]",
    ),
    Mutation(
        "coverage-unsealed",
        COVERAGE,
        "if shard not in sealed]",
        "tests/query/test_coverage.py::test_a_shard_without_an_epoch_is_unsealed_and_named",
        "if False]",
    ),
    Mutation(
        "lodge-expired-day",
        LODGE,
        'raise StatementError("expired-day", "request.hours")',
        "tests/query/test_lodge.py::test_a_request_that_reaches_an_expired_day_is_refused_at_the_door",
    ),
    Mutation(
        "lodge-authority",
        LODGE,
        "if root is None or claimed.authority not in authorities:",
        "tests/api/test_investigators.py::test_another_authority_cannot_ask_under_a_warrant_that_is_not_its_own",
        "if root is None:",
    ),
    Mutation(
        "lodge-investigator",
        LODGE,
        "check_investigator(tenant.name, warrant.authority, request, now)",
        "tests/api/test_investigators.py::test_a_request_that_no_investigator_signed_queues_and_hurries_nothing",
    ),
    Mutation(
        "recipients",
        PACKAGE,
        'raise StatementError("not-a-key", "recipient_keys") from None',
        "tests/query/test_lodge.py::test_a_recipient_that_nothing_can_be_sealed_to_is_refused_at_the_door",
    ),
    Mutation(
        "sign-in-tries",
        SIGN_IN,
        "AND tries < %s AND NOT is_used AND asked_at > %s",
        "tests/notices/test_sign_in.py::test_after_five_tries_even_the_right_code_is_worth_nothing",
        "AND tries < %s + 100 AND NOT is_used AND asked_at > %s",
    ),
    Mutation(
        "sign-in-once",
        SIGN_IN,
        "if not SignIn.objects.filter(id=number, is_used=False).update(is_used=True):",
        "tests/notices/test_sign_in.py::test_the_code_that_came_signs_in_once",
        "if False:",
    ),
    Mutation(
        "sign-in-code",
        SIGN_IN,
        "if not is_right or not hmac",
        "tests/notices/test_sign_in.py::test_after_five_tries_even_the_right_code_is_worth_nothing",
        "if not hmac",
    ),
    Mutation(
        "sign-in-account",
        SIGN_IN,
        "if not is_right or not hmac.compare_digest(lookup, key.find(tenant, account)):",
        "tests/notices/test_sign_in.py::test_it_refuses_another_browser_account_tenant_and_a_later_hour",
        "if not is_right:",
    ),
    Mutation(
        "sign-in-flood",
        SIGN_IN,
        "if recent.filter(lookup=lookup).count() >= MOST_OF_ACCOUNT:",
        "tests/notices/test_sign_in.py::test_an_account_gets_five_codes_an_hour_even_at_once",
        "if False:",
    ),
    Mutation(
        "session-ends",
        SIGN_IN,
        "token_sha256=_sha256(token), expires_at__gt=now)",
        "tests/notices/test_sign_in.py::test_a_session_ends_by_itself_and_when_left",
        "token_sha256=_sha256(token))",
    ),
    Mutation(
        "tenant-of-the-transaction",
        TENANCY,
        "before = _exchange(setting, value, is_within)\n        yield\n        if is_within:",
        "tests/accounts/test_tenancy.py::test_a_setting_ends_with_its_transaction_and_within_another_with_its_block",
        "before = _exchange(setting, value, is_within)\n        yield\n        if False:",
    ),
    Mutation(
        "nonce-once",
        PRINCIPALS,
        "return bool(used)",
        "tests/accounts/test_principals.py::test_a_nonce_counts_once_however_many_bring_it",
        "return True",
    ),
    Mutation(
        "collector-revoked",
        PRINCIPALS,
        '_BY_KEY = "keyid = %(keyid)s AND revoked_at IS NULL"',
        "tests/accounts/test_principals.py::test_a_collector_is_found_until_it_is_revoked",
        '_BY_KEY = "keyid = %(keyid)s"',
    ),
    Mutation(
        "collector-seen-and-forgotten",
        PRINCIPALS,
        "SELECT set_config('icr.tenant', tenant_id, true)",
        "tests/accounts/test_exchange.py::test_once_a_collector_is_found_nobodys_rows_are_seen",
        "SELECT set_config('icr.tenant', tenant_id, false)",
    ),
    Mutation(
        "lodged-context",
        LODGE,
        'return enc(b"icr/v1/lodged", text(tenant), kind.encode("ascii"), sha256)',
        "tests/query/test_lodge.py::test_what_was_lodged_opens_as_nothing_else",
        'return b"icr/v1/lodged"',
    ),
    Mutation(
        "copy-signed-root",
        COPYING,
        "if merkle.root(growth.node, signed.size) != signed.root:",
        "tests/ledger/test_copies.py::test_entries_without_the_signed_root_are_not_kept",
        "if False:",
    ),
    Mutation(
        "row-security-forced",
        ROW_SECURITY,
        "ALTER TABLE {table} FORCE ROW LEVEL SECURITY;",
        "tests/accounts/test_tenancy.py::test_every_table_of_a_tenant_is_under_forced_row_security",
        "",
    ),
    Mutation(
        "row-security-of-the-tenant",
        ROW_SECURITY,
        "USING (tenant_id = current_setting('icr.tenant', true))",
        "tests/accounts/test_tenancy.py::test_no_role_sees_a_row_of_another_tenant_or_of_none[engine]",
        "USING (true)",
    ),
    Mutation(
        "sealer-reads-nothing-back",
        GRANTS,
        "GRANT INSERT ON vault_segment, vault_bucket TO icr_sealer;",
        "tests/vault/test_grants.py::test_a_sealer_cannot_read_back_what_it_wrote",
        "GRANT SELECT, INSERT ON vault_segment, vault_bucket TO icr_sealer;",
    ),
    Mutation(
        "web-sees-no-row",
        GRANTS,
        "GRANT SELECT (id, tenant_id, hour, shard) ON vault_epoch TO icr_web;",
        "tests/vault/test_grants.py::test_a_role_may_do_exactly_its_part[web]",
        "GRANT SELECT ON vault_epoch TO icr_web;",
    ),
)
