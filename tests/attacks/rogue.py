"""A keeper that says yes: its own true keys and atoms, every answer in form, and nothing refused.

It reads no signature, no clock and no scope, cosigns whatever it is shown, and writes no log: its
leaves stand in trees of its own making, one for each question, that nobody watches.
"""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socketserver
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from icrstore.keeper.answers import ListedEpoch
from icrstore.keeper.keys import Identity
from icrstore.keeper.leaves import Leaf, LeafText
from icrstore.keeper.names import lend_info, origin_of, pseudonym_of, witness_key_name
from icrstore.seal.encode import digest
from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, sign_checkpoint
from icrstore.tlog.note import SigningKey
from icrstore.tlog.witness import parse_request
from icrstore.warrant.strict import dump, time_text
from icrstore.wire import hpke
from tests.attacks.thief import Selector, atoms_of

Object = Mapping[str, Any]


@dataclass
class Case:
    """A question as it was brought, and a tree that was made up for it."""

    warrant: Object
    request: Object
    digests: dict[str, str]
    engine_key: bytes
    origin: str
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    size: int = 0

    @property
    def accounts(self) -> list[str]:
        return [each["account"] for each in self.request["selectors"]]

    def told(self, type_: str) -> dict[str, Any]:
        named = {name: self.warrant[name] for name in ("purpose", "authority", "instrument")}
        tenant, hours = self.warrant["tenant"], self.request["hours"]
        return {"v": 1, "type": type_, "tenant": tenant, "hours": hours, **named, **self.digests}

    def append(self, text: bytes) -> int:
        hashed = merkle.leaf_hash(text)
        self.nodes |= {
            (level, number): made
            for level, number, made in merkle.new_nodes(self.node, self.size, hashed)
        }
        self.size += 1
        return self.size - 1

    def node(self, level: int, number: int) -> bytes:
        return self.nodes[level, number]

    def covers(self, hour: datetime) -> bool:
        text = time_text(hour)
        return any(each["from"] <= text < each["to"] for each in self.request["hours"])


class Rogue:
    """What one keeper's folder can do in the hands of somebody who always does it."""

    def __init__(self, folder: Path, epochs: Sequence[ListedEpoch]) -> None:
        self._identity, self._atoms = Identity.load(folder), atoms_of(folder)
        self._epochs = sorted(epochs, key=lambda epoch: (epoch.hour, epoch.eid))
        self._cases: dict[str, Case] = {}

    def share(self, eid: bytes, account: str) -> bytes:
        """Of anybody in any epoch: no warrant holds it back."""
        return Selector.account(account).share(self._atoms[eid])

    def answer(self, target: str, body: bytes) -> bytes:
        """What a keeper would answer if it had found nothing wrong."""
        parts = urlsplit(target)
        match parts.path.split("/"):
            case ["", "healthz"]:
                return b"ok\n"
            case ["", "add-checkpoint"]:
                return self._cosign(body)
            case ["", "log", pseudonym, what]:
                asked = {name: value for name, (value,) in parse_qs(parts.query).items()}
                return self._log(pseudonym, what, asked)
            case ["", "v1", call]:
                answers = {
                    "commit": self._commit,
                    "release": self._release,
                    "lend": self._lend,
                    "disclosure": self._disclose,
                }
                return dump(answers[call](json.loads(body)))
        raise KeyError(target)

    def _cosign(self, body: bytes) -> bytes:
        key = SigningKey(witness_key_name(self._identity.name), self._identity.witness)
        return key.cosign(parse_request(body).note.body, int(time.time())).line().encode()

    def _commit(self, asked: Object) -> dict[str, Any]:
        (warrant, by_warrant), (request, by_request) = map(
            _payload, (asked["warrant"], asked["request"])
        )
        engine_key = base64.b64decode(_payload(asked["engine_key"])[0]["key"])
        digests = {"warrant_sha256": by_warrant, "request_sha256": by_request}
        origin = origin_of(self._identity.name, secrets.token_hex(8))
        case = Case(warrant, request, digests, engine_key, origin)
        self._cases[by_request] = case
        epochs = self._in_scope(case)
        fixed = hashlib.sha256(b"".join(each.eid + each.statement_sha256 for each in epochs))
        answer = self._leaves(case, "commit", case.accounts, epochs_sha256=fixed.hexdigest())
        return {**answer, "epochs": [_listed(epoch) for epoch in epochs]}

    def _release(self, asked: Object) -> dict[str, Any]:
        case = self._cases[asked["request_sha256"]]
        return self._leaves(case, "release", case.accounts)

    def _lend(self, asked: Object) -> dict[str, Any]:
        own, case = self._identity, self._cases[asked["request_sha256"]]
        plain = b"".join(
            epoch.eid + b"".join(self.share(epoch.eid, account) for account in case.accounts)
            for epoch in self._in_scope(case)
        )
        info = lend_info(bytes.fromhex(asked["request_sha256"]), own.role, own.instance)
        sealed = hpke.seal(case.engine_key, info, plain)
        return {"sealed": base64.b64encode(sealed).decode()}

    def _disclose(self, asked: Object) -> dict[str, Any]:
        named = _payload(asked["disclosure"])[0]
        besides = {name: named[name] for name in ("answer_sha256", "opened_accounts")}
        counts = [{**besides, "records": count} for count in named["records"]]
        case = self._cases[named["request_sha256"]]
        return self._answer(case, "disclosure", zip(named["accounts"], counts, strict=True))

    def _in_scope(self, case: Case) -> list[ListedEpoch]:
        return [epoch for epoch in self._epochs if case.covers(epoch.hour)]

    def _leaves(
        self, case: Case, type_: str, accounts: Sequence[str], **besides: Any
    ) -> dict[str, Any]:
        return self._answer(case, type_, ((account, besides) for account in accounts))

    def _answer(self, case: Case, type_: str, said: Iterable[tuple[str, Object]]) -> dict[str, Any]:
        leaves = [self._leaf(case, type_, account, besides) for account, besides in said]
        proofs = [merkle.inclusion_proof(case.node, leaf.index, case.size) for leaf in leaves]
        return {
            "leaves": [leaf.to_object() for leaf in leaves],
            "proofs": [[each.hex() for each in proof] for proof in proofs],
            "checkpoint": self._checkpoint(case),
        }

    def _leaf(self, case: Case, type_: str, account: str, besides: Object) -> Leaf:
        salt = os.urandom(16)
        subject = digest("subject", salt, account.encode()).hex()
        nonce = os.urandom(16).hex()
        private = dump({**case.told(type_), **besides, "subject": subject, "nonce": nonce})
        text = LeafText(
            type=type_,
            day=datetime.now(UTC).date().isoformat(),
            due="-",
            tag=os.urandom(16),
            private_sha256=hashlib.sha256(private).digest(),
        ).encode()
        return Leaf(case.append(text), text.decode(), private.decode(), salt)

    def _checkpoint(self, case: Case) -> str:
        made = Checkpoint(case.origin, case.size, merkle.root(case.node, case.size))
        key = SigningKey(case.origin, self._identity.log)
        return sign_checkpoint(made, key).encode().decode()

    def _log(self, pseudonym: str, what: str, asked: Mapping[str, str]) -> bytes:
        case = next(each for each in self._cases.values() if pseudonym_of(each.origin) == pseudonym)
        if what == "checkpoint":
            return self._checkpoint(case).encode()
        sizes = int(asked["from"]), int(asked["to"])
        proof = merkle.consistency_proof(case.node, *sizes)
        return dump({"proof": [each.hex() for each in proof]})


@contextlib.contextmanager
def serving(rogue: Rogue, socket: Path) -> Iterator[None]:
    """The rogue behind a keeper's socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            content = rogue.answer(self.path, body)
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

    with socketserver.ThreadingUnixStreamServer(str(socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


def _payload(envelope: Object) -> tuple[dict[str, Any], str]:
    """What a statement says, whoever signed it, and its digest in hex."""
    content = base64.b64decode(envelope["payload"])
    return json.loads(content), hashlib.sha256(content).hexdigest()


def _listed(epoch: ListedEpoch) -> dict[str, Any]:
    return {
        "eid": epoch.eid.hex(),
        "hour": time_text(epoch.hour),
        "shard": epoch.shard,
        "statement_sha256": epoch.statement_sha256.hex(),
    }
