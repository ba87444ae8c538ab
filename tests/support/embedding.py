"""A prompt's embeddings at once, to compare with what was made piece by piece."""

from __future__ import annotations

from torch import Tensor

from omni.generation.inputs import PromptInputs
from omni.model.protocols import SpeakingModel
from omni.prompting.slots import Prompt


def embed_prompt(model: SpeakingModel, prompt: Prompt) -> Tensor:
    """``(1, ids, hidden)``."""
    return PromptInputs(model, prompt, lambda: None).embed()
