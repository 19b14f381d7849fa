"""Gaps: stretches of time of which records are known to be missing, and why.

A collector that notices one says so in its next batch, in the Arrow schema's metadata, so that the
gap is sealed, signed and numbered as records are and cannot be taken away unseen.
"""

from collections.abc import Iterable
from datetime import timedelta

import pyarrow as pa

from icrstore.warrant.gaps import WHYS, Gap
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object

__all__ = ["MOST", "WHYS", "Gap", "note", "noted", "noting"]

_KEY = b"icr.gaps"
MOST = 1000
_SECOND = timedelta(seconds=1)


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
