"""What syslog puts before a message: RFC 3164, RFC 5424, and octet counting (RFC 6587).

Of a header only its time is kept. Its host is one word, and what comes next has to be the very
beginning of a message that a dialect knows, its tag included: words that somebody else wrote into
the middle of a message are never taken for one.
"""

import re
from collections.abc import Iterable, Iterator

from ..tally import Tally
from .clock import FRACTION, HEADER_TIME, OFFSET

_PRI = r"(?:<[0-9]{1,3}>)"
_HOST = r"[\w.:-]{0,254}[\w.-] +"
# ASA writes a colon after the time, IOS a mark before it.
_TIMED = rf"[*.]?({HEADER_TIME})({FRACTION})?({OFFSET})?:? +"
HEADER = re.compile(rf"{_PRI}? *(?:1 (?:- +)?)?(?:{_TIMED})?", re.ASCII)
# A relay may put a header of its own before the device's.
RELAYED = re.compile(rf"{_PRI}? *(?:1 )?{_TIMED}{_HOST}(?={_PRI}|{HEADER_TIME})", re.ASCII)
# Whose message it is, in either RFC's way; a host may stand before.
BEFORE = rf"(?:{_HOST})?"
_STRUCTURED = r"(?:-|(?:\[(?:[^\]\\]|\\.){0,1000}\])+)"

# What parts a tag from its message, in either RFC's way.
SAYS = rf"(?:: ?| [!-~]{{1,128}} [!-~]{{1,32}} {_STRUCTURED} +)"


def tagged(names: str) -> str:
    """A pattern for the tag of one of these programs (names are a pattern too)."""
    return (
        rf"(?:(?:{names})(?:\[[0-9]{{1,10}}\])?: *"
        rf"|(?:{names}) [!-~]{{1,128}} [!-~]{{1,32}} {_STRUCTURED} +)"
    )


# A length, a space and a priority.
_LONGEST_COUNT = 11
_COUNTED = re.compile(rb"([1-9][0-9]{0,4}) (?=<[0-9]{1,3}>)")


def is_counted(head: bytes) -> bool:
    """Whether a stream begins with a message's length (RFC 6587, section 3.4.1)."""
    return _COUNTED.match(head) is not None


def uncounted(chunks: Iterable[bytes], tally: Tally) -> Iterator[bytes]:
    """The messages of such a stream, each with a newline at its end, in blocks as they come.

    After a length that is none nothing can be found any more: the rest is counted as one fault.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        messages, start = [], 0
        while match := _COUNTED.match(rest, start):
            end = match.end() + int(match[1])
            if len(rest) < end:
                break
            messages.append(rest[match.end() : end].replace(b"\n", b" ") + b"\n")
            start = end
        rest = rest[start:]
        if messages:
            yield b"".join(messages)
        if match is None and len(rest) > _LONGEST_COUNT:
            tally.drop("bad-frame")
            tally.cut_off = True
            return
    if rest.strip():
        tally.cut()
