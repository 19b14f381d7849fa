"""RFC 9421 appendix B.2, through the library that we use.

On the wire we accept Ed25519 alone; the other algorithms show that the base that is signed is the
RFC's. What cannot be done: B.2.1 to B.2.4 are made with randomness (RSA-PSS, ECDSA), so they are
verified and not reproduced; B.2.5 (HMAC) and B.2.6 (Ed25519) are both. B.2.4 signs a response.
None covers `@target-uri`, and none has the parameters that our own rules ask for.
"""

import base64
import hashlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPSignatureAlgorithm,
    MappingKeyResolver,
    VerifyResult,
)
from http_message_signatures.algorithms import (
    ECDSA_P256_SHA256,
    ED25519,
    HMAC_SHA256,
    RSA_PSS_SHA512,
)
from http_message_signatures.exceptions import InvalidSignature

from icrstore.wire.errors import SignatureRefused
from icrstore.wire.signatures import Verifier, verify_request
from tests.shared_data import topic

Algorithm = type[HTTPSignatureAlgorithm]

CASES: list[tuple[str, str, Algorithm]] = [
    ("b21_request", "test-key-rsa-pss", RSA_PSS_SHA512),
    ("b22_request", "test-key-rsa-pss", RSA_PSS_SHA512),
    ("b23_request", "test-key-rsa-pss", RSA_PSS_SHA512),
    ("b24_response", "test-key-ecc-p256", ECDSA_P256_SHA256),
    ("b25_request", "test-shared-secret", HMAC_SHA256),
    ("b26_request", "test-key-ed25519", ED25519),
]


def _folder() -> Path:
    return topic("http-signatures")


def _pem(path: Path) -> bytes:
    """The key, its base64 put back into the lines that PEM has."""
    match = re.fullmatch(
        r"(-----BEGIN.+?-----)(.+)(-----END.+-----)\s*", path.read_text(), re.DOTALL
    )
    assert match is not None
    body = "".join(match[2].split())
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([match[1], *lines, match[3], ""]).encode()


def _verification_key(name: str) -> bytes:
    secret = _folder() / name
    if secret.is_file():
        return base64.b64decode(secret.read_text())
    return _pem(_folder() / f"{name}.pub")


def _message(text: str) -> Any:
    """A request or a response as the library wants to see it."""
    head, *lines = text.replace("\r\n", "\n").partition("\n\n")[0].split("\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if head.startswith("HTTP/"):
        return SimpleNamespace(status_code=int(head.split(" ")[1]), headers=headers, request=None)
    method, target, _ = head.split(" ")
    return SimpleNamespace(method=method, url="http://example.com" + target, headers=headers)


def _signed(name: str) -> Any:
    return _message((_folder() / f"{name}_signed.txt").read_text())


def _verify(message: Any, keyid: str, algorithm: Algorithm) -> VerifyResult:
    keys = MappingKeyResolver(public_keys={keyid: _verification_key(keyid)}, private_keys={})
    [result] = Verifier(signature_algorithm=algorithm, key_resolver=keys).verify(
        message, max_age=None
    )
    return result


@pytest.mark.parametrize(("name", "keyid", "algorithm"), CASES)
def test_it_verifies_and_its_base_is_the_rfcs(name: str, keyid: str, algorithm: Algorithm) -> None:
    result = _verify(_signed(name), keyid, algorithm)
    base = "\n".join(f"{name}: {value}" for name, value in result.covered_components.items())
    assert base == (_folder() / f"{name}_sigbase.txt").read_text().rstrip("\n")


@pytest.mark.parametrize(("name", "keyid", "algorithm"), CASES)
def test_it_fails_with_a_byte_of_what_is_covered_changed(
    name: str, keyid: str, algorithm: Algorithm
) -> None:
    message = _signed(name)
    covered = _verify(message, keyid, algorithm).covered_components
    for header, value in list(message.headers.items()):
        if f'"{header.lower()}"' not in covered and not header.startswith("Signature"):
            continue
        for position in range(len(value)):
            changed = chr(ord(value[position]) ^ 2)
            broken = value[:position] + changed + value[position + 1 :]
            message.headers[header] = broken
            if _says_the_same(header, value, broken):
                continue
            with pytest.raises(InvalidSignature):
                _verify(message, keyid, algorithm)
        message.headers[header] = value
    assert _verify(message, keyid, algorithm)


def _says_the_same(header: str, value: str, broken: str) -> bool:
    """Whether only bits were changed that base64 fills up with and decoders pass over."""
    if header != "Signature" or value.partition(":")[0] != broken.partition(":")[0]:
        return False
    one, other = (each.partition(":")[2].rstrip(":") for each in (value, broken))
    try:
        return base64.b64decode(one, validate=True) == base64.b64decode(other, validate=True)
    except ValueError:
        return False


@pytest.mark.parametrize(("name", "keyid", "algorithm"), CASES)
def test_what_it_does_not_cover_can_be_changed(name: str, keyid: str, algorithm: Algorithm) -> None:
    # Why our own rules say what must be covered: the RFC's examples are no model for that.
    message = _signed(name)
    covered = _verify(message, keyid, algorithm).covered_components
    loose = [each for each in message.headers if f'"{each.lower()}"' not in covered]
    for header in loose:
        if not header.startswith("Signature"):
            message.headers[header] = "changed"
    assert _verify(message, keyid, algorithm)


@pytest.mark.parametrize(("name", "keyid", "algorithm"), CASES[4:])
def test_signatures_without_randomness_are_reproduced(
    name: str, keyid: str, algorithm: Algorithm
) -> None:
    path = _folder() / f"{keyid}.key"
    key: Any = (
        load_pem_private_key(_pem(path), None) if path.is_file() else _verification_key(keyid)
    )
    signer = algorithm(private_key=key)
    base = (_folder() / f"{name}_sigbase.txt").read_bytes().rstrip(b"\n")
    expected = _signed(name).headers["Signature"].split(":")[1]
    assert base64.b64encode(signer.sign(base)).decode() == expected


def test_a_randomised_signature_made_anew_verifies() -> None:
    message = _signed("b23_request")
    private = _pem(_folder() / "test-key-rsa-pss.key")
    keys = MappingKeyResolver(public_keys={}, private_keys={"test-key-rsa-pss": private})
    HTTPMessageSigner(signature_algorithm=RSA_PSS_SHA512, key_resolver=keys).sign(
        message,
        key_id="test-key-rsa-pss",
        covered_component_ids=("@method", "date", "content-digest"),
        use_existing_digest=True,
    )
    assert _verify(message, "test-key-rsa-pss", RSA_PSS_SHA512)


def test_our_rules_refuse_every_example_of_the_rfc() -> None:
    for name in ("b21_request", "b22_request", "b23_request", "b25_request", "b26_request"):
        message = _signed(name)
        with pytest.raises(SignatureRefused):
            verify_request(
                "POST",
                "example.com",
                "/foo?param=Value&Pet=dog",
                message.headers,
                resolve_key=lambda keyid: None,
                now_unix_seconds=1_618_884_473,
            )


def test_the_digest_of_the_examples_is_of_their_body() -> None:
    text = (_folder() / "b26_request_signed.txt").read_text()
    body = text.partition("\n\n")[2].strip().encode()
    digest = _signed("b26_request").headers["Content-Digest"]
    assert base64.b64encode(hashlib.sha512(body).digest()).decode() in digest
