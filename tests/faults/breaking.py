"""One process of a role that breaks at a chosen point: `python -m tests.faults.breaking LOOK`.

It loads the program once and forks a child for every line of JSON on its input, which does one
look (or serves requests) exactly as the real process would, but for one call of one function:

    {"at": "module:name", "when": "before" or "after", "n": 1, "since": "module:name",
     "how": "kill", "fail" or "pause"}

Nothing in the program itself knows of this. The n-th call counts from the first call of "since".
"kill" is SIGKILL to itself, "fail" a lost connection, "pause" SIGSTOP until somebody continues it.
The line's answer is the child's process id; an empty line waits for that child's end.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django

LOOKS = {
    "seal": "icrstore.vault.tasks:seal",
    "answer": "icrstore.query.tasks:answer",
    "serve": "tests.faults.breaking:serve",
}


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


def serve() -> None:
    """The real web application, one request after the other, until it is killed."""
    from django.conf import settings

    from icrstore.wsgi import application

    where = urlsplit(f"//{settings.AUTHORITY}")

    def whole(environ: Any, start: Any) -> list[bytes]:
        # In one piece, so that its length is told: gunicorn does that by itself.
        response = application(environ, start)
        try:
            return [b"".join(response)]
        finally:
            response.close()

    with make_server(where.hostname or "", where.port or 0, whole, handler_class=Quiet) as server:
        server.serve_forever()


def main(look: str) -> None:
    django.setup()
    run = _named(LOOKS[look])[2]
    if look == "serve":
        importlib.import_module("icrstore.urls")  # once, not in every child
    print("ready", flush=True)
    child = 0
    for line in sys.stdin:
        if line.strip():
            if child:  # its test failed before it asked for the end
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            child = os.fork()
            if not child:
                _child(run, json.loads(line))
            print(child, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            child = 0


def _child(run: Callable[[], None], point: dict[str, Any]) -> None:
    try:
        if point:
            _break(**point)
        run()
        code = 0
    except Exception:
        traceback.print_exc()
        code = 1
    os._exit(code)


def _break(at: str, when: str, n: int, since: str, how: str) -> None:
    """Wrap the function, and the one from whose first call on its calls count."""
    seen = {"since": not since, "calls": 0}
    if since:
        _wrap(since, lambda real: _noting(real, seen))
    _wrap(at, lambda real: _breaking(real, when, n, how, seen))


def _noting(real: Callable[..., Any], seen: dict[str, Any]) -> Callable[..., Any]:
    def noting(*arguments: Any, **named: Any) -> Any:
        seen["since"] = True
        return real(*arguments, **named)

    return noting


def _breaking(
    real: Callable[..., Any], when: str, n: int, how: str, seen: dict[str, Any]
) -> Callable[..., Any]:
    def breaking(*arguments: Any, **named: Any) -> Any:
        seen["calls"] += bool(seen["since"])
        due = seen["since"] and seen["calls"] == n
        if due and when == "before":
            _strike(how)
        made = real(*arguments, **named)
        if due and when == "after":
            _strike(how)
        return made

    return breaking


def _strike(how: str) -> None:
    from django.db import OperationalError

    if how == "fail":
        raise OperationalError("the connection was lost")
    os.kill(os.getpid(), signal.SIGSTOP if how == "pause" else signal.SIGKILL)


def _wrap(place: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    owner, name, real = _named(place)
    setattr(owner, name, around(real))


def _named(place: str) -> tuple[Any, str, Any]:
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name, getattr(owner, name)


if __name__ == "__main__":
    main(sys.argv[1])
