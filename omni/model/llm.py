"""The language model: a Qwen2.5-like decoder with packed query, key and value projections.

Knows: token and code embeddings, decoder layers, rotary positions, transformers' caches, masks and
attention interface. Holds the vision tower and its bridge, whose rows become inputs.
Does not know: logits, media files, which token ids are placeholders, sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.config import OmniConfig
from omni.libraries.hugging_face import ACT2FN, ALL_ATTENTION_FUNCTIONS, Cache, create_causal_mask
from omni.model.layers.key_values import FixedWindow, KeyValues, Preallocated
from omni.model.layers.norm import RMSNorm
from omni.model.layers.pretrained import OmniPreTrainedModel
from omni.model.layers.rotary import Rotation, TokenAngles, rotate, rotation
from omni.model.visual import VisualBridge, VisualTower


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention written out, for ``attn_implementation="eager"``; as transformers calls it.

    ``query`` (batch, heads, positions, head_dim), ``key`` and ``value`` with fewer heads, an
    additive mask; returns (batch, positions, heads, head_dim) and the weights.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, dropout, module.training)
    return (weights @ value).transpose(1, 2), weights


def attend_one(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one position: (batch, 1, heads * head_dim).

    ``query`` (batch, heads, 1, head_dim), ``key`` and ``value`` with fewer heads, ``mask``
    (1, 1, 1, keys). The queries that share a key head stand where positions would: no key is
    repeated, and each is read once.
    """
    grouped = query.unflatten(1, (key.shape[1], -1)).squeeze(3)
    return F.scaled_dot_product_attention(grouped, key, value, mask).flatten(1)[:, None]


class SelfAttention(nn.Module):
    """Grouped-query attention; ``W_pack`` gives all queries, then keys, then values."""

    def __init__(self, config: OmniConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        # Read by transformers' attention functions:
        self.num_key_value_groups = self.heads // self.kv_heads
        self.is_causal = True
        packed = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.W_pack = nn.Linear(config.hidden_size, packed)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=False)

    def forward(
        self,
        x: Tensor,
        rotary: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | Preallocated | None = None,
    ) -> Tensor:
        """(batch, positions, hidden) to the same; the cache keeps rotated, unrepeated keys."""
        packed = self.W_pack(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        rotated = rotate(packed[:, : self.heads + self.kv_heads], rotary)
        query, key = rotated.split((self.heads, self.kv_heads), dim=1)
        value = packed[:, self.heads + self.kv_heads :]
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        if isinstance(past_key_values, KeyValues | FixedWindow) and query.shape[2] == 1:
            return self.o_proj(attend_one(query, key, value, attention_mask))
        attend: Callable[..., tuple[Tensor, Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention
        )
        mixed, _ = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=0.0,
            scaling=self.head_dim**-0.5,
        )
        return self.o_proj(mixed.flatten(2))


class FeedForward(nn.Module):
    """Gated feed-forward layer."""

    def __init__(self, config: OmniConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act = ACT2FN[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden) to the same."""
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    """Attention and feed-forward, each on the normalized input and added to it."""

    def __init__(self, config: OmniConfig, layer_idx: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config, layer_idx)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        rotary: Rotation,
        attention_mask: Any = None,
        past_key_values: Cache | Preallocated | None = None,
    ) -> Tensor:
        """(batch, positions, hidden) to the same."""
        x = x + self.self_attn(self.input_layernorm(x), rotary, attention_mask, past_key_values)
        return x + self.mlp(self.post_attention_layernorm(x))


class OmniModel(OmniPreTrainedModel):
    """Embeddings to hidden states, with the towers that feed it."""

    def __init__(self, config: OmniConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.visual_model = VisualTower(config.visual)
        self.visual_bridge_model = VisualBridge(config.visual, width)
        # No padding_idx: it would only keep an ordinary token (the published pad id 0) untrained.
        self.embed_tokens = nn.Embedding(config.vocab_size, width)
        self.layers = nn.ModuleList(
            DecoderLayer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(width, eps=config.rms_norm_eps)
        self.audio_embed_layers = nn.ModuleList(
            nn.Embedding(size + 1, width) for size in config.audio.codebook_sizes
        )
        self.angles = TokenAngles(config.head_dim, config.rope_theta)
        self.post_init()

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Audio codes (..., codebooks) to input rows (..., hidden): the sum over the tables."""
        total = self.audio_embed_layers[0](codes[..., 0])
        for index in range(1, len(self.audio_embed_layers)):
            total = total + self.audio_embed_layers[index](codes[..., index])
        return total

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | Preallocated | None = None,
    ) -> Tensor:
        """Hidden states after the final norm.

        Args:
            inputs_embeds: (batch, positions, hidden).
            attention_mask: (batch, past + positions), 0 at padding; or a prepared 4-D mask.
            position_ids: (batch or 1, positions); default: from the cache's length on, else from
                0. Just differences of positions matter.
            past_key_values: any transformers cache, or memory set aside ahead (then batch size
                one, no mask, no position ids); extended in place.

        Returns:
            (batch, positions, hidden).
        """
        if isinstance(past_key_values, KeyValues | FixedWindow):
            return self._extend(inputs_embeds, past_key_values)
        if position_ids is None:
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)[None]
            position_ids = position_ids + past
        # Without the position ids: transformers would look for packed sequences in them.
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
        )
        rotary = rotation(self.angles(position_ids)[:, None])  # for all heads
        x = inputs_embeds
        for layer in self.layers:
            x = layer(x, rotary, mask, past_key_values=past_key_values)
        return self.norm(x)

    def _extend(self, x: Tensor, past: Preallocated) -> Tensor:
        count = x.shape[1]
        past.reserve(count)
        rotary = rotation(self.angles(past.positions(count, x.device))[:, None])
        mask = past.mask(count, x.device)
        for layer in self.layers:
            x = layer(x, rotary, mask, past_key_values=past)
        past.advance(count)
        return self.norm(x)
