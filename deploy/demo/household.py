"""A day of two homes behind one public address, as a carrier-grade NAT logs it: made up.

After Tim Panton, "The Investigation of Packets" (2015): some 100,000 first packets a day of a
household, most of them DNS, then web traffic to a few large networks, mail over IMAPS, clocks that
ask for the time, phones in the evening and a quiet night. All addresses are from documentation and
test ranges (RFC 5737, 3849, 2544) and from the carrier's own (RFC 6598).

An hour's records depend on that hour alone: who tells the story again an hour later pushes the
same records of the hours before, and they are kept once.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

PUBLIC = "203.0.113.77"
MAIL = "192.0.2.25"
RECORDS = 100_000
TCP, UDP, ICMP = 6, 17, 1

# Connections by hour of the day: people sleep, leave, come home, watch.
_DAY = (2, 1, 1, 1, 1, 2, 5, 8, 6, 5, 4, 4, 5, 4, 4, 5, 7, 9, 11, 12, 12, 10, 7, 4)
_RESOLVERS = ("198.51.100.53", "198.51.100.54")
_SEARCH = tuple(f"198.18.{n}.{h}" for n in range(4) for h in range(10, 60))
_CDN = tuple(f"198.19.{n}.{h}" for n in range(16) for h in range(2, 40))
_SMALL = tuple(f"192.0.2.{h}" for h in range(1, 250))
_CLOCKS = tuple(f"198.51.100.{h}" for h in (123, 124, 125))
_V6 = tuple(f"2001:db8:{n:x}::{h:x}" for n in range(1, 9) for h in range(1, 20))


@dataclass(frozen=True)
class Home:
    """An account, its address inside the carrier's network, those of its phones, its busyness."""

    account: str
    inside: str
    phones: tuple[str, ...]
    records: int


HOUSEHOLD = Home(
    "household-1", "100.64.12.7", tuple(f"2001:db8:51:7::{n}" for n in range(1, 6)), RECORDS
)
NEIGHBOUR = Home("household-2", "100.64.31.20", (), RECORDS // 5)
# Its address is in no lease, so its records are nobody's and stay where they are.
UNLEASED = Home("", "100.64.200.9", (), RECORDS // 1000)


def gateway_log(until: datetime, scale: float = 1.0) -> Iterator[str]:
    """Lines of NDJSON of the 24 hours before ``until`` (an aware whole hour), in time order."""
    for back in range(24, 0, -1):
        hour = until - timedelta(hours=back)
        rng = random.Random(f"2015 {hour:%Y-%m-%dT%H}")  # noqa: S311 - made up, not a secret
        packets = [
            (rng.randrange(3_600_000_000), home)
            for home in (HOUSEHOLD, NEIGHBOUR, UNLEASED)
            for _ in range(_connections(round(scale * home.records), hour.hour))
        ]
        for microseconds, home in sorted(packets, key=lambda packet: packet[0]):
            moment = hour + timedelta(microseconds=microseconds)
            yield f'{{"observed_at":"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",{_packet(rng, home)}}}'


def leases(until: datetime) -> Iterator[str]:
    """Lines of CSV: who held which inside address when; the household's was another's before."""
    moved_in = f"{until - timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
    before = f"{until - timedelta(days=40):%Y-%m-%dT%H:%M:%SZ}"
    yield "address,account,from,to"
    yield f"{HOUSEHOLD.inside},household-0,{before},{moved_in}"
    for home in (HOUSEHOLD, NEIGHBOUR):
        for address in (home.inside, *home.phones):
            yield f"{address},{home.account},{moved_in},"


def _connections(of_day: int, hour: int) -> int:
    """Those of this hour; a day's are exactly as many as asked for."""
    before, after = sum(_DAY[:hour]), sum(_DAY[: hour + 1])
    return of_day * after // sum(_DAY) - of_day * before // sum(_DAY)


def _packet(rng: random.Random, home: Home) -> str:
    kinds = ("dns", "search", "cdn", "small", "v6", "quic", "imaps", "ntp", "ping")
    match rng.choices(kinds, (52, 11, 12, 5, 6, 7, 3, 3, 1))[0]:
        case "dns":
            return _translated(rng, home, UDP, rng.choice(_RESOLVERS), 53)
        case "cdn":
            return _translated(rng, home, TCP, rng.choice(_CDN), rng.choice((443, 443, 443, 80)))
        case "small":
            port = rng.choice((443, 80, 8443, 22))
            return _translated(rng, home, TCP, rng.choice(_SMALL), port)
        case "v6" if home.phones:
            port = rng.randrange(32768, 61000)
            return _record(TCP, rng.choice(home.phones), port, rng.choice(_V6), 443)
        case "quic":
            return _translated(rng, home, UDP, rng.choice(_SEARCH), 443)
        case "imaps" if home is HOUSEHOLD:
            return _translated(rng, home, TCP, MAIL, 993)
        case "ntp":
            return _translated(rng, home, UDP, rng.choice(_CLOCKS), 123)
        case "ping":
            place = f'"source_address":"{home.inside}","destination_address":"{rng.choice(_SMALL)}"'
            return f'"protocol":{ICMP},{place},"post_nat_source_address":"{PUBLIC}"'
        case _:
            return _translated(rng, home, TCP, rng.choice(_SEARCH), 443)


def _translated(rng: random.Random, home: Home, protocol: int, target: str, to: int) -> str:
    """Behind the public address under a port that another home may have a minute later."""
    port, public = rng.randrange(32768, 61000), rng.randrange(1024, 65536)
    nat = f'"post_nat_source_address":"{PUBLIC}","post_nat_source_port":{public}'
    return f"{_record(protocol, home.inside, port, target, to)},{nat}"


def _record(protocol: int, source: str, port: int, target: str, to: int) -> str:
    return (
        f'"protocol":{protocol},"source_address":"{source}","source_port":{port},'
        f'"destination_address":"{target}","destination_port":{to}'
    )
