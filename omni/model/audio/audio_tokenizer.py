"""The audio tokenizer: log-mel to codes, and codes to the mel that the vocoder speaks.

Knows: its four parts in order, lengths at each stage.
Does not know: waveforms, the language model, playback while codes still come (mel_stream.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from omni.config import OmniConfig
from omni.model.audio.audio_decoder import AudioDecoder
from omni.model.audio.audio_encoder import AudioEncoder
from omni.model.audio.flow import FlowMatchingDecoder, FlowOptions, FrameNoise
from omni.model.audio.rvq import AudioBridge


class AudioTokenizer(nn.Module):
    """``audio_tokenizer`` of the checkpoint."""

    def __init__(self, config: OmniConfig) -> None:
        super().__init__()
        audio = config.audio
        self.codebook_sizes = audio.codebook_sizes
        self.audio_model = AudioEncoder(audio)
        self.audio_bridge_model = AudioBridge(audio)
        self.audio_decoder = AudioDecoder(audio, config.post_net)
        self.audio_flow_matching_decoder = FlowMatchingDecoder(config.flow)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.audio_bridge_model.proj_decoder.weight.device

    def decoding_parts(self) -> tuple[nn.Module, ...]:
        """What runs from the sum of a code's entries to the mel; all in one dtype, any dtype."""
        return (
            self.audio_bridge_model.proj_decoder,
            self.audio_decoder,
            self.audio_flow_matching_decoder,
        )

    @torch.no_grad()
    def encode(self, mels: Sequence[Tensor], batch_padding: bool = False) -> list[Tensor]:
        """The codes of each mel, 12.5 a second.

        Args:
            mels: ``(mel bins, valid frames)`` each.
            batch_padding: False: a mel's codes depend on that mel alone, so that they can be kept
                and used again. True: the numbers of the published code, which zero-pads the mels
                that it runs together, here those of this call (a conversation's recordings, the
                pieces of one longer than 30 s); see :meth:`AudioEncoder.forward`. The two differ
                in the last hidden frame of a mel that is not the longest and has an odd number of
                frames, and through attention a little everywhere in that mel.

        Returns:
            int64 ``(codes, codebooks)`` each; no codes for a mel under four hidden frames.
        """
        mels = [mel.to(self.device) for mel in mels]
        return [self.audio_bridge_model.encode(x) for x in self.audio_model(mels, batch_padding)]

    @torch.no_grad()
    def decode(
        self,
        codes: Tensor,
        lengths: Sequence[int] | Tensor | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        options: FlowOptions | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The log-mels (24 kHz, hop 480) of whole segments.

        A segment's mel depends on the longest one of its batch, through the norm of ``dconv1``
        over zero padding: decode segments one by one for numbers that depend on them alone.

        Args:
            codes: packed ``(sum of lengths, codebooks)``.
            lengths: codes of each segment; None: one segment.
            noise: ``(batch, frames, mel bins)``; None: drawn for each segment in turn.
            generator: draws the noise; None: the default generator of the CPU.

        Returns:
            ``(batch, frames, mel bins)``, zero beyond each length, and the lengths in frames,
            int64 ``(batch,)``: 4 L - 1 for L codes.

        Raises:
            ValueError: a code outside its codebook, lengths that do not add up, a segment longer
                than the positions allow.
        """
        sizes = [len(codes)] if lengths is None else [int(n) for n in lengths]
        if sum(sizes) != len(codes):
            raise ValueError(f"{len(codes)} codes, but lengths of {sum(sizes)} in all")
        embeddings = self.audio_bridge_model.decode(self.check_codes(codes))
        embeddings = pad_sequence(list(embeddings.split(sizes)), batch_first=True)
        counts = torch.tensor(sizes, device=self.device)
        frames = [self.audio_decoder.dconv1.output_length(n) for n in sizes]
        flow = self.audio_flow_matching_decoder
        if max(frames, default=0) == 0:
            return embeddings.new_zeros(len(sizes), 0, flow.mel_bins), counts
        if max(sizes) > self.audio_decoder.max_codes:
            raise ValueError(f"{max(sizes)} codes: {self.audio_decoder.max_codes} are the most")
        hidden, out_lengths = self.audio_decoder(embeddings, counts)
        if noise is None:
            noise = pad_sequence(
                [FrameNoise(flow.mel_bins, generator).frames(0, n) for n in frames],
                batch_first=True,
            )
        even = len(set(frames)) == 1
        mel = flow(hidden, None if even else out_lengths, noise, options)
        valid = torch.arange(mel.shape[1], device=mel.device) < out_lengths[:, None]
        return mel * valid[..., None], out_lengths

    def check_codes(self, codes: Tensor) -> Tensor:
        """``codes (n, codebooks)`` as int64 on the device of the weights.

        Raises:
            ValueError: a code outside its codebook, or another shape.
        """
        if codes.ndim != 2 or codes.shape[1] != len(self.codebook_sizes):
            wanted = f"(n, {len(self.codebook_sizes)})"
            raise ValueError(f"codes of shape {tuple(codes.shape)}: {wanted} is needed")
        sizes = torch.tensor(self.codebook_sizes, device=codes.device)
        if bool(((codes < 0) | (codes >= sizes)).any()):
            raise ValueError("a code is outside its codebook (an end-of-audio row is not a frame)")
        return codes.to(self.device, torch.int64)
