"""Gaps: stretches of time of which records are known to be missing, and why.

A collector that notices one says so in its next batch, in the Arrow schema's metadata, so that the
gap is sealed, signed and numbered as records are and cannot be taken away unseen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from icrstore.warrant.strict import Fields, StatementError, dump, parse_object, time_text

# What each reason means; nothing else may be said.
WHYS = {
    "exporter-sequence": "an exporter numbered exports that never came",
    "no-template": "exports came before the template that tells how to read them",
    "undecodable": "an input could not be read as what it says it is",
    "input-lost": "a file was truncated or replaced before all of it was read",
    "spool-full": "the spool was full, and what was sent to the collector meanwhile is lost",
    "collector-down": "the collector did not run",
    "clock-wrong": "the collector's clock was wrong, so that times cannot be believed",
}
_KEY = b"icr.gaps"
MOST = 1000
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, order=True)
class Gap:
    """From ``first`` to ``last``, both included and in UTC, records may be missing."""

    first: datetime
    last: datetime
    why: str

    @classmethod
    def read(cls, value: Any, place: str) -> "Gap":
        """From an object of a list. Raises `StatementError`, naming the place."""
        fields = Fields(value, place)
        made = cls(fields.time("from"), fields.time("to"), fields.one_of("why", tuple(WHYS)))
        fields.finish()
        if made.last < made.first:
            raise StatementError("ends-before-it-begins", place)
        return made

    def to_fields(self) -> dict[str, Any]:
        return {"from": time_text(self.first), "to": time_text(self.last), "why": self.why}


def note(gaps: list[Gap], gap: Gap) -> None:
    """Add a gap to a list that stays bounded.

    One that touches the last of its kind makes that longer, and so does one too many.
    """
    for at in range(len(gaps) - 1, -1, -1):
        if gaps[at].why == gap.why:
            touches = gap.first <= gaps[at].last + _SECOND and gaps[at].first <= gap.last + _SECOND
            if touches or len(gaps) >= MOST:
                first, last = min(gap.first, gaps[at].first), max(gap.last, gaps[at].last)
                gaps[at] = Gap(first, last, gap.why)
                return
            break
    gaps.append(gap)


def noting(schema: pa.Schema, gaps: Iterable[Gap]) -> pa.Schema:
    """The schema of a batch that tells of these gaps, in order and each once."""
    told = [gap.to_fields() for gap in sorted(set(gaps))]
    return schema.with_metadata({_KEY: dump({"gaps": told})}) if told else schema


def noted(schema: pa.Schema) -> list[Gap]:
    """The gaps that a batch's schema tells of. Raises `StatementError` if it is not understood."""
    metadata = schema.metadata or {}
    if _KEY not in metadata:
        return []
    fields = Fields(parse_object(metadata[_KEY]))
    gaps = list(fields.items("gaps", Gap.read, least=1))
    fields.finish()
    if len(gaps) > MOST:
        raise StatementError("too-many", "gaps")
    return gaps
