"""Maps: which of a tool's columns is which element of a record. They are data, one file a tool.

A map's file is TOML. `columns` names each element's column, or several of which a row has one;
those of `optional` elements may be missing, the others may not. `none` lists the texts by which the
tool says that there is no value. `numbers` is the unit of times that are plain numbers. `events`
says in which column a NAT event is told from a connection, by which texts, and which elements have
another column there. From a line that begins with `trailer` on, there are no more rows. `vectors`
are inputs beside what they must give.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from icrstore.warrant.strict import Fields, StatementError

from ...elements import ELEMENTS, EVENT_ELEMENTS
from ...errors import FormatRefused
from ...schema import UNITS, Unit

_FOLDER = Path(__file__).parent
_RECORD = tuple(element.name for element in ELEMENTS)
_NAMES = frozenset(element.name for element in (*ELEMENTS, *EVENT_ELEMENTS)) - {"nat_event"}
REQUIRED = tuple(element.name for element in ELEMENTS if element.required)
# NAT events may be of a whole address: what both kinds of row have.
_OF_BOTH = ("observed_at", "source_address")

Columns = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Events:
    """Which rows are NAT events; of ``columns`` are the elements that stand elsewhere in them."""

    column: tuple[str, ...]
    create: frozenset[str]
    delete: frozenset[str]
    none: frozenset[str]
    columns: Columns


@dataclass(frozen=True)
class Map:
    """How one tool writes a record. ``is_strict``: a column that is none of ours is refused."""

    name: str
    meaning: str
    columns: Columns
    optional: frozenset[str] = frozenset()
    none: Mapping[str, frozenset[str]] = field(default_factory=dict)
    numbers: Unit = "s"
    separator: str = ","
    trailer: str = ""
    events: Events | None = None
    is_strict: bool = False
    vectors: tuple[Mapping[str, Any], ...] = ()

    def renamed(self, columns: Mapping[str, str]) -> "Map":
        """The map where these elements (element name to column name) stand elsewhere."""
        if unknown := sorted(set(columns) - _NAMES):
            raise FormatRefused(f"{unknown[0][:64]!r} is no element of a record")
        told = {name: (column,) for name, column in columns.items()}
        optional = self.optional - columns.keys()
        made = replace(self, columns={**self.columns, **told}, optional=optional)
        return replace(made, is_strict=False)

    def used(self) -> frozenset[str]:
        """Every column that the map reads; what else an input has stays there."""
        names = [*self.columns.values()]
        if self.events:
            names += [self.events.column, *self.events.columns.values()]
        return frozenset(name for each in names for name in each)

    def missing_from(self, header: Iterable[str]) -> str | None:
        """The column, or columns of which one is needed, that a header lacks."""
        there = set(header)
        for element, names in self.columns.items():
            if element not in self.optional and there.isdisjoint(names):
                return " or ".join(names)
        return None


def own() -> Map:
    """icrstore's own names, as `icr-collect read` prints them."""
    return Map(
        name="icrstore",
        meaning="the element names of a record",
        columns={name: (name,) for name in _RECORD},
        optional=frozenset(_RECORD) - set(REQUIRED),
        none={name: frozenset(("",)) for name in _RECORD},
        is_strict=True,
    )


def names() -> list[str]:
    """The maps that come with icrstore."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Map:
    """A map by its name, or an operator's own by its file. Raises FormatRefused with the mend."""
    known = name in names()
    path = _FOLDER / f"{name}.toml" if known else Path(name)
    if not known and path.suffix != ".toml":
        told = ", ".join(names())
        raise FormatRefused(f"{name!r} is no map: there are {told}, or name a file NAME.toml")
    try:
        return _read(path.stem, tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise FormatRefused(f"{path}: {error.strerror}: name a map's file") from None
    except ValueError as error:
        raise FormatRefused(f"{path}: not TOML ({error})") from None
    except StatementError as error:
        raise FormatRefused(f"{path}: {error}: see {_FOLDER / 'pmacct.toml'}") from None


def _read(name: str, content: Mapping[str, Any]) -> Map:
    fields = Fields(content)
    made = Map(
        name=name,
        meaning=fields.text("meaning", 1000),
        columns=_columns(fields.take("columns"), "columns"),
        optional=_texts(fields, "optional"),
        none=_none(fields.take("none") if fields.has("none") else {}),
        numbers=_unit(fields),
        separator=_separator(fields),
        trailer=fields.text("trailer") if fields.has("trailer") else "",
        events=_events(fields.take("events")) if fields.has("events") else None,
        vectors=tuple(fields.take("vectors")) if fields.has("vectors") else (),
    )
    fields.finish()
    for element in _OF_BOTH if made.events else REQUIRED:
        if element not in made.columns:
            raise StatementError("missing", f"columns.{element}")
    if unknown := sorted((made.optional | made.none.keys()) - _NAMES):
        raise StatementError("unknown", unknown[0])
    return made


def _columns(value: Any, place: str) -> Columns:
    fields = Fields(value, place)
    columns = {}
    for element in sorted(_NAMES & set(value)):
        given = fields.take(element)
        columns[element] = _strings(given if isinstance(given, list) else [given], place)
        if not columns[element]:
            raise StatementError("empty", f"{place}.{element}")
    fields.finish()
    return columns


def _none(value: Any) -> Mapping[str, frozenset[str]]:
    Fields(value, "none")
    return {element: frozenset(_strings(texts, "none")) for element, texts in value.items()}


def _events(value: Any) -> Events:
    fields = Fields(value, "events")
    column = fields.take("column")
    made = Events(
        column=_strings(column if isinstance(column, list) else [column], "events.column"),
        create=_texts(fields, "create"),
        delete=_texts(fields, "delete"),
        none=_texts(fields, "none"),
        columns=_columns(fields.take("columns") if fields.has("columns") else {}, "events.columns"),
    )
    fields.finish()
    return made


def _separator(fields: Fields) -> str:
    told = fields.take("separator") if fields.has("separator") else ","
    if not isinstance(told, str) or len(told) != 1 or not told.isascii() or told in '"\r\n':
        raise StatementError("not-one-character", "separator")
    return told


def _unit(fields: Fields) -> Unit:
    told = fields.one_of("numbers", UNITS) if fields.has("numbers") else "s"
    return next(unit for unit in UNITS if unit == told)


def _texts(fields: Fields, name: str) -> frozenset[str]:
    return frozenset(_strings(fields.take(name), name)) if fields.has(name) else frozenset()


def _strings(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise StatementError("not-text", place)
    return tuple(value)
