"""Web with its code replaced: it runs what this test likes, as PostgreSQL's role icr_web, with
web's receipt key and lookup key, and reaches keepers that it could not reach as it is set up.

It can withhold whatever comes to it, and reads what is lodged from then on. What it cannot do is
here, and one thing that it can.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import errors, sql

from accounts.principals import remember, vouched
from icrstore.desk.asking import Desk
from icrstore.desk.watching import Seen, watch
from icrstore.keeper.answers import KeeperRefused
from icrstore.keeper.locked import BoxError, unlock
from icrstore.notices import pull
from icrstore.notices.names import LookupKey, leaf_place
from icrstore.query import waits
from icrstore.query.keyring import EngineKeys
from icrstore.query.lodge import lodge_request, lodge_warrant
from icrstore.query.models import Query
from icrstore.query.run import run_open
from icrstore.seal.encode import digest, enc, prf, text
from icrstore.seal.epoch import HOUR, ROLES, Role
from icrstore.shell.stop import REFUSED, Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EngineKey
from icrstore.warrant.statements import AccountSelector, HourRange
from icrstore.warrant.strict import dump
from icrstore.wire import hpke
from tests.api.web import Caller, Web, web
from tests.attacks.needles import BINARY
from tests.keeper.pair import Pair
from tests.keeper.papers import AUTHORITY, ENGINE, TENANT, utc_now
from tests.ledger.copies import acting, copy_logs, trust_of
from tests.oversight.bodies import Body
from tests.vault.rooms import RECEIPT_KEY, Database, Rooms

__all__ = ["web"]

STORAGE = hpke.PrivateKey.generate()


@dataclass(frozen=True)
class Rogue:
    """What it holds, and an honest engine beside it."""

    database: Database
    rooms: Rooms
    receipt_key: Ed25519PrivateKey
    lookup: LookupKey
    share_key: hpke.PrivateKey

    @property
    def pair(self) -> Pair:
        return self.rooms.pair

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As icr_web, which may say of any tenant that it is the one at hand."""
        with self.database.connect("web") as connection:
            connection.execute("SELECT set_config('icr.tenant', %s, false)", [TENANT])
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def queue(self, request: Envelope, **columns: Any) -> Query:
        """A row of its own making, under the warrant that was lodged last."""
        kept = {"statement": request.to_object(), "grants": []}
        info = enc(b"icr/v1/lodged", text(TENANT), b"request", request.sha256)
        row = {
            "tenant_id": TENANT, "sha256": request.sha256, "state": "queued", "urgent": False,
            "warrant_id": self.sql("SELECT max(id) FROM query_lodgedwarrant")[0][0],
            "sealed": hpke.seal(STORAGE.public_bytes(), info, dump(kept)),
            "created_at": utc_now(), "keepers": "[]", **columns,
        }  # fmt: skip
        made = sql.SQL("INSERT INTO query_query ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        )
        self.sql(made.as_string(), *row.values())
        return Query.objects.get(sha256=request.sha256)

    def lodge(self, account: str, **changes: Any) -> Envelope:
        """As web did while it was honest: a warrant about one account."""
        pair, rooms = self.pair, self.rooms
        made = pair.warrant_of(selectors=(AccountSelector(account),), **changes)
        warrant = pair.warrant(made)
        with acting(self.database, "web"):
            remember(vouched(TENANT, pair.grants(), rooms.now))
            lodge_warrant(rooms.tenant, warrant, pair.grants(), [AUTHORITY],
                          STORAGE.public_bytes(), rooms.now)  # fmt: skip
        return warrant

    def put(self, warrant: Envelope) -> Query:
        request = self.pair.request(self.pair.request_of(warrant))
        with acting(self.database, "web"):
            return lodge_request(self.rooms.tenant, request, (), [AUTHORITY],
                                 STORAGE.public_bytes(), self.rooms.now)  # fmt: skip

    def run_engine(self, query: Query) -> Query:
        keys = EngineKeys(ENGINE, self.pair.keys["engine"], STORAGE)
        with acting(self.database, "engine"):
            assert run_open(keys, self.pair.keepers(), self.rooms.trust, True) == 1
        query.refresh_from_db()
        return query

    def logged(self, type_: str) -> int:
        """How many leaves of a type both keepers have, by their own files."""
        return sum(count for role in ROLES for kind, count in self._types(role) if kind == type_)

    def _types(self, role: Role) -> Iterator[tuple[str, int]]:
        keeper = self.pair.keeper(role)
        origin = keeper.origin(TENANT)
        for entry in keeper.entries(origin, 0, self.pair.leaves(role)):
            yield entry.decode().splitlines()[1].removeprefix("type="), 1


@pytest.fixture
def rogue(database: Database, rooms: Rooms) -> Rogue:
    lookup = LookupKey(secrets.token_bytes(32))
    return Rogue(database, rooms, RECEIPT_KEY, lookup, hpke.PrivateKey.generate())


def new_account() -> str:
    return f"line-{secrets.token_hex(6)}"


# Shares under an engine key of its own.


def as_engine(rogue: Rogue, **changes: Any) -> Envelope:
    """Says that its key is the engine's of today."""
    made = EngineKey(TENANT, ENGINE, rogue.share_key.public_bytes(), utc_now() + 23 * HOUR)
    return Envelope.sign("engine-key", replace(made, **changes).to_fields(), rogue.receipt_key)


@pytest.mark.parametrize("role", ROLES)
def test_no_keeper_lends_to_an_engine_that_web_makes_itself(rogue: Rogue, role: Role) -> None:
    warrant = rogue.lodge(new_account())
    asked = replace(rogue.pair.question(warrant), engine_key=as_engine(rogue))
    forger = replace(rogue.pair, keys={**rogue.pair.keys, "web": rogue.receipt_key})
    before = rogue.logged("commit")
    for path, body in (
        ("/v1/commit", asked.to_object()),
        ("/v1/lend", {"request_sha256": asked.request.sha256.hex(), "evidence": {}}),
    ):
        with pytest.raises(KeeperRefused, match="unknown-key"):
            forger.keeper(role, "web").post(path, body)
    # The engine itself, were it to bring that key, is refused too.
    with pytest.raises(KeeperRefused, match="not-signed"):
        rogue.pair.keeper(role).post("/v1/commit", asked.to_object())
    assert rogue.logged("commit") == before


@pytest.mark.parametrize("is_genuine", [False, True])
def test_no_share_is_sealed_to_a_key_that_web_writes_into_a_query(
    rogue: Rogue, is_genuine: bool
) -> None:
    """Anyone can seal to the engine's storage key: its own key, under its own or a genuine word."""
    warrant = rogue.lodge(new_account())
    request = rogue.pair.request(rogue.pair.request_of(warrant))
    word = rogue.pair.engine_statement() if is_genuine else as_engine(rogue)
    content = rogue.share_key.private_bytes() + word.encode()
    info = enc(b"icr/v1/share-key", request.sha256)
    planted = hpke.seal(STORAGE.public_bytes(), info, content)
    releases = rogue.logged("release")
    # As though the engine itself had begun it: the row's other half is the engine's signed word.
    waiting = waits.keep([], word.sha256, rogue.pair.keys["engine"])
    query = rogue.queue(request, share_key=planted, waiting=json.dumps(waiting.to_object()))
    assert rogue.run_engine(query).state in ("refused", "failed")
    assert query.disclosure is None
    # A keeper that lends by the genuine word lends to the key that it names, which web has not.
    assert rogue.logged("release") == releases + (2 if is_genuine else 0)


# Changing a request.


def of_another_account(rogue: Rogue, request: Envelope) -> Envelope:
    return altered(request, selectors=[AccountSelector("another").to_fields()])


def of_more_hours(rogue: Rogue, request: Envelope) -> Envelope:
    said = json.loads(request.payload)
    wider = HourRange(utc_now().replace(minute=0, second=0) - 60 * HOUR, rogue.rooms.hour)
    return altered(request, hours=[wider.to_fields(), *said["hours"][1:]])


def of_another_warrant(rogue: Rogue, request: Envelope) -> Envelope:
    return altered(request, warrant_sha256=secrets.token_hex(32))


def signed_by_web(rogue: Rogue, request: Envelope) -> Envelope:
    return replace(of_another_account(rogue, request), signatures=()).add(rogue.receipt_key)


def altered(request: Envelope, **changes: Any) -> Envelope:
    return replace(request, payload=dump({**json.loads(request.payload), **changes}))


@pytest.mark.parametrize(
    "change", [of_another_account, of_more_hours, of_another_warrant, signed_by_web]
)
def test_a_request_that_web_changed_is_refused(
    rogue: Rogue, change: Callable[[Rogue, Envelope], Envelope]
) -> None:
    warrant = rogue.lodge(new_account())
    request = rogue.pair.request(rogue.pair.request_of(warrant))
    before = {kind: rogue.logged(kind) for kind in ("commit", "release", "disclosure")}
    ended = rogue.run_engine(rogue.queue(change(rogue, request)))
    assert (ended.state, ended.disclosure) == ("refused", None)
    assert {each["keeper"] for each in ended.keepers} == set(ROLES)
    assert {kind: rogue.logged(kind) for kind in before} == before
    assert rogue.run_engine(rogue.queue(request)).state == "answered"


@pytest.mark.parametrize(
    "statement",
    ["UPDATE query_query SET sealed = '\\x00'", "UPDATE query_query SET state = 'answered'",
     "UPDATE query_query SET disclosure = '\\x00', keepers = '[]'", "DELETE FROM query_query",
     "UPDATE query_lodgedwarrant SET sealed = '\\x00'", "DELETE FROM query_lodgedwarrant",
     "TRUNCATE query_query", "UPDATE ledger_leaf SET text = ''", "DELETE FROM ledger_leaf",
     "INSERT INTO ledger_leaf (log_id, number, text) VALUES (1, 1, '')"],
)  # fmt: skip
def test_what_was_queued_refused_or_logged_is_not_webs_to_change(
    rogue: Rogue, statement: str
) -> None:
    rogue.put(rogue.lodge(new_account()))
    with pytest.raises(errors.InsufficientPrivilege):
        rogue.sql(statement)


# Hiding a refusal.


class Lies(Desk):
    """An oversight person's programs, spoken to by a web that tells what it likes."""

    def __init__(self, caller: Caller, lie: Callable[[str, bytes], bytes]) -> None:
        self._caller, self._lie = caller, lie

    def read(self, target: str, headers: Mapping[str, str]) -> bytes:
        given = self._caller.web.send("GET", target, self._caller.signed("GET", target, headers))
        if given.status == 404:
            raise Stop(REFUSED, target)
        assert given.status == 200
        return self._lie(target, given.body)


@pytest.fixture
def overseen(rogue: Rogue, web: Web) -> Callable[[Callable[[str, bytes], bytes]], Seen]:
    """Reads the refusals through a lie; there is one, of which both keepers logged a leaf."""
    body = Body().pin(TENANT)
    warrant = rogue.lodge(new_account())
    request = rogue.pair.request(rogue.pair.request_of(warrant), signer="stranger")
    assert rogue.run_engine(rogue.queue(request, selectors=1)).state == "refused"
    copy_logs(rogue.database, rogue.pair)

    def read(lie: Callable[[str, bytes], bytes]) -> Seen:
        desk = Lies(Caller(web, body.person), lie)
        return watch(desk, TENANT, "refusals", body.grant(), trust_of(rogue.pair))

    return read


def without_it(target: str, content: bytes) -> bytes:
    """The list without the refusal, its count one less."""
    if "/refusals" not in target:
        return content
    told = json.loads(content)
    hidden = told["refusals"].pop()
    for keeper in hidden["keepers"]:
        told["database"]["refusals"][keeper["keeper"]] -= 1
    return dump(told)


def test_a_refusal_that_web_leaves_out_shows_beside_both_logs(
    overseen: Callable[[Callable[[str, bytes], bytes]], Seen],
) -> None:
    def of_refusals(seen: Seen) -> list[str]:
        return [line for line in seen.differences if "refusal leaves" in line]

    # These keepers have logged refusals of other tests, too: what counts is one less.
    honest = overseen(lambda _, content: content)
    assert len(honest.lists["refusals"]) == 1
    hidden = overseen(without_it)
    assert hidden.lists["refusals"] == []
    assert len(of_refusals(hidden)) == 2
    assert all("the database shows 0: some are hidden" in line for line in of_refusals(hidden))


def test_a_log_that_web_alters_for_it_is_no_log(
    overseen: Callable[[Callable[[str, bytes], bytes]], Seen],
) -> None:
    def lie(target: str, content: bytes) -> bytes:
        if "/tile/entries/" in target:
            return content.replace(b"type=refusal", b"type=policy\x20")
        return without_it(target, content)

    told = [line for line in overseen(lie).differences if "keeper's log" in line]
    assert len(told) == 2


# What was lodged before.


def readable(rogue: Rogue) -> Iterator[tuple[str, bytes]]:
    """Every column of every row that icr_web may see, of this tenant."""
    columns = rogue.sql(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public'"
        " AND has_column_privilege(quote_ident(table_name), column_name, 'SELECT')"
    )
    for table, column in columns:
        query = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), sql.Identifier(table))
        for (value,) in rogue.sql(query.as_string()):
            yield (
                f"{table}.{column}",
                (bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()),
            )


def test_what_was_lodged_before_tells_web_no_selector(rogue: Rogue) -> None:
    account = new_account()
    query = rogue.put(rogue.lodge(account))
    rows = list(readable(rogue))
    places = {place for place, _ in rows}
    assert {"query_query.sealed", "query_lodgedwarrant.sealed", "query_query.sha256"} <= places
    assert bytes(query.sha256) in [content for _, content in rows]
    # Plain, by any digest that needs no secret of another's, or under the keys that it holds.
    needles = [
        account.encode(), digest("subject", b"", text(account)),
        prf(b"", "subscriber", text(account)),
        rogue.lookup.find(TENANT, account), rogue.lookup.access(TENANT, account),
    ]  # fmt: skip
    shown = [
        place for place, content in rows for needle in needles
        if any(disguise(needle) in content for disguise in BINARY.values())
    ]  # fmt: skip
    assert shown == []
    # Sealed to the engine, and to nobody with what web has.
    info = enc(b"icr/v1/lodged", text(TENANT), b"request", bytes(query.sha256))
    for private in (
        rogue.share_key,
        hpke.PrivateKey(rogue.lookup.raw * 3),
        hpke.PrivateKey(rogue.receipt_key.private_bytes_raw() * 3),
    ):
        with pytest.raises(hpke.DoesNotOpen):
            hpke.open_(private, info, bytes(query.sealed))
    hpke.open_(STORAGE, info, bytes(query.sealed))


def test_limit_who_guesses_an_account_reads_what_its_subscriber_may(rogue: Rogue) -> None:
    """Once somebody was asked about, their entries are locked by the lookup key and the account.
    Web holds the one; where accounts can be guessed, it can try each."""
    account, pair = new_account(), rogue.pair
    lent = pair.run(pair.question(pair.warrant(
        pair.warrant_of(selectors=(AccountSelector(account),))
    )))  # fmt: skip
    with acting(rogue.database, "notifier"):
        pull.pull(rogue.lookup, [pair.teller(role) for role in ROLES], utc_now())

    def opened(guess: str) -> list[bytes]:
        found = rogue.lookup.find(TENANT, guess)
        rows = rogue.sql(
            "SELECT role, leaf, leaf.sealed FROM notices_noticeleaf AS leaf"
            " JOIN notices_notice AS notice ON notice.id = notice_id WHERE lookup = %s", found,
        )  # fmt: skip
        return [
            unlock(rogue.lookup.access(TENANT, guess), leaf_place(TENANT, found, role, leaf),
                   bytes(sealed))
            for role, leaf, sealed in rows
        ]  # fmt: skip

    assert opened(new_account()) == []
    assert len(opened(account)) == 2
    assert all(lent.question.request.sha256.hex().encode() in each for each in opened(account))
    other = LookupKey(secrets.token_bytes(32))
    rows = rogue.sql("SELECT role, leaf, sealed FROM notices_noticeleaf")
    for role, leaf, sealed in rows:
        place = leaf_place(TENANT, rogue.lookup.find(TENANT, account), role, leaf)
        with pytest.raises(BoxError):
            unlock(other.access(TENANT, account), place, bytes(sealed))
