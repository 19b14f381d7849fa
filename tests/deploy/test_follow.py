"""A command beside an installation that is told to stop: its own word says how that ended."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.layout import CODE, MARKER

# What `up` does once everything serves.
FOLLOW = """
import signal, sys
from pathlib import Path
from deploy.layout import Layout
from deploy.supervisor.__main__ import Told, _follow, _tell
signal.signal(signal.SIGTERM, _tell)
try:
    sys.exit(_follow(Layout(Path(sys.argv[1]), 1), sys.argv[2:]))
except Told as told:
    sys.exit(told.code)
"""


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("trap 'exit 0' TERM; echo begun; while :; do sleep 0.05; done", 0),
        ("trap 'exit 3' TERM; echo begun; while :; do sleep 0.05; done", 128 + signal.SIGTERM),
        ("echo begun; exec sleep 60", 128 + signal.SIGTERM),
    ],
    ids=("it was done", "it failed", "it was in the middle"),
)
def test_told_to_stop(does: str, code: int) -> None:
    with tempfile.TemporaryDirectory(prefix="icr-") as var:
        (Path(var) / MARKER).touch()
        with subprocess.Popen(
            [sys.executable, "-c", FOLLOW, var, "sh", "-c", does],
            cwd=CODE, env={**os.environ}, stdout=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            assert running.stdout is not None
            assert running.stdout.readline() == "begun\n"
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == code
