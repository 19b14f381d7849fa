"""What the parts of one run share: a folder, the hour before which all records are, and a store."""

from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal, Self

from icrstore.seal.epoch import hour_start
from tests.bench import store
from tests.bench.progress import tell
from tests.bench.store import Store

# tiny proves that a part works, small fits a few minutes, full is what a bar means.
Size = Literal["tiny", "small", "full"]


class Bench:
    """Used as a context: what was started is stopped at its end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="icr-bench-")))
        self.until = hour_start(datetime.now(UTC))

    @cached_property
    def store(self) -> Store:
        """Started when first asked for; each load begins with it empty."""
        tell("starting PostgreSQL, both keepers, web, engine")
        return self._stack.enter_context(store.running())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
