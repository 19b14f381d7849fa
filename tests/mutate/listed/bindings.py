"""What NATs told of: paired, cut, checked, sealed under its names, and believed no further."""

from tests.mutate.mutation import Mutation

NAT = "icrstore/collector/nat.py"
PIECES = "icrstore/collector/pieces.py"
VALIDATE = "icrstore/flow/validate.py"
BINDINGS = "icrstore/seal/bindings.py"
RUNS = "icrstore/seal/runs.py"
RESOLVE = "icrstore/query/resolve.py"

MUTATIONS = (
    Mutation(
        "delete-by-its-inside-address",
        NAT,
        "fits = np.flatnonzero(~creates & known & (rows.inside == rows.inside[last]))",
        "tests/collector/test_nat.py::test_a_delete_by_another_ends_nothing",
        "fits = np.flatnonzero(~creates & known)",
    ),
    Mutation(
        "one-connection-is-no-whole-address",
        NAT,
        "np.where(is_whole, ~is_connection, _PORTED[protocol])",
        "tests/collector/test_nat.py::test_what_says_no_port_is_no_binding",
        "np.where(is_whole, True, _PORTED[protocol])",
    ),
    Mutation(
        "binding-ends-with-its-lease",
        PIECES,
        "rows, until, ended, lost = _while_leased(leases, rows, until, ended)",
        "tests/collector/test_attribute.py::test_what_is_lent_to_an_address_is_whoever_holds_the_address",
        "lost = 0",
    ),
    Mutation(
        "one-wrong-time-fills-no-disk",
        PIECES,
        "np.minimum(hours[some], MOST_HOURS)",
        "tests/collector/test_nat.py::test_a_wrong_time_fills_no_disk",
        "hours[some]",
    ),
    Mutation(
        "binding-within-its-hour",
        VALIDATE,
        'yield "not-within-one-hour", ends > (begins // hour + 1) * hour',
        "tests/flow/test_validate_bindings.py::test_an_hours_edges_in_every_unit",
    ),
    Mutation(
        "range-that-is-none",
        VALIDATE,
        'yield "port-range-reversed", _mask(pc.greater(first, last))',
        "tests/flow/test_validate_bindings.py::test_each_reason",
    ),
    Mutation(
        "blocks-of-one-binding",
        BINDINGS,
        "(is_whole | (blocks > MOST_BLOCKS))",
        "tests/seal/test_bindings.py::test_ports_of_every_block_bring_no_more_rows_than_bindings",
        "is_whole",
    ),
    Mutation(
        "ports-kept-where-another-was-lent-some",
        RUNS,
        "shared |= _contested(",
        "tests/query/test_bindings.py::test_it_resolves",
        "_contested(",
    ),
    Mutation(
        "what-was-lent-is-contested",
        RESOLVE,
        "between = (ported | lent) & ",
        "tests/query/test_bindings.py::test_it_resolves",
        "between = ported & ",
    ),
    Mutation(
        "what-another-epoch-merged-may-be-the-port",
        RESOLVE,
        "unported &= merged",
        "tests/query/test_bindings.py::test_it_resolves",
        "unported &= False",
    ),
    Mutation(
        "what-was-lent-is-contested-to-its-ends",
        RESOLVE,
        " | (told & then))",
        "tests/query/test_bindings.py::test_it_resolves",
        ")",
    ),
    Mutation(
        "lent-by-its-ports",
        RESOLVE,
        "(unported & then & of_ports).any()",
        "tests/query/test_bindings.py::test_one_who_may_fit_beside_others_is_not_named",
        "False",
    ),
    Mutation(
        "nobodys-block-was-looked-at",
        RESOLVE,
        "if selector.port is None and any(",
        "tests/query/test_bindings.py::test_it_resolves_by_pools",
        "if False and any(",
    ),
    Mutation(
        "another-hours-blocks",
        RESOLVE,
        " if _touches(selector, hour)",
        "tests/query/test_bindings.py::test_by_which_ports_an_address_was_lent_in_another_hour_is_nothing_to_a_question",
        "",
    ),
)
