"""Rows and proofs as they come from the store: each that is wanted gets its own."""

import pytest
from django.db import connection

from icrstore.query.scope import Scope
from icrstore.seal.manifest import check
from icrstore.vault import reader
from icrstore.vault.reader import HeldEpoch, Wanted
from tests.query.asking import Office, lasting
from tests.query.halves import lent_by, looks, office

__all__ = ["lasting", "looks", "office"]


@pytest.mark.parametrize("few", [0, 64])
def test_of_some_no_label_after_is_wanted_and_the_others_get_theirs(
    office: Office, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(reader, "FEW", few)
    stored = _stored(lent_by(office, monkeypatch).whole)
    assert len(stored) > 2
    # No row has it: a label is as good as random. It is wanted of every second, as of a last chunk.
    nowhere = b"\xfe" * 16
    wanted = [
        Wanted(epoch, label, nowhere if n % 2 else None)
        for n, (epoch, label, _) in enumerate(stored)
    ]
    found = list(reader.rows(wanted[0].epoch.month, wanted))
    for (epoch, label, body), one, (came, proof, after) in zip(stored, wanted, found, strict=True):
        assert came == body
        assert proof is not None
        check(proof, epoch.manifest_root, label, body)
        if one.after:
            assert after is not None
            check(after, epoch.manifest_root, nowhere, None)


def _stored(whole: Scope) -> list[tuple[HeldEpoch, bytes, bytes]]:
    """Every row of the newest month."""
    epochs = {epoch.number: epoch for epoch in whole.held().epochs}
    month = max(epoch.month for epoch in epochs.values())
    with connection.cursor() as cursor:
        cursor.execute("SELECT epoch_no, label, body FROM vault_segment WHERE month = %s", [month])
        return [
            (epochs[number], bytes(label), bytes(body))
            for number, label, body in cursor
            if number in epochs
        ]
