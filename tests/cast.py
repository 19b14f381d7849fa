"""The fixed cast: two providers with their people, and whoever should get nothing at either.

HOME is asked about. It has two collectors and one that was revoked; an authority's people, one of
them with a grant that has ended; another authority; a subscriber who was named in an answer, a
neighbour who was not, and one whose account was closed; a person of an oversight body. AWAY has one
of each trade. The stranger
has a key that nobody knows, and nobody has none. Everyone knocks at web's doors inside this
process, which speaks to the database as web does.
"""

import dataclasses
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from accounts.models import Authority, Collector
from accounts.principals import remember, vouched
from api import collectors
from api.pages import access
from icrstore.celery import app
from icrstore.inbox.models import Batch
from icrstore.notices import sign_in, subscribers
from icrstore.notices.keyring import NotifierKeys
from icrstore.notices.models import SignIn
from icrstore.notices.names import LookupKey
from icrstore.query.lodge import lodge_request, lodge_warrant
from icrstore.shell.keyfile import KeyFile, write_secret
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import AccountSelector, Grant
from icrstore.warrant.strict import dump, encode_base64
from icrstore.wire import hpke
from icrstore.wire.digest import content_digest_of
from icrstore.wire.signatures import new_nonce, sign_request
from tests.keeper.pair import Pair
from tests.keeper.papers import AUTHORITY, TENANT, utc_now
from tests.notices.office import Office, address_of
from tests.notices.sink import Sink
from tests.oversight.bodies import Body, header
from tests.vault.rooms import (
    RECEIPT_KEY,
    Database,
    Rooms,
    add_collector,
    add_tenant,
    collector_grant,
    make_rooms,
)

HOME, AWAY = TENANT, "isp-away"
PEOPLE = ("applicant", "approver", "investigator")
NAMED, NEIGHBOUR, CLOSED, ABROAD = "line-named", "line-neighbour", "line-closed", "line-abroad"


@dataclass(frozen=True)
class Heard:
    """All that a caller can tell one answer from another by, but for how long it took; and how
    many SQL statements it cost, which is most of how long it takes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    statements: int

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


@dataclass
class Member:
    """Somebody at a door: with a key, with a browser that is signed in, or with neither."""

    name: str
    key: Ed25519PrivateKey | None = None
    shows: dict[str, str] = field(default_factory=dict)  # headers that go with every call
    cookies: SimpleCookie = field(default_factory=SimpleCookie)

    def knock(self, method: str, target: str, body: bytes = b"", **headers: str) -> Heard:
        """What is heard; headers are written with ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in (self.shows | headers).items()}
        if body:
            sent = {"Content-Type": "application/json", **sent}
        if self.key:
            sent |= self._signed(self.key, method, target, sent, body)
        browser = Client(raise_request_exception=False)
        browser.cookies = deepcopy(self.cookies)  # what is heard signs nobody out
        kind = sent.pop("Content-Type", "")
        with CaptureQueriesContext(connection) as counted:
            answer = browser.generic(method, target, body, kind, headers=sent)
        told = {name: value for name, value in answer.headers.items() if name != "Date"}
        return Heard(answer.status_code, told, answer.content, len(counted))

    def _signed(
        self, key: Ed25519PrivateKey, method: str, target: str, sent: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        given = {**sent, "Content-Digest": content_digest_of(body)} if body else dict(sent)
        signature = sign_request(
            method, settings.AUTHORITY, target, given, key=key, keyid=key_id(raw_public(key)),
            created_unix_seconds=int(time.time()), nonce=new_nonce(),
        )  # fmt: skip
        return {**given, **signature}


@dataclass(frozen=True)
class House:
    """A provider, and an authority there with its people."""

    tenant: str
    authority: str
    keys: Mapping[str, Ed25519PrivateKey]

    @classmethod
    def make(cls, tenant: str, authority: str) -> "House":
        made = {name: Ed25519PrivateKey.generate() for name in ("root", "late", *PEOPLE)}
        return cls(tenant, authority, made)

    def grants(self) -> tuple[Envelope, ...]:
        return tuple(self.grant(role, role) for role in PEOPLE)

    def grant(self, role: str, holder: str) -> Envelope:
        start, key = utc_now() - timedelta(days=1), raw_public(self.keys[holder])
        made = Grant(self.authority, role, key, holder, start, start + timedelta(days=2))
        return Envelope.sign("grant", made.to_fields(), self.keys["root"])

    def add(self) -> None:
        """The authority at the provider."""
        root = raw_public(self.keys["root"])
        Authority.objects.create(tenant_id=self.tenant, name=self.authority, root_key=root)

    def remember(self) -> None:
        """The people, from their grants."""
        remember(vouched(self.tenant, self.grants(), utc_now()))


@dataclass(frozen=True)
class Held:
    """What a provider has that others must not learn of: a batch, a warrant, a query."""

    house: House
    batch: str
    warrant: Envelope
    request: Envelope

    @property
    def query(self) -> str:
        return self.request.sha256.hex()

    def lodging(self, kind: str) -> bytes:
        """The body by which its warrant or request was lodged."""
        statement = {"warrant": self.warrant, "request": self.request}[kind]
        grants = [grant.to_object() for grant in self.house.grants()]
        return dump({"tenant": self.house.tenant, kind: statement.to_object(), "grants": grants})


@dataclass
class Cast:
    """Everyone, by name, and what the providers have. ``entry`` is HOME's question about NAMED."""

    rooms: Rooms
    office: Office
    home: Held
    away: Held
    entry: str
    members: dict[str, Member]

    def __getitem__(self, name: str) -> Member:
        return self.members[name]


@contextmanager
def assemble(database: Database, pair: Pair, folder: Path) -> Iterator[Cast]:
    """Everyone in place. The tables are emptied first; the pair is the cast's own."""
    rooms, storage = make_rooms(pair, folder), hpke.PrivateKey.generate()
    lookup = LookupKey(secrets.token_bytes(32))
    keys = NotifierKeys(pair.keys["notifier"], pair.notifier_key, lookup)
    office = Office(database, pair, Sink(), keys)
    with pytest.MonkeyPatch.context() as patched, _settings(folder, keys, storage):
        # Nobody waits here for a broker that there is not.
        patience = {"max_retries": 0, "socket_timeout": 0.5, "socket_connect_timeout": 0.5}
        patched.setitem(app.conf, "broker_transport_options", patience)
        try:
            cast = _cast(rooms, office, storage.public_bytes())
            database.use("web")
            yield cast
        finally:
            database.use("admin")


@contextmanager
def _settings(folder: Path, keys: NotifierKeys, storage: hpke.PrivateKey) -> Iterator[None]:
    """The files that web reads."""
    write_secret(folder / "lookup.key", keys.lookup.raw.hex().encode())
    receipts = RECEIPT_KEY.private_bytes_raw()
    KeyFile("signing", "receipt", raw_public(RECEIPT_KEY), receipts).write(folder / "receipt.key")
    public = encode_base64(keys.opening.public_bytes())
    shown = {"kind": "icr-public-key", "use": "recipient", "name": "n", "public": public}
    (folder / "notifier.json").write_bytes(dump(shown))
    (folder / "storage.json").write_bytes(dump({"key": encode_base64(storage.public_bytes())}))
    for cached in (access._lookup_key, access._notifier, collectors._receipt_key):
        cached.cache_clear()
    files = {"NOTIFIER_KEY": "notifier.json", "ENGINE_STORAGE_KEY": "storage.json"}
    with override_settings(SECRETS=folder, **{name: folder / at for name, at in files.items()}):
        yield
    for cached in (access._lookup_key, access._notifier, collectors._receipt_key):
        cached.cache_clear()


def _cast(rooms: Rooms, office: Office, storage: bytes) -> Cast:
    own = House(HOME, AUTHORITY, {**rooms.pair.keys, "late": Ed25519PrivateKey.generate()})
    rival = House.make(HOME, "rival constabulary")
    foreign = House.make(AWAY, "away constabulary")
    add_tenant(AWAY, raw_public(foreign.keys["root"]))
    rival.add()
    foreign.add()
    for house in (own, rival, foreign):
        house.remember()
    own_collectors = _collectors(rooms, HOME, "colleague", "revoked")
    away_collectors = _collectors(rooms, AWAY, "foreign")
    home = _held(own, rooms, rooms.collector, storage)
    away = _held(foreign, rooms, Collector.objects.get(tenant=AWAY), storage)
    entry = _named(office)
    members = [
        Member("nobody"),
        Member("stranger", Ed25519PrivateKey.generate()),
        Member("collector", rooms.collector_key),
        *own_collectors,
        *away_collectors,
        *(Member(person, own.keys[person]) for person in PEOPLE),
        _late(own),
        Member("rival investigator", rival.keys["investigator"]),
        Member("foreign investigator", foreign.keys["investigator"]),
        *_subscribers(office),
        _overseer("overseer", HOME),
        _overseer("foreign overseer", AWAY),
    ]
    return Cast(rooms, office, home, away, entry, {member.name: member for member in members})


def _collectors(rooms: Rooms, tenant: str, *names: str) -> list[Member]:
    made = []
    for name in names:
        key = Ed25519PrivateKey.generate()
        row = add_collector(rooms.tenant, f"edge-{name}", key)
        row.tenant_id, row.grant = tenant, collector_grant(tenant, row.name, raw_public(key))
        row.revoked_at = utc_now() if name == "revoked" else None
        row.save()
        made.append(Member(f"{name} collector", key))
    return made


def _overseer(name: str, tenant: str) -> Member:
    """A person of a body that watches over the provider, with their grant."""
    body = Body(f"commissioner of {tenant}").pin(tenant)
    return Member(name, body.person, header(body.grant()))


def _late(house: House) -> Member:
    """An investigator whose grant was kept, and has ended since."""
    people = vouched(house.tenant, [house.grant("investigator", "late")], utc_now())
    for person in people:
        person.not_after = utc_now() - timedelta(seconds=1)
    remember(people)
    return Member("late investigator", house.keys["late"])


def _held(house: House, rooms: Rooms, collector: Collector, storage: bytes) -> Held:
    pair = rooms.pair
    body = secrets.token_bytes(2000)
    batch: Batch = rooms.take(body, collector, stream=house.tenant)
    value = dataclasses.replace(
        pair.warrant_of(selectors=(AccountSelector(f"asked-{house.tenant}"),)),
        tenant=house.tenant, authority=house.authority,
    )  # fmt: skip
    signers = [house.keys[name] for name in ("applicant", "approver")]
    warrant = Envelope.sign("warrant", value.to_fields(), *signers)
    asked = pair.request_of(warrant).to_fields()
    request = Envelope.sign("request", asked, house.keys["investigator"])
    speaks = (house.authority,)
    lodge_warrant(collector.tenant, warrant, house.grants(), speaks, storage, utc_now())
    lodge_request(collector.tenant, request, house.grants(), speaks, storage, utc_now())
    return Held(house, bytes(batch.batch_id).hex(), warrant, request)


def _named(office: Office) -> str:
    """An answer at HOME named NAMED, and they were told; the question's digest."""
    office.load(NAMED, NEIGHBOUR, CLOSED)
    public = office.keys.opening.public_bytes()
    lines = [b"account,channel,contact\n", f"{ABROAD},email,{address_of(ABROAD)}\n".encode()]
    subscribers.load(AWAY, lines, office.keys.lookup, public, office.now)
    question = office.answer(NAMED)
    office.pull()
    return question.request.sha256.hex()


def _subscribers(office: Office) -> Sequence[Member]:
    made = [
        Member("subscriber", cookies=_signed_in(office, HOME, NAMED)),
        Member("neighbour", cookies=_signed_in(office, HOME, NEIGHBOUR)),
        Member("closed subscriber", cookies=_signed_in(office, HOME, CLOSED)),
        Member("foreign subscriber", cookies=_signed_in(office, AWAY, ABROAD)),
    ]
    office.close(CLOSED)
    return made


def _signed_in(office: Office, tenant: str, account: str) -> SimpleCookie:
    """The cookie of whoever has the account's contact."""
    keys, now = office.keys, utc_now()
    public = keys.opening.public_bytes()
    browser = sign_in.ask(tenant, account, "192.0.2.1", keys.lookup, public, now)
    asked = SignIn.objects.latest("id")
    info = sign_in.code_info(tenant, bytes(asked.lookup))
    code = hpke.open_(keys.opening, info, bytes(asked.sealed)).decode()
    token = sign_in.enter(tenant, account, browser, code, keys.lookup, now)
    return SimpleCookie({access.SESSION: token})
