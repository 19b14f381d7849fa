"""Where each door is; the doors themselves are in `api`, a module for each audience."""

from django.urls import path

from api import collectors, health, investigators

urlpatterns = [
    path("v1/enrolments", collectors.EnrolmentsView.as_view()),
    path("v1/intake-key", collectors.IntakeKeyView.as_view()),
    path("v1/batches", collectors.BatchesView.as_view()),
    path("v1/batches/<str:batch_id>", collectors.BatchView.as_view()),
    path("v1/warrants", investigators.WarrantsView.as_view()),
    path("v1/queries", investigators.QueriesView.as_view()),
    path("v1/queries/<str:query_id>", investigators.QueryView.as_view()),
    path("v1/queries/<str:query_id>/disclosure", investigators.DisclosureView.as_view()),
    path("healthz", health.AliveView.as_view()),
    path("readyz", health.ReadyView.as_view()),
]

# Where Django would show a page.
handler400 = "api.problems.bad_request"
handler404 = "api.problems.no_such_door"
handler500 = "api.problems.failed"
