"""Rows that were flipped, moved, cut or shuffled never open; padding is Padmé and nothing else."""

import math
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from hypothesis import given
from hypothesis import strategies as st

from icrstore.seal.encode import enc
from icrstore.seal.rows import (
    RECORDS_PER_CHUNK,
    Row,
    RowError,
    Segment,
    SelectorKeys,
    pad,
    padme,
    unpad,
)

EID, SHARES = b"e" * 16, (b"o" * 32, b"s" * 32)
KEYS = SelectorKeys(*SHARES, EID, "account", b"17-zoe")
SEGMENT = Segment(0, 0, 3, b"columns of three records")


def _sealed(encoded: bytes, chunk: int = 0) -> bytes:
    """A body that holds these very bytes, unpadded, as only a holder of both shares can make."""
    label, key = KEYS.label_and_key(chunk)
    return b"\x01" + AESGCMSIV(key).encrypt(bytes(12), encoded, enc(b"icr/v1/seg", EID, label))


def _store(*segments: Segment) -> dict[bytes, bytes]:
    rows = [KEYS.seal(segment) for segment in segments]
    return {row.label: row.body for row in rows}


def _chunks(count: int) -> list[Segment]:
    return [Segment(c, count - 1, 1 + c, b"chunk %d" % c) for c in range(count)]


def test_every_flipped_bit_of_a_body_is_found() -> None:
    body = KEYS.seal(SEGMENT).body
    for bit in range(8 * len(body)):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RowError):
            KEYS.open(0, bytes(changed))


def test_a_body_cut_or_lengthened_anywhere_does_not_open() -> None:
    body = KEYS.seal(SEGMENT).body
    for length in range(len(body)):
        with pytest.raises(RowError):
            KEYS.open(0, body[:length])
    with pytest.raises(RowError):
        KEYS.open(0, body + b"\x00")


@pytest.mark.parametrize(
    "other",
    [
        SelectorKeys(*SHARES, b"f" * 16, "account", b"17-zoe"),
        SelectorKeys(*SHARES, EID, "address", b"17-zoe"),
        SelectorKeys(*SHARES, EID, "account", b"17-zoh"),
        SelectorKeys(b"O" * 32, SHARES[1], EID, "account", b"17-zoe"),
        SelectorKeys(SHARES[0], b"S" * 32, EID, "account", b"17-zoe"),
        SelectorKeys(SHARES[1], SHARES[0], EID, "account", b"17-zoe"),
    ],
    ids=["epoch", "kind", "selector", "operator", "oversight", "shares-swapped"],
)
def test_a_body_moved_elsewhere_does_not_open(other: SelectorKeys) -> None:
    row = KEYS.seal(SEGMENT)
    assert other.label_and_key(0)[0] != row.label
    with pytest.raises(RowError):
        other.open(0, row.body)


def test_a_body_moved_to_the_label_of_another_chunk_does_not_open() -> None:
    with pytest.raises(RowError):
        KEYS.open(1, KEYS.seal(SEGMENT).body)


def test_the_epoch_and_the_label_are_bound_even_where_the_key_would_fit() -> None:
    label, key = KEYS.label_and_key(0)
    padded = pad(SEGMENT.encode())
    for aad in (
        b"",
        enc(b"icr/v1/seg", EID, b"l" * 16),
        enc(b"icr/v1/seg", EID, label[:-1]),
        label,
    ):
        with pytest.raises(RowError):
            KEYS.open(0, b"\x01" + AESGCMSIV(key).encrypt(bytes(12), padded, aad))


def test_chunks_come_back_in_order_wherever_they_lie() -> None:
    chunks = _chunks(5)
    assert list(KEYS.open_all(_store(*reversed(chunks)).get)) == chunks


def test_a_selector_without_rows_has_no_chunks() -> None:
    assert list(KEYS.open_all(_store().get)) == []


@pytest.mark.parametrize("lost", range(1, 5))
def test_a_list_that_misses_a_chunk_is_refused(lost: int) -> None:
    chunks = _chunks(5)
    store = _store(*chunks[:lost], *chunks[lost + 1 :])
    with pytest.raises(RowError):
        list(KEYS.open_all(store.get))


def test_a_list_whose_chunks_changed_places_is_refused() -> None:
    rows = [KEYS.seal(segment) for segment in _chunks(3)]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        bodies = [row.body for row in rows]
        bodies[a], bodies[b] = bodies[b], bodies[a]
        store = {row.label: body for row, body in zip(rows, bodies, strict=True)}
        with pytest.raises(RowError):
            list(KEYS.open_all(store.get))


@pytest.mark.parametrize("last", [1, 3, 4])
def test_a_list_whose_chunks_disagree_about_the_last_is_refused(last: int) -> None:
    chunks = _chunks(3)
    store = _store(chunks[0], replace(chunks[1], last_chunk=last), chunks[2])
    with pytest.raises(RowError):
        list(KEYS.open_all(store.get))


@pytest.mark.parametrize(
    "segment",
    [
        Segment(1, 1, 1, b"another chunk's number"),
        Segment(0, 0, 0, b"no records"),
        Segment(0, 0, RECORDS_PER_CHUNK + 1, b"too many records"),
    ],
)
def test_a_segment_that_contradicts_its_place_is_refused(segment: Segment) -> None:
    with pytest.raises(RowError):
        KEYS.open(0, _sealed(pad(segment.encode())))


def test_a_last_chunk_below_its_own_number_is_refused() -> None:
    with pytest.raises(RowError):
        KEYS.open(2, _sealed(pad(Segment(2, 1, 1, b"").encode()), chunk=2))


@pytest.mark.parametrize("length", range(12))
def test_a_segment_shorter_than_its_head_is_refused(length: int) -> None:
    with pytest.raises(RowError):
        KEYS.open(0, _sealed(pad(bytes(length))))


@pytest.mark.parametrize("encoded", [b"", b"\x00", b"\x00" * 3, b"\x00\x00\x00\x01"])
def test_what_is_not_padded_is_refused_even_with_a_true_tag(encoded: bytes) -> None:
    with pytest.raises(RowError):
        KEYS.open(0, _sealed(encoded))


@given(records=st.integers(1, RECORDS_PER_CHUNK), columns=st.binary(max_size=3000))
def test_every_segment_comes_back(records: int, columns: bytes) -> None:
    segment = Segment(0, 0, records, columns)
    row = KEYS.seal(segment)
    assert KEYS.open(0, row.body) == segment
    assert row == KEYS.seal(segment) == Row(row.label, row.body)


def test_padme_is_the_papers_for_every_length_to_5000() -> None:
    for length in range(2, 5001):
        exponent = math.floor(math.log2(length))
        bits = math.floor(math.log2(exponent)) + 1
        mask = 2 ** (exponent - bits) - 1
        assert padme(length) == (length + mask) & ~mask
    assert [padme(0), padme(1)] == [0, 1]


@given(st.integers(2, 1 << 40))
def test_padme_adds_at_most_twelve_per_cent_and_is_stable(length: int) -> None:
    padded = padme(length)
    assert length <= padded <= length * 1.12
    assert padme(padded) == padded


@pytest.mark.parametrize("length", [*range(0, 5001, 7), 1, 2, 3, 4095, 4096, 4097])
def test_what_is_padded_comes_back(length: int) -> None:
    segment = b"\x01" * length
    assert len(pad(segment)) == padme(4 + length)
    assert unpad(pad(segment)) == segment


@pytest.mark.parametrize("length", [0, 1, 13, 29, 100, 1000, 4097])
def test_unpad_refuses_every_other_padding(length: int) -> None:
    padded = pad(b"\x01" * length)
    spare = range(4 + length, len(padded))
    nonzero = [padded[:at] + b"\x01" + padded[at + 1 :] for at in spare]
    longer = [padded + bytes(extra) for extra in (1, 2, 16, 64)]
    shorter = [padded[:at] for at in range(0, len(padded), 1 + length // 50)]
    other_length = [(n).to_bytes(4, "big") + padded[4:] for n in (length + 1, length - 1, 1 << 31)
                    if n >= 0]  # fmt: skip
    for wrong in (*nonzero, *longer, *shorter):
        with pytest.raises(RowError):
            unpad(wrong)
    for wrong in other_length:
        # A length that is one off may only pass if the spare byte is part of such a segment.
        try:
            assert pad(unpad(wrong)) == wrong
        except RowError:
            continue
