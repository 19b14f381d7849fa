"""A notifier at work: real keepers, a real database as its own role, and a mail server of ours."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.client import Question
from icrstore.notices import pull, report, subscribers
from icrstore.notices.deliver import Delivery
from icrstore.notices.keyring import NotifierKeys
from icrstore.notices.mail import Mail, Smtp
from icrstore.notices.models import Notice, NoticeLeaf
from icrstore.notices.names import LookupKey
from icrstore.notices.subscribers import Loaded
from icrstore.seal.epoch import ROLES
from icrstore.shell.keyfile import KeyFile, write_secret
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.statements import AccountSelector
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.pair import Lent, Pair
from tests.keeper.papers import ENGINE, TENANT, utc_now
from tests.notices.sink import Sink
from tests.vault.rooms import Database, add_tenant, empty_tables

SENDER = "record@isp.example"
SIGN_IN = "https://isp.example/access/"


@dataclass
class Office:
    """What the notifier does, step by step or in a process of its own."""

    database: Database
    pair: Pair
    sink: Sink
    keys: NotifierKeys
    now: datetime = field(default_factory=utc_now)

    @property
    def mail(self) -> Smtp:
        return Smtp("127.0.0.1", self.sink.port, SENDER, starttls=False)

    def load(self, *accounts: str, now: datetime | None = None) -> Loaded:
        """Subscribers whose address is theirs: ``ACCOUNT@example.net``."""
        lines = [f"{account},email,{address_of(account)}\n".encode() for account in accounts]
        return self.load_lines(b"account,channel,contact\n", *lines, now=now)

    def load_lines(self, *lines: bytes, now: datetime | None = None) -> Loaded:
        public = self.keys.opening.public_bytes()
        return subscribers.load(TENANT, lines, self.keys.lookup, public, now or self.now)

    def close(self, account: str, now: datetime | None = None) -> None:
        subscribers.close(TENANT, account, self.keys.lookup, now or self.now)

    def ask(self, *accounts: str) -> Lent:
        """A question about these accounts, as far as its shares."""
        return self.pair.run(self.pair.question(self.warrant_about(*accounts)))

    def warrant_about(self, *accounts: str) -> Envelope:
        selectors = tuple(AccountSelector(account) for account in accounts)
        return self.pair.warrant(self.pair.warrant_of(selectors=selectors))

    def answer(self, *accounts: str, records: int = 0) -> Question:
        """The same, to its end: both keepers have logged whom the answer names."""
        question = self.ask(*accounts).question
        named = self.pair.disclosure(question, *accounts, records=records)
        self.pair.keepers().disclose(question, named)
        return question

    def pull(self, now: datetime | None = None) -> int:
        tellers = [self.pair.teller(role) for role in ROLES]
        with self._as_notifier():
            return pull.pull(self.keys.lookup, tellers, now or utc_now())

    def deliver(self, now: datetime | None = None, mail: Mail | None = None) -> int:
        with self._as_notifier():
            return Delivery(self.keys, mail or self.mail, SIGN_IN).deliver(now or utc_now())

    def recheck(self, after: Mapping[str, int]) -> int:
        """At both keepers, from these numbers on; how many rows were wrong."""
        with self._as_notifier():
            return sum(
                pull.recheck(
                    self.keys.lookup, self.pair.teller(role), TENANT, after[role], utc_now()
                )
                for role in ROLES
            )

    def report(self, now: datetime | None = None) -> int:
        tellers = [self.pair.teller(role) for role in ROLES]
        with self._as_notifier():
            return report.report(tellers, self.keys.signing, now or utc_now())

    def look(self, now: datetime | None = None) -> int:
        """One look of the notifier; how many messages left."""
        self.pull(now)
        count = self.deliver(now)
        self.report(now)
        return count

    def notice(self, account: str) -> Notice:
        return Notice.objects.get(lookup=self.keys.lookup.find(TENANT, account))

    def leaves(self, account: str) -> list[NoticeLeaf]:
        return list(self.notice(account).leaves.order_by("role", "number"))

    def owed_at_keepers(self, account: str) -> list[str]:
        """The types of the leaves that keepers still owe this account, from their own stores."""
        found = []
        for role in ROLES:
            teller, after = self.pair.teller(role), 0
            while page := teller.due(TENANT, after):
                found += [d.said["type"] for d in page if d.account == account and not d.notice]
                after = page[-1].number
        return found

    @contextmanager
    def _as_notifier(self) -> Iterator[None]:
        """What the grants and the row security do not allow it cannot do here either."""
        self.database.use("notifier")
        try:
            yield
        finally:
            self.database.use("admin")

    def process(self, folder: Path) -> "subprocess.Popen[bytes]":
        """The real task in a process of its own, killed or not."""
        env = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "icrstore.settings",
            "ICR_VAR": str(folder),
            "ICR_ROLE": "notifier",
            "ICR_DATABASE_URL": self.database.url("notifier"),
            "ICR_KEEPERS": ",".join(f"{r}={self.pair.processes[r].address}" for r in ROLES),
            "ICR_SMTP": f"127.0.0.1:{self.sink.port}",
            "ICR_SMTP_STARTTLS": "0",
            "ICR_MAIL_FROM": SENDER,
            "ICR_SIGN_IN_URL": SIGN_IN,
        }
        look = "import django; django.setup(); from icrstore.notices.tasks import tell; tell()"
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", look], env=env, stderr=subprocess.PIPE
        )

    def write_files(self, folder: Path) -> None:
        """Keys and trust file as an installation has them."""
        kept = folder / "secrets" / "notifier"
        kept.mkdir(parents=True)
        (folder / "public").mkdir()
        signing = self.keys.signing
        KeyFile(
            "signing", "notifier", raw_public(signing), signing.private_bytes_raw()
        ).write(kept / "notifier.key")  # fmt: skip
        opening = self.keys.opening
        KeyFile(
            "recipient", "notifier", opening.public_bytes(), opening.private_bytes()
        ).write(kept / "opening.key")  # fmt: skip
        write_secret(kept / "lookup.key", self.keys.lookup.raw.hex().encode())
        (folder / "public" / "trust.json").write_bytes(self.trust())

    def trust(self) -> bytes:
        """The trust file, as far as these keepers are in it."""
        keepers = [
            {"role": one.role, "instance": one.instance, "name": one.name,
             "identity_key": encode_base64(one.identity_key),
             "log_key": encode_base64(one.log_key), "witness_key": encode_base64(one.witness_key)}
            for one in self.pair.identities.values()
        ]  # fmt: skip
        return dump({
            "keepers": keepers, "engines": {ENGINE: encode_base64(bytes(32))}, "authorities": {},
            "sealers": {}, "receipt_key": encode_base64(bytes(32)),
        })  # fmt: skip


def address_of(account: str) -> str:
    return f"{account}@example.net"


def new_name() -> str:
    """An account that no other test has asked about."""
    return f"line-{secrets.token_hex(4)}"


@contextmanager
def open_office(database: Database, pair: Pair, sink: Sink) -> Iterator[Office]:
    """With empty tables; afterwards the database is the administrator's again, as it was."""
    empty_tables()
    add_tenant(TENANT, pair.public("root"))
    signing: Ed25519PrivateKey = pair.keys["notifier"]
    keys = NotifierKeys(signing, pair.notifier_key, LookupKey(secrets.token_bytes(32)))
    try:
        yield Office(database, pair, sink, keys)
    finally:
        database.use("admin")


def later(**by: float) -> datetime:
    return utc_now() + timedelta(**by)
