"""A provider's policies, made on the machine of its root: its address pools, from a table."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from icrstore.seal.pools import Pool
from icrstore.shell.keyfile import read_file
from icrstore.shell.stop import DATA, Stop
from icrstore.warrant.statements import MOST_POOLS, read_pool
from icrstore.warrant.strict import StatementError

COLUMNS = ("cidr", "prefix", "block")
_MENDS = {
    "not-a-network": "write a network and its length, all bits below it zero, as 192.0.2.0/24",
    "not-the-usual-spelling": "write it as RFC 5952 does, and IPv4 as IPv4",
    "out-of-range": "a prefix is not shorter than the network's, a block has 1 to 65536 ports",
    "not-a-power-of-two": "a block has 1, 2, 4, 8 .. or 65536 ports",
    "blocks-need-whole-addresses": "with blocks of ports the prefix is 32, or 128 of IPv6",
    "not-a-number": "write digits alone",
    "wrong-columns": f"write {','.join(COLUMNS)}",
}
_MOST_SHOWN = 10


def read_pools(path: Path) -> tuple[Pool, ...]:
    """The pools of a CSV file whose first line is ``cidr,prefix,block``. Raises `Stop`, which
    names every bad line."""
    try:
        lines = list(csv.reader(StringIO(read_file(path).decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise Stop(DATA, f"{path}: no CSV of UTF-8 text: write {','.join(COLUMNS)}") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise Stop(DATA, f"{path}: line 1: the first line must be {','.join(COLUMNS)}")
    made, wrong = [], []
    for number, row in _filled(lines):
        try:
            made.append(_pool(row))
        except StatementError as error:
            wrong.append(f"line {number}: {error.code}: {_MENDS[error.code]}")
    if len(made) > MOST_POOLS:
        raise Stop(DATA, f"{path}: {len(made)} pools: a policy has at most {MOST_POOLS}")
    if wrong:
        more = f"\n.. and {len(wrong) - _MOST_SHOWN} more" if len(wrong) > _MOST_SHOWN else ""
        shown = "\n".join(f"{path}: {each}" for each in wrong[:_MOST_SHOWN])
        raise Stop(DATA, f"no policy was made\n{shown}{more}")
    return tuple(made)


def _filled(lines: list[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """But for empty lines; numbered as an editor shows them."""
    return ((number, row) for number, row in enumerate(lines[1:], 2) if row)


def _pool(row: list[str]) -> Pool:
    if len(row) != len(COLUMNS):
        raise StatementError("wrong-columns")
    cidr, prefix, block = (value.strip() for value in row)
    if not all(
        value.isascii() and value.isdecimal() and len(value) < 7 for value in (prefix, block)
    ):
        raise StatementError("not-a-number")
    try:
        return read_pool({"cidr": cidr, "prefix": int(prefix), "block": int(block)}, "pool")
    except StatementError as error:
        # What is no text for a statement is no network either.
        code = error.code if error.code in _MENDS else "not-a-network"
        raise StatementError(code) from None
