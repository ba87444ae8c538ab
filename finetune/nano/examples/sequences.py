"""Training examples as the language model learns them: ids, media, and what follows each id.

Knows: media in memory instead of files, the targets of text and of audio frames. The prompt itself
is written as for every other model input, by :mod:`omni.prompting.forms` and its writer.
Does not know: losses, files.

The ids of an answer are those that stand in the context after it was generated: text, the mark
that starts speech, a pad a frame, the mark that ends it; then the end of text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from collections.abc import Sequence as Ordered
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import Word
from finetune.nano.domain.splits import stable_hash
from finetune.nano.examples.parts import Example, Heard, Said, Seen, System, Turn, Typed, Watched
from finetune.nano.pictures.pictures import Painting
from finetune.nano.pictures.row_targets import row_words
from finetune.nano.speech.synthesis import Sound, sounds
from finetune.nano.speech.timing import NOWHERE, frame_places
from omni.config import OmniConfig, VisualConfig
from omni.media.audio import audio_pieces
from omni.media.image import image_patches, resized
from omni.media.video import thin
from omni.prompting import forms
from omni.prompting.slots import CodesSlot, FrameSlot, ImageSlot
from omni.prompting.tokenizer import OmniTokenizer
from omni.prompting.writer import PromptWriter

IGNORED = -100  # no target here
CODE_S = 0.08  # of sound in a code
LISTENING_DELAY = 2  # codes: a word can be told when most of it was heard
_KEPT_CODES = 30_000  # encoded utterances


class Encoder(Protocol):
    """Sound to codes; see :class:`omni.model.audio.audio_tokenizer.AudioTokenizer`."""

    def encode(self, mels: Ordered[torch.Tensor]) -> list[torch.Tensor]:
        """int64 (codes, codebooks) of each mel (mel bins, frames)."""
        ...


@dataclass
class Sequence:
    """One example.

    ``ids`` and ``text_targets`` (length,): the id after each one, IGNORED where none is learnt.
    ``codes`` (audio pads, codebooks), in order. ``frame_places`` (frames,): positions that predict
    a frame; ``frame_targets`` (frames, codebooks): the frame, the end frame included.
    ``sound_targets`` (length,): the token of the word that sounds, for an auxiliary loss: at a
    place that predicts a frame, in that frame; where a code was heard, LISTENING_DELAY codes ago.
    ``sight_targets`` (length,): a word for what a row of a picture shows, in the language of the
    question, by chance one of those that
    :func:`finetune.nano.pictures.row_targets.row_words` gives.
    Pictures and frames have the size at which the tower sees them.
    """

    ids: list[int] = field(default_factory=list)
    text_targets: list[int] = field(default_factory=list)
    sound_targets: list[int] = field(default_factory=list)
    sight_targets: list[int] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    frames: list[Image.Image] = field(default_factory=list)
    frame_places: list[int] = field(default_factory=list)
    frame_targets: list[np.ndarray] = field(default_factory=list)


class SequenceWriter:
    """Writes examples for one checkpoint, whose audio tokenizer is frozen."""

    def __init__(
        self,
        tokenizer: OmniTokenizer,
        config: OmniConfig,
        audio: Encoder,
        voice: Encoder | None = None,
    ) -> None:
        """
        Args:
            audio: hears what is said to the model.
            voice: encodes what the model says itself, where that is another: ears that learnt
                on in front of their codebooks hear a voice in other fine codes than those that
                the decoder was taught. None: ``audio``.
        """
        self.tokenizer, self.config = tokenizer, config
        self.audio, self.voice = audio, voice or audio
        self.special = tokenizer.special
        self.end_frame = np.array(config.audio.codebook_sizes, np.int64)
        self._codes_of = lru_cache(maxsize=_KEPT_CODES)(self._encode)

    def write(self, example: Example) -> Sequence:
        """The example as a sequence."""
        draft = _Draft(PromptWriter(self.tokenizer, self.config, sys.maxsize))
        if example.form == "transcription":
            forms.open_transcription(draft.prompt)
            self._write_asked(draft, example.turns[-2], example.language)
            self._write_text(draft, example.turns[-1])
        elif example.form == "reading":
            if example.system.voice is not None:
                self._write_system(draft, System("", example.system.voice), example.language)
            for piece in example.turns[-1].parts:
                assert isinstance(piece, Said)
                draft.prompt.text(piece.text.strip())
                self._write_speech(draft, piece)
        else:
            self._write_conversation(draft, example)
        return draft.finish()

    def _write_conversation(self, draft: _Draft, example: Example) -> None:
        self._write_system(draft, example.system, example.language)
        for turn in example.turns:
            if turn.role == "user":
                forms.open_user(draft.prompt)
                self._write_asked(draft, turn, example.language)
                continue
            forms.open_assistant(draft.prompt, example.speech)
            if example.speech:
                self._write_spoken(draft, turn)
            else:
                self._write_text(draft, turn)

    def _write_system(self, draft: _Draft, system: System, language: Language) -> None:
        voice = system.voice
        forms.write_system(draft.prompt, system.text, language, voice_follows=voice is not None)
        if voice is not None:
            self._write_heard(draft, voice)

    def _write_asked(self, draft: _Draft, turn: Turn, language: Language) -> None:
        for part in turn.parts:
            if isinstance(part, Typed):
                draft.prompt.text(part.text)
            elif isinstance(part, Heard):
                self._write_heard(draft, part)
            elif isinstance(part, Seen):
                self._write_picture(draft, part.scene.painting(), language, clip=False)
            elif isinstance(part, Watched):
                frames = part.clip.paintings()
                for index in thin(list(range(len(frames))), self.config.video.max_frame_num):
                    self._write_picture(draft, frames[index], language, clip=True)

    def _write_text(self, draft: _Draft, turn: Turn) -> None:
        """An answer that is only written."""
        text = "".join(part.text for part in turn.parts if isinstance(part, Said))
        with draft.learning():
            draft.prompt.text(text)
        draft.learn(self.special.end_of_text)

    def _write_spoken(self, draft: _Draft, turn: Turn) -> None:
        """An answer that is written and spoken by turns; the model asks for speech itself."""
        for part in turn.parts:
            assert isinstance(part, Said)
            with draft.learning():
                draft.prompt.text(part.text)
            draft.learn(self.special.audiogen_start)
            self._write_speech(draft, part)
        draft.learn(self.special.end_of_text)

    def _write_speech(self, draft: _Draft, piece: Said) -> None:
        """The frames of a piece, each learnt at the place before it, the end frame included."""
        sequence, codes = draft.sequence, self._codes_of(piece)
        start = draft.prompt.tokens  # the mark before speech: it predicts the first frame
        draft.prompt.speech(CodesSlot(codes))
        sequence.frame_places += range(start, start + len(codes) + 1)
        sequence.frame_targets.append(np.concatenate([codes, self.end_frame[None]]))
        said = piece.utterance
        words = self._words(said.text, sounds(said), len(codes))
        _extend(sequence.sound_targets, start, words)

    def _write_heard(self, draft: _Draft, part: Heard) -> None:
        codes = self._codes_of(part)
        first = draft.prompt.tokens + 1  # pad, behind the mark
        draft.prompt.sound(CodesSlot(codes))
        lead_s = part.recording.lead_s
        words = self._words(part.utterance.text, part.sounds(), len(codes), lead_s)
        told = words[: 1 - LISTENING_DELAY]
        _extend(draft.sequence.sound_targets, first + LISTENING_DELAY, told)

    def _words(self, text: str, said: Ordered[Sound], codes: int, lead_s: float = 0.0) -> list[int]:
        """The token whose word sounds in each code; IGNORED in silence."""
        ids = self.tokenizer.encode(text)
        owners = [token for token in ids for _ in self.tokenizer.piece(token)]
        if len(owners) != len(text):
            return [IGNORED] * codes  # a token that is a part of a sign: not in the domain
        moved = [replace(sound, start_s=sound.start_s + lead_s) for sound in said]
        last = len(owners) - 1
        return [
            IGNORED if place == NOWHERE else owners[min(place, last)]
            for place in frame_places(moved, codes, CODE_S).tolist()
        ]

    def _write_picture(
        self, draft: _Draft, painting: Painting, language: Language, clip: bool
    ) -> None:
        config: VisualConfig = self.config.video if clip else self.config.visual
        seen = resized(painting.image(), config)
        slot = (FrameSlot if clip else ImageSlot)(image_patches(seen, config))
        first = draft.prompt.tokens + 1  # pad, behind the mark
        draft.prompt.picture(slot)
        block = config.patch_size * config.merge_size
        words = row_words(painting, (seen.height // block, seen.width // block))
        rng = Random(stable_hash("sight", painting.look.seed, language))
        names = [self._name(rng.choice(said), language) if said else IGNORED for said in words]
        _extend(draft.sequence.sight_targets, first, names)
        (draft.sequence.frames if clip else draft.sequence.images).append(seen)

    def _name(self, word: Word, language: Language) -> int:
        """The token that tells a word from others of its kind."""
        if language == "zh":
            return self.tokenizer.encode(word.zh)[0]
        return self.tokenizer.encode(" " + word.en)[-1]

    @torch.no_grad()
    def _encode(self, part: Heard | Said) -> np.ndarray:
        if isinstance(part, Heard):
            encoder, waveform = self.audio, part.waveform()
        else:
            encoder, waveform = self.voice, part.heard()
        pieces = audio_pieces(waveform, self.config.audio)
        codes = torch.cat(encoder.encode([piece.mel for piece in pieces]))
        return codes.cpu().numpy()


class _Draft:
    """A sequence while it is written: the prompt, and what is learnt at its places."""

    def __init__(self, prompt: PromptWriter) -> None:
        self.prompt = prompt
        self.sequence = Sequence()

    @contextmanager
    def learning(self) -> Iterator[None]:
        """What is written meanwhile the model is to produce: each id the place before it."""
        start = self.prompt.tokens
        yield
        _extend(self.sequence.text_targets, start - 1, self.prompt.since(start))

    def learn(self, token: int) -> None:
        """The last place is to produce ``token``, whatever is written there next.

        The end of text is learnt so and, like in generation, is not in the context.
        """
        _extend(self.sequence.text_targets, self.prompt.tokens - 1, [token])

    def finish(self) -> Sequence:
        """The sequence, its targets as long as its ids."""
        prompt, sequence = self.prompt.finish(), self.sequence
        sequence.ids = prompt.ids
        sequence.codes = [slot.codes for slot in prompt.media if isinstance(slot, CodesSlot)]
        for targets in (sequence.text_targets, sequence.sound_targets, sequence.sight_targets):
            _extend(targets, len(prompt.ids))
        return sequence


def _extend(targets: list[int], place: int, values: Ordered[int] = ()) -> None:
    """Targets of the places from ``place`` on; before them, behind the last ones, are none."""
    targets += [IGNORED] * (place - len(targets))
    targets += values
