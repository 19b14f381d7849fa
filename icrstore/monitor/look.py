"""One look at both logs of a tenant: what is new, what is wrong, what is owed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from icrstore.monitor.reading import Fetch, NotProven, read_new, source_of
from icrstore.monitor.state import LogState, State
from icrstore.monitor.tally import DEBTS, Tally, debts
from icrstore.seal.epoch import Role
from icrstore.tlog.follow import Forked
from icrstore.warrant.strict import time_text
from icrstore.warrant.trust import Trust

# A log is copied and cosigned anew every hour, also where nothing was added.
OLD = timedelta(hours=2)
SKEW = timedelta(seconds=120)


class Away(Exception):
    """The server could not be reached, or has no time; the message says why."""


@dataclass(frozen=True)
class SeenLog:
    """One log that held."""

    role: Role
    origin: str
    size: int
    new: int
    cosigned_at: datetime

    def to_object(self) -> dict[str, Any]:
        return {
            "keeper": self.role,
            "origin": self.origin,
            "size": self.size,
            "new": self.new,
            "cosigned_at": time_text(self.cosigned_at),
        }


@dataclass(frozen=True)
class Look:
    """``state`` is what to remember: of a log that did not hold or was away, what was seen before.
    ``forks`` are the logs that convicted themselves."""

    logs: tuple[SeenLog, ...]
    faults: tuple[str, ...]
    explained: tuple[str, ...]
    away: tuple[str, ...]
    forks: tuple[Forked, ...]
    state: State

    def to_object(self) -> dict[str, Any]:
        return {
            "logs": [log.to_object() for log in self.logs],
            "faults": list(self.faults),
            "explained": list(self.explained),
            "away": list(self.away),
        }


def look(
    fetch: Fetch, trust: Trust, origins: Sequence[str], state: State, now: datetime, *, accept: bool
) -> Look:
    """Read what is new in each log and count. With ``accept`` the debts of today are explained:
    from now on only what is more is a fault."""
    logs, faults, away, forks = [], [], [], []
    state = dict(state)
    for origin in origins:
        try:
            seen, state[origin] = _follow(fetch, trust, origin, state.get(origin), now)
            logs.append(seen)
        except NotProven as error:
            faults.append(f"{origin}: {error}")
            if isinstance(error.__cause__, Forked):
                forks.append(error.__cause__)
        except Away as error:
            away.append(f"{origin}: {error}")
    faults += [line for log in logs for line in _old(log, now)]
    explained: list[str] = []
    for log in logs:
        owed = debts(state[log.origin].tally, _other(log, logs, state), now)
        excused = owed if accept else _still(state[log.origin].explained, owed)
        state[log.origin] = replace(state[log.origin], explained=excused)
        faults += _lines(log, Counter(owed) - Counter(excused))
        explained += _lines(log, excused)
    return Look(tuple(logs), tuple(faults), tuple(explained), tuple(away), tuple(forks), state)


def _follow(
    fetch: Fetch, trust: Trust, origin: str, before: LogState | None, now: datetime
) -> tuple[SeenLog, LogState]:
    role, source = source_of(fetch, trust, origin)
    followed, leaves = read_new(source, before.seen if before else None)
    tally = (before.tally if before else Tally()).grown(leaves, now)
    cosigned_at = datetime.fromtimestamp(followed.cosigned_at, UTC)
    size = followed.seen.checkpoint.size
    seen = SeenLog(role, origin, size, len(leaves), cosigned_at)
    return seen, LogState(followed.seen, tally, before.explained if before else {})


def _old(log: SeenLog, now: datetime) -> Iterator[str]:
    at = f"{log.cosigned_at:%Y-%m-%d %H:%M} UTC"
    if log.cosigned_at < now - OLD:
        yield f"{log.origin}: cosigned last at {at}: later leaves are missing"
    if log.cosigned_at > now + SKEW:
        yield f"{log.origin}: cosigned at {at}, which is to come: compare the clocks"


def _other(log: SeenLog, logs: Sequence[SeenLog], state: State) -> Tally | None:
    """The log of the other role, if it held too."""
    others = [state[one.origin].tally for one in logs if one.role != log.role]
    return others[0] if others else None


def _still(explained: Mapping[str, int], owed: Mapping[str, int]) -> dict[str, int]:
    """What was paid since stands for nothing any more."""
    return dict(Counter(explained) & Counter(owed))


def _lines(log: SeenLog, found: Mapping[str, int]) -> list[str]:
    return [f"{log.origin}: {count} {DEBTS[kind]}" for kind, count in found.items()]
