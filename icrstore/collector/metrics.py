"""What a service counts, as Prometheus reads it (text exposition format 0.0.4), over HTTP.

No label holds an address or an account: they are reasons, states, and names of an input's fields.
"""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from icrstore.flow.readers import Tally
from icrstore.shell.stop import UNAVAILABLE, Stop

_FIELD = re.compile(r"[A-Za-z_@][\w.@-]{0,63}", re.ASCII)
_MOST_FIELDS = 200
_OTHER = "(other)"

Status = Mapping[str, Any]

# name: (type, help, the label's name or "")
_COUNTERS = {
    "records_read": ("records read, of which those below were left out", ""),
    "not_records": ("what was read and is no record of a subscriber's, by reason", "reason"),
    "left_out": ("values of the input that no record has and that stayed here, by field", "field"),
    "records_refused": ("records that were not spooled, by reason", "reason"),
    "records_pushed": ("records that the store accepted", ""),
    "records_sealed": ("records in batches with a sealed receipt", ""),
    "records_rejected": ("records that the store rejected, by reason", "reason"),
    "batches_refused": ("batches that the store did not take or set aside, by code", "code"),
    "gaps": ("stretches of time noted as missing, by reason", "why"),
    "kernel_drops": ("datagrams that the kernel dropped, since nobody read them in time", ""),
    "strangers": ("datagrams and connections from addresses that may not send", ""),
    "push_failures": ("times that pushing stopped and will be tried again", ""),
}


class Metrics:
    """Counters; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTERS}
        # Seconds since 1970, of the last time that the store accepted or sealed a batch.
        self.last_push: int | None = None

    def add(self, name: str, count: int = 1, label: str = "") -> None:
        with self._lock:
            self._counts[name][label] += count

    def count(self, tally: Tally) -> None:
        """What became of an input."""
        with self._lock:
            self._counts["records_read"][""] += tally.records
            self._counts["not_records"].update(tally.not_records)
            fields = self._counts["left_out"]
            for field, count in tally.left_out.items():
                # An input may name its fields as it likes, and as many as it likes.
                is_shown = field in fields or (len(fields) < _MOST_FIELDS)
                fields[field if is_shown and _FIELD.fullmatch(field) else _OTHER] += count

    def told(self, event: str, records: int, more: Mapping[str, Any]) -> None:
        """What a push tells of, as it happens."""
        if event in ("accepted", "sealed"):
            self.last_push = int(time.time())
        if event == "accepted":
            self.add("records_pushed", records)
        elif event == "sealed":
            self.add("records_sealed", more["sealed"])
            for reason, count in more["rejected"].items():
                self.add("records_rejected", count, reason)
        elif event == "refused":
            self.add("batches_refused", 1, more["code"])
        elif event == "stopped":
            self.add("push_failures")

    def totals(self) -> dict[str, Any]:
        """Each counter: a number, or numbers by label."""
        with self._lock:
            return {
                name: {key: n for key, n in sorted(counts.items()) if n}
                if _COUNTERS[name][1]
                else counts[""]
                for name, counts in self._counts.items()
            }

    def text(self, status: Status) -> str:
        """All counters, and what the status says of this moment."""
        lines: list[str] = []
        for name, value in self.totals().items():
            about, label = _COUNTERS[name]
            lines += _family(f"{name}_total", "counter", about, label, value)
        spool = status["spool"]
        by_state = spool["states"]
        for name, about, value in (
            ("spool_bytes", "what the spooled bodies take", spool["bytes"]),
            ("spool_most_bytes", "the cap at which the collector blocks", spool["most_bytes"]),
            ("held_records", "records read that are in no batch yet", spool["held_records"]),
            ("oldest_waiting_seconds", "how long the oldest batch waits for its sealed receipt",
             spool["oldest_waiting_seconds"]),
            ("gaps_untold", "gaps of which no sealed batch tells yet", len(status["gaps"])),
            ("clock_skew_seconds", "by how much this clock is ahead of the store's",
             status["clock_skew_seconds"]),
            ("last_push_timestamp_seconds", "when the store last accepted or sealed a batch",
             status["last_push"]),
            ("is_blocked", "1 while the spool has no room and nothing is read",
             int(status["is_blocked"])),
            ("problems", "inputs that cannot be read as they are", len(status["problems"])),
        ):  # fmt: skip
            lines += _family(name, "gauge", about, "", value)
        for what in ("batches", "records"):
            values = {state: told[what] for state, told in by_state.items()}
            lines += _family(f"spool_{what}", "gauge", f"{what} in the spool, by state", "state",
                             values)  # fmt: skip
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str, label: str, value: Any) -> list[str]:
    full = f"icr_collect_{name}"
    head = [f"# HELP {full} {about}", f"# TYPE {full} {kind}"]
    if value is None:
        return []
    if not label:
        return [*head, f"{full} {value}"]
    return head + [f'{full}{{{label}="{_escaped(key)}"}} {n}' for key, n in value.items()]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Served:
    """`/metrics` and `/status` over HTTP, to whoever reaches the address: loopback, if not told
    otherwise. It takes nothing."""

    def __init__(
        self, address: tuple[str, int], metrics: Metrics, status: Callable[[], Status]
    ) -> None:
        """Raises `Stop` if the address is taken."""
        pages = {
            "/metrics": ("text/plain; version=0.0.4", lambda: metrics.text(status())),
            "/status": ("application/json", lambda: json.dumps(status())),
        }
        try:
            self._server = ThreadingHTTPServer(address, _handler(pages))
        except OSError as error:
            why = f"{address[0]}:{address[1]}: {error.strerror}: name another in [metrics] listen"
            raise Stop(UNAVAILABLE, why) from None
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(
    pages: Mapping[str, tuple[str, Callable[[], str]]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path not in pages:
                self.send_error(404)
                return
            kind, made = pages[self.path]
            body = made().encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
