"""``python -m omni``: see :mod:`omni.cli.main`."""

import sys

from omni.cli.main import program

sys.exit(program())
