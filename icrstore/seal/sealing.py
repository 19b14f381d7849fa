"""Sealing an epoch: groups of records in, rows of both maps and their manifest out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

from icrstore.seal import account_map, address_map, bindings, runs
from icrstore.seal.bindings import BindingGroup
from icrstore.seal.encode import text
from icrstore.seal.epoch import Epoch, Kind, Role, Shares
from icrstore.seal.group import Group
from icrstore.seal.manifest import Manifest
from icrstore.seal.pools import Pools
from icrstore.seal.rows import Row, Segment, SelectorKeys

Piece = account_map.Piece | address_map.Piece


@dataclass(frozen=True)
class SealedEpoch:
    """Rows in label order, so that their order tells nothing, and the manifest over them."""

    rows: list[Row]
    manifest: Manifest


def seal_epoch(
    epoch: Epoch, atoms: Mapping[Role, bytes], groups: Iterable[Group | BindingGroup], pools: Pools
) -> SealedEpoch:
    """Seal the groups (one for each unit of time, of connections and of bindings) of one hour and
    shard under fresh atoms, by the pools that are in force in that hour."""
    groups = list(groups)
    accounts = (
        (text(piece.account), piece)
        for group in groups
        if isinstance(group, Group)
        for piece in account_map.pieces(group)
    )
    addresses = ((piece.selector, piece) for piece in _address_pieces(groups, pools))
    shares = Shares(atoms["operator"], atoms["oversight"])
    rows = [
        *_seal(epoch, shares, "account", accounts),
        *_seal(epoch, shares, "address", addresses),
    ]
    rows.sort(key=attrgetter("label"))
    return SealedEpoch(rows, Manifest.of(rows))


def _address_pieces(
    groups: Iterable[Group | BindingGroup], pools: Pools
) -> Iterator[address_map.Piece]:
    told = [(one, bindings.runs_of(one, pools)) for one in groups if isinstance(one, BindingGroup)]
    accounts_told = bindings.told_by(told)
    for group in groups:
        if isinstance(group, Group) and (made := runs.runs_of(group, pools, accounts_told)):
            yield from address_map.pieces(group, made)
    for one, made in told:
        yield from address_map.pieces(one, made)


def _seal(
    epoch: Epoch, shares: Shares, kind: Kind, pieces: Iterable[tuple[bytes, Piece]]
) -> Iterator[Row]:
    """Of each selector its chunks, which need not come one after another."""
    chunks_of: dict[bytes, list[Piece]] = {}
    for selector, piece in pieces:
        chunks_of.setdefault(selector, []).append(piece)
    eid = epoch.eid
    for selector, chunks in chunks_of.items():
        operator, oversight = shares.of(kind, selector)
        keys = SelectorKeys(operator, oversight, eid, kind, selector)
        last = len(chunks) - 1
        for number, piece in enumerate(chunks):
            yield keys.seal(Segment(number, last, piece.records, piece.columns))
