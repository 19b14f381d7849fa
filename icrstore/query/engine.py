"""The engine: takes one request to both keepers, opens what they lend, answers, and seals.

1. What waits to be sealed is read first, and kept: the keepers fix the epochs once, so a batch that
   is sealed later is in no list, and an engine that begins again must not take it for included.
2. Commit: both keepers check everything by themselves and log the question.
3. Release, then lend: both log the access before either gives its share.
4. Rows are fetched, proven and opened; what is missing names its epoch.
5. Disclose: both keepers log whom the answer names. Only then is it sealed to its recipients.

Every step is safe to take again. An engine that is back within 15 minutes of a crash finishes the
request; after that the keepers end it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.policies import pool_policies
from icrstore.keeper.answers import Committed, ListedEpoch, Proven, Shares
from icrstore.keeper.client import Keepers, Question
from icrstore.query import reached, resolve, services
from icrstore.query.coverage import HourCoverage, cover
from icrstore.query.keyring import EngineKeys, ShareKey
from icrstore.query.opening import Lent, Opened, open_rows
from icrstore.query.package import check_recipients, package, seal_to, sha256
from icrstore.query.records import distinct_of, records_of
from icrstore.seal.epoch import ROLES, Role
from icrstore.seal.pools import DEFAULT, Pools
from icrstore.vault import reader
from icrstore.vault.accepted import Unsealed
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.statements import AccountSelector, AddressSelector, Request, Selector, Warrant
from icrstore.warrant.strict import dump

DEMONSTRATION = "demonstration: both keepers on one host"


@dataclass(frozen=True)
class Found:
    """What a purpose makes of the opened rows: its part of the answer, whom it names with how many
    records of each it was made from, and how many accounts were opened for it."""

    fields: dict[str, Any]
    records: Mapping[str, int]
    opened_accounts: int


@dataclass(frozen=True)
class Steps:
    """What the keepers logged on the way, to be shown with the answer."""

    commits: Mapping[Role, Committed]
    releases: Mapping[Role, Proven]


def answer(
    keys: EngineKeys, keepers: Keepers, question: Question, share_key: ShareKey,
    waiting: Sequence[Unsealed], demonstration: bool,
) -> bytes:  # fmt: skip
    """The sealed disclosure of a question. Raises what the keepers' client does, `StatementError`.

    ``waiting``: what was not sealed before the question's *first* commit (`coverage.cover`).
    """
    warrant, request = Warrant.parse(question.warrant), Request.parse(question.request)
    check_recipients(warrant.recipient_keys)
    commits = keepers.commit(question)
    releases = keepers.release(question, commits)
    shares = keepers.lend(question, commits, releases, share_key.private)

    opened, policies = Opened(), _pools_by_digest(question.tenant)
    for held, wrong in reader.held_epochs(question.tenant, _logged(commits)):
        # Only of an address do the pools say the names.
        known = (
            _with_pools(held, policies, opened)
            if warrant.purpose == "resolve"
            else ((epoch, DEFAULT) for epoch in held)
        )
        open_rows(_lent(known, shares, request.selectors), reader.bodies, opened)
        opened.failed |= wrong
    hours = cover(
        request.all_hours(),
        {role: made.epochs for role, made in commits.items()},
        reader.shards_of(question.tenant),
        waiting,
        opened.failed,
    )
    found = _PURPOSES[warrant.purpose](warrant, request, opened, hours)
    plain = dump({
        "v": 1,
        "request_sha256": question.request.sha256.hex(),
        "tenant": question.tenant,
        "purpose": warrant.purpose,
        "notice": DEMONSTRATION if demonstration else None,
        "hours": [hour.to_object() for hour in hours],
        "accounts": list(found.records),
        **found.fields,
    })  # fmt: skip
    # From here the disclosure is in both logs: if we stop now it is logged but unread, which is
    # the safe side.
    statement = _disclosure(keys, question, found, plain)
    disclosed = keepers.disclose(question, statement)
    shown = _shown(Steps(commits, releases), disclosed, keepers)
    content = package(plain, question.warrant, question.request, question.grants, statement, shown)
    return seal_to(warrant.recipient_keys, question.request.sha256, content)


def _logged(commits: Mapping[Role, Committed]) -> list[ListedEpoch]:
    """The epochs that both keepers list alike, by (hour, eid)."""
    first, *others = (made.epochs for made in commits.values())
    shared = set(first).intersection(*others)
    return [epoch for epoch in first if epoch in shared]


def _pools_by_digest(tenant: str) -> dict[bytes, Pools]:
    """What the database says of a tenant's pools. An epoch names its own by their digest, so who
    exchanges or deletes a policy here makes epochs that fail, and no name that is not theirs."""
    return {pools.sha256: pools for _, pools in [*pool_policies(tenant), (None, DEFAULT)]}


def _with_pools(
    held: Iterable[reader.HeldEpoch], policies: Mapping[bytes, Pools], opened: Opened
) -> Iterator[tuple[reader.HeldEpoch, Pools]]:
    """The epochs whose pools are known, one set of pools for each hour; the others fail."""
    for epoch in held:
        hour, pools = epoch.statement.epoch.hour, policies.get(epoch.statement.pools_sha256)
        if pools is None or opened.pools.setdefault(hour, pools) != pools:
            opened.fail(epoch, "its pools are not the policy's that it was sealed by")
        else:
            yield epoch, pools


def _lent(
    held: Iterable[tuple[reader.HeldEpoch, Pools]],
    shares: Mapping[Role, Shares],
    selectors: Sequence[Selector],
) -> Iterator[Lent]:
    for epoch, pools in held:
        eid, made = epoch.statement.epoch.eid, {}
        # Two selectors may have one name (an address at two times): its rows are opened once.
        for selector in selectors:
            pairs = zip(*(shares[role][eid, selector] for role in ROLES), strict=True)
            for name, pair in zip(selector.sealed_names(pools), pairs, strict=True):
                made[selector.kind, name] = pair
        for (kind, name), (operator, oversight) in made.items():
            yield Lent(epoch, kind, name, operator, oversight)


def _resolve(
    warrant: Warrant, request: Request, opened: Opened, hours: Sequence[HourCoverage]
) -> Found:
    made = [
        resolve.resolve(selector, opened.of_address(selector), opened.pools)
        for selector in request.selectors
        if isinstance(selector, AddressSelector)
    ]
    covered = [resolve.as_covered(one, hours) for one in made]
    shown = [one.to_object(warrant.max_candidates) for one in covered]
    named = {account for one in shown for account in one["accounts"]}
    fields = {"resolutions": shown, "limits": list(resolve.LIMITS)}
    # Of two selectors with one name (an address at two times) the rows were opened once.
    records = resolve.records_of(opened.all())
    return Found(fields, {account: records[account] for account in sorted(named)}, len(records))


def _services(
    warrant: Warrant, request: Request, opened: Opened, hours: Sequence[HourCoverage]
) -> Found:
    accounts = _accounts(request)
    reports = [services.report(account, opened.of(account.encode())) for account in accounts]
    fields = {
        "records": sum(report.records for report in reports),
        "collapsed": sum(report.collapsed for report in reports),
        "services": [row for report in reports for row in report.services],
        "by_service": [row for report in reports for row in report.by_service],
        "limits": services.limits(reports),
    }
    records = {account: one.records for account, one in zip(accounts, reports, strict=True)}
    return Found(fields, records, len(accounts))


def _reached(
    warrant: Warrant, request: Request, opened: Opened, hours: Sequence[HourCoverage]
) -> Found:
    reaches, counts = [], {}
    for account in _accounts(request):
        records = distinct_of(records_of(opened.of(account.encode())))
        counts[account] = records.num_rows
        reaches += reached.reach(account, records, request.targets, hours)
    fields = {
        "reached": [one.to_object() for one in reaches],
        "limits": list(reached.LIMITS),
    }
    return Found(fields, counts, len(counts))


_PURPOSES = {"resolve": _resolve, "services": _services, "reached": _reached}


def _accounts(request: Request) -> tuple[str, ...]:
    return tuple(s.account for s in request.selectors if isinstance(s, AccountSelector))


def _disclosure(keys: EngineKeys, question: Question, found: Found, plain: bytes) -> Envelope:
    made = Disclosure(
        request_sha256=question.request.sha256,
        accounts=tuple(found.records),
        records=tuple(found.records.values()),
        opened_accounts=found.opened_accounts,
        answer_sha256=sha256(plain),
    )
    return Envelope.sign("disclosure", made.to_fields(), keys.identity)


def _shown(steps: Steps, disclosed: Mapping[Role, Proven], keepers: Keepers) -> dict[str, Any]:
    return {
        role: {
            "name": keepers.name(role),
            "commit": steps.commits[role].proven.evidence.to_object(),
            "release": steps.releases[role].evidence.to_object(),
            "disclosure": disclosed[role].to_object(),
        }
        for role in disclosed
    }
