"""How to generate: the published sampling settings as named defaults, and our own.

Knows: numbers and switches. Does not know: tokens or tensors.
Source of the published numbers: the demos of Baichuan-Omni-1.5.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT_MAX_TOKENS = 50  # of a text call before or between pieces of speech
TEXT_ONLY_MAX_TOKENS = 1024
AUDIO_MAX_FRAMES = 500  # 40 s at 12.5 frames a second
READ_ALOUD_MAX_FRAMES = 700
MAX_ROUNDS = 100


@dataclass(frozen=True)
class Sampling:
    """One phase's sampling, applied in this order: penalty, temperature, top-k, top-p."""

    temperature: float  # scores are divided by it: below 1 the likely becomes likelier
    top_k: int  # so many of the likeliest can be drawn
    top_p: float  # of these, the likeliest that reach this probability together
    repetition_penalty: float  # scores of what was said before are lowered by it; 1: they are not
    max_new: int  # tokens of a text call, frames of an audio call
    greedy: bool = False  # the highest score after the penalty, no draw


FIRST_TEXT = Sampling(0.8, 20, 0.85, 1.1, TEXT_MAX_TOKENS)
NEXT_TEXT = Sampling(0.3, 20, 0.85, 1.05, TEXT_MAX_TOKENS)
TEXT_ONLY = Sampling(0.8, 20, 0.85, 1.1, TEXT_ONLY_MAX_TOKENS)
SPEECH = Sampling(0.5, 5, 0.85, 1.3, AUDIO_MAX_FRAMES)
READ_ALOUD = Sampling(0.5, 5, 0.85, 1.3, READ_ALOUD_MAX_FRAMES, greedy=True)
TRANSCRIBE = Sampling(0.5, 5, 0.85, 1.3, READ_ALOUD_MAX_FRAMES, greedy=True)

# Texts at which a text call pauses for speech, besides the model's own mark.
NEXT_TEXT_STOPS = (",", "!", "?", "，", "。", "！", "？", ". ")


@dataclass(frozen=True)
class GenerationOptions:
    """A turn's settings. The defaults are the product's; :data:`PUBLISHED` is the demos'."""

    speech: bool = True  # False: text only
    first_text: Sampling = FIRST_TEXT  # the text before the first piece of speech
    next_text: Sampling = NEXT_TEXT  # the text between pieces of speech
    text_only: Sampling = TEXT_ONLY  # an answer without speech
    audio: Sampling = SPEECH  # a piece of speech
    max_rounds: int = MAX_ROUNDS  # of text and speech by turns
    first_stops: tuple[str, ...] = ()  # texts at which the first text call pauses for speech
    next_stops: tuple[str, ...] = NEXT_TEXT_STOPS  # the same of the calls after it
    seed: int | None = None  # None: a fresh one, reported in the statistics
    # Where the product is better than the published loop:
    # The token or frame at which a call stopped stays in the context, which then repeats what was
    # shown and spoken. False: it is overwritten by the mark that follows.
    keep_cut_token: bool = True
    stop_inside_words: bool = False  # True: "3,000" and "e.g." are split, as published
    mask_specials: bool = True  # ids that make no sense in a phase are never drawn

    def stops(self, number: int) -> tuple[str, ...]:
        """Texts at which the text call ``number`` (0 for the first) pauses for speech."""
        return self.next_stops if number else self.first_stops


TRANSCRIBING = GenerationOptions(speech=False, text_only=TRANSCRIBE)
READING = GenerationOptions(audio=READ_ALOUD)
PUBLISHED = GenerationOptions(keep_cut_token=False, stop_inside_words=True, mask_specials=False)
