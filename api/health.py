"""Is the process alive, and can it take a batch?"""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from api import problems
from icrstore.inbox.models import IntakeKey
from icrstore.seal.epoch import hour_start


def alive(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"state": "alive"})


def ready(request: HttpRequest) -> HttpResponse:
    """200 once the database answers and this hour's intake key is published."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        published = IntakeKey.objects.filter(hour=hour_start(timezone.now())).exists()
    except DatabaseError:
        return problems.response(503, "no-database", "PostgreSQL does not answer")
    if not published:
        return problems.response(503, "no-intake-key", "no sealer has published this hour's key")
    return JsonResponse({"state": "ready"})
