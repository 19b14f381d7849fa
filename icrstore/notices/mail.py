"""How a message leaves: by SMTP, or into a folder of files where there is no mail server.

A message has an id of its own, so that one which is sent again after a crash is the same message:
the folder then holds it once, and a mail reader shows it once.
"""

import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from icrstore.keeper.files import write_whole

TIMEOUT_SECONDS = 10.0


class NotSent(Exception):
    """The message is not known to have left; sending it again is right. ``code`` is stable."""

    code = "not-sent"


class Unreachable(NotSent):
    """No mail server took the connection to its end: no other message would leave now either."""

    code = "mail-unreachable"


class Refused(NotSent):
    """The mail server refused this message."""

    code = "mail-refused"


@dataclass(frozen=True)
class Message:
    id: str
    to: str
    subject: str
    body: str


class Mail(Protocol):
    """``channel`` is its name in a notice. `send` returns once the message has left for good."""

    @property
    def channel(self) -> str: ...

    def send(self, message: Message, now: datetime) -> None:
        """Raises `NotSent`."""


@dataclass(frozen=True)
class Outbox:
    """A folder of ``.eml`` files. Who can read it reads what subscribers are told."""

    folder: Path
    sender: str

    @property
    def channel(self) -> str:
        return "outbox"

    def send(self, message: Message, now: datetime) -> None:
        try:
            write_whole(self.folder / f"{message.id}.eml", _written(message, self.sender, now))
        except OSError:
            raise Unreachable from None


@dataclass(frozen=True)
class Smtp:
    """A mail server; with ``starttls`` nothing is said to one whose certificate does not hold."""

    host: str
    port: int
    sender: str
    starttls: bool

    @property
    def channel(self) -> str:
        return "email"

    def send(self, message: Message, now: datetime) -> None:
        content = _written(message, self.sender, now)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS) as server:
                if self.starttls:
                    server.starttls(context=ssl.create_default_context())
                server.sendmail(self.sender, [message.to], content)
        except smtplib.SMTPServerDisconnected:
            raise Unreachable from None
        except (
            smtplib.SMTPRecipientsRefused,
            smtplib.SMTPSenderRefused,
            smtplib.SMTPDataError,
        ):
            # Not chained: the library's errors repeat the addresses.
            raise Refused from None
        except (smtplib.SMTPException, OSError):
            raise Unreachable from None


def _written(message: Message, sender: str, now: datetime) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"] = sender, message.to
    made["Subject"] = message.subject
    made["Date"] = format_datetime(now)
    made["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.body)
    return made.as_bytes()
