"""A backfill wished for while a collector runs: it holds the spool, so the wish lies beside it.

Trusted as the spool is: who can write it has what is too old pushed once more.
"""

import json
import os
import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from icrstore.collector.frames import Frames
from icrstore.shell.keyfile import MODE
from icrstore.shell.stop import DATA, Stop
from icrstore.warrant.strict import Fields, StatementError, time_text


def wish(spool: Path, first: datetime, end: datetime) -> None:
    """Have the collector that runs release the span, within seconds. Raises `Stop`."""
    name = f"{spool.name}.backfill-{secrets.token_hex(4)}"
    content = json.dumps({"from": time_text(first), "to": time_text(end)}).encode()
    try:
        _write(spool.with_name(f"{name}.new"), spool.stat(), content)
        # From here it will be granted, and not before: half of one is none.
        spool.with_name(f"{name}.new").replace(spool.with_name(name))
    except OSError as error:
        why = f"{error.strerror}: run this as the account that owns the spool"
        raise Stop(DATA, f"{spool}: {why}") from None


def _write(path: Path, owned_as: os.stat_result, content: bytes) -> None:
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, MODE)
    try:
        os.write(file, content)
        # Wished for by root, it is still the collector that has to read it.
        with suppress(PermissionError):
            os.fchown(file, owned_as.st_uid, owned_as.st_gid)
    finally:
        os.close(file)


def grant(spool: Path, frames: Frames, now: datetime) -> int:
    """Release what was wished for; how many records. Killed half way, it is done again."""
    return sum(_grant(place, frames, now) for place in _places(spool))


def _places(spool: Path) -> list[Path]:
    found = sorted(spool.parent.glob(f"{spool.name}.backfill-????????"))
    return [each for each in found if each.is_file()]


def _grant(place: Path, frames: Frames, now: datetime) -> int:
    released = 0
    with suppress(OSError, ValueError, StatementError):  # What is no wish is taken away.
        fields = Fields(json.loads(place.read_bytes()))
        released = frames.release(fields.time("from"), fields.time("to"), now)
    # From here it is in the spool what may be pushed.
    with suppress(OSError):
        place.unlink()
    return released
