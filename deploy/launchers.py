"""Writes the commands that pyproject.toml names into this virtual environment, without a network.

An editable install would need a build backend and write into the checkout, which may be read-only.
"""

import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A shell finds the interpreter: the kernel cuts long "#!" lines and takes no space in them.
LAUNCHER = """\
#!/bin/sh
'''exec' '{python}' "$0" "$@"
' '''
import sys
from {module} import {function}
sys.exit({function}())
"""


def write_launchers() -> None:
    """Put the checkout on sys.path and write one executable for each of [project.scripts]."""
    (Path(sysconfig.get_path("purelib")) / "icrstore.pth").write_text(f"{ROOT}\n")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, target in scripts.items():
        module, function = target.split(":")
        launcher = Path(sys.executable).with_name(name)
        text = LAUNCHER.format(python=sys.executable, module=module, function=function)
        launcher.write_text(text)
        launcher.chmod(0o755)


if __name__ == "__main__":
    write_launchers()
