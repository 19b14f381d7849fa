"""The three purposes: each looks at what is opened, part by part, and says what it found.

What a purpose has looked at it forgets, but for what its answer needs.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from icrstore.query import reached, resolve, services
from icrstore.query.coverage import Coverage, HourCoverage
from icrstore.query.opening import Failures, Opened
from icrstore.query.records import Records, Write, Written
from icrstore.seal import address_map
from icrstore.seal.encode import text
from icrstore.seal.pools import DEFAULT, Pools
from icrstore.seal.rows import Segment
from icrstore.vault.reader import HeldEpoch
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    Purpose,
    Request,
    Warrant,
)

OTHER_POOLS = "its pools are not the policy's that it was sealed by"


@dataclass(frozen=True)
class Found:
    """What a purpose makes of the opened rows: its part of the answer, whom it names with how many
    records of each it was made from, and how many accounts were opened for it."""

    fields: dict[str, Any]
    records: Mapping[str, int]
    opened_accounts: int


class Looking(ABC):
    """One question's look at what is opened."""

    def __init__(self, warrant: Warrant, request: Request) -> None:
        self.warrant, self.request = warrant, request

    def with_pools(
        self, held: Sequence[HeldEpoch], by_digest: Mapping[bytes, Pools], failed: Failures
    ) -> list[tuple[HeldEpoch, Pools]]:
        """Epochs with the pools that say their names, as far as the names need any."""
        return [(epoch, DEFAULT) for epoch in held]

    @abstractmethod
    def take(self, part: Sequence[Opened]) -> None:
        """All that there is of some hours."""

    def settle(self, write: Write) -> None:  # noqa: B027 - most have nothing to be written
        """Everything was taken: what times the answer tells is given to be written out."""

    @abstractmethod
    def handed(self) -> Any:
        """What was taken, for another look of the same question to `join`; it can be pickled."""

    @abstractmethod
    def join(self, handed: Any) -> None:
        """What another look has taken of other hours."""

    @abstractmethod
    def found(self, hours: Sequence[HourCoverage]) -> Found:
        """What it comes to, once everything was taken."""


class Resolving(Looking):
    """Purpose 1: its segments are few, and are looked at all together."""

    def __init__(self, warrant: Warrant, request: Request) -> None:
        super().__init__(warrant, request)
        self._bindings: dict[tuple[bytes, datetime], list[address_map.Bindings]] = defaultdict(list)
        self._pools: dict[datetime, Pools] = {}

    def with_pools(
        self, held: Sequence[HeldEpoch], by_digest: Mapping[bytes, Pools], failed: Failures
    ) -> list[tuple[HeldEpoch, Pools]]:
        """Those whose pools are known, one set of pools for each hour; the others fail."""
        made = []
        for epoch in held:
            pools = by_digest.get(epoch.pools_sha256)
            if pools is None or self._pools.setdefault(epoch.hour, pools) != pools:
                failed.add(epoch, OTHER_POOLS)
            else:
                made.append((epoch, pools))
        return made

    def take(self, part: Sequence[Opened]) -> None:
        for one in part:
            self._bindings[one.name, one.hour].append(address_map.read(one.segment))

    def handed(self) -> Any:
        return dict(self._bindings), self._pools

    def join(self, handed: Any) -> None:
        bindings, pools = handed
        self._bindings.update(bindings)
        self._pools.update(pools)

    def found(self, hours: Sequence[HourCoverage]) -> Found:
        covered, most = Coverage(hours), self.warrant.max_candidates
        made = [
            resolve.as_covered(resolve.resolve(selector, self._of(selector), self._pools), covered)
            for selector in self.request.selectors
            if isinstance(selector, AddressSelector)
        ]
        shown = [one.to_object(most) for one in made]
        named = {account for one in shown for account in one["accounts"]}
        fields = {"resolutions": shown, "limits": list(resolve.LIMITS)}
        # Of two selectors with one name (an address at two times) the rows were opened once.
        records = resolve.records_of(chain.from_iterable(self._bindings.values()))
        counted = {account: records[account] for account in sorted(named)}
        return Found(fields, counted, len(records))

    def _of(self, selector: AddressSelector) -> list[tuple[datetime, address_map.Bindings]]:
        """The bindings of an address, by its names in each hour."""
        return [
            (hour, bindings)
            for hour, pools in self._pools.items()
            for name in dict.fromkeys(selector.sealed_names(pools))
            for bindings in self._bindings.get((name, hour), ())
        ]


class OfAccounts(Looking):
    """What looks at the records of accounts, one account after the other."""

    def __init__(self, warrant: Warrant, request: Request) -> None:
        super().__init__(warrant, request)
        selectors = request.selectors
        self.accounts = [one.account for one in selectors if isinstance(one, AccountSelector)]

    def take(self, part: Sequence[Opened]) -> None:
        segments: dict[bytes, list[tuple[datetime, Segment]]] = defaultdict(list)
        for one in part:
            segments[one.name].append((one.hour, one.segment))
        for account in self.accounts:
            if of_account := segments.get(text(account)):
                self.add(account, Records(of_account))

    @abstractmethod
    def add(self, account: str, records: Records) -> None:
        """All of an account's records of some hours."""


class UsingServices(OfAccounts):
    """Purpose 2."""

    def __init__(self, warrant: Warrant, request: Request) -> None:
        super().__init__(warrant, request)
        self._tallies = {account: services.Tally() for account in self.accounts}
        self._written: dict[str, Written] = {}

    def add(self, account: str, records: Records) -> None:
        self._tallies[account].add(records)

    def handed(self) -> Any:
        return self._tallies

    def join(self, handed: Any) -> None:
        for account, tally in handed.items():
            self._tallies[account].join(tally)

    def settle(self, write: Write) -> None:
        self._written = {account: write(tally.times()) for account, tally in self._tallies.items()}

    def found(self, hours: Sequence[HourCoverage]) -> Found:
        reports = [
            tally.report(account, self._written.get(account))
            for account, tally in self._tallies.items()
        ]
        fields = {
            "records": sum(report.records for report in reports),
            "collapsed": sum(report.collapsed for report in reports),
            "services": [row for report in reports for row in report.services],
            "by_service": [row for report in reports for row in report.by_service],
            "limits": services.limits(reports),
        }
        counts = {account: tally.records for account, tally in self._tallies.items()}
        return Found(fields, counts, len(counts))


class Reaching(OfAccounts):
    """Purpose 3."""

    def __init__(self, warrant: Warrant, request: Request) -> None:
        super().__init__(warrant, request)
        self._matches = {account: reached.Matches(request.targets) for account in self.accounts}

    def add(self, account: str, records: Records) -> None:
        self._matches[account].add(records)

    def handed(self) -> Any:
        return {account: matches.handed() for account, matches in self._matches.items()}

    def join(self, handed: Any) -> None:
        for account, matches in handed.items():
            self._matches[account].join(*matches)

    def found(self, hours: Sequence[HourCoverage]) -> Found:
        covered = Coverage(hours)
        reaches = [
            reach
            for account, matches in self._matches.items()
            for reach in matches.verdicts(account, covered)
        ]
        fields = {
            "reached": [one.to_object() for one in reaches],
            "limits": list(reached.LIMITS),
        }
        counts = {account: matches.records for account, matches in self._matches.items()}
        return Found(fields, counts, len(counts))


PURPOSES: Mapping[Purpose, type[Looking]] = {
    "resolve": Resolving, "services": UsingServices, "reached": Reaching,
}  # fmt: skip
