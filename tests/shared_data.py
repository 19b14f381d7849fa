"""Where the real captures lie that some tests read: beside the checkout, never in it."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
ROOT = Path(os.environ.get("ICR_TEST_DATA", _DEFAULT))


def topic(name: str) -> Path:
    """The folder of one topic of the real test data; skips the test where it is absent."""
    folder = ROOT / name
    if not folder.is_dir():
        pytest.skip(f"real test data is absent: {folder} (set ICR_TEST_DATA)")
    return folder
