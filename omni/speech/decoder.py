"""Codes to sound while more codes come: segments of speech as one gapless 24 kHz stream.

Knows: the order codes -> mel -> samples, when sound is let out, how segments meet.
Does not know: who makes the codes, text, int16 (:func:`omni.speech.joining.pcm16`), players.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.mel_stream import MelStream, MelStreamOptions
from omni.model.vocoder.hift import HiFTVocoder
from omni.model.vocoder.stream import VocoderStream
from omni.speech.joining import Join, Joiner, Samples, fade, silence

SEED_BITS = 63  # of a drawn seed; torch takes signed 64-bit ones
VOCODER_SEED = 0x5EED  # sets the vocoder's noise apart from the flow's


@dataclass(frozen=True)
class SpeechOptions:
    """When sound is let out, and how pieces of it meet."""

    mel: MelStreamOptions = field(default_factory=MelStreamOptions)
    """The chunk schedule (codes of 80 ms) and the flow's settings. Small first chunks, because
    the first sound waits for one; the flow decodes within blocks of 2 s, so chunks fill those."""
    early: Literal["never", "first", "always"] = "first"
    """Which chunks of a segment are let out early. The vocoder looks 385 ms ahead at the
    published size: exact sound after the first chunk (6 codes, 480 ms) would be 95 ms, gone long
    before the next chunk is there. Let out early it is 320 ms, of which the last part misses what
    the vocoder would have seen of later frames. Later chunks follow in time and are exact."""
    early_frames: int = 8
    """Mel frames of 20 ms that are kept back when letting out early, as many as CosyVoice 2 keeps
    back: the nearer to the end of what is known, the more the sound misses what comes."""
    fade_samples: int = 240
    """Cross-fade between segments, and from early to exact sound: 10 ms, the published length."""
    join: Join = "overlap"
    """How segments meet: ``overlap`` inserts nothing; ``insert`` is the published way."""


class SpeechDecoder:
    """One turn's codes to float32 samples at 24 kHz, in [-0.99, 0.99].

    A turn is a row of segments, each ended by :meth:`end_segment`; :meth:`finish` ends the turn
    and makes ready for another one. L codes of a segment give 4 L - 1 mel frames of 480 samples
    (80 ms a code, less 20 ms); with ``overlap`` every join takes a fade's length off.
    With one seed the sound is the same however the codes are cut into pushes.

    Args:
        tokenizer: codes to mel.
        vocoder: mel to samples; weight norm folded, for speed and exactness.
        seed: of all noise; None: a fresh one for this object, see :attr:`seed`.
    """

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        vocoder: HiFTVocoder,
        options: SpeechOptions | None = None,
        seed: int | None = None,
    ) -> None:
        self.options = options or SpeechOptions()
        if self.options.early_frames < 0 or self.options.fade_samples < 0:
            raise ValueError("early_frames and fade_samples are not negative")
        self.seed = secrets.randbits(SEED_BITS) if seed is None else seed
        self._tokenizer = tokenizer
        self._vocoder = vocoder
        self._start_turn()

    def _start_turn(self) -> None:
        flow_noise, self._vocoder_noise = self._generators()
        self._mels = MelStream(self._tokenizer, self.options.mel, flow_noise)
        self._joiner = Joiner(self.options.fade_samples, self.options.join)
        self._segment: SegmentSound | None = None

    def push(self, codes: Tensor | np.ndarray) -> Samples | None:
        """The next codes of a segment; gives the sound that is ready.

        Args:
            codes: one frame ``(codebooks,)`` or several ``(frames, codebooks)``, integers.

        Raises:
            ValueError: a code outside its codebook; a segment longer than the model's positions.
        """
        rows = torch.as_tensor(codes)
        if self._segment is None and len(rows):
            self._segment = SegmentSound(self._vocoder, self._vocoder_noise, self.options)
        ready = []
        # One by one: sound let out early depends on where chunks end, pushes must not.
        for row in rows[None] if rows.ndim == 1 else rows:
            mel = self._mels.push(row[None])
            if len(mel) and self._segment is not None:
                ready.append(self._joiner.push(self._segment.push(mel)))
        sound = np.concatenate([silence(), *ready])
        return sound if len(sound) else None

    def end_segment(self) -> Samples:
        """The segment under way is complete; gives its rest, less what a fade may need.

        A segment without codes gives nothing and leaves no trace.
        """
        segment, self._segment = self._segment, None
        if segment is None:
            return silence()
        return self._joiner.push(segment.finish(self._mels.finish()), last=True)

    def finish(self) -> Samples:
        """The turn is over, in or after a segment; gives everything that is left."""
        rest = np.concatenate([self.end_segment(), self._joiner.finish()])
        self._start_turn()
        return rest

    @torch.inference_mode()
    def decode(self, codes: Tensor | np.ndarray) -> Samples:
        """A whole segment ``(frames, codebooks)`` at once, with the noise of a first segment.

        Raises:
            ValueError: as :meth:`push`.
        """
        rows = torch.as_tensor(codes)
        if not len(rows):
            return silence()
        flow_noise, vocoder_noise = self._generators()
        mel, _ = self._tokenizer.decode(rows, generator=flow_noise, options=self.options.mel.flow)
        return _samples(self._vocoder(_for_vocoder(mel[0], self._vocoder), generator=vocoder_noise))

    def segment_samples(self, codes: int) -> int:
        """Samples of a segment of that many codes."""
        frames = self._tokenizer.audio_decoder.dconv1.output_length(codes)
        return frames * self._vocoder.samples_per_frame

    def _generators(self) -> tuple[torch.Generator, torch.Generator]:
        """The flow's and the vocoder's noise: apart, so that neither's cutting shifts the other's.

        On the CPU, so that a seed means the same on every device.
        """
        seeds = self.seed, self.seed ^ VOCODER_SEED
        flow, vocoder = (torch.Generator().manual_seed(seed) for seed in seeds)
        return flow, vocoder


class SegmentSound:
    """The mel of one segment to samples, the first of them early."""

    def __init__(
        self, vocoder: HiFTVocoder, noise: torch.Generator, options: SpeechOptions
    ) -> None:
        self._vocoder = vocoder
        self._options = options
        self._stream: VocoderStream = vocoder.stream(generator=noise)
        self._frames = 0  # of mel, taken
        self._exact = 0  # samples that the stream has given
        self._given = 0  # samples that were let out, at least as many
        self._early = silence()  # what would have been let out next, to fade from
        self._faded = 0  # samples of that

    def push(self, mel: Tensor) -> Samples:
        """The next frames ``(frames, mel bins)``; gives the samples to play."""
        first = not self._frames
        self._frames += len(mel)
        exact = self._continue(_samples(self._stream.push(_for_vocoder(mel, self._vocoder))))
        if self._options.early == "always" or (self._options.early == "first" and first):
            return np.concatenate([exact, self._let_out_early()])
        return exact

    def finish(self, mel: Tensor) -> Samples:
        """The last frames, possibly none; gives all samples that are left."""
        exact = [_samples(self._stream.push(_for_vocoder(mel, self._vocoder)))] if len(mel) else []
        exact.append(_samples(self._stream.finish()))
        return self._continue(np.concatenate(exact))

    def _continue(self, exact: Samples) -> Samples:
        """Of the stream's next samples, those not let out early."""
        sound = self._blend(exact[self._given - self._exact :])
        self._exact += len(exact)
        self._given += len(sound)
        return sound

    def _let_out_early(self) -> Samples:
        ready = (self._frames - self._options.early_frames) * self._vocoder.samples_per_frame
        count = ready - self._given
        if count <= 0:
            return silence()
        provisional = _samples(self._stream.preview())[self._given - self._exact :]
        sound = self._blend(provisional[: count + self._options.fade_samples])
        self._early, self._faded = sound[count:], 0
        self._given += count
        return sound[:count]

    def _blend(self, sound: Samples) -> Samples:
        """``sound``, faded into from what an early end would have gone on with."""
        start, total = self._faded, len(self._early)
        count = min(len(sound), total - start)
        self._faded += count
        faded = fade(self._early[start : start + count], sound[:count], start, total)
        return np.concatenate([faded, sound[count:]])


def _for_vocoder(mel: Tensor, vocoder: HiFTVocoder) -> Tensor:
    """``(frames, mel bins)`` of any dtype and device to ``(1, mel bins, frames)`` for it."""
    return mel.to(vocoder.conv_pre.bias).T[None]


def _samples(wave: Tensor) -> Samples:
    return wave[0].float().cpu().numpy()
