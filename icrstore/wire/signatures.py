"""Requests signed by the machine that sends them, after RFC 9421: Ed25519 with one set of rules.

What is covered: `@method`, `@authority`, `@path`, `@query` and every header that we act on. Not
`@target-uri`, since that names the scheme: behind a proxy that ends TLS, or on a Unix socket, the
receiver would have to guess the sender's. The authority is the receiver's own name and not what the
request's Host says, so a request signed for one machine is worth nothing at another.

The library signs and verifies; the rules are ours, since by itself it accepts a signature that
covers nothing and a body that was swapped, and leaves nonces to its caller.
"""

import base64
import datetime
import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    VerifyResult,
)
from http_message_signatures.algorithms import ED25519
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from icrstore.wire.digest import parse_content_digest, verify_content_digest
from icrstore.wire.errors import DigestRefused, SignatureRefused

TAG = "icrstore-v1"
LABEL = "icr"
MAX_CLOCK_SKEW_SECONDS = 120

DERIVED = ("@method", "@authority", "@path", "@query")
# Headers that change what a request means: each must be covered wherever it is present. So must
# Content-Type where there is a body; without one, WSGI servers have been seen to make one up.
MEANINGFUL = (
    "content-encoding",
    "content-digest",
    "idempotency-key",
    "batch-sequence",
    "batch-scope",
)

_PARAMETERS = ("created", "keyid", "alg", "nonce")
_MAX_PARAMETER_CHARACTERS = 128
_PLAIN = re.compile(r'"([^"]+)"')
_SIGNATURE_HEADERS = ("signature", "signature-input")


class Headers(Protocol):
    """A mapping, or anything whose `items` shows a header that came twice as two pairs.

    Never make it a dict first: a dict keeps one of two, and another reader may keep the other.
    """

    def items(self) -> Iterable[tuple[str, str]]:
        """Names in any case, and values."""
        ...


@dataclass(frozen=True)
class Verified:
    """A request whose signature holds. Its body is not believed before `check_body`.

    `covered` maps each covered component, headers in lower case, to the value that was signed: read
    headers from here. `keyid` and `nonce` are together new, or the request is a replay: remember
    them, for twice the clock skew at least; that is the caller's part.
    """

    keyid: str
    nonce: str
    created_unix_seconds: int
    covered: Mapping[str, str]

    def check_body(self, sha256: bytes) -> None:
        """Raise SignatureRefused(wrong-digest) unless the body, as received, has this SHA-256.

        A request that has no Content-Digest has an empty body.
        """
        signed = self.covered.get("content-digest")
        if signed is None:
            if sha256 != hashlib.sha256().digest():
                raise SignatureRefused("wrong-digest")
            return
        try:
            verify_content_digest(signed, sha256)
        except DigestRefused as refused:
            raise SignatureRefused(refused.reason) from None


def new_nonce() -> str:
    """A nonce for one request: 128 random bits."""
    return secrets.token_urlsafe(16)


def sign_request(
    method: str,
    authority: str,
    target: str,
    headers: Mapping[str, str],
    *,
    key: Ed25519PrivateKey,
    keyid: str,
    created_unix_seconds: int,
    nonce: str,
) -> dict[str, str]:
    """The two headers to add to a request, which sign it and every one of `headers`.

    `authority` is the receiver's name as in its Host, without a default port; `target` is the path
    and query as sent. A request with a body carries Content-Digest and Content-Type in `headers`.
    Raises SignatureRefused: malformed-target, unsignable.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    request = _Request(method, _url(authority, target), dict(lowered))
    signer = HTTPMessageSigner(signature_algorithm=ED25519)
    try:
        prepared = signer.prepare(
            request,
            key_id=keyid,
            created=datetime.datetime.fromtimestamp(created_unix_seconds, datetime.UTC),
            nonce=nonce,
            label=LABEL,
            tag=TAG,
            covered_component_ids=(*DERIVED, *lowered),
            use_existing_digest="content-digest" in lowered,
        )
    except HTTPMessageSignaturesException:
        raise SignatureRefused("unsignable") from None
    # The library would build all of it a second time to put it into the headers.
    signature = base64.b64encode(key.sign(prepared.signature_base)).decode()
    return {
        "Signature-Input": f"{LABEL}={prepared.signature_params}",
        "Signature": f"{LABEL}=:{signature}:",
    }


def verify_request(
    method: str,
    authority: str,
    target: str,
    headers: Headers,
    *,
    resolve_key: Callable[[str], Ed25519PublicKey | None],
    now_unix_seconds: int,
    required: Collection[str] = (),
    max_clock_skew_seconds: int = MAX_CLOCK_SKEW_SECONDS,
) -> Verified:
    """Who signed this request, and what of it; raises SignatureRefused.

    1. No header that counts came twice.
    2. One signature with our tag verifies under the key that `resolve_key` has for its keyid.
    3. It has a time, a nonce, a key and the algorithm in its parameters.
    4. It covers the method, our authority, path and query, every MEANINGFUL header that is
       present, and the `required` ones (in lower case), which must be; with a digest also the
       Content-Type.
    5. Its time is within the skew of now, and it has not expired.

    `authority` is the receiver's own name; `target` is as received, undecoded. The body is not
    looked at: hash it as it comes, then `check_body`. What `resolve_key` raises passes through.
    """
    url = _url(authority, target)
    # 1. Two headers of one name mean two things to two readers.
    fields = _single_fields(headers, {*_SIGNATURE_HEADERS, *MEANINGFUL, "content-type", *required})
    if not all(name in fields for name in _SIGNATURE_HEADERS):
        raise SignatureRefused("no-signature")
    # 2. From here on everything is read from what the library has verified.
    result = _verify_signature(_Request(method, url, headers), resolve_key)
    # 3. The library lets each of these be absent.
    parameters = _parameters(result)
    # 4. The library would be content with none.
    covered = _covered(result)
    needed = {*DERIVED, *required, *(name for name in MEANINGFUL if name in fields)}
    if "content-digest" in needed:
        needed.add("content-type")
    if not needed <= covered.keys():
        raise SignatureRefused("not-covered")
    _check_digest_is_well_formed(covered)
    # 5. Outside the skew a replay may have been forgotten.
    created = _check_times(parameters, now_unix_seconds, max_clock_skew_seconds)
    return Verified(str(parameters["keyid"]), str(parameters["nonce"]), created, covered)


@dataclass(frozen=True)
class _Request:
    """The request as the library wants to see it."""

    method: str
    url: str
    headers: Any


class _KnownKeys(HTTPSignatureKeyResolver):
    """The keys that may have signed, and what became of looking one up.

    The library turns whatever a look-up raises into "invalid signature", which would make a
    database that is down look like a forger.
    """

    def __init__(self, resolve_key: Callable[[str], Ed25519PublicKey | None]) -> None:
        self._resolve_key = resolve_key
        self.failure: Exception | None = None
        self.is_unknown = False

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        is_too_long = len(key_id) > _MAX_PARAMETER_CHARACTERS
        try:
            key = None if is_too_long else self._resolve_key(key_id)
        except Exception as failure:
            self.failure = failure
            raise
        self.is_unknown = key is None
        return key


class Verifier(HTTPMessageVerifier):
    """The library's verifier without its own clock: times are checked against the caller's."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Leave times to `verify_request`."""


def _verify_signature(
    request: _Request, resolve_key: Callable[[str], Ed25519PublicKey | None]
) -> VerifyResult:
    keys = _KnownKeys(resolve_key)
    try:
        results = Verifier(signature_algorithm=ED25519, key_resolver=keys).verify(
            request, expect_tag=TAG
        )
    except HTTPMessageSignaturesException:
        if keys.failure is not None:
            raise keys.failure from None
        raise SignatureRefused("unknown-key" if keys.is_unknown else "bad-signature") from None
    if len(results) != 1:
        raise SignatureRefused("ambiguous-signature")
    return results[0]


def _parameters(result: VerifyResult) -> dict[str, int | str]:
    """The signature's parameters, of which the ones that we need are there and bounded."""
    parameters: dict[str, int | str] = result.parameters
    for name in _PARAMETERS:
        if not 1 <= len(str(parameters.get(name, ""))) <= _MAX_PARAMETER_CHARACTERS:
            raise SignatureRefused("missing-parameter")
    return parameters


def _covered(result: VerifyResult) -> dict[str, str]:
    """Covered components without parameters: `"content-type";bs` is not the header as sent."""
    matches = {name: _PLAIN.fullmatch(name) for name in result.covered_components}
    return {
        match[1]: result.covered_components[name]
        for name, match in matches.items()
        if match and match[1] != "@signature-params"
    }


def _check_digest_is_well_formed(covered: Mapping[str, str]) -> None:
    if "content-digest" not in covered:
        return
    try:
        parse_content_digest(covered["content-digest"])
    except DigestRefused as refused:
        raise SignatureRefused(refused.reason) from None


def _check_times(
    parameters: Mapping[str, int | str], now_unix_seconds: int, max_clock_skew_seconds: int
) -> int:
    created, expires = int(parameters["created"]), parameters.get("expires")
    if abs(now_unix_seconds - created) > max_clock_skew_seconds:
        raise SignatureRefused("wrong-time")
    if expires is not None and now_unix_seconds >= int(expires):
        raise SignatureRefused("wrong-time")
    return created


def _single_fields(headers: Headers, names: Collection[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if lowered in fields and lowered in names:
            raise SignatureRefused("duplicate-header")
        fields[lowered] = value
    return fields


def _url(authority: str, target: str) -> str:
    """An absolute URL, which the library takes apart again; its scheme is in no signature."""
    # A fragment, or a second authority before an @, would be cut off there and go unsigned.
    if not target.startswith("/") or "#" in target or any(each in authority for each in "/?#@"):
        raise SignatureRefused("malformed-target")
    return f"http://{authority}{target}"
