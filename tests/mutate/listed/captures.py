"""What is checked of captures: anybody may send a subscriber packets made to break what reads them."""

from tests.mutate.mutation import Mutation

READERS = "icrstore/flow/readers"
PACKETS, LAYERS = f"{READERS}/packets.py", f"{READERS}/layers.py"
CAPTURES, TEXT = f"{READERS}/captures.py", f"{READERS}/tcpdump.py"
OF_PACKETS, OF_LAYERS = "tests/flow/test_packets.py", "tests/flow/test_layers.py"
OF_CAPTURES, OF_TEXT = "tests/flow/test_captures.py", "tests/flow/test_tcpdump.py"

MUTATIONS = (
    Mutation(
        "packet-length-bounded",
        PACKETS,
        "if captured > MOST_OCTETS:",
        f"{OF_PACKETS}::test_a_length_that_cannot_be_ends_the_reading_and_takes_no_memory",
        "if False:",
    ),
    Mutation(
        "block-length-bounded",
        PACKETS,
        "if rest > 2 * MOST_OCTETS:",
        f"{OF_PACKETS}::test_a_length_that_cannot_be_ends_the_reading_and_takes_no_memory",
        "if False:",
    ),
    Mutation(
        "interfaces-bounded",
        PACKETS,
        " or len(self.interfaces) >= _MOST_INTERFACES",
        f"{OF_PACKETS}::test_a_length_that_cannot_be_ends_the_reading_and_takes_no_memory",
        "",
    ),
    Mutation(
        "packet-within-its-block",
        PACKETS,
        "if captured > len(body) - 20:",
        f"{OF_PACKETS}::test_a_length_that_cannot_be_ends_the_reading_and_takes_no_memory",
        "if False:",
    ),
    Mutation(
        "packet-time-possible",
        PACKETS,
        "if not 0 <= time < LAST_SECOND * 10**9:",
        f"{OF_PACKETS}::test_a_time_that_no_record_can_have_is_counted",
        "if False:",
    ),
    Mutation(
        "later-fragment-has-no-ports",
        LAYERS,
        "if fragment & _LATER_FRAGMENT:",
        f"{OF_LAYERS}::test_what_shows_no_connection_says_why",
        "if False:",
    ),
    Mutation(
        "ports-within-the-packet",
        LAYERS,
        " and at + 4 <= end",
        f"{OF_LAYERS}::test_what_has_ports",
        "",
    ),
    Mutation(
        "blocked-is-no-connection",
        LAYERS,
        "if action in (_PF_DROP, _PF_SYNPROXY_DROP):",
        f"{OF_LAYERS}::test_what_shows_no_connection_says_why",
        "if False:",
    ),
    Mutation(
        "blocked-text-is-no-connection",
        TEXT,
        r"\bpass (?:in|out) on",
        f"{OF_TEXT}::test_what_is_no_record_is_counted_and_its_neighbours_are_read",
        r"\b[a-z]+ (?:in|out) on",
    ),
    Mutation(
        "packets-are-not-held",
        CAPTURES,
        "islice(rest, PACKETS_AT_ONCE)",
        f"{OF_CAPTURES}::test_what_is_remembered_is_bounded_and_packets_are_not_held",
        "iter(list(rest))",
    ),
)
