"""The page as a ZeroGPU Space starts it, without a GPU: what ``spaces`` does between the processes
is its own, and the card is this machine's memory.

Usage: python -m tests.support.zero_space [FLAGS OF app.py]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # GNU's threads do not outlive a fork

import gradio  # noqa: F401 - before spaces
import torch

torch.version.cuda = torch.version.cuda or "13.0"  # of a build for the CPU alone
torch.cuda._is_in_bad_fork = bool  # type: ignore[assignment] - one that travels, and says no
if not hasattr(torch._C, "_cuda_init"):
    setattr(torch._C, "_cuda_init", lambda: None)  # noqa: B010

import spaces.zero.torch as stand_in  # noqa: E402
from spaces.zero.torch import patching  # noqa: E402


def pack() -> int:
    """Weights stay in memory, which the fork has, too."""
    return int(patching.size())


def move(callback: Callable[[int], Any] | None = None) -> None:
    """From where they are to where the model expects them."""
    for fake, original in list(patching.cuda_aliases.items()):
        if original is not None:
            fake.data = original


stand_in.pack, stand_in.init, stand_in.move = pack, lambda uuid: None, move

if __name__ == "__main__":
    from demos.launch import main
    from omni.loading import ending

    sys.exit(ending.run_program(lambda: main(sys.argv[1:])))
