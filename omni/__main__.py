"""``python -m omni``: see :mod:`omni.cli.main`."""

import sys

from omni.cli.main import main

sys.exit(main())
