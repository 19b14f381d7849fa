"""A few of the points that `python -m tests.faults.inject` takes all of."""

import shutil

import pytest

from tests.faults.inject import Point, Scene
from tests.keeper.pair import Pair

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@needs_strace
def test_a_disk_that_fails_at_any_write_loses_no_leaf_and_lends_nothing_unlogged(
    own_pair: Pair,
) -> None:
    scene = Scene(own_pair)
    assert scene.strike(Point("register", "kill", 5))
    assert scene.strike(Point("commit", "EIO", 7))
    assert scene.strike(Point("commit", "kill", 2, "fdatasync"))
    assert scene.strike(Point("release", "ENOSPC", 3))
