"""Our cost beside a peer's, round by round: ratios, and what each took for a million records."""

from collections.abc import Iterator, Sequence

from tests.bench.measure import Cost, Spread
from tests.bench.results import Result

KINDS = (("cpu", "cpu-s/M", ""), ("wall", "s/M", ".wall"))


def speeds(id: str, about: str, ours: Sequence[Cost], theirs: Sequence[Cost]) -> Iterator[Result]:
    """How many times our cost theirs is."""
    for kind, _, suffix in KINDS:
        pairs = zip(ours, theirs, strict=True)
        ratios = [getattr(their, kind) / getattr(our, kind) for our, their in pairs]
        yield Result(f"{id}{suffix}", f"beside {about}, by {kind}", "x", Spread.of(ratios))


def costs(id: str, about: str, count: int, costs: Sequence[Cost]) -> Iterator[Result]:
    """Seconds for a million records, where ``count`` were loaded."""
    for kind, unit, _ in KINDS:
        seconds = [getattr(cost, kind) * 1e6 / count for cost in costs]
        yield Result(f"{id}.{kind}", about, unit, Spread.of(seconds))


def each(id: str, about: str, unit: str, values: Sequence[float]) -> Result:
    return Result(id, about, unit, Spread.of(values))
