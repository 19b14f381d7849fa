"""Messages that say "look", as a worker answers them.

Kombu keeps a message that it could not acknowledge as unanswered for good, and a worker that takes
one at a time then hears no other: it is there and deaf. So one that loses its broker while it
acknowledges ends, as one does that loses it at any other moment, and the supervisor starts another.
"""

import logging
import os
from typing import Any

from celery import Task
from celery.worker import request, state

logger = logging.getLogger(__name__)


class Request(request.Request):
    """One message on its way to a child."""

    def acknowledge(self) -> None:
        if self.acknowledged:
            return
        lost = tuple(self.connection_errors)
        try:
            self.message.ack()
        except lost as error:
            logger.warning("the broker was lost (%s): this worker ends", type(error).__name__)
            state.should_stop = os.EX_TEMPFAIL  # type: ignore[assignment] # an exit code
        self.acknowledged = True


class Look(Task):  # type: ignore[type-arg] # of any signature
    """What every task of ours is."""

    Request: Any = Request
