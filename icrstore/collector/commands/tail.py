"""``icr-collect tail``: the service, but for what else the config names."""

import argparse

from icrstore.collector.commands import run as service

NAME = "tail"
ABOUT = "Follow the files that the config names, and push what they have."
TEACHES = """example:
  icr-collect tail --config edge-1.toml

As `icr-collect run`, whose help shows the config, with its [[tail]] sections alone."""

add = service.add


def run(given: argparse.Namespace) -> int:
    return service.run(given, "tail")
