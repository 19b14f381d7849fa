"""The witness: cosigns any checkpoint of its peer's logs that continues the one before.

C2SP tlog-witness (add-checkpoint) and tlog-cosignature. It has its own file and its own lock, and
asks neither the keeper's store for leave to write nor its clock whether it is right: a witness that
could be held up could be made to forget. Who can write its file can make it cosign a log that has
forked; who can read it learns sizes.
"""

from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper, check_not_quarantined
from icrstore.keeper.names import is_log_of, origin_of, witness_key_name
from icrstore.keeper.store import Connection, Store
from icrstore.tlog.checkpoint import Checkpoint
from icrstore.tlog.note import ED25519, Note, Signature, SigningKey, VerifierKey, parse_note
from icrstore.tlog.witness import decide, parse_request

SCHEMA = """
CREATE TABLE IF NOT EXISTS cosigned (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32),
    note BLOB NOT NULL                                 -- as the log signed it and we cosigned it
) STRICT;
"""
STORE = "witness.db"


class Witness:
    """One keeper's witness."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._store = Store(keeper.folder / STORE, SCHEMA)
        self._key = SigningKey(witness_key_name(keeper.identity.name), keeper.identity.witness)

    def add_checkpoint(self, body: bytes) -> bytes:
        """The cosignature line, once what was cosigned is durable; where it is not new, nothing
        is written. Raises WitnessRefusal, and Refused(quarantined)."""
        request = parse_request(body)
        log_key = self._log_key(request.checkpoint.origin)
        cosignature = self._key.cosign(request.note.body, int(self._keeper.clock().timestamp()))
        with self._store.write() as tx:
            latest = _latest(tx, request.checkpoint.origin)
            made = decide(request, log_key, latest)
            if made != latest:
                remember(tx, made, _with(request.note, log_key, cosignature))
        return cosignature.line().encode()

    def last(self, pseudonym: str) -> bytes:
        """The checkpoint of the peer's log that we cosigned last, for whoever must show the peer
        what it has signed. Raises Refused(no-such-log)."""
        with self._keeper.store.read() as tx:
            origins = [origin_of(peer.name, pseudonym) for peer in queries.peers(tx)]
        with self._store.read() as tx:
            notes = [note for origin, note in cosigned(tx).items() if origin in origins]
        if not notes:
            raise Refused("no-such-log", 404)
        return notes[0].encode()

    def _log_key(self, origin: str) -> VerifierKey | None:
        with self._keeper.store.read() as tx:
            check_not_quarantined(tx)
            peer = next((p for p in queries.peers(tx) if is_log_of(p.name, origin)), None)
        return VerifierKey(origin, ED25519, peer.log_key) if peer else None


def remember(tx: Connection, made: Checkpoint, note: Note) -> None:
    """From here this is the latest of its log that was cosigned."""
    row = (made.origin, made.size, made.root, note.encode())
    tx.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?)", row)


def cosigned(tx: Connection) -> dict[str, Note]:
    """What was cosigned last, by the log's origin."""
    rows = tx.execute("SELECT origin, note FROM cosigned ORDER BY origin")
    return {origin: parse_note(note) for origin, note in rows}


def _latest(tx: Connection, origin: str) -> Checkpoint | None:
    row = tx.execute("SELECT size, root FROM cosigned WHERE origin = ?", (origin,)).fetchone()
    return Checkpoint(origin, *row) if row else None


def _with(note: Note, log_key: VerifierKey | None, cosignature: Signature) -> Note:
    """The log's own signature and ours: whoever brought the note may have added lines to it."""
    assert log_key is not None
    of_log = [s for s in note.signatures if (s.name, s.key_id) == (log_key.name, log_key.key_id)]
    return Note(note.body, (*of_log[:1], cosignature))
