"""The three questions, each under a warrant of its own, and what the count says to the answer."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from deploy.demo.authority import Answered, ask, warrant
from deploy.demo.count import SECOND, Services, plain
from deploy.demo.day import Day
from deploy.demo.telling import Telling, Untrue, say
from icrstore.seal.epoch import HOUR


def resolve(telling: Telling, day: Day) -> Answered:
    """Purpose 1: who held this address and port at this time?"""
    if len(day.moments) > 1:
        say(f"A mail server logged a connection from {day.moments[0][0].address}, which two homes")
        say("share. The second port below was handed on within the minute; the third, to nobody.\n")
    addresses = [word for moment, _ in day.moments for word in ("--address", moment.typed())]
    warrant(telling, "resolve", *addresses)
    answered = ask(telling, "resolve")
    for (moment, verdicts), told in zip(day.moments, answered.answer["resolutions"], strict=True):
        has_port = told["verdict"] != "HOLDER"
        held = day.count.holders(moment, told["tolerance_seconds"], has_port=has_port)
        named = sorted(held) if len(held) == 1 else []
        if told["verdict"] not in verdicts:
            raise Untrue(f"the verdict is {told['verdict']}, not {' or '.join(verdicts)}")
        if (told["candidates"], told["accounts"]) != (len(held), named):
            raise _differs("resolve")
    say(f"DuckDB's own count of the input: {len(day.moments)} of {len(day.moments)} the same.")
    return answered


def services(telling: Telling, day: Day) -> Answered:
    """Purpose 2: which services does this account use?"""
    hours = ("--from", _hour(day.first), "--to", _hour(day.until))
    warrant(telling, "services", "--account", day.account, *hours)
    answered = ask(telling, "services")
    told: Services = Counter()
    for row in answered.answer["services"]:
        place = plain(row["destination_address"]), row["protocol"], row.get("destination_port")
        told[place] += row["records"]
    if told != day.count.services(day.account):
        raise _differs("services")
    _check_complete(answered.answer, day)
    say(f"DuckDB's own count of the input: the same {told.total()} records, line by line, at")
    say(f"{len(told)} destinations. Every hour is COMPLETE.")
    return answered


def reached(telling: Telling, day: Day) -> Answered:
    """Purpose 3: did this account reach these networks? The last question takes in an hour that
    has not ended, and so there is no "no" to it."""
    known = f"{_time(day.first)},{_time(day.until)}"
    targets = (f"{day.inside},{known}", f"{day.outside},{known}", day.outside)
    hours = ("--from", _hour(day.first), "--to", _hour(day.until + HOUR))
    warrant(
        telling, "reached", "--account", day.account, *hours,
        *(word for target in targets for word in ("--target", target)),
    )  # fmt: skip
    answered = ask(telling, "reached")
    _check_complete(answered.answer, day)
    for told in answered.answer["reached"]:
        records, first, last = day.count.reached(day.account, told["cidr"])
        times = tuple(_nanoseconds(told[name]) if name in told else None
                      for name in ("first", "last"))  # fmt: skip
        verdict = "YES" if records else _without_records(answered.answer, told)
        if (told["verdict"], told["records"], times) != (verdict, records, (first, last)):
            raise _differs("reached")
    say("DuckDB's own count of the input: the same records, first and last.")
    return answered


def _without_records(answer: dict[str, Any], told: dict[str, Any]) -> str:
    """NO is said only where nothing is missing."""
    first, end = (datetime.fromisoformat(told[name]) for name in ("from", "to"))
    states = {
        each["coverage"]
        for each in answer["hours"]
        if first < datetime.fromisoformat(each["hour"]) + HOUR
        and datetime.fromisoformat(each["hour"]) < end
    }
    return "NO" if states == {"COMPLETE"} else "UNKNOWN"


def _check_complete(answer: dict[str, Any], day: Day) -> None:
    """Every hour of the day is; raises Untrue."""
    states = Counter(
        each["coverage"]
        for each in answer["hours"]
        if datetime.fromisoformat(each["hour"]) < day.until
    )
    if set(states) != {"COMPLETE"}:
        raise Untrue(f"hours are {dict(states)}")


def _differs(purpose: str) -> Untrue:
    why = "if another version told the story here before, begin afresh: sh deploy/demo.sh --reset"
    return Untrue(f"the answer to {purpose} differs from DuckDB's count of the input; {why}")


def _nanoseconds(told: str) -> int:
    whole, _, fraction = told.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(f"{whole}+00:00") - datetime.fromisoformat("1970-01-01T00Z")
    return seconds // timedelta(seconds=1) * SECOND + int(fraction.ljust(9, "0") or 0)


def _hour(moment: datetime) -> str:
    """As `icr warrant draft --from` takes it."""
    return f"{moment:%Y-%m-%dT%H}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
