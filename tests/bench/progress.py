"""What is running and how far it is, on stderr, with the seconds since the start."""

import sys
import time

_BEGAN = time.monotonic()


def tell(line: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {line}", file=sys.stderr, flush=True)
