"""Presence and absence for every label of manifests of 0 to 200 rows, and every forgery refused."""

import hashlib
from collections.abc import Iterator
from functools import cache

import pytest

from icrstore.seal.manifest import BUCKET, BucketProof, Manifest, ManifestError, check, entry
from icrstore.seal.rows import Row
from icrstore.tlog.merkle import EMPTY_ROOT
from tests.seal.proving import prove

END = b"\xff" * 16


@cache
def _row(number: int) -> Row:
    """Row ``number`` in label order; its neighbours leave room for absent labels between."""
    return Row((1000 + 10 * number).to_bytes(16, "big"), hashlib.sha256(b"%d" % number).digest())


@cache
def _manifest(rows: int) -> Manifest:
    return Manifest.of(_row(number) for number in reversed(range(rows)))


def _beside(label: bytes, step: int) -> bytes:
    return (int.from_bytes(label, "big") + step).to_bytes(16, "big")


def _refused(proof: BucketProof, root: bytes, label: bytes, body: bytes | None) -> bool:
    try:
        check(proof, root, label, body)
    except ManifestError:
        return True
    return False


@pytest.mark.parametrize("rows", range(1, 201))
def test_every_row_is_proven_present_and_never_absent(rows: int) -> None:
    manifest = _manifest(rows)
    root = manifest.root
    for row in map(_row, range(rows)):
        proof = prove(manifest, row.label)
        check(proof, root, row.label, row.body)
        assert _refused(proof, root, row.label, None)
        assert _refused(proof, root, row.label, row.body + b"\x00")


@pytest.mark.parametrize("rows", range(1, 201))
def test_every_gap_is_proven_absent_and_never_present(rows: int) -> None:
    manifest = _manifest(rows)
    root = manifest.root
    gaps = [_beside(_row(number).label, step) for number in range(rows) for step in (-1, 1)]
    for label in (bytes(16), *gaps, _beside(END, -1)):
        proof = prove(manifest, label)
        check(proof, root, label, None)
        assert _refused(proof, root, label, b"planted")


def test_an_epoch_without_rows_has_the_empty_root_and_needs_no_proof() -> None:
    manifest = _manifest(0)
    assert (manifest.rows, manifest.root) == (0, EMPTY_ROOT)
    assert not list(manifest.proofs())


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 128, 129, 200])
def test_only_the_bucket_that_answers_for_a_label_is_taken(rows: int) -> None:
    manifest = _manifest(rows)
    root = manifest.root
    proofs = [prove(manifest, _row(at).label) for at in range(0, rows, BUCKET)]
    for number in range(rows):
        label = _row(number).label
        for index, proof in enumerate(proofs):
            if index != number // BUCKET:
                assert _refused(proof, root, label, None)
                assert _refused(proof, root, label, _row(number).body)


@pytest.mark.parametrize("rows", [1, 64, 65, 130, 200])
def test_a_proof_of_one_epoch_is_refused_under_the_root_of_another(rows: int) -> None:
    other = Manifest.of(_row(number) for number in range(1, rows + 1)).root
    row = _row(1 if rows > 1 else 0)
    assert _refused(prove(_manifest(rows), row.label), other, row.label, row.body)


def _with_one_byte_changed(proof: BucketProof) -> Iterator[BucketProof]:
    for at in range(len(proof.leaf)):
        yield proof._replace(leaf=_changed(proof.leaf, at))
    for number, node in enumerate(proof.path):
        for at in range(32):
            path = list(proof.path)
            path[number] = _changed(node, at)
            yield proof._replace(path=tuple(path))


def _changed(value: bytes, at: int) -> bytes:
    return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]


@pytest.mark.parametrize("rows", [1, 2, 64, 65, 130])
def test_a_proof_with_one_byte_changed_proves_nothing(rows: int) -> None:
    manifest = _manifest(rows)
    root = manifest.root
    for number in {0, rows // 2, rows - 1}:
        row = _row(number)
        gap = _beside(row.label, 1)
        for forged in _with_one_byte_changed(prove(manifest, row.label)):
            assert _refused(forged, root, row.label, row.body)
            assert _refused(forged, root, gap, None)


@pytest.mark.parametrize("rows", [2, 65, 130, 200])
def test_a_proof_out_of_its_place_is_refused(rows: int) -> None:
    manifest = _manifest(rows)
    root, row = manifest.root, _row(rows - 1)
    proof = prove(manifest, row.label)
    for forged in (
        proof._replace(index=proof.index + 1),
        proof._replace(index=-1),
        proof._replace(buckets=0),
        proof._replace(path=(*proof.path, bytes(32))),
        proof._replace(path=proof.path[:-1], index=proof.index + 1),
        proof._replace(path=tuple(node[:31] for node in proof.path), buckets=proof.buckets + 1),
    ):
        assert _refused(forged, root, row.label, row.body)
        assert _refused(forged, root, row.label, None)


@pytest.mark.parametrize("rows", [1, 2, 64, 65, 130])
def test_a_leaf_that_is_cut_or_longer_proves_nothing(rows: int) -> None:
    manifest = _manifest(rows)
    for number in {0, rows // 2, rows - 1}:
        row = _row(number)
        proof = prove(manifest, row.label)
        for cut in range(1, len(proof.leaf) + 1):
            for leaf in (proof.leaf[:-cut], proof.leaf[cut:], proof.leaf + proof.leaf[-cut:]):
                forged = proof._replace(leaf=leaf)
                assert _refused(forged, manifest.root, row.label, row.body)
                assert _refused(forged, manifest.root, row.label, None)


def test_a_row_whose_body_was_swapped_with_its_neighbours_is_refused() -> None:
    manifest = _manifest(130)
    root = manifest.root
    for number in range(129):
        row, neighbour = _row(number), _row(number + 1)
        assert _refused(prove(manifest, row.label), root, row.label, neighbour.body)
        assert _refused(prove(manifest, neighbour.label), root, neighbour.label, row.body)


def test_two_neighbours_swapped_make_no_manifest() -> None:
    entries = [entry(_row(number).label, _row(number).body) for number in range(66)]
    for at in range(65):
        swapped = [*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]]
        with pytest.raises(ManifestError):
            Manifest(b"".join(swapped))


def test_a_label_stands_once() -> None:
    row = _row(1)
    with pytest.raises(ManifestError):
        Manifest.of([row, Row(row.label, b"another body"), _row(2)])


@pytest.mark.parametrize("missing", range(1, 32))
def test_a_cut_manifest_is_refused(missing: int) -> None:
    with pytest.raises(ManifestError):
        Manifest(_manifest(3).entries[:-missing])


def test_rows_one_more_or_one_less_have_another_root() -> None:
    roots = [_manifest(rows).root for rows in range(201)]
    assert len(set(roots)) == len(roots)
