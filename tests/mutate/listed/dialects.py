"""That no text is read as another device's, and that nothing of it is guessed."""

from tests.mutate.mutation import Mutation

READER = "icrstore/flow/readers/dialects/reader.py"
LOOKUP = "icrstore/flow/readers/dialects/lookup.py"
DIALECT = "icrstore/flow/readers/dialects/dialect.py"
PAIRS = "icrstore/flow/readers/dialects/pairs.py"
CLOCK = "icrstore/flow/readers/dialects/clock.py"

VECTORS = "tests/flow/test_dialects.py::test_a_line_gives_what_its_vector_says"
HOSTILE = (
    "tests/flow/test_dialects.py::test_a_line_that_somebody_wrote_into_another_message_is_no_record"
)

MUTATIONS = (
    Mutation(
        "dialect-one-device",
        LOOKUP,
        "if len(found) > 1:",
        "tests/flow/test_dialects.py::test_what_two_dialects_would_know_is_refused",
        "if False:",
    ),
    Mutation(
        "dialect-message-begins",
        DIALECT,
        're.compile(BEFORE + f"(?:{_MACRO.sub(_expanded, text)})", re.ASCII)',
        f"{HOSTILE}[asa]",
        're.compile(BEFORE + f".*?(?:{_MACRO.sub(_expanded, text)})", re.ASCII)',
    ),
    Mutation(
        "dialect-field-once",
        PAIRS,
        "if len(made) != len(found):",
        f"{VECTORS}[a10-5]",
        "if False:",
    ),
    Mutation(
        "dialect-nothing-between-fields",
        PAIRS,
        'if "" in made:',
        f"{VECTORS}[fortigate-11]",
        "if False:",
    ),
    Mutation(
        "dialect-renamed-field",
        READER,
        "        if shape.lacks(row):",
        f"{VECTORS}[juniper-5]",
        "        if False:",
    ),
    Mutation(
        "dialect-hour-shown-twice",
        CLOCK,
        "if first.utcoffset() != second.utcoffset():",
        "tests/flow/test_clock.py::test_an_hour_that_the_clocks_repeat_or_leave_out_is_refused",
        "if False:",
    ),
    Mutation(
        "dialect-zone-told",
        CLOCK,
        "zone = _zone(offset) if offset else self._zone",
        "tests/flow/test_clock.py::test_without_a_zone_or_a_now_nothing_is_guessed",
        "zone = _zone(offset) if offset else self._zone or UTC",
    ),
)
