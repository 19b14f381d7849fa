"""What became of an input: how much of it was records, and why the rest was not."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts that grow while an input is read: every line ends in one of them.

    `cut_off` is true once the input ended inside a line, a gzip member or an Arrow message, so that
    there was more which nobody will read. A last line without its newline counts as cut off, and as
    no record, unless what it says could not have gone on (see each reader).
    """

    records: int = 0
    not_records: Counter[str] = field(default_factory=Counter)
    cut_off: bool = False

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what is no record under a stable reason, which never quotes the input."""
        if count:
            self.not_records[reason] += count

    def withdraw(self, reason: str, count: int) -> None:
        """Count records that were read as such and turn out to be none of ours."""
        self.records -= count
        self.drop(reason, count)

    def cut(self) -> None:
        """Count a last line that may have gone on."""
        self.drop("truncated-line")
        self.cut_off = True
