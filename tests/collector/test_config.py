"""Key files, the config, and the command's other doors."""

import json
from pathlib import Path

import pytest

from icrstore.collector.config import EXAMPLE, Config
from icrstore.shell.keyfile import KeyFile, read_public_file
from icrstore.shell.stop import Stop
from icrstore.warrant.strict import encode_base64
from tests.collector.household import records, run, write

GOOD = {
    "server": "https://icr.example",
    "key": "edge.key",
    "secret": "edge.secret",
    "spool": "/var/spool/icr",
    "sealer_key": encode_base64(bytes(32)),
    "receipt_key": encode_base64(bytes(32)),
}


def test_a_config_is_toml_or_json_with_paths_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("".join(f'{k} = "{v}"\n' for k, v in GOOD.items()))
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    toml, plain = Config.read(tmp_path / "a.toml"), Config.read(tmp_path / "a.json")
    assert toml == plain
    assert toml.key == tmp_path / "edge.key"
    assert toml.spool == Path("/var/spool/icr")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"server": None}, "server"),
        ({"sealer_key": "AAAA"}, "sealer_key"),
        ({"receipt_key": 7}, "receipt_key"),
        ({"verbose": True}, "verbose"),
    ],
)
def test_a_wrong_config_names_the_field(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    path = tmp_path / "a.json"
    settings = {**GOOD, **changes}
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
    with pytest.raises(Stop, match=named) as refused:
        Config.read(path)
    assert refused.value.status == 65
    assert "a.json" in str(refused.value)


TAIL = {"files": ["*.log"], "format": "zeek"}
LISTEN = {"syslog": "udp://127.0.0.1:0", "format": "ndjson"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"spool": {"file": "a", "most": 5}}, "spool.most"),
        ({"spool": {"file": "a", "most_bytes": 5}}, "spool.most_bytes"),
        ({"spool": {"most_bytes": 1 << 30}}, "spool.file"),
        ({"metrics": {"listen": "localhost"}}, "metrics.listen"),
        ({"metrics": {"port": 9464}}, "metrics.port"),
        ({"tail": TAIL}, "[[tail]]"),
        ({"tail": [{**TAIL, "file": "x"}]}, "tail[0].file"),
        ({"tail": [TAIL, {**TAIL, "account": "line-1"}]}, "tail[1]: the same files as tail[0]"),
        ({"tail": [TAIL, {**TAIL, "format": "zeeek"}]}, "tail[1].format"),
        ({"tail": [{"files": ["x"]}]}, "tail[0].format"),
        ({"tail": [{**TAIL, "format": "pcap"}]}, "tail[0].format"),
        ({"tail": [{**TAIL, "files": []}]}, "tail[0].files"),
        ({"tail": [{**TAIL, "zone": "Mars/Olympus"}]}, "tail[0].zone"),
        ({"tail": [{**TAIL, "map": "nobody"}]}, "tail[0].map"),
        ({"tail": [{**TAIL, "map": {"colour": "c"}}]}, "tail[0].map"),
        ({"tail": [{**TAIL, "map": 7}]}, "tail[0].map"),
        ({"tail": [{**TAIL, "account": "a" * 65}]}, "tail[0].account"),
        ({"tail": [{**TAIL, "account": "a", "leases": "l"}]}, "tail[0].account"),
        ({"listen": [{}]}, "listen[0]"),
        ({"listen": [{**LISTEN, "netflow": "udp://127.0.0.1:1"}]}, "listen[0]"),
        ({"listen": [{**LISTEN, "syslog": "127.0.0.1:514"}]}, "listen[0].syslog"),
        ({"listen": [{**LISTEN, "syslog": "udp://localhost:514"}]}, "listen[0].syslog"),
        ({"listen": [{**LISTEN, "syslog": "udp://127.0.0.1:70000"}]}, "listen[0].syslog"),
        ({"listen": [{"netflow": "tcp://127.0.0.1:1"}]}, "listen[0].netflow"),
        ({"listen": [{"syslog": "udp://127.0.0.1:1"}]}, "listen[0].format"),
        ({"listen": [{**LISTEN, "from": ["everywhere"]}]}, "listen[0].from"),
        ({"listen": [{**LISTEN, "files": ["x"]}]}, "listen[0].files"),
    ],
)
def test_a_wrong_section_names_the_setting(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    with pytest.raises(Stop) as refused:
        Config.read(path)
    assert refused.value.status == 65
    assert named in str(refused.value)
    assert "a" * 65 not in str(refused.value)


def test_the_example_of_the_help_is_a_config(tmp_path: Path) -> None:
    text = EXAMPLE.replace('spool = "edge-1.spool"', "#").replace(
        '"base64"', f'"{GOOD["sealer_key"]}"'
    )
    (tmp_path / "a.toml").write_text(text)
    made = Config.read(tmp_path / "a.toml")
    assert (made.most_bytes, made.metrics) == (10 << 30, ("127.0.0.1", 9464))
    assert made.tails[0].patterns == ("/var/log/zeek/conn*.log*",)
    assert (made.listens[0].kind, made.listens[0].transport) == ("syslog", "tcp")


def test_what_is_not_said_has_a_sane_default(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**GOOD, "listen": [LISTEN]}))
    made = Config.read(tmp_path / "a.json")
    assert (made.most_bytes, made.metrics, made.tails) == (10 << 30, ("127.0.0.1", 9464), ())
    assert not made.listens[0].is_allowed("10.0.0.1")
    off = {**GOOD, "metrics": {"listen": "off"}}
    (tmp_path / "b.json").write_text(json.dumps(off))
    assert Config.read(tmp_path / "b.json").metrics is None


@pytest.mark.parametrize("content", ["", "= 1", "{", "\x00"])
def test_a_config_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(content)
    ran = run("push", "--config", str(path))
    assert ran.status == 65
    assert "a.toml" in ran.err


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_length_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "edge.secret"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    with pytest.raises(Stop, match="32 bytes"):
        Config.read(tmp_path / "a.json").collector_secret()


def test_the_key_command_makes_what_a_collector_needs(tmp_path: Path) -> None:
    key, secret = tmp_path / "edge-1.key", tmp_path / "edge-1.secret"
    told = json.loads(run("key", "--out", str(key), "--secret", str(secret), "--json").out)
    made = KeyFile.read(key, "signing")
    assert told == made.public_half().to_object()
    assert read_public_file(key) == made.public_half()
    assert (made.name, len(secret.read_bytes())) == ("edge-1", 32)
    assert {path.stat().st_mode & 0o777 for path in (key, secret)} == {0o600}


def test_the_key_command_replaces_neither_file(tmp_path: Path) -> None:
    key, secret = tmp_path / "edge-1.key", tmp_path / "edge-1.secret"
    secret.write_bytes(b"old")
    assert run("key", "--out", str(key), "--secret", str(secret)).status == 64
    assert (key.exists(), secret.read_bytes()) == (False, b"old")


@pytest.mark.parametrize("use", ["signing", "recipient"])
def test_a_key_file_with_a_changed_byte_is_refused(tmp_path: Path, use: str) -> None:
    path = tmp_path / "a.key"
    key = KeyFile.new("recipient" if use == "recipient" else "signing", "ada")
    key.write(path)
    raw = path.read_bytes().rstrip(b"\n")
    for position in range(0, len(raw), max(1, len(raw) // 60)):
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        try:
            read = KeyFile.read(path, key.use)
        except Stop:
            continue
        # The name may read as another one; five bits of an X25519 key mean nothing (RFC 7748, 5).
        assert read.public == key.public
        assert read.name != key.name or (use == "recipient" and read.private != key.private)


def test_a_key_says_nothing_private_of_itself() -> None:
    key = KeyFile.new("signing", "ada")
    assert "private" not in repr(key)
    assert encode_base64(key.private) not in repr(key)


def test_read_shows_records_and_pushes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "log.ndjson", records(3))
    ran = run("read", str(path))
    assert ran.status == 0
    assert [json.loads(line)["source_port"] for line in ran.out.splitlines()] == [1026, 1025, 1024]


@pytest.mark.parametrize("command", [[], ["read"], ["push"], ["key", "--out", "x"], ["pull"]])
def test_wrong_usage_exits_64(command: list[str]) -> None:
    assert run(*command).status == 64


@pytest.mark.parametrize(
    "command",
    [
        [], ["key"], ["check"], ["read"], ["push"], ["run"], ["tail"], ["listen"], ["status"],
        ["backfill"],
    ],
)  # fmt: skip
def test_help_teaches_by_an_example(command: list[str]) -> None:
    ran = run(*command, "--help")
    assert ran.status == 0
    assert "example" in ran.out
    assert "icr-collect" in ran.out.split("example", 1)[1]


def test_a_bad_account_is_refused_without_repeating_it(tmp_path: Path) -> None:
    config = tmp_path / "a.json"
    config.write_text(json.dumps({**GOOD, "spool": "spool"}))
    run("key", "--out", str(tmp_path / "edge.key"), "--secret", str(tmp_path / "edge.secret"))
    path = write(tmp_path / "log.ndjson", records(1))
    ran = run("push", str(path), "--account", "secret\x01name", "--config", str(config))
    assert ran.status == 64
    assert "secret" not in ran.err.replace("edge.secret", "")
