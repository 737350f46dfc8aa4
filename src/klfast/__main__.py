"""`python -m klfast` is the command `klfast`."""

import sys

from klfast.cli import main

sys.exit(main())
