"""Who put a question, and how many they may put in a day."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from icrstore.keeper.store import Connection


@dataclass(frozen=True)
class Asker:
    """Whose budget a question counts in: ``kind`` officer (``name`` is the key) or authority."""

    kind: str
    name: bytes
    day: str


def budgets(tx: Connection, tenant_name: str) -> dict[str, int]:
    """Questions a day by kind of asker, as far as somebody pinned them."""
    return dict(tx.execute("SELECT kind, most FROM budget WHERE tenant = ?", (tenant_name,)))


def set_budget(tx: Connection, tenant_name: str, kind: str, most: int) -> None:
    tx.execute("INSERT OR REPLACE INTO budget VALUES (?, ?, ?)", (tenant_name, kind, most))


def requests_by(tx: Connection, tenant_name: str, asker: Asker) -> int:
    """How many questions of one day count in one budget; what ended unreleased does not."""
    name = (tenant_name, asker.kind, asker.name, asker.day)
    row = tx.execute(
        "SELECT (SELECT count(*) FROM asker WHERE (tenant, kind, name, day) = (?1, ?2, ?3, ?4))"
        # Few end unreleased; to look up the state of every question would make each one slower.
        " - (SELECT count(*) FROM request AS r INDEXED BY request_ended CROSS JOIN asker AS a"
        " ON a.request_sha256 = r.sha256 AND (a.tenant, a.kind, a.name, a.day) = (?1, ?2, ?3, ?4)"
        " WHERE r.tenant = ?1 AND r.committed_at >= unixepoch(?4) AND r.state = 'expired')",
        name,
    ).fetchone()
    return int(row[0])


def askers_of_requests(tx: Connection, tenant_name: str) -> dict[bytes, set[Asker]]:
    """In whose budgets each request of a tenant counts, by its digest."""
    made: dict[bytes, set[Asker]] = defaultdict(set)
    rows = tx.execute(
        "SELECT request_sha256, kind, name, day FROM asker WHERE tenant = ?", (tenant_name,)
    )
    for request_sha256, *asker in rows:
        made[request_sha256].add(Asker(*asker))
    return made


def add_askers(
    tx: Connection, tenant_name: str, request_sha256: bytes, askers: Iterable[Asker]
) -> None:
    tx.executemany(
        "INSERT INTO asker VALUES (?, ?, ?, ?, ?)",
        [(tenant_name, each.kind, each.name, each.day, request_sha256) for each in askers],
    )
