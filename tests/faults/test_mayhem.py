"""Processes killed while records are pushed and sealed: each record is there once."""

from pathlib import Path

from tests.faults.mayhem import Mayhem
from tests.faults.test_servers import embedded
from tests.site import Site

pytestmark = embedded

# The long form, `tests.faults.soak`, kills web and the collector too.
SHORT = ("sealer", "sealer", "engine", "postgres", "valkey", "keeper-oversight")


def test_whoever_is_killed_while_records_are_sealed_each_is_stored_exactly_once(
    site: Site, config: Path, tmp_path: Path
) -> None:
    mayhem = Mayhem(site, tmp_path, config, seed=20261122)
    kills = mayhem.run(SHORT)
    print(*kills, sep="\n")
    assert len(kills) == len(SHORT)
    assert mayhem.check() > len(SHORT) * 100
    assert mayhem.rejected
