"""An engine that dies at every step of a question: it ends answered, logged once, shown once."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy import services
from icrstore.seal.epoch import HOUR, ROLES, hour_start
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.note import parse_note
from icrstore.tlog.tiles import TILE_WIDTH, Tile, parse_bundle
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import decode_base64
from icrstore.wire.httpunix import Peer
from tests.faults.feeder import Feeder
from tests.faults.records import make
from tests.faults.victims import COMMIT, Point, Victim, instead_of
from tests.site import Site, last_hours

RUN, KEEPERS = "icrstore.query.run:", "icrstore.keeper.client:Keepers."
ONE_KEEPER = "icrstore.keeper.client:Keeper.logged"
STEPS = (
    Point(f"{RUN}_question"),
    Point(ONE_KEEPER),
    Point(f"{KEEPERS}commit"),
    Point(ONE_KEEPER, since=f"{KEEPERS}release"),
    Point(f"{KEEPERS}release"),
    Point(f"{KEEPERS}lend"),
    Point(ONE_KEEPER, since=f"{KEEPERS}disclose"),
    Point(f"{KEEPERS}disclose"),
    Point(f"{RUN}_outcome"),
)
# The answer is made once the keepers logged it; the next commit is that of the row.
ENDED = Point(COMMIT, since=f"{KEEPERS}disclose")
ACCOUNT, RECORDS = "engine-1", 30


@pytest.fixture(scope="module")
def engine(site: Site) -> Iterator[Victim]:
    with instead_of(site, "engine") as (victim,):
        yield victim


@pytest.fixture(scope="module")
def pushed(site: Site, config: Any) -> None:
    feeder = Feeder(config)
    feeder.put(make(random.Random(51), [ACCOUNT], RECORDS, hours=2))
    feeder.push()
    feeder.close()


def ask(site: Site, account: str, hours: int = 2) -> tuple[str, Envelope]:
    """A queued query and its request; its warrant allows one question."""
    scope = last_hours(hours)
    warrant = site.warrant([account], *scope, max_requests=1)
    site.lodge(warrant)
    request = site.request(warrant, [account], *scope)
    return site.put(request), request


def row(site: Site, request: Envelope) -> tuple[str, bytes | None, bytes | None]:
    (found,) = site.sql(
        "SELECT state, share_key, disclosure FROM query_query WHERE sha256 = %s", request.sha256
    )
    return found[0], found[1], found[2]


def answer_of(package: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(decode_base64(package["answer"]) or b"")
    return made


def logged_since_commit(site: Site, package: dict[str, Any], role: str) -> Counter[str]:
    """The types of the leaves of a keeper's log, from the question's commit to the log's end."""
    shown = package["keepers"][role]
    origin = parse_checkpoint(parse_note(shown["commit"]["checkpoint"].encode()).body).origin
    log = f"/log/{origin.rpartition('/')[2]}/"
    keeper = Peer(f"unix:{services.keeper_socket(site.stack.layout, role)}", "k", 10, 1 << 24)
    head = keeper.call("GET", f"{log}checkpoint", {}).body
    size, first = (
        parse_checkpoint(parse_note(head).body).size,
        shown["commit"]["leaves"][0]["index"],
    )
    types: list[str] = []
    for number in range(first // TILE_WIDTH, -(-size // TILE_WIDTH)):
        tile = Tile(None, number, min(TILE_WIDTH, size - number * TILE_WIDTH))
        entries = parse_bundle(keeper.call("GET", log + tile.path, {}).body, tile.width)
        types += [entry.split(b"\n")[1].decode() for entry in entries]
    return Counter(types[first % TILE_WIDTH :])


def check_answered_once(site: Site, query: str, request: Envelope) -> None:
    state, share_key, _ = row(site, request)
    assert (state, share_key) == ("answered", None)
    package = site.package(query)
    assert answer_of(package)["records"] == RECORDS
    assert {hour["coverage"] for hour in answer_of(package)["hours"]} == {"COMPLETE"}
    for role in ROLES:
        types = logged_since_commit(site, package, role)
        del types["type=epoch"]
        assert types == {"type=commit": 1, "type=release": 1, "type=disclosure": 1}


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize("point", STEPS, ids=str)
def test_an_engine_that_dies_on_the_way_finishes_with_the_same_leaves(
    site: Site, engine: Victim, point: Point
) -> None:
    query, request = ask(site, ACCOUNT)
    assert engine.look(point) == -9
    state, kept, disclosure = row(site, request)
    assert (state, disclosure) == ("running", None)
    assert kept, "without its share key the engine could open nothing that keepers lend again"

    assert engine.look() == 0
    check_answered_once(site, query, request)


@pytest.mark.usefixtures("pushed")
def test_an_engine_that_dies_again_and_again_still_asks_once(site: Site, engine: Victim) -> None:
    query, request = ask(site, ACCOUNT)
    kept = set()
    for point in STEPS:
        assert engine.look(point) == -9
        kept.add(bytes(row(site, request)[1] or b""))
    assert len(kept) == 1, "the share key was replaced"
    assert engine.look() == 0
    check_answered_once(site, query, request)


@pytest.mark.usefixtures("pushed")
def test_an_answer_that_is_there_is_not_made_again(site: Site, engine: Victim) -> None:
    query, request = ask(site, ACCOUNT)
    assert engine.look(ENDED) == -9
    before = row(site, request)
    assert before[0] == "answered"
    assert engine.look() == 0
    assert row(site, request) == before
    check_answered_once(site, query, request)


@pytest.mark.parametrize("point", [STEPS[2], STEPS[7]], ids=str)
def test_what_is_sealed_while_the_engine_is_dead_is_never_passed_over_in_silence(
    site: Site, engine: Victim, feeder: Feeder, point: Point
) -> None:
    """The keepers fixed the list of epochs before the crash: a batch that was waiting then is not
    in it, and the answer must go on saying so when the batch is sealed afterwards."""
    account = f"meanwhile-{point.at.rpartition('.')[2]}"
    now = hour_start(datetime.now(UTC))
    (early,) = make(random.Random(61), [account], 1, hours=1)
    # Its scope reaches into this hour: nobody seals it before the hour ends, or somebody asks.
    late = replace(early, milliseconds=int(now.timestamp()) * 1000)
    batch = feeder.put([early, late])
    feeder.offer()
    query, request = ask(site, account)
    assert engine.look(point) == -9
    site.sql("UPDATE inbox_batch SET urgent = true WHERE batch_id = %s", batch)
    feeder.push()

    assert engine.look() == 0
    assert row(site, request)[0] == "answered"
    answer = answer_of(site.package(query))
    last = answer["hours"][-1]
    assert answer["records"] == 0
    assert last["hour"] == (now - HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert last["coverage"] == "UNSEALED"

    again, _ = ask(site, account)
    assert engine.look() == 0
    assert answer_of(site.package(again))["records"] == 1
