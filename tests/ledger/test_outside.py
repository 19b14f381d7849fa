"""An outside witness joins: its cosignature stands beside the keeper's, and holds up nobody."""

from pathlib import Path

import pytest

from icrstore.keeper.calls import with_witnesses
from icrstore.ledger.copying import Copier
from icrstore.ledger.outside import OutsideWitness, read_witnesses
from icrstore.seal.epoch import ROLES
from icrstore.tlog.checkpoint import verify_cosigned
from icrstore.tlog.errors import LogError
from icrstore.tlog.note import COSIGNATURE, SigningKey, VerifierKey
from icrstore.tlog.witness import format_request, parse_request
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT, utc_now
from tests.ledger.copies import acting, fetch, log_of, read_copy
from tests.ledger.outsider import NAME, Outsider, serving
from tests.tlog.vectors import LOG_KEY, ORIGIN, VECTORS, WITNESS
from tests.vault.rooms import Database, Rooms


def copy(database: Database, pair: Pair, *outside: OutsideWitness) -> str:
    """Copy the operator's log; the checkpoint that is published then."""
    operator, oversight = next(
        each for each in with_witnesses([pair.keeper(r, "notifier") for r in ROLES])
        if each[0].role == "operator"
    )  # fmt: skip
    with acting(database, "notifier"):
        Copier(operator, oversight, outside).copy(TENANT, utc_now())
    place = f"/ledger/operator/{log_of('operator').pseudonym}"
    with acting(database, "web"):
        return fetch(f"{place}/checkpoint").decode()


def test_an_outside_witness_joins_and_goes_on_as_the_log_grows(
    rooms: Rooms, database: Database
) -> None:
    pair = rooms.pair
    origin = pair.show("operator")["tenants"][0]["origin"]
    outsider = Outsider({origin: pair.identities["operator"].log_key})
    keys = pair.log_keys("operator")
    pinned = VerifierKey(NAME, COSIGNATURE, outsider.public)
    with serving(outsider) as url:
        witness = OutsideWitness.parse(f"{outsider.vkey} {url}")
        for asked in ([200], [409, 200], [409, 200]):
            pair.run(pair.question())
            note = copy(database, pair, witness)
            both = [keys.witness, pinned]
            log_key = keys.log_verifier(origin)
            signed, times = verify_cosigned(note.encode(), origin, log_key, both, at_least=2)
            assert times[pinned] == outsider.time
            assert signed.size == pair.leaves("operator")
            assert outsider.asked == asked
            outsider.asked.clear()
            # Who does not know it reads the log as before.
            assert read_copy(database, pair, "operator").size == signed.size


def test_a_witness_that_refuses_lies_or_is_away_holds_up_nothing(
    rooms: Rooms, database: Database
) -> None:
    pair = rooms.pair
    origin = pair.show("operator")["tenants"][0]["origin"]
    stranger = Outsider({})
    liar = Outsider({origin: pair.identities["operator"].log_key})
    liar.latest[origin] = (1 << 40, bytes(32))
    other = Outsider({origin: pair.identities["operator"].log_key})
    for outsider in (stranger, liar):
        with serving(outsider) as url:
            pair.run(pair.question())
            note = copy(database, pair, OutsideWitness.parse(f"{outsider.vkey} {url}"))
            assert note.count("\u2014") == 2
    with serving(other) as url:
        # Its answer is by another key than the one that was pinned.
        pair.run(pair.question())
        note = copy(database, pair, OutsideWitness.parse(f"{stranger.vkey} {url}"))
        assert note.count("\u2014") == 2
    pair.run(pair.question())
    away = OutsideWitness.parse(f"{stranger.vkey} http://127.0.0.1:1/w")
    assert copy(database, pair, away).count("\u2014") == 2


def test_the_specifications_witness_agrees_with_ours() -> None:
    """The same vectors, by two programs that share nothing."""
    outsider = Outsider({ORIGIN: LOG_KEY.public}, WITNESS.private)
    request = VECTORS["add_checkpoint"]["request"].encode()
    assert outsider.add_checkpoint(request) == (409, "0\n")
    asked = parse_request(request)
    assert outsider.add_checkpoint(format_request(0, (), asked.note))[0] == 200
    assert outsider.add_checkpoint(format_request(11, (), asked.note))[0] == 200
    assert outsider.add_checkpoint(format_request(12, (), asked.note))[0] == 400
    again = Outsider({ORIGIN: LOG_KEY.public}, WITNESS.private)
    again.time = VECTORS["add_checkpoint"]["cosigned_at_unix"] - 1
    line = again._cosignature(asked.note.body)
    ours = SigningKey(NAME, WITNESS.private).cosign(asked.note.body, again.time).line()
    assert line == ours


def test_the_file_names_keys_and_places(tmp_path: Path) -> None:
    path = tmp_path / "witnesses.txt"
    assert read_witnesses(path) == []
    outsider = Outsider({})
    path.write_text(f"# who\n\n{outsider.vkey} https://witness.example/w1\n")
    (read,) = read_witnesses(path)
    assert (read.key.public, read.url) == (outsider.public, "https://witness.example/w1")
    place = "https://witness.example"
    for line in (outsider.vkey, f"{outsider.vkey} http://witness.example",
                 f"{outsider.vkey[:-4]} {place}", f"{LOG_KEY.text()} {place}"):  # fmt: skip
        path.write_text(line)
        with pytest.raises((ValueError, LogError)):
            read_witnesses(path)
