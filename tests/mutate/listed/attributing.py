"""What a collector does not guess: whose a record is, of which flow, and when it may be said."""

from tests.mutate.mutation import Mutation

FIRST = "icrstore/flow/first.py"
WHOSE = "icrstore/collector/whose.py"
TABLE = "icrstore/collector/leases/table.py"
RADIUS = "icrstore/collector/leases/radius.py"
DHCP = "icrstore/collector/leases/dhcp.py"
FILE = "icrstore/collector/leases/file.py"
PUSH = "icrstore/collector/commands/push.py"

HELD = "tests/collector/test_held.py"
LOGS = "tests/collector/test_lease_logs.py"

MUTATIONS = (
    Mutation(
        "flow-known",
        FIRST,
        "is_known = np.minimum.reduceat(order, flow) < len(known)",
        "tests/flow/test_first.py::test_a_piece_that_comes_late_is_no_second_record",
        "is_known = np.minimum.reduceat(order, flow) < 0",
    ),
    Mutation(
        "lease-known-until",
        TABLE,
        "known = nanoseconds <= self.until",
        f"{HELD}::test_a_record_after_what_is_known_waits_and_is_named_when_it_is_known",
        "known = nanoseconds <= FOREVER",
    ),
    Mutation(
        "lease-open-is-no-promise",
        TABLE,
        " & (ends < OPEN)",
        f"{HELD}::test_a_lease_that_names_its_end_is_the_providers_word_until_then",
        "",
    ),
    Mutation(
        "lease-ambiguous",
        TABLE,
        "held[0] if len(set(held)) == 1 else AMBIGUOUS",
        f"{LOGS}::test_where_a_session_goes_on_beside_the_next_nobody_can_say",
        "held[0]",
    ),
    Mutation(
        "lease-half-an-entry",
        RADIUS,
        "lest half of it go with half of another.\n                self._entry = {}",
        f"{LOGS}::test_half_an_entry_says_nothing_and_joins_no_other",
        "lest half of it go with half of another.\n                pass",
    ),
    Mutation(
        "lease-zone-untold",
        RADIUS,
        "UTC if found[7] in _UTC else zone",
        f"{LOGS}::test_times_are_taken_where_their_zone_is_known",
        "UTC",
    ),
    Mutation(
        "lease-newer-ends-older",
        DHCP,
        "min(end, following)",
        f"{LOGS}::test_dhcpd_leases_are_a_journal",
        "end",
    ),
    Mutation(
        "lease-csv-until-written",
        FILE,
        "return self._known_until(min(written, now))",
        f"{LOGS}::test_a_csv_is_known_until_it_was_written",
        "return self._known_until(now)",
    ),
    Mutation(
        "lease-log-read-to-its-end",
        FILE,
        "has_more = is_left and self._drain()",
        "tests/collector/test_lease_rotation.py::test_what_was_written_before_a_log_was_renamed_is_read",
        "has_more = False",
    ),
    Mutation(
        "lease-reply-without-leases",
        WHOSE,
        "named = mine = np.ones(len(times), np.bool_)",
        f"{HELD}::test_without_leases_replies_are_dropped_as_well",
        "named, mine = np.ones(len(times), np.bool_), np.zeros(len(times), np.bool_)",
    ),
    Mutation(
        "lease-looked-at-before-given-up",
        WHOSE,
        """        old &= ~leases.reach(address_column(batch.column("source_address")), times)""",
        "tests/collector/test_reading.py::test_what_waits_is_given_up_only_once_its_leases_were_looked_at",
        "        pass",
    ),
    Mutation(
        "lease-file-as-a-whole",
        PUSH,
        "if waiting:",
        f"{HELD}::test_a_file_that_waits_waits_as_a_whole_and_is_pushed_once",
        "if False:",
    ),
)
