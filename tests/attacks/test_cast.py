"""Every door of web, tried by everyone: whoever it is not for learns nothing through it.

Nothing means: the same answer, to the byte and the header, for what exists and for what does not,
at the price of the same number of SQL statements; and no name, id, digest or count of a provider in
anything that another hears.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from django.urls import URLPattern
from django.urls.resolvers import RoutePattern

from api.collectors import BATCH_TYPE
from icrstore.inbox.models import Batch
from icrstore.query.models import LodgedWarrant, Query
from icrstore.urls import urlpatterns
from tests.cast import (
    ABROAD,
    AWAY,
    CLOSED,
    HOME,
    NAMED,
    NEIGHBOUR,
    Cast,
    Heard,
    Held,
    Member,
    assemble,
)  # fmt: skip
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.ledger.copies import copy_logs, log_of
from tests.vault.rooms import Database

FORM = "application/x-www-form-urlencoded"
COLLECTORS = ("collector", "colleague collector", "foreign collector")


@pytest.fixture(scope="module")
def cast(
    database: Database, template: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cast]:
    with (
        copy_pair(template, tmp_path_factory.mktemp("keepers")) as pair,
        assemble(database, pair, tmp_path_factory.mktemp("cast")) as made,
    ):
        yield made


@dataclass(frozen=True)
class Door:
    """A path that leads to one thing of a provider: whom it opens for at HOME and at AWAY.

    ``thing`` says where the real one is, ``nothing`` where there is none. ``open_status`` is what
    those it opens for hear there, ``absent_status`` where there is nothing, ``shut`` what all
    others do.
    """

    route: str
    thing: Callable[[Cast, Held], str]
    nothing: Callable[[Cast, Held], str]
    at_home: tuple[str, ...]
    at_away: tuple[str, ...]
    shut: tuple[int, ...] = (401, 404)
    open_status: int = 200
    absent_status: int = 404


def batch(cast: Cast, held: Held) -> str:
    return f"/v1/batches/{held.batch}"


def query(cast: Cast, held: Held) -> str:
    return f"/v1/queries/{held.query}"


def page(cast: Cast, held: Held) -> str:
    return f"/access/{held.house.tenant}"


def watched(what: str) -> Door:
    """A list of oversight: nobody learns whether the provider is there, not even another's body."""
    return Door(
        f"v1/oversight/<tenant:tenant>/{what}",
        lambda cast, held: f"/v1/oversight/{held.house.tenant}/{what}",
        lambda cast, held: f"/v1/oversight/no-such-isp/{what}",
        ("overseer",), ("foreign overseer",), shut=(401,), absent_status=401,
    )  # fmt: skip


OFFICIALS, AWAY_OFFICIALS = ("applicant", "approver", "investigator"), ("foreign investigator",)
THINGS = (
    Door("v1/batches/<str:batch_id>", batch,
         lambda cast, held: f"/v1/batches/{secrets.token_hex(16)}",
         ("collector",), ("foreign collector",)),
    Door("v1/queries/<str:query_id>", query,
         lambda cast, held: f"/v1/queries/{secrets.token_hex(32)}",
         OFFICIALS, AWAY_OFFICIALS),
    Door("v1/queries/<str:query_id>/disclosure",
         lambda cast, held: f"{query(cast, held)}/disclosure",
         lambda cast, held: f"/v1/queries/{secrets.token_hex(32)}/disclosure",
         OFFICIALS, AWAY_OFFICIALS, open_status=409),
    *(watched(what) for what in ("accesses", "refusals", "notices", "gaps")),
    Door("access/<tenant:tenant>/v1/me/accesses/<str:entry>/proof",
         lambda cast, held: f"{page(cast, held)}/v1/me/accesses/{cast.entry}/proof",
         lambda cast, held: f"{page(cast, held)}/v1/me/accesses/{secrets.token_hex(32)}/proof",
         ("subscriber",), ()),
    Door("access/<tenant:tenant>/proof/<str:entry>",
         lambda cast, held: f"{page(cast, held)}/proof/{cast.entry}",
         lambda cast, held: f"{page(cast, held)}/proof/{secrets.token_hex(32)}",
         ("subscriber",), (), shut=(404,)),
)  # fmt: skip
# Doors that lead to no one thing; the tests below name each.
ACTS = (
    "v1/enrolments", "v1/intake-key", "v1/batches", "v1/gaps", "v1/warrants", "v1/queries",
    "access/<tenant:tenant>", "access/<tenant:tenant>/code", "access/<tenant:tenant>/enter",
    "access/<tenant:tenant>/leave", "access/<tenant:tenant>/v1/me/accesses",
    "access/<tenant:tenant>/v1/me/notices",
)  # fmt: skip
LOGS = (
    "ledger/<str:keeper>/<str:log>/checkpoint", "ledger/<str:keeper>/<str:log>/tile/<path:tile>",
    "ledger/<str:keeper>/<str:log>/fork",
)  # fmt: skip
OPEN = ("access.css", "docs", "v1/schema", "healthz", "readyz")


def test_every_door_is_tried_here() -> None:
    routes = set()
    for one in urlpatterns:
        assert isinstance(one, URLPattern)
        assert isinstance(one.pattern, RoutePattern)
        routes.add(str(one.pattern))
    assert routes == {*(door.route for door in THINGS), *ACTS, *OPEN, *LOGS}


@pytest.mark.parametrize("door", THINGS, ids=lambda door: door.route)
@pytest.mark.parametrize("tenant", [HOME, AWAY])
def test_a_thing_looks_like_nothing_to_everyone_whose_it_is_not(
    cast: Cast, door: Door, tenant: str
) -> None:
    held, welcome = (cast.home, door.at_home) if tenant == HOME else (cast.away, door.at_away)
    for name, member in cast.members.items():
        real = member.knock("GET", door.thing(cast, held))
        absent = member.knock("GET", door.nothing(cast, held))
        if name in welcome:
            assert real.status == door.open_status, (name, real.body)
            assert absent.status == door.absent_status, name
        else:
            assert real.status in door.shut, (name, real.body)
            assert real == absent, name


# Doors of collectors.


def test_the_intake_key_is_for_collectors_who_each_hear_of_themselves(cast: Cast) -> None:
    for name, member in cast.members.items():
        heard = member.knock("GET", "/v1/intake-key")
        if name not in COLLECTORS:
            assert (heard.status, heard.code) == (401, refusal(member)), name
            continue
        assert heard.status == 200, name
        own, other = (AWAY, HOME) if name == "foreign collector" else (HOME, AWAY)
        assert f'"{own}"'.encode() in heard.body
        assert f'"{other}"'.encode() not in heard.body


def test_batches_are_taken_from_collectors_and_kept_as_their_own(cast: Cast) -> None:
    for name, member in cast.members.items():
        before = batches(cast)
        heard = member.knock("POST", "/v1/batches", secrets.token_bytes(2000), **labels(cast))
        if name in COLLECTORS:
            assert heard.status == 202, (name, heard.body)
            tenant = AWAY if name == "foreign collector" else HOME
            assert batches(cast) == {**before, tenant: before[tenant] + 1}
        else:
            assert (heard.status, heard.code) == (401, refusal(member)), name
            assert batches(cast) == before


def test_a_batch_of_another_is_not_repeated_to_whoever_knows_its_id(cast: Cast) -> None:
    """The id alone brings back no receipt: for another collector it is an id like any other."""
    body, own = secrets.token_bytes(2000), labels(cast)
    assert cast["collector"].knock("POST", "/v1/batches", body, **own).status == 202
    assert cast["collector"].knock("POST", "/v1/batches", body, **own).status == 200
    for name in ("colleague collector", "foreign collector"):
        known = labels(cast) | {"Idempotency_Key": own["Idempotency_Key"]}
        heard = cast[name].knock("POST", "/v1/batches", body, **known)
        assert heard.status == 202, name
        fresh = cast[name].knock("POST", "/v1/batches", body, **labels(cast))
        assert (fresh.status, fresh.statements) == (202, heard.statements)


def test_nobody_enrols_without_a_token(cast: Cast) -> None:
    for name, member in cast.members.items():
        body = b'{"token":"x","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}'
        heard = member.knock("POST", "/v1/enrolments", body)
        assert (heard.status, heard.code) == (403, "token-unknown"), name


def test_gaps_are_each_collectors_own(cast: Cast) -> None:
    for name, member in cast.members.items():
        heard = member.knock("GET", "/v1/gaps")
        if name in COLLECTORS:
            assert heard.status == 200, name
            # The first batch of each provider is of a stream that has its name.
            assert (AWAY if name != "foreign collector" else HOME).encode() not in heard.body
        else:
            assert (heard.status, heard.code) == (401, refusal(member)), name


# Doors of officials.


def test_a_warrant_is_lodged_by_the_authoritys_own_people_only(cast: Cast) -> None:
    """Everyone brings the same bytes, as whoever copied them from the wire could."""
    for name, member in cast.members.items():
        heard = member.knock("POST", "/v1/warrants", cast.home.lodging("warrant"))
        if name in OFFICIALS or name == "late investigator":
            # The bytes carry the late one's colleagues' grants, not their own.
            assert heard.status == (401 if name == "late investigator" else 201), name
        else:
            assert heard.status in (401, 403), (name, heard.body)
            assert heard.code in (refusal(member), "not-yours"), name
    assert counts(cast, LodgedWarrant) == {HOME: 1, AWAY: 1}


def test_a_request_is_queued_by_the_authoritys_own_people_only(cast: Cast) -> None:
    for name, member in cast.members.items():
        heard = member.knock("POST", "/v1/queries", cast.home.lodging("request"))
        if name in OFFICIALS:
            assert heard.status == 202, (name, heard.body)
        else:
            assert heard.status in (401, 404), (name, heard.body)
    assert counts(cast, Query) == {HOME: 1, AWAY: 1}


@pytest.mark.parametrize("name", ["rival investigator", "foreign investigator"])
def test_a_warrant_of_others_looks_like_one_that_nobody_lodged(cast: Cast, name: str) -> None:
    real = cast[name].knock("POST", "/v1/queries", cast.home.lodging("request"))
    absent = cast[name].knock("POST", "/v1/queries", unlodged(cast))
    assert (real.status, real.code) == (404, "no-such-warrant")
    assert real == absent


# Doors of subscribers.


def test_the_page_is_each_subscribers_own_and_a_form_for_everyone_else(cast: Cast) -> None:
    nobody = cast["nobody"].knock("GET", f"/access/{HOME}")
    assert b"Send me a code" in nobody.body
    for name, member in cast.members.items():
        heard = member.knock("GET", f"/access/{HOME}")
        if name == "subscriber":
            assert cast.entry.encode() in heard.body
        elif name == "neighbour":
            assert heard.status == 200
            assert b"Send me a code" not in heard.body
            assert cast.entry.encode() not in heard.body
        else:
            assert (heard.status, heard.body) == (200, nobody.body), name


@pytest.mark.parametrize("what", ["accesses", "notices"])
def test_the_json_is_each_subscribers_own_and_a_401_for_everyone_else(
    cast: Cast, what: str
) -> None:
    nobody = cast["nobody"].knock("GET", f"/access/{HOME}/v1/me/{what}")
    for name, member in cast.members.items():
        heard = member.knock("GET", f"/access/{HOME}/v1/me/{what}")
        if name in ("subscriber", "neighbour"):
            assert heard.status == 200, name
            assert (cast.entry.encode() in heard.body) == (name == "subscriber")
        else:
            assert (heard.status, heard.code) == (401, "not-signed-in"), name
            assert heard.body == nobody.body, name


# The door of everyone.


@pytest.mark.parametrize("path", ["checkpoint", "tile/entries/000.p/1", "tile/0/000.p/1"])
def test_a_keepers_log_is_the_same_for_everyone(cast: Cast, path: str) -> None:
    database = cast.office.database
    database.use("admin")
    copy_logs(database, cast.rooms.pair)
    target = f"/ledger/operator/{log_of('operator').pseudonym}/{path}"
    database.use("web")
    heard = {name: member.knock("GET", target) for name, member in cast.members.items()}
    assert heard["nobody"].status == 200
    assert [name for name, one in heard.items() if one != heard["nobody"]] == []


def test_a_code_is_asked_for_alike_whoever_has_the_account(cast: Cast) -> None:
    """Also for an account of the other provider: each knows its own."""
    answers = set()
    for account in (NAMED, NEIGHBOUR, CLOSED, ABROAD, "line-of-no-one"):
        heard = cast["nobody"].knock("POST", f"/access/{HOME}/code", f"account={account}".encode(),
                                     Content_Type=FORM)  # fmt: skip
        body = heard.body.replace(account.encode(), b"")
        answers.add((heard.status, body, heard.statements))
    assert len(answers) == 1
    assert answers.pop()[0] == 200


def test_a_wrong_code_is_refused_alike_whoever_has_the_account(cast: Cast) -> None:
    answers = set()
    for account in (NAMED, CLOSED, ABROAD, "line-of-no-one"):
        form = f"account={account}&code=12345678".encode()
        heard = cast["nobody"].knock("POST", f"/access/{HOME}/enter", form, Content_Type=FORM)
        answers.add((heard.status, heard.body.replace(account.encode(), b""), heard.statements))
    assert len(answers) == 1
    assert answers.pop()[0] == 403


def test_leaving_ends_nobody_elses_session(cast: Cast) -> None:
    for name in ("nobody", "foreign subscriber", "closed subscriber"):
        heard = cast[name].knock("POST", f"/access/{HOME}/leave", b"leave=1", Content_Type=FORM)
        assert heard.status == 303
    page_of = cast["subscriber"].knock("GET", f"/access/{HOME}")
    assert cast.entry.encode() in page_of.body


# Everything that anybody hears.


def test_nothing_of_home_is_in_anything_that_others_hear(cast: Cast) -> None:
    home = cast.home
    needles = [
        needle.encode()
        for needle in (
            NAMED, NEIGHBOUR, CLOSED, "asked-", "edge-colleague", home.batch, home.query,
            home.warrant.sha256.hex(), home.house.authority, cast.entry,
        )
    ]  # fmt: skip
    others = "foreign collector", "foreign subscriber", "foreign overseer"
    for name in ("nobody", "stranger", *AWAY_OFFICIALS, *others):
        for heard in everything(cast, cast[name]):
            told = heard.body + repr(sorted(heard.headers.items())).encode()
            assert not [needle for needle in needles if needle in told], name


def everything(cast: Cast, member: Member) -> list[Heard]:
    """What that member hears at every door, as HOME's and as AWAY's."""
    heard = [member.knock("GET", f"/{route}") for route in (*OPEN, *ACTS) if "<" not in route]
    for held in (cast.home, cast.away):
        heard += [member.knock("GET", door.thing(cast, held)) for door in THINGS]
        heard += [member.knock("GET", f"{page(cast, held)}{below}")
                  for below in ("", "/v1/me/accesses", "/v1/me/notices")]  # fmt: skip
        heard += [member.knock("POST", "/v1/warrants", held.lodging("warrant"))]
        heard += [member.knock("POST", "/v1/queries", held.lodging("request"))]
    # What is one's own at AWAY may be heard; that HOME's bytes lodge nothing is told above.
    return [one for one in heard if one.status not in (201, 202)]


def refusal(member: Member) -> str:
    return "unknown-key" if member.key else "no-signature"


def unlodged(cast: Cast) -> bytes:
    """A request of HOME's own people under a warrant that was never lodged."""
    pair = cast.rooms.pair
    warrant = pair.warrant(pair.warrant_of())
    return replace(cast.home, request=pair.request(pair.request_of(warrant))).lodging("request")


def labels(cast: Cast) -> dict[str, str]:
    """Headers of the next batch."""
    label = cast.rooms.label()
    first, last, intake = (
        f"{hour:%Y-%m-%dT%H}:00:00Z"
        for hour in (label.first_hour, label.last_hour, label.intake_hour)
    )
    return {
        "Content_Type": BATCH_TYPE,
        "Idempotency_Key": f'"{label.batch_id.hex()}"',
        "Batch_Sequence": f'stream="cast", n={label.sequence}',
        "Batch_Scope": f'shard={label.shard}, first="{first}", last="{last}"',
        "Intake_Key": f'hour="{intake}"',
    }


def batches(cast: Cast) -> dict[str, int]:
    return counts(cast, Batch)


def counts(cast: Cast, table: type[Batch] | type[Query] | type[LodgedWarrant]) -> dict[str, int]:
    """Rows of each provider, as the database's administrator sees them."""
    cast.office.database.use("admin")
    try:
        return {t: table.objects.filter(tenant=t).count() for t in (HOME, AWAY)}
    finally:
        cast.office.database.use("web")
