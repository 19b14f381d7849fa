"""Wrong files in each program's hands: good lines are kept, and errors name file, line and mend.

Nothing of what a line says is repeated: `needle` stands in each.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from icrstore.desk import cli as desk_cli
from icrstore.flow.readers import Tally, open_records
from tests.collector.household import Ran, run

GOOD: dict[str, Any] = {
    "observed_at": "2026-05-18T17:20:41.5Z", "protocol": 17, "source_address": "192.0.2.34",
    "source_port": 49163, "destination_address": "198.51.100.7", "destination_port": 53,
    "account": "line-17",
}  # fmt: skip


def ndjson(**changed: Any) -> bytes:
    return json.dumps({**GOOD, **changed}).encode() + b"\n"


NDJSON = {
    "port-out-of-range": [ndjson(source_port=70_000), ndjson(destination_port=1 << 40)],
    "bad-port": [ndjson(source_port=-1), ndjson(source_port="needle"), ndjson(source_port=1.5)],
    "time-without-offset": [ndjson(observed_at="2026-05-18T17:20:41")],
    "bad-time": [
        ndjson(observed_at="needle"), ndjson(observed_at=None), ndjson(observed_at="2026-13-01"),
        ndjson(observed_at="1960-05-18T17:20:41Z"), ndjson(observed_at="9999-01-01T00:00:00Z"),
        ndjson(observed_at="2026-05-18T17:20:41+99:99"),
    ],
    "bad-address": [
        ndjson(source_address="needle"), ndjson(destination_address="192.0.2.0/24"),
        ndjson(source_address="192.0.2.256"), ndjson(source_address=7), ndjson(source_address=None),
        ndjson(source_address="\ud800"), ndjson(source_address="fe80::1%eth0"),
    ],
    "bad-account": [ndjson(account=7), ndjson(account=["needle"])],
    "unknown-protocol": [ndjson(protocol=256), ndjson(protocol="needle"), ndjson(protocol=None)],
    "unknown-field": [ndjson(needle=1), ndjson(url="needle")],
    "duplicate-field": [ndjson()[:-2] + b', "account": "needle"}\n'],
    "not-a-record": [b"[]\n", b"7\n", b'"needle"\n'],
    "not-json": [
        b"needle\n", ndjson()[:-1] + b"needle\n", ndjson()[:40] + b"\n", b"[" * 5000 + b"\n",
        ndjson(account="needle").replace(b"needle", b"\xff\xfe"), b"\x00\n",
        ndjson()[:-1] * 2 + b"\n",
    ],
    "line-too-long": [ndjson(account="n" * 70_000), b"needle" * 200_000 + b"\n"],
}  # fmt: skip

PACKET = b"1431969641.947863 IP 192.0.2.34.49163 > 198.51.100.7.53: Flags [S], length 0\n"
TCPDUMP = {
    "port-out-of-range": [PACKET.replace(b"49163", b"70000")],
    "bad-address": [PACKET.replace(b"192.0.2.34", b"192.0.2.999"),
                    PACKET.replace(b"192.0.2.34", b"needle.example")],
    "time-without-date": [PACKET.replace(b"1431969641.947863", b"17:20:41.947863")],
    "time-without-offset": [PACKET.replace(b"1431969641.947863", b"2026-05-18 17:20:41.9")],
    "not-a-record": [b"needle\n", b"\xff\xfe\x00\n"],
}  # fmt: skip

HEADER = (
    b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tnote\n"
)
ROW = b"1431969641.9\tC1\t192.0.2.34\t49163\t198.51.100.7\t53\tudp\t-\n"
ZEEK = {
    "port-out-of-range": [ROW.replace(b"49163", b"70000")],
    "bad-port": [ROW.replace(b"49163", b"needle")],
    "bad-time": [ROW.replace(b"1431969641.9", b"needle")],
    "bad-address": [ROW.replace(b"192.0.2.34", b"needle")],
    "unknown-protocol": [ROW.replace(b"udp", b"needle")],
    "wrong-number-of-fields": [b"needle\n", ROW[:-1] + b"\tneedle\n"],
}  # fmt: skip

CASES = [
    (before, good, reason, line)
    for before, good, table in (
        (b"", ndjson(), NDJSON), (b"", PACKET, TCPDUMP), (HEADER, ROW, ZEEK)
    )
    for reason, lines in table.items()
    for line in lines
]  # fmt: skip


@pytest.mark.parametrize(("before", "good", "reason", "line"), CASES)
def test_a_bad_line_is_named_and_its_neighbours_are_kept(
    before: bytes, good: bytes, reason: str, line: bytes
) -> None:
    tally = Tally()
    content = before + good + b"\n" + good + line + good + line
    records = sum(batch.num_rows for batch in open_records(io.BytesIO(content), None, tally))
    assert records == tally.records == 3
    assert tally.not_records[reason] == 2
    number = before.count(b"\n") + 4
    assert tally.first_lines[reason] == number
    (mend,) = tally.mends()
    assert mend.startswith(f"line {number}: {reason}: ")
    assert "needle" not in mend


def test_lines_are_counted_on_over_many_blocks() -> None:
    tally = Tally()
    content = ndjson() * 20_000 + ndjson(source_port=70_000) + ndjson() * 10
    assert len(content) > 3 << 20
    for _ in open_records(io.BytesIO(content), None, tally):
        pass
    assert (tally.records, tally.first_lines) == (20_010, {"port-out-of-range": 20_001})


def collect(*arguments: str) -> Ran:
    ran = run(*arguments)
    assert "Traceback" not in ran.err
    assert "needle" not in ran.err + ran.out
    return ran


def test_read_keeps_the_good_lines_of_each_file_and_names_the_others(tmp_path: Path) -> None:
    one, two = tmp_path / "one.ndjson", tmp_path / "two.ndjson"
    one.write_bytes(ndjson() + ndjson(account=7) + ndjson())
    two.write_bytes(ndjson(source_port=70_000) + ndjson())
    ran = collect("read", str(one), str(two))
    assert (ran.status, len(ran.out.splitlines())) == (0, 3)
    assert f"{one}: 2 records, 1 bad-account\n  line 2: bad-account: " in ran.err
    assert f"{two}: 1 records, 1 port-out-of-range\n  line 1: port-out-of-range: " in ran.err


LEASES = "address,account,from,to\n"
LEASE = "192.0.2.1,line-1,2026-01-01T00:00:00Z,\n"
WRONG_LEASES = {
    "no header": (LEASE, "the first line must be address,account,from,to"),
    "nothing": ("", "line 1: not the four values"),
    "only a header": (LEASES, "it has no lease: export some"),
    "three values": (LEASES + LEASE + "192.0.2.1,needle,\n", "line 3: not the four values"),
    "no address": (LEASES + LEASE.replace("192.0.2.1", "needle"), "line 2: not an IPv4"),
    "a network": (LEASES + LEASE.replace("192.0.2.1", "192.0.2.0/33"), "line 2: not an IPv4"),
    "a naive time": (LEASES + LEASE.replace("00Z", "00"), "line 2: not a time with an offset"),
    "no account": (LEASES + LEASE.replace("line-1", ""), "line 2: account-missing: an account is"),
    "10 kB": (LEASES + LEASE.replace("line-1", "needle" * 2000), "line 2: account-too-long"),
    "backwards": (LEASES + LEASE[:-1] + "2025-01-01T00:00:00Z\n", "line 2: it ends before"),
    "two at once": (LEASES + LEASE + LEASE.replace("line-1", "needle"), "lines 2 and 3: two acc"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_LEASES)
def test_leases_that_are_wrong_name_the_line_and_nothing_is_read_by_them(
    tmp_path: Path, kind: str
) -> None:
    """All or nothing: with half of the leases a record could be given to nobody, or to another."""
    leases, records = tmp_path / "leases.csv", tmp_path / "some.ndjson"
    content, says = WRONG_LEASES[kind]
    leases.write_text(content)
    records.write_bytes(ndjson())
    ran = collect("read", str(records), "--leases", str(leases))
    assert ran.status == 65
    assert ran.out == ""
    assert f"{leases}: {says}" in ran.err
    assert len(ran.err) < 400


def test_leases_that_are_not_utf_8_name_the_line(tmp_path: Path) -> None:
    leases = tmp_path / "leases.csv"
    leases.write_bytes((LEASES + LEASE + LEASE).encode().replace(b"line-1", b"\xff\xfe"))
    ran = collect("read", str(leases), "--leases", str(leases))
    assert (ran.status, ran.out) == (65, "")
    assert f"{leases}: line 2: not UTF-8: export it as UTF-8" in ran.err


PAPERS = {
    "nothing": b"", "no JSON": b"needle", "bytes": b"\xff\xfe\x00", "a list": b"[]",
    "two values": b"{}{}", "a key twice": b'{"kind":"icr-key","kind":"needle"}',
    "another thing": b'{"needle":1}', "deep": b"[" * 100_000, "fractions": b'{"v":1.5}',
}  # fmt: skip
COMMANDS = (
    ("warrant", "show", "FILE"),
    ("warrant", "sign", "FILE", "--key", "KEY"),
    ("warrant", "sign", "KEY", "--key", "FILE"),
    ("key", "show", "FILE"),
    ("lodge", "FILE", "--grant", "FILE", "--key", "KEY", "--server", "http://127.0.0.1:1"),
    ("open", "FILE", "--key", "DESK", "--trust", "FILE", "--out", "OUT"),
    ("open", "FILE", "--key", "FILE", "--trust", "FILE", "--out", "OUT"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_icr_names_the_file_that_it_cannot_read_and_the_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    names = {name: str(tmp_path / name.lower()) for name in ("KEY", "DESK", "OUT", "FILE")}
    assert desk_cli.main(["key", "new", "k", "--out", names["KEY"]]) == 0
    assert desk_cli.main(["key", "new", "k", "--for", "answers", "--out", names["DESK"]]) == 0
    arguments = [names.get(word, word) for word in command]
    for kind, content in PAPERS.items():
        Path(names["FILE"]).write_bytes(content)
        Path(names["FILE"]).chmod(0o600)
        capsys.readouterr()
        assert desk_cli.main(arguments) in (64, 65), kind
        said = capsys.readouterr()
        assert re.match(rf"icr: {tmp_path}/\w+: .+: .+", said.err), (kind, said.err)
        assert "needle" not in said.err + said.out
        assert not Path(names["OUT"]).exists()
