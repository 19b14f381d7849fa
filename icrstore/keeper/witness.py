"""The witness: cosigns any checkpoint of its peer's logs that continues the one before.

C2SP tlog-witness (add-checkpoint) and tlog-cosignature. It has its own file and its own lock, and
asks neither the keeper's store for leave to write nor its clock whether it is right: a witness that
could be held up could be made to forget. Who can write its file can make it cosign a log that has
forked; who can read it learns sizes.
"""

from icrstore.keeper import queries
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.names import is_log_of, witness_key_name
from icrstore.keeper.store import Connection, Store
from icrstore.tlog.checkpoint import Checkpoint
from icrstore.tlog.note import ED25519, SigningKey, VerifierKey
from icrstore.tlog.witness import decide, parse_request

SCHEMA = """
CREATE TABLE IF NOT EXISTS cosigned (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32)
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
        """The cosignature line, once what was cosigned is durable. Raises WitnessRefusal."""
        request = parse_request(body)
        log_key = self._log_key(request.checkpoint.origin)
        with self._store.write() as tx:
            latest = _latest(tx, request.checkpoint.origin)
            _remember(tx, decide(request, log_key, latest))
        unix_seconds = int(self._keeper.clock().timestamp())
        return self._key.cosign(request.note.body, unix_seconds).line().encode()

    def _log_key(self, origin: str) -> VerifierKey | None:
        with self._keeper.store.read() as tx:
            peer = next((p for p in queries.peers(tx) if is_log_of(p.name, origin)), None)
        return VerifierKey(origin, ED25519, peer.log_key) if peer else None


def _latest(tx: Connection, origin: str) -> Checkpoint | None:
    row = tx.execute("SELECT size, root FROM cosigned WHERE origin = ?", (origin,)).fetchone()
    return Checkpoint(origin, *row) if row else None


def _remember(tx: Connection, made: Checkpoint) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?)", (made.origin, made.size, made.root)
    )
