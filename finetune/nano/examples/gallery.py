"""Examples as files to look at and listen to, and the domain in numbers.

Knows: wav, png and txt. Does not know: how examples are drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from finetune.nano.domain import facts, outside, sentences, talk
from finetune.nano.domain.lexicon import table
from finetune.nano.domain.splits import SPLITS
from finetune.nano.domain.vocabulary import english_words, hanzi
from finetune.nano.domain.width import DomainWidth, within
from finetune.nano.examples.parts import Example, Heard, Part, Said, Seen, Typed, Watched
from finetune.nano.speech.synthesis import HEARD_RATE, SPOKEN_RATE
from finetune.nano.speech.voices import voices
from omni.media.wav import write_wav


def write_example(example: Example, stem: Path) -> str:
    """Write an example's media beside ``stem``.txt; returns the text."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    head = f"{example.task} {example.kind} | {example.split} | {example.form}"
    lines = [head + (" | spoken" if example.speech else " | written"), f"S: {example.system.text}"]
    if example.system.voice:
        lines.append(f"S: {_part(example.system.voice, stem.with_name(f'{stem.name}_voice'))}")
    for number, turn in enumerate(example.turns):
        for place, part in enumerate(turn.parts):
            file = stem.with_name(f"{stem.name}_{number}{place}")
            lines.append(f"{turn.role[0].upper()}: {_part(part, file, example.speech)}")
    text = "\n".join(lines) + "\n"
    stem.with_suffix(".txt").write_text(text, encoding="utf-8")
    return text


def _part(part: Part, file: Path, speech: bool = True) -> str:
    """Write a part's media; returns a line about it."""
    if isinstance(part, Typed):
        return part.text
    if isinstance(part, Heard):
        write_wav(file.with_suffix(".wav"), part.waveform(), HEARD_RATE)
        said = part.utterance
        return f"[{file.name}.wav {said.voice.name} x{said.tempo}] {said.text}"
    if isinstance(part, Said):
        if not speech:
            return part.text
        write_wav(file.with_suffix(".wav"), part.waveform(), SPOKEN_RATE)
        return f"[{file.name}.wav {part.utterance.voice.name} {part.utterance.style}] {part.text}"
    if isinstance(part, Seen):
        part.image().save(file.with_suffix(".png"))
        return f"[{file.name}.png]"
    frames = part.frames() if isinstance(part, Watched) else []
    for number, frame in enumerate(frames):
        frame.save(file.with_name(f"{file.name}_{number}.png"))
    return f"[{file.name}_*.png, {len(frames)} frames]"


def print_sizes() -> None:
    """Print how many words, sentences and combinations each width has."""
    for width in get_args(DomainWidth):
        shapes, colors, sizes, places = (
            len(table(name, width)) for name in ("shape", "color", "size", "place")
        )
        one = shapes * colors * sizes * places
        known, asked = facts.count(width)
        topics = len(outside.topics("en")) * len(outside.questions("en", width))
        print(f"{width}:")
        print(f"  English words {len(english_words(width))}, Hanzi {len(hanzi(width))}")
        print(f"  sentence templates {len(within(sentences.TEMPLATES, width))}")
        print(f"  sentences {sentences.count(width):,} in each language")
        print(f"  facts {known:,}, questions after them {asked:,}")
        print(
            f"  phrases of small talk {sum(len(p) for _, p in talk.phrases('en', 'train', width))}"
        )
        print(f"  questions from outside {topics:,}")
        print(f"  pictures with one thing {one:,}, with two {one * (one - one // places) // 2:,}")
    for split in SPLITS:
        print(f"voices for {split}: {len(voices(split))}")
