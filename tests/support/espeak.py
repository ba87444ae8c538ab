"""What tests that need espeak-ng are marked with."""

from __future__ import annotations

import shutil

import pytest

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None,
    reason="espeak-ng is not installed (Debian, Ubuntu: apt-get install espeak-ng)",
)
