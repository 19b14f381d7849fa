"""Where each door is; the doors themselves are in `api`, a module for each audience."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from api import collectors, health, investigators, ledger, oversight, schema, subscribers
from api.pages import access, docs


class TenantName(StringConverter):
    """As `manage.py tenant add` takes them: what can be no tenant's name finds no door."""

    regex = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


register_converter(TenantName, "tenant")

urlpatterns = [
    path("v1/enrolments", collectors.EnrolmentsView.as_view()),
    path("v1/intake-key", collectors.IntakeKeyView.as_view()),
    path("v1/batches", collectors.BatchesView.as_view()),
    path("v1/batches/<str:batch_id>", collectors.BatchView.as_view()),
    path("v1/gaps", collectors.GapsView.as_view()),
    path("v1/warrants", investigators.WarrantsView.as_view()),
    path("v1/queries", investigators.QueriesView.as_view()),
    path("v1/queries/<str:query_id>", investigators.QueryView.as_view()),
    path("v1/queries/<str:query_id>/disclosure", investigators.DisclosureView.as_view()),
    path("v1/oversight/<tenant:tenant>/accesses", oversight.AccessesView.as_view()),
    path("v1/oversight/<tenant:tenant>/refusals", oversight.RefusalsView.as_view()),
    path("v1/oversight/<tenant:tenant>/notices", oversight.NoticesView.as_view()),
    path("v1/oversight/<tenant:tenant>/gaps", oversight.GapsView.as_view()),
    path("ledger/<str:keeper>/<str:log>/checkpoint", ledger.CheckpointView.as_view()),
    path("ledger/<str:keeper>/<str:log>/fork", ledger.ForkView.as_view()),
    path("ledger/<str:keeper>/<str:log>/tile/<path:tile>", ledger.TileView.as_view()),
    path("v1/schema", schema.SchemaView.as_view()),
    path("docs", docs.docs),
    path("access.css", access.style),
    path("access/<tenant:tenant>", access.record),
    path("access/<tenant:tenant>/code", access.ask),
    path("access/<tenant:tenant>/enter", access.enter),
    path("access/<tenant:tenant>/leave", access.leave),
    path("access/<tenant:tenant>/proof/<str:entry>", access.proof),
    path("access/<tenant:tenant>/v1/me/accesses", subscribers.AccessesView.as_view()),
    path(
        "access/<tenant:tenant>/v1/me/accesses/<str:entry>/proof", subscribers.ProofView.as_view()
    ),
    path("access/<tenant:tenant>/v1/me/notices", subscribers.NoticesView.as_view()),
    path("healthz", health.AliveView.as_view()),
    path("readyz", health.ReadyView.as_view()),
]

# Where Django would show a page.
handler400 = "api.problems.bad_request"
handler404 = "api.problems.no_such_door"
handler500 = "api.problems.failed"
