"""Pushes in the background for as long as a service runs, whatever becomes of the store."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.collector.config import Config
from icrstore.collector.push import Push, Tell, utc_now
from icrstore.collector.spool import Spool
from icrstore.flow.gaps import Gap
from icrstore.shell.client import Patience
from icrstore.shell.stop import Stop

FOREVER = float("inf")
DRAIN_SECONDS = 10.0
# What the store refused once is offered again so often, should its operator have mended it.
_AGAIN_SECONDS = 3600.0
# The intake key's hour turns, and clocks are compared, at least so often.
_IDLE_SECONDS = 60.0
WRONG_CLOCK = timedelta(minutes=1)


class Drained(Exception):
    """The service ends: a wait is over."""


class Pusher:
    """One thread. Nothing that the store says or does ends it: it waits, ever longer, and says so.

    ``note`` is told of stretches in which our clock was wrong.
    """

    def __init__(
        self,
        config: Config,
        key: Ed25519PrivateKey,
        spool: Spool,
        tell: Tell,
        note: Callable[[Gap], None],
    ) -> None:
        self._config, self._key, self._spool, self._tell = config, key, spool, tell
        self._note = note
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._push = Push(config, key, spool, FOREVER, self._told, self._pause, self._await_news)
        self._clock_right_at = utc_now()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something to push."""
        self._news.set()

    def now(self) -> datetime:
        """By the store's clock, as far as it is known."""
        return self._push.server.now()

    @property
    def is_alive(self) -> bool:
        """False only by a fault of ours: nothing else ends it."""
        return self._thread.is_alive()

    @property
    def skew_seconds(self) -> float | None:
        skew = self._push.server.skew
        return round(skew.total_seconds(), 3) if skew is not None else None

    def drain(self) -> None:
        """End, after a last try to hand in what waits that takes so long and no longer."""
        self._stopping.set()
        self._news.set()
        deadline = time.monotonic() + DRAIN_SECONDS
        self._thread.join(DRAIN_SECONDS)
        if not self._thread.is_alive() and any(
            each.state == "waiting" for each in self._spool.unfinished()
        ):
            last = threading.Thread(target=self._hand_in, args=(deadline,), daemon=True)
            last.start()
            last.join(max(0.0, deadline - time.monotonic()))

    def _hand_in(self, deadline: float) -> None:
        seconds = max(0.0, deadline - time.monotonic())
        try:
            Push(self._config, self._key, self._spool, seconds, self._tell).hand_in()
        except Stop as stop:
            self._tell("stopped", None, {"why": str(stop)})

    def _run(self) -> None:
        patience, again = Patience(FOREVER, self._pause), time.monotonic() + _AGAIN_SECONDS
        while not self._stopping.is_set():
            try:
                self._push.run()
                self._check_clock()
                patience.progress()
                self._await_news(_IDLE_SECONDS)
            except Drained:
                return
            except Stop as stop:
                self._tell("stopped", None, {"why": str(stop)})
                if not self._waited(patience):
                    return
            if time.monotonic() > again:
                self._push.refused.clear()
                again = time.monotonic() + _AGAIN_SECONDS

    def _waited(self, patience: Patience) -> bool:
        try:
            return patience.wait()
        except Drained:
            return False

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Drained

    def _await_news(self, seconds: float) -> None:
        """Until there is something to push, but no longer."""
        self._news.wait(seconds)
        # What is spooled from here on is news; what was before, whoever looks now sees.
        self._news.clear()
        self._pause(0)

    def _told(self, event: str, batch: object, more: dict[str, object]) -> None:
        self._check_clock()
        self._tell(event, batch, more)  # type: ignore[arg-type] # as Push tells it

    def _check_clock(self) -> None:
        """At each exchange; by the store's clock, since ours is in doubt."""
        skew, now = self._push.server.skew, self.now()
        if skew is not None and abs(skew) > WRONG_CLOCK:
            self._note(Gap(min(self._clock_right_at, now), now, "clock-wrong"))
        else:
            self._clock_right_at = now
