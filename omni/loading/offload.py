"""A plan carried out on a loaded model: few-bit text head, parts on the host, nothing unused.

Knows: how weights come to a device for a while, when accelerate's own hooks must be removed,
bitsandbytes' layers.
Does not know: which plan is best (:mod:`omni.loading.plans`), files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from accelerate.hooks import remove_hook_from_submodules
from accelerate.utils import send_to_device
from torch import Tensor, nn

from omni.loading.plans import HOST_TABLES, OFFLOADED_STACKS, Plan, component_of

LM_HEAD = "lm_head"
Table: TypeAlias = dict[str, Any]  # of a module: its parameters or buffers by name


def device_map(plan: Plan, device: str) -> dict[str, str]:
    """Where each tensor is loaded to; :func:`carry_out` expects the model as this leaves it."""
    placed = {"": device}
    if device == "cpu":
        return placed
    placed |= dict.fromkeys(plan.host_modules, "cpu")
    if plan.lm_head_8bit:
        placed[LM_HEAD] = "cpu"  # rounded before it goes to the device
    return placed


def carry_out(model: nn.Module, plan: Plan, device: str) -> None:
    """Make ``model``, loaded by :func:`device_map`, run on ``device`` as ``plan`` says.

    For one device: on several GPUs accelerate's hooks stay, and there is no offload.
    """
    target = torch.device(device)
    if plan.offload:
        # Loading on two devices has set accelerate's hooks, which would carry the whole table of
        # embeddings to the device for each token and inspect every argument of every layer.
        remove_hook_from_submodules(model)
        for name in HOST_TABLES:
            look_up_on_host(model.get_submodule(name), target)
        for name in OFFLOADED_STACKS:
            for layer in _layers(model.get_submodule(name)):
                onload_to_run(layer, target)
    if plan.lm_head_8bit:
        head = model.get_submodule(LM_HEAD)
        assert isinstance(head, nn.Linear)
        setattr(model, LM_HEAD, rounded_rows(head, target))
    drop_unused(model)


def drop_unused(model: nn.Module) -> int:
    """Free the tensors that the checkpoint has and nothing reads; gives how many bytes they took.

    The model cannot be saved afterwards.
    """
    freed = 0
    for prefix, module in model.named_modules():
        for table, name, tensor in _places([module]):
            if component_of(f"{prefix}.{name}") == "unused":
                freed += tensor.nbytes
                table[name] = _like(tensor, tensor.detach().to("meta"))
    return freed


def look_up_on_host(table: nn.Module, device: torch.device) -> None:
    """Look rows up where the table is, and give them on ``device``."""
    table.register_forward_hook(lambda module, inputs, rows: rows.to(device))


def onload_to_run(layer: nn.Module, device: torch.device) -> None:
    """Have the layer's weights on ``device`` while it runs, and on the host otherwise."""
    on_host: list[tuple[Table, str, Tensor]] = []

    def onload(module: nn.Module, inputs: Any, options: Any) -> tuple[Any, Any]:
        """Before the layer runs: its weights and inputs, on the device."""
        for table, name, tensor in _places(module.modules()):
            on_host.append((table, name, tensor))
            table[name] = _like(tensor, tensor.to(device, non_blocking=True))
        return send_to_device(inputs, device), send_to_device(options, device)

    def offload(module: nn.Module, inputs: Any, result: Any) -> None:
        """After it: the weights as they were."""
        for table, name, tensor in on_host:
            table[name] = tensor
        on_host.clear()

    layer.register_forward_pre_hook(onload, with_kwargs=True)
    layer.register_forward_hook(offload, always_call=True)  # also when the device had no room


def rounded_rows(linear: nn.Linear, device: torch.device) -> nn.Module:
    """A linear layer with 8-bit weights, each output with a scale of its own.

    No columns are kept apart for outliers, so nothing waits for the device and the layer can be
    part of a captured step.
    """
    import bitsandbytes as bnb

    few_bits = bnb.nn.Linear8bitLt(
        linear.in_features, linear.out_features, bias=False, has_fp16_weights=False, threshold=0.0
    )
    few_bits.weight = bnb.nn.Int8Params(
        linear.weight.data.cpu(), requires_grad=False, has_fp16_weights=False
    )
    return few_bits.to(device).requires_grad_(False).eval()


def _layers(module: nn.Module) -> list[nn.Module]:
    """The layers of a stack; the module itself if it is none."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _places(modules: Iterable[nn.Module]) -> list[tuple[Table, str, Tensor]]:
    """Where each parameter and buffer of these modules themselves is held, by what name."""
    return [
        (table, name, tensor)
        for module in modules
        for table in (module._parameters, module._buffers)
        for name, tensor in table.items()
        if tensor is not None
    ]


def _like(tensor: Tensor, value: Tensor) -> Tensor:
    """``value`` as a parameter if ``tensor`` is one."""
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=False)
    return value
