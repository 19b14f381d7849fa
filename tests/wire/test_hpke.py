"""Hybrid HPKE: what we seal opens only whole, under its own key and context."""

import pytest

from icrstore.wire.hpke import (
    OVERHEAD_BYTES,
    PRIVATE_BYTES,
    PUBLIC_BYTES,
    DoesNotOpen,
    PrivateKey,
    open_,
    seal,
)

KEY = PrivateKey(bytes(range(PRIVATE_BYTES)))
INFO = b"icr/v1/test"


@pytest.mark.parametrize(
    "plaintext", [b"", b"\0", b"an atom of 32 bytes, more or less", b"x" * 70_000]
)
def test_what_is_sealed_opens(plaintext: bytes) -> None:
    sealed = seal(KEY.public_bytes(), INFO, plaintext)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert open_(KEY, INFO, sealed) == plaintext


def test_two_seals_of_the_same_bytes_differ() -> None:
    public = KEY.public_bytes()
    assert seal(public, INFO, b"same") != seal(public, INFO, b"same")


def test_a_key_survives_being_written_down() -> None:
    key = PrivateKey.generate()
    again = PrivateKey(key.private_bytes())
    assert again.public_bytes() == key.public_bytes()
    assert open_(again, INFO, seal(key.public_bytes(), INFO, b"kept")) == b"kept"


def test_it_generates_a_new_key_each_time() -> None:
    assert PrivateKey.generate().private_bytes() != PrivateKey.generate().private_bytes()


def test_it_does_not_open_with_any_byte_changed() -> None:
    sealed = seal(KEY.public_bytes(), INFO, b"secret")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1 << position % 8
        with pytest.raises(DoesNotOpen):
            open_(KEY, INFO, bytes(broken))


def test_it_does_not_open_when_cut_or_lengthened() -> None:
    sealed = seal(KEY.public_bytes(), INFO, b"secret")
    for length in (0, 1, 1087, 1088, 1119, 1120, 1135, len(sealed) - 1):
        with pytest.raises(DoesNotOpen):
            open_(KEY, INFO, sealed[:length])
    with pytest.raises(DoesNotOpen):
        open_(KEY, INFO, sealed + b"\0")


@pytest.mark.parametrize("info", [b"", b"icr/v1/tesT", INFO + b"\0"])
def test_it_does_not_open_in_another_context(info: bytes) -> None:
    with pytest.raises(DoesNotOpen):
        open_(KEY, info, seal(KEY.public_bytes(), INFO, b"secret"))


@pytest.mark.parametrize("half", [slice(0, 64), slice(64, 96)], ids=["ml-kem", "x25519"])
def test_it_does_not_open_when_either_half_of_the_key_is_another(half: slice) -> None:
    raw = bytearray(KEY.private_bytes())
    raw[half] = PrivateKey.generate().private_bytes()[half]
    with pytest.raises(DoesNotOpen):
        open_(PrivateKey(bytes(raw)), INFO, seal(KEY.public_bytes(), INFO, b"secret"))


def test_a_refusal_says_nothing_finer() -> None:
    sealed = seal(KEY.public_bytes(), INFO, b"secret")
    refusals = set()
    small_order_point = sealed[:1088] + bytes(32) + sealed[1120:]
    for broken in (b"", sealed[:-1], small_order_point, sealed[:50] + b"\0" * 50 + sealed[100:]):
        with pytest.raises(DoesNotOpen) as refused:
            open_(KEY, INFO, broken)
        refusals.add((str(refused.value), refused.value.args, type(refused.value.__cause__)))
    assert refusals == {("", (), type(None))}


def test_it_refuses_bytes_that_are_no_key() -> None:
    public = KEY.public_bytes()
    out_of_range = b"\xff" * 1184 + public[1184:]
    small_order = public[:1184] + bytes(32)
    for bad in (b"", public[:-1], public + b"\0", out_of_range, small_order):
        with pytest.raises(ValueError):  # noqa: PT011 - any of three wordings, none a secret
            seal(bad, INFO, b"secret")
    for raw in (b"", bytes(PRIVATE_BYTES - 1), bytes(PRIVATE_BYTES + 1)):
        with pytest.raises(ValueError, match="an HPKE private key is 96 bytes"):
            PrivateKey(raw)


def test_it_never_shows_its_private_bytes() -> None:
    assert KEY.private_bytes().hex()[:16] not in repr(KEY)
    assert len(KEY.public_bytes()) == PUBLIC_BYTES
