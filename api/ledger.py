"""Everyone's door to the keepers' logs, as static files after C2SP tlog-tiles: copies, unsigned."""

from django.http import HttpResponse
from rest_framework.request import Request

from api.doors import Door
from api.problems import Problem
from icrstore.ledger import serve

TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
JSON = "application/json"
# A log grows within seconds; a tile, once it is there, is the same for ever.
SOON, NEVER = "public, max-age=5", "public, max-age=31536000, immutable"


class CheckpointView(Door):
    def get(self, request: Request, keeper: str, log: str) -> HttpResponse:
        """The newest checkpoint that was copied, signed by the log and cosigned."""
        try:
            return _file(serve.checkpoint(keeper, log), TEXT, SOON)
        except serve.NotCopied:
            raise _not_here() from None


class ForkView(Door):
    def get(self, request: Request, keeper: str, log: str) -> HttpResponse:
        """Two histories that the log signed; there is nothing as long as it has one."""
        try:
            return _file(serve.fork(keeper, log), JSON, SOON)
        except serve.NotCopied:
            raise _not_here() from None


class TileView(Door):
    def get(self, request: Request, keeper: str, log: str, tile: str) -> HttpResponse:
        """A hash tile, or a bundle of entries."""
        try:
            return _file(serve.tile(keeper, log, f"tile/{tile}"), BYTES, NEVER)
        except serve.NotCopied:
            raise _not_here() from None


def _file(content: bytes, media_type: str, cached: str) -> HttpResponse:
    headers = {"Cache-Control": cached, "X-Content-Type-Options": "nosniff"}
    return HttpResponse(content, content_type=media_type, headers=headers)


def _not_here() -> Problem:
    return Problem(404, "not-copied", "no such log here, or it is not that long yet")
