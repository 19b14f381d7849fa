"""Every question and change that the keeper's code puts to its store, by name.

A file for each concept; who asks writes ``queries.NAME`` whichever file it is in.
"""

from icrstore.keeper.queries.backfills import *
from icrstore.keeper.queries.budgets import *
from icrstore.keeper.queries.canaries import *
from icrstore.keeper.queries.clocks import *
from icrstore.keeper.queries.day_keys import *
from icrstore.keeper.queries.debts import *
from icrstore.keeper.queries.epochs import *
from icrstore.keeper.queries.leaves import *
from icrstore.keeper.queries.refusals import *
from icrstore.keeper.queries.requests import *
from icrstore.keeper.queries.revocations import *
from icrstore.keeper.queries.trusted import *
