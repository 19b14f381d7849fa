"""Batches as a collector signs them, sealed or plain, and sent to web one after another."""

import hashlib
import http.client
import io
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from icrstore.collector.config import Config
from icrstore.collector.cut import Cut
from icrstore.collector.frames import compressed
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import batch_id, batch_info
from icrstore.shell.client import Server, fields_of
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.machines import IntakeKey
from icrstore.warrant.strict import time_text
from icrstore.wire import hpke
from icrstore.wire.digest import content_digest_of
from icrstore.wire.signatures import new_nonce, sign_request
from tests.bench.inputs import write_ndjson

# Of NDJSON, 195 bytes each: below the 64 MiB that a plain body may have.
PLAIN_RECORDS = 250_000


@dataclass(frozen=True)
class Push:
    """A batch as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Lines:
    """Records of these hours as NDJSON, as long as one body may be."""

    first_hour: datetime
    last_hour: datetime
    ndjson: bytes


class Pusher:
    """The collector of that config."""

    def __init__(self, url: str, config: Config) -> None:
        self._url = url
        self._key = KeyFile.read(config.key, "signing").signing()
        self._secret = config.collector_secret()
        self._pushed = 0

    def sealed(self, cuts: Sequence[Cut]) -> list[Push]:
        """What the collector does with batches: compress, seal to the intake key, sign."""
        told = fields_of(Server(self._url, self._key).get("/v1/intake-key"))
        intake = IntakeKey.parse(Envelope.read(told.take("intake_key"), "intake-key"))
        names = told.text("tenant"), told.text("collector")
        return [self._sealed(made, intake, *names) for made in cuts]

    def plain(self, parts: Sequence[Lines], *, compressed: bool) -> list[Push]:
        """What a sender does that cannot seal: compress, or not, and sign."""
        return [self._plain(part, compressed) for part in parts]

    def send(self, pushes: Sequence[Push]) -> None:
        """Until all are accepted. Raises AssertionError."""
        connection = http.client.HTTPConnection(self._authority, timeout=60)
        for push in pushes:
            connection.request("POST", "/v1/batches", push.body, dict(push.headers))
            response = connection.getresponse()
            told = response.read()
            if response.status != 202:
                raise AssertionError(told)
        connection.close()

    def _sealed(self, made: Cut, intake: IntakeKey, tenant: str, collector: str) -> Push:
        made_id = batch_id(self._secret, hashlib.sha256(made.arrow).digest())
        frame = compressed(made.arrow)
        body = hpke.seal(intake.key, batch_info(tenant, collector, made_id), frame)
        type_ = {
            "Content-Type": "application/vnd.icr.batch.v1",
            "Intake-Key": f'hour="{time_text(intake.hour)}"',
        }
        return self._signed(type_, made_id, made.first_hour, made.last_hour, body)

    def _plain(self, part: Lines, compressed: bool) -> Push:
        type_, body = {"Content-Type": "application/x-ndjson"}, part.ndjson
        if compressed:
            type_["Content-Encoding"] = "zstd"
            body = zstandard.ZstdCompressor(level=1).compress(body)
        made_id = secrets.token_bytes(16)
        return self._signed(type_, made_id, part.first_hour, part.last_hour, body)

    def _signed(
        self, type_: Mapping[str, str], made_id: bytes, first: datetime, last: datetime, body: bytes
    ) -> Push:
        self._pushed += 1
        headers = {
            **type_,
            "Idempotency-Key": f'"{made_id.hex()}"',
            "Batch-Sequence": f'stream="bench", n={self._pushed}',
            "Batch-Scope": f'shard=0, first="{time_text(first)}", last="{time_text(last)}"',
            "Content-Digest": content_digest_of(body),
        }
        signed = sign_request(
            "POST", self._authority, "/v1/batches", headers,
            key=self._key,
            keyid=key_id(raw_public(self._key)),
            created_unix_seconds=int(time.time()),
            nonce=new_nonce(),
        )  # fmt: skip
        return Push({**headers, **signed, "Host": self._authority}, body)

    @property
    def _authority(self) -> str:
        return self._url.removeprefix("http://")


def lines_of(records: pa.Table) -> Iterator[Lines]:
    """Records in order of time, in as few bodies as can be."""
    for start in range(0, records.num_rows, PLAIN_RECORDS):
        part = records.slice(start, PLAIN_RECORDS)
        times: Any = pc.min_max(part.column("observed_at")).as_py()
        file = io.BytesIO()
        write_ndjson(part, file)
        yield Lines(hour_start(times["min"]), hour_start(times["max"]), file.getvalue())
