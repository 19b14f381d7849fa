"""An answer as people read it: what was found, how far the hours are covered, what it cannot show.

Only what every check of icr-verify has passed is shown, so its form is known.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from icrstore.desk.asking import printable
from icrstore.desk.selectors import address_text, port_text, target_text
from icrstore.seal.epoch import HOUR
from icrstore.verify.icr_verify import Proven

Answer = Mapping[str, Any]

MOST_LINES = 40
_STATES = ("COMPLETE", "INCOMPLETE", "UNSEALED")


def report(proven: Proven) -> Iterator[str]:
    """The lines of a proven answer, whichever its purpose."""
    answer, warrant = proven.answer, proven.warrant
    instrument, authority = printable(warrant["instrument"]), printable(warrant["authority"])
    tenant = printable(answer["tenant"])
    yield f"{answer['purpose']}, under {instrument} of {authority}, from {tenant}"
    if answer["notice"]:
        yield f"NOTE {printable(answer['notice'])}"
    yield ""
    yield from _coverage(answer["hours"])
    yield from _PURPOSES[answer["purpose"]](answer)
    yield ""
    yield "What this cannot show:"
    yield from (f"  - {printable(limit)}" for limit in answer["limits"])


def _coverage(hours: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each state, its hours joined to ranges."""
    by_state: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in hours:
        by_state[each["coverage"]].append(each)
    for state in _STATES:
        if found := by_state[state]:
            ranges = ", ".join(_ranges(datetime.fromisoformat(each["hour"]) for each in found))
            reasons = sorted({printable(why) for each in found for why in each.get("why", ())})
            because = f" ({'; '.join(reasons)})" if reasons else ""
            yield f"{state:11} {len(found)} of {len(hours)} hours: {ranges}{because}"


def _ranges(hours: Iterable[datetime]) -> Iterator[str]:
    first = end = None
    for each in hours:
        if first and end and each != end:
            yield _range(first, end)
            first = None
        first, end = first or each, each + HOUR
    if first and end:
        yield _range(first, end)


def _range(first: datetime, end: datetime) -> str:
    shown = f"{end:%H}" if end.date() == first.date() else f"{end:%Y-%m-%d %H}"
    return f"{first:%Y-%m-%d %H} to {shown} UTC"


# Purpose 1.


def _resolutions(answer: Answer) -> Iterator[str]:
    yield ""
    for each in answer["resolutions"]:
        at = datetime.fromisoformat(each["at"])
        tolerance = timedelta(seconds=each["tolerance_seconds"])
        covered = _covered(answer, at - tolerance, at + tolerance)
        yield f"{each['verdict']:9} {address_text(each)}: {_who(each)}; {covered}"


def _who(each: Mapping[str, Any]) -> str:
    candidates, names = each["candidates"], ", ".join(map(printable, each["accounts"]))
    if each["verdict"] == "UNIQUE":
        return f"one account used this port then: {names}"
    if each["verdict"] == "HOLDER":
        return f"the address, or its block of ports, was one account's then: {names}"
    if each["verdict"] == "NONE":
        return "nobody"
    if each["verdict"] == "UNKNOWN":
        return "cannot say: nobody in these records, and some are missing"
    if candidates == 1:
        return "one account fits, and others of the address may: nobody is named"
    return f"{candidates} accounts fit: {names or 'more than the warrant lets be named'}"


def _covered(answer: Answer, first: datetime, last: datetime) -> str:
    """How far the hours from the one of ``first`` to the one of ``last`` are covered."""
    touched = [
        each["coverage"]
        for each in answer["hours"]
        if (hour := datetime.fromisoformat(each["hour"])) <= last and first < hour + HOUR
    ]
    told = [f"{touched.count(state)} {state}" for state in _STATES if state in touched]
    plural = "hour" if len(touched) == 1 else "hours"
    return f"of {len(touched)} {plural} {', '.join(told)}" if touched else "no hour of it asked for"


# Purpose 2.


def _services(answer: Answer) -> Iterator[str]:
    yield f"records     {answer['records']}, and {answer['collapsed']} equal to one of them"
    for account in answer["accounts"]:
        yield from _account(answer, account)


def _account(answer: Answer, account: str) -> Iterator[str]:
    yield ""
    yield f"account {printable(account)}"
    yield f"  {'service':24} {'records':>10} {'destinations':>13}"
    yield from _capped(answer, "by_service", account, _service)
    yield f"  {'destination':46} {'service':16} {'records':>8}  first to last"
    yield from _capped(answer, "services", account, _destination)


def _capped(
    answer: Answer, table: str, account: str, line: Callable[[Mapping[str, Any]], str]
) -> Iterator[str]:
    """An account's lines of a table, those with the most records, and how many more there are."""
    rows = [each for each in answer[table] if each["account"] == account]
    rows.sort(key=lambda each: -each["records"])
    yield from map(line, rows[:MOST_LINES])
    if len(rows) > MOST_LINES:
        yield f"  and {len(rows) - MOST_LINES} more: all are in answer.json"


def _service(each: Mapping[str, Any]) -> str:
    return f"  {printable(each['service']):24} {each['records']:10} {each['destinations']:13}"


def _destination(each: Mapping[str, Any]) -> str:
    port = port_text(each["protocol"], each.get("destination_port"))
    where = f"{each['destination_address']} {port}"
    seen = f"{each['first']} to {each['last']}"
    return f"  {where:46} {printable(each['service']):16} {each['records']:8}  {seen}"


# Purpose 3.


def _reached(answer: Answer) -> Iterator[str]:
    for account in answer["accounts"]:
        yield ""
        yield f"account {printable(account)}"
        for each in answer["reached"]:
            if each["account"] == account:
                yield f"  {_reach(answer, each)}"


def _reach(answer: Answer, each: Mapping[str, Any]) -> str:
    about = target_text(each)
    if each["verdict"] == "YES":
        return f"YES         {about}: {each['records']} records, {each['first']} to {each['last']}"
    # The time asked about ends just before the target's end.
    first, end = (datetime.fromisoformat(each[name]) for name in ("from", "to"))
    covered = _covered(answer, first, end - timedelta(microseconds=1))
    verdict = "NO         " if each["verdict"] == "NO" else "CANNOT SAY "
    return f"{verdict} {about}: no record; {covered}"


_PURPOSES: Mapping[str, Callable[[Answer], Iterator[str]]] = {
    "resolve": _resolutions,
    "services": _services,
    "reached": _reached,
}
