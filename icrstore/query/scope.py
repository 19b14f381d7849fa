"""Some hours of a question: what both keepers lent for them, and what is found there."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
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
from icrstore.warrant.statements import Request, Selector, Warrant

# Asked for together: two rows each, a few kilobytes of proof and up to 40 of records.
GROUP_SELECTORS = 1024


@dataclass(frozen=True)
class Scope:
    """``epochs``: those of some whole hours that both keepers list alike, by hour."""

    tenant: str
    warrant: Warrant
    request: Request
    epochs: Sequence[ListedEpoch]
    shares: Mapping[Role, Shares]

    def halves(self) -> tuple["Scope", "Scope"]:
        """The earlier hours, and the later with the shares of their own epochs alone: they are
        told to another process."""
        middle = self.epochs[len(self.epochs) // 2].hour
        cut = bisect_left(self.epochs, middle, key=attrgetter("hour"))
        later = self.epochs[cut:]
        names = [(one.eid, each) for one in later for each in self.request.selectors]
        shares = {role: {name: lent[name] for name in names} for role, lent in self.shares.items()}
        return replace(self, epochs=self.epochs[:cut]), replace(self, epochs=later, shares=shares)


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


def look(scope: Scope) -> Looked:
    """What a purpose makes of the rows of a scope.

    A month's hours are opened, looked at and forgotten before the next: a year of the busiest
    account is never in memory at once. Columns are understood as they are looked at; where some
    are not, which is seldom, all begins again and every segment is looked at whole before any is
    taken.
    """
    try:
        return _look(scope, lambda part, _: part)
    except RowError:
        return _look(scope, lambda part, failed: list(understood(part, failed)))


def _look(
    scope: Scope, of_part: Callable[[Sequence[Opened], Failures], Sequence[Opened]]
) -> Looked:
    tenant, selectors = scope.tenant, scope.request.selectors
    looking = PURPOSES[scope.warrant.purpose](scope.warrant, scope.request)
    failed = Failures()
    with reader.seen(tenant) as (shards, by_digest):
        for group in _groups(scope.epochs, len(selectors)):
            held, wrong = reader.held_epochs(tenant, group)
            known = looking.with_pools(held, by_digest, failed)
            for part in open_rows(_lent(known, scope.shares, selectors), reader.rows, failed):
                looking.take(of_part(part, failed))
            failed.update(wrong)
    return Looked(looking, failed, shards)


def _groups(logged: Iterable[ListedEpoch], selectors: int) -> Iterator[list[ListedEpoch]]:
    """Epochs of one month, as many whole hours as have few enough rows asked for."""
    group: list[ListedEpoch] = []
    for hour, found in groupby(logged, key=attrgetter("hour")):
        of_hour = list(found)
        is_full = (len(group) + len(of_hour)) * selectors > GROUP_SELECTORS
        if group and (is_full or month_of(hour) != month_of(group[0].hour)):
            yield group
            group = []
        group += of_hour
    if group:
        yield group


def _lent(
    held: Iterable[tuple[reader.HeldEpoch, Pools]],
    shares: Mapping[Role, Shares],
    selectors: Sequence[Selector],
) -> Iterator[Lent]:
    for pools, epochs in groupby(held, key=itemgetter(1)):
        named = [(each, each.kind, each.sealed_names(pools)) for each in selectors]
        for epoch, _ in epochs:
            made = {}
            # Two selectors may have one name (an address at two times): its rows are opened once.
            for selector, kind, names in named:
                pairs = zip(*(shares[role][epoch.eid, selector] for role in ROLES), strict=True)
                for name, pair in zip(names, pairs, strict=True):
                    made[kind, name] = pair
            for (kind, name), (operator, oversight) in made.items():
                yield Lent(epoch, kind, name, operator, oversight)
