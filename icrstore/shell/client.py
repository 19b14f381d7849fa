"""Signed calls to the store's web API, by the server's clock (RFC 9421, RFC 9530, RFC 9457)."""

import http.client
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.shell.stop import DATA, USAGE, Stop
from icrstore.warrant.dsse import key_id, raw_public
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object
from icrstore.wire.digest import content_digest_of
from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Response
from icrstore.wire.signatures import new_nonce, sign_request

TIMEOUT_SECONDS = 60
MOST_ANSWER_BYTES = 256 << 20
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 15.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEFAULT_PORTS = {"https": 443, "http": 80}
_PLAIN = re.compile(r"[\w !-~]{1,300}")


class Server:
    """The store's web API as one key speaks to it; ``now`` is the server's time once known.

    Without a key nothing is signed: what is anyone's to read needs none.
    """

    def __init__(self, url: str, key: Ed25519PrivateKey | None) -> None:
        """Raises `Stop` for a URL that is not https (or http on this machine) and nothing more."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        if parts.scheme not in _DEFAULT_PORTS or not host or extra:
            raise Stop(USAGE, f"{url}: not a server: give it as https://icr.example")
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise Stop(USAGE, f"{url}: requests would travel in the clear: use https://")
        self._is_https, self._host = parts.scheme == "https", host
        self._port = port or _DEFAULT_PORTS[parts.scheme]
        shown_host = f"[{host}]" if ":" in host else host
        is_default = self._port == _DEFAULT_PORTS[parts.scheme]
        self._authority = shown_host if is_default else f"{shown_host}:{self._port}"
        self._key = key
        # What time the server said, and how long this machine was up then.
        self._told: tuple[datetime, float] | None = None

    @property
    def is_clock_known(self) -> bool:
        return self._told is not None

    def now(self) -> datetime:
        """By the time since the server told it: our clock may be set meanwhile, and be wrong."""
        if self._told is None:
            return datetime.now(UTC)
        told, at = self._told
        return told + timedelta(seconds=_up_seconds() - at)

    def set_clock(self, server_time: datetime) -> None:
        """From now on sign by the server's clock: a wrong one here then does no harm."""
        self._told = server_time, _up_seconds()

    @property
    def skew(self) -> timedelta | None:
        """By how much our clock is ahead of the server's now."""
        return datetime.now(UTC) - self.now() if self.is_clock_known else None

    def get(self, target: str) -> Response:
        return self.call("GET", target, {}, b"")

    def post(self, target: str, value: Mapping[str, Any]) -> Response:
        return self.call("POST", target, {"Content-Type": "application/json"}, dump(value))

    def call(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        """One signed request. Raises `CallFailed`.

        Refused as unauthorised, it is signed once more by the time in the refusal: if that was not
        the reason nothing is lost, and what an attacker gains is a request signed for that time.
        """
        response = self._once(method, target, headers, body)
        told = _date(response)
        if response.status == 401 and told and abs(told - self.now()) > timedelta(seconds=30):
            self.set_clock(told)
            response = self._once(method, target, headers, body)
        return response

    def _once(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        sent = dict(headers)
        if body:
            sent["Content-Digest"] = content_digest_of(body)
        sent |= self._signature(method, target, sent)
        connection = self._connection()
        try:
            connection.request(method, target, body or None, {**sent, "Host": self._authority})
            return _read(connection.getresponse())
        except http.client.HTTPException:
            raise CallFailed("malformed-response") from None
        except OSError:
            raise CallFailed("unreachable") from None
        finally:
            connection.close()

    def _signature(self, method: str, target: str, sent: Mapping[str, str]) -> dict[str, str]:
        if self._key is None:
            return {}
        return sign_request(
            method,
            self._authority,
            target,
            sent,
            key=self._key,
            keyid=key_id(raw_public(self._key)),
            created_unix_seconds=int(self.now().timestamp()),
            nonce=new_nonce(),
        )

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_https:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_SECONDS, context=context
        )


def _up_seconds() -> float:
    """Of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _read(response: http.client.HTTPResponse) -> Response:
    body = response.read(MOST_ANSWER_BYTES + 1)
    if len(body) > MOST_ANSWER_BYTES:
        raise CallFailed("response-too-large")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, headers, body)


def _date(response: Response) -> datetime | None:
    try:
        told = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return None
    return told if told.tzinfo else None


def retry_after(response: Response) -> float | None:
    """The seconds that the server asks for; None unless it says so in digits."""
    told = response.headers.get("retry-after", "")
    return float(told) if re.fullmatch(r"\d{1,6}", told, re.ASCII) else None


def fields_of(response: Response) -> Fields:
    """The object in a good answer. Raises `Stop` if there is none."""
    try:
        return Fields(parse_object(response.body))
    except StatementError as error:
        raise not_understood(error) from None


def not_understood(error: StatementError) -> Stop:
    """The server's answer is not of the protocol, version 1."""
    return Stop(DATA, f"the server's answer is not understood ({error}): is it an icrstore server?")


def problem(response: Response) -> tuple[str, str, str]:
    """The stable code, keeper and detail of a refusal (RFC 9457); empty where there is none."""
    try:
        told = parse_object(response.body)
    except StatementError:
        return "", "", ""
    code, keeper, detail = (_plain(told.get(name)) for name in ("code", "keeper", "detail"))
    return code, keeper, detail


def _plain(value: Any) -> str:
    # It goes to a terminal: nothing that could steer one is repeated.
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""


class Patience:
    """How long to go on while nothing gets better: ``seconds`` after the last progress."""

    def __init__(self, seconds: float, sleep: Callable[[float], object] = time.sleep) -> None:
        self._seconds, self._sleep = seconds, sleep
        self.progress()

    def progress(self) -> None:
        self._deadline = time.monotonic() + self._seconds
        self._next_seconds = FIRST_WAIT_SECONDS

    def wait(self, asked_seconds: float | None = None) -> bool:
        """Sleep, as long as the server asks or ever longer; False at once if that is too long."""
        # Jitter, so that those who lost the server together do not return together.
        if asked_seconds is not None:
            seconds = asked_seconds * random.uniform(1, 1.1)  # noqa: S311
        else:
            seconds = random.uniform(self._next_seconds / 2, self._next_seconds)  # noqa: S311
            self._next_seconds = min(LONGEST_WAIT_SECONDS, 2 * self._next_seconds)
        if time.monotonic() + seconds > self._deadline:
            return False
        self._sleep(seconds)
        return True
