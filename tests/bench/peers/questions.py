"""What a peer is asked once it holds the records, in plain values: it may run where none of our
packages is.

Answers have the shape of `tests.bench.duck`, so that they can be compared row by row.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable


@dataclass(frozen=True)
class Network:
    """``low`` and ``high`` are its first and last address, as text."""

    cidr: str
    low: str
    high: str


@dataclass(frozen=True)
class Question:
    """Times are text with an offset from UTC, ``end`` the first that is not meant; addresses are
    text. Of ``resolve`` it has address, port and protocol, of the others the account."""

    name: str
    purpose: Literal["resolve", "services", "reached"]
    first: str
    end: str
    account: str = ""
    address: str = ""
    port: int = 0
    protocol: int = 0
    networks: tuple[Network, ...] = ()

    def to_object(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Question":
        networks = tuple(Network(**each) for each in told.pop("networks"))
        return cls(**told, networks=networks)


@runtime_checkable
class Answering(Protocol):
    """``answer`` gives bare rows as Python values, ``same_shape`` makes of them what is compared.
    What ``prepare`` does is not counted."""

    def prepare(self, question: Question) -> None: ...
    def answer(self, question: Question) -> list[Any]: ...
    def same_shape(self, question: Question, rows: list[Any]) -> list[Any]: ...


def answered(peer: Answering, questions: Sequence[Question], rounds: int) -> dict[str, Any]:
    """By question: its answer, and the milliseconds of each round after the first."""
    made: dict[str, Any] = {one.name: {"warm": []} for one in questions}
    for number in range(rounds + 1):
        for one in questions:
            peer.prepare(one)
            began = time.perf_counter()
            rows = peer.answer(one)
            milliseconds = 1000 * (time.perf_counter() - began)
            if number:
                made[one.name]["warm"].append(milliseconds)
            else:
                made[one.name]["answer"] = peer.same_shape(one, rows)
    return made
