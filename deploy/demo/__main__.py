"""Run by `deploy/demo.sh` beside a running installation: tells the story, then minds the outbox.

Exits with 0 when all was shown, 1 when something that is promised did not happen, 65 for an input
without a record.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from deploy.demo import story
from deploy.demo.own_log import NoRecords
from deploy.demo.telling import Telling, Untrue
from deploy.installation import Installation
from deploy.layout import Layout
from deploy.provision import confirm_clocks
from icrstore.flow.errors import FlowRefused


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the story is told")
    parser.add_argument("--input", type=Path, help="your own log instead of a made-up day")
    asked = parser.parse_args()
    port = int(os.environ["ICR_URL"].rpartition(":")[2])
    site = Installation(Layout(Path(os.environ["ICR_VAR"]), port))
    confirm_clocks(site)
    telling = Telling(site, asked.input)
    try:
        account = story.tell(telling, asked.input)
    except (NoRecords, FlowRefused) as problem:
        print(f"{asked.input}: no records could be read: {problem}", file=sys.stderr)
        return os.EX_DATAERR
    except subprocess.CalledProcessError as problem:
        print(f"failed: {Path(problem.cmd[-1]).name}: see above", file=sys.stderr)
        return 1
    except Untrue as problem:
        print(f"NOT SHOWN: {problem}", file=sys.stderr)
        return 1
    if not asked.once:
        story.go_on(telling, account)
    return 0


if __name__ == "__main__":
    sys.exit(main())
