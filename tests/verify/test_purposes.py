"""icr-verify on the answers of each purpose: their form, their names, their verdicts, their epochs.

Every signature below is genuine: it is the engine that says what it must not.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from icrstore.verify.icr_verify import CheckFailed, Proven, read_trust, verify_package
from icrstore.warrant.statements import PURPOSES, AddressSelector, Purpose
from icrstore.warrant.strict import dump, time_text
from tests.verify import genuine
from tests.verify.genuine import ACCOUNTS, HOURS, Story, story, warrant_sha256

HOUR = timedelta(hours=1)
Answer = dict[str, Any]
Change = Callable[[Answer], Any]


def verify(made: Story) -> Proven:
    return verify_package(dump(made.package()), read_trust(dump(genuine.trust())))


def refused_by(made: Story) -> str:
    """The name of the check that refuses; the test fails if none does."""
    with pytest.raises(CheckFailed) as refused:
        verify(made)
    return refused.value.name


def honest(purpose: Purpose) -> Story:
    return story(purpose, max_candidates=2 if purpose == "resolve" else 0)


def saying(purpose: Purpose, change: Change) -> Story:
    """The engine signs the answer with this change."""

    def changed(answer: Answer) -> Answer:
        change(answer)
        return answer

    return replace(honest(purpose), answer=changed)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_honest_answer_passes_every_check(purpose: Purpose) -> None:
    proven = verify(honest(purpose))
    assert len(proven.checks) == 23
    assert proven.answer["accounts"] == list(ACCOUNTS)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_value_of_an_answer_must_be_of_its_form(purpose: Purpose) -> None:
    for path in values(answer_to(purpose)):
        wrong = [{}, -1] if path[0] == "notice" else [None, {}, -1]
        for value in wrong if path[0] in FREE_TEXT or path[-1] in FREE_TEXT else [*wrong, "x"]:
            made = saying(purpose, partial(put, path=path, value=value))
            assert refused_by(made) == "answer", (path, value)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_no_field_of_an_answer_may_be_missing(purpose: Purpose) -> None:
    for path in values(answer_to(purpose)):
        if isinstance(path[-1], str) and path[-1] != "destination_port":
            made = saying(purpose, partial(drop, path=path))
            assert refused_by(made) == "answer", path


@pytest.mark.parametrize("purpose", PURPOSES)
def test_no_field_of_an_answer_may_be_unknown(purpose: Purpose) -> None:
    for path in {path[:-1] for path in values(answer_to(purpose)) if isinstance(path[-1], str)}:
        made = saying(purpose, partial(put, path=(*path, "also"), value=1))
        assert refused_by(made) == "answer", path


def test_a_record_without_a_port_has_none_in_the_answer() -> None:
    verify(saying("services", lambda answer: answer["services"][0].pop("destination_port")))


def nobody(answer: Answer) -> None:
    for each in answer["resolutions"]:
        each.update(verdict="NONE", candidates=0, accounts=[])
    answer["accounts"] = []


def test_an_answer_that_names_nobody_is_proven_too() -> None:
    proven = verify(replace(saying("resolve", nobody), accounts=()))
    assert proven.answer["accounts"] == []


@pytest.mark.parametrize("most", [0, 1])
def test_candidates_beyond_the_warrants_limit_are_counted_and_not_named(most: int) -> None:
    def with_names(answer: Answer, *named: str) -> Answer:
        resolution(1, verdict="AMBIGUOUS", candidates=2, accounts=list(named))(answer)
        return answer

    made = replace(story("resolve", max_candidates=most), accounts=ACCOUNTS[:1])
    verify(replace(made, answer=with_names))
    named = replace(made, answer=lambda answer: with_names(answer, *ACCOUNTS))
    assert refused_by(named) == "answer"
    assert refused_by(replace(named, accounts=ACCOUNTS)) == "answer"


def test_one_who_may_fit_beside_others_is_counted_and_not_named() -> None:
    def is_open(answer: Answer) -> None:
        resolution(0, verdict="AMBIGUOUS", candidates=1, accounts=[])(answer)

    verify(saying("resolve", is_open))


def without_ports(candidates: int) -> Story:
    """An address asked for without a port, and so many fit."""
    honest_one = honest("resolve")
    (first, *_) = honest_one.warrant.selectors
    assert isinstance(first, AddressSelector)
    asked = (replace(first, port=None),)
    warrant = replace(honest_one.warrant, selectors=asked)
    request = replace(honest_one.request, selectors=asked, warrant_sha256=warrant_sha256(warrant))

    def none_named(answer: Answer) -> Answer:
        del answer["resolutions"][1:]
        resolution(0, verdict="AMBIGUOUS", candidates=candidates, accounts=[])(answer)
        answer["accounts"] = []
        return answer

    return replace(honest_one, warrant=warrant, request=request, answer=none_named, accounts=())


@pytest.mark.parametrize("candidates", [0, 1, 9])
def test_without_a_port_nobody_may_be_known(candidates: int) -> None:
    verify(without_ports(candidates))


def test_an_account_that_is_named_by_a_binding_alone_has_no_record() -> None:
    verify(replace(honest("resolve"), records=(1, 0)))


@pytest.mark.parametrize("verdict", ["HOLDER", "UNIQUE"])
def test_one_candidate_is_unique_or_holds_the_address(verdict: str) -> None:
    verify(saying("resolve", lambda said: said["resolutions"][0].update(verdict=verdict)))


def resolution(number: int, **changes: Any) -> Change:
    return lambda answer: answer["resolutions"][number].update(changes)


RESOLVE: dict[str, Change] = {
    "one candidate is called ambiguous": resolution(0, verdict="AMBIGUOUS"),
    "nobody by a port is called ambiguous": resolution(
        0, verdict="AMBIGUOUS", candidates=0, accounts=[]
    ),
    "a port is left out": resolution(0, port=None),
    "one candidate is called nobody": resolution(0, verdict="NONE"),
    "two candidates are called unique": resolution(1, verdict="UNIQUE"),
    "two candidates are called a holder": resolution(1, verdict="HOLDER"),
    "nobody is called unique": resolution(0, candidates=0, accounts=[]),
    "more are named than fit": resolution(0, accounts=list(ACCOUNTS)),
    "fewer are named than may be": resolution(1, accounts=[ACCOUNTS[0]]),
    "one is named twice": resolution(1, accounts=[ACCOUNTS[0]] * 2),
    "too many fit to be named, and they are": resolution(1, candidates=3),
    "a stranger is named": resolution(0, accounts=["stranger"]),
    "another address": resolution(0, address="198.51.100.201"),
    "another port": resolution(0, port=9),
    "another protocol": resolution(0, protocol=17),
    "another time": resolution(0, at=time_text(HOURS.first)),
    "a wider tolerance": resolution(0, tolerance_seconds=61),
    "an address is left out": lambda answer: answer["resolutions"].pop(),
    "an address is answered twice": lambda answer: answer["resolutions"].append(
        answer["resolutions"][1]
    ),
    "the answers are exchanged": lambda answer: answer["resolutions"].reverse(),
    "the answer lists one fewer": lambda answer: answer.update(accounts=[ACCOUNTS[0]]),
}


@pytest.mark.parametrize("attack", RESOLVE)
def test_it_refuses_a_resolution_when(attack: str) -> None:
    assert refused_by(saying("resolve", RESOLVE[attack])) == "answer"


def reach(number: int, **changes: Any) -> Change:
    return lambda answer: answer["reached"][number].update(changes)


def untimed(number: int, **changes: Any) -> Change:
    def change(answer: Answer) -> None:
        row = answer["reached"][number]
        row.pop("first")
        row.pop("last")
        row.update(changes)

    return change


def state(number: int, coverage: str) -> Change:
    return lambda answer: answer["hours"][number].update(coverage=coverage)


BEFORE = time_text(HOURS.first - timedelta(seconds=1))
TIMES = {"first": time_text(HOURS.first), "last": time_text(HOURS.first)}

REACHED: dict[str, Change] = {
    "records are called no": reach(0, verdict="NO"),
    "no record is called yes": reach(1, verdict="YES", **TIMES),
    "a yes has no times": untimed(0),
    "a yes has one time": lambda answer: answer["reached"][0].pop("last"),
    "a yes has no records": reach(0, records=0),
    "a no has times": reach(1, **TIMES),
    "a no has records": reach(1, records=1),
    "it was reached before the target's time": reach(0, first=BEFORE),
    "it was reached when the target's time was over": reach(0, last=time_text(HOURS.end)),
    "it was last reached before it was first": reach(0, last=time_text(HOURS.first),
                                                     first=time_text(HOURS.first + HOUR)),
    "an unsealed hour is passed over": state(0, "UNSEALED"),
    "an incomplete hour is passed over": state(1, "INCOMPLETE"),
    "nothing is known, though every hour is complete": reach(1, verdict="UNKNOWN"),
    "another network": reach(1, cidr="2001:db8::/65"),
    "another account": reach(1, account=ACCOUNTS[1]),
    "a shorter time": reach(1, to=time_text(HOURS.first + HOUR)),
    "a network is left out": lambda answer: answer["reached"].pop(),
    "the answers are exchanged": lambda answer: answer["reached"].reverse(),
}  # fmt: skip


@pytest.mark.parametrize("attack", REACHED)
def test_it_refuses_a_verdict_on_a_network_when(attack: str) -> None:
    assert refused_by(saying("reached", REACHED[attack])) == "answer"


@pytest.mark.parametrize("coverage", ["UNSEALED", "INCOMPLETE"])
def test_it_takes_unknown_where_an_hour_is_not_complete(coverage: str) -> None:
    def unknown(answer: Answer) -> None:
        state(1, coverage)(answer)
        for row in answer["reached"]:
            row.update(verdict="YES" if row["records"] else "UNKNOWN")

    verify(saying("reached", unknown))


SERVICES: dict[str, Change] = {
    "the destinations do not add up": lambda answer: answer["services"][0].update(records=2),
    "the services do not add up": lambda answer: answer["by_service"].pop(),
    "the total is another": lambda answer: answer.update(records=4),
    "it was last used before it was first": lambda answer: answer["services"][0].update(
        last=BEFORE
    ),
}


@pytest.mark.parametrize("attack", SERVICES)
def test_it_refuses_a_report_when(attack: str) -> None:
    assert refused_by(saying("services", SERVICES[attack])) == "answer"


def test_it_refuses_a_disclosure_that_names_more_than_were_opened() -> None:
    assert refused_by(replace(honest("resolve"), opened=1)) == "disclosure"


@pytest.mark.parametrize(
    ("purpose", "records"),
    [("services", (2, 1)), ("services", (3, 1)), ("reached", (1, 2))],
)
def test_it_refuses_counts_of_records_that_the_answer_does_not_bear_out(
    purpose: Purpose, records: tuple[int, ...]
) -> None:
    assert refused_by(replace(honest(purpose), records=records)) == "answer"


def test_more_records_may_be_opened_than_reached_a_network() -> None:
    verify(replace(honest("reached"), records=(9, 2)))


# The epochs are those that both keepers committed to, by (hour, eid).


def epochs(answer: Answer, number: int = 0) -> Any:
    return answer["hours"][number]["epochs"]


EPOCHS: dict[str, Change] = {
    "one is left out": lambda answer: epochs(answer).pop(),
    "one is added": lambda answer: epochs(answer).append(genuine.epochs(HOURS.end)[0]),
    "one stands twice": lambda answer: epochs(answer).append(epochs(answer)[-1]),
    "one has another statement": lambda answer: epochs(answer)[0].update(
        statement_sha256="00" * 32
    ),
    "one is another": lambda answer: epochs(answer)[0].update(eid="00" * 16),
    "they are out of order": lambda answer: epochs(answer).reverse(),
    "a complete hour has none": lambda answer: call_the_next_hours(answer),
}


def call_the_next_hours(answer: Answer) -> None:
    """Their order, and so what the commits hash, stays what it was."""
    epochs(answer, 1)[:0] = epochs(answer)
    epochs(answer).clear()


@pytest.mark.parametrize("attack", EPOCHS)
@pytest.mark.parametrize("coverage", ["COMPLETE", "UNSEALED"])
def test_it_refuses_epochs_when(attack: str, coverage: str) -> None:
    def changed(answer: Answer) -> None:
        EPOCHS[attack](answer)
        state(1, coverage)(answer)

    assert refused_by(saying("services", changed)) == "coverage"


def only_oversight_differs(role: str, step: str, said: dict[str, Any]) -> dict[str, Any]:
    differs = (role, step) == ("oversight", "commit")
    return {**said, "epochs_sha256": "00" * 32} if differs else said


@pytest.mark.parametrize(("coverage", "check"), [("COMPLETE", "coverage"), ("UNSEALED", "coverage"),
                                                 ("INCOMPLETE", "")])  # fmt: skip
def test_keepers_may_differ_only_where_an_hour_is_incomplete(coverage: str, check: str) -> None:
    made = replace(saying("services", state(0, coverage)), private=only_oversight_differs)
    if check:
        assert refused_by(made) == check
    else:
        verify(made)


# Where in an answer something is.

Path = tuple[str | int, ...]
FREE_TEXT = ("limits", "notice", "service")


def answer_to(purpose: Purpose) -> Answer:
    return verify(honest(purpose)).answer


def values(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value that holds no other."""
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from values(each, (*path, key))
    else:
        yield path


def at(answer: Answer, path: Path) -> Any:
    found: Any = answer
    for key in path:
        found = found[key]
    return found


def put(answer: Answer, path: Path, value: Any) -> None:
    at(answer, path[:-1])[path[-1]] = value


def drop(answer: Answer, path: Path) -> None:
    del at(answer, path[:-1])[path[-1]]
