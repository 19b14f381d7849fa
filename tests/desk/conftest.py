"""An authority's office and the web that it speaks to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from icrstore.shell import client
from tests.desk.fake_web import FakeWeb
from tests.desk.office import Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office.make(tmp_path)


@pytest.fixture
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as made:
        yield made


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
