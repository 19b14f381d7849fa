"""The description of all doors, for machines; `api.pages.docs` shows it to people."""

from django.http import HttpResponse
from rest_framework.request import Request

from api.document import PATH
from api.doors import Door


class SchemaView(Door):
    def get(self, request: Request) -> HttpResponse:
        """OpenAPI 3.1, as it is committed."""
        return HttpResponse(PATH.read_bytes(), content_type="application/json")
