"""A request's caller, by its RFC 9421 signature: check it, read the body once, use the nonce up."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.http import HttpRequest, UnreadablePostError
from django.utils import timezone
from rest_framework.request import Request

from accounts import overseers, principals
from accounts.models import Collector, Principal
from api.problems import Problem
from icrstore.warrant.dsse import key_id
from icrstore.warrant.strict import decode_base64
from icrstore.wire.errors import SignatureRefused
from icrstore.wire.signatures import Verified, verify_request

_GRANT = re.compile(r":([A-Za-z0-9+/=]{1,6000}):", re.ASCII)


# A body is hashed as it comes, in pieces as large as gunicorn takes of a socket (`icrstore.web`):
# what it puts together from several it copies three times more.
_PIECE_BYTES = 1 << 18
_UNENCODED = "send the body without Content-Encoding"


@dataclass(frozen=True)
class Body:
    """A body as received: exactly these bytes, and their SHA-256."""

    content: bytes | bytearray
    sha256: bytes


NO_BODY = Body(b"", hashlib.sha256(b"").digest())


def read_body(
    request: Request, media_types: str | Collection[str], most: int, encodings: Collection[str] = ()
) -> Body:
    """The whole body, of one of these types and at most this long. Raises `Problem`."""
    raw: HttpRequest = request._request
    types = [media_types] if isinstance(media_types, str) else media_types
    if raw.content_type not in types:
        raise Problem(415, "wrong-media-type", f"send {' or '.join(types)}")
    encoding = raw.headers.get("Content-Encoding")
    if encoding is not None and encoding not in encodings:
        allowed = ", ".join(encodings)
        mend = f"send Content-Encoding as one of {allowed}" if allowed else _UNENCODED
        raise Problem(415, "wrong-content-encoding", mend)
    try:
        length = int(raw.headers.get("Content-Length", ""))
    except ValueError:
        raise Problem(411, "no-length", "send Content-Length") from None
    if length > most:
        raise Problem(413, "too-large", f"a body has at most {most} bytes: send smaller ones")
    return _read(raw, length)


def _read(raw: HttpRequest, length: int) -> Body:
    """So many bytes, in the one place where they stay. Raises `Problem`."""
    content, digest, at = bytearray(length), hashlib.sha256(), 0
    try:
        while at < length and (piece := raw.read(min(_PIECE_BYTES, length - at))):
            digest.update(piece)
            content[at : at + len(piece)] = piece
            at += len(piece)
    except UnreadablePostError:
        at = -1
    if at != length:
        raise Problem(400, "cut-off", "the body ended early or came too slowly: send it again")
    return Body(content, digest.digest())


def collector(
    request: Request,
    required: Sequence[str] = (),
    read: Callable[[Collector], Body] = lambda _: NO_BODY,
) -> tuple[Collector, Mapping[str, str], Body]:
    """The collector that signed, the headers that its signature covers, and the body.

    ``read`` is called only once the signature holds. Raises `SignatureRefused` and what it raises.
    """
    found: list[Collector] = []

    def key_of(keyid: str) -> bytes | None:
        try:
            found.append(principals.collector_by_key(keyid))
        except principals.UnknownPrincipal:
            return None
        return bytes(found[-1].key)

    verified, body = _verify(request, lambda: read(found[-1]), key_of, required, timezone.now())
    return found[-1], verified.covered, body


def newcomer(request: Request, body: Body, key: bytes) -> None:
    """That whoever sent this has the private half of ``key``. Raises `SignatureRefused`."""
    own = key_id(key)
    _verify(request, lambda: body, lambda keyid: key if keyid == own else None, (), timezone.now())


def person(
    request: Request, body: Body, now: datetime, shown: Sequence[Principal] = ()
) -> list[principals.Person]:
    """Where the person who signed holds a grant now; ``shown`` come with the call.

    Raises `SignatureRefused`.
    """
    people: list[principals.Person] = []

    def key_of(keyid: str) -> bytes | None:
        try:
            key, found = principals.person_by_key(keyid, now, shown)
        except principals.UnknownPrincipal:
            return None
        people.extend(found)
        return key

    _verify(request, lambda: body, key_of, (), now)
    return people


def overseer(request: Request, tenant: str, now: datetime) -> overseers.Overseer:
    """The person of this tenant's oversight body who signed, and with that the grant they brought.

    Raises `SignatureRefused`.
    """
    found: list[overseers.Overseer] = []

    def key_of(keyid: str) -> bytes | None:
        try:
            found.append(overseers.overseer(tenant, _grant(request), now))
        except principals.UnknownPrincipal:
            return None
        return found[-1].key if key_id(found[-1].key) == keyid else None

    _verify(request, lambda: NO_BODY, key_of, ("grant",), now)
    return found[-1]


def _grant(request: Request) -> bytes:
    """The grant in the header, a byte sequence as RFC 9651 writes it: ``Grant: :BASE64:``."""
    written = _GRANT.fullmatch(request._request.headers.get("Grant", ""))
    return (decode_base64(written[1]) if written else None) or b""


def _verify(
    request: Request,
    read: Callable[[], Body],
    key_of: Callable[[str], bytes | None],
    required: Sequence[str],
    now: datetime,
) -> tuple[Verified, Body]:
    """The signature, then the body, then the nonce: a replay of anything valid is refused too."""

    def resolve(keyid: str) -> Ed25519PublicKey | None:
        key = key_of(keyid)
        return None if key is None else Ed25519PublicKey.from_public_bytes(key)

    raw: HttpRequest = request._request
    verified = verify_request(
        raw.method or "",
        settings.AUTHORITY,
        raw.get_full_path(),
        raw.headers,
        resolve_key=resolve,
        now_unix_seconds=int(now.timestamp()),
        required=required,
    )
    # From here a known key vouches for the headers: no stranger's body takes up memory.
    body = read()
    verified.check_body(body.sha256)
    if not principals.use_nonce(verified.keyid, verified.nonce, now):
        raise SignatureRefused("replayed")
    return verified, body
