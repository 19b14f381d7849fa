"""The folder of messages that stands for the subscriber's mailbox, where no mail server is."""

import email
import email.policy
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.telling import WAIT_SECONDS, Untrue

_CODE = re.compile(r"code is (\d{4} \d{4})")


@dataclass(frozen=True)
class Letter:
    to: str
    subject: str
    text: str

    @classmethod
    def read(cls, path: Path) -> "Letter":
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        return cls(message["To"], message["Subject"], str(message.get_content()).strip())

    def code(self) -> str | None:
        """The one-time code, if it brings one."""
        found = _CODE.search(self.text)
        return found[1] if found else None


class Outbox:
    """What comes after it was made is new."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = set(folder.glob("*.eml"))

    def new(self) -> Iterator[Letter]:
        """Each letter once, in the order of their coming."""
        found = set(self._folder.glob("*.eml")) - self._seen
        self._seen |= found
        for path in sorted(found, key=lambda path: path.stat().st_mtime_ns):
            yield Letter.read(path)

    def wait(self, is_wanted: Callable[[Letter], bool]) -> Letter:
        """The next one wanted; others are passed over. Raises Untrue if none comes."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for letter in self.new():
                if is_wanted(letter):
                    return letter
            time.sleep(0.1)
        raise Untrue("the message that was owed did not come")
