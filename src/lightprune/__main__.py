"""`python -m lightprune`: the same as `lightprune`."""

import sys

from lightprune.cli.main import main

sys.exit(main())
