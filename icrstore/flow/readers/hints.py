"""What an input does not say of itself and its owner has to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo


@dataclass(frozen=True)
class Hints:
    """``zone``: of times that are written without an offset; without it they are refused.

    ``now``: of times without a year, the year is the one in which they lie closest before this
    (at most a day after it); without it they are refused. ``columns``: for CSV and NDJSON, which of
    the input's columns is which element (element name to column name).
    """

    zone: tzinfo | None = None
    now: datetime | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
