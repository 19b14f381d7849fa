"""Rogue callers at web's doors: replays, signatures for something else, keys of somebody else.

The cast: a collector of this provider, another of it that is revoked, one of another provider; the
investigator of one authority, the people of another, and a stranger.
"""

import http.client
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from celery import Celery
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import key_id, raw_public
from icrstore.warrant.strict import dump
from icrstore.wire.digest import content_digest_of
from icrstore.wire.signatures import new_nonce, sign_request
from tests.attacks.clumsy import BATCH_TYPE
from tests.site import TENANT, Authority, Site, last_hours

RUN = secrets.token_hex(3)  # names of our own, however often a site is used


@dataclass(frozen=True)
class Answer:
    """All that a caller can tell one answer from another by, times and their headers apart."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


@dataclass(frozen=True)
class Letter:
    """A signed request, ready to be sent, changed and sent again."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def send(self, site: Site) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", site.stack.layout.port, timeout=20)
        connection.request(self.method, self.target, self.body or None, dict(self.headers))
        with connection.getresponse() as response:
            told = [(name, value) for name, value in response.getheaders() if name != "Date"]
            answer = Answer(response.status, tuple(told), response.read())
        connection.close()
        return answer


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    site: Site
    key: Ed25519PrivateKey

    def letter(
        self, method: str, target: str, content: bytes = b"", authority: str = "",
        **headers: str,
    ) -> Letter:  # fmt: skip
        """A request signed for ``authority``, which is the site's own if none is given."""
        own = f"127.0.0.1:{self.site.stack.layout.port}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content:
            sent = {"Content-Type": "application/json", **sent}
            sent["Content-Digest"] = content_digest_of(content)
        signed = sign_request(
            method,
            authority or own,
            target,
            sent,
            key=self.key,
            keyid=key_id(raw_public(self.key)),
            created_unix_seconds=int(time.time()),
            nonce=new_nonce(),
        )
        return Letter(method, target, {**sent, **signed, "Host": own}, content)

    def get(self, target: str) -> Answer:
        return self.letter("GET", target).send(self.site)

    def post(self, target: str, content: bytes, **headers: str) -> Answer:
        return self.letter("POST", target, content, **headers).send(self.site)


def collector_of(site: Site, config: Path) -> Caller:
    key = json.loads(config.read_text())["key"]
    return Caller(site, KeyFile.read(Path(key), "signing").signing())


@pytest.fixture(scope="module")
def collector(site: Site) -> Caller:
    return collector_of(site, site.collector)


@pytest.fixture(scope="module")
def colleague(site: Site) -> Caller:
    """Another collector of the same provider; the last test revokes it."""
    return collector_of(site, site.add_collector(TENANT, f"edge-{RUN}"))


@pytest.fixture(scope="module")
def foreign_collector(site: Site) -> Caller:
    site.add_tenant(f"isp-{RUN}")
    return collector_of(site, site.add_collector(f"isp-{RUN}", f"away-{RUN}"))


@pytest.fixture(scope="module")
def investigator(site: Site) -> Caller:
    return Caller(site, site.authority.people["investigator"])


@pytest.fixture(scope="module")
def customs(site: Site) -> Caller:
    """The investigator of another authority of the same provider, who has lodged a warrant."""
    authority = Authority.make(f"customs-{RUN}")
    command = ("tenant", "authority", TENANT, authority.name, "--root", authority.public)
    site.installation.manage(*command)
    made = Caller(site, authority.people["investigator"])
    assert made.post("/v1/warrants", lodging(site, authority)).status == 201
    return made


@pytest.fixture(scope="module")
def stranger(site: Site) -> Caller:
    return Caller(site, Ed25519PrivateKey.generate())


def lodging(site: Site, authority: Authority) -> bytes:
    """A warrant of that authority with the grants of its people, as it is posted."""
    warrant = site.warrant(["doors-1"], *last_hours(2), authority=authority)
    grants = [grant.to_object() for grant in authority.grants()]
    return dump({"tenant": TENANT, "warrant": warrant.to_object(), "grants": grants})


@pytest.fixture(scope="module")
def query(site: Site, investigator: Caller) -> str:
    """One that exists, of the site's own authority."""
    warrant = site.warrant(["doors-1"], *last_hours(2))
    site.lodge(warrant)
    return site.put(site.request(warrant, ["doors-1"], *last_hours(2)))


@pytest.fixture(scope="module")
def batch(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a batch that exists, of the site's own collector."""
    first, _ = last_hours(1)
    record = {
        "observed_at": first.isoformat().replace("+00:00", "Z"), "protocol": 6,
        "source_address": "203.0.113.9", "source_port": 1024,
        "destination_address": "198.51.100.7", "destination_port": 443,
        "account": f"doors-{secrets.token_hex(4)}",
    }  # fmt: skip
    path = tmp_path_factory.mktemp("doors") / "one.ndjson"
    path.write_text(json.dumps(record) + "\n")
    before = site.sql("SELECT max(id) FROM inbox_batch")[0][0] or 0
    site.push(path)
    ((batch_id,),) = site.sql("SELECT batch_id FROM inbox_batch WHERE id > %s", before)
    return bytes(batch_id).hex()


# Replays.


def test_each_signed_request_counts_once(
    site: Site, collector: Caller, investigator: Caller, batch: str, query: str
) -> None:
    letters = [
        collector.letter("GET", "/v1/intake-key"),
        collector.letter("GET", f"/v1/batches/{batch}"),
        investigator.letter("GET", f"/v1/queries/{query}"),
        investigator.letter("POST", "/v1/warrants", lodging(site, site.authority)),
    ]
    for letter in letters:
        assert letter.send(site).status in (200, 201)
        again = letter.send(site)
        assert (again.status, again.code) == (401, "replayed")


def test_a_request_that_was_refused_for_its_content_cannot_be_sent_again_either(
    site: Site, investigator: Caller
) -> None:
    letter = investigator.letter("GET", f"/v1/queries/{secrets.token_hex(32)}")
    assert [letter.send(site).status for _ in range(2)] == [404, 401]


# Signatures over something else.


CHANGES: dict[str, Callable[[Letter], Letter]] = {
    "query": lambda sent: replace(sent, target=f"{sent.target}?urgent=1"),
    "body": lambda sent: replace(sent, body=sent.body + b" "),
    "body and digest": lambda sent: with_body(sent, sent.body + b" "),
    "digest left out": lambda sent: without(sent, "Content-Digest"),
    "no signature": lambda sent: without(sent, "Signature"),
    "encoding": lambda sent: replace(sent, headers={**sent.headers, "Content-Encoding": "gzip"}),
}


def with_body(sent: Letter, body: bytes) -> Letter:
    headers = {**sent.headers, "Content-Digest": content_digest_of(body)}
    return replace(sent, body=body, headers=headers)


def without(sent: Letter, name: str) -> Letter:
    return replace(sent, headers={key: value for key, value in sent.headers.items() if key != name})


@pytest.mark.parametrize("change", CHANGES)
def test_a_signature_over_another_request_is_refused(
    site: Site, investigator: Caller, change: str
) -> None:
    letter = investigator.letter("POST", "/v1/warrants", lodging(site, site.authority))
    assert CHANGES[change](letter).send(site).status == (415 if change == "encoding" else 401)
    assert letter.send(site).status == 201  # there was nothing else wrong with it


def test_a_signature_over_another_method_or_path_is_refused(
    site: Site, investigator: Caller, query: str
) -> None:
    letter = investigator.letter("GET", f"/v1/queries/{query}")
    assert replace(letter, method="HEAD").send(site).status in (401, 405)
    assert replace(letter, target=f"{letter.target}/disclosure").send(site).status == 401
    assert letter.send(site).status == 200


@pytest.mark.parametrize("authority", ["127.0.0.1", "127.0.0.1:1", "localhost", "other.example"])
def test_a_signature_for_another_server_is_refused(
    site: Site, collector: Caller, authority: str
) -> None:
    letter = collector.letter("GET", "/v1/intake-key", authority=authority)
    for named in (letter, replace(letter, headers={**letter.headers, "Host": authority})):
        answer = named.send(site)
        assert (answer.status, answer.code) == (401, "bad-signature")


def test_a_batch_under_another_label_is_refused(site: Site, collector: Caller) -> None:
    label = {
        "Idempotency_Key": '"00112233445566778899aabbccddeeff"',
        "Batch_Sequence": 'stream="doors", n=10',
        "Batch_Scope": 'shard=0, first="2026-01-01T00:00:00Z", last="2026-01-01T00:00:00Z"',
        "Intake_Key": 'hour="2026-01-01T00:00:00Z"',
        "Content_Type": BATCH_TYPE,
    }
    letter = collector.letter("POST", "/v1/batches", secrets.token_bytes(2000), **label)
    for name in label:
        header = name.replace("_", "-")
        other = {**letter.headers, header: letter.headers[header].replace("0", "1", 1)}
        if header != "Content-Type":
            assert replace(letter, headers=other).send(site).status == 401
        assert without(letter, header).send(site).status in (401, 415)
    # As it was signed it is taken for what it is: sealed to a key of long ago.
    answer = letter.send(site)
    assert (answer.status, answer.code) == (409, "intake-key-gone")


# Keys of somebody else.


def test_a_collectors_key_opens_no_investigators_door(
    site: Site, collector: Caller, query: str
) -> None:
    answers = [
        collector.post("/v1/warrants", lodging(site, site.authority)),
        collector.post("/v1/queries", lodging(site, site.authority)),
        collector.get(f"/v1/queries/{query}"),
        collector.get(f"/v1/queries/{query}/disclosure"),
    ]
    assert {answer.status for answer in answers} <= {401, 422}
    assert [answer.code for answer in answers[2:]] == ["unknown-key"] * 2
    assert answers[0].code == "unknown-key"


def test_no_persons_key_opens_a_collectors_door(site: Site, query: str, batch: str) -> None:
    for key in (*site.authority.people.values(), site.authority.root, site.sealer_key()):
        caller = Caller(site, key)
        answers = [
            caller.get("/v1/intake-key"),
            caller.get(f"/v1/batches/{batch}"),
            caller.post("/v1/batches", secrets.token_bytes(2000), Content_Type=BATCH_TYPE),
        ]
        assert [answer.status for answer in answers] == [401] * 3


# What exists and what does not.


def test_another_collectors_batch_looks_like_none(
    site: Site, collector: Caller, foreign_collector: Caller, batch: str
) -> None:
    assert collector.get(f"/v1/batches/{batch}").status == 200
    exists = foreign_collector.get(f"/v1/batches/{batch}")
    nothing = foreign_collector.get(f"/v1/batches/{secrets.token_hex(16)}")
    assert (exists.status, exists.code) == (404, "no-such-batch")
    assert exists == nothing


def test_a_colleagues_batch_looks_like_none(colleague: Caller, batch: str) -> None:
    exists = colleague.get(f"/v1/batches/{batch}")
    assert exists.status == 404
    assert exists == colleague.get(f"/v1/batches/{secrets.token_hex(16)}")


@pytest.mark.parametrize("part", ["", "/disclosure"])
def test_another_authoritys_query_looks_like_none(
    site: Site, investigator: Caller, query: str, customs: Caller, part: str
) -> None:
    assert investigator.get(f"/v1/queries/{query}").status == 200
    exists = customs.get(f"/v1/queries/{query}{part}")
    assert (exists.status, exists.code) == (404, "no-such-query")
    assert exists == customs.get(f"/v1/queries/{secrets.token_hex(32)}{part}")


def test_a_stranger_cannot_tell_what_exists(stranger: Caller, batch: str, query: str) -> None:
    for kind, exists, digits in (("batches", batch, 16), ("queries", query, 32)):
        real = stranger.get(f"/v1/{kind}/{exists}")
        assert (real.status, real.code) == (401, "unknown-key")
        assert real == stranger.get(f"/v1/{kind}/{secrets.token_hex(digits)}")


def test_a_stranger_cannot_tell_which_providers_exist(site: Site, stranger: Caller) -> None:
    body = json.loads(lodging(site, site.authority))
    answers = [
        stranger.post("/v1/warrants", dump({**body, "grants": [], "tenant": tenant}))
        for tenant in (TENANT, "nobody")
    ]
    assert answers[0] == answers[1]
    assert (answers[0].status, answers[0].code) == (401, "unknown-key")


# The end of a key.


def test_a_revoked_collector_stops_at_once(site: Site, colleague: Caller) -> None:
    letter = colleague.letter("GET", "/v1/intake-key")
    assert colleague.get("/v1/intake-key").status == 200
    site.installation.manage("collector", "revoke", TENANT, f"edge-{RUN}")
    answers = [
        letter.send(site),  # signed before it was revoked
        colleague.get("/v1/intake-key"),
        colleague.get(f"/v1/batches/{'00' * 16}"),
        colleague.post("/v1/batches", secrets.token_bytes(2000), Content_Type=BATCH_TYPE),
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(401, "unknown-key")] * 4


def test_who_writes_to_the_broker_stops_and_questions_no_worker(site: Site) -> None:
    """Celery's remote control would end workers and print their settings for anybody there."""
    supervisor = site.installation.supervisor
    before = {name: supervisor.pid(name) for name in ("sealer", "engine", "notifier")}
    with Celery(broker=site.stack.env("sealer")["ICR_BROKER_URL"]) as stranger:
        assert stranger.control.inspect(timeout=1).conf() is None
        stranger.control.shutdown()
    time.sleep(0.5)
    assert {name: supervisor.pid(name) for name in before} == before
