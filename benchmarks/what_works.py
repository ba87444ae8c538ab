"""What the embedded model really does with what the page offers: assets/what_works.yaml.

    python -m benchmarks.what_works                      # measures nano, prints what it found
    python -m benchmarks.what_works --write              # and writes the table anew

A quick task works if its answer on an example tells what is in it; a role, if the model that is
asked who it is says so; an emotion, a style, if it changes pitch, length or loudness of a reading,
in the same direction in most sentences; a way of using a recording, if a reading's voice is nearest
to the one that was given, of the six ready voices. What the page says of other checkpoints is not
measured: the makers' own words stand in the table by hand, and are kept.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml

from benchmarks.lib.program import flags_parser
from demos.base.languages import Words
from demos.voices.catalog import Catalog, read_catalog
from demos.voices.library import USES
from demos.voices.truth import TABLE
from finetune.measures.likeness import duration, nearest_voice, pitch, voice_print
from finetune.nano.speech.synthesis import SPOKEN_RATE
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.engine import Engine, EngineSettings
from omni.events import SpeechChunk, TextDelta
from omni.listening.gallery import gallery
from omni.options import READING
from omni.prompting.styles import EMOTIONS, STYLES
from omni.settings import NANO
from omni.shipped import ASSETS, EXAMPLES

SENTENCES = (
    "The red star is above the yellow heart.",
    "My name is Anna. I like music.",
    "The small dog runs across the field.",
    "Good morning! How are you today?",
)
CLONED = ("The small dog runs across the field.", "今天天气很好，我们出去走走吧。")
COMMAND = "python -m benchmarks.what_works --write"
KINDS = ("chips", "roles", "emotions", "styles", "uses")
MOST = 0.75  # of the tries
CHANGE = 0.08  # of pitch, length or loudness: less is not noticed, and comes by chance
# What the answer to a quick task has to hold (patterns), on which example; a text stands for what
# is typed.
CHIPS: Mapping[str, tuple[tuple[Part, ...], tuple[str, ...]]] = {
    "audio-transcribe": ((Audio(EXAMPLES / "sentence_en.flac"),), ("red star", "yellow heart")),
    "audio-translate": ((Audio(EXAMPLES / "sentence_en.flac"),), ("红", "星", "黄", "心", "上")),
    "audio-summarize-speech": ((Audio(EXAMPLES / "sentence_en.flac"),), ("star", "heart")),
    "audio-read-aloud": ((Text(SENTENCES[0]),), ("red star", "yellow heart")),
    "video-summarize-clip": ((Video(EXAMPLES / "moves.mp4"),), ("heart", "right")),
    "video-what-changed": ((Video(EXAMPLES / "changes.mp4"),), ("blue",)),
    "video-describe-clip": ((Video(EXAMPLES / "moves.mp4"),), ("red heart",)),
    "image-describe": ((Image(EXAMPLES / "shapes.png"),), ("red star", "blue circle")),
    "image-read-text": ((Image(EXAMPLES / "number.png"),), ("seven|7",)),
    "image-compare": (
        (Image(EXAMPLES / "shapes.png"), Image(EXAMPLES / "stars.png")),
        ("circle", "green"),
    ),
}
WHO = ("Who are you?", "What are you?")
# A word of its own by which each of our roles is known.
ROLE_WORDS: Mapping[str, str] = {
    "pirate": "pirate",
    "teacher": "teacher",
    "robot": "robot",
    "king": "king",
    "child": "child",
    "storyteller": "stor",
    "coach": "coach",
    "interpreter": "interpret",
    "tutor": "practi",
    "newsreader": "news",
    "guide": "guide",
}


@dataclass(frozen=True)
class Found:
    """What was found of one choice."""

    works: bool
    measured: str  # in a few words


@dataclass(frozen=True, eq=False)
class Probe:
    """An engine that is asked."""

    engine: Engine
    words: Words

    def read(
        self, text: str, manner: str = "", voice: VoicePrompt | None = None, seed: int = 0
    ) -> np.ndarray:
        """A reading: float32 (samples,) at SPOKEN_RATE."""
        options = replace(READING, seed=seed)
        events = self.engine.read_aloud(text, voice=voice, options=options, manner=manner)
        chunks = [event.samples for event in events if isinstance(event, SpeechChunk)]
        return np.concatenate([np.zeros(0, np.int16), *chunks]).astype(np.float32) / 2**15

    def write(self, parts: Sequence[Part], system: str | None = None, speech: bool = False) -> str:
        """A written answer."""
        prompt = SystemPrompt() if system is None else SystemPrompt(system)
        asked = Conversation(prompt, (Message("user", tuple(parts)),), "en")
        events = self.engine.turn(asked, lambda own: replace(own, speech=speech, seed=1))
        return "".join(event.text for event in events if isinstance(event, TextDelta))

    def hear(self, wave: np.ndarray) -> str:
        """What the model itself writes down of a sound."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "read.wav"
            soundfile.write(path, soxr.resample(wave, SPOKEN_RATE, 16_000), 16_000)
            events = self.engine.transcribe(path)
            return "".join(event.text for event in events if isinstance(event, TextDelta))


def chip(probe: Probe, name: str) -> Found:
    """A quick task on an example."""
    parts, wanted = CHIPS[name]
    key = name.partition("-")[2]
    if key == "transcribe":
        assert isinstance(parts[0], Audio)
        events = probe.engine.transcribe(parts[0].path)
        said = "".join(event.text for event in events if isinstance(event, TextDelta))
    elif key == "read-aloud":
        assert isinstance(parts[0], Text)
        said = probe.hear(probe.read(parts[0].text))
    else:
        said = probe.write((*parts, Text(probe.words.prompt("en", key))))
    right = all(re.search(word, said.lower()) for word in wanted)
    return Found(right, f"said: {' '.join(said.split())[:120]}")


def role(probe: Probe, catalog: Catalog, name: str) -> Found:
    """Whether it says who it is."""
    text = catalog.roles[name].text["en"]
    said = [probe.write((Text(who),), text) for who in WHO]
    right = any(ROLE_WORDS[name] in one.lower() for one in said)
    return Found(right, f"said: {' / '.join(' '.join(one.split())[:60] for one in said)}")


def manner(probe: Probe, sentence: str, plain: Sequence[np.ndarray]) -> Found:
    """Whether a way of speaking changes anything that can be measured."""
    styled = [probe.read(text, sentence, seed=number) for number, text in enumerate(SENTENCES)]
    told = []
    for name, measure in (("length", duration), ("pitch", pitch), ("loudness", loudness)):
        ratios = [measure(one) / measure(other) for one, other in zip(styled, plain, strict=True)]
        for word, share in (
            ("more", np.mean([ratio > 1 + CHANGE for ratio in ratios])),
            ("less", np.mean([ratio < 1 - CHANGE for ratio in ratios])),
        ):
            if share >= MOST:
                told.append(f"{word} {name}, {float(np.median(ratios)):.2f} times")
    return Found(bool(told), "; ".join(told) or "nothing changes")


def loudness(wave: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(wave**2))) if len(wave) else 1e-9


def use(probe: Probe, name: str) -> Found:
    """How often a reading sounds most like the ready voice that was given, of all six."""
    known = [voice_print(recording(voice.path)) for voice in gallery()]
    right = 0
    for place, voice in enumerate(gallery()):
        prompt = VoicePrompt(voice.path, name, voice.transcript)  # type: ignore[arg-type]
        for seed, text in enumerate(CLONED):
            found = nearest_voice(voice_print(probe.read(text, voice=prompt, seed=seed)), known)
            right += found == place
    tries = len(known) * len(CLONED)
    return Found(right >= MOST * tries, f"nearest of six voices in {right} of {tries}")


def recording(path: Path) -> np.ndarray:
    """A ready voice, float32 (samples,) at SPOKEN_RATE."""
    samples, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, rate, SPOKEN_RATE).astype(np.float32)


def measured(probe: Probe, kinds: Sequence[str]) -> Iterator[tuple[str, str, Found]]:
    """Kind, name and what was found."""
    catalog = read_catalog([ASSETS])
    spoken = {"emotions", "styles"} & set(kinds)
    plain = [probe.read(text, seed=number) for number, text in enumerate(SENTENCES) if spoken]
    emotions = {str(name): said["en"] for name, said in EMOTIONS.items()}
    styles = {str(name): said.systems["en"][0] for name, said in STYLES.items()}
    of: Mapping[str, tuple[Sequence[str], Callable[[str], Found]]] = {
        "chips": (tuple(CHIPS), partial(chip, probe)),
        "roles": (tuple(catalog.roles), partial(role, probe, catalog)),
        "emotions": (tuple(emotions), lambda name: manner(probe, emotions[name], plain)),
        "styles": (tuple(styles), lambda name: manner(probe, styles[name], plain)),
        "uses": (USES, partial(use, probe)),
    }
    for kind in kinds:
        names, find = of[kind]
        for name in names:
            yield kind, name, find(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--write", action="store_true", help="write the table of the page anew")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="only these")
    flags = parser.parse_args(arguments)
    probe = Probe(Engine(EngineSettings(model=NANO, device="cpu")), Words("en"))
    table: dict[str, dict[str, dict[str, object]]] = {}
    for kind, name, found in measured(probe, flags.kinds):
        print(f"{kind:9s} {name:24s} {'works' if found.works else '-':6s} {found.measured}")
        sys.stdout.flush()
        table.setdefault(kind, {})[name] = {"works": found.works, "measured": found.measured}
    if flags.write:
        write(table)
    return 0


def write(table: Mapping[str, object]) -> None:
    """Put what was found in the place of what stood there; the rest stays."""
    old = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    head = "".join(
        line for line in TABLE.read_text(encoding="utf-8").splitlines(True) if line[0] == "#"
    )
    new = {NANO: {**old[NANO], "command": COMMAND, **table}, "published": old["published"]}
    said = yaml.safe_dump(new, allow_unicode=True, sort_keys=False, width=1000)
    TABLE.write_text(head + said, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
