"""What people type of an address: with its port, without one, and wrong."""

import pytest

from icrstore.desk.selectors import address_selector, address_text
from icrstore.shell.stop import Stop
from icrstore.warrant.statements import AddressSelector

AT = "2026-11-22T21:25:00Z"


@pytest.mark.parametrize(("typed", "port"), [("2001", 2001), ("0", 0), ("", None)])
def test_a_port_may_be_left_out(typed: str, port: int | None) -> None:
    made = address_selector(f"198.51.100.200,{typed},tcp,{AT}")
    assert isinstance(made, AddressSelector)
    assert made.port == port
    shown = "tcp" if port is None else f"tcp/{port}"
    assert address_text(made.to_fields()) == (f"198.51.100.200 {shown} at {AT}, give or take 60 s")


@pytest.mark.parametrize("typed", ["x", "65536", "-1", " ", "20 01", "null"])
def test_a_port_that_is_mistyped_is_refused_and_not_left_out(typed: str) -> None:
    with pytest.raises(Stop, match="port"):
        address_selector(f"198.51.100.200,{typed},tcp,{AT}")
