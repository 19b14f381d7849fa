"""What the store knows of its clock."""

from dataclasses import dataclass

from icrstore.keeper.store import Connection


@dataclass(frozen=True)
class ClockRow:
    """The last leaf of any log, the last moment at which the clock was known to be right (Unix
    seconds both), and the boot clock at that leaf."""

    last_leaf_at: int
    trusted_at: int
    boot: str
    boot_seconds: int


def clock(tx: Connection) -> ClockRow | None:
    """None before the first leaf."""
    row = tx.execute("SELECT last_leaf_at, trusted_at, boot, boot_seconds FROM clock").fetchone()
    return ClockRow(*row) if row else None


def set_last_leaf_at(tx: Connection, unix_seconds: int) -> None:
    tx.execute(
        "INSERT INTO clock VALUES (1, ?1, ?1, '', 0)"
        " ON CONFLICT (id) DO UPDATE SET last_leaf_at = ?1",
        (unix_seconds,),
    )


def trust_clock(tx: Connection, unix_seconds: int) -> None:
    tx.execute("UPDATE clock SET trusted_at = ?", (unix_seconds,))


def set_boot(tx: Connection, boot: str, seconds: int) -> None:
    tx.execute("UPDATE clock SET boot = ?, boot_seconds = ?", (boot, seconds))
