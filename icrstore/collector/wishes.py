"""A backfill wished for while a collector runs: it holds the spool, so the wish lies beside it.

Trusted as the spool is: who can write it has what is too old pushed once more.
"""

import json
import os
from datetime import datetime
from pathlib import Path

from icrstore.collector.frames import Frames
from icrstore.shell.keyfile import MODE
from icrstore.warrant.strict import Fields, StatementError, time_text


def wish(spool: Path, first: datetime, end: datetime) -> None:
    """Have the collector that runs release the span, within seconds; a later wish replaces it."""
    place = _place(spool)
    aside = place.with_name(f"{place.name}.new")
    content = json.dumps({"from": time_text(first), "to": time_text(end)}).encode()
    file = os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, MODE)
    try:
        os.write(file, content)
    finally:
        os.close(file)
    aside.replace(place)


def grant(spool: Path, frames: Frames, now: datetime) -> int:
    """Release what was wished for; how many records. Killed half way, it is done again."""
    place = _place(spool)
    if not place.exists():
        return 0
    try:
        fields = Fields(json.loads(place.read_bytes()))
        released = frames.release(fields.time("from"), fields.time("to"), now)
    except (ValueError, StatementError):
        released = 0
    # From here it is in the spool what may be pushed.
    place.unlink()
    return released


def _place(spool: Path) -> Path:
    return spool.with_name(f"{spool.name}.backfill")
