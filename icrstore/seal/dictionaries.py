"""The distinct values of columns of records, and each row's value by its number."""

from typing import Any

import numpy as np

# Arrow looks for it with the first array that it is given: here it is read once for all children.
import numpy.ma
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from icrstore.flow.schema import is_there
from icrstore.seal.codes import differs

Numbers = npt.NDArray[Any]
pc: Any = pyarrow.compute  # its stubs refuse calls that are right

# Two truth values side by side, both true.
_BOTH = 0x0101


def dictionary(column: Any) -> tuple[Any, Numbers]:
    """The distinct values by first appearance, and for each row its value's number; null is 0.

    Hashing is three times as fast as sorting, and chunks are not copied together for it.
    """
    encoded = column.dictionary_encode().unify_dictionaries()
    numbers = [
        (pc.fill_null(chunk.indices, 0) if chunk.null_count else chunk.indices).to_numpy()
        for chunk in encoded.chunks
    ]
    return encoded.chunk(0).dictionary, np.concatenate(numbers)


def addresses_of(source: Any, destination: Any, public: Any, account: Numbers) -> tuple[Any, ...]:
    """The distinct addresses of three columns by first appearance in one after the other, and each
    column's numbers. ``account``: each row's, by first appearance.

    Most accounts have one source and one public address, and to compare is three times as fast as
    to hash: only what differs from its account's first row is looked up.
    """
    account = account.astype(np.intp)
    first = np.flatnonzero(differs(np.maximum.accumulate(account)))
    of_source, of_public = (_telling(column, account, first) for column in (source, public))
    values, numbers = dictionary(
        pa.chunked_array([source.take(of_source), destination, public.take(of_public)])
    )
    one, two, three = np.split(numbers, np.cumsum([len(of_source), len(destination)]))
    return (
        values,
        _spread(one, of_source, account, first),
        two,
        _spread(three, of_public, account, first),
    )


def octets(addresses: Any) -> Numbers:
    """An Arrow array of addresses as (k, 16) bytes; whatever lies there where one is null."""
    content = np.frombuffer(
        addresses.buffers()[1], np.uint8, 16 * len(addresses), 16 * addresses.offset
    )
    return content.reshape(-1, 16)


def _telling(column: Any, account: Numbers, first: Numbers) -> Numbers:
    """The rows that must be looked at: each account's first, and those with another address than
    that."""
    whole = octets(column).view("V16").ravel()
    halves = whole[first].take(account).view(np.uint64) == whole.view(np.uint64)
    alike = halves.view(np.uint16) == _BOTH
    if column.null_count:
        there = is_there(column)
        # What lies under a null is no address, not even the same one.
        alike &= there[first].take(account)
        alike |= ~there
    alike[first] = False
    return np.flatnonzero(~alike)


def _spread(numbers: Numbers, rows: Numbers, account: Numbers, first: Numbers) -> Numbers:
    """The numbers of all rows, from those of some."""
    made = numbers.take(np.searchsorted(rows, first)).take(account)
    made[rows] = numbers
    return made
