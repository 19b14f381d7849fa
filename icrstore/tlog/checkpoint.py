"""A log's signed size and root, after C2SP tlog-checkpoint, and the cosignatures upon it."""

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass

from icrstore.tlog.errors import NoteError
from icrstore.tlog.merkle import EMPTY_ROOT, HASH_BYTES
from icrstore.tlog.note import (
    Note,
    SigningKey,
    VerifierKey,
    decode_hash,
    parse_note,
    verify,
)

LARGEST_SIZE = (1 << 63) - 1

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """What a log was at one moment: `size` leaves under `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        named = bool(self.origin) and not any(each < " " for each in self.origin)
        possible = 0 <= self.size <= LARGEST_SIZE and len(self.root) == HASH_BYTES
        # A log of no leaves has but one root; another would be a promise about nothing.
        if not named or not possible or (self.size == 0 and self.root != EMPTY_ROOT):
            raise NoteError("malformed-checkpoint")

    def body(self) -> str:
        """The note body: origin, size and root, a line each, and never an extension line."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(body: str) -> Checkpoint:
    """A checkpoint from a note's body, not yet believed; raises NoteError(malformed-checkpoint).

    Extension lines are passed over: they are signed with the body and mean nothing here.
    """
    origin, *lines = body.removesuffix("\n").split("\n")
    if not body.endswith("\n") or len(lines) < 2 or "" in lines:
        raise NoteError("malformed-checkpoint")
    size, root = parse_size(lines[0]), decode_hash(lines[1], "malformed-checkpoint")
    return Checkpoint(origin, size, root)


def parse_size(text: str) -> int:
    """A tree size in plain decimal digits; raises NoteError(malformed-checkpoint)."""
    if not _SIZE.fullmatch(text):
        raise NoteError("malformed-checkpoint")
    return int(text)


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> Note:
    """The checkpoint as a note signed by its log; nothing is stored.

    From the moment this leaves the process the log has promised it: sign only what is durable.
    """
    body = checkpoint.body()
    return Note(body, (key.sign(body),))


def verify_checkpoint(encoded: bytes, origin: str, log_key: VerifierKey) -> Checkpoint:
    """The checkpoint of this log, if its key signed it; raises NoteError."""
    note = parse_note(encoded)
    verify(note, [log_key])
    return _of_origin(note, origin)


def verify_cosigned(
    encoded: bytes,
    origin: str,
    log_key: VerifierKey,
    witnesses: Collection[VerifierKey],
    *,
    at_least: int,
) -> tuple[Checkpoint, dict[VerifierKey, int]]:
    """The checkpoint of this log and the Unix time at which each witness cosigned it.

    1. The log's own key signed it, and no known signature is bad.
    2. At least `at_least` witnesses with different keys cosigned it (not-cosigned).

    Raises NoteError. The times are not compared with any clock: that is the caller's to do.
    """
    note = parse_note(encoded)
    times = verify(note, [log_key, *witnesses])
    # 1. A witness's word without the log's is nothing.
    if log_key not in times:
        raise NoteError("unsigned")
    # 2. A cosignature does not bind its witness's name, so it is keys that are counted.
    cosigned = {key: time for key, time in times.items() if time is not None and key != log_key}
    if len({key.public for key in cosigned}) < at_least:
        raise NoteError("not-cosigned")
    return _of_origin(note, origin), cosigned


def _of_origin(note: Note, origin: str) -> Checkpoint:
    checkpoint = parse_checkpoint(note.body)
    if checkpoint.origin != origin:
        raise NoteError("wrong-origin")
    return checkpoint
