"""One line that changes on a terminal; a line of JSON for each event if asked for."""

import json
import sys
from collections import Counter
from collections.abc import Callable

from icrstore.collector.spool import Spooled


class Progress:
    """What a push does, as it does it; ``left`` counts the batches that are still to go."""

    def __init__(self, as_json: bool, left: Callable[[], int]) -> None:
        self._as_json, self._left = as_json, left
        self._on_terminal = not as_json and sys.stderr.isatty()
        self._counts: Counter[str] = Counter()

    def tell(self, event: str, batch: Spooled | None, more: dict[str, object]) -> None:
        self._counts[event] += 1
        if self._as_json:
            told: dict[str, object] = {"event": event, **more}
            if batch:
                told |= {"batch_id": batch.id.hex(), "records": batch.records}
            print(json.dumps(told), flush=True)
        elif self._on_terminal:
            counts = ", ".join(f"{count} {name}" for name, count in self._counts.items())
            print(f"\r{self._left()} batches to push: {counts}\033[K", end="", file=sys.stderr)

    def end(self) -> None:
        if self._on_terminal and self._counts:
            print(file=sys.stderr)
