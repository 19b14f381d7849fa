"""Tells systemd how the service stands (sd_notify(3)); nothing where nobody asks."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """As ``READY=1`` or ``STOPPING=1``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(state.encode(), address)
