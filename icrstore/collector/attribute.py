"""The one step between readers and `cut`: whose each row is, and NAT events made into bindings."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from icrstore.collector.held import Held
from icrstore.collector.leases import AMBIGUOUS, Leases, nanoseconds
from icrstore.collector.nat import Bindings, connections_of
from icrstore.collector.whose import Attribution
from icrstore.flow.elements import NAT_EVENTS
from icrstore.flow.first import address_column
from icrstore.flow.readers import Tally
from icrstore.flow.schema import Column, is_of_events


class Attribute:
    """One input's rows as they come, each with its account: by the leases, or the ``account`` of
    those that do not say, or neither.

    A long-running collector calls `turn` when an hour has ended, and keeps `state` with each batch
    that it spools, so that what is open survives it (`restore`). Who reads an input to its end
    calls `end` there. Batches that come out are connections (`record_schema`) or bindings
    (`binding_schema`), never events.
    """

    def __init__(
        self, leases: Leases | None = None, account: str | None = None, held: Held | None = None
    ) -> None:
        self._account = account
        self._whose = Attribution(leases, account, held)
        self._bindings = Bindings(leases)

    def learn(self, leases: Leases) -> None:
        """Newer leases: from here on `again` gives what was held for them."""
        self._whose.leases = self._bindings.leases = leases

    def again(self, tally: Tally, give_up_before: int) -> Iterator[pa.RecordBatch]:
        """What is retained of the rows that were held, where newer leases reach them. Those
        observed before the given nanosecond wait no longer: no lease of them is known."""
        for batch in self._whose.again(tally, give_up_before):
            yield from self.take(batch, tally)

    def take(self, batch: pa.RecordBatch, tally: Tally) -> Iterator[pa.RecordBatch]:
        """What is retained of these rows: of events, the connections that they tell of, and the
        bindings that ended."""
        named = self.name(batch, tally)
        if not is_of_events(named):
            yield named
            return
        connections = connections_of(named)
        if connections.num_rows:
            # Whose they are is known, and as events they have been counted.
            yield self._whose.of(connections, Tally())
        yield from self._bindings.take(named, tally)

    def turn(self, now_nanoseconds: int) -> Iterator[pa.RecordBatch]:
        """The pieces of bindings still open, up to the end of the last hour that has ended."""
        return self._bindings.turn(now_nanoseconds)

    def pause(self, now_nanoseconds: int) -> Iterator[pa.RecordBatch]:
        """The same, no further than the hour of the last event, where more is to be read."""
        return self._bindings.pause(now_nanoseconds)

    def end(self) -> Iterator[pa.RecordBatch]:
        """The pieces of bindings still open, up to the end of the hour of the last event."""
        return self._bindings.end()

    def tell(self, tally: Tally) -> None:
        """What `turn` and `end` counted; the next `take` does too."""
        self._bindings.tell(tally)

    def state(self) -> bytes:
        """The bindings that are open: addresses and accounts in the clear, to be sealed."""
        return self._bindings.state()

    def restore(self, state: bytes) -> None:
        """Go on from what `state` gave. Raises ValueError if it is not that."""
        self._bindings.restore(state)

    def name(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """The rows as they are, with their accounts; those that nobody's lease covers are
        withdrawn, by reason.

        An event that ends what it does not name stays: whose it was, its beginning has said.
        """
        if not is_of_events(batch):
            return self._whose.of(batch, tally)
        batch, leases = self._whose.known(batch, tally), self._whose.leases
        if leases is None:
            return _filled(batch, self._account)
        observed: Column = batch.column("observed_at")
        inside = address_column(batch.column("source_address"))
        codes = leases.find(inside, nanoseconds(observed, observed.type.unit))
        places: Column = pa.array(codes, mask=codes < 0)
        held = leases.accounts.take(places)
        named = _with_accounts(batch, pc.coalesce(batch.column("account"), held))
        created = np.asarray(batch.column("nat_event")) == NAT_EVENTS["create"]
        unknown = created & np.asarray(named.column("account").is_null())
        tally.withdraw("ambiguous", int((unknown & (codes == AMBIGUOUS)).sum()))
        tally.withdraw("no-lease", int((unknown & (codes != AMBIGUOUS)).sum()))
        return named.filter(pa.array(~unknown))


def _filled(batch: pa.RecordBatch, account: str | None) -> pa.RecordBatch:
    if account is None:
        return batch
    accounts: Column = batch.column("account")
    return _with_accounts(batch, pc.fill_null(accounts, account))


def _with_accounts(batch: pa.RecordBatch, accounts: Column) -> pa.RecordBatch:
    place = batch.schema.get_field_index("account")
    return batch.set_column(place, batch.schema.field(place), accounts)
