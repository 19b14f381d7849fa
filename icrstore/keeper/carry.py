"""Carrying: one keeper's checkpoint goes to the other, and comes back cosigned.

C2SP tlog-witness, from the log's side. A keeper never calls out, so whoever needs a cosignature
carries the checkpoint; nothing that is carried needs to be trusted.
"""

import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from icrstore.keeper.leaves import Leaf
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint
from icrstore.tlog.errors import LogError, ProofError
from icrstore.tlog.known import Known
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


@dataclass(frozen=True, eq=False)
class _Shown:
    """A log as its keeper signed it."""

    note: Note
    checkpoint: Checkpoint

    @classmethod
    def read(cls, encoded: str) -> "_Shown":
        """Raises `NoteError`; believes nothing."""
        note = parse_note(encoded.encode())
        return cls(note, parse_checkpoint(note.body))


class Carrier:
    """Carries the logs of one keeper to its witness. Safe to use from many threads."""

    def __init__(self, keeper: Keeper, witness: Keeper) -> None:
        own, other = keeper.identity, witness.identity
        self.keys = LogKeys(own.name, own.log_key, other.name, other.witness_key)
        self._keeper, self._witness = keeper, witness
        # Threads that carried one log at once would only overtake each other: one of them carries
        # the largest that any of them has, and the others show their leaves in that.
        self._lock = threading.Lock()
        self._waiting: list[_Shown] = []
        # What was cosigned last of each log, as far as we know, and how often we had it cosigned.
        self._cosigned: dict[str, _Shown] = {}
        self._times = Counter[str]()
        # Proofs that follow from what the keeper showed already are not asked for.
        self._known = defaultdict[str, Known](Known)

    def carry(self, logged: Logged, told: Mapping[str, Any] | None) -> Proven:
        """These leaves under a cosigned checkpoint, checked; what they say too, if ``told``.

        The cosignature is of now: its answer came after this call.
        Raises `KeeperUntrue` (a log that forked, too), `KeepersRefused`, `KeeperUnreachable`.
        """
        try:
            ours = _Shown.read(logged.checkpoint)
            self._learn(logged, ours.checkpoint)
            evidence = self._shown_in(self._carried(ours), logged, ours)
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

    def _carried(self, ours: _Shown) -> _Shown:
        """Ours cosigned, or a larger one of this log."""
        origin = ours.checkpoint.origin
        before = self._times[origin]
        self._waiting.append(ours)
        try:
            with self._lock:
                # Had another thread it cosigned while we waited, ours may be in that already.
                cosigned = self._cosigned.get(origin)
                if self._times[origin] == before or not _covers(cosigned, ours):
                    cosigned = self._cosign(self._largest(origin))
                    self._cosigned[origin] = cosigned
                    self._times[origin] += 1
        finally:
            self._waiting.remove(ours)
        assert cosigned is not None
        return cosigned

    def _largest(self, origin: str) -> _Shown:
        """Of those that threads wait with."""
        # A copy: whoever has what it waited for leaves meanwhile, and would hide its neighbour.
        waiting = tuple(self._waiting)
        of_log = [one for one in waiting if one.checkpoint.origin == origin]
        return max(of_log, key=lambda one: one.checkpoint.size)

    def _learn(self, logged: Logged, checkpoint: Checkpoint) -> None:
        known, size = self._known[checkpoint.origin], checkpoint.size
        for leaf, proof in zip(logged.leaves, logged.proofs, strict=False):
            if leaf.index < size:
                known.learn(merkle.leaf_hash(leaf.text.encode()), leaf.index, size, proof)

    def _shown_in(self, cosigned: _Shown, logged: Logged, ours: _Shown) -> Evidence:
        """The leaves under the checkpoint that was cosigned."""
        theirs = cosigned.checkpoint
        if ours.checkpoint == theirs:
            proofs = logged.proofs
        elif ours.checkpoint.size == theirs.size:
            raise _Forked(theirs.origin, ours.note)  # two roots of one size
        else:
            proofs = tuple(self._inclusion(leaf, theirs) for leaf in logged.leaves)
        return logged.evidence(cosigned.note.encode().decode(), proofs)

    def _cosign(self, shown: _Shown) -> _Shown:
        """The log as it is shown with its witness's cosignature, or larger where others carried it
        meanwhile."""
        origin = shown.checkpoint.origin
        before = self._cosigned.get(origin)
        old = min(before.checkpoint.size if before else 0, shown.checkpoint.size)
        for _ in range(_TRIES):
            answer = self._add_checkpoint(old, shown)
            if isinstance(answer, bytes):
                note = add_cosignatures(shown.note, answer, [self.keys.witness])
                return _Shown(note, shown.checkpoint)
            if answer == old:
                raise _Forked(origin, shown.note)  # two roots of one size
            old = answer
            if old > shown.checkpoint.size:
                # Leaves after ours are cosigned already: take that larger log.
                shown = _Shown.read(self._keeper.checkpoint(origin))
                if shown.checkpoint.origin != origin:
                    raise EvidenceError("another log")
                if shown.checkpoint.size < old:
                    raise _Forked(origin, shown.note)  # it forgot what was cosigned
        raise KeeperUnreachable(self._witness.role, "overtaken")

    def _add_checkpoint(self, old: int, shown: _Shown) -> bytes | int:
        try:
            return self._witness.add_checkpoint(old, self._consistency(old, shown), shown.note)
        except KeeperRefused as refused:
            if refused.code in _FORKED:
                raise _Forked(shown.checkpoint.origin, shown.note) from refused
            raise

    def _consistency(self, old: int, shown: _Shown) -> Sequence[bytes]:
        origin, new, root = shown.checkpoint.origin, shown.checkpoint.size, shown.checkpoint.root
        if not 0 < old < new:
            return ()
        before = self._cosigned.get(origin)
        with contextlib.suppress(KeyError, ProofError):
            if before and before.checkpoint.size == old:
                proof = merkle.consistency_proof(self._known[origin].node, old, new)
                merkle.verify_consistency(old, new, proof, before.checkpoint.root, root)
                return proof
        return self._keeper.consistency(origin, old, new)

    def _inclusion(self, leaf: Leaf, cosigned: Checkpoint) -> tuple[bytes, ...]:
        origin, size = cosigned.origin, cosigned.size
        with contextlib.suppress(KeyError, ProofError):
            proof = merkle.inclusion_proof(self._known[origin].node, leaf.index, size)
            hashed = merkle.leaf_hash(leaf.text.encode())
            merkle.verify_inclusion(hashed, leaf.index, size, proof, cosigned.root)
            return tuple(proof)
        return self._keeper.inclusion(origin, leaf.index, size)


def _covers(cosigned: _Shown | None, ours: _Shown) -> bool:
    return cosigned is not None and cosigned.checkpoint.size >= ours.checkpoint.size
