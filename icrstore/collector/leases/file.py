"""A file of leases, read once or again whenever it has changed."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO

from icrstore.collector.leases import dhcp
from icrstore.collector.leases.columns import COLUMNS, read_csv
from icrstore.collector.leases.log import SECOND, Log
from icrstore.collector.leases.radius import ACCOUNT, Radius
from icrstore.collector.leases.table import Leases, of_sessions
from icrstore.flow.readers.lines import LONGEST_LINE_BYTES
from icrstore.shell.stop import DATA, NO_INPUT, USAGE, Stop

# Records come two days late at most, and a log is rotated by the day.
_KEPT_NANOSECONDS = 4 * 86_400 * SECOND
# A busy log changes all the time: where that costs more than this, to read it on takes at most a
# tenth of the time.
CHEAP_NANOSECONDS = SECOND // 10
_RESTS = 9
_HEAD_BYTES = 1 << 16

# Asked in this order; what none knows is CSV.
_KINDS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("kea", re.compile(rb"address,(hwaddr|duid),")),
    ("isc", re.compile(rb"^\s*(lease \S+|ia-(na|ta|pd) .*) \{\s*$|^authoring-byte-order ", re.M)),
    ("dnsmasq", re.compile(rb"(\d+ \S+ \S+ \S+ \S+|duid \S+)\n")),
    ("radius", re.compile(rb"^\s*Acct-Status-Type\s*[:+]?=", re.M)),
)
# What is appended to, so that it is read on.
_JOURNALS = ("radius", "isc", "kea")


class LeaseFile:
    """One path; ``account`` is the field of its entries that names the account, ``zone`` that of
    times which are written without one.

    A log that is followed (`current`) is kept open until `close`, so that what was written last
    before it was renamed is read, too.

    ``settle_seconds``: how long after it happened a lease may come to be written. Whoever follows
    the file knows nothing of the time since then, so that a record is never named too early.
    """

    def __init__(
        self, path: Path, account: str | None = None, zone: tzinfo | None = None,
        settle_seconds: float = 0,
    ) -> None:  # fmt: skip
        self._path, self._account, self._zone = path, account, zone
        self._settle = round(settle_seconds * SECOND)
        self._log: Log | None = None
        self._open: BinaryIO | None = None
        self._seen: tuple[int | None, ...] = ()
        self._read_to = self._looked = self._cost = 0
        self._leases: Leases | None = None

    def read(self) -> Leases:
        """Known until the file was written last. Raises `Stop`, naming lines and no account."""
        try:
            return self._known_until(self._load(0).st_mtime_ns)
        finally:
            self.close()

    def current(self, clock: Callable[[], float] = time.time) -> Leases:
        """Read again if the file has changed. A log is known until now, less the time to settle; a
        CSV until it was written, since nobody knows when the next is.

        Raises `Stop` as `read` does; then what was known before is in ``last``.
        """
        # Before the look at the file: what is written since is not known yet.
        now = round(clock() * SECOND)
        if self._leases and 0 <= now - self._looked < self._cost * _RESTS:
            return self._leases
        written = self._load(now).st_mtime_ns
        if self._log is None:
            # A clock that was ahead as it was written makes nothing known that is still to come.
            return self._known_until(min(written, now))
        self._log.forget(now - _KEPT_NANOSECONDS)
        return self._known_until(now - self._settle)

    def close(self) -> None:
        """Follow it no more."""
        if self._open:
            self._open.close()
            self._open, self._read_to = None, 0

    @property
    def last(self) -> Leases | None:
        """What the last look that succeeded gave."""
        return self._leases

    def _known_until(self, until: int) -> Leases:
        assert self._leases is not None
        if self._leases.until != until:
            self._leases = replace(self._leases, until=until)
        return self._leases

    def _load(self, now: int) -> os.stat_result:
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                left = self._left_bytes(stat)
                seen = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, left)
                if seen != self._seen:
                    began = time.monotonic_ns()
                    self._leases = self._read(file, stat)
                    self._seen, self._looked = seen, now
                    cost = time.monotonic_ns() - began
                    self._cost = cost if cost > CHEAP_NANOSECONDS else 0
                return stat
        except OSError as error:
            why = f"{self._path}: {error.strerror}: name a file of leases"
            raise Stop(NO_INPUT, why) from None

    def _read(self, file: BinaryIO, stat: os.stat_result) -> Leases:
        is_left = self._left_bytes(stat) is not None
        has_more = is_left and self._drain()
        if self._log and self._leases and not stat.st_size:
            # Just rotated: the first entry is still to come, and others may to the one before.
            if not is_left:
                self._read_to = 0
            return self._of(self._log, "rotated", stat.st_mtime_ns) if has_more else self._leases
        if is_left:
            self.close()
        kind = _kind(file.read(_HEAD_BYTES))
        file.seek(0)
        if kind is None:
            if self._account is not None:
                why = f"a CSV's column {COLUMNS[1]} names it: leave out --lease-account"
                raise Stop(USAGE, f"{self._path}: {why}")
            return read_csv(self._path, file, stat.st_mtime_ns)
        log = self._log = self._log or self._made(kind)
        # What was appended is read on; a file that is another, or shorter, is read whole.
        is_same = self._seen[:2] == (stat.st_dev, stat.st_ino) and kind in _JOURNALS
        start = self._read_to if is_same and self._read_to <= stat.st_size else 0
        self._read_to = start + _feed(log, file, start, stat.st_mtime_ns)
        if kind in _JOURNALS:
            self._keep_open(file)
        return self._of(log, kind, stat.st_mtime_ns)

    def _keep_open(self, file: BinaryIO) -> None:
        """The log that is followed, which may be renamed, compressed or deleted."""
        self._open = self._open or os.fdopen(os.dup(file.fileno()), "rb")

    def _left_bytes(self, stat: os.stat_result) -> int | None:
        """How large the log is that was followed, if it is not the file there any more."""
        old = os.fstat(self._open.fileno()) if self._open else stat
        return None if os.path.samestat(old, stat) else old.st_size

    def _drain(self) -> bool:
        """Read what was left to its end; whether there was more, which is in no other file."""
        assert self._log
        assert self._open
        count = _feed(self._log, self._open, self._read_to, 0)
        self._read_to += count
        return count > 0

    def _made(self, kind: str) -> Log:
        if kind == "radius":
            return Radius(self._account, self._zone)
        if self._account not in dhcp.FIELDS:
            why = "say by --lease-account what names the account in a DHCP server's leases"
            raise Stop(USAGE, f"{self._path}: {why}: {', '.join(dhcp.FIELDS)}")
        if kind == "isc":
            return dhcp.Isc(self._account, self._zone)
        return dhcp.Kea(self._account) if kind == "kea" else dhcp.Dnsmasq(self._account)

    def _of(self, log: Log, kind: str, until: int) -> Leases:
        sessions = log.sessions()
        notes = tuple(f"{count} {what}" for what, count in sorted(log.noticed.items()))
        if not any(each.account is not None for each in sessions):
            more = f" ({', '.join(notes)})" if notes else ""
            field = self._account or ACCOUNT
            why = f"{self._path}: {kind}: no lease with an account by {field}{more}"
            raise Stop(DATA, f"{why}: say by --lease-account what names it")
        return of_sessions(sessions, until, notes)


def _kind(head: bytes) -> str | None:
    for name, known in _KINDS:
        found = known.match(head) if name in ("kea", "dnsmasq") else known.search(head)
        if found:
            return name
    return None


def _feed(log: Log, file: BinaryIO, start: int, written: int) -> int:
    """Feed the whole lines from ``start`` on; how many bytes they have."""
    lines = _Lines(file, start)
    log.feed(lines, written)
    return lines.size


class _Lines:
    """Whole lines of a file from a byte on: one that is still being written waits."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        file.seek(start)
        self._file = file
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE_BYTES:
                return
            self.size += len(line)
            yield line.decode("utf-8", "replace")
