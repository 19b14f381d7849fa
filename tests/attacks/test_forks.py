"""Two children of one worker never seal twice under one key, since each draws for itself.

The long form, of 100,000 segments, is `python -m tests.attacks.forks`.
"""

import json
import subprocess
import sys
from typing import Any

from icrstore.celery import app


def forks(*arguments: str) -> tuple[int, dict[str, Any]]:
    """In a process of its own, which no test has made threads in."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.attacks.forks", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return ran.returncode, json.loads(ran.stdout)


def test_two_children_of_one_worker_repeat_no_key_and_no_label() -> None:
    status, counts = forks("4000")
    assert counts["segments"] >= 4000
    assert (status, counts["labels"], counts["keys"], counts["shares"]) == (0, 0, 0, 0)


def test_with_atoms_drawn_before_the_fork_it_fails() -> None:
    status, counts = forks("1000", "--before")
    assert status == 1
    assert counts["shares"] >= 500


def test_a_child_of_a_worker_looks_once_and_ends() -> None:
    assert app.conf.worker_max_tasks_per_child == 1
