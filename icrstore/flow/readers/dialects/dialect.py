"""Dialects: what each device writes, as data. One TOML file a dialect, with its test vectors.

``title`` and ``log`` are for people: whose text it is, and what the device has to be told to log.
``marks`` are texts of which every line has one; ``knows`` is a pattern of how a message begins that
is the dialect's even if no shape fits it. Each of ``shape`` is one kind of line:

- ``begins``: a pattern from the message's beginning; its groups are elements, or ``event``
- ``is``: what such a line tells; or ``words``: what each text of ``event`` does (``*``: any other);
  or ``says``: pairs of a pattern and what an ``event`` with it tells, of which the first counts
- ``pairs``: how the fields after that are named (see `pairs`), and ``fields``: which of them is
  which element (of several the first that is there; "a b" is both, with a space between); all but
  the ``optional`` are needed
- ``require``: fields and the value they must have
- ``absent``: texts that say that there is no translation, or no account
- ``unchanged``: true where a translation to the same address and port says that there is none
- ``leaves``: names of what else a line without named fields says, and what stays here

A line tells ``create`` (a session or a translation began), ``delete`` (it ended), ``connection``,
or one of COUNTED. In patterns ``{source_address}`` and its like are groups of the right shape,
``{tag NAMES}`` is a program's tag, ``{says}`` what stands
between a tag and its message, ``{skip}`` a field of a CSV and ``{pairs}`` a key=value.

``vector`` are lines and what must come of them: ``gives`` the elements, or ``reason``.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .clock import TIME
from .header import BEFORE, SAYS, tagged
from .pairs import PAIRS, NotUnderstood, Pairs, plain

_FOLDER = Path(__file__).parent
ROW = (
    "observed_at",
    "event",
    "protocol",
    "source_address",
    "source_port",
    "destination_address",
    "destination_port",
    "post_nat_source_address",
    "post_nat_source_port",
    "port_range_start",
    "port_range_end",
    "account",
)
TOLD = ("create", "delete", "connection")
# What a line may tell that is neither a connection nor a translation.
COUNTED = frozenset(
    {"blocked", "session-end", "interim", "update", "not-a-connection", "verdict-missing"}
)

_ADDRESS = "[0-9A-Fa-f:.]{2,45}"
_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_PORT = "[0-9]{1,5}"
_SHAPES = {
    "observed_at": TIME,
    "protocol": "[A-Za-z0-9-]{1,20}",
    **{name: _ADDRESS for name in ROW if name.endswith("_address")},
    **{name: _PORT for name in ROW if name.endswith("_port") or name.startswith("port_range")},
}
_MACRO = re.compile(r"\{([a-z_]+)(\.v4)?(?: ([^{}]+))?\}")
_SKIP = r'(?:[^,"\n]*|"(?:[^"\n]|"")*"),'
_NAMED = r'(?:[\w.-]{1,64}=(?:"[^"]*"|[^\s"]*) +)'
_PARTS = {"skip": _SKIP, "pairs": _NAMED, "says": SAYS}
# A group that never takes part: what a shape does not say is None.
_NEVER = "(?P<never>(?!))?"

# What an event's text tells is remembered of so many of them.
_MOST_EVENTS = 1000

Row = Sequence[str | None]


@dataclass(frozen=True, eq=False)
class Shape:
    """One kind of line of a dialect."""

    begins: re.Pattern[str]
    places: tuple[int | str, ...]
    tells: dict[str, str]
    says: tuple[tuple[re.Pattern[str], str], ...]
    pairs: Pairs | None
    fields: tuple[tuple[int, tuple[str, ...], bool], ...]
    used: frozenset[str]
    require: tuple[tuple[str, str], ...]
    absent: frozenset[str | None]
    unchanged: bool
    leaves: tuple[str, ...]

    def take(self, line: str, start: int) -> tuple[Row, tuple[str, ...]] | None:
        """(the row, what the line names), or None if the line is of another kind.

        Raises NotUnderstood where it is of this kind, and yet cannot be read.
        """
        match = self.begins.match(line, start)
        if match is None:
            return None
        row: Row = match.group(*self.places)
        if self.pairs is None:
            return row, self.leaves
        named = self.pairs(line, match.end())
        for name, value in self.require:
            if plain(named.get(name, "")) != value:
                return None
        return self._filled(list(row), named), tuple(named)

    def told(self, row: Row) -> str:
        """What the row tells: one of TOLD or of COUNTED. Raises NotUnderstood."""
        event = row[1] or ""
        told = self.tells.get(event)
        if told is None:
            told = next((told for pattern, told in self.says if pattern.search(event)), None)
            if told is None:
                raise NotUnderstood("not-understood")
            if len(self.tells) < _MOST_EVENTS:
                self.tells[event] = told
        return told

    def _filled(self, row: list[str | None], named: dict[str, str]) -> Row:
        for place, names, _ in self.fields:
            for name in names:
                value = named.get(name) if " " not in name else _joined(name, named)
                if value is not None:
                    row[place] = plain(value)
                    break
        return row

    def lacks(self, row: Row) -> bool:
        """Whether a field is not there that such a line has: renamed, perhaps."""
        return any(is_needed and row[place] is None for place, _, is_needed in self.fields)


@dataclass(frozen=True)
class Vector:
    """A line, and what must come of it: elements, or the reason why nothing does."""

    line: str
    gives: Mapping[str, Any] | None
    reason: str | None


@dataclass(frozen=True, eq=False)
class Dialect:
    """What one device or program writes."""

    name: str
    title: str
    log: str
    marks: tuple[str, ...]
    knows: re.Pattern[str]
    shapes: tuple[Shape, ...]
    vectors: tuple[Vector, ...]

    def take(self, line: str, start: int) -> tuple[Shape, Row, tuple[str, ...]] | None:
        """The first shape that fits, its row and its names. Raises NotUnderstood."""
        for shape in self.shapes:
            found = shape.take(line, start)
            if found is not None:
                return shape, *found
        if self.knows.match(line, start):
            raise NotUnderstood("not-understood")
        return None


@cache
def dialects() -> tuple[Dialect, ...]:
    """All of them, read once."""
    return tuple(_dialect(path) for path in sorted(_FOLDER.glob("*.toml")))


@cache
def marked() -> tuple[tuple[str, Dialect], ...]:
    """Each mark, and whose it is."""
    return tuple((mark, dialect) for dialect in dialects() for mark in dialect.marks)


def _dialect(path: Path) -> Dialect:
    data = tomllib.loads(path.read_text("utf-8"))
    try:
        made = Dialect(
            name=path.stem,
            title=data.pop("title"),
            log=data.pop("log"),
            marks=tuple(data.pop("marks")),
            knows=_pattern(data.pop("knows")),
            shapes=tuple(_shape(each) for each in data.pop("shape")),
            vectors=tuple(_vectors(data.pop("vector"))),
        )
    except KeyError as error:
        raise ValueError(f"{path.name}: {error} is missing") from None
    _finish(data, path.name)
    return made


def _shape(data: dict[str, Any]) -> Shape:
    begins = _pattern(data.pop("begins") + _NEVER)
    words = dict(data.pop("words", {}))
    says = [
        *data.pop("says", ()),
        *(["", each] for each in (words.pop("*", None), data.pop("is", None)) if each),
    ]
    told = {*words.values(), *(each for _, each in says)}
    if not told or told - {*TOLD, *COUNTED}:
        raise ValueError(f"a line tells one of {TOLD} or {sorted(COUNTED)}")
    fields = data.pop("fields", {})
    optional = set(data.pop("optional", ()))
    named = {name: _several(value) for name, value in fields.items()}
    require = tuple(data.pop("require", {}).items())
    made = Shape(
        begins=begins,
        places=tuple(name if name in begins.groupindex else "never" for name in ROW),
        tells=words,
        says=tuple((re.compile(pattern), told) for pattern, told in says),
        pairs=PAIRS[data.pop("pairs")] if "pairs" in data else None,
        fields=tuple(
            (ROW.index(name), names, name not in optional) for name, names in named.items()
        ),
        used=frozenset(
            each for names in named.values() for name in names for each in name.split(" ")
        )
        | {name for name, _ in require},
        require=require,
        absent=frozenset(data.pop("absent", ())),
        unchanged=data.pop("unchanged", False),
        leaves=tuple(data.pop("leaves", ())),
    )
    _finish(data, "shape")
    return made


def _vectors(data: list[dict[str, Any]]) -> Iterator[Vector]:
    for each in data:
        yield Vector(each.pop("line"), each.pop("gives", None), each.pop("reason", None))
        _finish(each, "vector")


def _finish(rest: Mapping[str, Any], where: str) -> None:
    if rest:
        raise ValueError(f"{where}: {sorted(rest)} is not known")


def _joined(names: str, named: Mapping[str, str]) -> str | None:
    values = [plain(named.get(name, "")) for name in names.split(" ")]
    return " ".join(values) if all(values) else None


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(BEFORE + f"(?:{_MACRO.sub(_expanded, text)})", re.ASCII)


def _expanded(macro: re.Match[str]) -> str:
    name, is_v4, rest = macro.groups()
    if name == "tag":
        return tagged(rest)
    if name in _PARTS:
        return _PARTS[name]
    shape = _V4 if is_v4 else _SHAPES[name]
    return f"(?P<{name}>{shape})"
