"""What the store truly holds: every row that both keepers lend for, opened, nothing collapsed.

It asks as the engine does, but counts a record each time that a row has it: a batch that was
sealed twice shows every record twice, which an answer would hide.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import psycopg

from deploy import database, provision, services
from icrstore.flow.schema import address_text
from icrstore.keeper.answers import ListedEpoch, Shares
from icrstore.keeper.client import Keeper, Keepers, Question
from icrstore.query.keyring import EngineKeys
from icrstore.seal import account_map
from icrstore.seal.encode import text
from icrstore.seal.epoch import ROLES, Kind, Role
from icrstore.seal.group import (
    HAS_DESTINATION_PORT,
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
)
from icrstore.seal.rows import SelectorKeys
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.trust import Trust
from tests.faults.records import Record
from tests.site import TENANT, Site, last_hours

ENGINE = "engine-1"
ACCOUNT: Kind = "account"
# Up to what a keeper takes from a sealer that was held up.
HOURS = 50


def stored(site: Site, accounts: Sequence[str]) -> Counter[Record]:
    """Each record of these accounts in the last 50 hours, and how often it is stored.

    Raises AssertionError where the keepers list different epochs or PostgreSQL lacks one.
    """
    return Counter(
        record
        for account, hour, rows in opened(site, accounts)
        for record in _records(account, hour, rows)
    )


def opened(
    site: Site, accounts: Sequence[str]
) -> Iterator[tuple[str, datetime, account_map.AccountRows]]:
    """Every segment of these accounts in the last 50 hours: whose, of which hour, and its rows."""
    keys = EngineKeys.load(site.stack.layout.secrets("engine"), ENGINE)
    share_key = keys.new_share_key(TENANT, datetime.now(UTC))
    question = _question(site, accounts, share_key.statement)
    keepers = _keepers(site, keys)
    commits = keepers.commit(question)
    releases = keepers.release(question, commits)
    shares = keepers.lend(question, commits, releases, share_key.private)
    assert commits["operator"].epochs == commits["oversight"].epochs
    yield from _opened(site, commits["operator"].epochs, shares, accounts)


def check_whole(site: Site) -> None:
    """No row without its epoch, no epoch with a row more or less than its signed statement says."""
    wrong = site.sql(
        "SELECT e.id, e.rows, s.rows FROM vault_epoch e FULL JOIN"
        " (SELECT epoch_no, count(*) AS rows FROM vault_segment GROUP BY epoch_no) s"
        " ON s.epoch_no = e.id WHERE e.id IS NULL OR coalesce(s.rows, 0) <> e.rows"
    )
    assert wrong == []


def _question(site: Site, accounts: Sequence[str], engine_key: Envelope) -> Question:
    hours = last_hours(HOURS)
    warrant = site.warrant(accounts, *hours)
    request = site.request(warrant, accounts, *hours)
    return Question(TENANT, warrant, request, tuple(site.authority.grants()), engine_key)


def _keepers(site: Site, keys: EngineKeys) -> Keepers:
    layout = site.stack.layout
    trust = Trust.parse(provision.trust_file(site.installation).read_bytes())
    return Keepers({
        who.role: Keeper(who, f"unix:{services.keeper_socket(layout, who.role)}", keys.identity)
        for who in trust.keepers
    })  # fmt: skip


def _opened(
    site: Site,
    epochs: Iterable[ListedEpoch],
    shares: Mapping[Role, Shares],
    accounts: Sequence[str],
) -> Iterator[tuple[str, datetime, account_map.AccountRows]]:
    url = database.database_url(site.stack.layout, "admin")
    with psycopg.connect(url) as connection:
        for epoch in epochs:
            found = connection.execute(
                "SELECT month, id FROM vault_epoch WHERE eid = %s", [epoch.eid]
            ).fetchall()
            assert len(found) == 1, "the keepers logged an epoch that is not held once"
            for account in accounts:
                place = epoch.eid, AccountSelector(account)
                (operator,), (oversight,) = (shares[role][place] for role in ROLES)
                keys = SelectorKeys(operator, oversight, epoch.eid, ACCOUNT, text(account))
                for segment in keys.open_all(_body_of(connection, *found[0])):
                    yield account, epoch.hour, account_map.read(segment)


def _body_of(
    connection: psycopg.Connection, month: int, number: int
) -> Callable[[bytes], bytes | None]:
    def body(label: bytes) -> bytes | None:
        row = connection.execute(
            "SELECT body FROM vault_segment WHERE month = %s AND epoch_no = %s AND label = %s",
            [month, number, label],
        ).fetchone()
        return row[0] if row else None

    return body


def _records(account: str, hour: datetime, rows: account_map.AccountRows) -> Iterator[Record]:
    start = int(hour.timestamp()) * 1000
    for n, bits in enumerate(rows.flags.tolist()):
        yield Record(
            account,
            start + int(rows.nanoseconds[n]) // 1_000_000,
            int(rows.protocol[n]),
            address_text(rows.addresses[rows.source[n]].tobytes()),
            int(rows.source_port[n]) if bits & HAS_SOURCE_PORT else None,
            address_text(rows.addresses[rows.destination[n]].tobytes()),
            int(rows.destination_port[n]) if bits & HAS_DESTINATION_PORT else None,
            address_text(rows.addresses[rows.public[n]].tobytes())
            if bits & HAS_PUBLIC_ADDRESS
            else None,
            int(rows.public_port[n]) if bits & HAS_PUBLIC_PORT else None,
        )
