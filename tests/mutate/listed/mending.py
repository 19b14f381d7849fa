"""A keeper that was put back, that was started anew, or whose store is damaged, and how it knows."""

from tests.mutate.mutation import Mutation

KEEPER = "icrstore/keeper/keeper.py"
WITNESS = "icrstore/keeper/witness.py"
QUARANTINE = "icrstore/keeper/quarantine.py"
LEDGER = "icrstore/keeper/ledger.py"
RECOVER = "icrstore/keeper/recover.py"
SALVAGE = "icrstore/keeper/salvage.py"
FOLLOW = "icrstore/tlog/follow.py"
CLOCK = "icrstore/keeper/clock.py"
FSCK = "icrstore/keeper/fsck"

FOUND_OUT = (
    "tests/keeper/test_quarantine.py::test_the_next_question_finds_it_out_and_it_lends_nothing_more"
)
NOT_BELIEVED = (
    "tests/keeper/test_recover_published.py::test_what_is_published_is_believed_in_nothing"
)
MAY_BE_USED = (
    "tests/keeper/test_recover.py::test_nothing_is_lent_under_a_warrant_that_may_have_been_used"
)
NAMED = "tests/keeper/test_fsck.py::test_each_fault_is_named"
YOUNGER = (
    "tests/keeper/test_recover_published.py"
    "::test_a_log_that_is_younger_than_the_copy_is_given_up_by_whoever_compares_and_then_for_good"
)

MUTATIONS = (
    Mutation(
        "quarantine-writes-nothing",
        KEEPER,
        "with self._transaction(clocks.check) as call:\n            check_not_quarantined(call.tx)",
        f"{FOUND_OUT}[operator]",
        "with self._transaction(clocks.check) as call:",
    ),
    Mutation(
        "quarantine-cosigns-nothing",
        WITNESS,
        "check_not_quarantined(tx)",
        f"{FOUND_OUT}[operator]",
    ),
    Mutation(
        "quarantine-signs-nothing",
        LEDGER,
        'raise Refused("quarantined", 503)',
        f"{FOUND_OUT}[operator]",
    ),
    Mutation(
        "quarantine-by-its-own-signature",
        QUARANTINE,
        'raise Refused("not-signed") from None',
        "tests/keeper/test_quarantine.py::test_what_others_signed_or_it_knows_stops_it_not[operator]",
    ),
    Mutation(
        "quarantine-not-by-what-it-holds",
        QUARANTINE,
        "_is_held(keeper, tx, checkpoint) or ",
        "tests/keeper/test_quarantine.py::test_what_others_signed_or_it_knows_stops_it_not[operator]",
        "",
    ),
    Mutation(
        "quarantine-root",
        QUARANTINE,
        " and merkle.root(ledger.node, shown.size) == shown.root",
        "tests/keeper/test_quarantine.py::test_what_it_signed_and_does_not_know_stops_it_whatever_the_size[1-operator]",
        "",
    ),
    Mutation(
        "quarantine-old-heads",
        QUARANTINE,
        "except EvidenceError:\n        return False",
        "tests/keeper/test_recover.py::test_a_second_copy_is_found_out_as_the_first_and_an_old_head_says_nothing",
        "except EvidenceError:\n        return True",
    ),
    Mutation(
        "recover-cosigned",
        FOLLOW,
        "[source.witness], at_least=1\n    )",
        NOT_BELIEVED,
        "[source.witness], at_least=0\n    )\n    times.setdefault(source.witness, 1795735800)",
    ),
    Mutation(
        "recover-root",
        FOLLOW,
        "if root(growth.node, checkpoint.size) != checkpoint.root:",
        NOT_BELIEVED,
        "if False:",
    ),
    Mutation(
        "recover-floors",
        RECOVER,
        'raise Refused("published-too-old")',
        "tests/keeper/test_recover_published.py::test_a_copy_that_ends_before_what_the_peer_cosigned_is_refused",
    ),
    Mutation(
        "recover-chain",
        RECOVER,
        "chain.advance(today.fromisoformat(certified)).save(keeper.folder)",
        "tests/keeper/test_recover.py::test_the_chain_does_not_go_back_with_the_copy",
    ),
    Mutation(
        "recover-trust-changed",
        RECOVER,
        'raise Refused("pins-lost")',
        "tests/keeper/test_recover.py::test_trust_that_was_given_in_the_lost_time_must_be_compared",
    ),
    Mutation(
        "recover-debts-without-gap",
        SALVAGE,
        "_renumber_debts(tx, tenant)\n    tx",
        "tests/keeper/test_recover_debts.py"
        "::test_a_debt_of_a_leaf_that_is_taken_back_leaves_no_gap_in_the_numbers",
        "tx",
    ),
    Mutation(
        "recover-lost-logs",
        RECOVER,
        "_lost_logs(call, published) or ",
        YOUNGER,
        "",
    ),
    Mutation(
        "recover-given-up",
        QUARANTINE,
        "not salvage.is_given_up(tx, shown.origin)",
        YOUNGER,
        "True",
    ),
    Mutation(
        "recover-witness-reminded",
        RECOVER,
        "remember(tx, log.checkpoint, parse_note(log.note))",
        "tests/keeper/test_recover.py::test_the_witness_remembers_what_it_cosigned[operator]",
    ),
    Mutation(
        "recover-peer-forked",
        RECOVER,
        'raise Refused("peer-forked")',
        "tests/keeper/test_recover_published.py::test_a_peer_that_forked_meanwhile_is_told_of",
    ),
    Mutation(
        "recover-warrant-known",
        SALVAGE,
        "if lost_at and valid_from.timestamp() < lost_at[-1]:",
        f"{MAY_BE_USED}[operator]",
        "if False:",
    ),
    Mutation(
        "recover-request-known",
        SALVAGE,
        "if any(one.questions and commit_leaf < one.leaf for one in recovered(tx, tenant)):",
        f"{MAY_BE_USED}[operator]",
        "if False:",
    ),
    Mutation(
        "recover-request-known-at-commit",
        "icrstore/keeper/commit.py",
        "salvage.check_request_known(call.tx, row.tenant, row.commit_leaf)",
        f"{MAY_BE_USED}[operator]",
    ),
    Mutation(
        "recover-request-known-later",
        "icrstore/keeper/cases.py",
        "salvage.check_request_known(call.tx, row.tenant, row.commit_leaf)",
        f"{MAY_BE_USED}[operator]",
    ),
    Mutation(
        "recover-lost-epoch",
        "icrstore/keeper/epochs.py",
        "if not office.ledger.has_lost(draft):",
        "tests/keeper/test_recover.py::test_nothing_is_planted_as_an_epoch_that_was_lost",
        "if False:",
    ),
    Mutation(
        "clock-after-boot",
        CLOCK,
        'held.boot in ("", boot.name) and ',
        "tests/keeper/test_clock.py::test_after_a_reboot_nothing_is_destroyed_or_lent_until_the_peer_agrees[ahead0]",
        "",
    ),
    Mutation(
        "edge-hashed-again",
        LEDGER,
        'raise StoreLost("a node is not what its leaves hash to")',
        "tests/keeper/test_fsck.py::test_no_flipped_bit_at_the_edge_is_ever_signed_over",
    ),
    Mutation(
        "edge-hashed-again-before-a-leaf",
        LEDGER,
        "merkle.new_nodes(self._rehashed, number",
        "tests/keeper/test_fsck.py::test_no_flipped_bit_at_the_edge_is_ever_signed_over",
        "merkle.new_nodes(self.node, number",
    ),
    Mutation(
        "edge-newest-leaf",
        LEDGER,
        "            self._rehashed(0, number)",
        "tests/keeper/test_fsck.py::test_no_flipped_bit_at_the_edge_is_ever_signed_over",
        "            pass",
    ),
    Mutation(
        "fsck-nodes",
        f"{FSCK}/log.py",
        'yield f"node {level}/{index} is not what its leaves hash to"',
        f"{NAMED}[DELETE FROM node WHERE level = 2 AND number = 1-node 2/1 is not what its leaves hash to]",
    ),
    Mutation(
        "fsck-leaves-of-a-row",
        f"{FSCK}/ties.py",
        "yield f\"{place}: leaf {number} is not its {told['type']}\"",
        f"{NAMED}[UPDATE request SET release_leaf = commit_leaf-is not its release]",
        "yield from ()",
    ),
    Mutation(
        "fsck-rows-of-leaves",
        f"{FSCK}/ties.py",
        'yield f"{walked.types[type_]} {type_} leaves, and {rows} that rows stand for"',
        "tests/keeper/test_fsck.py::test_a_question_that_is_gone_is_missed",
    ),
    Mutation(
        "fsck-atoms",
        f"{FSCK}/days.py",
        "opened.open(day).unlock_atom(epoch, walked.identity.role)",
        NAMED,
    ),
    Mutation(
        "fsck-tags",
        f"{FSCK}/tags.py",
        'yield f"leaf {number}: another tag than its subject\'s"',
        "tests/keeper/test_fsck.py::test_tags_that_do_not_count_on_are_named",
        "yield from ()",
    ),
)
