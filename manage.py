#!/usr/bin/env python3
"""Operators' commands: tenants, authorities, collectors, subscribers, migrations, months."""

import os
import sys

from django.core.management import execute_from_command_line

from icrstore.shell.harden import harden

NO_DATABASE = """\
ICR_DATABASE_URL is not set, so there is no installation to talk to. Beside one, run:
  .venv/bin/python -m deploy.supervisor run admin ./manage.py tenant list"""

if __name__ == "__main__":
    harden()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")
    asks_for_help = {"help", "-h", "--help"} & set(sys.argv) or len(sys.argv) == 1
    if not os.environ.get("ICR_DATABASE_URL") and not asks_for_help:
        sys.exit(NO_DATABASE)
    execute_from_command_line(sys.argv)
