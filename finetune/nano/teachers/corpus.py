"""A corpus of natural speech: texts, speakers, waveforms and which phoneme sounds when.

    python -m finetune.nano.teachers.corpus --out DIR --hours 20
    python -m finetune.nano.teachers.corpus --out DIR --tell

Knows: what each utterance is (a function of its kind and number), shards on disk, going on where
it stopped. Does not know: synthesis, models, features.

A shard is ``KIND-NUMBER.flac`` (24 kHz, one utterance behind the other) and ``KIND-NUMBER.jsonl``
(a line for each: text, language, speaker, style, first sample, samples, sounds as [seconds, symbol,
place in the text]); the lines are written last, so a shard with lines is whole. It is a corpus of
training alone: held-out speakers and texts are never in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
import soundfile

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import stable_hash
from finetune.nano.domain.styles import ASKED_STYLES, StyleName
from finetune.nano.speech.synthesis import SPOKEN_RATE, Sound
from finetune.nano.speech.texts import draw_question, draw_text
from finetune.nano.teachers import everyday, speaking
from finetune.nano.teachers.speakers import ANSWERS, drawn
from finetune.nano.teachers.speaking import Speaker, Spoken, TeacherName

SHARD = 64  # utterances
OWN_SHARE = 0.4  # of the texts are of nano's own world


@dataclass(frozen=True)
class Kind:
    """A series of utterances.

    ``answers``: in the voice of the answers, unmoved. ``styled``: in a style that can be asked for.
    ``questions``: of nano's core world alone, of which there are few: an example about a picture
    finds what it asks.
    """

    language: Language
    teacher: TeacherName
    answers: bool
    each_round: int  # shards
    questions: bool = False
    styled: bool = False


# Kokoro takes most of the time, so most shards are the small teachers'.
KINDS: Mapping[str, Kind] = {
    "en-answers": Kind("en", "hibari", True, 6),
    "en-styled": Kind("en", "hibari", True, 3, styled=True),
    "en-moved": Kind("en", "hibari", False, 6),
    "en-flite": Kind("en", "flite", False, 3),
    "zh-answers": Kind("zh", "kokoro", True, 2),
    "zh-styled": Kind("zh", "kokoro", True, 1, styled=True),
    "zh-mixed": Kind("zh", "kokoro", False, 2),
    "en-mixed": Kind("en", "kokoro", False, 2),
    "zh-questions": Kind("zh", "kokoro", False, 2, questions=True),
}


@dataclass(frozen=True)
class Item:
    """An utterance to be made."""

    text: str
    language: Language
    speaker: Speaker


@dataclass(frozen=True)
class Entry:
    """Where an utterance lies: in a FLAC file at SPOKEN_RATE, from a sample on."""

    path: Path
    start: int
    samples: int
    text: str
    language: Language
    speaker: str
    sounds: tuple[Sound, ...]
    style: StyleName = "plain"


@dataclass(frozen=True, eq=False)
class Recorded:
    """An utterance of a shard; ``wave`` float32 (samples,) at SPOKEN_RATE."""

    text: str
    language: Language
    speaker: str
    wave: np.ndarray
    sounds: tuple[Sound, ...]
    style: StyleName = "plain"


class Voice(Protocol):
    """What speaks, as :func:`finetune.nano.teachers.speaking.say`."""

    def __call__(self, speaker: Speaker, text: str, language: Language) -> Spoken:
        """The speech."""
        ...


def item(name: str, number: int) -> Item:
    """The ``number``-th utterance of a kind.

    Raises:
        ResourceError: ``teacher-missing``: the everyday texts are not installed.
    """
    kind = KINDS[name]
    rng = Random(stable_hash("natural-corpus", name, number))
    if kind.questions:
        text = draw_question(rng, kind.language, "core")
    elif rng.random() < OWN_SHARE:
        text = draw_text(rng, kind.language, "train", rng.choice(("core", "full")))
    else:
        text = everyday.draw(rng, kind.language)
    if kind.answers:
        style: StyleName = rng.choice(ASKED_STYLES) if kind.styled else "plain"
        speaker = replace(ANSWERS[kind.language], teacher=kind.teacher, style=style)
        return Item(text, kind.language, speaker)
    return Item(text, kind.language, drawn(number, kind.language, kind.teacher))


def shards(rounds: int, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[tuple[str, int]]:
    """Kinds and numbers of shards in the order in which they are made."""
    for number in range(rounds):
        for name in kinds:
            each = KINDS[name].each_round
            yield from ((name, number * each + place) for place in range(each))


def write_shard(folder: Path, name: str, number: int, say: Voice = speaking.say) -> float:
    """Make a shard, unless it is there; the seconds of speech that were made.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    path = folder / f"{name}-{number:05d}.jsonl"
    if path.exists():
        return 0.0
    folder.mkdir(parents=True, exist_ok=True)
    lines, waves, begun = [], [], 0
    for place in range(number * SHARD, (number + 1) * SHARD):
        wanted = item(name, place)
        try:
            spoken = say(wanted.speaker, wanted.text, wanted.language)
        except ValueError as error:  # too long, or nothing to say: the number stays empty
            print(f"{name} {place}: {error}", flush=True)
            continue
        lines.append(_line(wanted, spoken, begun))
        waves.append(spoken.wave)
        begun += len(spoken.wave)
    draft = path.with_suffix(".draft")
    wave = np.concatenate(waves) if waves else np.zeros(1, np.float32)
    soundfile.write(draft, wave, SPOKEN_RATE, format="FLAC", subtype="PCM_16")
    draft.replace(path.with_suffix(".flac"))
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    draft.replace(path)
    return begun / SPOKEN_RATE


def _line(wanted: Item, spoken: Spoken, begun: int) -> str:
    sounds = [(round(one.start_s, 3), one.phoneme, one.place) for one in spoken.sounds]
    entry = {
        "text": wanted.text,
        "language": wanted.language,
        "speaker": wanted.speaker.name,
        "style": wanted.speaker.style,
        "start": begun,
        "samples": len(spoken.wave),
        "sounds": sounds,
    }
    return json.dumps(entry, ensure_ascii=False)


def entries(folder: Path) -> Iterator[Entry]:
    """The utterances of all whole shards of a folder."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from _entries(path)


def _entries(path: Path) -> Iterator[Entry]:
    flac = path.with_suffix(".flac")
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        sounds = tuple(Sound(*one) for one in found.pop("sounds"))
        yield Entry(path=flac, sounds=sounds, **found)


def read_shard(path: Path) -> Iterator[Recorded]:
    """The utterances of a shard, given by its file of lines."""
    wave, _ = soundfile.read(path.with_suffix(".flac"), dtype="float32")
    for one in _entries(path):
        said = wave[one.start : one.start + one.samples]
        yield Recorded(one.text, one.language, one.speaker, said, one.sounds, one.style)


def seconds(folder: Path) -> dict[str, float]:
    """How much speech of each kind there is."""
    found = dict.fromkeys(KINDS, 0.0)
    for path in folder.glob("*.jsonl"):
        name = path.stem.rpartition("-")[0]
        lines = path.read_text(encoding="utf-8").splitlines()
        made = sum(json.loads(line)["samples"] for line in lines)
        found[name] = found.get(name, 0.0) + made / SPOKEN_RATE
    return found


def told(found: Mapping[str, float]) -> str:
    """Hours by kind, a line each."""
    lines = [f"{name}  {made / 3600:.2f} h" for name, made in found.items()]
    return "\n".join([*lines, f"all  {sum(found.values()) / 3600:.2f} h"])


def main() -> None:
    """Make speech until there is enough; called again, go on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--hours", type=float, default=20.0, help="of speech, all kinds together")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of the kinds")
    parser.add_argument("--tell", action="store_true", help="say how much there is, make none")
    flags = parser.parse_args()
    kinds = [name for name in flags.kinds.split(",") if name]
    if set(kinds) - set(KINDS):
        parser.error(f"--kinds knows {', '.join(KINDS)}")
    made = sum(seconds(flags.out).values())
    for name, number in shards(1_000_000, kinds):
        if flags.tell or made >= flags.hours * 3600:
            break
        began = time.perf_counter()
        new = write_shard(flags.out, name, number)
        made += new
        if new:
            took = time.perf_counter() - began
            print(f"{name} {number}: {new:.0f} s of speech in {took:.0f} s", flush=True)
    print(told(seconds(flags.out)))


if __name__ == "__main__":
    main()
