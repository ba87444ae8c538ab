"""Training examples as the language model learns them: ids, media, and what follows each id.

Knows: the prompt forms with media in memory, the targets of text and of audio frames.
Does not know: losses, files.

The ids of an answer are those that stand in the context after it was generated: text, the mark
that starts speech, a pad a frame, the mark that ends it; then the end of text.
"""

from __future__ import annotations

from collections.abc import Sequence as Ordered
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random

import numpy as np
import torch
from PIL import Image

from finetune.nano.domain.lexicon import Word
from finetune.nano.domain.splits import stable_hash
from finetune.nano.examples.parts import Example, Heard, Said, Seen, System, Turn, Typed, Watched
from finetune.nano.pictures.pictures import Painting
from finetune.nano.pictures.row_targets import row_words
from finetune.nano.speech.synthesis import Utterance, sounds
from finetune.nano.speech.timing import NOWHERE, frame_places
from omni.config import OmniConfig, VisualConfig
from omni.conversation import Language
from omni.media.audio import audio_pieces
from omni.media.image import smart_resize
from omni.media.video import thin
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.prompting.prompt import TRANSCRIBE_TEXT
from omni.prompting.system_text import VOICE_SENTENCE
from omni.prompting.tokenizer import OmniTokenizer

IGNORED = -100  # no target here
CODE_S = 0.08  # of sound in a code
LISTENING_DELAY = 2  # codes: a word can be told when most of it was heard
_KEPT_CODES = 30_000  # encoded utterances


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

    def __init__(self, tokenizer: OmniTokenizer, config: OmniConfig, audio: AudioTokenizer) -> None:
        self.tokenizer, self.config, self.audio = tokenizer, config, audio
        self.special = tokenizer.special
        self.end_frame = np.array(config.audio.codebook_sizes, np.int64)
        self._codes_of = lru_cache(maxsize=_KEPT_CODES)(self._encode)

    def write(self, example: Example) -> Sequence:
        """The example as a sequence."""
        sequence = Sequence()
        if example.form == "transcription":
            self._text(sequence, TRANSCRIBE_TEXT)
            self._asked(sequence, example.turns[-2], example.language)
            self._written(sequence, example.turns[-1])
        elif example.form == "reading":
            if example.system.voice is not None:
                self._system(sequence, System("", example.system.voice), example)
            for piece in example.turns[-1].parts:
                assert isinstance(piece, Said)
                self._text(sequence, piece.text.strip())
                self._speak(sequence, piece)
        else:
            self._conversation(sequence, example)
        for targets in (sequence.text_targets, sequence.sound_targets, sequence.sight_targets):
            _extend(targets, len(sequence.ids))
        return sequence

    def _conversation(self, sequence: Sequence, example: Example) -> None:
        self._system(sequence, example.system, example)
        for turn in example.turns:
            if turn.role == "user":
                self._mark(sequence, self.special.user)
                self._asked(sequence, turn, example.language)
                continue
            if example.speech:
                self._mark(sequence, self.special.audiotext_start)
            self._mark(sequence, self.special.assistant)
            if example.speech:
                self._spoken(sequence, turn)
            else:
                self._written(sequence, turn)

    def _system(self, sequence: Sequence, system: System, example: Example) -> None:
        voice = system.voice
        text = system.text + (VOICE_SENTENCE[example.language] if voice else "")
        if text:
            self._mark(sequence, self.special.system)
            self._text(sequence, text)
        if voice is not None:
            self._heard(sequence, voice)

    def _asked(self, sequence: Sequence, turn: Turn, language: Language) -> None:
        for part in turn.parts:
            if isinstance(part, Typed):
                self._text(sequence, part.text)
            elif isinstance(part, Heard):
                self._heard(sequence, part)
            elif isinstance(part, Seen):
                self._picture(sequence, part.scene.painting(), language, clip=False)
            elif isinstance(part, Watched):
                frames = part.clip.paintings()
                for index in thin(list(range(len(frames))), self.config.video.max_frame_num):
                    self._picture(sequence, frames[index], language, clip=True)

    def _written(self, sequence: Sequence, turn: Turn) -> None:
        text = "".join(part.text for part in turn.parts if isinstance(part, Said))
        self._learn(sequence, [*self.tokenizer.encode(text)])
        self._end(sequence)

    def _spoken(self, sequence: Sequence, turn: Turn) -> None:
        for part in turn.parts:
            assert isinstance(part, Said)
            self._learn(sequence, self.tokenizer.encode(part.text))
            self._speak(sequence, part, learnt=True)
        self._end(sequence)

    def _speak(self, sequence: Sequence, piece: Said, learnt: bool = False) -> None:
        start = [self.special.audiogen_start]
        if learnt:  # the model asks for speech itself
            self._learn(sequence, start)
        else:
            self._mark(sequence, *start)
        codes = self._codes_of(piece)
        place = len(sequence.ids) - 1
        sequence.frame_places += range(place, place + len(codes) + 1)
        sequence.frame_targets.append(np.concatenate([codes, self.end_frame[None]]))
        _extend(sequence.sound_targets, place, self._words(piece.utterance, len(codes)))
        sequence.codes.append(codes)
        self._mark(sequence, *[self.special.audio_pad] * len(codes), self.special.audiogen_end)

    def _heard(self, sequence: Sequence, part: Heard) -> None:
        codes = self._codes_of(part)
        place = len(sequence.ids) + 1 + LISTENING_DELAY
        words = self._words(part.utterance, len(codes), part.recording.lead_s)
        _extend(sequence.sound_targets, place, words[: 1 - LISTENING_DELAY])
        sequence.codes.append(codes)
        pads = [self.special.audio_pad] * len(codes)
        self._mark(sequence, self.special.audio_start, *pads, self.special.audio_end)

    def _words(self, utterance: Utterance, codes: int, lead_s: float = 0.0) -> list[int]:
        """The token whose word sounds in each code; IGNORED in silence."""
        ids = self.tokenizer.encode(utterance.text)
        owners = [token for token in ids for _ in self.tokenizer.piece(token)]
        if len(owners) != len(utterance.text):
            return [IGNORED] * codes  # a token that is a part of a sign: not in the domain
        moved = [replace(sound, start_s=sound.start_s + lead_s) for sound in sounds(utterance)]
        last = len(owners) - 1
        return [
            IGNORED if place == NOWHERE else owners[min(place, last)]
            for place in frame_places(moved, codes, CODE_S).tolist()
        ]

    def _picture(
        self, sequence: Sequence, painting: Painting, language: Language, clip: bool
    ) -> None:
        config: VisualConfig = self.config.video if clip else self.config.visual
        picture = painting.image()
        height, width = smart_resize(picture.height, picture.width, config)
        seen = picture.resize((width, height), Image.Resampling.BICUBIC)
        pad = self.special.video_place if clip else self.special.image_pad
        (sequence.frames if clip else sequence.images).append(seen)
        block = config.patch_size * config.merge_size
        words = row_words(painting, (height // block, width // block))
        self._mark(sequence, self.special.image_start)
        rng = Random(stable_hash("sight", painting.look.seed, language))
        names = [self._name(rng.choice(said), language) if said else IGNORED for said in words]
        _extend(sequence.sight_targets, len(sequence.ids), names)
        self._mark(sequence, *[pad] * len(words), self.special.image_end)

    def _name(self, word: Word, language: Language) -> int:
        """The token that tells a word from others of its kind."""
        if language == "zh":
            return self.tokenizer.encode(word.zh)[0]
        return self.tokenizer.encode(" " + word.en)[-1]

    @torch.no_grad()
    def _encode(self, part: Heard | Said) -> np.ndarray:
        waveform = part.waveform() if isinstance(part, Heard) else part.heard()
        pieces = audio_pieces(waveform, self.config.audio)
        codes = torch.cat(self.audio.encode([piece.mel for piece in pieces]))
        return codes.cpu().numpy()

    def _text(self, sequence: Sequence, text: str) -> None:
        self._mark(sequence, *self.tokenizer.encode(text))

    def _mark(self, sequence: Sequence, *ids: int) -> None:
        """Ids that are given, not learnt."""
        sequence.ids += ids

    def _learn(self, sequence: Sequence, ids: list[int]) -> None:
        """Ids that the model is to produce: each is the target of the position before it."""
        _extend(sequence.text_targets, len(sequence.ids) - 1, ids)
        sequence.ids += ids

    def _end(self, sequence: Sequence) -> None:
        """The end of text is learnt and, like in generation, not in the context."""
        end = [self.special.end_of_text]
        _extend(sequence.text_targets, len(sequence.ids) - 1, end)


def _extend(targets: list[int], place: int, values: Ordered[int] = ()) -> None:
    """Targets of the places from ``place`` on; before them, behind the last ones, are none."""
    targets += [IGNORED] * (place - len(targets))
    targets += values
