"""What a collector checks before it lets its only copy go."""

from tests.mutate.mutation import Mutation

SPOOL = "icrstore/collector/spool.py"
PUSH = "icrstore/collector/push.py"
FILES = "icrstore/collector/files.py"
TAIL = "icrstore/collector/tail.py"
LISTEN = "icrstore/collector/listen.py"
SERVICE = "icrstore/collector/service.py"
NUMBERS = "tests/collector/test_numbers.py"
TAILS = "tests/collector/test_tail.py"
CHUNKS = "tests/collector/test_tail_chunks.py"

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
    Mutation(
        "push-late-records-kept",
        PUSH,
        "self._frames.keep_late(batch, accepted.at - OLDEST, late, utc_now())",
        "tests/collector/test_too_old.py::test_of_a_file_that_straddles_the_edge_each_part_is_where_it_belongs",
        "pass",
    ),
    Mutation(
        "push-too-old-waits",
        PUSH,
        "self._spool.set_too_old(hour_start(now - OLDEST) - HOUR)",
        "tests/collector/test_too_old.py::test_an_old_file_waits_and_is_not_pushed",
        "pass",
    ),
    Mutation(
        "push-news-waits-for-no-seal",
        PUSH,
        "Patience(wait_seconds, await_news or sleep)",
        "tests/collector/test_pusher.py::test_what_comes_later_waits_for_no_seal_of_what_came_first",
        "Patience(wait_seconds, sleep)",
    ),
    Mutation(
        "push-number-however-old",
        SPOOL,
        " AND stream IS NULL",
        f"{NUMBERS}::test_a_number_that_was_given_is_used_however_old_its_batch_becomes",
        "",
    ),
    Mutation(
        "push-number-of-a-fresh-spool",
        PUSH,
        "if (made.stream, made.sequence) != self._spool.number(batch.id):",
        f"{NUMBERS}::test_what_a_fresh_spool_pushes_again_uses_no_number_up",
        "if False:",
    ),
    Mutation(
        "tail-known-by-its-bytes",
        FILES,
        "return self.begins(content, secret) and hmac.compare_digest(",
        f"{TAILS}::test_another_file_at_the_same_inode_is_another_file",
        "return True or hmac.compare_digest(",
    ),
    Mutation(
        "tail-lost-is-a-gap",
        TAIL,
        'self.gaps.append(Gap(min(self.since, now), now, "input-lost"))',
        f"{TAILS}::test_a_file_truncated_under_us_is_a_gap_and_is_read_from_its_beginning",
        "pass",
    ),
    Mutation(
        "tail-copy-left-alone",
        TAIL,
        """                if follow.place.is_in(content, self.secret):
                    return None
""",
        f"{TAILS}::test_a_copied_and_truncated_file_is_read_on_in_its_copy",
        "",
    ),
    Mutation(
        "tail-header-is-no-copy",
        TAIL,
        "if not follow.place.has_rows:",
        f"{CHUNKS}::test_files_of_which_only_a_header_was_read_are_no_copies_of_each_other",
        "if not follow.place.offset:",
    ),
    Mutation(
        "tail-copy-of-unread-rows",
        TAIL,
        "if _is_copy(content, follow):",
        f"{CHUNKS}::test_a_copy_of_what_was_read_but_for_its_rows_is_not_read_too",
        "if False:",
    ),
    Mutation(
        "tail-header-goes-on-nowhere",
        TAIL,
        "place.has_rows or content.key == place.key",
        f"{CHUNKS}::test_of_a_header_alone_only_the_file_itself_goes_on[True]",
        "True",
    ),
    Mutation(
        "tail-objects-whole",
        FILES,
        'if format != "ndjson":',
        f"{CHUNKS}::test_an_array_longer_than_a_chunk_is_read_whole",
        "if True:",
    ),
    Mutation(
        "reading-understood-first",
        "icrstore/collector/reading.py",
        "rows = list(open_records(Input(source, tally), self._given.format, tally, hints))",
        f"{CHUNKS}::test_what_fails_half_way_leaves_nothing_of_it_in_memory",
        "rows = open_records(Input(source, tally), self._given.format, tally, hints)",
    ),
    Mutation(
        "hearing-unpacks-nothing",
        "icrstore/collector/reading.py",
        "open_records(Input(source, tally), ",
        "tests/collector/test_hearing.py::test_what_comes_first_decides_nothing_of_what_comes_next",
        "open_records(source, ",
    ),
    Mutation(
        "listen-allowed",
        LISTEN,
        "if each.listen.is_allowed(sender):",
        "tests/collector/test_listen.py::test_who_may_not_send_is_counted_and_not_heard",
        "if True:",
    ),
    Mutation(
        "service-full-is-not-read",
        SERVICE,
        "if not self.has_room():",
        "tests/collector/test_listen.py::test_full_it_blocks_tcp_and_tells_of_what_udp_lost",
        "if False:",
    ),
    Mutation(
        "service-place-with-what-was-read",
        SERVICE,
        "self.journal.hold(self._batches)",
        "tests/collector/test_run.py::test_one_pass_reads_what_is_there_and_pushes_until_it_is_sealed",
        "pass",
    ),
)
