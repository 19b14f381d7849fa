"""A genuine answer with all that proves it, made by the rooms that icr-verify does not import."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.seal.encode import digest
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.merkle import Tree
from icrstore.tlog.note import SigningKey
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    Grant,
    HourRange,
    Purpose,
    Request,
    Target,
    Warrant,
)
from icrstore.warrant.strict import dump, encode_base64, time_text
from icrstore.wire import hpke

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
HOURS = HourRange(datetime(2026, 11, 22, 8, tzinfo=UTC), datetime(2026, 11, 22, 10, tzinfo=UTC))
DAY = timedelta(days=1)
ROLES = ("operator", "oversight")
STEPS = ("commit", "release", "disclosure")
ACCOUNTS = ("household-1", "household-2")


def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public_of(name: str) -> str:
    return encode_base64(raw_public(key_of(name)))


@cache
def recipient() -> hpke.PrivateKey:
    return hpke.PrivateKey(hashlib.sha512(b"recipient").digest() + bytes(32))


def keeper_name(role: str) -> str:
    return f"demo.icrstore/{role}-1"


def trust() -> dict[str, Any]:
    return {
        "keepers": [
            {
                "role": role,
                "instance": 1,
                "name": keeper_name(role),
                "identity_key": public_of(f"{role}-identity"),
                "log_key": public_of(f"{role}-log"),
                "witness_key": public_of(f"{role}-witness"),
            }
            for role in ROLES
        ],
        "engines": {"engine-1": public_of("engine")},
        "authorities": {"police": public_of("root")},
        "sealers": {"sealer-1": public_of("sealer")},
        "receipt_key": public_of("receipts"),
    }


def grant(
    role: str, holder: str, issuer: str = "police", root: str = "root", name: str = ""
) -> Envelope:
    made = Grant(issuer, role, raw_public(key_of(holder)), name or holder, NOW - DAY, NOW + DAY)
    return Envelope.sign("grant", made.to_fields(), key_of(root))


@dataclass
class Story:
    """Everything that happened, each part replaceable before `package` writes it down."""

    warrant: Warrant
    request: Request
    grants: list[Envelope]
    warrant_signers: list[str] = field(default_factory=lambda: ["applicant", "approver"])
    request_signer: str = "investigator"
    engine: str = "engine"
    accounts: tuple[str, ...] = ACCOUNTS
    opened: int = 3
    records: tuple[int, ...] | None = None
    answer: Callable[[dict[str, Any]], dict[str, Any]] = lambda made: made
    private: Callable[[str, str, dict[str, Any]], dict[str, Any]] = lambda _r, _s, made: made
    leaf: Callable[[str, str, str], str] = lambda _r, _s, made: made
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    log_keys: Mapping[str, str] = field(default_factory=dict)
    witness_keys: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def package(
        self, warrant: Envelope | None = None, request: Envelope | None = None
    ) -> dict[str, Any]:
        """The package; the statements are those of this story, already signed or signed here."""
        warrant = warrant or Envelope.sign(
            "warrant", self.warrant.to_fields(), *map(key_of, self.warrant_signers)
        )
        request = request or Envelope.sign(
            "request", self.request.to_fields(), key_of(self.request_signer)
        )
        answer = dump(self.answer(self._answer(request.sha256.hex())))
        sha256 = hashlib.sha256(answer).digest()
        disclosed = Disclosure(request.sha256, self.accounts, self.counts, self.opened, sha256)
        made = {
            "v": 1,
            "answer": encode_base64(answer),
            "warrant": warrant.to_object(),
            "request": request.to_object(),
            "grants": [each.to_object() for each in self.grants],
            "disclosure": Envelope.sign(
                "disclosure", disclosed.to_fields(), key_of(self.engine)
            ).to_object(),
        }
        about = self._about(warrant, request)
        keepers = {role: self._keeper(role, about, sha256.hex()) for role in ROLES}
        return {**made, "keepers": keepers}

    @property
    def counts(self) -> tuple[int, ...]:
        """As the answer's own rows have them, unless ``records`` says otherwise."""
        if self.records is not None:
            return self.records
        if self.warrant.purpose == "services":
            return (3, 0, 0)[: len(self.accounts)]
        return (2,) * len(self.accounts)

    def _answer(self, request_sha256: str) -> dict[str, Any]:
        return {
            "v": 1,
            "request_sha256": request_sha256,
            "tenant": self.warrant.tenant,
            "purpose": self.warrant.purpose,
            "notice": "demonstration: both keepers on one host",
            "hours": [
                {"hour": time_text(hour), "coverage": "COMPLETE", "epochs": epochs(hour)}
                for hour in self.request.all_hours()
            ],
            "accounts": list(self.accounts),
            "limits": ["A tunnel hides what is inside it."],
            **{"resolve": self._resolved, "services": self._services, "reached": self._reached}[
                self.warrant.purpose
            ](),
        }

    def _services(self) -> dict[str, Any]:
        service = {"account": self.accounts[0], "service": "imaps", "records": 3}
        return {
            "records": 3,
            "collapsed": 0,
            "services": [
                {
                    **service,
                    "destination_address": "192.0.2.7",
                    "protocol": 6,
                    "destination_port": 993,
                    "first": "2026-11-22T08:00:01.000000001Z",
                    "last": "2026-11-22T09:10:00Z",
                }
            ],
            "by_service": [{**service, "destinations": 1}],
        }

    def _resolved(self) -> dict[str, Any]:
        """The first address is one account's; all accounts fit each of the others."""
        made = []
        for number, each in enumerate(self.request.selectors):
            fit = self.accounts if number else self.accounts[:1]
            verdict = ("NONE", "UNIQUE", "AMBIGUOUS")[min(len(fit), 2)]
            made.append({**each.to_fields(), "verdict": verdict, "candidates": len(fit),
                         "accounts": list(fit)})  # fmt: skip
        return {"resolutions": made}

    def _reached(self) -> dict[str, Any]:
        """The first target was reached by all accounts, the others by nobody."""
        made = []
        for each in self.request.selectors:
            for number, target in enumerate(self.request.targets):
                row = {**each.to_fields(), **target.to_fields(), "verdict": "NO", "records": 0}
                first, last = time_text(target.first), time_text(target.end - timedelta(seconds=1))
                yes = {"verdict": "YES", "records": 2, "first": first, "last": last}
                made.append(row if number else {**row, **yes})
        return {"reached": made}

    def _about(self, warrant: Envelope, request: Envelope) -> dict[str, Any]:
        return {
            "v": 1,
            "tenant": self.warrant.tenant,
            "request_sha256": request.sha256.hex(),
            "warrant_sha256": warrant.sha256.hex(),
            "hours": [hours.to_fields() for hours in self.request.hours],
            "purpose": self.warrant.purpose,
            "authority": self.warrant.authority,
            "instrument": self.warrant.instrument,
        }

    def _keeper(self, role: str, about: dict[str, Any], answer_sha256: str) -> dict[str, Any]:
        """A log of this role in which other people's leaves stand between ours."""
        log: list[str] = [f"pin {role}\n"]
        found: dict[str, list[dict[str, Any]]] = {step: [] for step in STEPS}
        for step in self.order.get(role, STEPS):
            log.append(f"somebody else's, before {step}\n")
            asked = [each.subject for each in self.request.selectors]
            named = [account.encode() for account in self.accounts]
            for subject in named if step == "disclosure" else asked:
                salt = hashlib.sha256(f"{role} {step}".encode() + subject).digest()[:16]
                said = {**about, **self._more(step, answer_sha256), "type": step}
                if step == "disclosure":
                    said["records"] = self.counts[named.index(subject)]
                said |= {"nonce": "0f" * 16, "subject": digest("subject", salt, subject).hex()}
                private = dump(self.private(role, step, said)).decode()
                day = self.request.created.date().isoformat()
                leaf = self.leaf(role, step, self._leaf(step, private, day))
                found[step].append({"index": len(log), "leaf": leaf, "private": private})
                if step == "disclosure":
                    found[step][-1]["salt"] = salt.hex()
                log.append(leaf)
        log += ["a later one\n"] * 3
        return {"name": keeper_name(role), **{s: self._evidence(role, s, log, found[s])
                                              for s in STEPS}}  # fmt: skip

    def _evidence(
        self, role: str, step: str, log: list[str], leaves: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """All leaves of a step at one checkpoint, which ends two leaves after the step."""
        size = min(len(log), max((each["index"] for each in leaves), default=0) + 3)
        tree = Tree(each.encode() for each in log[:size])
        for each in leaves:
            each["proof"] = [node.hex() for node in tree.inclusion_proof(each["index"])]
        other = ROLES[1 - ROLES.index(role)]
        origin = self.origins.get((role, step), f"{keeper_name(role)}/0123456789abcdef")
        log_key = SigningKey(origin, key_of(self.log_keys.get(role, f"{role}-log")))
        note = sign_checkpoint(Checkpoint(origin, size, tree.root()), log_key)
        witness = key_of(self.witness_keys.get(role, f"{other}-witness"))
        name = f"{keeper_name(other)}/witness"
        cosigned = SigningKey(name, witness).cosign(note.body, int(NOW.timestamp()))
        return {"checkpoint": note.with_signatures([cosigned]).encode().decode(), "leaves": leaves}

    def _more(self, step: str, answer_sha256: str) -> dict[str, Any]:
        if step == "commit":
            listed = [each for hour in self.request.all_hours() for each in epochs(hour)]
            hashed = b"".join(bytes.fromhex(e["eid"] + e["statement_sha256"]) for e in listed)
            return {"epochs_sha256": hashlib.sha256(hashed).hexdigest()}
        if step == "disclosure":
            return {"answer_sha256": answer_sha256, "opened_accounts": self.opened}
        return {}

    def _leaf(self, step: str, private: str, day: str) -> str:
        owed = step == "disclosure" or (step == "release" and self.warrant.purpose != "resolve")
        sha256 = hashlib.sha256(private.encode()).hexdigest()
        return (
            f"v=1\ntype={step}\nday={day}\ndue={day if owed else '-'}\ntag={'0a' * 16}\n"
            f"private-sha256={sha256}\n"
        )


def epochs(hour: datetime) -> list[dict[str, str]]:
    """Two epochs of an hour in the order of their ids, as both keepers list them."""
    made = [hashlib.sha256(f"{hour} {number}".encode()).hexdigest() for number in range(2)]
    return [{"eid": each[:32], "statement_sha256": each} for each in sorted(made)]


ADDRESS = bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 200])


def selectors_of(purpose: Purpose) -> tuple[AccountSelector | AddressSelector, ...]:
    if purpose != "resolve":
        return tuple(AccountSelector(account) for account in ACCOUNTS)
    at = HOURS.first + timedelta(minutes=30)
    return tuple(AddressSelector(ADDRESS, port, 6, at, timedelta(minutes=1)) for port in (7, 8))


def targets_of(purpose: Purpose) -> tuple[Target, ...]:
    if purpose != "reached":
        return ()
    networks = ("192.0.2.0/24", "2001:db8::/64")
    return tuple(Target(cidr, HOURS.first, HOURS.end) for cidr in networks)


def story(purpose: Purpose = "services", max_candidates: int = 0) -> Story:
    """The honest one; its warrant and request are values to `dataclasses.replace`."""
    selectors, targets = selectors_of(purpose), targets_of(purpose)
    warrant = Warrant(
        id="w-1", nonce=bytes(16), tenant="isp-a", instrument="authorisation 7",
        authority="police", purpose=purpose, basis="s. 61", selectors=selectors, targets=targets,
        hours=HourRange(HOURS.first - DAY, HOURS.end), valid_from=NOW - DAY, valid_to=NOW + DAY,
        max_requests=3, max_candidates=max_candidates,
        recipient_keys=(recipient().public_bytes(),),
    )  # fmt: skip
    request = Request(
        request_id=bytes(16), warrant_sha256=warrant_sha256(warrant), selectors=selectors,
        targets=targets, hours=(HOURS,), urgent=False, nonce=bytes(16), created=NOW,
    )  # fmt: skip
    people = ("applicant", "approver", "investigator")
    return Story(warrant, request, [grant(person, person) for person in people])


def warrant_sha256(warrant: Warrant) -> bytes:
    return hashlib.sha256(dump(warrant.to_fields())).digest()


@cache
def package_bytes() -> bytes:
    """The honest package, written once."""
    return dump(story().package())


def package() -> dict[str, Any]:
    """A fresh copy of the honest package, to be spoilt."""
    made: dict[str, Any] = json.loads(package_bytes())
    return made
