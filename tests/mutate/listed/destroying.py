"""What must hold before a day's rows go, and what its certificate must show to anybody."""

from tests.mutate.mutation import Mutation

FUNCTIONS = "icrstore/retention/migrations/0002_functions.py"
VERIFY = "icrstore/verify/icr_verify.py"

CHANGED = "tests/verify/test_certificate.py::test_what_was_changed_is_named"

MUTATIONS = (
    Mutation(
        "forget-certified-by-both",
        FUNCTIONS,
        " HAVING count(DISTINCT role) = 2",
        "tests/retention/test_forget.py::test_an_expired_day_goes_once_both_have_certified_it",
        "",
    ),
    Mutation(
        "forget-no-living-day",
        FUNCTIONS,
        "WHERE tenant_id = tenant AND retention_is_expired(day)",
        "tests/retention/test_forget.py::test_a_certificate_of_a_living_day_destroys_nothing",
        "WHERE tenant_id = tenant",
    ),
    Mutation(
        "drop-no-living-month",
        FUNCTIONS,
        "NOT retention_is_expired((first + interval '1 month')::date - 1)\n            OR ",
        "tests/retention/test_forget.py::test_no_month_with_a_living_day_is_dropped_even_an_empty_one",
        "",
    ),
    Mutation(
        "verify-certificate-of-both",
        VERIFY,
        'raise Wrong("there is not one certificate of each role")',
        f"{CHANGED}[twice_one_role-certificate]",
    ),
    Mutation(
        "verify-certificate-text",
        VERIFY,
        'raise Wrong("the leaf is no certificate, or of another private text")',
        f"{CHANGED}[more_epochs-operator-leaf]",
    ),
    Mutation(
        "verify-certificate-day",
        VERIFY,
        'raise Wrong("the leaf certifies another day, or another tenant\'s")',
        f"{CHANGED}[another_tenant-operator-leaf]",
    ),
    Mutation(
        "verify-certificate-year",
        VERIFY,
        'raise Wrong("the leaf was written before the day\'s year was over")',
        "tests/verify/test_certificate.py::test_a_day_certified_before_its_year_was_over_is_told[364-False]",
    ),
)
