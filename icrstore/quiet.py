"""Errors in the log by type and place: a message might repeat what a record or a caller said."""

import logging
import traceback

from icrstore.shell.stop import Stop

_PLACES = 6


def quietly(error: BaseException) -> str:
    """What an operator needs in order to mend it, on one line."""
    if isinstance(error, Stop):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places or '?'}"


class Quiet(logging.Filter):
    """Whoever logs an exception, a library too, logs only this of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg, record.args = f"failed: {quietly(error)}", None
            record.exc_info = record.exc_text = record.stack_info = None
        return True
