"""What was seen last, in one small file: it is trusted, since a fork shows against it.

Who writes it makes its owner believe another beginning. Damage shows as it is read: note and edge
must have one root.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icrstore.keeper.leaves import read_lines
from icrstore.monitor.tally import DEBTS, Mark, Tally
from icrstore.shell.stop import DATA, USAGE, Stop
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.follow import Seen
from icrstore.tlog.merkle import edge, root
from icrstore.tlog.note import parse_note
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object, time_text

MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class LogState:
    """One log: what was seen of it, its tally, and how many debts of a kind were explained."""

    seen: Seen
    tally: Tally
    explained: Mapping[str, int] = field(default_factory=dict)


State = dict[str, LogState]  # by origin


def read_state(path: Path) -> State:
    """What was seen; nothing if there is no file yet. Raises `Stop` for one that is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Stop(USAGE, f"{path}: {error.strerror}: name a file that can be read") from None
    try:
        fields = Fields(parse_object(content, MOST_BYTES), "state")
        fields.version()
        read = dict(fields.items("logs", _read_log, 0, 100))
        fields.finish()
    except (StatementError, LogError, UnicodeEncodeError):
        mend = "keep it, it is evidence; restore it, or begin anew with another --state"
        raise Stop(DATA, f"{path}: not what icr-monitor wrote: {mend}") from None
    return read


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file; if it fails half way the old one is still there. Raises `Stop`."""
    aside = path.with_name(f".{path.name}.new")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise Stop(USAGE, f"{path}: {error.strerror}: name a file that can be made") from None


def write_state(path: Path, state: State) -> None:
    logs = [_log_object(log) for _, log in sorted(state.items())]
    write_whole(path, dump({"v": 1, "logs": logs}) + b"\n")


def _log_object(log: LogState) -> dict[str, Any]:
    return {
        "note": log.seen.note.decode(),
        "edge": [each.hex() for each in log.seen.edge],
        "last_day": log.tally.last_day or "-",
        "marks": [
            {"at": time_text(mark.at), "counts": dict(mark.counts)} for mark in log.tally.marks
        ],
        "explained": dict(log.explained),
    }


def _read_log(value: Any, place: str) -> tuple[str, LogState]:
    fields = Fields(value, place)
    note = read_lines(fields, "note").encode()
    checkpoint = parse_checkpoint(parse_note(note).body)
    hashes = fields.items("edge", _hash, 0, 63)
    places = edge(checkpoint.size)
    held = dict(zip(places, hashes, strict=False))
    if len(places) != len(hashes) or root(lambda *at: held[at], checkpoint.size) != checkpoint.root:
        raise StatementError("wrong-root", place)
    last_day = fields.text("last_day", 10)
    if last_day != "-":
        Fields({"last_day": last_day}, place).day("last_day")
    marks = fields.items("marks", _mark, 0, 1 << 16)
    explained = _counts(fields, "explained", tuple(DEBTS))
    fields.finish()
    tally = Tally(marks, last_day if last_day != "-" else "")
    return checkpoint.origin, LogState(Seen(note, checkpoint, hashes), tally, explained)


def _hash(value: Any, place: str) -> bytes:
    return Fields({"hash": value}, place).hexadecimal("hash", 32)


def _mark(value: Any, place: str) -> Mark:
    fields = Fields(value, place)
    made = Mark(fields.time("at"), _counts(fields, "counts", None))
    fields.finish()
    return made


def _counts(fields: Fields, name: str, known: tuple[str, ...] | None) -> dict[str, int]:
    value = fields.take(name)
    if not isinstance(value, dict) or not (known is None or set(value) <= set(known)):
        raise StatementError("not-counts", name)
    counts = Fields(value, name)
    return {kind: counts.integer(kind, 0, 1 << 53) for kind in value}
