"""Millions of records compared one by one: what was written, and what the store truly holds."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from icrstore.seal.account_map import AccountRows
from icrstore.seal.group import (
    HAS_DESTINATION_PORT,
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
)
from tests.faults.stored import opened
from tests.site import Site

Rows = npt.NDArray[np.void]
_NO_PORT = 1 << 16
_BYTES = 8 + 1 + 3 * (16 + 4)
_AT_ONCE = 20


def written(records: pa.Table, account: str) -> Rows:
    """The records of one account, each as its bytes, in order."""
    mine = records.filter(pc.equal(records.column("account"), pa.scalar(account))).combine_chunks()
    columns: list[Any] = [_nanoseconds(mine), np.asarray(mine.column("protocol"))]
    for side in ("source", "destination", "post_nat_source"):
        columns += [_addresses(mine.column(f"{side}_address")), _ports(mine.column(f"{side}_port"))]
    return _rows(columns)


def held(site: Site, accounts: Sequence[str]) -> dict[str, Rows]:
    """The same of what the store holds."""
    found: dict[str, list[Rows]] = {account: [] for account in accounts}
    for start in range(0, len(accounts), _AT_ONCE):
        for account, hour, rows in opened(site, accounts[start : start + _AT_ONCE]):
            found[account].append(_opened(int(hour.timestamp()) * 10**9, rows))
    return {account: _together(rows) for account, rows in found.items()}


def _together(rows: Iterable[Rows]) -> Rows:
    return np.sort(np.concatenate([np.empty(0, f"V{_BYTES}"), *rows]))


def _opened(hour: int, rows: AccountRows) -> Rows:
    def ports(numbers: Any, flag: int) -> Any:
        return np.where((rows.flags & flag) != 0, numbers.astype(np.uint32), np.uint32(_NO_PORT))

    is_translated = (rows.flags & HAS_PUBLIC_ADDRESS) != 0
    return _rows([
        rows.nanoseconds.astype(np.int64) + hour, rows.protocol,
        rows.addresses[rows.source], ports(rows.source_port, HAS_SOURCE_PORT),
        rows.addresses[rows.destination], ports(rows.destination_port, HAS_DESTINATION_PORT),
        np.where(is_translated[:, None], rows.addresses[rows.public], 0),
        ports(rows.public_port, HAS_PUBLIC_PORT),
    ])  # fmt: skip


def _rows(columns: Sequence[Any]) -> Rows:
    time, protocol, *sides = columns
    parts = [time.astype(">i8").view(np.uint8).reshape(-1, 8), protocol.reshape(-1, 1)]
    for address, port in zip(sides[::2], sides[1::2], strict=True):
        parts += [address, port.astype(">u4").view(np.uint8).reshape(-1, 4)]
    joined = np.ascontiguousarray(np.concatenate(parts, axis=1).astype(np.uint8))
    return np.sort(joined.view(f"V{_BYTES}").ravel())


def _nanoseconds(records: pa.Table) -> Any:
    return np.asarray(
        records.column("observed_at").cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
    )


def _addresses(column: Any) -> Any:
    values = pc.fill_null(column, pa.scalar(bytes(16), pa.binary(16))).combine_chunks()
    content = np.frombuffer(values.buffers()[1], np.uint8)
    return content[values.offset * 16 :][: len(values) * 16].reshape(-1, 16)


def _ports(column: Any) -> Any:
    return np.asarray(pc.fill_null(column.cast(pa.uint32()), _NO_PORT))
