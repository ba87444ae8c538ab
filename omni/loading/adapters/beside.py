"""What an adapter adds to the layers of a model, beside their weights, which stay as they are.

Knows: where in the model a weight is multiplied, and how to add to the product there; the weights
may be in few bits, packed for the CPU, or waiting on the host. Does not know: files, which adapter
is wanted. Without an adapter in use, every product is the base's bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from omni.loading.adapters.files import REPLACED
from omni.model.audio_head import HeadAttention, PositionWise
from omni.model.layers.linear import linear
from omni.model.omni import OmniForCausalLM
from omni.model.visual import VisualBridge


class Removable(Protocol):
    """What can be taken back."""

    def remove(self) -> None:
        """Take it back."""
        ...


@dataclass(frozen=True, eq=False)
class LowRank:
    """What is added to one weight (out, in), as two matrices."""

    low: Tensor  # (rank, in)
    high: Tensor  # (out, rank), the scale multiplied in

    def product(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return linear(linear(x.to(self.low.dtype), self.low), self.high)

    def at(self, x: Tensor, positions: int, position: int | None) -> Tensor:
        """The same for a weight that has a matrix of its own for each position of a frame.

        ``x`` (frames, positions, in), or (frames, 1, in) of one ``position``.
        """
        low = self.low.unflatten(1, (positions, -1))
        x = x.to(low.dtype)
        if position is not None:
            return linear(linear(x, low[:, position].contiguous()), self.high)
        return linear(torch.einsum("fpi,rpi->fpr", x, low), self.high)


@dataclass(frozen=True, eq=False)
class Weights:
    """An adapter's values, on the model's devices."""

    pairs: Mapping[str, LowRank]  # by the name of the model's weight
    whole: Mapping[str, Tensor]  # what replaces a tensor, by that one's name


def place(model: OmniForCausalLM, weights: Weights) -> Weights:
    """The values where the layers are that they belong to, in the dtype that these compute in."""
    dtype = model.model.norm.weight.dtype
    pairs = {}
    for name, pair in weights.pairs.items():
        device = _device(model, _module(model, name))
        pairs[name] = LowRank(pair.low.to(device, dtype), pair.high.to(device, dtype))
    whole = {
        name: tensor.to(_device(model, model.model.visual_bridge_model), dtype)
        for name, tensor in weights.whole.items()
    }
    return Weights(pairs, whole)


def attach(model: OmniForCausalLM, weights: Weights) -> list[Removable]:
    """Let the layers of ``model`` add what ``weights`` hold, until it is taken back."""
    handles = [_added(_module(model, name), pair) for name, pair in weights.pairs.items()]
    if weights.whole:
        handles.append(_replaced(model, weights.whole))
    return handles


def _added(module: nn.Module, pair: LowRank) -> Removable:
    if isinstance(module, HeadAttention):
        return _Projections(module, pair.product)
    if isinstance(module, PositionWise):
        positions = module.positions

        def add_at(layer: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
            """The layer's product and the adapter's, of all positions or of one."""
            position = given[1] if len(given) > 1 else None
            return out + pair.at(given[0], positions, position).to(out.dtype)

        return module.register_forward_hook(add_at)

    def add(layer: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
        """The layer's product and the adapter's."""
        return out + pair.product(given[0]).to(out.dtype)

    return module.register_forward_hook(add)


class _Projections:
    """What is added to packed projections, which are no layer of their own."""

    def __init__(self, module: HeadAttention, product: Callable[[Tensor], Tensor]) -> None:
        self._module = module
        module.beside = product

    def remove(self) -> None:
        """Back to the projections alone."""
        self._module.beside = None


def _replaced(model: OmniForCausalLM, whole: Mapping[str, Tensor]) -> Removable:
    """Another bridge in the place of the model's."""
    bridge = model.model.visual_bridge_model
    with torch.device("meta"):
        other = VisualBridge(model.config.visual, model.config.hidden_size)
    state = {name.removeprefix(REPLACED): tensor for name, tensor in whole.items()}
    other.load_state_dict(state, assign=True)
    other.requires_grad_(False)

    def instead(layer: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
        """What the other bridge gives."""
        rows: Tensor = other(given[0].to(out.device))
        return rows.to(out.dtype)

    return bridge.register_forward_hook(instead)


def _module(model: OmniForCausalLM, weight: str) -> nn.Module:
    return model.get_submodule(weight.rpartition(".")[0])


def _device(model: OmniForCausalLM, module: nn.Module) -> torch.device:
    """Where ``module`` computes; weights that wait on the host have no values there."""
    tensors = [*module.parameters(), *module.buffers()]
    known = [tensor.device for tensor in tensors if not tensor.is_meta]
    return known[0] if known else model.model.norm.weight.device
