"""Files that are there whole or not at all, in a folder that several sealers share."""

import fcntl
import os
from pathlib import Path

from icrstore.keeper.files import write_whole


def replace_file(path: Path, content: bytes) -> None:
    """`write_whole`, by one after the other: what is written aside has one name, so that what a
    killed process left there goes with the next."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Held by this open file: nobody who is killed keeps the others waiting.
        fcntl.flock(folder, fcntl.LOCK_EX)
        write_whole(path, content)
    finally:
        os.close(folder)
