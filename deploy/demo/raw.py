"""A log's own text as rows of SQL: a second reading of tcpdump, Zeek and NDJSON, in DuckDB alone.

Each query takes the file and its compression, and gives the columns of `count.COLUMNS`.
"""

import gzip
from pathlib import Path

_HEAD_BYTES = 1 << 16
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
_LINES = (
    "read_csv(?, compression=?, columns={text: 'VARCHAR'}, header=false, delim='\x01', quote='',"
    " escape='', ignore_errors=true, strict_mode=false)"
)
_JSON = "read_json(?, compression=?, format='newline_delimited', ignore_errors=true, columns={%s})"

# A line of `tcpdump -tt -n`, also with the interface or pf's rule before the packet. IPv4 that is
# carried in IPv6 is the connection (DS-Lite).
_ADDRESS = r"([0-9]+(?:\.[0-9]+){3}|[0-9a-f:]*:[0-9a-f:.]*?)(?:\.([0-9]+))?"
_PACKET = (
    r"^([0-9]{1,10}(?:\.[0-9]{1,9})?) (?:rule [^>]{1,80}? on [^ :]+: |[^ :]+ +(?:In|Out|B|M|P) +)?"
    r"(?:IP6 [0-9a-f:.]+ > [0-9a-f:.]+: )?(?:IP6? )?"
    r"(?:truncated-ip6? - [0-9]+ bytes missing! ?)?"
    rf"{_ADDRESS} > {_ADDRESS}: *(.*)$"
)
_TCP = r"^(Flags \[|tcp\b|\[\|tcp\]|[SFPRUWE.]+ ([0-9]+:[0-9]+\(|ack [0-9]))"
# What tcpdump calls a packet without ports.
_NAMES = """MAP {'hbh': 0, 'icmp': 1, 'igmp': 2, 'ip': 4, 'udp': 17, 'ip6': 41, 'rt6': 43,
    'srcrt': 43, 'frag': 44, 'gre': 47, 'grev0': 47, 'grev1': 47, 'esp': 50, 'ah': 51, 'icmp6': 58,
    'dstopt': 60, 'ospfv2': 89, 'ospfv3': 89, 'pimv2': 103, 'sctp': 132}"""
_SECONDS = "CAST(CAST(ts AS DECIMAL(28, 9)) * 1000000000 AS BIGINT)"

TCPDUMP = f"""
WITH line AS (
    SELECT regexp_extract(text, '{_PACKET}',
        ['ts', 'source', 'sport', 'destination', 'dport', 'said']) AS packet
    FROM {_LINES}),
packet AS (SELECT UNNEST(packet) FROM line WHERE packet.ts <> ''),
named AS (
    SELECT *, TRY_CAST(nullif(sport, '') AS USMALLINT) AS from_port,
        TRY_CAST(nullif(dport, '') AS USMALLINT) AS to_port, CASE
        WHEN regexp_matches(said, '{_TCP}') THEN 6
        WHEN sport <> '' AND dport <> '' THEN CASE
            WHEN said ILIKE 'sctp%' THEN 132 WHEN said ILIKE 'dccp%' THEN 33 ELSE 17 END
        WHEN said LIKE 'ip-proto-%' THEN TRY_CAST(regexp_extract(said, '[0-9]+') AS UTINYINT)
        ELSE {_NAMES}[lower(regexp_extract(said, '^(?:\\[\\|)?([A-Za-z0-9]+)', 1))]
    END AS protocol FROM packet)
SELECT NULL AS account, {_SECONDS} AS moment, protocol,
    source AS source_address, from_port AS source_port,
    destination AS destination_address, to_port AS destination_port,
    source AS public_address, from_port AS public_port
FROM named WHERE protocol IS NOT NULL
"""  # noqa: S608 - of constants, as are all below

# Ports stand there for what has none too: ICMP's types.
_CONNECTIONS = """
, numbered AS (SELECT *, coalesce(TRY_CAST(ip_proto AS UTINYINT), CASE proto
    WHEN 'tcp' THEN 6 WHEN 'udp' THEN 17
    WHEN 'icmp' THEN CASE WHEN contains(source, ':') THEN 58 ELSE 1 END END) AS protocol
    FROM connection),
ported AS (SELECT *,
    CASE WHEN protocol IN (6, 17, 33, 132, 136) THEN TRY_CAST(sport AS USMALLINT) END AS from_port,
    CASE WHEN protocol IN (6, 17, 33, 132, 136) THEN TRY_CAST(dport AS USMALLINT) END AS to_port
    FROM numbered)
SELECT NULL AS account,
    coalesce(TRY_CAST(TRY_CAST(ts AS DECIMAL(28, 9)) * 1000000000 AS BIGINT),
        epoch_ns(TRY_CAST(ts AS TIMESTAMP_NS))) AS moment, protocol,
    source AS source_address, from_port AS source_port,
    destination AS destination_address, to_port AS destination_port,
    source AS public_address, from_port AS public_port
FROM ported WHERE protocol IS NOT NULL AND source IS NOT NULL
"""
_ZEEK = {
    "ts": ("ts",), "source": ("id.orig_h", "id_orig_h"), "sport": ("id.orig_p", "id_orig_p"),
    "destination": ("id.resp_h", "id_resp_h"), "dport": ("id.resp_p", "id_resp_p"),
    "proto": ("proto",), "ip_proto": ("ip_proto",),
}  # fmt: skip

RECORD = """observed_at: 'VARCHAR', protocol: 'UTINYINT', account: 'VARCHAR',
    source_address: 'VARCHAR', source_port: 'USMALLINT',
    destination_address: 'VARCHAR', destination_port: 'USMALLINT',
    post_nat_source_address: 'VARCHAR', post_nat_source_port: 'USMALLINT'"""
NDJSON = f"""
SELECT account, CASE WHEN upper(observed_at) LIKE '%Z'
        THEN epoch_ns(CAST(upper(observed_at) AS TIMESTAMP_NS))
        ELSE epoch_us(CAST(observed_at AS TIMESTAMPTZ)) * 1000 END AS moment, protocol,
    source_address, source_port, destination_address, destination_port,
    coalesce(post_nat_source_address, source_address) AS public_address,
    CASE WHEN post_nat_source_address IS NULL THEN source_port ELSE post_nat_source_port END
        AS public_port
FROM {_JSON % RECORD}
"""  # noqa: S608 - of constants


def compression(path: Path) -> str:
    """By the first bytes, whatever the name ends in."""
    with path.open("rb") as file:
        return "gzip" if file.read(2) == b"\x1f\x8b" else "none"


def reading(path: Path) -> str | None:
    """The query that reads this log; None for Arrow, which is no text."""
    opened = gzip.open if compression(path) == "gzip" else open
    with opened(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_ARROW):
        return None
    lines = head.decode("utf-8", "replace").splitlines()
    fields = next((line for line in lines if line.startswith("#fields")), None)
    if fields is not None:
        return _zeek(fields.removeprefix("#fields"))
    first = next((line for line in lines if line.strip()), "")
    if not first.startswith("{"):
        return TCPDUMP
    return NDJSON if '"observed_at"' in first else _zeek_json(first)


def _zeek(fields: str) -> str:
    """Columns by the names in the header line, which begins with what separates them."""
    between = fields[0]
    names = fields.rstrip()[1:].split(between)
    columns = [
        f"nullif(string_split(text, '{between}')[{names.index(found) + 1}], '-') AS {name}"
        if (found := next((one for one in spellings if one in names), None))
        else f"NULL AS {name}"
        for name, spellings in _ZEEK.items()
    ]
    return (
        f"WITH connection AS (SELECT {', '.join(columns)} FROM {_LINES}"  # noqa: S608 - of names
        f" WHERE text NOT LIKE '#%') {_CONNECTIONS}"
    )


def _zeek_json(first: str) -> str:
    named = {
        name: next((one for one in spellings if f'"{one}"' in first), spellings[0])
        for name, spellings in _ZEEK.items()
    }
    columns = ", ".join(f"\"{field}\": 'VARCHAR'" for field in named.values())
    shown = ", ".join(f'"{field}" AS {name}' for name, field in named.items())
    return f"WITH connection AS (SELECT {shown} FROM {_JSON % columns}) {_CONNECTIONS}"  # noqa: S608 - ours
