"""What breaks, breaks here on purpose: mail, keepers, the notifier itself."""

import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from icrstore.keeper.cli import shown
from icrstore.keeper.keeper import Keeper
from icrstore.notices import report
from icrstore.notices.mail import Message, NotSent, Outbox, Refused, Smtp, Unreachable
from icrstore.notices.models import Notice
from tests.keeper.papers import TENANT, utc_now
from tests.notices.office import SENDER, Office, address_of, later, new_name
from tests.notices.sink import Sink, serve

MESSAGE = Message("0123", "zoe@example.net", "A subject", "A body\n")


def owe(office: Office) -> str:
    """A subscriber whose notice is pulled and ready."""
    account = new_name()
    office.load(account)
    office.answer(account)
    office.pull()
    return account


def test_a_mail_server_that_is_down_is_tried_again_ever_later(office: Office) -> None:
    account = owe(office)
    port = office.sink.port
    gone = Smtp("127.0.0.1", 1, SENDER, starttls=False)
    waits = []
    now = utc_now()
    for _ in range(12):
        assert office.deliver(now, gone) == 0
        notice = office.notice(account)
        assert notice.why == "mail-unreachable"
        waits.append(notice.next_attempt_at - now)
        assert office.deliver(now, gone) == 0
        assert office.notice(account).attempts == notice.attempts
        now = notice.next_attempt_at
    assert timedelta(seconds=45) <= waits[0] <= timedelta(minutes=1)
    assert waits[-1] > waits[5] > 3 * waits[0]
    assert max(waits) <= timedelta(hours=6)
    assert office.sink.port == port
    assert office.deliver(now) == 1
    assert len(office.sink.to(address_of(account))) == 1


def test_a_server_that_is_down_is_asked_once_for_all_that_wait(office: Office) -> None:
    owe(office)
    owe(office)
    office.sink.hang_up = True
    assert office.deliver() == 0
    assert office.sink.sessions == 1


def test_a_refused_address_holds_up_nobody_else_and_stays_owed(office: Office) -> None:
    refused, other = owe(office), owe(office)
    office.sink.refuse = True
    office.deliver()
    assert {office.notice(one).why for one in (refused, other)} == {"mail-refused"}
    office.sink.refuse = False
    Notice.objects.filter(id=office.notice(other).id).update(next_attempt_at=utc_now())
    assert office.look() == 1
    assert office.owed_at_keepers(other) == []
    assert len(office.owed_at_keepers(refused)) == 4
    assert report.owed(TENANT, later(hours=25)).why["mail-refused"] == 1


def test_a_slow_server_is_waited_for_and_a_stuck_one_is_not(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = owe(office)
    monkeypatch.setattr("icrstore.notices.mail.TIMEOUT_SECONDS", 0.3)
    office.sink.delay_seconds = 1.0
    assert office.deliver() == 0
    assert office.notice(account).why == "mail-unreachable"
    monkeypatch.setattr("icrstore.notices.mail.TIMEOUT_SECONDS", 10.0)
    office.sink.delay_seconds = 0.05
    assert office.deliver(later(minutes=2)) == 1


def test_a_notifier_killed_after_sending_sends_the_same_message_again_and_is_done(
    office: Office, tmp_path: Path
) -> None:
    account = owe(office)
    office.write_files(tmp_path)
    with office.process(tmp_path) as first:
        office.sink.kill = first.pid
        assert first.wait(60) == -9
    office.sink.kill = 0
    assert len(office.sink.to(address_of(account))) == 1
    assert office.notice(account).delivered_at is None

    for _ in range(2):
        with office.process(tmp_path) as again:
            assert again.wait(60) == 0, again.stderr and again.stderr.read()

    one, two = office.sink.to(address_of(account))
    assert one["Message-ID"] == two["Message-ID"]
    assert office.owed_at_keepers(account) == []


def test_into_the_outbox_the_same_message_is_one_file(office: Office, tmp_path: Path) -> None:
    account = owe(office)
    box = Outbox(tmp_path, SENDER)
    office.deliver(mail=box)
    (path,) = tmp_path.iterdir()
    first = path.read_bytes()
    # As after a crash: the message left, and no row says so.
    Notice.objects.update(delivered_at=None, next_attempt_at=utc_now())
    for leaf in office.leaves(account):
        leaf.statement = None
        leaf.save()
    assert office.deliver(mail=box) == 1
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"To: " + address_of(account).encode() in first
    with pytest.raises(Unreachable):
        Outbox(tmp_path / "gone", SENDER).send(MESSAGE, utc_now())


def test_one_keeper_down_the_other_is_told_and_the_first_when_it_is_back(
    own_office: Office,
) -> None:
    account = owe(own_office)
    process = own_office.pair.processes["oversight"]
    process.kill()
    assert own_office.look() == 1
    assert {leaf.role for leaf in own_office.leaves(account) if leaf.logged} == {"operator"}
    process.start()
    assert own_office.look() == 0
    assert own_office.owed_at_keepers(account) == []
    assert len(own_office.sink.to(address_of(account))) == 1


def test_without_the_second_keepers_word_the_message_goes_a_little_later(
    own_office: Office,
) -> None:
    account = new_name()
    own_office.load(account)
    own_office.answer(account)
    process = own_office.pair.processes["oversight"]
    process.kill()
    assert own_office.look() == 0
    assert not any(leaf.is_proven for leaf in own_office.leaves(account))
    Notice.objects.update(newest_leaf_at=utc_now() - timedelta(minutes=16))
    assert own_office.look() == 1
    process.start()
    # The other keeper's leaves of the same question are news that no message told of.
    Notice.objects.update(newest_leaf_at=utc_now() - timedelta(minutes=16))
    own_office.look()
    assert own_office.owed_at_keepers(account) == []
    assert all(leaf.is_proven for leaf in own_office.leaves(account))


def test_a_stopped_notifier_is_counted_as_overdue_by_the_keepers(own_office: Office) -> None:
    own_office.answer(new_name())
    before = own_office.pair.show("operator")["tenants"][0]
    assert (before["notices_owed"], before["notices_overdue"]) == (2, 0)
    folder = own_office.pair.processes["operator"].folder
    with closing(Keeper.open(folder, lambda: later(hours=25))) as keeper:
        counted = shown(keeper)["tenants"][0]
    assert (counted["notices_owed"], counted["notices_overdue"]) == (2, 2)


def test_two_notifiers_at_once_send_one_message(office: Office, tmp_path: Path) -> None:
    account = owe(office)
    office.sink.delay_seconds = 0.1
    office.write_files(tmp_path)
    processes = [office.process(tmp_path) for _ in range(2)]
    for process in processes:
        with process:
            assert process.wait(60) == 0, process.stderr and process.stderr.read()
    assert len(office.sink.to(address_of(account))) == 1


def test_a_message_goes_by_tls_to_a_server_whose_certificate_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    with serve(Sink(tls=context)) as sink:
        mail = Smtp("127.0.0.1", sink.port, SENDER, starttls=True)
        with pytest.raises(Unreachable):
            mail.send(MESSAGE, utc_now())
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        mail.send(MESSAGE, utc_now())
        assert len(sink.messages) == 1


def test_nothing_is_said_to_a_server_that_offers_no_tls(sink: Sink) -> None:
    with pytest.raises(Unreachable):
        Smtp("127.0.0.1", sink.port, SENDER, starttls=True).send(MESSAGE, utc_now())
    assert sink.messages == []


def test_an_error_of_the_mail_server_repeats_no_address(sink: Sink) -> None:
    sink.refuse = True
    with pytest.raises(Refused) as refused:
        Smtp("127.0.0.1", sink.port, SENDER, starttls=False).send(MESSAGE, utc_now())
    error: BaseException | None = refused.value
    assert isinstance(error, NotSent)
    assert "zoe" not in repr(error)
    assert error.__suppress_context__


def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that vouches for itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")])
    now, here = datetime.now(UTC), ip_address("127.0.0.1")
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(here)]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "cert.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path
