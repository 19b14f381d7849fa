"""`icr-collect read` shows each record, counts the rest, and says by its code how it went."""

import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from icrstore.collector.read import iter_records, read_files
from icrstore.flow.errors import FormatRefused
from icrstore.flow.readers import Tally

DNS = b"1431969641.947863 IP 192.0.2.34.49163 > 192.0.2.1.53: 52534+ A? example.com. (36)\n"
PING = b"1431969642 IP6 2001:db8::1 > 2001:db8::2: ICMP6, echo request, length 64\n"
SHOWN = (
    '{"observed_at":"2015-05-18T17:20:41.947863Z","protocol":17,"source_address":"192.0.2.34",'
    '"source_port":49163,"destination_address":"192.0.2.1","destination_port":53'
)


def read(
    *paths: Path | str, format: str | None = None, account: str | None = None, as_json: bool = False
) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = read_files([str(path) for path in paths], format, account, out, err, as_json)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "pf.log"
    path.write_bytes(DNS)
    return path


def test_it_prints_each_field_in_order_and_in_the_inputs_precision(log: Path) -> None:
    assert read(log) == (0, SHOWN + "}\n", f"{log}: 1 records\n")


def test_a_field_without_a_value_is_left_out(log: Path) -> None:
    log.write_bytes(PING)
    assert read(log)[1] == (
        '{"observed_at":"2015-05-18T17:20:42Z","protocol":58,'
        '"source_address":"2001:db8::1","destination_address":"2001:db8::2"}\n'
    )


def test_an_account_is_given_to_records_that_have_none(log: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.ndjson"
    own.write_text(SHOWN + ',"account":"theirs"}\n')
    _, out, _ = read(log, own, account="Zoë")
    assert out == SHOWN + ',"account":"Zoë"}\n' + SHOWN + ',"account":"theirs"}\n'


@pytest.mark.parametrize("account", ["", "a" * 65, "a\n", "e\u0301"])
def test_an_account_that_no_record_may_have_is_not_read_for(log: Path, account: str) -> None:
    code, out, err = read(log, account=account)
    assert (code, out) == (64, "")
    assert "account-" in err
    assert not account or account not in err
    with pytest.raises(ValueError, match="account-"):
        next(iter_records([str(log)], None, account, Tally()))


def test_what_it_prints_it_reads_again(log: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.ndjson"
    again.write_text(read(log, account="line-17")[1])
    assert read(again)[1] == again.read_text()


def test_what_is_no_record_is_counted_by_reason(log: Path) -> None:
    log.write_bytes(b"# note\n\n" + DNS + DNS.replace(b"49163", b"70000"))
    assert read(log)[2] == (
        f"{log}: 1 records, 1 blank-line, 1 comment, 1 port-out-of-range\n"
        "  line 4: port-out-of-range: ports are 0 to 65535\n"
    )


def test_the_summary_can_be_json(log: Path) -> None:
    log.write_bytes(DNS + b"#\n" + DNS[:40])
    code, out, err = read(log, as_json=True)
    assert code == 65
    assert out.count("\n") == 1
    assert json.loads(err) == {
        "input": str(log),
        "records": 1,
        "not_records": {"comment": 1, "truncated-line": 1},
        "left_out": {},
        "first_lines": {"comment": 2, "truncated-line": 3},
        "read_as": None,
        "gaps": [],
        "cut_off": True,
        "failure": None,
    }


def test_an_input_cut_off_is_named_and_its_records_are_printed(log: Path) -> None:
    log.write_bytes(gzip.compress(DNS)[:-6])
    code, out, err = read(log)
    assert (code, out) == (65, SHOWN + "}\n")
    assert err.startswith(f"{log}: 1 records, cut off")


def test_an_unknown_format_is_refused_with_the_names_of_those_it_reads(log: Path) -> None:
    log.write_bytes(b"Lorem ipsum\n")
    code, out, err = read(log)
    assert (code, out) == (65, "")
    assert all(name in err for name in ("tcpdump", "zeek", "ndjson", "arrow"))
    assert "Lorem" not in err
    with pytest.raises(FormatRefused):
        next(iter_records([str(log)], None, None, Tally()))


def test_a_missing_file_is_named_and_the_others_are_read(log: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    code, out, err = read(missing, log)
    assert (code, out) == (66, SHOWN + "}\n")
    assert err.startswith(f"{missing}: 0 records, cannot be opened: No such file")


def test_a_missing_file_outweighs_one_that_is_cut_off(log: Path, tmp_path: Path) -> None:
    log.write_bytes(DNS[:-20])
    assert read(tmp_path / "missing", log)[0] == 66
    assert read(log, tmp_path / "missing")[0] == 66


def test_output_that_fails_is_no_fault_of_the_input(log: Path) -> None:
    class Closed(io.StringIO):
        def write(self, _: str, /) -> int:
            raise BrokenPipeError

        writelines = write  # type: ignore[assignment]

    with pytest.raises(BrokenPipeError):
        read_files([str(log)], None, None, Closed(), io.StringIO(), False)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DNS)))
    assert read("-") == (0, SHOWN + "}\n", "standard input: 1 records\n")


def test_one_tally_runs_through_all_inputs(log: Path) -> None:
    tally = Tally()
    batches = list(iter_records([str(log), str(log)], "tcpdump", "line-17", tally))
    assert [batch.column("account").to_pylist() for batch in batches] == [["line-17"], ["line-17"]]
    assert tally.records == 2
