"""Where fine-tuning keeps what it can make again.

Knows: OMNI_FINETUNE_CACHE, the user's folder for caches. Does not know: what is kept there.
"""

from __future__ import annotations

import os
from pathlib import Path

CACHE = "OMNI_FINETUNE_CACHE"  # names another folder for the cache


def cache_folder() -> Path:
    """The folder of the cache; it need not exist."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "baichuan-omni" / "finetune"


def inline_folder() -> Path:
    """Where content goes that stands in the rows themselves."""
    return cache_folder() / "inline"
