"""The shell scripts: set-up on a small checkout of its own, and what each answers to a mistake."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from deploy.layout import CODE

SCRIPTS = sorted((CODE / "deploy").glob("*.sh"))
EMPTY_WHEEL_HASH = "0" * 64


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that needs no package, set up once."""
    checkout = tmp_path_factory.mktemp("small checkout")
    (checkout / "deploy").mkdir()
    for name in ("setup.sh", "launchers.py"):
        shutil.copy(CODE / "deploy" / name, checkout / "deploy")
    shutil.copy(CODE / "pyproject.toml", checkout)
    (checkout / "requirements.txt").write_text("# nothing\n")
    ended = set_up(checkout)
    assert ended.returncode == 0, ended.stderr
    return checkout


def set_up(checkout: Path, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, "sh", str(checkout / "deploy" / "setup.sh")],
        env={
            "PATH": "/usr/sbin:/usr/bin:/bin",
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
            "PIP_RETRIES": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_plain_posix(script: Path) -> None:
    text = script.read_text()
    subprocess.run(["dash", "-n", str(script)], check=True)
    assert "[[" not in text
    assert "set -eu" in text or script.name == "enter.sh"


def test_a_second_set_up_takes_a_moment_and_no_network(small: Path) -> None:
    before = (small / ".venv" / "complete").stat().st_mtime_ns
    alone = ("unshare", "--net") if os.geteuid() == 0 else ()
    started = time.monotonic()

    ended = set_up(small, *alone)

    assert time.monotonic() - started < 2
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert (small / ".venv" / "complete").stat().st_mtime_ns == before


def test_set_up_writes_the_projects_commands(small: Path) -> None:
    for name in ("icr", "icr-collect", "icr-monitor", "icr-verify"):
        launcher = small / ".venv" / "bin" / name
        ended = subprocess.run([launcher], capture_output=True, text=True, check=False)
        # The rooms are not in this checkout, but its own Python looked for them.
        assert "ModuleNotFoundError: No module named 'icrstore'" in ended.stderr


def test_a_set_up_that_failed_is_done_again(small: Path) -> None:
    requirements = small / "requirements.txt"
    requirements.write_text(f"icr-no-such-package==1 --hash=sha256:{EMPTY_WHEEL_HASH}\n")
    assert set_up(small).returncode != 0
    assert not (small / ".venv" / "complete").exists()

    requirements.write_text("# nothing\n")
    assert set_up(small).returncode == 0
    assert (small / ".venv" / "complete").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide the system's Python")
def test_without_python_an_ordinary_person_is_told_the_one_command(small: Path) -> None:
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    hide = "mount --bind /dev/null /usr/bin/python3; mount --bind /dev/null /usr/bin/python3.11"
    script = small / "deploy" / "setup.sh"
    # Nobody else may enter the checkout, so the script comes by its standard input.
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{hide} 2>/dev/null; {nobody} sh -s"],
        input=script.read_text(),
        env={"PATH": "/usr/sbin:/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 69
    assert "apt-get install -y python3 python3-venv ca-certificates" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--nonsense"], 64), (["--input"], 66), (["--input", "/no/such"], 66)],
)
def test_demo_answers_a_mistake_before_it_sets_anything_up(arguments: list[str], code: int) -> None:
    ended = subprocess.run(
        ["sh", str(CODE / "deploy" / "demo.sh"), *arguments],
        env={"PATH": "/usr/sbin:/usr/bin:/bin", "ICR_VAR": "/no/such/place"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert "--" in ended.stdout + ended.stderr
