"""The life of a question, through real keepers."""

from icrstore.seal.epoch import ROLES
from icrstore.warrant.statements import AccountSelector
from tests.keeper.pair import Pair, rows_of
from tests.keeper.papers import ACCOUNT, last_hour


def test_two_keepers_together_open_what_the_warrant_names(pair: Pair) -> None:
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT, "another"))
    assert pair.register(sealed) == {role: [None] for role in ROLES}
    lent = pair.run(pair.question())
    assert pair.open_rows(lent, sealed, AccountSelector(ACCOUNT)) == [b"columns of 17-zoe"]
    disclosed = pair.keepers().disclose(lent.question, pair.disclosure(lent.question, ACCOUNT))
    assert all(len(disclosed[role].evidence.leaves) == 1 for role in ROLES)
