"""Which weights get adapters, by their published names.

Knows: the language model's layers, the audio head's, the vision bridge; peft's way to name them.
Does not know: losses, files. The towers and everything behind the codes stay as they are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from finetune.lora.options import LoraOptions
from omni.model.omni import OmniForCausalLM

# Full names: a suffix alone could be found again in the towers.
LANGUAGE = r"model\.layers\.\d+\.(self_attn\.(W_pack|o_proj)|mlp\.(gate_proj|up_proj|down_proj))"
# Layers of the audio head that multiply as they are.
HEAD_MODULES = r"audio_head\.(transformer_layers\.\d+\.self_attention\.out_proj|heads\.\d+)"
# Weights of the audio head that are read by a view, not through a layer of their own.
HEAD_PARAMETERS = re.compile(
    r"audio_head\.transformer_layers\.\d+\.(self_attention\.in_proj_weight|linear[12]\.weight)"
)
BRIDGE = "visual_bridge_model"


def lora_config(model: OmniForCausalLM, options: LoraOptions, base: str) -> LoraConfig:
    """What peft is asked for.

    Args:
        base: the checkpoint's name, written into the adapter.
    """
    names = [name for name, _ in model.named_parameters() if HEAD_PARAMETERS.fullmatch(name)]
    return LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        bias="none",
        target_modules=f"{LANGUAGE}|{HEAD_MODULES}" if options.audio_head else LANGUAGE,
        target_parameters=names if options.audio_head else None,
        modules_to_save=[BRIDGE] if options.bridges else None,
        base_model_name_or_path=base,
    )


def with_adapters(model: OmniForCausalLM, options: LoraOptions, base: str) -> PeftModel:
    """The model with fresh adapters, which change nothing yet; nothing else is trained.

    The adapters are float32 whatever the model is: steps of theirs are too small for 16 bits.
    They are drawn from torch's default generator.
    """
    model.requires_grad_(False)
    model.name_or_path = base  # peft writes this one into the adapter
    with warnings.catch_warnings():  # peft asks by a name that transformers has given up
        warnings.simplefilter("ignore", FutureWarning)
        adapted = get_peft_model(model, lora_config(model, options, base))
    assert isinstance(adapted, PeftModel)
    return adapted


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """The model as it was, while this lasts; nothing where it has no adapters."""
    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    adapted = [module for module in model.modules() if isinstance(module, kinds)]
    for module in adapted:
        module.enable_adapters(False)
    try:
        yield
    finally:
        for module in adapted:
            module.enable_adapters(True)


def trained_parameters(model: PeftModel) -> int:
    """How many values are trained."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
