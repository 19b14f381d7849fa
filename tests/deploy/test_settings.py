"""deploy/SETTINGS.md says what the code reads and hands on, no more and no less."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.layout import CALLS, CODE, Layout
from deploy.services import environment, keepers_elsewhere, names

SETTING = re.compile(r"ICR_[A-Z_]*[A-Z]")
ROW = re.compile(r"\| `(ICR_[A-Z_]+)` \| (.+?) \| (.+?) \| (.+?) \| (.+) \|")
ELSEWHERE = {
    "ICR_DATABASE_URL": "postgresql://icr_admin@db.example:5433/store?sslmode=verify-full",
    "ICR_BROKER_URL": "rediss://:secret@broker.example:6380/0",
    "ICR_KEEPERS": "oversight=unix:/run/oversight/keeper.sock",
    "ICR_AUTHORITY": "icr.example",
    "ICR_SIGN_IN_URL": "https://icr.example/access/",
    "ICR_SMTP": "mail.example:587",
    "ICR_SMTP_STARTTLS": "1",
    "ICR_MAIL_FROM": "record@icr.example",
}


def table() -> dict[str, re.Match[str]]:
    text = (CODE / "deploy" / "SETTINGS.md").read_text()
    return {row[1]: row for row in map(ROW.fullmatch, text.splitlines()) if row}


def sources() -> list[Path]:
    """All code of an installation, its scripts and the tests' own word for their data."""
    found = [CODE / "tests" / "shared_data.py", CODE / "manage.py"]
    for room in ("icrstore", "api", "accounts", "deploy"):
        found += [p for p in (CODE / room).rglob("*") if p.suffix in (".py", ".sh")]
    return found


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Of an installation whose servers all run elsewhere, by the names above."""
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    # Sockets lie below it only where their paths fit, and what pytest makes may be too long.
    monkeypatch.setattr("deploy.layout.SOCKET_PATH_BYTES", 1 << 10)
    made = Layout(tmp_path / "var", 8123)
    made.var.mkdir()
    return made


def test_every_setting_that_is_named_anywhere_is_in_the_table_and_no_other() -> None:
    named = {name for path in sources() for name in SETTING.findall(path.read_text())}
    assert named == set(table())
    read = set(
        re.findall(r'environ\.get\(\s*"(ICR_\w+)"', (CODE / "icrstore/settings.py").read_text())
    )
    said = set(re.findall(r"^(ICR_\w+)", (CODE / "icrstore/settings.py").read_text(), re.MULTILINE))
    assert read == said


@pytest.mark.parametrize("setting", sorted(table()))
def test_a_setting_is_told_to_whom_the_table_says(setting: str, layout: Layout) -> None:
    roles = {"admin", *CALLS}
    told = {role for role in roles if setting in environment(layout, role)}
    said = table()[setting][4]
    wanted = {"all": roles, "-": set()}.get(said, set(said.split(", ")))
    assert told == wanted


def test_what_runs_elsewhere_is_handed_on_and_not_started(layout: Layout) -> None:
    web = environment(layout, "web")
    assert web["ICR_BROKER_URL"] == "rediss://broker.example:6380/0"
    assert web["ICR_AUTHORITY"] == "icr.example"
    # Web is told only so as to say whether both are here: it may enter no keeper's folder.
    assert not any(name.startswith("keeper-") for name in CALLS["web"])
    keepers = environment(layout, "engine")["ICR_KEEPERS"].split(",")
    assert keepers[1] == ELSEWHERE["ICR_KEEPERS"]
    assert keepers[0].startswith(f"operator=unix:{layout.var}")
    assert set(CALLS) - set(names(layout)) == {"postgres", "valkey", "keeper-oversight"}


def test_what_is_told_where_our_keepers_are_takes_them_for_no_others(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the demonstration does, which pins tenants at them."""
    monkeypatch.delenv("ICR_KEEPERS")
    for name, value in environment(layout, "admin").items():
        monkeypatch.setenv(name, value)
    assert os.environ["ICR_KEEPERS"].count("unix:") == 2
    assert keepers_elsewhere(layout) == {}


@pytest.mark.parametrize(
    ("url", "host", "options"),
    [
        ("postgresql://icr_web@db.example:5433/store?sslmode=verify-full&passfile=/p", "db.example",
         {"sslmode": "verify-full", "passfile": "/p"}),
        ("postgresql://icr_web@/store?host=/run/postgresql&port=5433", "/run/postgresql", {}),
        ("host=db.example port=5433 dbname=store user=icr_web passfile='/a b'", "db.example",
         {"passfile": "/a b"}),
        ("postgresql://icr_web:p%40ss@[2001:db8::1]:5433/store", "2001:db8::1",
         {"password": "p@ss"}),
    ],
)  # fmt: skip
def test_every_form_of_libpqs_address_reaches_django(
    url: str, host: str, options: dict[str, str]
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from icrstore.settings import DATABASES as d; print(d['default'])"],
        env={"PATH": os.environ["PATH"], "ICR_DATABASE_URL": url},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    made = eval(told.stdout)  # noqa: S307 # what our own settings printed
    assert (made["NAME"], made["USER"], made["HOST"], made["PORT"]) == (
        "store", "icr_web", host, "5433",
    )  # fmt: skip
    assert made["OPTIONS"] == {
        **options, "server_side_binding": True, "prepare_threshold": 1 << 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [("rediss://:s%2Fesame@broker.example:6380/0?ssl_ca_certs=/ca.pem",
      "rediss://broker.example:6380/0?ssl_ca_certs=/ca.pem"),
     ("redis://user:s%2Fesame@[::1]:6380/0", "redis://user@[::1]:6380/0"),
     ("redis+socket://:s%2Fesame@/run/valkey.sock", "redis+socket:///run/valkey.sock")],
)  # fmt: skip
def test_the_brokers_password_is_in_a_file_and_in_no_environment(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.setenv("ICR_BROKER_URL", given)
    env = environment(layout, "web")
    assert env["ICR_BROKER_URL"] == told
    assert not any("esame" in value for value in env.values())
    assert (layout.secrets("web") / "broker.password").stat().st_mode & 0o777 == 0o600
    ended = subprocess.run(
        [sys.executable, "-c", "from icrstore.settings import BROKER_URL; print(BROKER_URL)"],
        env=env, cwd=CODE, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.strip() == given
    # One that has none later is not given the old one.
    monkeypatch.setenv("ICR_BROKER_URL", told)
    assert environment(layout, "web")["ICR_BROKER_URL"] == told
    assert not (layout.secrets("web") / "broker.password").exists()


@pytest.mark.parametrize("given", ["oversight", "somebody=unix:/s", "oversight="])
def test_keepers_that_cannot_be_meant_are_refused(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.supervisor", "up", "--once"],
        env={"PATH": os.environ["PATH"], "ICR_VAR": "/tmp/icr-none", "ICR_KEEPERS": given},
        cwd=CODE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == os.EX_CONFIG
    assert "ICR_KEEPERS must be like" in ended.stderr
