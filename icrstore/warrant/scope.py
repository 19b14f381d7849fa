"""Scope as a predicate: what a request may ask under its warrant, and what a record must match."""

from datetime import datetime, timedelta

from icrstore.seal.epoch import hour_start
from icrstore.warrant.statements import (
    MOST_ACCOUNTS,
    AddressSelector,
    HourRange,
    Request,
    Warrant,
)
from icrstore.warrant.strict import StatementError


def check_within(request: Request, warrant: Warrant) -> None:
    """Everything the request asks is within the warrant: selectors, targets, hours; and one
    disclosure can name all whom the warrant lets its answer name.

    Raises `StatementError` with the field that reaches outside.
    """
    if not set(request.selectors) <= set(warrant.selectors):
        raise StatementError("outside-the-warrant", "selectors")
    if not set(request.targets) <= set(warrant.targets):
        raise StatementError("outside-the-warrant", "targets")
    if bool(request.targets) != bool(warrant.targets):
        raise StatementError("does-not-fit-the-purpose", "targets")
    if not all(_inside(hours, warrant.hours) for hours in request.hours):
        raise StatementError("outside-the-warrant", "hours")
    if not all(_covers(request, selector) for selector in request.selectors
               if isinstance(selector, AddressSelector)):  # fmt: skip
        raise StatementError("outside-the-hours", "selectors")
    if most_named(request, warrant) > MOST_ACCOUNTS:
        # Told only once the answer is to be logged, it would be after the records were opened.
        raise StatementError("too-many-names", "selectors")


def most_named(request: Request, warrant: Warrant) -> int:
    """How many accounts the answer may name: those asked for, or of each address as many as may be
    told, and one always."""
    if warrant.purpose == "resolve":
        return len(request.selectors) * max(warrant.max_candidates, 1)
    return len(request.selectors)


def asks_of(request: Request, moment: datetime) -> bool:
    """Whether a record of this moment is one that the request may see."""
    return any(hours.first <= moment < hours.end for hours in request.hours)


def _inside(inner: HourRange, outer: HourRange) -> bool:
    return outer.first <= inner.first and inner.end <= outer.end


def _covers(request: Request, selector: AddressSelector) -> bool:
    """Whether the hours that the selector's time can fall in are all asked for."""
    hour, last = hour_start(selector.at - selector.tolerance), selector.at + selector.tolerance
    while hour <= last:
        if not asks_of(request, hour):
            return False
        hour += timedelta(hours=1)
    return True
