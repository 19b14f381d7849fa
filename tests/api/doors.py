"""The real web application on a loopback port, as web's database role, over `rooms`' tables."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from psycopg.conninfo import conninfo_to_dict

from api import collectors
from icrstore.shell.client import Server
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import encode_base64
from icrstore.wire import hpke
from icrstore.wire.httpunix import Response
from tests.keeper.pair import Pair
from tests.vault.rooms import Database, Rooms


@dataclass(frozen=True)
class Told:
    """An answer: its status, its JSON object, and what it was as it came."""

    status: int
    told: Mapping[str, Any]
    response: Response

    @property
    def code(self) -> str:
        return str(self.told.get("code", ""))


@dataclass(frozen=True)
class Doors:
    """Where web serves, and what it answers whoever signs with a key."""

    url: str
    rooms: Rooms
    receipt_key: bytes

    def ask(
        self, key: Ed25519PrivateKey, method: str, target: str, body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Told:  # fmt: skip
        return _told(Server(self.url, key).call(method, target, headers or {}, body))

    def get(self, key: Ed25519PrivateKey, target: str) -> Told:
        return self.ask(key, "GET", target)

    def post(self, key: Ed25519PrivateKey, target: str, value: Mapping[str, Any]) -> Told:
        return _told(Server(self.url, key).post(target, value))


def _told(response: Response) -> Told:
    is_json = "json" in response.headers.get("content-type", "")
    return Told(response.status, json.loads(response.body) if is_json else {}, response)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests' output is for tests."""


@pytest.fixture
def doors(rooms: Rooms, database: Database, tmp_path: Path) -> Iterator[Doors]:
    """Web's process in a thread: its secrets, its database role, its name in signatures."""
    receipt = KeyFile.new("signing", "receipts")
    storage = hpke.PrivateKey.generate().public_bytes()
    before = {name: getattr(settings, name) for name in _SETTINGS}
    try:
        settings.SECRETS, settings.TRUST = tmp_path / "web", tmp_path / "trust.json"
        settings.ENGINE_STORAGE_KEY = tmp_path / "storage.json"
        settings.SECRETS.mkdir()
        receipt.write(settings.SECRETS / "receipt.key")
        settings.TRUST.write_text(json.dumps(_trust(rooms.pair, receipt.public)))
        settings.ENGINE_STORAGE_KEY.write_text(json.dumps({"key": encode_base64(storage)}))
        collectors._receipt_key.cache_clear()
        with make_server(
            "127.0.0.1", 0, get_wsgi_application(), WSGIServer, _Quiet
        ) as server:  # fmt: skip
            settings.AUTHORITY = f"127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=_serve, args=(server, database.url("web")))
            thread.start()
            yield Doors(f"http://{settings.AUTHORITY}", rooms, receipt.public)
            server.shutdown()
            thread.join()
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
        collectors._receipt_key.cache_clear()


_SETTINGS = ("SECRETS", "TRUST", "ENGINE_STORAGE_KEY", "AUTHORITY")


def _serve(server: WSGIServer, url: str) -> None:
    parts = conninfo_to_dict(url)
    connection.settings_dict = {
        **connection.settings_dict, "USER": parts["user"],
        "OPTIONS": {"passfile": parts["passfile"]},
    }  # fmt: skip
    try:
        server.serve_forever(poll_interval=0.05)
    finally:
        connections.close_all()


def _trust(pair: Pair, receipt_key: bytes) -> dict[str, Any]:
    keepers = [pair.keeper(role, "sealer").identity for role in ("operator", "oversight")]
    return {
        "keepers": [
            {
                "role": one.role, "instance": one.instance, "name": one.name,
                "identity_key": encode_base64(one.identity_key),
                "log_key": encode_base64(one.log_key),
                "witness_key": encode_base64(one.witness_key),
            }
            for one in keepers
        ],
        "engines": {}, "authorities": {},
        "sealers": {"sealer-1": encode_base64(raw_public(pair.keys["sealer"]))},
        "receipt_key": encode_base64(receipt_key),
    }  # fmt: skip
