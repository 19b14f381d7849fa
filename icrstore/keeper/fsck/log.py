"""The log itself: every leaf hashed into every node, every private text opened and hashed."""

import hashlib
from collections.abc import Iterator

from icrstore.keeper import queries
from icrstore.keeper.fsck.walked import Walked
from icrstore.keeper.leaves import Leaf, LeafError, LeafText
from icrstore.tlog import merkle
from icrstore.warrant.strict import Fields, StatementError, parse_object


def tree(walked: Walked) -> Iterator[str]:
    """Leaves 0 to size - 1, each hashed into every node above it, and no node besides."""
    count = nodes = 0
    # The right edge alone is needed to go on: a node is used once more, for the one above it.
    edge: dict[tuple[int, int], bytes] = {}
    rows = walked.tx.execute(
        "SELECT number, text FROM leaf WHERE tenant = ? ORDER BY number", (walked.name,)
    )
    for number, text in rows:
        if number != count:
            yield f"leaf {count} is not there"
            return
        count += 1
        made = merkle.new_nodes(lambda *at: edge.pop(at), number, merkle.leaf_hash(text))
        level, index, top = made[-1]
        edge[level, index] = top
        nodes += len(made)
        for level, index, computed in made:
            if _node(walked, level, index) != computed:
                yield f"node {level}/{index} is not what its leaves hash to"
        walked.tell(count, "hashed")
    if count != walked.tenant.size:
        yield f"{count} leaves, and a head of {walked.tenant.size}"
    (held,) = walked.tx.execute(
        "SELECT count(*) FROM node WHERE tenant = ?", (walked.name,)
    ).fetchone()
    if held != nodes:
        yield f"{held} nodes where there must be {nodes}"


def texts(walked: Walked) -> Iterator[str]:
    """Each leaf is one, and its private text opens, is its own and says so; or is known as lost."""
    for number in range(walked.tenant.size):
        text = b"".join(queries.leaf_texts(walked.tx, walked.name, number, 1))
        try:
            lines = LeafText.parse(text.decode("ascii"))
        except (LeafError, UnicodeDecodeError):
            yield f"leaf {number} is no leaf"
            continue
        leaf = walked.leaf(number)
        if number in walked.lost:
            yield from _lost(walked, number, lines)
        elif leaf is None:
            yield f"leaf {number}: its private text does not open"
        elif hashlib.sha256(leaf.private.encode()).digest() != lines.private_sha256:
            yield f"leaf {number}: another private text"
        else:
            yield from _said(walked, leaf, lines)
        walked.tell(number + 1, "opened")


def _node(walked: Walked, level: int, index: int) -> bytes | None:
    row = walked.tx.execute(
        "SELECT hash FROM node WHERE tenant = ? AND level = ? AND number = ?",
        (walked.name, level, index),
    ).fetchone()
    return row[0] if row else None


def _lost(walked: Walked, number: int, lines: LeafText) -> Iterator[str]:
    found = walked.tx.execute(
        "SELECT private_sha256, type, day FROM lost WHERE tenant = ? AND leaf = ?",
        (walked.name, number),
    ).fetchone()
    if found != (lines.private_sha256, lines.type, lines.day):
        yield f"leaf {number} is lost as another leaf"


def _said(walked: Walked, leaf: Leaf, lines: LeafText) -> Iterator[str]:
    try:
        said = parse_object(leaf.private.encode())
        fields = Fields(said)
        told = fields.text("type", 16), fields.text("tenant", 64)
        if lines.type == "epoch":
            eid = fields.text("eid", 32)
            walked.eids[eid] = fields.text("statement_sha256", 64)
        if lines.type == "shred":
            walked.shredded += fields.integer("epochs", 0, 1 << 53)
    except StatementError:
        yield f"leaf {leaf.index}: no private text of ours"
        return
    walked.types[lines.type] += 1
    if lines.type in ("pin", "revoke", "policy"):
        walked.rights[lines.type].append(said)
    if told != (lines.type, walked.name):
        yield f"leaf {leaf.index}: a private text of another type or tenant"
