"""What every part of the model tells transformers: placement, attention and initialization.

Knows: which modules must stay on one device, how own parameters are initialized for training.
Does not know: sizes, the forward pass.
"""

from __future__ import annotations

import torch
from torch import nn

from omni.config import OmniConfig
from omni.libraries.hugging_face import PreTrainedModel
from omni.libraries.hugging_face import initialization as init


def device_of(module: nn.Module) -> torch.device:
    """Where ``module`` computes: its parameters' device, or the one that accelerate runs it on."""
    execution = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    if execution is not None:
        return torch.device(execution)
    return next(module.parameters()).device


# Modules whose parts must share a device: they have residual sums, or keep state of their own.
UNSPLIT = ["DecoderLayer", "VisualBlock", "AudioHead", "AudioTokenizer"]
NOT_MOVED = ["past_key_values"]


class OmniPreTrainedModel(PreTrainedModel):
    """Base of the model's transformers classes."""

    config: OmniConfig
    config_class = OmniConfig
    base_model_prefix: str = "model"
    _no_split_modules = UNSPLIT
    _skip_keys_device_placement = NOT_MOVED
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def _init_weights(self, module: nn.Module) -> None:
        """Fresh weights of one module: matrices normal, vectors zero, norms one."""
        super()._init_weights(module)
        if type(module).__module__.startswith("torch.") or isinstance(module, nn.RMSNorm):
            return  # done by the base class
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1:
                init.normal_(parameter, mean=0.0, std=self.config.initializer_range)
            elif name == "weight":  # a norm of ours
                init.ones_(parameter)
            else:
                init.zeros_(parameter)
