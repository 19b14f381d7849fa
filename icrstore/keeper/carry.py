"""Carrying: one keeper's checkpoint goes to the other, and comes back cosigned.

C2SP tlog-witness, from the log's side. A keeper never calls out, so whoever needs a cosignature
carries the checkpoint; nothing that is carried needs to be trusted.
"""

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

from icrstore.keeper.answers import (
    KeeperFailure,
    KeeperForked,
    KeeperRefused,
    KeepersRefused,
    KeeperUnreachable,
    Logged,
    Proven,
)
from icrstore.keeper.calls import Keeper
from icrstore.keeper.evidence import Evidence, EvidenceError, LogKeys, check_evidence, check_leaves
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.note import Note, parse_note
from icrstore.tlog.witness import add_cosignatures

# Carriers in other processes may overtake us this often; each time one of them got through.
_TRIES = 30
# What a witness says of a log that does not continue the one it cosigned.
_FORKED = ("inconsistent", "old-above-new")


class _Forked(Exception):
    """A log does not continue what its witness cosigned."""

    def __init__(self, origin: str, note: Note) -> None:
        super().__init__(origin)
        self.origin, self.note = origin, note


class Carrier:
    """Carries the logs of one keeper to its witness. Safe to use from many threads."""

    def __init__(self, keeper: Keeper, witness: Keeper) -> None:
        own, other = keeper.identity, witness.identity
        self.keys = LogKeys(own.name, own.log_key, other.name, other.witness_key)
        self._keeper, self._witness = keeper, witness
        # Threads that carry one log at once would only overtake each other.
        self._lock = threading.Lock()
        # The size of each log that was cosigned last, as far as we know: saves a 409.
        self._cosigned: dict[str, int] = {}

    def carry(self, logged: Logged, told: Mapping[str, Any] | None) -> Proven:
        """These leaves under a cosigned checkpoint, checked; what they say too, if ``told``.

        Raises `KeeperUntrue` (a log that forked, too), `KeepersRefused`, `KeeperUnreachable`.
        """
        try:
            with self._lock:
                evidence = self._cosign(logged)
            if told is None:
                check_leaves(evidence, self.keys, len(logged.leaves))
            else:
                check_evidence(evidence, self.keys, told, len(logged.leaves))
        except (LogError, EvidenceError) as error:
            raise self._keeper.untrue("checkpoint") from error
        except KeeperRefused as refused:
            raise KeepersRefused([refused]) from refused
        except _Forked as forked:
            raise KeeperForked(self._keeper.role, self._show(forked)) from forked
        return Proven(evidence, tuple(leaf.salt for leaf in logged.leaves))

    def _show(self, forked: _Forked) -> list[str]:
        """Show the keeper what it signed and its witness cosigned: one that was put back from a
        copy stops itself by that. Without either of them it is shown the next time."""
        notes = [forked.note.encode().decode()]
        with contextlib.suppress(KeeperFailure):
            notes.append(self._witness.cosigned_last(forked.origin))
            self._keeper.show_own(notes[-1])
        return notes

    def _cosign(self, logged: Logged) -> Evidence:
        note, proofs = parse_note(logged.checkpoint.encode()), logged.proofs
        checkpoint = parse_checkpoint(note.body)
        origin = checkpoint.origin
        old = min(self._cosigned.get(origin, 0), checkpoint.size)
        for _ in range(_TRIES):
            answer = self._add_checkpoint(origin, old, checkpoint.size, note)
            if isinstance(answer, bytes):
                self._cosigned[origin] = checkpoint.size
                cosigned = add_cosignatures(note, answer, [self.keys.witness])
                return logged.evidence(cosigned.encode().decode(), proofs)
            if answer == old:
                raise _Forked(origin, note)  # two roots of one size
            old = answer
            if old > checkpoint.size:
                # Leaves after ours are cosigned already: show ours in that larger log.
                note = parse_note(self._keeper.checkpoint(origin).encode())
                checkpoint = parse_checkpoint(note.body)
                if checkpoint.origin != origin:
                    raise EvidenceError("another log")
                if checkpoint.size < old:
                    raise _Forked(origin, note)  # it forgot what was cosigned
                proofs = self._inclusion(logged, origin, checkpoint.size)
        raise KeeperUnreachable(self._witness.role, "overtaken")

    def _add_checkpoint(self, origin: str, old: int, new: int, note: Note) -> bytes | int:
        proof = self._keeper.consistency(origin, old, new) if 0 < old < new else ()
        try:
            return self._witness.add_checkpoint(old, proof, note)
        except KeeperRefused as refused:
            if refused.code in _FORKED:
                raise _Forked(origin, note) from refused
            raise

    def _inclusion(self, logged: Logged, origin: str, size: int) -> tuple[tuple[bytes, ...], ...]:
        return tuple(self._keeper.inclusion(origin, leaf.index, size) for leaf in logged.leaves)
