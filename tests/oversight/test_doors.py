"""Every door of the oversight body, tried by everyone: its own person, and all who are not."""

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import Nonce, OversightBody, Principal, Tenant
from icrstore.inbox.models import Batch
from icrstore.ledger.models import Log
from icrstore.notices.models import Notice
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.strict import dump
from tests.api.web import Caller, Edge, Told, Web
from tests.keeper.papers import AUTHORITY, TENANT, utc_now
from tests.oversight.bodies import LISTS, Body, header, put
from tests.vault.rooms import Rooms, add_collector, add_tenant
from tests.vault.test_gaps import gap, telling

OTHER = "isp-two"
each_list = pytest.mark.parametrize("what", LISTS)


@dataclass(frozen=True)
class Office:
    """Two tenants, each with its own body and its own person."""

    rooms: Rooms
    web: Web
    own: Body
    away: Body

    def get(self, what: str, **by: object) -> Told:
        return self.own.get(self.web, TENANT, what, **by)  # type: ignore[arg-type]


@pytest.fixture
def office(rooms: Rooms, web: Web) -> Office:
    add_tenant(OTHER, rooms.pair.public("root"))
    return Office(rooms, web, Body().pin(TENANT), Body("other commissioner").pin(OTHER))


@each_list
def test_the_bodys_own_person_reads_every_list(office: Office, what: str) -> None:
    told = office.get(what)
    assert told.status == 200
    assert (told.value["tenant"], told.value["page"], told.value["more"]) == (TENANT, 1, False)
    assert {"database", "logs"} <= told.value.keys()


def grants_of_others(office: Office) -> dict[str, tuple[Envelope, Ed25519PrivateKey]]:
    """A grant and a key for each who must not get in."""
    own, pair, now = office.own, office.rooms.pair, utc_now()
    person, stranger = own.person, Ed25519PrivateKey.generate()
    keys = pair.keys
    return {
        "the other tenant's person": (office.away.grant(), office.away.person),
        "a stranger who found the grant": (own.grant(), stranger),
        "a stranger with a root of theirs": (own.grant(root=stranger, key=raw_public(stranger)),
                                             stranger),
        "an expired grant": (own.grant(not_after=now), person),
        "a grant to come": (own.grant(not_before=now + timedelta(hours=1)), person),
        "an investigator": (pair.grant("investigator"), keys["investigator"]),
        "an authority's root": (own.grant(root=keys["root"]), person),
        "an authority's root in its own name": (own.grant(root=keys["root"], issuer=AUTHORITY),
                                                person),
        "the tenant's root": (own.grant(root=keys["tenant"]), person),
        "the tenant's root in its own name": (own.grant(root=keys["tenant"], issuer=TENANT),
                                              person),
        "another role": (own.grant(role="investigator"), person),
        "a sealer": (own.grant(role="sealer"), person),
        "a collector": (own.grant(), office.rooms.collector_key),
        "another statement": (Envelope.sign("receipt", json.loads(own.grant().payload), own.root),
                              person),
    }  # fmt: skip


@each_list
def test_nobody_else_gets_in_nor_learns_whether_the_tenant_is_there(
    office: Office, what: str
) -> None:
    nowhere = office.own.get(office.web, "nobody", what)
    assert nowhere.refusal == (401, "unknown-key")
    for who, (grant, key) in grants_of_others(office).items():
        told = office.get(what, grant=grant, key=key)
        assert told.refusal == (401, "unknown-key"), who
        assert told.body == nowhere.body, who
    told = office.own.get(office.web, OTHER, what)
    assert (told.status, told.body) == (401, nowhere.body)
    assert not Principal.objects.exists()
    assert not Nonce.objects.exists()


@each_list
def test_a_grant_that_the_signature_does_not_cover_is_none(office: Office, what: str) -> None:
    target, caller = f"/v1/oversight/{TENANT}/{what}", Caller(office.web, office.own.person)
    grant = header(office.own.grant())
    assert office.web.send("GET", target).refusal == (401, "no-signature")
    bare = caller.signed("GET", target, {})
    assert office.web.send("GET", target, bare).refusal == (401, "unknown-key")
    assert office.web.send("GET", target, {**bare, **grant}).refusal == (401, "not-covered")
    for spoilt in ("", ":", "::", ":%:", grant["Grant"][1:-1], grant["Grant"] + ", :YQ==:"):
        sent = caller.signed("GET", target, {"Grant": spoilt})
        assert office.web.send("GET", target, sent).refusal == (401, "unknown-key"), spoilt
    sent = caller.signed("GET", target, grant)
    assert office.web.send("GET", target, sent).status == 200
    assert office.web.send("GET", target, sent).refusal == (401, "replayed")
    elsewhere = target.replace(what, next(one for one in LISTS if one != what))
    assert office.web.send("GET", elsewhere, sent).status == 401


@each_list
def test_a_body_that_is_no_longer_pinned_has_no_people(office: Office, what: str) -> None:
    assert office.get(what).status == 200
    OversightBody.objects.filter(tenant=TENANT).delete()
    assert office.get(what).refusal == (401, "unknown-key")


@pytest.mark.parametrize("page", ["0", "-1", "x", "1.5", "", "1000000", "%00", "٣"])
def test_a_page_is_a_number(office: Office, page: str) -> None:
    sent = page if page.isascii() else "%D9%A3"
    assert office.get(f"accesses?page={sent}").refusal == (400, "bad-page")


def test_a_person_of_oversight_opens_no_investigators_door(office: Office) -> None:
    """Not with the grant that is theirs, nor with any other that their root can sign."""
    caller, pair = Caller(office.web, office.own.person), office.rooms.pair
    query = put(office.rooms.tenant, AUTHORITY)
    for path in ("", "/disclosure"):
        told = caller.get(f"/v1/queries/{bytes(query.sha256).hex()}{path}")
        assert told.refusal == (401, "unknown-key")
    for grant, refusal in (
        (office.own.grant(), (422, "unknown-authority")),
        (office.own.grant(role="investigator"), (422, "unknown-authority")),
        (office.own.grant(role="investigator", issuer=AUTHORITY), (422, "not-signed")),
        (office.own.grant(role="approver", issuer=AUTHORITY), (422, "not-signed")),
        # The authority's root writes the role, too: it makes nobody, here or there.
        (pair.grant("oversight", "stranger", key=raw_public(office.own.person)),
         (401, "unknown-key")),
    ):  # fmt: skip
        body = {
            "tenant": TENANT,
            "warrant": pair.warrant(pair.warrant_of()).to_object(),
            "grants": [one.to_object() for one in (*pair.grants(), grant)],
        }
        assert caller.post("/v1/warrants", dump(body)).refusal == refusal
    assert caller.get("/v1/intake-key").refusal == (401, "unknown-key")
    assert caller.get("/v1/gaps").refusal == (401, "unknown-key")
    assert not Principal.objects.exists()


def test_an_authority_of_the_same_name_shares_nothing_with_the_body(office: Office) -> None:
    """Roots are looked up by what they vouch for, so a name alone is worth nothing."""
    namesake = Body(AUTHORITY).pin(TENANT)
    assert namesake.get(office.web, TENANT, "accesses").status == 200
    query = put(office.rooms.tenant, AUTHORITY)
    path = f"/v1/queries/{bytes(query.sha256).hex()}"
    assert Caller(office.web, namesake.person).get(path).refusal == (401, "unknown-key")
    pair = office.rooms.pair
    told = namesake.get(
        office.web, TENANT, "accesses",
        grant=pair.grant("oversight", "investigator"), key=pair.keys["investigator"],
    )  # fmt: skip
    assert told.refusal == (401, "unknown-key")


@each_list
def test_nothing_of_one_tenant_is_in_the_others_answer(office: Office, what: str) -> None:
    """Rows of every kind at one; the other's answer is as if it were alone."""
    alone = office.away.get(office.web, OTHER, what)
    mark = secrets.token_hex(6)
    fill(office, mark)
    own = office.get(what)
    assert own.status == 200
    assert own.value != {**alone.value, "tenant": TENANT}
    told = office.away.get(office.web, OTHER, what)
    assert told.value == alone.value
    assert mark not in told.body.decode()


def fill(office: Office, mark: str) -> None:
    """A row of everything, at the first tenant, old enough to be late."""
    rooms, old = office.rooms, utc_now() - timedelta(days=2)
    Tenant.objects.filter(name=TENANT).update(created_at=old)
    collector = add_collector(rooms.tenant, f"edge-{mark}", Ed25519PrivateKey.generate())
    batch = rooms.take(b"x", collector, sequence=7, stream=f"stream-{mark}")
    Batch.objects.filter(id=batch.id).update(accepted_at=old, last_hour=old, first_hour=old)
    put(rooms.tenant, f"authority-{mark}")
    refused = [{"keeper": "operator", "code": f"code-{mark}"}]
    put(rooms.tenant, f"authority-{mark}", state="refused", keepers=refused)
    notice = Notice.objects.create(
        tenant=rooms.tenant, lookup=b"", request_sha256=bytes(32), newest_leaf_at=old,
        next_attempt_at=old, why=f"why-{mark}",
    )  # fmt: skip
    notice.leaves.create(
        tenant=rooms.tenant, role="operator", number=1, leaf=1, is_disclosure=False,
        is_proven=False, owed_at=old, sealed=b"",
    )  # fmt: skip
    log = Log.objects.create(
        tenant=rooms.tenant, role="operator", origin=f"o/{mark}", pseudonym="b"
    )
    log.leaf_set.create(number=0, text="v=1\ntype=commit\n")


def test_a_collector_reads_its_own_gaps_and_no_others(edge: Edge, web: Web) -> None:
    rooms = edge.rooms
    key, away = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    second = add_collector(rooms.tenant, "edge-2", key)
    foreign = add_collector(add_tenant(OTHER, bytes(32)), "edge-3", away)
    nothing = {"page": 1, "more": False, "missing": [], "told": []}
    assert edge.caller.get("/v1/gaps").value == nothing
    for sequence in (2, 3, 7):
        rooms.take(b"x", sequence=sequence, stream="main")
    rooms.take(b"x", sequence=1, stream="b")
    rooms.take(b"x", second, sequence=9, stream="main")
    assert edge.caller.get("/v1/gaps").value["missing"] == [
        {"stream": "main", "first": 1, "last": 1}, {"stream": "main", "first": 4, "last": 6},
    ]  # fmt: skip
    assert Caller(web, key).get("/v1/gaps").value["missing"] == [
        {"stream": "main", "first": 1, "last": 8}
    ]
    assert Caller(web, away).get("/v1/gaps").value["missing"] == []
    assert edge.caller.get("/v1/gaps?page=2").value["missing"] == []
    told = gap(rooms.hour)
    rooms.take(telling([told]), second, sequence=10)
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    row = {"collector": "edge-2", "stream": "main", "sequence": 10, **told.to_fields()}
    assert Caller(web, key).get("/v1/gaps").value["told"] == [row]
    assert edge.caller.get("/v1/gaps").value["told"] == []
    assert Caller(web, away).get("/v1/gaps").value["told"] == []
    assert Body().pin(rooms.tenant.name).get(web, rooms.tenant.name, "gaps").value["told"] == [row]
    assert edge.caller.get("/v1/gaps?page=0").refusal == (400, "bad-page")
    assert web.send("GET", "/v1/gaps").refusal == (401, "no-signature")
    investigator = Caller(web, rooms.pair.keys["investigator"])
    assert investigator.get("/v1/gaps").refusal == (401, "unknown-key")
    assert foreign.tenant_id == OTHER
