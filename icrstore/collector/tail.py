"""Follows files that grow, rotate, are truncated, replaced and deleted, and reads each line once.

1. A file that is still what was read of it is read on, under whatever name it now has.
2. One that is not (truncated, or another at its inode), or is gone: the rest of what it was is
   looked for beside it, in a copy or a compressed one, and read from the place. Where there is
   none, lines may be lost: a Gap `input-lost`.
3. A new one is read from its beginning, unless it is a copy of one that is followed.

Only whole lines are taken until nothing more can come.
"""

import io
import secrets
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from icrstore.collector.files import MARK_BYTES, Content, Follow, Key, NotWhole, Place
from icrstore.collector.journal import Journal
from icrstore.collector.reading import Read, Reading
from icrstore.collector.sources import Tail, matches
from icrstore.flow.errors import FlowRefused
from icrstore.flow.gaps import Gap
from icrstore.flow.readers import Tally
from icrstore.seal.encode import prf

# At a time, of all files: what one is ahead by does not keep the others waiting.
_TURN_CHUNKS = 16
# A renamed file may be written until its writer has been told.
QUIET_SECONDS = 60.0
# Where a finished file might still come back under another name, as once it is compressed.
_REMEMBERED_SECONDS = 7 * 86_400
# Nobody writes a file any more that did not change for so long.
_OLD_NANOSECONDS = 86_400 * 10**9
# Of more files than these, those that were read to their end are watched by their size only.
MOST_OPEN = 64

Stat = tuple[str, tuple[int, int]]
Places = dict[str, dict[str, Any]]


@dataclass
class Tailing:
    """One section's files. What `read` gives counts as read once `save` was kept with it; it
    `is_read` while there is no more."""

    name: str
    tail: Tail
    secret: bytes
    reading: Reading
    since: datetime
    follows: list[Follow] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    is_read: bool = False

    @classmethod
    def resume(
        cls, tail: Tail, secret: bytes, journal: Journal, now: datetime,
        left: Places,
    ) -> "Tailing":  # fmt: skip
        """As the journal remembers it, and with those of the places ``left`` that its patterns
        mean, which it takes out. Raises `Stop` for leases that cannot be read."""
        since, name = journal.last_alive() or now, tail.name
        made = cls(name, tail, prf(secret, "tail"), Reading(name, tail.given, journal), since)
        for each, told in journal.recall(f"{name}/").items():
            follow = Follow(each, Place.read(told), None, made.secret)
            follow.is_dirty = False
            made.follows.append(follow)
        for each, told in list(left.items()):
            place = Place.read(told)
            if tail.means(place.path):
                del left[each]
                made.dropped.append(each)
                made._follow(place, None, None)
        return made

    def read(self, now: datetime) -> list[Read]:
        """Some of what is there now, each with its counts; nothing once all is read."""
        self._look(now)
        self.since = now
        made: list[Read] = []
        for follow in list(self.follows):
            while len(made) < _TURN_CHUNKS and (read := self._chunk(follow)):
                made.append(read)
        self.is_read = len(made) < _TURN_CHUNKS
        self._close_idle()
        # Whose turn it was comes last the next time.
        self.follows = self.follows[1:] + self.follows[:1]
        return made

    def _chunk(self, follow: Follow) -> Read | None:
        before, tally = follow.place, Tally()
        try:
            found = follow.lines(self.tail.given.format or "", is_last=self._is_quiet(follow))
            if found is None:
                return None
            header, lines = found
            source = io.BytesIO(header + lines)
            batches = list(self.reading.records(source, tally, self.since))
        except (FlowRefused, pa.ArrowInvalid) as error:
            # Nothing of it is lost: it is offered again until somebody mends the file or config.
            follow.restore(before)
            why = str(error) if isinstance(error, FlowRefused) else "not what its format says"
            follow.problem = f"{before.path}: {why}"
            return None
        except (NotWhole, OSError):
            follow.restore(before)
            follow.problem = (
                f"{before.path}: it cannot be read to its end: damaged, or in the making"
            )
            return None
        follow.problem = None
        # The header was counted when it was read.
        kind = "comment" if header.startswith(b"#") else "header"
        tally.not_records[kind] -= header.count(b"\n")
        return Read(batches, tally)

    def save(self, journal: Journal) -> None:
        """Remember the places, in the step that keeps what was read."""
        for follow in self.follows:
            if follow.is_dirty:
                journal.remember(follow.name, follow.place.to_fields())
        for name in self.dropped:
            journal.remember(name, None)
        for gap in self.gaps:
            journal.note(gap)
        self.reading.save(journal)

    def saved(self) -> None:
        """The step was kept."""
        for follow in self.follows:
            follow.is_dirty = False
        self.reading.saved()
        self.gaps.clear()
        self.dropped.clear()

    def close(self) -> None:
        self.reading.close()
        for follow in self.follows:
            follow.close()

    def places(self) -> list[dict[str, object]]:
        """For people: which files are followed, and how far they were read."""
        return [
            {"file": each.place.path, "read_bytes": each.place.offset, "problem": each.problem}
            for each in self.follows
            if not each.place.is_over
        ]

    def _look(self, now: datetime) -> None:
        found = self._found()
        for follow in list(self.follows):
            if follow.is_living:
                self._check(follow, found.get(follow.place.key), now)
        for key, (path, seen) in found.items():
            if key not in self._living():
                self._adopt(path, seen)
        self._forget()

    def _living(self) -> set[Key]:
        return {each.place.key for each in self.follows if each.is_living}

    def _found(self) -> dict[Key, Stat]:
        found: dict[Key, Stat] = {}
        for path in sorted({path for each in self.tail.patterns for path in matches(each)}):
            with suppress(OSError):  # What is gone between two looks is looked for at the next.
                told = Path(path).stat()
                if stat.S_ISREG(told.st_mode):
                    seen = path, (told.st_size, told.st_mtime_ns)
                    found.setdefault((told.st_dev, told.st_ino), seen)
        return found

    def _check(self, follow: Follow, found: Stat | None, now: datetime) -> None:
        if found and self._is_same(follow, *found):
            follow.move(found[0])
            return
        follow.gone_since = time.monotonic()
        if found or follow.content is None:
            # Truncated, or another file at its inode, or gone while nobody held it open.
            self._seek_rest(follow, now)

    def _is_same(self, follow: Follow, path: str, seen: tuple[int, int]) -> bool:
        """Whether the file there is the one that was read so far."""
        if follow.seen == seen:
            return True
        follow.content = follow.content or _opened(path)
        try:
            if follow.content is None or not follow.place.is_in(follow.content, self.secret):
                return False
        except (NotWhole, OSError):
            return False
        follow.seen = seen
        follow.wake()
        return True

    def _seek_rest(self, follow: Follow, now: datetime) -> None:
        """Go on where the rest of a file is that is not what it was."""
        follow.close()
        if follow.place.is_over:
            return
        folder, living = Path(follow.place.path).parent, self._living()
        for beside in sorted(folder.iterdir() if folder.is_dir() else []):
            path = str(beside)
            content = _opened(path)
            if content and content.key not in living and self._goes_on(follow.place, content):
                place = replace(follow.place, path=path, key=content.key)
                self._follow(place, content, None)
                follow.end()
                return
        if not _was_done(follow):
            self.gaps.append(Gap(min(self.since, now), now, "input-lost"))
        follow.end()

    def _goes_on(self, place: Place, content: Content) -> bool:
        try:
            # One header is as another: of a file of which no more was read this says nothing.
            is_told_apart = place.has_rows or content.key == place.key
            if place.offset and is_told_apart and place.is_in(content, self.secret):
                return True
        except (NotWhole, OSError):
            pass
        content.close()
        return False

    def _adopt(self, path: str, seen: tuple[int, int]) -> None:
        """Read a new file from its beginning, or from where one was read whose copy it is."""
        content = _opened(path)
        if content is None:
            return
        try:
            place = self._place_in(path, content)
            content.read(place.offset if place else 0, 1)
        except (NotWhole, OSError):
            place = None
        if place is None:
            content.close()
            return
        self._follow(place, content, seen)

    def _place_in(self, path: str, content: Content) -> Place | None:
        """Where to begin in a new file; None while it must be left alone. Raises `NotWhole`."""
        for follow in self.follows:
            if not follow.place.has_rows:
                if _is_copy(content, follow):
                    return None
                continue
            if not follow.place.begins(content, self.secret):
                continue
            if not follow.place.is_over:
                # A copy of what is being read, or one in the making.
                if content.is_gzip or content.size < follow.place.offset:
                    return None
                if follow.place.is_in(content, self.secret):
                    return None
            elif follow.place.is_in(content, self.secret):
                self.follows.remove(follow)
                self.dropped.append(follow.name)
                return replace(follow.place, path=path, key=content.key, is_over=False)
        return Place(path, content.key)

    def _follow(self, place: Place, content: Content | None, seen: tuple[int, int] | None) -> None:
        made = Follow(f"{self.name}/{secrets.token_hex(4)}", place, content, self.secret)
        made.seen = seen
        self.follows.append(made)

    def _is_quiet(self, follow: Follow) -> bool:
        """Whether nothing more will be written to a file that is gone by its name."""
        gone = follow.gone_since
        return gone is not None and time.monotonic() - gone >= QUIET_SECONDS

    def _close_idle(self) -> None:
        for follow in self.follows:
            if follow.content and self._is_quiet(follow) and not self._has_more(follow):
                follow.end()
            if follow.is_living and self._is_old(follow) and not self._has_more(follow):
                # Should it grow once more, it wakes; should it be deleted, nothing is missing.
                follow.end()
        opened = [each for each in self.follows if each.content and each.seen and each.is_living]
        opened.sort(key=lambda each: each.seen[1] if each.seen else 0)
        for follow in opened[:-MOST_OPEN]:
            if not self._has_more(follow):
                follow.close()

    def _is_old(self, follow: Follow) -> bool:
        return bool(follow.content and follow.seen) and (
            time.time_ns() - (follow.seen or (0, 0))[1] > _OLD_NANOSECONDS
        )

    def _has_more(self, follow: Follow) -> bool:
        content = follow.content
        if content is None or follow.place.is_over:
            return False
        return content.is_gzip or follow.place.offset < content.size

    def _forget(self) -> None:
        for follow in list(self.follows):
            gone = follow.gone_since
            if gone is not None and time.monotonic() - gone > _REMEMBERED_SECONDS:
                follow.close()
                self.follows.remove(follow)
                self.dropped.append(follow.name)


def left_places(journal: Journal, tails: Iterable[Tail]) -> Places:
    """Places of sections whose patterns were changed since: whose files they are now goes on."""
    names = {tail.name for tail in tails}
    places = journal.recall("tail ").items()
    return {each: told for each, told in places if each.partition("/")[0] not in names}


def _was_done(follow: Follow) -> bool:
    """Whether all was read when it was last seen, and nobody had written it for a while."""
    size, written = follow.seen or (follow.place.offset + 1, 0)
    return size <= follow.place.offset and (time.time_ns() - written > QUIET_SECONDS * 10**9)


def _is_copy(content: Content, follow: Follow) -> bool:
    """Whether a file begins as another does that has rows which were not read yet."""
    if follow.content is None or follow.place.is_over:
        return False
    begun = follow.content.read(0, MARK_BYTES)
    return len(begun) > follow.place.offset and content.read(0, len(begun)) == begun


def _opened(path: str) -> Content | None:
    try:
        return Content(Path(path)) if Path(path).is_file() else None
    except OSError:
        return None
