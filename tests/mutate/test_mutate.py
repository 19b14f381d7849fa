"""The command as a person calls it, and what it says of checks that no test misses."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutate.__main__ import ROOT, main, sample
from tests.mutate.listed import MUTATIONS
from tests.mutate.mutation import Mutation

GUARD = "raise ValueError('too much')"
DOOR = f"""\
def spend(amount, left):
    if amount > left:
        {GUARD}
    return left - amount
"""
TESTS = """\
import logging
import pytest
import door

def test_no_more_is_spent_than_there_is():
    with pytest.raises(ValueError):
        door.spend(2, 1)

def test_it_logs_an_error_before():
    logging.error("too much")
    with pytest.raises(ValueError):
        door.spend(2, 1)

def test_it_says_what_is_left():
    assert door.spend(1, 3) == 2

def test_it_is_red_from_the_start():
    assert door.spend(1, 3) == 3
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A product of one check, with its tests."""
    (tmp_path / "door.py").write_text(DOOR)
    (tmp_path / "test_door.py").write_text(TESTS)
    return tmp_path


def guard(test: str, before: str = GUARD, after: str = "pass") -> Mutation:
    return Mutation("guard", "door.py", before, f"test_door.py::test_{test}", after)


@pytest.mark.timeout(900)  # many processes, each with a limit of its own: a busy machine is slow
def test_ten_at_random_turn_their_tests_red() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.mutate", "--sample", "10"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr + ended.stdout
    lines = ended.stdout.splitlines()
    assert len(lines) == 10
    assert all(" red in " in line for line in lines)
    assert "--sample 10 --seed " in ended.stderr


def test_each_has_a_name_of_its_own_and_there_are_enough() -> None:
    assert len({one.name for one in MUTATIONS}) == len(MUTATIONS) >= 300


def test_it_tells_of_each_what_became_of_it(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "it_says_what_is_left"
    listed = {
        "red": guard("no_more_is_spent_than_there_is"),
        "red: though it logged an error": guard("it_logs_an_error_before"),
        "survived": guard(said),
        "broken: not to be imported": guard(said, DOOR, "import nothing_of_that_name"),
        "broken: no Python": guard(said, after="raise ("),
    }
    assert main([], list(listed.values()), tree) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in told] == [name.partition(":")[0] for name in listed]
    assert (tree / "door.py").read_text() == DOOR


def test_it_ends_with_0_where_every_test_turned_red(tree: Path) -> None:
    assert main(["--only", "guard"], [guard("no_more_is_spent_than_there_is")], tree) == 0


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (guard("it_says_what_is_left", "raise KeyError"), "door.py has 'raise KeyError' 0 times"),
        (guard("it_says_what_is_left", "left"), "door.py has 'left' 3 times"),
        (guard("that_was_renamed"), "there is no test test_door.py::test_that_was_renamed"),
    ],
    ids=["its text is gone", "its text stands twice", "its test is gone"],
)
def test_a_mutation_is_stale_where(
    mutation: Mutation, why: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], [mutation], tree) == 1
    assert f"guard: {why}" in capsys.readouterr().err


def test_a_test_must_be_green_before(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], [guard("it_is_red_from_the_start")], tree) == 1
    assert "not green before anything was taken out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--sample", "0"], ["--sample", "2"], ["--only", "nothing"], ["--seed", "1"], ["all"]],
    ids=" ".join,
)
def test_called_wrongly_it_ends_with_2(arguments: list[str], tree: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments, [guard("it_says_what_is_left")], tree)
    assert ended.value.code == 2


def test_a_seed_gives_the_same_sample() -> None:
    assert sample(MUTATIONS, 10, 7) == sample(MUTATIONS, 10, 7) != sample(MUTATIONS, 10, 8)
