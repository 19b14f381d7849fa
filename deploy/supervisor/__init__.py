"""Starts, watches and stops a small set of processes on one host, in order and without orphans.

For the demonstration, the tests and small installations; a large one uses its own init system.
"""

from deploy.supervisor.service import Identity, Service, drop_to
from deploy.supervisor.supervisor import NotReady, Supervisor

__all__ = ["Identity", "NotReady", "Service", "Supervisor", "drop_to"]
