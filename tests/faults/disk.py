"""A disk of its own for a spool, small enough to be filled: a tmpfs, which only root can mount.

Elsewhere it is a folder that nobody fills, and says so (`Disk.is_small`).
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LEFT_BYTES = 64 << 10


class Disk:
    """Filled by a file beside the spool; `free` takes that away again."""

    def __init__(self, folder: Path, *, is_small: bool) -> None:
        self.folder, self.is_small = folder, is_small
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Up to the last few pages, and then those too, as whoever writes will find."""
        if not self.is_small:
            return
        room = os.statvfs(self.folder)
        size = max(0, room.f_bavail * room.f_frsize - _LEFT_BYTES)
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), self._ballast.stat().st_size, max(1, size))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """An empty disk at that folder."""
    folder.mkdir()
    options = f"size={megabytes}m,mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    is_small = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield Disk(folder, is_small=is_small)
    finally:
        if is_small:
            subprocess.run(["umount", "-l", str(folder)], check=True)
