"""Some hours of a question: what both keepers list for them, what the store holds of that, and what
is found there once they lend."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any

from icrstore.keeper.answers import ListedEpoch, Shares
from icrstore.query.opening import Failures, Lent, Opened, open_rows, understood
from icrstore.query.purposes import PURPOSES, Looking
from icrstore.seal.epoch import ROLES, Role
from icrstore.seal.pools import Pools
from icrstore.seal.rows import RowError
from icrstore.vault import reader
from icrstore.vault.months import month_of
from icrstore.vault.reader import Held, HeldEpoch
from icrstore.warrant.statements import Request, Selector, Warrant

# Asked for together: of each a row with two proofs, some kilobytes and up to 40 of records.
GROUP_SELECTORS = 1024

Lending = Mapping[Role, Shares]


@dataclass(frozen=True)
class Scope:
    """``epochs``: those of some whole hours that both keepers list alike, by hour."""

    tenant: str
    warrant: Warrant
    request: Request
    epochs: Sequence[ListedEpoch]

    def __reduce__(self) -> tuple[Any, ...]:
        # To tell another process of columns takes half as long.
        columns = list(zip(*self.epochs, strict=True))
        return _of_columns, (self.tenant, self.warrant, self.request, columns)

    def held(self) -> Held:
        """What the store has of them: all that can be looked at before anything is lent."""
        return reader.held(self.tenant, self.epochs)

    def halves(self) -> tuple["Scope", "Scope"]:
        """The hours before the one in the middle, and the others."""
        middle = self.epochs[len(self.epochs) // 2].hour
        cut = bisect_left(self.epochs, middle, key=attrgetter("hour"))
        return replace(self, epochs=self.epochs[:cut]), replace(self, epochs=self.epochs[cut:])

    def shares_of(self, lending: Lending) -> list[tuple[bytes, ...]]:
        """Of what was lent the shares of these hours alone, without their names, which whoever has
        the scope knows."""
        names = self._names
        return [lending[role][name] for role in ROLES for name in names]

    def lending_of(self, shares: Sequence[tuple[bytes, ...]]) -> Lending:
        """What `shares_of` was made of."""
        names, each = self._names, iter(shares)
        return {role: dict(zip(names, islice(each, len(names)), strict=True)) for role in ROLES}

    @property
    def _names(self) -> list[tuple[bytes, Selector]]:
        """What each keeper lends shares for."""
        return [(epoch.eid, each) for epoch in self.epochs for each in self.request.selectors]


def _of_columns(tenant: str, warrant: Warrant, request: Request, columns: Any) -> Scope:
    return Scope(tenant, warrant, request, list(map(ListedEpoch, *columns)))


@dataclass
class Looked:
    """``failed``: what is wrong with an epoch; ``shards``: as many as the database says."""

    looking: Looking
    failed: Failures
    shards: int

    def handed(self) -> tuple[Any, Failures]:
        """What another `Looked` about other hours of the question can `join`."""
        return self.looking.handed(), self.failed

    def join(self, handed: tuple[Any, Failures]) -> None:
        made, failed = handed
        self.looking.join(made)
        self.failed.update(failed)


def look(scope: Scope, held: Held, lending: Lending) -> Looked:
    """What a purpose makes of the rows of a scope.

    A month's hours are opened, looked at and forgotten before the next: a year of the busiest
    account is never in memory at once. Columns are understood as they are looked at; where some
    are not, which is seldom, all begins again and every segment is looked at whole before any is
    taken.
    """
    try:
        return _look(scope, held, lending, lambda part, _: part)
    except RowError:
        return _look(scope, held, lending, lambda part, failed: list(understood(part, failed)))


def _look(
    scope: Scope, held: Held, lending: Lending,
    of_part: Callable[[Sequence[Opened], Failures], Sequence[Opened]],
) -> Looked:  # fmt: skip
    selectors = scope.request.selectors
    looking = PURPOSES[scope.warrant.purpose](scope.warrant, scope.request)
    failed = Failures(held.wrong)
    for group in _groups(held.epochs, len(selectors)):
        known = looking.with_pools(group, held.pools, failed)
        for part in open_rows(_lent(known, lending, selectors), reader.rows, failed):
            looking.take(of_part(part, failed))
    return Looked(looking, failed, held.shards)


def _groups(held: Iterable[HeldEpoch], selectors: int) -> Iterator[list[HeldEpoch]]:
    """Epochs of one month, as many whole hours as have few enough rows asked for."""
    group: list[HeldEpoch] = []
    for hour, found in groupby(held, key=attrgetter("hour")):
        of_hour = list(found)
        is_full = (len(group) + len(of_hour)) * selectors > GROUP_SELECTORS
        if group and (is_full or month_of(hour) != month_of(group[0].hour)):
            yield group
            group = []
        group += of_hour
    if group:
        yield group


def _lent(
    held: Iterable[tuple[HeldEpoch, Pools]], lending: Lending, selectors: Sequence[Selector]
) -> Iterator[Lent]:
    one, other = (lending[role] for role in ROLES)
    for pools, epochs in groupby(held, key=itemgetter(1)):
        named = [(each, each.kind, each.sealed_names(pools)) for each in selectors]
        for epoch, _ in epochs:
            made = {}
            # Two selectors may have one name (an address at two times): its rows are opened once.
            for selector, kind, names in named:
                pair = epoch.eid, selector
                for name, *shares in zip(names, one[pair], other[pair], strict=True):
                    made[kind, name] = shares
            for (kind, name), shares in made.items():
                yield Lent(epoch, kind, name, *shares)
