"""Which questions the embedded model answers, kind by kind, in writing: where it is weak.

    python -m benchmarks.question_kinds
    python -m benchmarks.question_kinds --model FOLDER --items 20 --kinds among heard-sum

Pictures, clips, facts and wordings of the validation side, in both languages. ``among``: how many
things of a shape or of a color are in a crowd that has other ones too. ``typed-`` and ``heard-``:
facts and sums, asked with words or by a voice of the validation side (espeak-ng must be installed).
The shares of exact answers are in percent.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.quality.scoring import score
from benchmarks.quality.talking import Talker, conversation
from finetune.measures.texts import exact
from finetune.nano.domain import facts
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.width import LANGUAGES, DomainWidth
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.parts import Part, Seen, Typed, Watched
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.pictures.picture_questions import Asked
from finetune.nano.pictures.pictures import Layout, Scene
from omni.engine import Engine
from omni.settings import EngineSettings

AMONG = "among"
PICTURES = (*picture_questions.kinds("core"), AMONG)
CLIPS = clip_questions.kinds("core")
FACTS = ("typed-fact", "typed-sum", "heard-fact", "heard-sum")
KINDS = (*PICTURES, *CLIPS, *FACTS)
SUMS = "plus"  # the key of their group
WIDTH: DomainWidth = "core"
SIDE: Split = "validation"
SEED = 21


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--model", default="nano", help="nano or a folder of its kind")
    parser.add_argument("--items", type=int, default=100, help="questions of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    flags = parser.parse_args(arguments)
    if flags.items < 1:
        parser.error("--items must be 1 or more")
    engine = Engine(EngineSettings(model=flags.model, device="cpu"))
    for _ in engine.load():
        pass
    with tempfile.TemporaryDirectory() as folder:
        talker = Talker(engine, Path(folder))
        rows = [row for kind in flags.kinds for row in measure(talker, kind, flags.items)]
    command = command_of("benchmarks.question_kinds", arguments)
    return report(rows, about_machine(), command, flags.json)


def measure(talker: Talker, kind: str, items: int) -> Iterator[Row]:
    """A row for each language: the share of exact answers."""
    for language in LANGUAGES:
        rng = Random(stable_hash("question kinds", kind, SEED))
        verdicts = []
        for number in range(items):
            parts, wanted = draw(kind, language, rng)
            given = [talker.given(part) for part in parts]
            found = talker.write(conversation(given, language), number)
            verdicts.append(exact(found, wanted))
        right = score(verdicts)
        yield Row(f"{language}.{kind}_percent", right.percent, note=str(right))


def draw(kind: str, language: Language, rng: Random) -> tuple[tuple[Part, ...], str]:
    """What is shown and asked, and the right answer."""
    if kind in FACTS:
        return _fact(kind, language, rng)
    seen: Seen | Watched
    if kind in CLIPS:
        clip, asked = clip_questions.draw_asked_clip(rng, SIDE, WIDTH, kind)
        seen = Watched(clip)
    else:
        scene, asked = _among(rng) if kind == AMONG else _scene(rng, kind)
        seen = Seen(scene)
    return (seen, Typed(asked.question(language))), asked.answer(language)


def _scene(rng: Random, kind: str, layout: Layout | None = None) -> tuple[Scene, Asked]:
    return picture_questions.draw_asked_scene(rng, SIDE, WIDTH, kind, layout)


def _among(rng: Random) -> tuple[Scene, Asked]:
    """Some of the things of a crowd are asked for: at least one, not all."""
    while True:
        scene, asked = _scene(rng, rng.choice(("count-color", "count-shape")), "mixed")
        (name,) = asked.words
        keys = [getattr(thing, name) for thing in scene.things]
        if 0 < keys.count(asked.words[name].key) < len(keys):
            return scene, asked


def _fact(kind: str, language: Language, rng: Random) -> tuple[tuple[Part, ...], str]:
    medium, what = kind.split("-")
    while True:
        fact = facts.draw(rng, SIDE, WIDTH)
        if (fact.group.key == SUMS) == (what == "sum"):
            break
    cast = Cast(rng, SIDE, WIDTH, language)
    question = fact.question(language)
    parts = (Typed(question),) if medium == "typed" else (cast.hear(question),)
    return parts, fact.answer(language)


if __name__ == "__main__":
    sys.exit(main())
