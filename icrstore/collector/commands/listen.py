"""``icr-collect listen``: the service, but for what else the config names."""

import argparse

from icrstore.collector.commands import run as service

NAME = "listen"
ABOUT = "Listen where the config says, and push what comes there."
TEACHES = """example:
  icr-collect listen --config edge-1.toml

As `icr-collect run`, whose help shows the config, with its [[listen]] sections alone."""

add = service.add


def run(given: argparse.Namespace) -> int:
    return service.run(given, "listen")
