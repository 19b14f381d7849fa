"""Calls to a peer on this host, over a Unix socket or loopback TCP, with everything bounded."""

import http.client
import ipaddress
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from icrstore.wire.errors import CallFailed

_HTTP = re.compile(r"http://(?P<host>[0-9.]+|\[[0-9a-f:]+\]):(?P<port>[0-9]{1,5})", re.ASCII)
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Response:
    """A whole answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Peer:
    """Where a peer listens and the name it answers to, which is what requests to it sign.

    `address` is `unix:/path` or `http://127.0.0.1:port`; plain HTTP never leaves this host.
    `timeout_seconds` bounds each wait, `max_response_bytes` the body of an answer.
    """

    address: str
    authority: str
    timeout_seconds: float
    max_response_bytes: int

    def __post_init__(self) -> None:
        """Raises ValueError if the address is neither."""
        self._connection()

    def call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """One request on a connection of its own; raises CallFailed."""
        connection = self._connection()
        sent = {**headers, "Host": self.authority, "Connection": "close"}
        try:
            connection.request(method, target, body or None, sent)
            with connection.getresponse() as response:
                return self._read(response)
        except OSError:  # First, since a peer that hangs up at once raises both.
            raise CallFailed("unreachable") from None
        except http.client.HTTPException:
            raise CallFailed("malformed-response") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith("unix:/"):
            return _UnixConnection(self.address.removeprefix("unix:"), self.timeout_seconds)
        match = _HTTP.fullmatch(self.address)
        if match is None or not ipaddress.ip_address(match["host"].strip("[]")).is_loopback:
            raise ValueError("a peer's address is unix:/path or http://127.0.0.1:port")
        return http.client.HTTPConnection(
            match["host"].strip("[]"), int(match["port"]), timeout=self.timeout_seconds
        )

    def _read(self, response: http.client.HTTPResponse) -> Response:
        # Without a length the end of the answer and a broken connection look the same.
        if response.length is None and not response.chunked:
            raise CallFailed("malformed-response")
        body = bytearray()
        while chunk := response.read(_CHUNK_BYTES):
            body += chunk
            if len(body) > self.max_response_bytes:
                raise CallFailed("response-too-large")
        if response.length:
            raise CallFailed("malformed-response")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, headers, bytes(body))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the host is a placeholder, since Host is always given."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path, self._timeout_seconds = path, timeout_seconds

    def connect(self) -> None:
        """Connect to the path instead of to the host, waiting where many others do too."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A socket with Python's timeout does not block, and would fail at once where the peer's
        # queue is full; the kernel's own timeout bounds a wait in that queue.
        wait = struct.pack("@ll", *divmod(int(self._timeout_seconds * 1_000_000), 1_000_000))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
        self.sock.connect(self._path)
        self.sock.settimeout(self._timeout_seconds)
