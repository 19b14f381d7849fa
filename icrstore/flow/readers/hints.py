"""What an input does not say of itself and its owner has to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from .exports.templates import Templates
from .maps import Map, own

_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


def zone_named(name: str) -> tzinfo:
    """A zone of the IANA database, or an offset as +01:00; ValueError if there is none such."""
    if match := _OFFSET.fullmatch(name):
        hours, minutes = int(match[2]), int(match[3])
        return timezone((-1 if match[1] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is no zone: name one as Europe/London or +01:00") from None


@dataclass(frozen=True)
class Hints:
    """``zone``: of times that are written without an offset; without it they are refused.

    ``now``: of times without a year, the year is the one in which they lie closest before this
    (at most a day after it); without it they are refused. ``map``: how CSV and lines of JSON are
    written that are not icrstore's own. ``columns``: which of the input's columns is which element
    (element name to column name), where it is another than the map says. ``templates``: of exports
    read before, which those read with the same hints add to.
    """

    zone: tzinfo | None = None
    now: datetime | None = None
    map: Map | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    templates: Templates = field(default_factory=Templates)

    @property
    def is_mapped(self) -> bool:
        """Whether the input is said to be written by other names than ours."""
        return self.map is not None or bool(self.columns)

    def mapping(self) -> Map:
        """The map to read by."""
        map = self.map or own()
        return map.renamed(self.columns) if self.columns else map
