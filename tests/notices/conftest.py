from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.notices.office import Office, open_office
from tests.notices.sink import Sink, serve
from tests.vault.rooms import Database


@pytest.fixture(scope="package")
def telling_pair(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two keepers that only these tests ask: what others left due would have to be told first."""
    with copy_pair(template, tmp_path_factory.mktemp("telling")) as made:
        yield made


@pytest.fixture
def sink() -> Iterator[Sink]:
    with serve(Sink()) as made:
        yield made


@pytest.fixture
def office(database: Database, telling_pair: Pair, sink: Sink) -> Iterator[Office]:
    """A notifier with keepers that are shared: leave them serving, use accounts of your own."""
    with open_office(database, telling_pair, sink) as made:
        yield made


@pytest.fixture
def own_office(database: Database, own_pair: Pair, sink: Sink, tmp_path: Path) -> Iterator[Office]:
    """One with keepers of its own, to stop and kill."""
    with open_office(database, own_pair, sink) as made:
        yield made
