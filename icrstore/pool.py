"""Celery's prefork pool, made to see at once that a child has ended.

Each child does one task and exits. Celery is told so by a closing pipe, looks before the kernel has
the exit code, sees a living child, and looks again only after 5 seconds (celery issue 9588), while
the next task waits.
"""

from collections.abc import Callable

from celery.concurrency import asynpool, prefork

LOOK_SECONDS = 0.1


class _Children(asynpool.AsynPool):
    @property
    def timers(self) -> dict[Callable[[], None], float]:
        return {self.maintain_pool: LOOK_SECONDS}


class Pool(prefork.TaskPool):
    """What ``worker_pool`` names."""

    Pool = _Children
