"""What became of an input: how much of it was records, and why the rest was not."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import TooManyLines
from ..gaps import Gap

# Other reasons (a comment, a blank line, a packet that is not IP) are no fault.
MENDS = {
    "ambiguous-line": "more devices than one could have written it: keep their logs apart",
    "ambiguous": "two sessions hold the address at one time: find who lends it twice",
    "bad-account": "an account is text in UTF-8, in quotes",
    "bad-address": "write an IPv4 or IPv6 address, without a name or a prefix",
    "bad-frame": "begin each message with its length (RFC 6587), or end each with a newline",
    "bad-packet": "the packet contradicts itself: nothing of it can be believed",
    "bad-port": "write a port as a whole number",
    "bad-time": "write seconds since 1970, or a time as 2026-01-31T12:00:00Z",
    "capture-damaged": "what follows a length that cannot be is not read: copy the capture again",
    "bad-value": "a field of a record is a text or a number, not a list or an object",
    "duplicate-field": "give each field once",
    "field-missing": "a record has a time, a protocol, a source and a destination",
    "line-before-header": "put Zeek's header lines, from #separator on, before the records",
    "line-too-long": "a line has at most 65,536 bytes",
    "missing-exports": "exports were lost on their way: let the socket hold more of them",
    "missing-records": "exports were lost on their way: let the socket hold more of them",
    "no-template": "read the file with the templates first: icr-collect read templates data",
    "not-a-record": "write one record a line",
    "not-json": "write one JSON object in UTF-8 a line, and nothing after it",
    "not-understood": "log in the device's default format: see deploy/DIALECTS.md",
    "packet-cut-off": "the capture ends inside a packet: copy it again, or once it is finished",
    "packet-without-time": "capture in pcap, or in pcapng with enhanced packet blocks",
    "port-block-too-scattered": "have the translator allot ports that follow one another",
    "port-out-of-range": "ports are 0 to 65535",
    "sampled": "the exporter looks at some packets only and misses connections: let it see all",
    "time-ambiguous": "have the tool print UTC: the zone's clocks show this hour twice",
    "time-missing": "have the device, or a relay, write when: RFC 5424, conntrack -o timestamp",
    "time-in-future": "set the clock of what wrote it",
    "time-without-date": "have tcpdump print the date: tcpdump -tt -n",
    "time-without-year": "have the year written: tcpdump -tt -n, syslog as RFC 5424",
    "time-without-offset": "write times as 2026-01-31T12:00:00Z, or name their zone with --zone",
    "truncated-packet": "capture more of each packet: tcpdump -s 128",
    "truncated-line": "the last line may have gone on: export the file again",
    "undecodable": "it is not the NetFlow v5, v9 or IPFIX that it says it is: record it again",
    "unknown-interface": "the capture names an interface that it has not: copy it again",
    "unknown-link-type": "capture Ethernet, raw IP, PPP, Linux cooked or pf's log: tcpdump -y",
    "unknown-event": 'write nat_event as "create" or "delete"',
    "unknown-field": "a record has the fields that `icr-collect read` prints: leave out any other",
    "unknown-nat-event": "have the exporter use the events of RFC 8158",
    "unknown-protocol": "write the protocol's number, 0 to 255",
    "verdict-missing": "give the rule's log a prefix that says ACCEPT or DROP",
    "wrong-number-of-fields": "a line has as many fields as its header names",
    "wrong-quotes": "a quoted field begins and ends with a quote; one in it is written twice",
}

# Of an input that makes up names, the rest is counted together.
MOST_NAMES = 1000


@dataclass
class Tally:
    """Counts that grow while an input is read: every line ends in one of them.

    `cut_off` is true once the input ended inside a line, a gzip member or an Arrow message, so that
    there was more which nobody will read. A last line without its newline counts as cut off, and as
    no record, unless what it says could not have gone on (see each reader).

    `records` counts connections and NAT events; `events` says how many of them are NAT events.
    `left_out` counts, by the input's own name for it, each value that the input had and a record
    has not: it stays here. `gaps` are stretches of which the input itself tells that something is
    missing (`flow.gaps`). `read_as` says what a capture was taken for, "exports" or "packets".

    `latest_held` is when the last record was observed, in nanoseconds since 1970, that waits for
    leases (`not_records["held"]`).

    `line` is the number of the first line that is being read, 0 where there are no lines, and
    `first_lines` says for each reason where to look. More than `most_lines` of a text are not
    looked at.
    """

    records: int = 0
    events: int = 0
    not_records: Counter[str] = field(default_factory=Counter)
    cut_off: bool = False
    line: int = 0
    first_lines: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)
    latest_held: int = 0
    read_as: str | None = None
    most_lines: int | None = None

    def allow(self, lines: int) -> None:
        """Raises `TooManyLines` if, with so many from `line` on, there are more than there may."""
        if self.most_lines is not None and self.line - 1 + lines > self.most_lines:
            raise TooManyLines(f"a text has at most {self.most_lines} lines: send several")

    def drop(self, reason: str, count: int = 1, at: int | None = None) -> None:
        """Count what is no record under a stable reason, which never quotes the input.

        `at` is how many lines after `line` the first of them is, where that is known.
        """
        if not count:
            return
        self.not_records[reason] += count
        if at is not None and self.line:
            line = self.line + at
            self.first_lines[reason] = min(line, self.first_lines.get(reason, line))

    def leave_out(self, names: Iterable[str], count: int = 1) -> None:
        """Count values that stay here by their names in the input; of names, not without end."""
        for name in names:
            known = name in self.left_out or len(self.left_out) < MOST_NAMES
            self.left_out[name[:64] if known else "other fields"] += count

    def mends(self) -> list[str]:
        """What to do about each reason that is a fault, and where its first line is."""
        return [
            f"line {self.first_lines[reason]}: {reason}: {MENDS[reason]}"
            if reason in self.first_lines
            else f"{reason}: {MENDS[reason]}"
            for reason in sorted(self.not_records)
            if reason in MENDS
        ]

    def withdraw(self, reason: str, count: int) -> None:
        """Count records that were read as such and turn out to be none of ours."""
        self.records -= count
        self.drop(reason, count)

    def cut(self, at: int = 0) -> None:
        """Count a last line that may have gone on."""
        self.drop("truncated-line", at=at)
        self.cut_off = True
