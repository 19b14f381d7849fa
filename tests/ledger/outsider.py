"""A witness as its specifications have it, made of nothing of ours: C2SP tlog-witness,
tlog-cosignature and signed-note, RFC 6962; the standard library and `cryptography`."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "witness.example/w1"


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def key_id(name: str, kind: int, key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


@dataclass
class Outsider:
    """Which logs it knows, by origin, and the latest (size, root) of each."""

    logs: dict[str, bytes]
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    latest: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    time: int = 1_800_000_000

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def vkey(self) -> str:
        known = key_id(NAME, 4, self.public).hex()
        return f"{NAME}+{known}+{base64.b64encode(bytes([4]) + self.public).decode()}"

    def add_checkpoint(self, body: bytes) -> tuple[int, str]:
        """The status and what is answered, in the order of the specification."""
        head, _, note = body.decode().partition("\n\n")
        old_line, *lines = head.split("\n")
        proof, old = [base64.b64decode(each) for each in lines], int(old_line.removeprefix("old "))
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        origin, size_line, root_line = text.split("\n")[:3]
        size, root = int(size_line), base64.b64decode(root_line)
        if origin not in self.logs:
            return 404, "unknown origin\n"
        if not self._is_signed(text, origin, signatures):
            return 403, "not signed\n"
        if old > size:
            return 400, "old size above the new\n"
        known, known_root = self.latest.get(origin, (0, hashlib.sha256().digest()))
        if old != known:
            return 409, f"{known}\n"
        if old == size and root != known_root:
            return 409, f"{known}\n"
        if not self._continues(old, size, proof, known_root, root):
            return 422, "inconsistent\n"
        self.latest[origin] = size, root
        return 200, self._cosignature(text)

    def _is_signed(self, text: str, origin: str, signatures: str) -> bool:
        key = self.logs[origin]
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ")
            raw = base64.b64decode(encoded)
            if name == origin and raw[:4] == key_id(origin, 1, key):
                try:
                    Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], text.encode())
                except InvalidSignature:
                    return False
                return True
        return False

    def _continues(
        self, old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
    ) -> bool:
        """RFC 6962, 2.1.2, read backwards."""
        if old == 0 or old == new:
            return not proof

        def roots(m: int, n: int, path: list[bytes], whole: bool) -> tuple[bytes, bytes]:
            if m == n:
                seed = old_root if whole else path[0]
                return seed, seed
            k = 1 << (n - 1).bit_length() - 1
            if m <= k:
                begun, left = roots(m, k, path[:-1], whole)
                return begun, node(left, path[-1])
            begun, right = roots(m - k, n - k, path[:-1], False)
            return node(path[-1], begun), node(path[-1], right)

        try:
            return roots(old, new, proof, True) == (old_root, new_root)
        except IndexError:
            return False

    def _cosignature(self, text: str) -> str:
        self.time += 1
        message = f"cosignature/v1\ntime {self.time}\n{text}".encode()
        payload = self.time.to_bytes(8, "big") + self.private.sign(message)
        line = base64.b64encode(key_id(NAME, 4, self.public) + payload).decode()
        return f"\u2014 {NAME} {line}\n"


@contextmanager
def serving(witness: Outsider) -> Iterator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, told = (
                witness.add_checkpoint(body) if self.path == "/w/add-checkpoint" else (404, "")
            )
            witness.asked.append(status)
            self.send_response(status)
            if status == 409:
                self.send_header("Content-Type", "text/x.tlog.size")
            self.send_header("Content-Length", str(len(told.encode())))
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/w"
        finally:
            server.shutdown()
