"""What a keeper owed when it was put back from a copy, and what it fell to owe until found out."""

from pathlib import Path

import pytest

from icrstore.keeper.answers import KeeperUntrue
from icrstore.keeper.fsck import fsck
from tests.keeper.outside import Outside
from tests.keeper.pair import Pair
from tests.keeper.papers import ACCOUNT, TENANT
from tests.keeper.story import Story


def test_a_debt_of_a_leaf_that_is_taken_back_leaves_no_gap_in_the_numbers(
    still_pair: Pair, tmp_path: Path
) -> None:
    """Two engines go on with what the copy knows as released, and carry nothing yet: one names an
    account, by a leaf that is lost again, and then shares are lent by a leaf that stays."""
    story = Story(still_pair, "operator", tmp_path, Outside(still_pair))
    pair, role = still_pair, story.role
    with story.serving():
        named, lent = pair.question(), pair.question()
        releases = [
            pair.keepers().release(one, pair.keepers().commit(one)) for one in (named, lent)
        ]
        story.outside.follow()
    story.copy()
    with story.serving():
        story.seal()
        story.outside.follow()
    story.put_back()
    with story.serving():
        keeper, evidence = pair.keeper(role), releases[1][role].evidence.to_object()
        answer = pair.disclosure(named, ACCOUNT).to_object()
        assert keeper.post("/v1/disclosure", {"disclosure": answer})
        asked = {"request_sha256": lent.request.sha256.hex(), "evidence": evidence}
        assert keeper.post("/v1/lend", asked)
        with pytest.raises(KeeperUntrue):
            pair.run(story.new_question())
    story.recover()
    assert fsck(story.store, print) == []
    kept = [made[role].evidence.leaves[0].index for made in releases]
    with story.serving():
        owed = pair.teller(role).due(TENANT, 0)
    assert [(one.number, one.leaf.index) for one in owed] == [*enumerate(kept, 1)]
