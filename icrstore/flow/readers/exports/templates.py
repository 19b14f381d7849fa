"""Templates: how an exporter tells which fields its records have (RFC 3954, RFC 7011 section 3.4).

Anybody who can send a datagram can send templates, so there is a bound to each and to all of them.
"""

import struct
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .messages import FIRST_DATA_SET, V5_RECORDS, V9

MOST_FIELDS = 1024  # of one template: no exporter has a tenth
MOST_FIELDS_OF_ONE = 10_000  # sender
MOST_FIELDS_OF_ALL = 200_000
VARIABLE = 0xFFFF
_ENTERPRISE = 0x8000
_LONG = 255
_PAIR = struct.Struct(">HH")
_TRIPLE = struct.Struct(">HHH")


class BadTemplate(Exception):
    """It cannot be what its exporter meant; the rest of its set is not read."""


class Key(NamedTuple):
    """An element: enterprise number (0: IANA's, and all of NetFlow's) and number.

    NetFlow v9 has no enterprises: its numbers above 32,767 are vendors' own.
    """

    enterprise: int
    number: int


class Place(NamedTuple):
    """Where a field lies: so many bytes after the start of a part of the record.

    A part begins with the record and after each field of variable length. ``length`` is None for
    such a field, which is then at the end of its part.
    """

    part: int
    offset: int
    length: int | None


@dataclass(frozen=True)
class Template:
    """The fields of one kind of record, in order: element and length in bytes."""

    fields: tuple[tuple[Key, int], ...]
    is_options: bool

    @cached_property
    def places(self) -> dict[Key, Place]:
        """Where each element is found; of one that occurs twice, the first. None is empty."""
        places: dict[Key, Place] = {}
        part = offset = 0
        for key, length in self.fields:
            if length:
                size = None if length == VARIABLE else length
                places.setdefault(key, Place(part, offset, size))
            part, offset = (part + 1, 0) if length == VARIABLE else (part, offset + length)
        return places

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """The bytes of fixed length of each part; one alone where no field varies."""
        sizes = [0]
        for _, length in self.fields:
            if length == VARIABLE:
                sizes.append(0)
            else:
                sizes[-1] += length
        return tuple(sizes)

    @cached_property
    def least_bytes(self) -> int:
        """The shortest that a record can be: what is left of a set and shorter is padding."""
        return sum(self.parts) + len(self.parts) - 1

    def records(self, content: bytes) -> "Records":
        """The records of a set."""
        if len(self.parts) == 1:
            count = len(content) // self.least_bytes
            return Records(content[: count * self.least_bytes], count, None, True)
        return self._varying(content)

    def _varying(self, content: bytes) -> "Records":
        """Row by row: where a part begins is known only once the one before it is read."""
        starts: list[int] = []
        count = at = 0
        while len(content) - at >= self.least_bytes:
            row, end = self._row(content, at)
            if end > len(content):
                # A last record that goes on past its set; padding has only zeros.
                return Records(content[:at], count, starts, not any(content[at:]))
            starts += row
            count, at = count + 1, end
        return Records(content[:at], count, starts, True)

    def _row(self, content: bytes, at: int) -> tuple[list[int], int]:
        starts = [at]
        for size in self.parts[:-1]:
            mark = at + size
            length = content[mark] if mark < len(content) else 0
            at = mark + 1 + length
            if length == _LONG:
                at = mark + 3 + int.from_bytes(content[mark + 1 : mark + 3])
            starts.append(at)
        return starts, at + self.parts[-1]


@dataclass(frozen=True)
class Records:
    """Some records of one template: their bytes, how many, where each part of each begins (None:
    one part, one after another), and whether the set ended where a record does."""

    content: bytes
    count: int
    starts: list[int] | None
    is_whole: bool


def of_v5() -> Template:
    """The record of v5, in the elements of v9."""
    fields = ((8, 4), (12, 4), (15, 4), (10, 2), (14, 2), (2, 4), (1, 4), (22, 4), (21, 4), (7, 2))
    rest = ((11, 2), (210, 1), (6, 1), (4, 1), (5, 1), (16, 2), (17, 2), (9, 1), (13, 1), (210, 2))
    return Template(tuple((Key(0, number), size) for number, size in fields + rest), False)


def parse_set(version: int, number: int, content: bytes) -> Iterator[tuple[int, Template | None]]:
    """(template's number, template; None: it is withdrawn). Raises `BadTemplate` at a wrong one."""
    is_options = number in (1, 3)
    at, least = 0, _TRIPLE.size if is_options else _PAIR.size
    while len(content) - at >= _PAIR.size and any(content[at : at + _PAIR.size]):
        name, count = _PAIR.unpack_from(content, at)
        if version != V9 and not count and (name >= FIRST_DATA_SET or name == number):
            yield name, None
            at += _PAIR.size
            continue
        if len(content) - at < least or name < FIRST_DATA_SET:
            raise BadTemplate
        if is_options and version == V9:
            _, scopes, options = _TRIPLE.unpack_from(content, at)
            # Lengths are in bytes there; scopes have numbers of their own, and none is a record's.
            fields, at = _fields(content, at + least, (scopes + options) // 4, version)
        else:
            fields, at = _fields(content, at + least, count, version)
        made = Template(tuple(fields), is_options)
        if not made.least_bytes:
            raise BadTemplate
        yield name, made


def _fields(content: bytes, at: int, count: int, version: int) -> tuple[list[tuple[Key, int]], int]:
    if count > MOST_FIELDS:
        raise BadTemplate
    fields = []
    for _ in range(count):
        if len(content) - at < _PAIR.size:
            raise BadTemplate
        number, length = _PAIR.unpack_from(content, at)
        at += _PAIR.size
        enterprise = 0
        if version != V9 and number & _ENTERPRISE:
            if len(content) - at < 4:
                raise BadTemplate
            enterprise = int.from_bytes(content[at : at + 4])
            number, at = number ^ _ENTERPRISE, at + 4
        fields.append((Key(enterprise, number), length))
    return fields, at


Sender = tuple[str, int, int]  # exporter, version, domain


class Templates:
    """The templates of every sender; of too many senders, those not heard of for the longest are
    forgotten, and one that has too many has to begin anew."""

    def __init__(self) -> None:
        self._held: OrderedDict[Sender, dict[int, Template]] = OrderedDict()
        self._fields: Counter[Sender] = Counter()
        self._total = 0
        self._v5 = of_v5()

    def find(self, sender: Sender, number: int) -> Template | None:
        """The template of a data set."""
        if number == V5_RECORDS:
            return self._v5
        return self._held[sender].get(number) if sender in self._held else None

    def put(self, sender: Sender, number: int, template: Template) -> Template:
        """Remember it. Returns it, or the one that was known already if that says the same."""
        known = self.find(sender, number)
        if known == template:
            self._held.move_to_end(sender)
            return known
        self.withdraw(sender, number)
        if self._fields[sender] + len(template.fields) > MOST_FIELDS_OF_ONE:
            self._forget(sender)
        self._held.setdefault(sender, {})[number] = template
        self._held.move_to_end(sender)
        self._count(sender, len(template.fields))
        while self._total > MOST_FIELDS_OF_ALL:
            self._forget(next(iter(self._held)))
        return template

    def withdraw(self, sender: Sender, number: int) -> None:
        """Forget it; 2 and 3 are all templates, and all of options, of this sender."""
        held = self._held.get(sender, {})
        is_one = number >= FIRST_DATA_SET
        doomed = [number] if is_one else [n for n in held if held[n].is_options == (number == 3)]
        for each in doomed:
            if (template := held.pop(each, None)) is not None:
                self._count(sender, -len(template.fields))
        if not held:
            self._forget(sender)

    def _forget(self, sender: Sender) -> None:
        self._held.pop(sender, None)
        self._total -= self._fields.pop(sender, 0)

    def _count(self, sender: Sender, fields: int) -> None:
        self._fields[sender] += fields
        self._total += fields
