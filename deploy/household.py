"""A household's day as `tcpdump -tt -n` prints it: made up, seeded, shaped like a real one.

After Tim Panton, "The Investigation of Packets" (2015): some 100,000 first packets a day, most of
them DNS, then web traffic to a few large networks, mail over IMAPS, clocks that ask for the time,
phones in the evening and a quiet night. All addresses are from documentation and test ranges
(RFC 5737, 3849, 2544).
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

HOME = "203.0.113.77"
HOME_V6 = "2001:db8:51:7::"
RECORDS = 100_000

# Connections by hour of the day: people sleep, leave, come home, watch.
_DAY = (2, 1, 1, 1, 1, 2, 5, 8, 6, 5, 4, 4, 5, 4, 4, 5, 7, 9, 11, 12, 12, 10, 7, 4)
_RESOLVERS = ("198.51.100.53", "198.51.100.54")
_SEARCH = tuple(f"198.18.{n}.{h}" for n in range(4) for h in range(10, 60))
_CDN = tuple(f"198.19.{n}.{h}" for n in range(16) for h in range(2, 40))
_SMALL = tuple(f"192.0.2.{h}" for h in range(1, 250))
_MAIL = "192.0.2.25"
_CLOCKS = tuple(f"198.51.100.{h}" for h in (123, 124, 125))
_V6 = tuple(f"2001:db8:{n:x}::{h:x}" for n in range(1, 9) for h in range(1, 20))
_NAMES = ("www", "api", "img", "cdn", "mail", "time", "play", "push")


def household(until: datetime, records: int = RECORDS, seed: int = 2015) -> Iterator[str]:
    """Lines of the 24 hours before ``until`` (an aware whole hour), in time order."""
    rng = random.Random(seed)  # noqa: S311 - a made-up day, not a secret
    first = until - timedelta(hours=24)
    weights = [_DAY[(first + timedelta(hours=n)).hour] for n in range(24)]
    hours = rng.choices(range(24), weights, k=records)
    moments = sorted(
        first.timestamp() + 3600 * hour + rng.randrange(3_600_000_000) / 1e6 for hour in hours
    )
    for moment in moments:
        yield f"{moment:.6f} {_packet(rng)}"
        if rng.random() < 0.0005:  # what a capture has that is no connection of the household
            yield f"{moment:.6f} ARP, Request who-has 203.0.113.1 tell {HOME}, length 28"


def _packet(rng: random.Random) -> str:
    port = rng.randrange(32768, 61000)
    kind = rng.choices(
        ("dns", "search", "cdn", "small", "v6", "quic", "imaps", "ntp", "ping"),
        (52, 11, 12, 5, 6, 7, 3, 3, 1),
    )[0]
    match kind:
        case "dns":
            query = f"{rng.randrange(65536)}+ A? {rng.choice(_NAMES)}.example.net. (33)"
            return f"IP {HOME}.{port} > {rng.choice(_RESOLVERS)}.53: {query}"
        case "search":
            return _syn("IP", HOME, port, rng.choice(_SEARCH), 443)
        case "cdn":
            return _syn("IP", HOME, port, rng.choice(_CDN), rng.choice((443, 443, 443, 80)))
        case "small":
            return _syn("IP", HOME, port, rng.choice(_SMALL), rng.choice((443, 80, 8443, 22)))
        case "v6":
            home = f"{HOME_V6}{rng.randrange(1, 6):x}"
            return _syn("IP6", home, port, rng.choice(_V6), 443)
        case "quic":
            return f"IP {HOME}.{port} > {rng.choice(_SEARCH)}.443: UDP, length 1250"
        case "imaps":
            return _syn("IP", HOME, port, _MAIL, 993)
        case "ntp":
            return f"IP {HOME}.{port} > {rng.choice(_CLOCKS)}.123: NTPv4, Client, length 48"
        case _:
            target = rng.choice(_SMALL)
            return f"IP {HOME} > {target}: ICMP echo request, id {port}, seq 1, length 64"


def _syn(family: str, source: str, port: int, target: str, to: int) -> str:
    flags = "Flags [S], seq 1, win 65535, options [mss 1460], length 0"
    return f"{family} {source}.{port} > {target}.{to}: {flags}"
