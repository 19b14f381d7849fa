"""What the tests of faults share: a collector of their own beside the site's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.feeder import Feeder
from tests.site import TENANT, Site


@pytest.fixture(scope="session")
def config(site: Site) -> Path:
    return site.add_collector(TENANT, "faults-1")


@pytest.fixture
def feeder(config: Path) -> Iterator[Feeder]:
    made = Feeder(config)
    yield made
    made.close()
