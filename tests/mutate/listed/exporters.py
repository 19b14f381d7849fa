"""What is checked of exports: who sends them proves nothing, and what they lost must be known."""

from tests.mutate.mutation import Mutation

EXPORTS = "icrstore/flow/readers/exports"
TEMPLATES, HELD = f"{EXPORTS}/templates.py", f"{EXPORTS}/held.py"
SEQUENCES, READING = f"{EXPORTS}/sequences.py", f"{EXPORTS}/reading.py"
TEST = "tests/flow/test_exporters.py"

MUTATIONS = (
    Mutation(
        "templates-of-one-bounded",
        TEMPLATES,
        "if self._fields[sender] + len(template.fields) > MOST_FIELDS_OF_ONE:",
        f"{TEST}::test_templates_of_one_sender_and_of_all_are_bounded",
        "if False:",
    ),
    Mutation(
        "templates-of-all-bounded",
        TEMPLATES,
        "while self._total > MOST_FIELDS_OF_ALL:",
        f"{TEST}::test_templates_of_one_sender_and_of_all_are_bounded",
        "while False:",
    ),
    Mutation(
        "template-of-no-bytes",
        TEMPLATES,
        "if not made.least_bytes:",
        f"{TEST}::test_a_template_that_cannot_be_is_undecodable",
        "if False:",
    ),
    Mutation(
        "template-of-too-many-fields",
        TEMPLATES,
        "if count > MOST_FIELDS:",
        f"{TEST}::test_a_template_that_cannot_be_is_undecodable",
        "if False:",
    ),
    Mutation(
        "waiting-bounded",
        HELD,
        "while self._bytes > MOST_BYTES:",
        f"{TEST}::test_what_waits_for_a_template_is_bounded_by_bytes",
        "while False:",
    ),
    Mutation(
        "waiting-ends",
        HELD,
        "[0].came < moment:",
        f"{TEST}::test_what_waits_for_a_template_is_bounded_by_time",
        "[0].came < 0:",
    ),
    Mutation(
        "missing-exports-told",
        SEQUENCES,
        "if ahead > 0:",
        f"{TEST}::test_exports_that_never_came_are_a_gap",
        "if False:",
    ),
    Mutation(
        "late-exports-close-a-gap",
        SEQUENCES,
        "self._fill(*self._covers(message.sequence, records or 0))",
        f"{TEST}::test_exports_that_come_late_are_no_gap",
    ),
    Mutation(
        "restart-is-no-late-export",
        SEQUENCES,
        "if is_back and not has_restarted:",
        f"{TEST}::test_a_restart_is_no_gap",
        "if is_back:",
    ),
    Mutation(
        "lost-only-once-late-is-over",
        SEQUENCES,
        "until is None or hole.last <= until",
        f"{TEST}::test_exports_that_come_late_are_no_gap",
        "True",
    ),
    Mutation(
        "nameless-subscribers",
        READING,
        "not name or name.endswith(e.NAMELESS_ENDING)",
        "tests/flow/test_exports.py::test_nokia_tells_the_inside_address_with_the_subscriber",
        "not name",
    ),
)
