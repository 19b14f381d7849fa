"""Every signed door of a keeper, tried by everyone whose it is not, with the genuine bytes.

One keeper serves two providers. At its doors are this provider's engine, another of its engines,
its sealer host and its notifier; the other provider's engine, sealer host and notifier; officials,
and a stranger. Whoever it is not for is refused as if there were nothing, and leaves no leaf.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.answers import KeeperRefused
from icrstore.keeper.calls import Keeper
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.pins import pin, pin_notifier, pin_tenant
from icrstore.keeper.queries import NotifierRow
from icrstore.keeper.telling import sign_notice
from icrstore.seal.epoch import ROLES
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.revocation import Revocation
from icrstore.warrant.strict import encode_base64
from icrstore.wire import hpke
from tests.keeper.pair import Pair, rows_of
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import ACCOUNT, TENANT, last_hour, utc_now

AWAY = "isp-away"
OUTSIDERS = ("away engine", "away sealer", "away notifier", "investigator", "root", "stranger")
Body = Mapping[str, Any]


@dataclass
class House:
    """A keeper of two providers, and what the first has there."""

    pair: Pair
    keys: dict[str, Ed25519PrivateKey]
    bodies: dict[str, Body] = field(default_factory=dict)

    def call(self, name: str, path: str, body: Body | None = None) -> str:
        """The refusal's code; "" if it was answered."""
        identity, address = (
            self.pair.identities["operator"], self.pair.processes["operator"].address
        )  # fmt: skip
        keeper = Keeper(identity, address, self.keys[name])
        try:
            keeper.ask(path) if body is None else keeper.post(path, body)
        except KeeperRefused as refused:
            return refused.code
        return ""


@pytest.fixture(scope="module")
def house(template: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    names = ("tenant", "engine", "sealer", "notifier")
    away = {f"away {name}": Ed25519PrivateKey.generate() for name in names}
    with copy_pair(template, tmp_path_factory.mktemp("keepers")) as pair:
        for role in ROLES:
            with closing(StoreOwner.open(pair.processes[role].folder)) as keeper:
                _pin(keeper, {name: raw_public(key) for name, key in away.items()})
        made = House(pair, {**pair.keys, **away})
        made.bodies.update(_genuine(pair))
        yield made


def _pin(keeper: StoreOwner, public: Mapping[str, bytes]) -> None:
    pin_tenant(keeper, AWAY, public["away tenant"], replace=False)
    pin(keeper, "engine", AWAY, "engine-away", public["away engine"], replace=False)
    sealing = hpke.PrivateKey.generate().public_bytes()
    notifier = NotifierRow(AWAY, "notifier-away", public["away notifier"], sealing)
    pin_notifier(keeper, notifier, replace=False)


def _genuine(pair: Pair) -> dict[str, Body]:
    """What each of this provider's machines sent the keeper, and was answered to."""
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    pair.register(sealed)
    lent = pair.run(pair.question())
    question, sha256 = lent.question, lent.question.request.sha256.hex()
    disclosure = pair.disclosure(question, ACCOUNT)
    pair.keepers().disclose(question, disclosure)
    debt = pair.teller("operator").due(TENANT, 0)[0]
    notice = sign_notice(
        TENANT, debt.leaf.index, debt.leaf.text, "outbox", utc_now(), pair.keys["notifier"]
    )
    committed = {role: made.proven.evidence.to_object() for role, made in lent.commits.items()}
    released = lent.releases["operator"].evidence.to_object()
    return {
        "/v1/epochs": {
            "epochs": [{"statement": sealed.envelope.to_object(),
                        "seal": encode_base64(sealed.seals["operator"])}],
            "grants": [pair.grant("sealer").to_object()],
        },
        "/v1/commit": {
            "tenant": TENANT,
            "warrant": question.warrant.to_object(),
            "request": question.request.to_object(),
            "grants": [grant.to_object() for grant in question.grants],
            "engine_key": question.engine_key.to_object(),
        },
        "/v1/release": {"request_sha256": sha256, "evidence": committed},
        "/v1/lend": {"request_sha256": sha256, "evidence": released},
        "/v1/disclosure": {"disclosure": disclosure.to_object()},
        "/v1/notices": {"tenant": TENANT, "notice": notice.to_object()},
    }  # fmt: skip


WHOSE = {
    "/v1/epochs": "sealer", "/v1/commit": "engine", "/v1/release": "engine", "/v1/lend": "engine",
    "/v1/disclosure": "engine", "/v1/notices": "notifier",
}  # fmt: skip


@pytest.mark.parametrize("path", WHOSE)
def test_the_genuine_bytes_are_answered_to_whose_they_are_only(house: House, path: str) -> None:
    body, whose = house.bodies[path], WHOSE[path]
    assert house.call(whose, path, body) == ""
    before = house.pair.leaves("operator")
    others = {"engine", "engine-2", "sealer", "notifier", *OUTSIDERS} - {whose}
    told = {name: house.call(name, path, body) for name in others}
    assert all(told.values()), told
    if whose == "engine":
        assert told.pop("engine-2") == "another-engine"
    assert set(told.values()) <= {"unknown-key", "unknown-request", "unknown-engine",
                                  "unknown-notifier"}, told  # fmt: skip
    # An engine of the provider that asks for another's is in the log once; nobody else is.
    assert house.pair.leaves("operator") - before <= (1 if whose == "engine" else 0)


def test_another_providers_root_takes_back_no_key_of_this_one(house: House) -> None:
    """Anyone may bring a revocation, by no key of theirs; what it says is its root's word."""
    pair, sealer = house.pair, house.pair.public("sealer")

    def bring(signer: str, tenant: str, issuer: str) -> str:
        made = Revocation(tenant, issuer, sealer, utc_now()).to_fields()
        body = {"revocation": Envelope.sign("revoke", made, house.keys[signer]).to_object()}
        return house.call("stranger", "/v1/revocations", body)

    assert bring("away tenant", TENANT, TENANT) == "not-signed"
    assert bring("away tenant", TENANT, AWAY) == "unknown-issuer"
    # At home it is theirs to say, and says nothing here.
    assert bring("away tenant", AWAY, AWAY) == ""
    assert pair.register(pair.seal_epoch(last_hour(), rows_of(ACCOUNT)), role="operator") == {
        "operator": [None]
    }


@pytest.mark.parametrize("path", ["/v1/release", "/v1/lend"])
@pytest.mark.parametrize("name", OUTSIDERS)
def test_a_request_of_another_provider_looks_like_none(house: House, path: str, name: str) -> None:
    real = house.bodies[path]
    absent = {**real, "request_sha256": "00" * 32}
    assert house.call(name, path, real) == house.call(name, path, absent) != ""


@pytest.mark.parametrize("path", ["/v1/commit"])
def test_a_question_of_another_provider_looks_like_a_new_one(house: House, path: str) -> None:
    """Whether it was asked is this provider's affair."""
    pair, real = house.pair, house.bodies[path]
    fresh = pair.question()
    new = {
        **real,
        "warrant": fresh.warrant.to_object(),
        "request": fresh.request.to_object(),
    }
    for tenant in (TENANT, AWAY):
        told = [house.call("away engine", path, {**body, "tenant": tenant}) for body in (real, new)]
        assert told[0] == told[1] != ""


@pytest.mark.parametrize(
    ("whose", "target"),
    [
        ("notifier", lambda tenant: f"/v1/due?tenant={tenant}&after=0"),
        ("engine", lambda tenant: f"/v1/log?tenant={tenant}"),
    ],
)
def test_what_a_tenant_may_ask_is_refused_to_others_as_if_it_were_not_there(
    house: House, whose: str, target: Callable[[str], str]
) -> None:
    assert house.call(whose, target(TENANT)) == ""
    assert house.call(f"away {whose}", target(AWAY)) == ""
    for name in {*OUTSIDERS, "sealer", "engine", "notifier", "engine-2"} - {whose}:
        if whose == "engine" and name in ("engine-2", "notifier"):
            continue  # theirs, too: the notifier copies the logs
        real, absent = house.call(name, target(TENANT)), house.call(name, target("no-such-isp"))
        assert real == absent != "", name
