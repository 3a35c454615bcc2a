"""`python -m clinfed`: the same as the command `clinfed`."""

import sys

from clinfed.cli import main

sys.exit(main())
