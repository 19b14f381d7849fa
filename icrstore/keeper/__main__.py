import sys

from icrstore.keeper.cli import main

sys.exit(main())
