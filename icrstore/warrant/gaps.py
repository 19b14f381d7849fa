"""A gap: a stretch of time of which records are known to be missing, and why.

A collector tells it in a batch (`icrstore.flow.gaps`), and a sealer host repeats it in the receipt.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from icrstore.warrant.strict import Fields, StatementError, time_text

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
