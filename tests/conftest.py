"""What every room's tests may ask for; imported once, so that each session has one of each."""

from tests.keeper.pairs import own_pair, pair, still_pair, template
from tests.sharing import (
    pytest_collection_modifyitems,
    pytest_runtest_teardown,
    pytest_xdist_make_scheduler,
)
from tests.site import site
from tests.stack import stack
from tests.vault.rooms import database, rooms

__all__ = [
    "database", "own_pair", "pair", "pytest_collection_modifyitems", "pytest_runtest_teardown",
    "pytest_xdist_make_scheduler", "rooms", "site", "stack", "still_pair", "template",
]  # fmt: skip
