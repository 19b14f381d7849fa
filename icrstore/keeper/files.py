"""Files that are there whole or not at all: written aside, synced, renamed, folder synced."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace ``path`` (mode 0600). If it fails half way the old file is still there, whole.

    A process killed half way leaves what it wrote aside, always under one name: a link of the key
    chain that lay about under a name of its own would outlive its day.
    """
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    try:
        _write_synced(aside, content)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_secret(path: Path, content: bytes) -> None:
    """`write_whole`, then overwrite what was there before, as far as the file system allows.

    If it fails in between, the new file is there and the old bytes may still be on the disk.
    """
    if not path.exists():
        write_whole(path, content)
        return
    with path.open("r+b") as before:
        size = os.fstat(before.fileno()).st_size
        write_whole(path, content)
        before.write(bytes(size))
        before.flush()
        os.fsync(before.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_synced(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
