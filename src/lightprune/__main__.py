"""`python -m lightprune`: the same as `lightprune`."""

import sys

from lightprune.cli import main

sys.exit(main())
