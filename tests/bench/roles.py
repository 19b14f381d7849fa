"""Programs of the benchmark that run in a process's role: told one JSON object, telling another."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from deploy import services
from deploy.installation import Installation
from deploy.supervisor import drop_to


def told_by(
    installation: Installation, role: str, module: str, told: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``python -m MODULE`` prints, run with the uid and the environment of that role. What it
    is told may be the keys of made-up records: it passes through a pipe and touches no disk."""
    ended = subprocess.run(
        [*drop_to(installation.layout.identity(role)), sys.executable, "-m", module],
        env=services.environment(installation.layout, role),
        cwd=installation.layout.code,
        input=json.dumps(told),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    made: dict[str, Any] = json.loads(ended.stdout)
    return made
