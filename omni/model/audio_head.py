"""The audio head: a small transformer over the codebooks of one frame.

Knows: the frame's sequence (hidden state, then running sums of code embeddings), position-wise
feed-forward weights, a full pass for training and an incremental one for generation.
Does not know: how a code is drawn, frames before this one, the end of the audio.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.config import AUDIO_HEAD_WIDTH, OmniConfig
from omni.model.layers.linear import Linear, linear
from omni.model.layers.norm import RMSNorm
from omni.model.layers.pretrained import device_of
from omni.model.protocols import Pick

NORM_EPS = 1e-6  # of this head's norms, whatever the config says
KeyValues = tuple[Tensor, Tensor]  # each (frames, heads, codebooks, head_dim)


def attention_heads(width: int) -> int:
    """Heads of 128 channels; one in a model that is narrower."""
    return max(1, width // AUDIO_HEAD_WIDTH)


class PositionWise(nn.Module):
    """A linear layer with a matrix of its own for each position of the frame.

    The matrices lie side by side in one weight (out, positions * in), as published. The published
    bias is in the checkpoint and is never used.
    """

    packed: Tensor | None

    def __init__(self, positions: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.positions = positions
        self.weight = nn.Parameter(torch.empty(outputs, positions * inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.register_buffer("packed", None, persistent=False)

    def pack(self) -> None:
        """Gives each matrix memory of its own; see :meth:`AudioHead.pack`."""
        if self.packed is None:
            with torch.inference_mode(False), torch.no_grad():
                self.packed = self.matrices().transpose(0, 1).contiguous()
            self.register_parameter("weight", None)

    def unpack(self) -> None:
        """Back to one weight, as published."""
        if self.packed is not None:
            with torch.inference_mode(False), torch.no_grad():
                weight = self.matrices().flatten(1)
            self.weight = nn.Parameter(weight, requires_grad=False)
            self.packed = None

    def matrices(self) -> Tensor:
        """(out, positions, in), a view."""
        if self.packed is not None:
            return self.packed.transpose(0, 1)
        return self.weight.unflatten(1, (self.positions, -1))

    def forward(self, x: Tensor, position: int | None = None) -> Tensor:
        """(frames, positions, in) to (frames, positions, out); ``position``: just that one."""
        if position is None:
            return self._all(x)
        if self.packed is not None:
            return linear(x, self.packed[position])
        # A view with contiguous rows: nothing but this position's matrix is read.
        matrix = self.matrices()[:, position]
        if x.device.type == "cpu" and len(x) == 1:
            # The general product packs a strided matrix first, in half precision at great cost.
            return torch.mv(matrix, x.flatten()).view(1, 1, -1)
        return F.linear(x, matrix)

    def _all(self, x: Tensor) -> Tensor:
        matrices = self.matrices()
        if x.device.type == "cpu":  # whose batched product would copy the strided matrices
            pairs = zip(x.unbind(1), matrices.unbind(1), strict=True)
            return torch.stack([F.linear(row, matrix) for row, matrix in pairs], dim=1)
        return torch.bmm(x.transpose(0, 1), matrices.permute(1, 2, 0)).transpose(0, 1)


class HeadAttention(nn.Module):
    """Causal attention with packed projections, over the positions of a frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = attention_heads(width)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = Linear(width, width)
        # What an adapter adds to the packed projections, (..., width) to (..., 3 width).
        self.beside: Callable[[Tensor], Tensor] | None = None

    def forward(
        self, x: Tensor, position: int | None = None, past: KeyValues | None = None
    ) -> Tensor:
        """(frames, positions, width) to the same.

        With ``past``, ``x`` is just the one ``position``, whose key and value are written there.
        """
        packed = linear(x, self.in_proj_weight, self.in_proj_bias)
        if self.beside is not None:
            packed = packed + self.beside(x).to(packed.dtype)
        query, key, value = packed.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None and position is not None:
            for kept, new in zip(past, (key, value), strict=True):
                kept[:, :, position] = new[:, :, 0]
            key, value = (kept[:, :, : position + 1] for kept in past)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class HeadLayer(nn.Module):
    """Attention and position-wise feed-forward."""

    def __init__(self, width: int, positions: int) -> None:
        super().__init__()
        self.self_attention = HeadAttention(width)
        self.layernorm1 = RMSNorm(width, eps=NORM_EPS)
        self.layernorm2 = RMSNorm(width, eps=NORM_EPS)
        self.linear1 = PositionWise(positions, width, 2 * width)
        self.linear2 = PositionWise(positions, 2 * width, width)

    def forward(
        self, x: Tensor, position: int | None = None, past: KeyValues | None = None
    ) -> Tensor:
        """(frames, positions, width) to the same; with ``past``, just the one ``position``."""
        # The residual of the feed-forward is the normalized value, not the sum before it.
        y = self.layernorm2(x + self.self_attention(self.layernorm1(x), position, past))
        return y + self.linear2(F.gelu(self.linear1(y, position)), position)


class AudioHead(nn.Module):
    """Hidden states of the language model to the codes of the frames that they predict.

    ``tables`` are the language model's code embeddings: read here, owned there.
    """

    def __init__(self, config: OmniConfig, tables: nn.ModuleList) -> None:
        super().__init__()
        width = config.hidden_size
        sizes = config.audio.codebook_sizes
        self.transformer_layers = nn.ModuleList(
            HeadLayer(width, len(sizes)) for _ in range(config.audio.audio_head_transformer_layers)
        )
        self.headnorm = RMSNorm(width, eps=NORM_EPS)
        self.heads = nn.ModuleList(Linear(width, size + 1) for size in sizes)
        self._tables = (tables,)  # in a tuple, so that they are not registered a second time

    def pack(self, before: Callable[[], None] = lambda: None) -> None:
        """Lays the matrices of each position together, for generation on the CPU.

        As published, the rows of one matrix are far apart, each in a page of its own; together
        they are read a fifth faster. The model cannot be trained or saved until :meth:`unpack`.

        Args:
            before: called before each of some pieces of this work, which may take a while.
        """
        for module in self.modules():
            if isinstance(module, PositionWise):
                before()
                module.pack()

    def unpack(self) -> bool:
        """Takes :meth:`pack` back; whether there was anything to take back."""
        found = [module for module in self.modules() if isinstance(module, PositionWise)]
        packed = any(module.packed is not None for module in found)
        for module in found:
            module.unpack()
        return packed

    def inputs(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """A frame's sequence: the hidden state, then the running sums of its code embeddings.

        ``hidden`` (frames, width), ``codes`` (frames, codebooks); (frames, codebooks, width). The
        last codebook's codes are not read, and the hidden state is not in the sums.
        """
        embedded = [
            table(codes[:, index]).to(hidden)
            for index, table in enumerate(self._tables[0][: len(self.heads) - 1])
        ]
        rows = [hidden]
        for index, row in enumerate(embedded):
            rows.append(row if index == 0 else rows[-1] + row)
        return torch.stack(rows, dim=1)

    def forward(self, hidden: Tensor, codes: Tensor) -> list[Tensor]:
        """The full pass with known codes, for training and comparison.

        ``hidden`` (frames, width), ``codes`` int (frames, codebooks); a list of logits
        (frames, K_j + 1), of which the ones of codebook j depend on the codes before j alone.
        """
        x = self.inputs(hidden, codes)
        for layer in self.transformer_layers:
            x = layer(x)
        x = self.headnorm(x)
        return [head(x[:, index]) for index, head in enumerate(self.heads)]

    def generate(self, hidden: Tensor, pick: Pick) -> Tensor:
        """The codes of the frames that ``hidden`` predicts, codebook by codebook.

        Args:
            hidden: (frames, width), the language model's states after the final norm.
            pick: called with a codebook's index and its logits, (frames, K_0 + 1) for the first
                (index K_0 ends the audio) and (frames, K_j) for the others; gives codes (frames,).

        Returns:
            int64 (frames, codebooks), on the head's device.
        """
        x = hidden = hidden.to(device_of(self.headnorm))
        past = self.new_cache(hidden)
        codes: list[Tensor] = []
        total: Tensor | None = None
        for index in range(len(self.heads)):
            logits = self.step(x, index, past)
            codes.append(pick(index, logits if index == 0 else logits[:, :-1]))
            if index + 1 < len(self.heads):
                row = self._tables[0][index](codes[-1]).to(hidden)
                total = row if total is None else total + row
                x = total
        return torch.stack([code.long() for code in codes], dim=1)

    def step(self, x: Tensor, position: int, past: list[KeyValues]) -> Tensor:
        """Logits (frames, K_j + 1) of one position from its input (frames, width).

        ``past``: of :meth:`new_cache`, filled by the positions before this one. No other
        position's feed-forward weights are read, and nothing waits for the device.
        """
        x = x[:, None]
        for layer, kept in zip(self.transformer_layers, past, strict=True):
            x = layer(x, position, kept)
        return self.heads[position](self.headnorm(x[:, 0]))

    def new_cache(self, hidden: Tensor) -> list[KeyValues]:
        """Room for the keys and values of the frames that ``hidden`` (frames, width) predicts."""
        frames, width = hidden.shape
        heads = attention_heads(width)
        shape = (frames, heads, len(self.heads), width // heads)
        return [(hidden.new_empty(shape), hidden.new_empty(shape)) for _ in self.transformer_layers]
