"""Who asks too much, asks for nobody, or asks and does not go on: budgets, canaries, expiry."""

from tests.mutate.mutation import Mutation

BUDGETS = "icrstore/keeper/budgets.py"
CANARIES = "icrstore/keeper/canaries.py"
COMMIT = "icrstore/keeper/commit.py"
DISCLOSURE = "icrstore/keeper/disclosure.py"
EXPIRY = "icrstore/keeper/expiry.py"
UPKEEP = "icrstore/keeper/upkeep.py"
KEEPER = "icrstore/keeper/keeper.py"
ASKED = "icrstore/keeper/queries/budgets.py"

MUTATIONS = (
    Mutation(
        "budget-of-an-officer",
        BUDGETS,
        '*(Asker("officer", name, day) for name in officers), ',
        "tests/attacks/test_budgets.py::test_an_officer_who_spent_a_day_stops_no_other_and_asks_again_tomorrow",
        "",
    ),
    Mutation(
        "budget-of-a-person",
        BUDGETS,
        "enc(authority, text(grant.holder)) for grant",
        "tests/attacks/test_budgets.py::test_a_second_key_of_one_person_is_no_second_budget",
        "enc(authority, grant.key) for grant",
    ),
    Mutation(
        "budget-of-an-authority",
        BUDGETS,
        ', Asker("authority", authority, day)]',
        "tests/attacks/test_budgets.py::test_an_authority_that_spent_a_day_stops_all_of_its_officers",
        "]",
    ),
    Mutation(
        "budget-of-a-day",
        BUDGETS,
        'raise Refused(f"{asker.kind}-budget-spent")',
        "tests/attacks/test_budgets.py::test_an_officer_who_spent_a_day_stops_no_other_and_asks_again_tomorrow",
    ),
    Mutation(
        "budget-given-back",
        ASKED,
        '" - (SELECT count(*)',
        "tests/attacks/test_budgets.py::test_what_ended_unreleased_is_given_back_to_every_budget",
        '" - 0 * (SELECT count(*)',
    ),
    Mutation(
        "canary-asked",
        COMMIT,
        "check_canaries(call, asked.tenant, asked.case.request.sha256, named)",
        "tests/attacks/test_canaries.py::test_who_asks_for_a_canary_gets_nothing_and_an_alert_is_out_at_once[alone]",
    ),
    Mutation(
        "canary-answered",
        DISCLOSURE,
        "check_canaries(call, row.tenant, row.sha256, named.accounts)",
        "tests/attacks/test_canaries.py::test_an_answer_that_names_a_canary_is_not_disclosed_by_any_attempt",
    ),
    Mutation(
        "canary-named-before",
        CANARIES,
        'if named or queries.was_refused(call.tx, tenant, request_sha256, "canary"):',
        "tests/attacks/test_canaries.py::test_an_answer_that_names_a_canary_is_not_disclosed_by_any_attempt",
        "if named:",
    ),
    Mutation(
        "canary-reason-withheld",
        KEEPER,
        'raise Refused("refused") if refused.code in WITHHELD else refused from error',
        "tests/attacks/test_canaries.py::test_who_asks_for_a_canary_gets_nothing_and_an_alert_is_out_at_once[alone]",
        "raise refused from error",
    ),
    Mutation(
        "canary-alert",
        KEEPER,
        '_alert(f"{code} tenant={tenant_name} log={ledger.origin} leaf={leaf.index}")',
        "tests/attacks/test_canaries.py::test_who_asks_for_a_canary_gets_nothing_and_an_alert_is_out_at_once[alone]",
    ),
    Mutation(
        "canary-not-in-the-clear",
        CANARIES,
        'prf(key, "canary", text(tenant_name), text(account))',
        "tests/attacks/test_canaries.py::test_the_store_of_a_keeper_names_no_canary_and_the_owner_pins_them_from_a_file",
        "text(account).ljust(32, key[:1])",
    ),
    Mutation(
        "expired-is-not-committed-again",
        COMMIT,
        "answer = None if has_ended(call, row) else _answer(call, row)",
        "tests/keeper/test_expiry.py::test_an_engine_back_in_time_finishes_and_later_both_keepers_say_that_it_ended",
        "answer = _answer(call, row)",
    ),
    Mutation(
        "expired-is-not-released",
        "icrstore/keeper/release.py",
        "answer = None if has_ended(call, row) else _released(call, row, case, asked)",
        "tests/keeper/test_expiry.py::test_a_late_release_ends_the_question_at_the_keeper_that_was_asked",
        "answer = _released(call, row, case, asked)",
    ),
    Mutation(
        "expired-by-upkeep",
        UPKEEP,
        "expire(keeper, tenant.name)",
        "tests/keeper/test_expiry.py::test_upkeep_ends_what_is_late_and_gives_its_count_back",
    ),
    Mutation(
        "expired-once",
        EXPIRY,
        "queries.mark_expired(call.tx, row.sha256)",
        "tests/keeper/test_expiry.py::test_upkeep_ends_what_is_late_and_gives_its_count_back",
    ),
)
