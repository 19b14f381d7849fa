"""A keeper that was put back from a copy, and what the world has seen of it meanwhile."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper import salvage
from icrstore.keeper.answers import KeeperUntrue
from icrstore.keeper.client import Question
from icrstore.keeper.errors import Refused
from icrstore.keeper.keys import CHAIN
from icrstore.keeper.published import source
from icrstore.keeper.recover import Outcome, recover
from icrstore.seal.epoch import ROLES, Role
from tests.keeper.outside import Outside
from tests.keeper.pair import Pair, SealedEpoch, rows_of
from tests.keeper.papers import ACCOUNT, last_hour, utc_now

NOW = timedelta(0)
each_role = pytest.mark.parametrize("story", ROLES, indirect=True)


@dataclass
class Story:
    """A keeper (``role``) that was copied, went on, and was put back; all that is known of it."""

    pair: Pair
    role: Role
    folder: Path
    outside: Outside
    epochs: list[SealedEpoch] = field(default_factory=list)
    before: Question | None = None
    after: Question | None = None

    @property
    def store(self) -> Path:
        return self.pair.processes[self.role].folder

    def seal(self, account: str = ACCOUNT) -> None:
        self.epochs.append(self.pair.seal_epoch(last_hour(), rows_of(account)))
        assert self.pair.register(self.epochs[-1]) == {role: [None] for role in ROLES}

    def copy(self) -> None:
        shutil.copytree(self.store, self.folder / "copy")

    def copy_again(self) -> None:
        shutil.rmtree(self.folder / "copy")
        self.copy()

    def put_back(self) -> None:
        """All but the chain's file, which is never put back."""
        chain = (self.store / CHAIN).read_bytes()
        shutil.rmtree(self.store)
        shutil.copytree(self.folder / "copy", self.store)
        (self.store / CHAIN).write_bytes(chain)

    def recover(self, pins_compared: bool = False) -> list[Outcome]:
        published = self.outside.publish(self.folder / "published")
        with self.pair.owner(self.role) as keeper:
            return recover(keeper, source(str(published)), pins_compared)

    def new_question(self) -> Question:
        """Under a warrant of now: nobody can have used it before."""
        pair = self.pair
        return pair.question(pair.warrant(pair.warrant_of(valid_from=utc_now())))

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        with self.pair.serving_ahead(NOW):
            yield


@pytest.fixture
def story(request: pytest.FixtureRequest, still_pair: Pair, tmp_path: Path) -> Story:
    """Sealed, asked; copied; sealed, asked and disclosed again; put back, and found out."""
    role: Role = getattr(request, "param", "operator")
    made = Story(still_pair, role, tmp_path, Outside(still_pair))
    with made.serving():
        made.seal()
        made.before = still_pair.question()
        still_pair.run(made.before)
        made.outside.follow()
    made.copy()
    with made.serving():
        made.seal("another")
        made.after = still_pair.question()
        still_pair.run(made.after)
        still_pair.keepers().disclose(made.after, still_pair.disclosure(made.after, ACCOUNT))
        made.outside.follow()
    made.put_back()
    with made.serving(), pytest.raises(KeeperUntrue):
        still_pair.run(made.new_question())
    return made


def is_quarantined(story: Story) -> bool:
    with story.pair.owner(story.role) as keeper, keeper.store.read() as tx:
        return salvage.is_quarantined(tx)


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code
