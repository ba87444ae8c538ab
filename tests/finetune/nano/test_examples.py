"""Examples: every task in both languages, splits, determinism, rendering."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from finetune.nano.domain import sentences
from finetune.nano.domain.languages import Language
from finetune.nano.domain.outside import ANSWER
from finetune.nano.domain.splits import SPLITS, Split
from finetune.nano.domain.styles import ASKED_STYLES
from finetune.nano.examples.examples import PEOPLE, TASKS, WEIGHTS, example
from finetune.nano.examples.gallery import write_example
from finetune.nano.examples.parts import (
    Example,
    Heard,
    Said,
    Seen,
    Task,
    Typed,
    Watched,
    spoken_pieces,
)
from finetune.nano.speech import texts
from finetune.nano.speech.voices import DEFAULT_VOICE, families
from omni.conversation import DEFAULT_SYSTEM_TEXT
from tests.support.espeak import needs_espeak


def examples(task: Task, number: int) -> list[Example]:
    return [example(index, 0, "train", task) for index in range(number)]


def test_an_example_is_a_function_of_its_arguments() -> None:
    program = (
        "from finetune.nano.examples.examples import example\n"
        "print([example(i, 3, 'train') for i in range(60)])"
    )
    outputs = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, env=environment, check=True
        )
        outputs.append(run.stdout)
    assert outputs[0] == outputs[1] and len(outputs[0]) > 10_000
    assert example(5, 3, "train") == example(5, 3, "train")
    assert example(5, 3, "train") != example(6, 3, "train")
    assert example(5, 3, "train") != example(5, 4, "train")


def test_examples_travel_between_processes() -> None:
    for drawn in (example(index, 0, "train") for index in range(50)):
        assert repr(pickle.loads(pickle.dumps(drawn))) == repr(drawn)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_task_has_every_side_language_and_width(task: Task, language: Language) -> None:
    for split in SPLITS:
        for width in ("core", "full"):
            for index in range(4):
                drawn = example(index, 1, split, task, width, language)
                assert drawn.task == task and drawn.split == split and drawn.language == language
                assert drawn.turns[-1].role == "assistant" and drawn.pieces
                assert drawn.answer.strip() == drawn.answer
                roles = [turn.role for turn in drawn.turns]
                if drawn.form == "reading":
                    assert roles == ["assistant"]
                else:
                    assert roles == ["user", "assistant"] * (len(roles) // 2)
                    assert drawn.question


@needs_espeak
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_task_renders(task: Task, language: Language) -> None:
    for index in range(2):
        drawn = example(index, 2, "train", task, "full", language)
        parts = [part for turn in drawn.turns for part in turn.parts]
        for part in [*parts, drawn.system.voice]:
            if isinstance(part, Heard):
                _check_wave(part.waveform(), 16_000, 14)
            elif isinstance(part, Said) and drawn.speech:
                _check_wave(part.waveform(), 24_000, 6)
                assert len(part.heard()) / 16_000 == pytest.approx(
                    len(part.waveform()) / 24_000, abs=1e-3
                )
            elif isinstance(part, Seen):
                assert isinstance(part.image(), Image.Image) and part.image().mode == "RGB"
            elif isinstance(part, Watched):
                assert 4 <= len(part.frames()) <= 8


def _check_wave(wave: np.ndarray, rate: int, longest_s: float) -> None:
    assert wave.dtype == np.float32 and np.isfinite(wave).all()
    assert 0.2 < len(wave) / rate < longest_s
    assert 0.001 < np.abs(wave).max() <= 1


def test_held_out_sentences_never_appear_in_training() -> None:
    held_out = {
        entry.text(language)
        for split in ("validation", "test")
        for entry in sentences.draw_many(1500, 0, split)
        for language in ("en", "zh")
    }
    seen: Counter[str] = Counter()
    for index in range(2500):
        drawn = example(index, 0, "train")
        for turn in drawn.turns:
            for part in turn.parts:
                text = part.text if isinstance(part, Typed | Said) else ""
                text = part.utterance.text if isinstance(part, Heard) else text
                seen[text.strip()] += 1
                seen[re.split("[:：]", text)[-1].strip()] += 1  # after "Say:"
        if drawn.system.voice:
            prompt = drawn.system.voice.utterance.text
            seen.update(re.findall(r"[^.?。？]+[.?。？]", prompt))
            seen.update(text.strip() for text in re.findall(r"[^.?。？]+[.?。？]", prompt))
    for index in range(1500):
        seen[texts.utterance(index, 0, "train").text] += 1
    assert not held_out & set(seen)
    assert len(seen) > 2500


def test_held_out_examples_use_held_out_sentences_pictures_and_voices() -> None:
    variants = {split: {v for f in families(split) for v in f} for split in SPLITS}
    known = {entry.text("en") for entry in sentences.draw_many(4000, 1, "train")}
    for index in range(700):
        drawn = example(index, 0, "test", language="en")
        heard = [drawn.system.voice] if drawn.system.voice else []
        for turn in drawn.turns:
            for part in turn.parts:
                if isinstance(part, Seen):
                    assert part.scene.split == "test"
                elif isinstance(part, Watched):
                    assert part.clip.split == "test"
                elif isinstance(part, Heard):
                    heard.append(part)
                elif isinstance(part, Said):
                    assert part.utterance.voice == DEFAULT_VOICE or drawn.system.voice
        for part in heard:
            assert part.utterance.voice.variant in variants["test"]
        if drawn.task in ("tts", "asr"):
            assert drawn.answer not in known


def test_clones_answer_in_the_voice_of_the_prompt() -> None:
    for drawn in examples("clone", 60):
        assert drawn.system.voice is not None and drawn.speech
        voice = drawn.system.voice.utterance.voice
        assert {piece.utterance.voice for piece in drawn.pieces} == {voice}


def test_styles_are_asked_for_and_given() -> None:
    asked = Counter()  # type: ignore[var-annotated]
    for drawn in examples("style", 400):
        way, _, name = drawn.kind.partition(" ")
        assert {piece.utterance.style for piece in drawn.pieces} == {name} and drawn.speech
        asked[way, name] += 1
    assert {name for _, name in asked} == set(ASKED_STYLES)
    assert {way for way, _ in asked} == {"system", "request", "again"}


def test_translations_answer_in_the_other_language() -> None:
    for drawn in examples("translate", 150):
        spoken = {piece.utterance.language for piece in drawn.pieces}
        assert spoken == ({"zh"} if drawn.language == "en" else {"en"})
        chinese = bool(re.search("[\u4e00-\u9fff]", drawn.answer))
        assert chinese == (drawn.language == "en")


def test_transcriptions_write_what_is_said() -> None:
    forms = Counter(drawn.form for drawn in examples("asr", 200))
    assert set(forms) == {"transcription", "conversation"}
    for drawn in examples("asr", 200):
        heard = next(part for part in drawn.turns[0].parts if isinstance(part, Heard))
        assert drawn.answer == heard.utterance.text and not drawn.speech


def test_what_is_outside_gets_the_friendly_answer() -> None:
    for drawn in examples("outside", 50):
        assert drawn.answer == ANSWER[drawn.language]


def test_spoken_questions_are_only_heard() -> None:
    for drawn in examples("spoken_qa", 100):
        parts = [part for turn in drawn.turns if turn.role == "user" for part in turn.parts]
        assert not any(isinstance(part, Typed) for part in parts)
        assert sum(isinstance(part, Seen | Watched) for part in parts) == 1


def test_the_mixture_is_as_weighted() -> None:
    drawn = Counter(example(index, 0, "train").task for index in range(2000))
    total = sum(WEIGHTS.values())
    assert set(TASKS) == set(WEIGHTS)
    assert set(get_args(Task)) == {*WEIGHTS, *PEOPLE}
    for task, weight in WEIGHTS.items():
        assert drawn[task] / 2000 == pytest.approx(weight / total, abs=0.035)
    systems = Counter(drawn.system.text for drawn in examples("image_qa", 300))
    assert systems[DEFAULT_SYSTEM_TEXT] > 120
    assert example(0, 0, "train", weights={"chat": 1}).task == "chat"


def test_answers_are_cut_where_generation_pauses() -> None:
    assert spoken_pieces("Hello! Nice to meet you.") == ("Hello!", " Nice to meet you.")
    assert spoken_pieces("a red circle, a star and 3,000 e.g. rings") == (
        "a red circle,",
        " a star and 3,000 e.g.",
        " rings",
    )
    assert spoken_pieces("你好！很高兴见到你。") == ("你好！", "很高兴见到你。")
    assert spoken_pieces("three") == ("three",)
    for drawn in examples("chat", 200):
        assert "".join(piece.text for piece in drawn.pieces) == drawn.answer


def test_something_else_may_follow_a_reading() -> None:
    followed = 0
    for drawn in examples("chat", 400):
        answers = [turn for turn in drawn.turns if turn.role == "assistant"]
        asked = [turn for turn in drawn.turns if turn.role == "user"]
        for question, answer in zip(asked[:-1], answers[:-1], strict=True):
            text = "".join(part.text for part in answer.parts if isinstance(part, Said))
            (part,) = question.parts
            request = part.text if isinstance(part, Typed) else part.utterance.text  # type: ignore[union-attr]
            followed += request.endswith(text) and len(request) > len(text)
    assert followed > 20


@needs_espeak
def test_answers_are_short() -> None:
    lengths = []
    for index in range(40):
        drawn = example(index, 4, "train", "tts")
        lengths += [len(piece.waveform()) / 24_000 for piece in drawn.pieces]
    assert np.percentile(lengths, 95) < 3.4


def test_utterances_repeat_and_vary() -> None:
    drawn = [texts.utterance(index, 0, "train") for index in range(400)]
    assert drawn == [texts.utterance(index, 0, "train") for index in range(400)]
    assert len({utterance.voice for utterance in drawn}) > 60
    assert {utterance.language for utterance in drawn} == {"en", "zh"}
    assert texts.utterance(0, 0, "train", language="zh").language == "zh"


@needs_espeak
def test_examples_are_written_to_look_at(tmp_path: Path) -> None:
    for index, task in enumerate(TASKS):
        text = write_example(example(0, 0, "train", task), tmp_path / f"{index}_{task}")
        for name in re.findall(r"\[(\S+\.(?:wav|png))", text):
            assert list(tmp_path.glob(name)), name
        assert (tmp_path / f"{index}_{task}.txt").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("split", "most"), [("train", 6), ("test", 2)])
def test_a_picture_is_asked_about_more_often_in_lessons(split: Split, most: int) -> None:
    drawn = [example(n, 3, split, "image_qa", "core", "en") for n in range(60)]
    rounds = [len(one.turns) // 2 for one in drawn]
    assert max(rounds) == most and min(rounds) == 1
    for one in drawn:
        questions = [turn.parts[-1] for turn in one.turns[::2]]
        assert len(set(map(str, questions))) == len(questions)


@pytest.mark.parametrize("split", ["train", "test"])
def test_counting_is_practised_in_lessons(split: Split) -> None:
    drawn = [example(n, 3, split, "image_qa", "core", "en") for n in range(150)]
    asked = [str(one.turns[0].parts[-1]) for one in drawn]
    counted = sum(bool(re.search("how many|count the", text, re.IGNORECASE)) for text in asked)
    share = counted / len(drawn)  # a sixth of the questions and, in lessons, two fifths besides
    assert 0.4 < share < 0.65 if split == "train" else 0.08 < share < 0.3
