"""A signature that holds is known again; nothing else ever is."""

from itertools import product

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.wire import ed25519


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "_known", {})


def signed(message: bytes) -> tuple[bytes, bytes]:
    key = Ed25519PrivateKey.generate()
    return key.public_key().public_bytes_raw(), key.sign(message)


def test_what_is_known_of_some_signatures_makes_no_other_triple_hold() -> None:
    messages = [b"one", b"two"]
    triples = [(*signed(message), message) for message in messages]
    for triple in triples:
        ed25519.verify(*triple)
        ed25519.verify(*triple)
    for mixed in product(*zip(*triples, strict=True)):
        if mixed not in triples:
            with pytest.raises(InvalidSignature):
                ed25519.verify(*mixed)


@pytest.mark.parametrize("moved", [-1, 1, 32, -31], ids=lambda n: f"{n} bytes")
def test_a_known_triple_that_is_cut_elsewhere_does_not_hold(moved: int) -> None:
    """Its bytes in a row are the same."""
    public_key, signature = signed(b"a message")
    ed25519.verify(public_key, signature, b"a message")
    row = public_key + signature + b"a message"
    for first, second in ((32 + moved, 96), (32, 96 + moved), (32 + moved, 96 + moved)):
        with pytest.raises(InvalidSignature):
            ed25519.verify(row[:first], row[first:second], row[second:])


def test_what_failed_once_fails_again() -> None:
    public_key, signature = signed(b"a message")
    for _ in range(2):
        with pytest.raises(InvalidSignature):
            ed25519.verify(public_key, signature, b"another")


def test_it_knows_so_many_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519, "MOST_KNOWN", 3)
    for number in range(5):
        message = b"%d" % number
        ed25519.verify(*signed(message), message)
    assert len(ed25519._known) == 3
