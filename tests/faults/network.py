"""A network between collectors and store that loses answers, breaks off and stands still."""

import random
import selectors
import socket
import threading
from collections import Counter
from contextlib import suppress

_BYTES = 1 << 16
# Of a connection: nothing happens; the request arrives and its answer is lost; it breaks off in the
# middle of the request; the answer comes a second late.
FATES = {"whole": 12, "answer-lost": 4, "cut-off": 2, "late": 2}
_LATE_SECONDS = 1.0


class Network:
    """Carries connections to ``port`` from one of its own, each with a fate of its own."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._to, self._chance = port, chance
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.fates: Counter[str] = Counter()
        self._is_closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._is_closed.set()
        self._listener.close()

    def heal(self) -> None:
        """From here on nothing more is lost."""
        self._chance = random.Random()
        self._fates = {"whole": 1}

    _fates = FATES

    def _serve(self) -> None:
        while not self._is_closed.is_set():
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            (fate,) = self._chance.choices(list(self._fates), list(self._fates.values()))
            self.fates[fate] += 1
            threading.Thread(target=_carry, args=(caller, self._to, fate), daemon=True).start()


def _carry(caller: socket.socket, port: int, fate: str) -> None:
    """One connection until either side ends it. A store that is away ends it at once."""
    with (
        caller,
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), 5) as store,
        selectors.DefaultSelector() as both,
    ):
        both.register(caller, selectors.EVENT_READ, store)
        both.register(store, selectors.EVENT_READ, caller)
        while ready := both.select(120):
            for key, _ in ready:
                if not _pass_on(key.fileobj, key.data, key.data is caller, fate):
                    return


def _pass_on(source: object, target: socket.socket, is_answer: bool, fate: str) -> bool:
    """What has come, on to the other side; False where the connection ends."""
    assert isinstance(source, socket.socket)
    part = source.recv(_BYTES)
    if not part or (is_answer and fate == "answer-lost"):
        return False
    if not is_answer and fate == "cut-off":
        target.sendall(part[: len(part) // 2])
        return False
    if is_answer and fate == "late":
        threading.Event().wait(_LATE_SECONDS)
    target.sendall(part)
    return True
