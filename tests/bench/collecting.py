"""``icr-collect push`` in a fresh process, measured; run as ``python -m tests.bench.collecting``.

Arguments: the pids of web and of PostgreSQL, whose accepting counts beside ours, joined by a comma,
then what the command takes. Nothing is sealed meanwhile, so it ends when everything is accepted,
with 75. Prints one object of JSON.
"""

import contextlib
import json
import os
import sys
from collections.abc import Sequence

from icrstore.collector import cli
from icrstore.shell.stop import TEMPORARY
from tests.bench.measure import peak_bytes, timed


def main(servers: Sequence[int], arguments: list[str]) -> None:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        status, cost = timed(lambda: cli.main(["push", *arguments]), *servers)
    if status != TEMPORARY:
        raise AssertionError(status)
    print(json.dumps({"wall": cost.wall, "cpu": cost.cpu, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main([int(pid) for pid in sys.argv[1].split(",")], sys.argv[2:])
