"""Real HTTP on loopback for stores that tests make: every call verified, as the web does."""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from icrstore.warrant.dsse import key_id
from icrstore.warrant.strict import dump
from icrstore.wire.errors import SignatureRefused
from icrstore.wire.signatures import Verified, verify_request


class Refused(Exception):
    """Answered as a problem with a stable code (RFC 9457)."""

    def __init__(self, status: int, code: str, **more: str) -> None:
        super().__init__(code)
        self.status, self.code, self.more = status, code, more


class Dropped(Exception):
    """The connection ends without an answer."""


class Loopback(ABC):
    """A store of one test; calls are answered one at a time."""

    clock_ahead = timedelta(0)

    def listen(self) -> None:
        self._nonces: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.authority = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.authority}"

    @abstractmethod
    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        """Status and JSON. Raises `Refused` or `Dropped`."""

    @abstractmethod
    def public_keys(self) -> list[bytes]:
        """Those who may call."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def serve(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        with self._lock:
            return self.answer(method, path, headers, body)

    def verify(
        self, method: str, path: str, headers: Any, body: bytes, required: Collection[str] = ()
    ) -> Verified:
        """Signature, body and replay, as the web checks them. Raises `Refused`."""
        try:
            verified = verify_request(
                method,
                self.authority,
                path,
                headers,
                resolve_key=self._resolve,
                now_unix_seconds=int(self.now().timestamp()),
                required=required,
            )
            verified.check_body(hashlib.sha256(body).digest())
        except SignatureRefused as error:
            raise Refused(401, error.reason) from None
        if (verified.keyid, verified.nonce) in self._nonces:
            raise Refused(401, "replayed")
        self._nonces.add((verified.keyid, verified.nonce))
        return verified

    def _resolve(self, keyid: str) -> Ed25519PublicKey | None:
        known = {key_id(key): key for key in self.public_keys()}
        return Ed25519PublicKey.from_public_bytes(known[keyid]) if keyid in known else None


def _handler(store: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, value = store.serve(self.command, self.path, self.headers, body)
                self._answer(status, value, {})
            except Refused as refused:
                problem = {"type": "about:blank", "title": "refused", "status": refused.status}
                extra = {"Retry-After": "0"} if refused.status in (429, 503) else {}
                told = {**problem, "code": refused.code, **refused.more}
                self._answer(refused.status, told, extra)
            except Dropped:
                self.close_connection = True

        def _answer(self, status: int, value: dict[str, Any], extra: dict[str, str]) -> None:
            body = dump(value)
            self.send_response_only(status)
            self.send_header("Date", format_datetime(store.now(), usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            for name, told in extra.items():
                self.send_header(name, told)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
