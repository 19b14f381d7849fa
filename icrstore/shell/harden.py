"""What a process that holds keys can cheaply do for itself: no cores, no tracing, private files.

Called where a process begins, and never by what a test may import: from there on nobody of the same
uid reads its memory or its environment, and what it forks inherits that. Root still can.
"""

import ctypes
import errno
import os
import resource
import signal
import stat
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


class Exposed(OSError):
    """Others can read a secret's file; the message says the mend."""


def harden() -> None:
    """Call first. Raises OSError where the kernel refuses."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with(parent: int) -> None:
    """Called by a fork: to be killed as soon as its parent has ended. Raises OSError if it has, or
    where the kernel refuses."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError(errno.ESRCH, "the parent has ended")


def read_private(path: Path) -> bytes:
    """A secret's file. Raises `Exposed` for one that others could have read, and OSError."""
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise Exposed(f"{path}: others can read it: run `chmod 600 {path}`")
        return file.read()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
