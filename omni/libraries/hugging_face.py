"""All that ``omni`` uses of transformers; nothing else in it imports that library.

Knows: which names. Does not know: what they are used for.

The modules of transformers import each other in circles. Of two threads that begin at different
places of one, each waits for the other, and Python ends that by giving one of them half a module:
"cannot import name 'Cache' from 'transformers'", once for a page that is opened while the model is
loaded. Here the second waits until the first has all of it.
"""

from __future__ import annotations

from transformers import (
    BitsAndBytesConfig,
    Cache,
    DynamicCache,
    PretrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.activations import ACT2FN
from transformers.masking_utils import create_causal_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import ModelOutput
from transformers.utils import logging as transformers_logging

__all__ = [
    "ACT2FN",
    "ALL_ATTENTION_FUNCTIONS",
    "BitsAndBytesConfig",
    "Cache",
    "DynamicCache",
    "ModelOutput",
    "PreTrainedModel",
    "PretrainedConfig",
    "create_causal_mask",
    "initialization",
    "transformers_logging",
]
