"""What one input costs the collector in memory: ``python -m tests.collector.peak FILE``.

Reads it and cuts it into batches as a push does, and prints the most bytes that this took.
"""

import sys
from collections import Counter

from icrstore.collector.cut import cut
from icrstore.collector.read import iter_retained
from icrstore.flow.readers import Tally
from tests.bench.measure import peak_bytes


def main(path: str) -> None:
    records = 0
    for made in cut(iter_retained(path, None, "line-1", Tally()), Counter()):
        records += made.records
    print(records, peak_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
