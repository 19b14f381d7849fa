"""Serving: a copied log's checkpoint, tiles and bundles, byte for byte after C2SP tlog-tiles."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from accounts.tenancy import of_caller
from icrstore.ledger.models import Checkpoint, Fork, Leaf, Log, Node
from icrstore.seal.epoch import ROLES
from icrstore.tlog.errors import LogError
from icrstore.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, bundle, tile_bytes


class NotCopied(Exception):
    """No such log, or nothing of it there under that name."""


def checkpoint(role: str, pseudonym: str) -> bytes:
    """The newest checkpoint whose leaves are all here, cosigned. Raises `NotCopied`."""
    with _log(role, pseudonym) as newest:
        return newest.note.encode()


def fork(role: str, pseudonym: str) -> bytes:
    """What convicts this log of two histories (`icr-verify fork`). Raises `NotCopied`."""
    with _log(role, pseudonym) as newest:
        found = Fork.objects.filter(log=newest.log).first()
        if found is None:
            raise NotCopied
        return found.evidence.encode()


def tile(role: str, pseudonym: str, path: str) -> bytes:
    """A hash tile or a bundle of entries. Raises `NotCopied`."""
    try:
        wanted = Tile.parse(path)
    except LogError:
        raise NotCopied from None
    with _log(role, pseudonym) as newest:
        if not wanted.is_within(newest.size):
            raise NotCopied
        first = wanted.index * TILE_WIDTH
        span = (first, first + wanted.width - 1)
        if wanted.level is None:
            leaves = Leaf.objects.filter(log=newest.log, number__range=span).order_by("number")
            return _whole(bundle([leaf.text.encode() for leaf in leaves]), wanted, len(leaves))
        height = TILE_HEIGHT * wanted.level
        held = Node.objects.filter(log=newest.log, level=height, number__range=span)
        hashes = {node.number: bytes(node.hash) for node in held}
        # A row that was taken away: nothing is made up in its place.
        return _whole(b"", wanted, len(hashes)) or tile_bytes(lambda _, n: hashes[n], wanted)


def _whole(made: bytes, wanted: Tile, count: int) -> bytes:
    if count != wanted.width:
        raise NotCopied
    return made


@contextmanager
def _log(role: str, pseudonym: str) -> Iterator[Checkpoint]:
    """The newest checkpoint of a log that somebody names. Raises `NotCopied`."""
    # PostgreSQL is asked for nothing that cannot be a name: it takes no zero byte in a text.
    if role not in ROLES or not re.fullmatch(r"[0-9a-f]{16}", pseudonym, re.ASCII):
        raise NotCopied
    with of_caller(pseudonym):
        log = Log.objects.filter(role=role, pseudonym=pseudonym).first()
        newest = log and log.newest()
        if not newest:
            raise NotCopied
        yield newest
