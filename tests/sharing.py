"""How two processes share the tests, with pytest-xdist.

Each has session fixtures of its own. A file is one process's, and so are all that use the site,
which takes longest to start: they come first, and then it rests.
"""

from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling, Scheduling

from tests.site import SITE

ROOT = Path(__file__).parent.parent


@cache
def is_of_site(file: str) -> bool:
    """Whether a test file (relative to ROOT) uses the site."""
    return "from tests.site import" in (ROOT / file).read_text()


class BySite(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "site" if is_of_site(file) else file


@pytest.hookimpl(optionalhook=True)  # without its plugin nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return BySite(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not is_of_site(_file(item)))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    is_last = nextitem is not None and not is_of_site(_file(nextitem))
    if is_last and is_of_site(_file(item)) and SITE in item.session.stash:
        item.session.stash[SITE].rest()


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
