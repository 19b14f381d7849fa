"""The real web process on the rooms' database, and callers that sign whatever a test wants sent."""

import dataclasses
import hashlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.shell.keyfile import KeyFile, PublicKey, write_secret
from icrstore.warrant.dsse import key_id, raw_public
from icrstore.warrant.strict import encode_base64
from icrstore.wire import hpke
from icrstore.wire.digest import content_digest_of
from icrstore.wire.signatures import new_nonce, sign_request
from tests.api.document import check_answer
from tests.stack import free_port
from tests.vault.rooms import RECEIPT_KEY, Database, Rooms, label_headers

ENGINE_STORAGE = hpke.PrivateKey.generate()
NO_BROKER = "redis+socket:///nowhere/valkey.sock"


@dataclass(frozen=True)
class Told:
    """An answer; `value` is its JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code, once it is seen to be a problem as RFC 9457 has them."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        assert set(self.value) <= {"type", "title", "status", "code", "detail"}
        assert (self.value["type"], self.value["status"]) == ("about:blank", self.status)
        code = self.value["code"]
        assert code == code.lower()
        assert "_" not in code
        return self.status, code


@dataclass(frozen=True)
class Web:
    """gunicorn serving on a loopback port, and what it printed."""

    port: int
    printed: Path

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.printed.read_text()

    def send(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, body, dict(headers or {}))
            return read(connection.getresponse(), method, target)
        finally:
            connection.close()

    def raw(self, sent: bytes) -> Told:
        """Exactly these bytes, then an end of file, as from a caller that was cut off."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection)
            response.begin()
            method, target = [*sent.split(b"\r\n")[0].decode("latin-1").split(" "), "", ""][:2]
            return read(response, method, target)


def read(response: http.client.HTTPResponse, method: str, target: str) -> Told:
    """The answer, once it is seen to be one that the interface's description has."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    told = Told(response.status, headers, response.read())
    if method != "HEAD":
        media_type = headers.get("content-type", "")
        check_answer(method, target, told.status, headers, media_type, told.body)
    return told


@dataclass
class Caller:
    """Signs as one key; ``ahead_seconds`` is how wrong its clock is."""

    web: Web
    key: Ed25519PrivateKey
    ahead_seconds: int = 0

    def signed(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"",
    ) -> dict[str, str]:  # fmt: skip
        sent = dict(headers)
        if body:
            sent["Content-Digest"] = content_digest_of(body)
        signature = sign_request(
            method, self.web.authority, target, sent,
            key=self.key, keyid=key_id(raw_public(self.key)),
            created_unix_seconds=int(time.time()) + self.ahead_seconds,
            nonce=new_nonce(),
        )  # fmt: skip
        return {**sent, **signature}

    def get(self, target: str) -> Told:
        return self.web.send("GET", target, self.signed("GET", target, {}))

    def post(self, target: str, content: bytes, headers: Mapping[str, str] | None = None) -> Told:
        given = {"Content-Type": "application/json", **(headers or {})}
        return self.web.send("POST", target, self.signed("POST", target, given, content), content)


@contextmanager
def serving(
    folder: Path, database_url: str, broker: str = NO_BROKER, rules: str = "icrstore.web"
) -> Iterator[Web]:
    """gunicorn as `deploy` starts it, on this database."""
    port = free_port()
    secrets_folder, public = folder / "secrets", folder / "public"
    secrets_folder.mkdir(mode=0o700)
    public.mkdir()
    KeyFile("signing", "receipt", raw_public(RECEIPT_KEY), RECEIPT_KEY.private_bytes_raw()).write(
        secrets_folder / "receipt.key"
    )
    write_secret(secrets_folder / "lookup.key", secrets.token_bytes(32).hex().encode())
    notifier = hpke.PrivateKey.generate().public_bytes()
    (public / "notifier.json").write_text(
        json.dumps(PublicKey("recipient", "notifier", notifier).to_object())
    )
    storage = {"key": encode_base64(ENGINE_STORAGE.public_bytes())}
    (public / "engine-storage.json").write_text(json.dumps(storage))
    env = {
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "icrstore.settings", "ICR_ROLE": "web", "ICR_VAR": str(folder),
        "ICR_SECRETS": str(secrets_folder), "ICR_AUTHORITY": f"127.0.0.1:{port}",
        "ICR_DATABASE_URL": database_url, "ICR_BROKER_URL": broker,
    }  # fmt: skip
    printed = folder / "web.log"
    gunicorn = (sys.executable, "-m", "gunicorn", "icrstore.wsgi",
                "--config", f"python:{rules}", "--bind", f"127.0.0.1:{port}",
                "--no-control-socket", "--workers", "1", "--threads", "4")  # fmt: skip
    with printed.open("wb") as log:
        process = subprocess.Popen(gunicorn, env=env, stdout=log, stderr=log)
    web = Web(port, printed)
    try:
        _wait(lambda: web.send("GET", "/healthz").status == 200)
        yield web
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(is_there: Callable[[], bool]) -> None:
    for _ in range(300):
        try:
            if is_there():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError("web does not serve")


@pytest.fixture(scope="session")
def web(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """As the role icr_web: what the grants do not allow it cannot do here either."""
    with serving(tmp_path_factory.mktemp("web"), database.url("web")) as made:
        yield made


def write_trust(web: Web, rooms: Rooms) -> Path:
    """The trust file in web's public folder."""
    trust = web.printed.parent / "public" / "trust.json"
    trust.write_text(json.dumps({
        "keepers": [_identity(rooms, role) for role in (0, 1)],
        "engines": {}, "authorities": {},
        "sealers": {"sealer-1": encode_base64(raw_public(rooms.keys.signing))},
        "receipt_key": encode_base64(raw_public(RECEIPT_KEY)),
    }))  # fmt: skip
    return trust


def _identity(rooms: Rooms, number: int) -> dict[str, Any]:
    fields = dataclasses.asdict(rooms.keepers[number].identity)
    return {
        name: encode_base64(value) if isinstance(value, bytes) else value
        for name, value in fields.items()
    }


@dataclass
class Edge:
    """A collector: it makes batches and the headers that go with them."""

    rooms: Rooms
    caller: Caller

    def batch(self, content: bytes = b"records", **changed: Any) -> tuple[dict[str, str], bytes]:
        """Headers and sealed body of the next batch; ``changed`` is of its label."""
        label = self.rooms.label(**changed)
        return label_headers(label), self.rooms.seal(label, content)

    def push(self, headers: Mapping[str, str], body: bytes) -> Told:
        return self.caller.post("/v1/batches", body, headers)


@pytest.fixture
def edge(rooms: Rooms, web: Web) -> Edge:
    return Edge(rooms, Caller(web, rooms.collector_key))


def needle() -> str:
    """A text that must not come back, nor be found in a log."""
    return "needle" + secrets.token_hex(12)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
