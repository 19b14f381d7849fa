"""deploy/THREATS.md leaves out no process and names no test that is not there."""

import re
from collections.abc import Iterator

import pytest

from deploy.layout import CALLS, CODE

TEXT = (CODE / "deploy" / "THREATS.md").read_text()
NAMED = re.compile(r"`(?:(?P<file>[a-z_]+/test_\w+\.py)(?:: )?)?(?P<test>test_\w+)?`")


def named() -> Iterator[tuple[str, str]]:
    """File and test, or "" for all of the file; a test without a file is of the one before."""
    file = ""
    for found in NAMED.finditer(TEXT):
        file = found["file"] or file
        if found["file"] or found["test"]:
            yield file, found["test"] or ""


def rows() -> list[list[str]]:
    """The cells of every row of every table but its head."""
    found = [line.strip("|").split("|") for line in TEXT.splitlines() if line.startswith("| ")]
    return [cells for cells in found if cells[-1].strip() != "shown by"]


@pytest.mark.parametrize(("file", "test"), sorted(set(named())))
def test_every_test_that_is_named_is_there(file: str, test: str) -> None:
    path = CODE / "tests" / file
    assert path.is_file()
    assert re.search(rf"^def {test or 'test_'}", path.read_text(), re.MULTILINE)
    if test:
        assert f"def {test}(" in path.read_text()


def test_every_line_names_what_shows_it() -> None:
    assert len(rows()) > 20
    for cells in rows():
        assert "test_" in cells[-1] or cells[-1].strip() == "above", cells[0]


@pytest.mark.parametrize("process", CALLS)
def test_every_process_has_a_line(process: str) -> None:
    assert any(re.search(rf"(^|\s|,){process}(\s|,|$)", cells[0]) for cells in rows())
