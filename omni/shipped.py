"""Where the files are that travel with the code: assets and examples.

Knows: in a checkout they lie at its top level; a wheel carries them inside this package.
Does not know: what they are.
"""

from __future__ import annotations

from pathlib import Path

_IN_WHEEL = Path(__file__).resolve().parent / "_shipped"
_ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_WHEEL.parent.parent

ASSETS = _ROOT / "assets"
EXAMPLES = _ROOT / "examples"
