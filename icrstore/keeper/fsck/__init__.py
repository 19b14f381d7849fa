"""fsck: everything in a keeper's store computed again from what it stands for; nothing is changed.

A log is hashed again from its leaves' bytes into every node; every private text is opened and
hashed; tags are computed again; rows are tied to their leaves, and leaves to their rows, those of
who is trusted too; every key of a living day, and every atom, is opened. What is found is named,
never what it says.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from icrstore.keeper import queries, salvage
from icrstore.keeper.fsck.days import days
from icrstore.keeper.fsck.log import texts, tree
from icrstore.keeper.fsck.rights import rights
from icrstore.keeper.fsck.tags import tags
from icrstore.keeper.fsck.ties import counts, debts, requests
from icrstore.keeper.fsck.walked import Walked
from icrstore.keeper.keeper import STORE
from icrstore.keeper.keys import Chain, Identity
from icrstore.keeper.store import Connection
from icrstore.keeper.witness import STORE as WITNESS
from icrstore.keeper.witness import cosigned
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.errors import LogError


def fsck(folder: Path, progress: Callable[[str], None]) -> list[str]:
    """Each fault, by tenant and place; none where the store is whole. Safe beside a running keeper.

    ``progress`` hears of long logs. Raises OSError and ValueError where there is no keeper.
    """
    identity, chain = Identity.load(folder), Chain.load(folder)
    with closing(_open(folder / STORE)) as tx:
        faults = [f"store: {each}" for each in _whole(tx)]
        for tenant in queries.tenants(tx):
            lost = salvage.lost_leaves(tx, tenant.name)
            walked = Walked(tx, identity, tenant, lost, progress)
            for check in (tree, texts, rights, requests, debts, counts, tags):
                faults += [f"{tenant.name}: {each}" for each in check(walked)]
            faults += [f"{tenant.name}: {each}" for each in days(walked, chain)]
    if (folder / WITNESS).exists():
        with closing(_open(folder / WITNESS)) as tx:
            faults += [f"witness: {each}" for each in (*_whole(tx), *_witnessed(tx))]
    return faults


def _open(path: Path) -> Connection:
    """One moment of a store, which cannot be written through it."""
    if not path.exists():
        raise ValueError(f"{path}: no store is there")
    made = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    made.execute("BEGIN")
    return made


def _whole(tx: Connection) -> Iterator[str]:
    for (told,) in tx.execute("PRAGMA integrity_check"):
        if told != "ok":
            yield told
    for table, _, parent, _ in tx.execute("PRAGMA foreign_key_check"):
        yield f"{table}: a row without its {parent}"


def _witnessed(tx: Connection) -> Iterator[str]:
    try:
        notes = {origin: parse_checkpoint(note.body) for origin, note in cosigned(tx).items()}
    except LogError:
        yield "a note that is none"
        return
    for origin, size, root in tx.execute("SELECT origin, size, root FROM cosigned"):
        told = notes[origin]
        if (told.origin, told.size, told.root) != (origin, size, root):
            yield f"{origin}: what was cosigned is not what is remembered"
