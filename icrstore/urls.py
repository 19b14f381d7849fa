"""Where each door is; the doors themselves are in `api`, a module for each audience."""

from django.urls import path

from api import collectors, health, investigators, schema
from api.pages import access, docs

urlpatterns = [
    path("v1/enrolments", collectors.EnrolmentsView.as_view()),
    path("v1/intake-key", collectors.IntakeKeyView.as_view()),
    path("v1/batches", collectors.BatchesView.as_view()),
    path("v1/batches/<str:batch_id>", collectors.BatchView.as_view()),
    path("v1/warrants", investigators.WarrantsView.as_view()),
    path("v1/queries", investigators.QueriesView.as_view()),
    path("v1/queries/<str:query_id>", investigators.QueryView.as_view()),
    path("v1/queries/<str:query_id>/disclosure", investigators.DisclosureView.as_view()),
    path("v1/schema", schema.SchemaView.as_view()),
    path("docs", docs.docs),
    path("access.css", access.style),
    path("access/<str:tenant>", access.record),
    path("access/<str:tenant>/code", access.ask),
    path("access/<str:tenant>/enter", access.enter),
    path("access/<str:tenant>/leave", access.leave),
    path("access/<str:tenant>/proof/<str:entry>", access.proof),
    path("healthz", health.AliveView.as_view()),
    path("readyz", health.ReadyView.as_view()),
]

# Where Django would show a page.
handler400 = "api.problems.bad_request"
handler404 = "api.problems.no_such_door"
handler500 = "api.problems.failed"
