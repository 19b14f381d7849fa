"""How inputs are read: what keeps a line from being read in two ways, or by another column."""

from tests.mutate.mutation import Mutation

BLOCKS = "icrstore/flow/readers/json_blocks.py"
ALIKE = "icrstore/flow/readers/alike.py"
MAPPED = "icrstore/flow/readers/json_mapped.py"
TABLES = "icrstore/flow/readers/csv_tables.py"
CUT = "icrstore/collector/cut.py"

TWO_WAYS = "tests/flow/test_json_blocks.py::test_what_could_be_read_in_two_ways_is_not_read_at_once"

MUTATIONS = (
    Mutation(
        "json-alike-has-a-brace",
        ALIKE,
        'rows is not None and prefix.startswith(b"{")',
        "tests/flow/test_alike.py::test_one_line_that_is_not_so_leaves_the_block_to_arrow",
        "False",
    ),
    Mutation(
        "json-alike-has-no-escape",
        ALIKE,
        "if (cut == _BACKSLASH).any():",
        "tests/flow/test_alike.py::test_one_line_that_is_not_so_leaves_the_block_to_arrow",
        "if False:",
    ),
    Mutation(
        "json-alike-dictionary-has-no-escape",
        ALIKE,
        'if pc.any(pc.match_substring(texts, "\\\\")).as_py():',
        "tests/flow/test_alike.py::test_one_line_that_is_not_so_leaves_the_block_to_arrow",
        "if False:",
    ),
    Mutation(
        "json-alike-is-ascii",
        ALIKE,
        "if ends is None or (self._octets[ends] != _NEWLINE).any():",
        "tests/flow/test_alike.py::test_one_line_that_is_not_so_leaves_the_block_to_arrow",
        "if ends is None:",
    ),
    Mutation(
        "json-alike-has-a-name",
        ALIKE,
        "begins[:1] != [True] or ",
        "tests/flow/test_alike.py::test_lines_without_a_name_are_not_read",
        "",
    ),
    Mutation(
        "json-alike-is-read-to-its-end",
        ALIKE,
        "        lines.check_ends()\n",
        "tests/flow/test_alike.py::test_one_line_that_is_not_so_leaves_the_block_to_arrow",
        "",
    ),
    Mutation(
        "json-one-object-a-line",
        BLOCKS,
        "if others != lines - 1 or not _is_utf_8(block):",
        TWO_WAYS,
        "if not _is_utf_8(block):",
    ),
    Mutation(
        "json-is-utf-8",
        BLOCKS,
        "or not _is_utf_8(block)",
        TWO_WAYS,
        "",
    ),
    Mutation(
        "json-time-with-an-exponent",
        MAPPED,
        "if decimals and not (are_times and not _UNPLAIN.search(block)):",
        "tests/flow/test_json_mapped.py::test_a_time_with_an_exponent_is_not_read_at_once_either",
        "if False:",
    ),
    Mutation(
        "csv-column-that-the-map-needs",
        TABLES,
        "if lacking := map.missing_from(names):",
        "tests/flow/test_csv_tables.py::test_a_map_whose_column_was_renamed_is_refused_by_name",
        "if False:",
    ),
    Mutation(
        "csv-column-once",
        TABLES,
        "if name in used and names.count(name) > 1:",
        "tests/flow/test_csv_tables.py::test_a_column_that_no_record_has_or_is_there_twice_is_refused_by_name",
        "if False:",
    ),
    Mutation(
        "cut-of-many-days",
        CUT,
        "yield from self._relieve()",
        "tests/collector/test_cut.py::test_of_many_days_at_once_no_more_waits_than_two_batches_and_a_run",
    ),
)
