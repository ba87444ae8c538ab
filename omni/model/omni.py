"""The whole model: language model, audio tokenizer, audio head and text logits, under one roof.

Knows: how media become input rows and where they go, which parts run for what.
Does not know: prompts, sampling, the order of text and speech, files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omni.config import OmniConfig
from omni.libraries.hugging_face import Cache, DynamicCache, ModelOutput
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio_head import AudioHead
from omni.model.layers.key_values import KeyValues, Preallocated
from omni.model.layers.pretrained import OmniPreTrainedModel, device_of
from omni.model.llm import OmniModel
from omni.model.protocols import Mel, Patches

PATCHES_PER_PASS = 16_384  # of the vision tower: the largest picture, or that many of a clip


@dataclass
class OmniOutput(ModelOutput):
    """What :meth:`OmniForCausalLM.forward` gives.

    ``logits`` (batch, kept positions, vocabulary), ``last_hidden_state`` (batch, positions, hidden)
    after the final norm, ``past_key_values`` the extended cache, if there is one.
    """

    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    past_key_values: Cache | None = None


class OmniForCausalLM(OmniPreTrainedModel):
    """The published architecture, under the published names."""

    def __init__(self, config: OmniConfig) -> None:
        super().__init__(config)
        self.model = OmniModel(config)
        self.audio_tokenizer = AudioTokenizer(config)
        self.audio_head = AudioHead(config, self.model.audio_embed_layers)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of token embeddings."""
        return self.model.embed_tokens

    def encode_audio(self, pieces: Sequence[Mel], batch_padding: bool = False) -> list[Tensor]:
        """Codes, int64 (codes, codebooks), of each piece.

        ``batch_padding``: see :meth:`AudioTokenizer.encode`.
        """
        return self.audio_tokenizer.encode([piece.mel for piece in pieces], batch_padding)

    def encode_images(self, images: Sequence[Patches]) -> Tensor:
        """Rows of pictures or frames, in order: (sum of grid / 4, hidden). None give no row."""
        tower = self.model.visual_model
        device = device_of(tower.patch_embed.proj)
        rows = [
            self.model.visual_bridge_model(
                tower(
                    torch.cat([image.patches for image in some]).to(device),
                    [image.grid for image in some],
                )
            )
            for some in _passes(images)
        ]
        if rows:
            return torch.cat(rows)
        embedding = self.model.embed_tokens.weight
        return torch.empty((0, self.config.hidden_size), dtype=embedding.dtype, device=device)

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Audio codes (..., codebooks) to input rows (..., hidden)."""
        return self.model.embed_codes(codes)

    def embed(
        self,
        input_ids: Tensor,
        audio_codes: Tensor | None = None,
        image_rows: Tensor | None = None,
        video_rows: Tensor | None = None,
    ) -> Tensor:
        """Inputs of the language model, media in place of their pads, in order of appearance.

        Args:
            input_ids: int (batch, positions).
            audio_codes: int (n, codebooks), for the audio pads.
            image_rows: (m, hidden), for the image pads.
            video_rows: (k, hidden), for the pads of frames.

        Returns:
            (batch, positions, hidden).

        Raises:
            ValueError: there are more or fewer pads than rows.
        """
        embeds = self.model.embed_tokens(input_ids.to(device_of(self.model.embed_tokens)))
        audio_rows = None
        if audio_codes is not None and len(audio_codes):
            audio_rows = self.embed_codes(audio_codes.to(embeds.device))
        media = (
            ("audio", self.config.audio.audio_pad_token_id, audio_rows),
            ("image", self.config.visual.image_pad_token_id, image_rows),
            ("video", self.config.video.video_place_token_id, video_rows),
        )
        for name, pad, rows in media:
            places = input_ids == pad
            pads, count = int(places.sum()), 0 if rows is None else len(rows)
            if pads != count:
                raise ValueError(f"{pads} {name} pads in the prompt, {count} {name} rows given")
            if rows is not None and count:
                places = places[..., None].to(embeds.device)
                embeds = embeds.masked_scatter(places, rows.to(embeds))
        return embeds

    def new_key_values(self) -> KeyValues | None:
        """Memory for one context; None where the attention in use needs transformers' caches."""
        if self.config._attn_implementation != "sdpa":
            return None
        return KeyValues(self.config.num_hidden_layers)

    @property
    def encoder_layers(self) -> list[nn.Module]:
        """The layers of the encoders of media: long work may be given up between two of them."""
        return [*self.audio_tokenizer.audio_model.layers, *self.model.visual_model.blocks]

    def hidden(
        self,
        inputs_embeds: Tensor,
        past_key_values: Cache | Preallocated | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """States (batch, positions, hidden) after the final norm; see :class:`OmniModel`."""
        return self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        audio_codes: Tensor | None = None,
        image_rows: Tensor | None = None,
        video_rows: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> OmniOutput:
        """One pass, with text logits of the asked positions.

        Args:
            input_ids: (batch, positions), with media as :meth:`embed` takes them; or
            inputs_embeds: (batch, positions, hidden).
            attention_mask: (batch, past + positions), 0 at padding.
            position_ids: see :class:`OmniModel`.
            past_key_values: any transformers cache, extended in place.
            use_cache: start a dynamic cache where none is given (default: the config's).
            logits_to_keep: how many positions at the end get logits (0: all), or their indices.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            inputs_embeds = self.embed(input_ids, audio_codes, image_rows, video_rows)
        if past_key_values is None and (self.config.use_cache if use_cache is None else use_cache):
            past_key_values = DynamicCache(config=self.config)
        assert inputs_embeds is not None
        states = self.hidden(inputs_embeds, past_key_values, attention_mask, position_ids)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return OmniOutput(
            logits=self.lm_head(states[:, kept]),
            last_hidden_state=states,
            past_key_values=past_key_values,
        )


def _passes(images: Sequence[Patches]) -> Iterator[list[Patches]]:
    """The pictures in groups of at most PATCHES_PER_PASS patches, at least one in each."""
    group: list[Patches] = []
    patches = 0
    for image in images:
        if group and patches + len(image.patches) > PATCHES_PER_PASS:
            yield group
            group, patches = [], 0
        group.append(image)
        patches += len(image.patches)
    if group:
        yield group
