#!/usr/bin/env python3
"""Operators' commands: tenants, authorities, collectors, migrations, months."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")
    execute_from_command_line(sys.argv)
