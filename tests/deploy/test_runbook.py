"""What deploy/RUNBOOK.md tells people to run is there; its units start what exists."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands

from deploy.layout import CODE

TEXT = (CODE / "deploy" / "RUNBOOK.md").read_text()
UNITS = sorted((CODE / "deploy" / "roles").glob("*.service"))
COMMANDS = re.findall(r"^ExecStart=(.+)$", "\n".join(map(Path.read_text, UNITS)), re.MULTILINE)


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"deploy/[A-Za-z./-]+\.(?:sh|md|service)", TEXT)))
)
def test_a_file_that_it_names_is_there(name: str) -> None:
    assert (CODE / name).is_file()


@pytest.mark.parametrize(
    "module", sorted(set(re.findall(r"python -m ([a-z._]+)", "\n".join([TEXT, *COMMANDS]))))
)
def test_a_module_that_it_runs_is_there(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("command", sorted(set(re.findall(r"manage\.py ([a-z]+)", TEXT))))
def test_a_command_that_it_runs_is_there(command: str) -> None:
    assert command in get_commands()


@pytest.mark.parametrize("block", re.findall(r"```sh\n(.+?)```", TEXT, re.DOTALL))
def test_its_lines_are_plain_shell(block: str) -> None:
    subprocess.run(["dash", "-n"], input=block, text=True, check=True)


def test_the_units_and_the_text_run_the_same(tmp_path: Path) -> None:
    """Their programs' own names apart, which a unit gives in full."""
    assert len(COMMANDS) == len(UNITS) == 4
    supervisor, keeper, tunnel = (
        next(each for each in COMMANDS if word in each)
        for word in ("deploy.supervisor", "icrstore.keeper", "ssh")
    )
    assert supervisor.removeprefix("/opt/icrstore/") in TEXT
    assert f"as_keeper {keeper.partition('icrstore.keeper ')[2]}" in TEXT
    said = next(line for line in TEXT.splitlines() if line.startswith("ssh -i"))
    assert set(shlex.split(said)[1:]) <= set(shlex.split(tunnel))
