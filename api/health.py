"""Is the process alive, and can it take a batch?"""

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from api.doors import Door, json_response
from api.problems import Problem
from icrstore.inbox.models import IntakeKey
from icrstore.seal.epoch import hour_start


class AliveView(Door):
    def get(self, request: Request) -> HttpResponse:
        """200 while the process answers at all."""
        return json_response(200, {"state": "alive"})


class ReadyView(Door):
    def get(self, request: Request) -> HttpResponse:
        """200 once the database answers and this hour's intake key is published."""
        if not IntakeKey.objects.filter(hour=hour_start(timezone.now())).exists():
            raise Problem(503, "no-intake-key", "no sealer has published this hour's key")
        return json_response(200, {"state": "ready"})
