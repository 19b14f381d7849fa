"""Collectors and people that do things wrong: records where they do not belong, in the clear."""

import http.client
import secrets
import socket
from collections.abc import Mapping

import pyarrow as pa
import zstandard

from deploy import services
from icrstore.seal.epoch import HOUR
from icrstore.seal.intake import batch_info
from icrstore.shell.client import Server
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import IntakeKey
from icrstore.warrant.strict import parse_object, time_text
from icrstore.wire import hpke
from icrstore.wire.httpunix import Peer, Response
from tests.attacks import plain
from tests.attacks.known import Known
from tests.site import Site

BATCH_TYPE = "application/vnd.icr.batch.v1"


class Clumsy:
    """A collector's key in the hands of somebody else's program."""

    def __init__(self, server: Server) -> None:
        told = parse_object(server.get("/v1/intake-key").body)
        self._server = server
        self._whose = str(told["tenant"]), str(told["collector"])
        self._intake = IntakeKey.parse(Envelope.read(told["intake_key"], "intake-key"))
        self._stream, self._pushed = f"clumsy-{secrets.token_hex(4)}", 0

    def push(self, body: bytes, changed: Mapping[str, str] | None = None) -> Response:
        """A push signed as it must be, of any body, with some headers replaced."""
        return self._push(secrets.token_bytes(16), body, changed or {})

    def push_sealed(self, content: bytes) -> Response:
        """A push sealed as it must be, of any content."""
        batch_id = secrets.token_bytes(16)
        info = batch_info(*self._whose, batch_id)
        return self._push(batch_id, hpke.seal(self._intake.key, info, content), {})

    def _push(self, batch_id: bytes, body: bytes, changed: Mapping[str, str]) -> Response:
        self._pushed += 1
        # An hour that has ended: what is taken is then sealed at once.
        ended = time_text(self._intake.hour - HOUR)
        headers = {
            "Content-Type": BATCH_TYPE,
            "Idempotency-Key": f'"{batch_id.hex()}"',
            "Batch-Sequence": f'stream="{self._stream}", n={self._pushed}',
            "Batch-Scope": f'shard=0, first="{ended}", last="{ended}"',
            "Intake-Key": f'hour="{time_text(self._intake.hour)}"',
        }
        return self._server.call("POST", "/v1/batches", {**headers, **changed}, body)


def push_in_the_clear(clumsy: Clumsy, known: Known) -> list[Response]:
    """Batches that nobody sealed, in every shape in which a collector holds records."""
    (arrow, *_), compress = plain.batches(known), zstandard.ZstdCompressor().compress
    return [clumsy.push(body) for body in (known.ndjson(), arrow, compress(arrow))]


def push_no_batches(clumsy: Clumsy, known: Known) -> list[Response]:
    """Well sealed, and inside nothing that a sealer could take: each is refused there, whole."""
    compress = zstandard.ZstdCompressor().compress
    table = plain.table(plain.batches(known)[0])
    accounts = table.column("account").cast(pa.string())
    wrong = (
        table.rename_columns([f"{name}-{known.heavy}" for name in table.column_names]),
        table.set_column(1, "protocol", accounts),
        table.set_column(2, "source_address", accounts),
    )
    streams = [_stream(each) for each in wrong]
    contents = [known.ndjson(), streams[0][:-500], *streams]
    return [clumsy.push_sealed(compress(content)) for content in contents]


def misplace(site: Site, clumsy: Clumsy, known: Known) -> None:
    """Accounts and addresses in headers, paths and queries, and no HTTP at all."""
    account, address = known.heavy, known.records[0].source_address
    record = known.records[0].line()
    for name in ("Batch-Scope", "Batch-Sequence", "Idempotency-Key", "Intake-Key", "Content-Type"):
        clumsy.push(bytes(2000), {name: f"{account} {address}"})
    paths = (f"/v1/batches/{account}", f"/{account}?at={address}", f"/v1/queries/{account}")
    for path in paths:
        _knock(site, "GET", path, {"Host": account, "User-Agent": account})
        _knock(site, account, path, {account: address})
    _knock(site, "POST", "/v1/batches", {"Content-Type": "application/x-ndjson"}, record)
    for start in (record, b"POST / HTTP/1.1\r\n" + record, b"GET /" + record):
        _pour(site, start + known.ndjson()[:20_000] + b"\r\n\r\n")
    for role in services.KEEPER_ROLES:
        keeper = Peer(f"unix:{services.keeper_socket(site.stack.layout, role)}", "k", 5, 1 << 20)
        keeper.call("GET", f"/v1/key-schedule?tenant={account}&from={address}&to=x", {})
        keeper.call("POST", f"/v1/{account}", {"Content-Type": account}, record)
        keeper.call("POST", "/v1/epochs", {}, record)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _knock(
    site: Site, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.stack.layout.port, timeout=10)
    connection.request(method, path, body, dict(headers))
    if connection.getresponse().status < 400:
        raise AssertionError("it took what it must refuse")
    connection.close()


def _pour(site: Site, content: bytes) -> None:
    """The bytes alone, as `nc` would send them; whatever comes back."""
    with socket.create_connection(("127.0.0.1", site.stack.layout.port), timeout=10) as poured:
        poured.sendall(content)
        poured.shutdown(socket.SHUT_WR)
        while poured.recv(1 << 16):
            pass
