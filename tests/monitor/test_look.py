"""Both logs followed from outside: each fault provoked and named, and none without one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.monitor.look import Look
from icrstore.monitor.tally import DEBTS
from icrstore.seal.epoch import ROLES, Role
from icrstore.tlog.checkpoint import verify_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import root_of, verify_consistency
from icrstore.tlog.note import ED25519, SigningKey
from tests.monitor.published import Published

each_role = pytest.mark.parametrize("role", ROLES)


@pytest.fixture
def published() -> Published:
    """One question that went its way: committed, released, disclosed, told."""
    made = Published()
    made.add("epoch", count=300)
    ask(made)
    for leaf in ("release", "disclosure"):
        made.add(leaf, is_due=True)
    made.add("notice", count=2)
    return made


def ask(published: Published, count: int = 1) -> None:
    published.add("commit", count=count)


def one_fault(seen: Look) -> str:
    (told,) = seen.faults
    return told


def test_where_all_is_well_nothing_is_said(published: Published) -> None:
    first = published.look()
    assert (first.faults, first.away, first.explained) == ((), (), ())
    assert [(log.size, log.new) for log in first.logs] == [(305, 305)] * 2
    for hours in (1, 24, 24 * 30):
        published.pass_(hours=hours)
        again = published.look()
        assert again.faults == ()
        assert [log.new for log in again.logs] == [0, 0]


def test_only_what_is_new_is_fetched(published: Published) -> None:
    published.look()
    fetched: list[str] = []
    fetch = published.fetch
    published.fetch = lambda path: [fetched.append(path), fetch(path)][1]  # type: ignore
    published.add("epoch", count=2)
    assert [log.new for log in published.look().logs] == [2, 2]
    assert [path.rpartition("/")[2] for path in fetched] == ["checkpoint", "51"] * 2
    fetched.clear()
    published.look()
    assert [path.rpartition("/")[2] for path in fetched] == ["checkpoint"] * 2


@each_role
def test_a_log_signed_by_another_key_is_no_log(published: Published, role: Role) -> None:
    trusted = published.trust()
    published.logs[role].key = Ed25519PrivateKey.generate()
    published.trust = lambda: trusted  # type: ignore[method-assign]
    told = one_fault(published.look())
    assert told == f"{published.logs[role].origin}: its checkpoint is not signed by its keeper"


@each_role
def test_a_log_that_the_other_did_not_cosign_is_told_of(published: Published, role: Role) -> None:
    log = published.logs[role]
    published.instead[published.place(role, "checkpoint")] = log.note(log, published.now)
    assert (
        one_fault(published.look())
        == f"{log.origin}: its checkpoint is not cosigned by the other keeper"
    )


@each_role
def test_a_cosignature_by_another_key_is_told_of(published: Published, role: Role) -> None:
    other = next(log for log in published.logs.values() if log.role != role)
    forger = replace(other, witness=Ed25519PrivateKey.generate())
    note = published.logs[role].note(forger, published.now)
    published.instead[published.place(role, "checkpoint")] = note
    assert "cosigned" in one_fault(published.look())


def test_an_old_cosignature_is_told_of_and_one_to_come(published: Published) -> None:
    published.cosigned_at = published.now - timedelta(hours=2)
    assert published.look().faults == ()
    published.pass_(seconds=1)
    assert all("later leaves are missing" in line for line in published.look().faults)
    assert len(published.look().faults) == 2
    published.cosigned_at = published.now + timedelta(seconds=121)
    assert all("which is to come" in line for line in published.look().faults)


@each_role
def test_an_altered_swapped_added_or_missing_leaf_is_found_out(
    published: Published, role: Role
) -> None:
    log = published.logs[role]
    note = published.fetch(published.place(role, "checkpoint"))
    published.instead[published.place(role, "checkpoint")] = note
    whole = list(log.entries)
    for altered in (
        [whole[1], whole[0], *whole[2:]],
        [whole[0].replace(b"epoch", b"shred"), *whole[1:]],
        [*whole[:-2], whole[-1], whole[-1]],
        whole[:-1],
    ):
        log.entries = altered
        assert one_fault(published.look()).startswith(log.origin)
        assert log.origin not in published.state
    log.entries = whole
    assert published.look().faults == ()


def test_what_is_no_leaf_is_told_of(published: Published) -> None:
    published.operator.entries.append(b"v=1\ntype=gift\n")
    assert one_fault(published.look()) == f"{published.operator.origin}: an entry is no leaf"


def test_days_that_go_back_are_told_of_also_across_two_looks(published: Published) -> None:
    published.look()
    published.operator.add("epoch", published.now - timedelta(days=1))
    for _ in range(2):
        assert one_fault(published.look()).endswith("the days of its leaves go back")


def test_a_log_that_lost_leaves_is_told_of_and_not_forgotten(published: Published) -> None:
    published.look()
    lost = published.operator.entries.pop()
    for _ in range(2):
        assert "fewer leaves than it had" in one_fault(published.look())
    assert published.state[published.operator.origin].seen.checkpoint.size == 305
    published.operator.entries.append(lost)
    assert published.look().faults == ()


@pytest.mark.parametrize("size", [1, 7, 8, 256, 305])
@pytest.mark.parametrize("more", [0, 1, 300])
def test_a_fork_is_told_of_with_evidence_that_anyone_can_check(
    published: Published, size: int, more: int
) -> None:
    log = published.operator
    del log.entries[size:]
    published.look()
    log.entries[size // 2] = log.entries[size // 2].replace(b"epoch", b"shred")
    log.add("epoch", published.now, count=more)
    seen = published.look()
    assert "it forked" in one_fault(seen)
    (fork,) = seen.forks
    key = SigningKey(log.origin, log.key).verifier(ED25519)
    older, newer = (verify_checkpoint(note, log.origin, key) for note in fork.notes)
    assert (older.size, newer.size) == (size, size + more)
    if more:
        # The newer log grew from a tree of that size, and it is not the one that was signed.
        then = root_of(log.entries[:size])
        proof = fork.path[1:] if size & (size - 1) == 0 else fork.path
        assert len(proof) == len(fork.path) or fork.path[0] == then
        verify_consistency(size, newer.size, proof, then, newer.root)
        with pytest.raises(LogError, match="wrong"):
            verify_consistency(size, newer.size, proof, older.root, newer.root)
    else:
        assert (fork.path, older.root == newer.root) == ((), False)
    # What was seen first stays what is believed.
    assert published.look().forks != ()


def test_a_server_that_is_away_is_no_fault_and_forgets_nothing(published: Published) -> None:
    published.look()
    before, published.is_away = published.state, True
    seen = published.look()
    assert (seen.faults, len(seen.away), published.state) == ((), 2, before)


def test_a_log_that_is_not_there_is_a_fault(published: Published) -> None:
    published.instead[published.place("operator", "checkpoint")] = None
    assert "the server has no /ledger/operator/" in one_fault(published.look())


def unended(published: Published) -> None:
    ask(published)


def undisclosed(published: Published) -> None:
    ask(published)
    published.add("release", is_due=True)


def untold(published: Published) -> None:
    undisclosed(published)
    published.add("disclosure", is_due=True)


@pytest.mark.parametrize(
    ("debt", "kind", "count", "minutes"),
    [(unended, "unended", 1, 30), (undisclosed, "undisclosed", 1, 1440),
     (untold, "untold", 2, 1440)],
)  # fmt: skip
def test_a_debt_is_told_of_once_its_time_is_over(
    published: Published, debt: Callable[[Published], None], kind: str, count: int, minutes: int
) -> None:
    published.look()
    debt(published)
    published.look()
    published.pass_(minutes=minutes, seconds=-1)
    assert published.look().faults == ()
    published.pass_(seconds=1)
    for _ in range(2):
        assert published.look().faults == tuple(
            f"{origin}: {count} {DEBTS[kind]}" for origin in published.origins
        )


def test_a_commit_that_expired_is_ended_and_owes_nothing(published: Published) -> None:
    """Also where the other keeper never took it: it was given back."""
    published.look()
    ask(published, count=2)
    published.add("expired", count=2)
    published.operator.add("commit", published.now)
    published.operator.add("expired", published.now)
    published.look()
    published.pass_(days=2)
    assert published.look().faults == ()


def test_what_is_paid_is_no_debt_any_more(published: Published) -> None:
    published.look()
    untold(published)
    published.look()
    published.pass_(days=2)
    assert len(published.look().faults) == 2
    published.add("notice", count=2)
    assert published.look().faults == ()


def test_a_release_of_an_address_owes_no_disclosure_and_no_notice(published: Published) -> None:
    published.look()
    ask(published)
    published.add("release")
    published.look()
    published.pass_(days=2)
    assert published.look().faults == ()


def test_a_commit_that_the_other_log_never_had_is_told_of(published: Published) -> None:
    published.look()
    for leaf in ("commit", "release"):
        published.operator.add(leaf, published.now)
    published.look()
    published.pass_(hours=24)
    assert one_fault(published.look()) == f"{published.operator.origin}: 1 {DEBTS['alone']}"
    published.oversight.add("commit", published.now)
    assert published.look().faults == ()


def test_a_first_look_knows_by_their_days_which_debts_are_old(published: Published) -> None:
    """Without a look before, a leaf may be as young as the end of its day: here in half an hour."""
    untold(published)
    ask(published)

    def told() -> set[str]:
        published.state = {}
        return {line.partition(": ")[2] for line in published.look().faults}

    published.pass_(minutes=59)
    assert told() == set()
    published.pass_(minutes=1)
    assert told() == {f"1 {DEBTS['unended']}"}
    published.add("epoch")
    assert told() == {f"1 {DEBTS['unended']}"}
    published.pass_(hours=23, minutes=29)
    assert told() == {f"1 {DEBTS['unended']}"}
    published.pass_(minutes=1)
    assert told() == {f"1 {DEBTS['unended']}", f"2 {DEBTS['untold']}"}


def test_what_was_explained_is_no_fault_and_what_is_more_is(published: Published) -> None:
    published.look()
    untold(published)
    published.look()
    published.pass_(days=2)
    accepted = published.look(accept=True)
    assert (accepted.faults, len(accepted.explained)) == ((), 2)
    untold(published)
    assert published.look().faults == ()
    published.pass_(days=2)
    again = published.look()
    assert {line.partition(": ")[2] for line in again.faults} == {f"2 {DEBTS['untold']}"}
    # Two were told, whichever: the explained ones stand for nothing any more.
    published.add("notice", count=4)
    assert published.look().explained == ()
    untold(published)
    published.look()
    published.pass_(days=2)
    assert len(published.look().faults) == 2
