"""Strangers: refusals of callers whom nobody pinned, counted by code.

They get no leaf, or anyone could fill the log; and no write, or each call would cost us a sync and
them nothing. They are counted here, and written down once a minute by the keeper's upkeep.
"""

import threading
from collections import Counter

from icrstore.keeper import queries
from icrstore.keeper.store import Store


class Strangers:
    """Safe to use from many threads. What was not written down is lost with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, code: str) -> None:
        with self._lock:
            self._counts[code] += 1

    def write(self, store: Store) -> None:
        """Add what was counted to the store. Raises `StoreLost`, and Refused(busy)."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            if counts:
                with store.write() as tx:
                    for code, refused in counts.items():
                        queries.count_strangers(tx, code, refused)
        except BaseException:
            with self._lock:
                self._counts += counts
            raise
