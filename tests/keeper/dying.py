"""A process that dies as its store comes to the so-manieth statement of one step."""

import os
from collections.abc import Callable, Iterator

from icrstore.keeper.keeper import Keeper

DIED = 9


def deaths(open_keeper: Callable[[], Keeper], step: Callable[[Keeper], object]) -> Iterator[int]:
    """Take ``step`` in a process of its own, killed before its first statement, its second, ..
    until it gets through: after each death its number, with the store as that death left it.

    The last number is of the step that was killed after all that it wrote was durable.
    """
    number = 1
    while _dies(open_keeper, step, number):
        yield number
        number += 1
    yield number


def _dies(open_keeper: Callable[[], Keeper], step: Callable[[Keeper], object], number: int) -> bool:
    child = os.fork()
    if child == 0:
        # Whatever happens, this copy of the test run ends here.
        try:
            _step_until(open_keeper(), step, number)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, DIED), "the step failed by itself"
    return code == DIED


def _step_until(keeper: Keeper, step: Callable[[Keeper], object], number: int) -> None:
    seen = 0

    def count(_statement: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os._exit(DIED)

    with keeper.store.write() as tx:
        tx.set_trace_callback(count)
    step(keeper)
    os._exit(0)
