"""Outside witnesses: whoever wants to may cosign the keepers' logs too, after C2SP tlog-witness.

The other keeper's cosignature is what every share hangs on; an outsider's stands beside it in the
published checkpoint, for readers who pin that witness. It is asked once a copy is to be kept, and
one that is away or refuses holds up nothing.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.note import COSIGNATURE, Note, VerifierKey
from icrstore.tlog.witness import add_cosignatures, format_request
from icrstore.wire import fetch
from icrstore.wire.errors import CallFailed

logger = logging.getLogger(__name__)

Consistency = Callable[[int, int], Sequence[bytes]]


@dataclass(frozen=True)
class OutsideWitness:
    """A witness by its key, as it is published (`name+id+base64`), and the prefix of its URL."""

    key: VerifierKey
    url: str

    @classmethod
    def parse(cls, line: str) -> "OutsideWitness":
        """Raises ValueError and `NoteError`."""
        key, url = line.split()
        made = cls(VerifierKey.parse(key), url)
        if made.key.kind != COSIGNATURE or not fetch.is_server(url):
            raise ValueError("a line is: KEY https://WITNESS")
        return made

    def cosign(self, note: Note, consistency: Consistency) -> Note:
        """The note with this witness's cosignature. Raises `CallFailed` and `LogError`.

        It is asked from size 0 first, and tells by 409 from which size it goes on.
        """
        size, old = parse_checkpoint(note.body).size, 0
        for _ in range(3):
            proof = consistency(old, size) if 0 < old < size else ()
            answer = fetch.call(self.url, "add-checkpoint", format_request(old, proof, note))
            if answer.status == 200:
                return add_cosignatures(note, answer.body, [self.key])
            told = answer.body.removesuffix(b"\n")
            if answer.status != 409 or not told.isdigit() or not old < int(told[:19]) <= size:
                break
            old = int(told)
        raise CallFailed(f"status-{answer.status}")


def read_witnesses(path: Path) -> list[OutsideWitness]:
    """Those that a file names, one a line; none where there is no file. Raises ValueError."""
    if not path.exists():
        return []
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [OutsideWitness.parse(line) for line in lines if line and not line.startswith("#")]


def cosign(witnesses: Sequence[OutsideWitness], note: Note, consistency: Consistency) -> Note:
    """The note with the cosignatures of those that gave one."""
    for witness in witnesses:
        try:
            note = witness.cosign(note, consistency)
        except (CallFailed, LogError) as failed:
            logger.warning("witness %s has not cosigned: %s", witness.key.name, failed)
    return note
