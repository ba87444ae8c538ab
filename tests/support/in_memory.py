"""Which models a process holds."""

from __future__ import annotations

import gc

from omni.model.omni import OmniForCausalLM


def models() -> list[OmniForCausalLM]:
    """All of them, also those that were set aside once they were loaded (heap.settle)."""
    gc.unfreeze()
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is OmniForCausalLM]
