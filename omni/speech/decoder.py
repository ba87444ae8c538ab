"""Codes to sound while more codes come: segments of speech as one gapless 24 kHz stream.

Knows: the order codes -> mel -> samples, when sound is let out, how segments meet.
Does not know: who makes the codes, text, int16 (:func:`omni.speech.joining.pcm16`), players.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.mel_stream import MelStream, MelStreamOptions
from omni.model.protocols import Vocoder, WaveStream
from omni.model.streaming import Stream
from omni.speech.joining import Join, Joiner, Samples, fade, silence

Codes: TypeAlias = Tensor | np.ndarray

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


@dataclass
class SpeechState:
    """The streams of a turn.

    ``segment``: the sound of the segment under way; None: none has begun. ``noise``: draws the
    vocoder's noise.
    """

    mels: MelStream
    joiner: Joiner
    noise: torch.Generator
    segment: SegmentSound | None = None


class SpeechDecoder(Stream[Codes, Samples, SpeechState]):
    """One turn's codes to float32 samples at 24 kHz, in [-0.99, 0.99].

    A turn is a row of segments, each ended by :meth:`end_segment`; :meth:`finish` ends the turn,
    in or after a segment. A piece is one frame of codes ``(codebooks,)`` or several
    ``(frames, codebooks)``, integers. L codes of a segment give 4 L - 1 mel frames of 480 samples
    (80 ms a code, less 20 ms); with ``overlap`` every join takes a fade's length off.
    With one seed the sound is the same however the codes are cut into pieces, and after a reset.

    Args:
        tokenizer: codes to mel.
        vocoder: mel to samples; weight norm folded, for speed and exactness.
        seed: of all noise; None: a fresh one for this object, see :attr:`seed`.
    """

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        vocoder: Vocoder,
        options: SpeechOptions | None = None,
        seed: int | None = None,
    ) -> None:
        self.options = options or SpeechOptions()
        if self.options.early_frames < 0 or self.options.fade_samples < 0:
            raise ValueError("early_frames and fade_samples are not negative")
        self.seed = secrets.randbits(SEED_BITS) if seed is None else seed
        self._tokenizer = tokenizer
        self._vocoder = vocoder
        super().__init__()

    def new_state(self) -> SpeechState:
        """A turn without segments, whose noise starts where the seed says."""
        options = self.options
        flow_noise, vocoder_noise = self._generators()
        return SpeechState(
            MelStream(self._tokenizer, options.mel, flow_noise),
            Joiner(options.fade_samples, options.join),
            vocoder_noise,
        )

    def advance(self, piece: Codes | None, last: bool) -> Samples:
        """The sound that is ready, possibly none; at the end of the turn, everything that is left.

        Raises:
            ValueError: a code outside its codebook; a segment longer than the model's positions.
        """
        sound = silence() if piece is None else self._decoded(torch.as_tensor(piece))
        if not last:
            return sound
        return np.concatenate([sound, self.end_segment(), self.state.joiner.finish()])

    def end_segment(self) -> Samples:
        """The segment under way is complete; gives its rest, less what a fade may need.

        A segment without codes gives nothing and leaves no trace.
        """
        self._check_open()
        state = self.state
        segment, state.segment = state.segment, None
        if segment is None:
            return silence()
        sound = state.joiner.end_piece(segment.finish(state.mels.finish()))
        state.mels.next_segment()
        return sound

    def _decoded(self, rows: Tensor) -> Samples:
        """The sound that codes make ready, in or at the start of a segment."""
        state = self.state
        if state.segment is None and len(rows):
            state.segment = SegmentSound(self._vocoder, state.noise, self.options)
        ready = [silence()]
        # One by one: sound let out early depends on where chunks end, and must not on pieces.
        for row in rows[None] if rows.ndim == 1 else rows:
            mel = state.mels.push(row[None])
            if len(mel) and state.segment is not None:
                ready.append(state.joiner.push(state.segment.push(mel)))
        return np.concatenate(ready)

    def _generators(self) -> tuple[torch.Generator, torch.Generator]:
        """The flow's and the vocoder's noise: apart, so that neither's cutting shifts the other's.

        On the CPU, so that a seed means the same on every device.
        """
        seeds = self.seed, self.seed ^ VOCODER_SEED
        flow, vocoder = (torch.Generator().manual_seed(seed) for seed in seeds)
        return flow, vocoder


@dataclass
class SegmentState:
    """``stream``: the vocoder's. ``frames``: of mel, taken. ``exact``: samples that it has given.

    ``given``: samples that were let out, at least as many. ``early``: what would have been let out
    after these, to fade from. ``faded``: samples of that.
    """

    stream: WaveStream
    frames: int = 0
    exact: int = 0
    given: int = 0
    early: Samples = field(default_factory=silence)
    faded: int = 0


class SegmentSound(Stream[Tensor, Samples, SegmentState]):
    """The mel ``(frames, mel bins)`` of one segment to samples, the first of them early.

    Where sound is let out early it depends on the cuts, and is near that of the whole segment;
    elsewhere it is that.
    """

    def __init__(self, vocoder: Vocoder, noise: torch.Generator, options: SpeechOptions) -> None:
        self._vocoder = vocoder
        self._noise = noise
        self._options = options
        super().__init__()

    def new_state(self) -> SegmentState:
        """No frame was taken."""
        return SegmentState(self._vocoder.stream(generator=self._noise))

    def advance(self, piece: Tensor | None, last: bool) -> Samples:
        """The samples to play; at the end, all that are left."""
        state, exact, first = self.state, silence(), not self.state.frames
        if piece is not None and (len(piece) or not last):
            state.frames += len(piece)
            exact = _samples(state.stream.push(_for_vocoder(piece, self._vocoder)))
        if last:
            return self._continue(np.concatenate([exact, _samples(state.stream.finish())]))
        sound = self._continue(exact)
        if self._options.early == "always" or (self._options.early == "first" and first):
            return np.concatenate([sound, self._let_out_early()])
        return sound

    def _continue(self, exact: Samples) -> Samples:
        """Of the stream's next samples, those not let out early."""
        state = self.state
        sound = self._blend(exact[state.given - state.exact :])
        state.exact += len(exact)
        state.given += len(sound)
        return sound

    def _let_out_early(self) -> Samples:
        state = self.state
        ready = (state.frames - self._options.early_frames) * self._vocoder.samples_per_frame
        count = ready - state.given
        if count <= 0:
            return silence()
        provisional = _samples(state.stream.preview())[state.given - state.exact :]
        sound = self._blend(provisional[: count + self._options.fade_samples])
        state.early, state.faded = sound[count:], 0
        state.given += count
        return sound[:count]

    def _blend(self, sound: Samples) -> Samples:
        """``sound``, faded into from what an early end would have gone on with."""
        state = self.state
        start, total = state.faded, len(state.early)
        count = min(len(sound), total - start)
        state.faded += count
        faded = fade(state.early[start : start + count], sound[:count], start, total)
        return np.concatenate([faded, sound[count:]])


def _for_vocoder(mel: Tensor, vocoder: Vocoder) -> Tensor:
    """``(frames, mel bins)`` of any dtype and device to ``(1, mel bins, frames)`` for it."""
    return mel.to(vocoder.device, vocoder.dtype).T[None]


def _samples(wave: Tensor) -> Samples:
    return wave[0].float().cpu().numpy()
