"""Watching: an oversight body's calls to the store, and what differs from both keepers' logs.

The store's lists come from a database that nobody trusts. The logs are fetched whole and checked
by the trust file, so whoever hides a question or a refusal there is found out here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from icrstore.desk.asking import Desk, printable
from icrstore.desk.logs import ReadLog, read_log
from icrstore.keeper.names import pseudonym_of
from icrstore.monitor.look import OLD
from icrstore.monitor.reading import NotProven
from icrstore.seal.epoch import ROLES, Role
from icrstore.shell.client import not_understood
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import DATA, Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import StatementError, encode_base64, parse_object
from icrstore.warrant.trust import Trust


@dataclass(frozen=True)
class Seen:
    """One of the four lists, whole, with both logs as they were checked, and what differs."""

    lists: Mapping[str, Sequence[Mapping[str, Any]]]
    database: Mapping[str, Any]
    logs: tuple[ReadLog, ...]
    differences: tuple[str, ...]

    def to_object(self) -> dict[str, Any]:
        return {
            **self.lists,
            "database": self.database,
            "logs": [log.to_object() for log in self.logs],
            "differences": list(self.differences),
        }


def check_grant(grant: Envelope, key: KeyFile, now: datetime) -> None:
    """Say here what the store would only call unknown. Raises `Stop`."""
    said = Grant.parse(grant)
    if said.role != "oversight":
        raise Stop(DATA, f"the grant is for role {said.role}: an oversight body's root gives yours")
    if said.key != key.public:
        raise Stop(DATA, "the grant is of another key than --key: give the one that belongs to it")
    if not said.not_before <= now < said.not_after:
        raise Stop(DATA, f"the grant held until {said.not_after:%Y-%m-%d}: have a new one signed")


def watch(desk: Desk, tenant: str, what: str, grant: Envelope, trust: Trust) -> Seen:
    """Read ``what`` (accesses, refusals, notices or gaps) to its last page. Raises `Stop`."""
    header = {"Grant": f":{encode_base64(grant.encode())}:"}
    place = f"/v1/oversight/{quote(tenant, safe='')}/{what}"
    try:
        return _watch(desk, place, what, header, trust)
    except (KeyError, TypeError, ValueError, AttributeError):
        why = "its lists are of another form"
        raise Stop(DATA, f"the server's answer is not understood: {why}") from None


def _watch(desk: Desk, place: str, what: str, header: Mapping[str, str], trust: Trust) -> Seen:
    lists: dict[str, list[dict[str, Any]]] = {name: [] for name in _LISTS[what]}
    page, told = 0, dict[str, Any](more=True)
    while told["more"]:
        page += 1
        told = _object(desk.read(f"{place}?page={page}", header))
        for name, rows in lists.items():
            rows.extend(told[name])
    logs, broken = _logs(desk, trust, told["logs"])
    differences = (*broken, *_differ(what, told["database"], logs), *_old(logs, datetime.now(UTC)))
    return Seen(lists, told["database"], tuple(logs), differences)


_LISTS = {
    "accesses": ("accesses",),
    "refusals": ("refusals",),
    "notices": ("notices",),
    "gaps": ("missing", "unsealed", "late", "told"),
}


def _object(content: bytes) -> dict[str, Any]:
    try:
        return parse_object(content, len(content))
    except StatementError as error:
        raise not_understood(error) from None


def _logs(
    desk: Desk, trust: Trust, named: Sequence[Mapping[str, Any]]
) -> tuple[list[ReadLog], list[str]]:
    """Each log that the store names, once it holds; and a line for each that does not."""
    logs, broken = [], []
    for role in ROLES:
        origins = [str(one["origin"]) for one in named if one["keeper"] == role]
        for origin in origins:
            try:
                logs.append(read_log(lambda path: desk.read(path, {}), trust, role, origin))
            except (NotProven, Stop) as error:
                broken.append(f"the {role} keeper's log {printable(origin)}: {error}")
            broken.extend(_fork(desk, role, origin))
        if not origins:
            broken.append(f"the store has no copy of the {role} keeper's log")
    return logs, broken


def _fork(desk: Desk, role: Role, origin: str) -> Iterator[str]:
    """Whether there is evidence against a log; it holds by itself, and is kept at the store."""
    place = f"/ledger/{role}/{quote(pseudonym_of(origin), safe='')}/fork"
    try:
        desk.read(place, {})
    except Stop:
        return
    yield f"the {role} keeper's log forked: keep {place}, and check it by icr-verify fork"


def _old(logs: Sequence[ReadLog], now: datetime) -> Iterator[str]:
    for log in logs:
        if log.cosigned_at < now - OLD:
            at = f"{log.cosigned_at:%Y-%m-%d %H:%M} UTC"
            yield f"the copy of the {log.role} keeper's log is of {at}: later leaves are missing"


def _differ(what: str, database: Mapping[str, Any], logs: Sequence[ReadLog]) -> Iterator[str]:
    for role in dict.fromkeys(log.role for log in logs):
        of_role = [log for log in logs if log.role == role]
        leaves = {
            kind: sum(log.leaves.get(kind, 0) for log in of_role)
            for kind in ("commit", "refusal", "notice", "epoch")
        }
        leaves["due"] = sum(log.due for log in of_role)
        yield from _RULES[what](role, database, leaves)


def _questions(role: Role, database: Mapping[str, Any], leaves: Mapping[str, int]) -> Iterator[str]:
    """Every question that a keeper took has a commit leaf for each of its selectors."""
    asked, answered = int(database["selectors"]), int(database["selectors_answered"])
    refused = int(database["refusals"][role])
    if leaves["commit"] > asked:
        yield _hidden(role, "commit", leaves["commit"], asked)
    if leaves["commit"] < answered:
        yield _behind(role, "commit", leaves["commit"], answered)
    if leaves["refusal"] > refused:
        yield _hidden(role, "refusal", leaves["refusal"], refused)
    if leaves["refusal"] < refused:
        yield _behind(role, "refusal", leaves["refusal"], refused)


def _notices(role: Role, database: Mapping[str, Any], leaves: Mapping[str, int]) -> Iterator[str]:
    """A debt is a leaf that is due; what was told has a notice leaf."""
    of_role = database["keepers"][role]
    debts, told = int(of_role["debts"]), int(of_role["told"])
    if leaves["due"] < debts:
        yield _behind(role, "due", leaves["due"], debts)
    if leaves["notice"] > told:
        yield _hidden(role, "notice", leaves["notice"], told)
    if leaves["notice"] < told:
        yield _behind(role, "notice", leaves["notice"], told)


def _epochs(role: Role, database: Mapping[str, Any], leaves: Mapping[str, int]) -> Iterator[str]:
    held = int(database["epochs"].get(role, 0))
    if leaves["epoch"] < held:
        yield _behind(role, "epoch", leaves["epoch"], held)


_RULES = {
    "accesses": _questions,
    "refusals": _questions,
    "notices": _notices,
    "gaps": _epochs,
}


def _hidden(role: Role, kind: str, logged: int, shown: int) -> str:
    told = f"the {role} keeper logged {logged} {kind} leaves, the database shows {shown}"
    return f"{told}: some are hidden"


def _behind(role: Role, kind: str, logged: int, shown: int) -> str:
    why = "never logged, or the copy is seconds behind (read again)"
    return f"the database shows {shown} {kind} leaves, the {role} keeper's log has {logged}: {why}"


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of one list under their names, a digest by its beginning."""
    if not rows:
        return ["  none"]
    names = [name for name in rows[0] if name not in ("told",)]
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in cells]  # fmt: skip


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{one['keeper']}: {one['code']}" for one in value) or "-"
    shown = "-" if value is None else printable(value)
    return shown if len(shown) <= 32 else shown[:16]
