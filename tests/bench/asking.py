"""Questions answered in the engine's role, from shares in hand to the answer's fields; run as
``python -m tests.bench.asking``, with DuckDB's answers beside each if there is a file of it.

Without keepers: their lists and shares are made here, from the atoms, before a clock runs. What
counts is what an engine takes beyond its keepers: the reader's probes, proofs, keys, opening,
decoding, coverage and the purpose, to the lines of an answer with their addresses and times as
text. DuckDB makes the same lines; how fast it returns bare rows is measured beside it.

*Meanwhile*: between the keepers' lists and their shares the engine waits, and its second process
reads and checks what is held of the epochs listed. The clock stands then, and how long that took
stands beside.

*Cold* is the first time ever for a target, in a fresh child of this process, as each look of the
engine is one, and with its connection to make; DuckDB's too opens its file anew. Nobody drops the
kernel's cache of pages. *Warm* is again and again in one process with one connection.
"""

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import django

from icrstore.keeper.answers import ListedEpoch, Shares
from icrstore.seal.epoch import ROLES, Role, share
from icrstore.seal.pools import DEFAULT
from icrstore.warrant.statements import HourRange, Request, Warrant
from tests.bench.bulk import KeptEpoch
from tests.bench.measure import peak_bytes
from tests.bench.targets import Asked

Fields = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A question as it stands once both keepers have lent."""

    asked: Asked
    warrant: Warrant
    request: Request
    listed: Mapping[Role, tuple[ListedEpoch, ...]]
    shares: Mapping[Role, Shares]


def main() -> None:
    told = json.load(sys.stdin)
    django.setup()
    kept = [KeptEpoch.of(each) for each in told["epochs"]]
    tenant, repeats = told["tenant"], told["repeats"]
    prepared = [prepare(tenant, Asked.of(each), kept) for each in told["asked"]]
    path = Path(told["duck"]) if told["duck"] else None
    # A worker has read its modules long before it forks.
    import_module("icrstore.query.engine")
    if path:
        import_module("tests.bench.duck")
    print(json.dumps(_measure(tenant, prepared, repeats, path)))


def _measure(
    tenant: str, prepared: Sequence[Prepared], repeats: int, path: Path | None
) -> dict[str, Any]:
    """By question: milliseconds cold and warm of both, and both answers."""
    sides: dict[str, Callable[[], Side]] = {"ours": lambda: Ours(tenant)}
    if path:
        sides["duckdb"] = lambda: Theirs(path)
        sides["duckdb-rows"] = lambda: TheirRows(path)
    made: dict[str, Any] = {one.asked.name: {} for one in prepared}
    for one in prepared:
        for name, side in sides.items():
            made[one.asked.name][name] = {
                "cold": _in_a_child(side, one), "warm": [], "meanwhile": [],
            }  # fmt: skip
    opened = [(name, side()) for name, side in sides.items()]
    for of_purpose in _by_purpose(prepared):
        for number in range(repeats + 1):
            # Round by round, so that what the machine does meanwhile meets both; and all targets of
            # a side together, so that no side finds the processor's caches full of the other's.
            for name, warm in opened if number % 2 else reversed(opened):
                for one in of_purpose:
                    milliseconds, meanwhile, answer = once(warm, one)
                    here = made[one.asked.name][name]
                    if number == 0:
                        here["answer"] = warm.same_shape(one, answer)
                    else:
                        here["warm"].append(milliseconds)
                        here["meanwhile"].append(meanwhile)
    return {"asked": made, "peak_bytes": sum(map(peak_bytes, _processes(opened)))}


def _processes(opened: Iterable[tuple[str, "Side"]]) -> list[str]:
    """This one and the engine's second; what a fork shares counts twice."""
    seconds = [side.second for _, side in opened if isinstance(side, Ours)]
    return ["self", *(str(one.pid) for one in seconds if one.pid)]


def _by_purpose(prepared: Sequence[Prepared]) -> Iterable[list[Prepared]]:
    made: dict[str, list[Prepared]] = {}
    for one in prepared:
        made.setdefault(one.asked.purpose, []).append(one)
    return made.values()


class Side:
    """Who answers. What `prepare` does is not counted, and `wait` stands apart."""

    def prepare(self, one: Prepared) -> None: ...

    def begin(self, one: Prepared) -> None: ...

    def wait(self) -> None: ...

    def answer(self, one: Prepared) -> Any: ...

    def same_shape(self, one: Prepared, answer: Any) -> Any: ...


class Ours(Side):
    def __init__(self, tenant: str) -> None:
        from icrstore.query.second import Second

        self._tenant, self.second = tenant, Second()

    def prepare(self, one: Prepared) -> None:
        """As the engine does before it asks the keepers."""
        self.second.start_for(one.request)

    def begin(self, one: Prepared) -> None:
        """What the engine does between the keepers' lists and their being asked to release."""
        from icrstore.query.coverage import Listed
        from icrstore.query.scope import Scope

        self._listed = Listed(*one.listed.values())
        self._scope = Scope(self._tenant, one.warrant, one.request, self._listed.alike)
        self.second.prepare(self._scope)

    def wait(self) -> None:
        """Until the second process has read what is held, while the keepers release and lend."""
        wire = self.second._wire
        if wire is not None and self.second._prepared is not None:
            wait([wire])

    def answer(self, one: Prepared) -> Fields:
        """What the engine does between the keepers' shares and the disclosure."""
        from icrstore.query import engine

        found, _ = engine.find(self._scope, self._listed, one.shares, (), self.second)
        return found.fields

    def same_shape(self, one: Prepared, answer: Fields) -> Any:
        if one.asked.purpose == "resolve":
            return _same_shape(one, answer["resolutions"][0]["accounts"])
        if one.asked.purpose == "services":
            return _same_shape(one, answer["services"])
        # Where no record is, it must be a "no", of which every hour was proven.
        assert all(each["verdict"] in ("YES", "NO") for each in answer["reached"])
        return _same_shape(one, [each for each in answer["reached"] if each["verdict"] == "YES"])


class Theirs(Side):
    def __init__(self, path: Path) -> None:
        from tests.bench.duck import Duck

        self._duck = Duck(path)

    def prepare(self, one: Prepared) -> None:
        self._duck.prepare(one.asked)

    def answer(self, one: Prepared) -> Any:
        """The lines of an answer, as ours tells them; as ours, without looks for garbage."""
        from icrstore.shell.garbage import uncollected
        from tests.bench.duck import as_told

        with uncollected():
            return as_told(one.asked, self._duck.answer(one.asked))

    def same_shape(self, one: Prepared, answer: Any) -> Any:
        return _same_shape(one, answer)


class TheirRows(Theirs):
    """As DuckDB returns them: addresses as bytes, times as numbers, and no line's fields named."""

    def answer(self, one: Prepared) -> Any:
        from icrstore.shell.garbage import uncollected

        with uncollected():
            return self._duck.answer(one.asked)

    def same_shape(self, one: Prepared, answer: Any) -> Any:
        from tests.bench.duck import same_shape

        return same_shape(one.asked, answer)


def once(side: Side, one: Prepared) -> tuple[float, float, Any]:
    """Milliseconds, those of `Side.wait` apart, and the answer."""
    side.prepare(one)
    clock = time.perf_counter
    began = clock()
    side.begin(one)
    waits = clock()
    side.wait()
    goes_on = clock()
    answer = side.answer(one)
    ended = clock()
    return 1000 * (waits - began + ended - goes_on), 1000 * (goes_on - waits), answer


def _in_a_child(side: Callable[[], Side], one: Prepared) -> float:
    """Milliseconds, its connection included."""
    here, there = multiprocessing.Pipe(duplex=False)

    def ask() -> None:
        began = time.perf_counter()
        made = side()
        opened = time.perf_counter() - began
        there.send(1000 * opened + once(made, one)[0])

    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError("a child could not answer")
    milliseconds: float = here.recv()
    return milliseconds


def prepare(tenant: str, asked: Asked, kept: Sequence[KeptEpoch]) -> Prepared:
    in_scope = [one for one in kept if asked.hours.first <= one.listed.hour < asked.hours.end]
    in_scope.sort(key=lambda one: (one.listed.hour, one.listed.eid))
    listed = tuple(one.listed for one in in_scope)
    names = asked.selector.sealed_names(DEFAULT)
    kind = asked.selector.kind
    shares: dict[Role, Shares] = {
        role: {
            (one.listed.eid, asked.selector): tuple(share(one.atoms[role], kind, n) for n in names)
            for one in in_scope
        }
        for role in ROLES
    }
    both: dict[Role, tuple[ListedEpoch, ...]] = dict.fromkeys(ROLES, listed)
    warrant, request = _papers(tenant, asked)
    return Prepared(asked, warrant, request, both, shares)


def _papers(tenant: str, asked: Asked) -> tuple[Warrant, Request]:
    """As parsed: nobody looks at the signatures on this side of the keepers."""
    now, selectors = asked.hours.end, (asked.selector,)
    scope: HourRange = asked.hours
    warrant = Warrant(
        id="bench", nonce=bytes(16), tenant=tenant, instrument="none", authority="bench",
        purpose=asked.purpose, basis="made-up records", selectors=selectors, targets=asked.targets,
        hours=scope, valid_from=now, valid_to=now + timedelta(days=1), max_requests=1,
        max_candidates=100, recipient_keys=(),
    )  # fmt: skip
    request = Request(
        request_id=bytes(16), warrant_sha256=bytes(32), selectors=selectors, targets=asked.targets,
        hours=(scope,), urgent=False, nonce=bytes(16), created=now,
    )  # fmt: skip
    return warrant, request


def _same_shape(one: Prepared, lines: Sequence[Any]) -> list[Any]:
    """Lines of an answer as `duck.same_shape` has them."""
    if one.asked.purpose == "resolve":
        return list(lines)
    if one.asked.purpose == "reached":
        rows = [
            [each["cidr"], each["records"], _nanoseconds(each["first"]), _nanoseconds(each["last"])]
            for each in lines
        ]
    else:
        rows = [
            [_hex(each["destination_address"]), each["protocol"], each.get("destination_port"),
             each["records"], _nanoseconds(each["first"]), _nanoseconds(each["last"])]
            for each in lines
        ]  # fmt: skip
    return sorted(rows, key=repr)


def _hex(address: str) -> str:
    from icrstore.flow.schema import address_bytes

    return address_bytes(address).hex()


def _nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9 + _fraction(text)


def _fraction(text: str) -> int:
    _, point, rest = text.removesuffix("Z").partition(".")
    return int(rest.ljust(9, "0")) if point else 0


if __name__ == "__main__":
    main()
