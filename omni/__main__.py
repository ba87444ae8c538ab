"""``python -m omni``: see :mod:`omni.cli`."""

import sys

from omni.cli import main

sys.exit(main())
