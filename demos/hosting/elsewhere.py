"""A page whose engine runs on other machines (``--engine``).

Knows: the flags that go with it. Does not know: how an engine is asked (:mod:`omni.remote`).
"""

from __future__ import annotations

from argparse import Namespace

from demos.hosting.allowance import Allowance, MeteredRemote
from omni.errors import ResourceError
from omni.fair_queue import LineLimits
from omni.remote.client import RemoteEngine
from omni.settings import with_adapter

# What is chosen where the engine runs, and what a flag says that nobody has given.
CHOSEN_THERE = {
    "model": "auto",
    "quantization": "auto",
    "device": "auto",
    "max_pixels": None,
    "keep_quantized": False,
    "unload_after": None,
    "replicas": 1,
    "wait_per_address": LineLimits.address,
}


def engine(flags: Namespace, minutes: int | None) -> RemoteEngine:
    """The engine at the address of the flags, which answers.

    Args:
        minutes: of answers that a visitor has in a day; None: no end.

    Raises:
        ResourceError: a flag that is not for this page to choose; nobody answers there.
        CheckpointError: an adapter that is not offered.
    """
    for name, usual in CHOSEN_THERE.items():
        if getattr(flags, name) != usual:
            raise ResourceError(
                "engine-flag",
                "--{flag} and --engine do not go together: that is chosen where the engine runs.",
                flag=name.replace("_", "-"),
            )
    made = (
        MeteredRemote(Allowance(minutes), flags.engine) if minutes else RemoteEngine(flags.engine)
    )
    for _ in made.load():
        pass
    if flags.adapter:
        made.settings = with_adapter(made.settings, flags.adapter[0])
    made.watch()
    return made
