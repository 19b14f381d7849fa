"""Serve until told to stop: finish what runs, then end with 0."""

import os
import signal
import sqlite3
import threading
from pathlib import Path

from icrstore.keeper.errors import Refused, StoreLost
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.server import EXIT_STORE_LOST, Server, log
from icrstore.keeper.upkeep import keep_up

UPKEEP_SECONDS = 60.0
_STOP = (signal.SIGTERM, signal.SIGINT)


def serve(folder: Path, socket_path: Path) -> None:
    """Returns when SIGTERM or SIGINT came and the requests that ran are answered."""
    # Blocked before there are threads, so that the signal waits for us whichever thread it finds:
    # a handler would run only once the main thread woke up by itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    keeper = Keeper.open(folder)
    _keep_up(keeper)
    server = Server(socket_path, keeper)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}).start()
    log("serving")
    while signal.sigtimedwait(_STOP, UPKEEP_SECONDS) is None:
        _keep_up(keeper)
    server.finish()
    _keep_up(keeper)
    socket_path.unlink(missing_ok=True)
    keeper.close()


def _keep_up(keeper: Keeper) -> None:
    """A clock that is behind is told at every call, and must not stop the witness."""
    try:
        keeper.strangers.write(keeper.store)
        keep_up(keeper)
    except Refused as refused:
        log(f"upkeep refused: {refused.code}")
    except (StoreLost, sqlite3.OperationalError, OSError):
        log("upkeep: store lost")
        os._exit(EXIT_STORE_LOST)
