"""What is pushed and asked about: a made-up day, or the visitor's own log."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from deploy.demo import household, own_log
from deploy.demo.count import Count, Moment
from deploy.demo.telling import Telling, say
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.pools import is_private

# None of the made-up connections goes there, and few of anybody's: documentation and test ranges.
_NOWHERE = ("198.18.99.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24")
MAIL_PORT = 993
# Whose records those are that name no account.
OWN_ACCOUNT = "household-1"


@dataclass(frozen=True)
class Day:
    """The file to push and what tells whose its records are; the account and hours to ask about.

    ``moments`` are put to purpose 1, with the verdict that must come; ``inside`` and ``outside``
    are networks that the account reached and did not.
    """

    log: Path
    whose: tuple[str, ...]
    account: str
    first: datetime
    until: datetime
    count: Count
    moments: tuple[tuple[Moment, tuple[str, ...]], ...]
    inside: str
    outside: str


def made_up(telling: Telling) -> Day:
    """Two homes behind one public address, and the leases that tell them apart."""
    until = hour_start(telling.now)
    log, leases = telling.folder / "gateway.ndjson", telling.folder / "leases.csv"
    log.write_text("".join(f"{line}\n" for line in household.gateway_log(until)))
    leases.write_text("".join(f"{line}\n" for line in household.leases(until)))
    account, count = household.HOUSEHOLD.account, Count.leased(log, leases)
    for name, records in sorted(count.accounts().items()):
        say(f"  {name}: {records} connections")
    say(f"  {log.name} names no account; both homes' IPv4 is seen as {household.PUBLIC}")
    unique = count.unique(account, MAIL_PORT, household.PUBLIC)
    shared = count.shared(account, household.PUBLIC)
    return Day(
        log=log,
        whose=("--leases", leases.name),
        account=account,
        first=until - timedelta(hours=24),
        until=until,
        count=count,
        moments=(
            (unique, ("UNIQUE",)),
            (shared, ("AMBIGUOUS",)),
            (count.unused(unique), ("NONE",)),
        ),
        inside=f"{household.MAIL}/32",
        outside=_NOWHERE[0],
    )


def own(telling: Telling, source: Path) -> Day:
    """The records of a log, moved in time; raises what `own_log.move` raises.

    A file is moved once: told again, it is the same batches, which the store keeps once.
    """
    log = telling.folder / f"{telling.tenant}.ndjson"
    if log.exists():
        say("  moved at an earlier telling: the same batches again, which are stored once")
    else:
        _move(telling, source, log)
    count = Count.moved(source, log, OWN_ACCOUNT)
    account, records = count.accounts().most_common(1)[0]
    say(f"  asked about below: account {account}, {records} distinct records")
    first, last = count.span()
    inside = count.services(account).most_common(1)[0][0][0]
    return Day(
        log=log,
        whose=(),
        account=account,
        first=hour_start(first),
        until=hour_start(last) + HOUR,
        count=count,
        moments=_public_moments(count, account),
        inside=str(ipaddress.ip_network(inside)),
        outside=next(net for net in _NOWHERE if not count.reached(account, net)[0]),
    )


def _move(telling: Telling, source: Path, log: Path) -> None:
    draft = log.with_suffix(".new")
    moved = own_log.move(source, OWN_ACCOUNT, draft, telling.now)
    say(f"  {sum(moved.accounts.values())} records of {len(moved.accounts)} account(s),")
    say(f"  moved by {moved.by // HOUR} h, so that the last falls in the last whole hour;")
    say(f"  left out, since they would be older than 47 h: {moved.too_old}")
    for reason, count in sorted(moved.not_records.items()):
        say(f"  no record ({reason}): {count}")
    draft.replace(log)


def _public_moments(count: Count, account: str) -> tuple[tuple[Moment, tuple[str, ...]], ...]:
    """One, if a source of this account is public; its port may have been merged away."""
    for moment in count.sources(account):
        packed = ipaddress.ip_address(moment.address).packed
        if not is_private(packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed):
            return ((moment, ("UNIQUE", "HOLDER", "AMBIGUOUS")),)
    return ()
