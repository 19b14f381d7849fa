"""The fuzzer's short form: half a second of damaged exports, by a seed that stays."""

import pytest

from .fuzz_exports import fuzz, main


def test_damaged_exports_are_read_for_a_while() -> None:
    assert fuzz(7, 0.5) > 10


def test_its_help_says_how_to_run_it_longer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--seconds 600" in capsys.readouterr().out
