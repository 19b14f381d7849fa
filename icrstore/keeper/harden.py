"""What a process that holds keys can cheaply do for itself: no cores, no tracing, private files."""

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Call first. Raises OSError where the kernel refuses."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
