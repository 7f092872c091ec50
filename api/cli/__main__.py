"""`python -m ramet.api.cli`: the command line where the `ramet` script is not on the path."""

import sys

from ramet.api.cli.app import main

sys.exit(main())
