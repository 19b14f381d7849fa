"""The monitor on real keepers' logs, as the notifier copies them and web serves them."""

from datetime import timedelta

from icrstore.monitor.look import Look, look
from icrstore.monitor.state import State
from icrstore.monitor.tally import DEBTS
from icrstore.seal.epoch import ROLES
from tests.keeper.pair import Pair
from tests.keeper.papers import ACCOUNT, utc_now
from tests.ledger.copies import acting, copy_logs, fetch, log_of, trust_of
from tests.vault.rooms import Database, Rooms


def test_a_question_leaves_the_debts_that_it_should(
    own_pair: Pair, database: Database, rooms: Rooms
) -> None:
    def seen(state: State, hours: float) -> Look:
        copy_logs(database, own_pair)
        origins = [log_of(role).origin for role in ROLES]
        with acting(database, "web"):
            return look(
                fetch, trust_of(own_pair), origins, state, utc_now() + timedelta(hours=hours),
                accept=False,
            )  # fmt: skip

    def debts(found: Look) -> set[str]:
        told = {line.partition(": ")[2] for line in found.faults}
        return {line for line in told if "later leaves are missing" not in line}

    question = own_pair.question()
    own_pair.keepers().commit(question)
    first = seen({}, 0)
    assert (first.faults, len(first.logs)) == ((), 2)
    assert debts(seen(first.state, 0.6)) == {f"1 {DEBTS['unended']}"}
    own_pair.run(question)
    second = seen(first.state, 0)
    assert second.faults == ()
    assert [log.new for log in second.logs] == [1, 1]
    assert debts(seen(second.state, 24.1)) == {f"1 {DEBTS['undisclosed']}"}
    own_pair.keepers().disclose(question, own_pair.disclosure(question, ACCOUNT))
    third = seen(second.state, 0)
    assert debts(seen(third.state, 24.1)) == {f"2 {DEBTS['untold']}"}
