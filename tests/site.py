"""A whole site for tests: every process, one provider, one authority with its people, a collector.

Built on `tests.stack`; papers are made with the rooms' own functions, since each `icr` command
takes half a second to start. What is pushed goes through the real `icr-collect`.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy import database, provision
from icrstore.desk.papers import make_grant
from icrstore.seal.encode import enc
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.shell.client import Server
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import AccountSelector, Grant, HourRange, Request, Warrant
from icrstore.warrant.strict import decode_base64, encode_base64
from icrstore.wire import hpke
from tests.stack import Stack

TENANT, AUTHORITY = "isp-one", "police"
ROLES = ("applicant", "approver", "investigator")
SITE = pytest.StashKey["Site"]()
SERVICES = ("web", "sealer", "engine", "notifier", "janitor", "beat")


@dataclass(frozen=True)
class Authority:
    """A root and its people; every grant is theirs from yesterday on."""

    name: str
    root: Ed25519PrivateKey
    people: dict[str, Ed25519PrivateKey]

    @classmethod
    def make(cls, name: str) -> "Authority":
        people = {role: Ed25519PrivateKey.generate() for role in ROLES}
        return cls(name, Ed25519PrivateKey.generate(), people)

    @property
    def public(self) -> str:
        return encode_base64(raw_public(self.root))

    def grants(self) -> list[Envelope]:
        now = datetime.now(UTC).replace(microsecond=0)
        return [
            Envelope.sign("grant", Grant(
                issuer=self.name, role=role, key=raw_public(key), holder=f"the {role}",
                not_before=now - timedelta(days=1), not_after=now + timedelta(days=1),
            ).to_fields(), self.root)
            for role, key in self.people.items()
        ]  # fmt: skip


class Site:
    """Everything runs; methods do what people would."""

    def __init__(self, stack: Stack, services: Sequence[str] = SERVICES) -> None:
        self.stack = stack
        self.installation = stack.installation
        self.folder = stack.layout.var / "people"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.authority = Authority.make(AUTHORITY)
        self.reader = hpke.PrivateKey.generate()
        stack.start(*services)
        self.add_tenant(TENANT)
        self.collector = self.add_collector(TENANT, "edge-1")
        if "beat" in services:
            self.wait_ready()

    @property
    def url(self) -> str:
        return self.stack.layout.url

    def add_tenant(self, name: str) -> None:
        root = self.folder / f"{name}.key"
        KeyFile.new("signing", name).write(root)
        provision.add_tenant(
            self.installation, name, root, {self.authority.name: self.authority.public}
        )

    def add_collector(self, tenant: str, name: str) -> Path:
        """A collector's config file, ready for `icr-collect push --config`."""
        key, secret = self.folder / f"{name}.key", self.folder / f"{name}.secret"
        self.run("icr-collect", "key", "--out", str(key), "--secret", str(secret))
        self.installation.manage("collector", "add", tenant, name, "--key", str(key))
        self.grant_collector(tenant, name, key)
        trust = json.loads(provision.trust_file(self.installation).read_text())
        config = self.folder / f"{name}.json"
        config.write_text(json.dumps({
            "server": self.url,
            "key": str(key),
            "secret": str(secret),
            "spool": str(self.folder / f"{name}.spool"),
            "sealer_key": trust["sealers"]["sealer-1"],
            "receipt_key": trust["receipt_key"],
        }))  # fmt: skip
        return config

    def grant_collector(self, tenant: str, name: str, key: Path) -> None:
        """The tenant's root vouches for it."""
        grant = self.folder / f"{name}.grant"
        root = KeyFile.read(self.folder / f"{tenant}.key", "signing")
        made = make_grant(
            root, issuer=tenant, role="collector", holder=name,
            key=KeyFile.read(key, "signing").public_half().public, days=1,
        )  # fmt: skip
        grant.write_bytes(made.encode())
        self.installation.manage("collector", "grant", str(grant))

    def rest(self) -> None:
        """Nobody looks any more for what there is to do, which takes a quarter of a core."""
        self.stack.stop("beat")

    def wait_ready(self, seconds: float = 60) -> None:
        """Until every ended hour has an epoch that both keepers logged, also the one just ended."""
        self.wait_for(
            "SELECT count(DISTINCT hour) >= 47 FROM vault_epoch"
            " WHERE hour >= date_trunc('hour', now()) - interval '47 hours'",
            seconds,
        )
        self.wait_logged(seconds)

    def wait_logged(self, seconds: float = 60) -> None:
        """Until both keepers have logged every epoch."""
        self.wait_for(
            "SELECT NOT EXISTS (SELECT 1 FROM vault_epochseal WHERE acknowledged_at IS NULL)",
            seconds,
        )

    def wait_for(self, question: str, seconds: float = 60) -> None:
        """Until the one value of this SQL query is true."""
        deadline = time.monotonic() + seconds
        while not self.sql(question)[0][0]:
            if time.monotonic() > deadline:
                raise TimeoutError(question)
            time.sleep(0.2)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As the database's administrator."""
        url = database.database_url(self.stack.layout, "admin")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def push(
        self, path: Path, *arguments: str, config: Path | None = None, wait: int = 60
    ) -> dict[str, Any]:
        """`icr-collect push --json`; its last line. Raises CalledProcessError."""
        told = self.run(
            "icr-collect", "push", str(path), *arguments, "--config",
            str(config or self.collector), "--wait", str(wait), "--json",
        )  # fmt: skip
        made: dict[str, Any] = json.loads(told.splitlines()[-1])
        return made

    def popen_push(self, path: Path, *arguments: str) -> "subprocess.Popen[str]":
        """The same in the background."""
        command = ["icr-collect", "push", str(path), *arguments, "--config", str(self.collector)]
        return subprocess.Popen(
            [str(Path(sys.executable).with_name(command[0])), *command[1:], "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )  # fmt: skip

    def run(self, *argv: str) -> str:
        return self.installation.run("admin", *argv)

    def warrant(
        self, accounts: Sequence[str], first: datetime, end: datetime, *,
        max_requests: int = 10, authority: Authority | None = None, tenant: str = TENANT,
        signers: Sequence[str] = ("applicant", "approver"), **changed: Any,
    ) -> Envelope:  # fmt: skip
        """A warrant of purpose 2, signed; ``changed`` replaces fields of the statement."""
        by, now = authority or self.authority, datetime.now(UTC).replace(microsecond=0)
        fields = Warrant(
            id=f"w-{secrets.token_hex(4)}",
            nonce=secrets.token_bytes(16),
            tenant=tenant,
            instrument="authorisation 1",
            authority=by.name,
            purpose="services",
            basis="a test",
            selectors=tuple(AccountSelector(account) for account in accounts),
            targets=(),
            hours=HourRange(first, end),
            valid_from=now - timedelta(minutes=1),
            valid_to=now + timedelta(days=1),
            max_requests=max_requests,
            max_candidates=0,
            recipient_keys=(self.reader.public_bytes(),),
        ).to_fields()
        keys = [by.people[signer] for signer in signers]
        return Envelope.sign("warrant", {**fields, **changed}, *keys)

    def request(
        self, warrant: Envelope, accounts: Sequence[str], first: datetime, end: datetime, *,
        authority: Authority | None = None, **changed: Any,
    ) -> Envelope:  # fmt: skip
        fields = Request(
            request_id=secrets.token_bytes(16),
            warrant_sha256=warrant.sha256,
            selectors=tuple(AccountSelector(account) for account in accounts),
            targets=(),
            hours=(HourRange(first, end),),
            urgent=False,
            nonce=secrets.token_bytes(16),
            created=datetime.now(UTC).replace(microsecond=0),
        ).to_fields()
        key = (authority or self.authority).people["investigator"]
        return Envelope.sign("request", {**fields, **changed}, key)

    def desk(self, key: Ed25519PrivateKey | None = None) -> Server:
        """The API as one person speaks to it; the investigator, if no key is given."""
        return Server(self.url, key or self.authority.people["investigator"])

    def lodge(self, warrant: Envelope, tenant: str = TENANT) -> None:
        body = {
            "tenant": tenant,
            "warrant": warrant.to_object(),
            "grants": [grant.to_object() for grant in self.authority.grants()],
        }
        response = self.desk().post("/v1/warrants", body)
        if response.status != 201:
            raise AssertionError(response.body)

    def put(self, request: Envelope, tenant: str = TENANT) -> str:
        body = {"tenant": tenant, "request": request.to_object(), "grants": []}
        response = self.desk().post("/v1/queries", body)
        if response.status != 202:
            raise AssertionError(response.body)
        return str(json.loads(response.body)["query"])

    def wait(self, query: str, seconds: float = 60) -> dict[str, Any]:
        """The query's end: answered, refused or failed, and who said why."""
        deadline = time.monotonic() + seconds
        while True:
            told: dict[str, Any] = json.loads(self.desk().get(f"/v1/queries/{query}").body)
            if told["state"] not in ("queued", "running"):
                return told
            if time.monotonic() > deadline:
                raise TimeoutError(told["state"])
            time.sleep(0.1)

    def package(self, query: str) -> dict[str, Any]:
        """The answer's package, opened with the reader's key."""
        told = json.loads(self.desk().get(f"/v1/queries/{query}/disclosure").body)
        sealed = next(
            one["sealed"] for one in told["sealed"]
            if one["keyid"] == key_id(self.reader.public_bytes())
        )  # fmt: skip
        info = enc(b"icr/v1/answer", bytes.fromhex(query))
        made: dict[str, Any] = json.loads(
            hpke.open_(self.reader, info, decode_base64(sealed) or b"")
        )
        return made

    def ask(
        self, accounts: Sequence[str], first: datetime, end: datetime, **changed: Any
    ) -> dict[str, Any]:
        """The plain answer under a warrant of its own; purpose 2 unless ``changed`` says so."""
        self.wait_ready()
        warrant = self.warrant(accounts, first, end, **changed)
        self.lodge(warrant)
        asked = {name: changed[name] for name in ("selectors", "targets") if name in changed}
        query = self.put(self.request(warrant, accounts, first, end, **asked))
        told = self.wait(query)
        if told["state"] != "answered":
            raise AssertionError(told)
        made: dict[str, Any] = json.loads(decode_base64(self.package(query)["answer"]) or b"")
        return made

    def sealer_key(self) -> Ed25519PrivateKey:
        return KeyFile.read(self.stack.layout.secrets("sealer") / "sealer.key", "signing").signing()


def last_hours(count: int) -> tuple[datetime, datetime]:
    """The last ``count`` whole hours: first (included) and end (excluded)."""
    end = hour_start(datetime.now(UTC))
    return end - HOUR * count, end


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, stack: Stack) -> Site:
    """The session's site. Who kills or stops a process must leave everything running again."""
    made = Site(stack)
    request.session.stash[SITE] = made
    return made
