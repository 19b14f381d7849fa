"""What a witness is asked and when it cosigns, after C2SP tlog-witness: add-checkpoint.

Pure decisions: the caller keeps the latest cosigned checkpoint of each origin, and must read it,
decide and store its successor in one transaction, durable before the cosignature is handed out.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint, parse_size
from icrstore.tlog.errors import LogError, NoteError, ProofError
from icrstore.tlog.merkle import EMPTY_ROOT, verify_consistency
from icrstore.tlog.note import (
    COSIGNATURE,
    Note,
    VerifierKey,
    decode_hash,
    decode_text,
    parse_note,
    parse_signatures,
    verify,
)

MAX_PROOF_LINES = 63
SIZE_CONTENT_TYPE = "text/x.tlog.size"


class WitnessRefusal(LogError):
    """The witness does not cosign; `status` is the HTTP status that C2SP gives to the reason.

    400 `malformed`, `old-above-new`; 403 `not-signed`; 404 `unknown-origin`; 409 `stale` (the old
    size is not that of the latest cosigned checkpoint), `conflict` (same size, another root: the
    log has lied); 422 `inconsistent`. With 409 `latest_size` is the size to answer, in decimal and
    a newline, as SIZE_CONTENT_TYPE.
    """

    def __init__(self, status: int, reason: str, latest_size: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.latest_size = latest_size


@dataclass(frozen=True)
class AddCheckpoint:
    """One add-checkpoint request, well formed and not yet believed."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


def format_request(old_size: int, proof: Sequence[bytes], note: Note) -> bytes:
    """The request body: the old size, the consistency proof from it, and the signed checkpoint."""
    lines = "".join(f"{base64.b64encode(each).decode()}\n" for each in proof)
    return f"old {old_size}\n{lines}\n".encode() + note.encode()


def parse_request(body: bytes) -> AddCheckpoint:
    """The request from its body; raises WitnessRefusal(400, malformed)."""
    try:
        return _parse_request(body)
    except NoteError:
        raise WitnessRefusal(400, "malformed") from None


def decide(
    request: AddCheckpoint, log_key: VerifierKey | None, latest: Checkpoint | None
) -> Checkpoint:
    """The checkpoint to store as latest and cosign; raises WitnessRefusal.

    `log_key` is the key pinned for the request's origin and `latest` the checkpoint of that origin
    last cosigned; None where there is none.

    1. The origin is known and its log signed the checkpoint.
    2. The old size is not above the new.
    3. The old size is that of the latest checkpoint, or zero.
    4. The same size has the same root.
    5. The proof shows the new tree to continue the latest.
    """
    checkpoint = request.checkpoint
    # 1. Nothing else is answered about a log that did not sign.
    _check_signature(request.note, log_key)
    # 2. A smaller tree is never cosigned.
    if request.old_size > checkpoint.size:
        raise WitnessRefusal(400, "old-above-new")
    # 3. Otherwise the log learns where to start its proof.
    latest_size, latest_root = (latest.size, latest.root) if latest else (0, EMPTY_ROOT)
    if request.old_size != latest_size:
        raise WitnessRefusal(409, "stale", latest_size)
    # 4. Two roots of one size, both signed, convict the log.
    if checkpoint.size == latest_size and checkpoint.root != latest_root:
        raise WitnessRefusal(409, "conflict", latest_size)
    # 5. From here the new tree is an append to the one we vouched for.
    try:
        sizes = (latest_size, checkpoint.size)
        verify_consistency(*sizes, request.proof, latest_root, checkpoint.root)
    except ProofError:
        raise WitnessRefusal(422, "inconsistent") from None
    return checkpoint


def add_cosignatures(note: Note, response: bytes, witnesses: Collection[VerifierKey]) -> Note:
    """The log's note with the known witnesses' cosignatures from their answer.

    Cosignatures by unknown keys are dropped. Raises NoteError: malformed-note, bad-signature, or
    unsigned if none is by a known witness.
    """
    known = {(key.name, key.key_id) for key in witnesses if key.kind == COSIGNATURE}
    answered = [each for each in parse_signatures(response) if (each.name, each.key_id) in known]
    verify(Note(note.body, tuple(answered)), witnesses)
    return note.with_signatures(answered)


def _parse_request(body: bytes) -> AddCheckpoint:
    head, empty_line, encoded = body.partition(b"\n\n")
    old_line, *proof_lines = decode_text(head + b"\n").removesuffix("\n").split("\n")
    prefix, space, size = old_line.partition(" ")
    if not empty_line or (prefix, space) != ("old", " ") or len(proof_lines) > MAX_PROOF_LINES:
        raise NoteError("malformed-note")
    note = parse_note(encoded)
    proof = tuple(decode_hash(line, "malformed-note") for line in proof_lines)
    return AddCheckpoint(parse_size(size), proof, note, parse_checkpoint(note.body))


def _check_signature(note: Note, log_key: VerifierKey | None) -> None:
    if log_key is None:
        raise WitnessRefusal(404, "unknown-origin")
    try:
        verify(note, [log_key])
    except NoteError:
        raise WitnessRefusal(403, "not-signed") from None
