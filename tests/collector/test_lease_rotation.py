"""A log of leases that is renamed while it is followed: what was written last into it counts."""

from pathlib import Path

import pytest

from icrstore.collector.leases import LeaseFile
from tests.collector.test_lease_logs import ADDRESS, entry, moment, who


@pytest.mark.parametrize("new", ["", entry("Alive", 9, "bob", "2")])
@pytest.mark.parametrize("is_kept", [True, False])
def test_what_was_written_before_a_log_was_renamed_is_read(
    tmp_path: Path, new: str, is_kept: bool
) -> None:
    path, renamed = tmp_path / "detail", tmp_path / "detail-1"
    path.write_text(entry("Start", 0))
    followed = LeaseFile(path)
    assert who(followed.current(lambda: moment(5)), ADDRESS, 4) == "ann"
    with path.open("a") as log:
        log.write(entry("Stop", 6) + entry("Start", 7, "bob", "2"))
    path.rename(renamed)
    if not is_kept:  # Compressed, and gone before we look.
        renamed.unlink()
    path.write_text(new)
    leases = followed.current(lambda: moment(10))
    assert [who(leases, ADDRESS, minute) for minute in (5, 6.5, 8)] == ["ann", None, "bob"]
    with path.open("a") as log:
        log.write(entry("Stop", 11, "bob", "2"))
    leases = followed.current(lambda: moment(12))
    assert [who(leases, ADDRESS, minute) for minute in (5, 6.5, 8, 11)] == [
        "ann", None, "bob", None
    ]  # fmt: skip
    followed.close()


def test_the_one_before_is_read_until_the_new_one_has_something(tmp_path: Path) -> None:
    """Whoever writes it is told of the new one only after it is there."""
    path = tmp_path / "detail"
    path.write_text(entry("Start", 0))
    followed = LeaseFile(path)
    assert who(followed.current(lambda: moment(20)), ADDRESS, 8) == "ann"
    with path.open("a") as log:
        path.rename(tmp_path / "detail-1")
        path.touch()
        for more, name in ((entry("Stop", 5), "ann"), (entry("Start", 6, "bob", "2"), None)):
            assert who(followed.current(lambda: moment(20)), ADDRESS, 8) == name
            log.write(more)
            log.flush()
    path.write_text(entry("Stop", 9, "bob", "2"))
    leases = followed.current(lambda: moment(21))
    assert [who(leases, ADDRESS, minute) for minute in (4, 5.5, 8, 9)] == [
        "ann", None, "bob", None
    ]  # fmt: skip
    followed.close()
