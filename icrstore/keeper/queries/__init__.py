"""Every question and change that the keeper's code puts to its store, by name.

A file for each concept; who asks writes ``queries.NAME`` whichever file it is in.
"""

from icrstore.keeper.queries.backfills import *  # noqa: F403
from icrstore.keeper.queries.budgets import *  # noqa: F403
from icrstore.keeper.queries.canaries import *  # noqa: F403
from icrstore.keeper.queries.clocks import *  # noqa: F403
from icrstore.keeper.queries.day_keys import *  # noqa: F403
from icrstore.keeper.queries.debts import *  # noqa: F403
from icrstore.keeper.queries.epochs import *  # noqa: F403
from icrstore.keeper.queries.leaves import *  # noqa: F403
from icrstore.keeper.queries.refusals import *  # noqa: F403
from icrstore.keeper.queries.requests import *  # noqa: F403
from icrstore.keeper.queries.revocations import *  # noqa: F403
from icrstore.keeper.queries.trusted import *  # noqa: F403
