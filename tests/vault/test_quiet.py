"""What the log of a process may say of an error: an account in a message must not reach it."""

import os
import subprocess
import sys

import pytest

RAISE = """
import logging
import django
django.setup()
from icrstore.celery import app
from celery.app.trace import build_tracer

@app.task
def failing():
    try:
        raise KeyError("inner-needle")
    except KeyError as error:
        raise ValueError("outer-needle") from error

build_tracer(failing.name, failing, app=app)("id", (), {}, {"hostname": "h"})
try:
    {}["plain-needle"]
except KeyError:
    logging.getLogger("anybody").exception("of %s", "argument-needle")
logging.getLogger("anybody").info("a plain line")
"""
HARDENED = """
import os
import resource
import django
django.setup()
from celery.signals import worker_init
import icrstore.celery
resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
os.umask(0o022)
worker_init.send(sender=None)
print(resource.getrlimit(resource.RLIMIT_CORE))
import ctypes
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
print(oct(os.umask(0)))
"""


def run(program: str, **env: str) -> "subprocess.CompletedProcess[str]":
    told = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "icrstore.settings", **env}
    return subprocess.run(
        [sys.executable, "-c", program], env=told, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip


@pytest.mark.parametrize("role", ["sealer", "engine"])
def test_a_task_that_fails_says_what_and_where_and_nothing_else(role: str) -> None:
    printed = run(RAISE, ICR_ROLE=role).stderr
    assert "ValueError at" in printed
    assert "KeyError at <string>:" in printed
    assert "a plain line" in printed
    for silent in ("needle", "Traceback"):
        assert silent not in printed


def test_a_worker_leaves_no_core_lets_nobody_trace_it_and_keeps_its_files_to_itself() -> None:
    assert run(HARDENED).stdout.splitlines() == ["(0, 0)", "0", "0o77"]
