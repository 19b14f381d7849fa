"""The logs as anyone may read them: checkpoint, tiles and proofs, after C2SP tlog-tiles."""

from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.store import Connection
from icrstore.tlog import merkle
from icrstore.tlog.tiles import TILE_WIDTH, Tile, bundle, tile_bytes


def checkpoint(keeper: Keeper, pseudonym: str) -> bytes:
    """The latest checkpoint, signed by the log."""
    with keeper.store.read() as tx:
        return _ledger(keeper, tx, pseudonym).checkpoint().encode()


def tile(keeper: Keeper, pseudonym: str, path: str) -> bytes:
    """A hash tile or a bundle of entries. Raises Refused(no-such-tile) and TileError."""
    wanted = Tile.parse(path)
    with keeper.store.read() as tx:
        ledger = _ledger(keeper, tx, pseudonym)
        if not wanted.is_within(ledger.size):
            raise Refused("no-such-tile", 404)
        if wanted.level is not None:
            return tile_bytes(ledger.node, wanted)
        tenant = queries.tenant_of_log(tx, pseudonym)
        first = wanted.index * TILE_WIDTH
        return bundle(queries.leaf_texts(tx, tenant.name, first, wanted.width))


def consistency(keeper: Keeper, pseudonym: str, old: int, new: int) -> dict[str, Any]:
    """The proof that the first ``old`` leaves begin the first ``new``."""
    with keeper.store.read() as tx:
        ledger = _ledger(keeper, tx, pseudonym)
        if not 0 <= old <= new <= ledger.size:
            raise Refused("no-such-size", 404)
        return _proof(merkle.consistency_proof(ledger.node, old, new))


def inclusion(keeper: Keeper, pseudonym: str, index: int, size: int) -> dict[str, Any]:
    """The proof that leaf ``index`` is in the tree of ``size`` leaves."""
    with keeper.store.read() as tx:
        ledger = _ledger(keeper, tx, pseudonym)
        if not 0 <= index < size <= ledger.size:
            raise Refused("no-such-size", 404)
        return _proof(merkle.inclusion_proof(ledger.node, index, size))


def where(keeper: Keeper, caller: bytes, tenant: str) -> dict[str, Any]:
    """Which log is a tenant's, for its engine or notifier: who reads logs elsewhere is not to know.

    Raises Refused(unknown-engine), also for a tenant that is not there.
    """
    with keeper.store.read() as tx:
        if not queries.is_notifier_of(tx, tenant, caller):
            queries.engine_named(tx, tenant, caller)
        found = queries.tenant(tx, tenant)
        ledger = Ledger(tx, keeper.identity, found)
    return {"origin": ledger.origin, "pseudonym": found.pseudonym}


def _ledger(keeper: Keeper, tx: Connection, pseudonym: str) -> Ledger:
    return Ledger(tx, keeper.identity, queries.tenant_of_log(tx, pseudonym))


def _proof(proof: list[bytes]) -> dict[str, Any]:
    return {"proof": [each.hex() for each in proof]}
