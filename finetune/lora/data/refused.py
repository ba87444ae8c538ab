"""What is wrong with a row, and with a whole data file.

Knows: sentences for people. Does not know: formats.
"""

from __future__ import annotations

from omni.errors import OmniError


class DataError(OmniError):
    """A data file that cannot be used at all."""


class RefusedError(ValueError):
    """One row cannot be used; ``str(error)`` is a sentence that says why and what to do."""
