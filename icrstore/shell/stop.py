"""How a command ends early: which input, its mend, and an exit status of sysexits."""

import os

USAGE = os.EX_USAGE
DATA = os.EX_DATAERR
NO_INPUT = os.EX_NOINPUT
UNAVAILABLE = os.EX_UNAVAILABLE
TEMPORARY = os.EX_TEMPFAIL
REFUSED = os.EX_NOPERM


class Stop(Exception):
    """The command ends; its message names the input and the mend, and holds nothing secret."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
