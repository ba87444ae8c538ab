"""The natural rows: their data is held out and whole, a perfect speaker gets every point."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import nano_quality
from benchmarks.lib.bounds import QUALITY
from benchmarks.quality.natural import held_out, listeners, rows, syllables, voices
from benchmarks.quality.natural.held_out import Wording
from benchmarks.quality.natural.rows import NATURAL, measure, over_teacher, says_unknown
from benchmarks.quality.quality_rows import ROWS, Bench, Reading
from finetune.nano.domain import facts, looking, outside, talk
from finetune.nano.domain.fact_groups import GROUPS
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import COLORS
from finetune.nano.domain.width import LANGUAGES
from finetune.nano.teachers.speakers import held_out as held_out_speakers
from finetune.nano.teachers.speaking import Speaker
from omni.conversation import Conversation
from omni.errors import ResourceError

ITEMS = 8
RATE = 24_000


class Told:
    """An engine's visitor that gets the same answer to everything, and keeps what was asked."""

    def __init__(self, answer: str = "", wave: np.ndarray | None = None) -> None:
        self.answer = answer
        self.wave = np.ones(RATE, np.float32) if wave is None else wave
        self.asked: list[Any] = []

    def write(self, conversation: Conversation, seed: int) -> str:
        self.asked.append(conversation)
        return self.answer

    def read(self, text: str, seed: int, voice: Path | None = None) -> SimpleNamespace:
        self.asked.append(text)
        return SimpleNamespace(wave=self.wave)

    def transcribe(self, heard: held_out.NaturalHeard, seed: int) -> str:
        self.asked.append(heard)
        return self.answer or heard.text

    def sound(self, heard: held_out.NaturalHeard) -> Path:
        return Path("said.wav")

    def given(self, part: Any) -> Any:
        return part


def bench(told: Told) -> Bench:
    """A bench with that visitor."""
    return Bench(told, items=ITEMS)  # type: ignore[arg-type]


def test_everyday_texts_are_whole() -> None:
    english, chinese = (held_out.everyday_texts(language) for language in LANGUAGES)
    assert len(english) == len(chinese) == 200
    spelled = [text for text in english if text.text != text.read]
    assert len(spelled) == 100
    assert not [text.read for text in spelled if re.search(r"[0-9$%£]", text.read)]
    assert sum(bool(re.search("[0-9]", text.text)) for text in spelled) > 90
    assert not [
        text.text for text in chinese if not re.fullmatch("[\u4e00-\u9fff，。！？]+", text.text)
    ]
    assert len({sign for text in chinese for sign in text.text}) > 600
    assert len({text.text for text in (*english, *chinese)}) == 400
    assert len(held_out.some_everyday_texts("en", 10)) == 10


def test_outside_questions_ask_for_what_training_never_named() -> None:
    questions = held_out.outside_questions()
    assert [language for language, _ in questions].count("zh") == 50
    assert len(set(questions)) == len(questions) == 100
    drawn = {
        form.format(topic=topic)
        for language in LANGUAGES
        for form in outside.questions(language, "full")
        for topic in outside.topics(language)
    }
    assert not drawn & {question for _, question in questions}


def trained_wordings() -> set[str]:
    """Every form of a question that training has."""
    found = {
        text
        for wordings in (*looking.PICTURE_WORDINGS.values(), *looking.CLIP_WORDINGS.values())
        for texts in wordings.questions.values()
        for text in texts
    }
    found |= {
        phrase for intent in talk.INTENTS for some in intent.phrases.values() for phrase in some
    }
    for group in GROUPS:
        for fact in group.facts:
            for number in range(len(group.questions["en"])):
                for opening in range(len(facts.OPENINGS["en"])):
                    asked = facts.FactQuestion(group, fact, number, opening)
                    found |= {asked.question(language) for language in LANGUAGES}
    return found


def test_wordings_are_nobodys_template() -> None:
    asked = held_out.wordings("core")
    assert len(asked) >= 150
    assert len({one.question for one in asked}) == len(asked)
    forms = [re.escape(form) for form in trained_wordings()]
    forms = [re.sub(r"\\\{[^}]*\\\}", "(?:[a-z]+(?: [a-z]+)?|[^a-z]{1,3})", form) for form in forms]
    known = re.compile("|".join(f"(?:{form})" for form in forms))
    assert not [one.question for one in asked if known.fullmatch(one.question)]


def test_a_wording_is_about_something_that_fits() -> None:
    asked = {one.question: one for one in held_out.wordings("core")}
    circle = asked["Quick one: color of the circle?"]
    assert circle.about is not None
    assert circle.answer in {color.en for color in COLORS} | {"there is no circle"}
    assert asked["4+5=?"] == Wording("en", "4+5=?", None, "nine")
    with pytest.raises(KeyError):
        held_out._word("shape", "banana")


def test_eight_speakers_differ_and_take_turns() -> None:
    firsts = [held_out.eight_speakers(number)[0] for number in range(8)]
    assert len(set(firsts)) == 8
    assert all(len(set(held_out.eight_speakers(number))) == 8 for number in range(4))
    assert {held_out.speaker(number, "zh") for number in range(4)} == set(
        held_out_speakers("test", "zh")
    )


def test_a_reading_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def say(speaker: Speaker, text: str, language: Language) -> SimpleNamespace:
        said.append(text)
        return SimpleNamespace(wave=np.full(100, 0.25, np.float32))

    monkeypatch.setenv("NANO_TEACHERS", str(tmp_path))
    monkeypatch.setattr(held_out.speaking, "say", say)
    speaker = held_out.speaker(0, "en")
    for _ in range(2):
        assert held_out.spoken(speaker, "a text", "en") == pytest.approx(np.full(100, 0.25))
    assert said == ["a text"]
    heard = held_out.NaturalHeard("a text", "en", speaker).waveform()
    assert heard.dtype == np.float32 and 50 < len(heard) < 80


@pytest.mark.parametrize(
    ("answer", "language", "admits"),
    [
        ("Sorry, I only know small things like shapes and animals.", "en", True),
        ("I don’t know that.", "en", True),
        ("Beijing", "en", False),
        ("对不起，我只知道形状和动物这些小事。", "en", False),
        ("对不起，我只知道形状和动物这些小事。", "zh", True),
        ("Sorry, I only know small things like shapes and animals.", "zh", False),
    ],
)
def test_who_does_not_know_says_so(answer: str, language: Language, admits: bool) -> None:
    assert says_unknown(answer, language) is admits


def test_transcriptions_are_counted_by_speaker() -> None:
    told = Told()
    found = rows.natural_asr(bench(told))
    assert (found.value, found.items) == (100, ITEMS)
    assert "flite:rms 2 of 2" in found.note and "kokoro:am_michael" in found.note
    assert any(heard.recording.noise_db for heard in told.asked)  # rooms and noise, as in asr_exact
    assert rows.natural_asr(bench(Told("nothing"))).value == 0
    chinese = rows.natural_zh_asr(bench(Told()))
    assert chinese.value == 100 and "zf_xiaoyi 4 of 4" in chinese.note


def test_who_refuses_is_right_outside_and_wrong_inside() -> None:
    told = Told(outside.ANSWER["en"] + outside.ANSWER["zh"])
    assert rows.outside(bench(told)).value == 100
    assert "typed 4 of 4, spoken 4 of 4" in rows.outside(bench(told)).note
    assert rows.wording(bench(told)).value == 0


@pytest.fixture
def toy_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that hears numbers; whoever speaks says its level."""
    monkeypatch.setattr(rows, "spoken", lambda *said: np.full(RATE, 0.5, np.float32))
    monkeypatch.setattr(rows, "by_espeak", lambda *said: np.full(RATE, 0.25, np.float32))
    monkeypatch.setattr(rows, "opinion", lambda wave, rate: float(4 * wave[0]))


def test_readings_are_beside_the_teachers(toy_ears: None, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = bench(Told(wave=np.full(RATE, 0.125, np.float32)))
    texts = ("one two three four", "five six seven eight")
    mine._readings["en"] = [Reading((text,), np.full(RATE, 0.125, np.float32)) for text in texts]
    found = rows.pleasant(mine)
    assert found.value == pytest.approx(1.5)
    assert "nano 0.50, the teacher 2.00, espeak-ng 1.00" in found.note
    heard = {0.125: "one two three", 0.5: texts[0]}
    monkeypatch.setattr(rows, "heard_words", lambda wave, rate: heard[float(wave[0])])
    found = rows.natural_intelligibility(mine)
    assert found.value == pytest.approx(100 * 5 / 8) and "teacher's 50 %" in found.note


def test_everyday_texts_are_read_beside_the_teacher(
    toy_ears: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(wave=np.full(RATE, 0.125, np.float32))
    wanted = [text.read for text in held_out.some_everyday_texts("en", ITEMS)]
    asked = iter([*[""] * ITEMS, *wanted])
    monkeypatch.setattr(rows, "heard_words", lambda wave, rate: next(asked))
    found = rows.any_text(bench(told))
    assert found.value == 100 and "nano 100 %, the teacher 0 %" in found.note
    assert told.asked == [text.text for text in held_out.some_everyday_texts("en", ITEMS)]
    assert over_teacher(15, 10, 1).value == 1.5
    assert over_teacher(1, 0, 1).value == 1


def test_a_voice_that_is_taken_is_found(toy_ears: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "nearest_voice", lambda wave, others, rate: len(others) - 1)
    assert rows.clone_natural(bench(Told())).value == 100
    silent = Told(wave=np.zeros(RATE, np.float32))
    found = rows.clone_natural(bench(silent))
    assert found.value == 0 and f"themselves {ITEMS} of {ITEMS}" in found.note


def test_what_is_missing_leaves_a_row_without_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*said: object) -> str:
        raise ResourceError("teacher-missing", "{what} is missing", what="flite")

    monkeypatch.setitem(rows.NATURAL, "outside", missing)  # type: ignore[arg-type]
    found = measure(bench(Told()), "outside")
    assert (found.value, found.items, found.note) == (None, 0, "flite is missing")


def test_the_table_knows_the_natural_rows() -> None:
    assert set(NATURAL) <= set(QUALITY) and not set(NATURAL) & set(ROWS)
    program = nano_quality.parser()
    flags = nano_quality.checked(program, program.parse_args(["--natural"]))
    assert flags.rows == list(NATURAL)
    flags = nano_quality.checked(program, program.parse_args([]))
    assert flags.rows == list(ROWS)
    row = nano_quality.bounded(
        [nano_quality.Row("any_text", 1.4), nano_quality.Row("outside", 1.0)]
    )
    assert [(one.name, one.ok) for one in row] == [("any_text", True), ("outside", False)]


def test_the_speaker_encoder_gives_directions() -> None:
    encoder = voices.Encoder().eval()
    noise = np.random.default_rng(0).standard_normal(voices.RATE).astype(np.float32)
    mel = voices.mel(noise)
    assert mel.shape == (101, voices.BINS)
    found = encoder(mel[None])
    assert found.shape == (1, voices.UNITS)
    assert float(found.detach().norm()) == pytest.approx(1, abs=1e-5)
    # Noise is flat: no band of a filter of one area has much more power than another.
    assert float(mel.mean(0).max() / mel.mean(0).min()) < 3


def test_voices_are_told_apart() -> None:
    try:
        voices.load_encoder()
    except ResourceError as error:
        pytest.skip(str(error))
    steps = np.arange(3 * RATE) / RATE
    low, high = (
        sum(np.sin(2 * np.pi * pitch * k * steps) / k for k in range(1, 12)) for pitch in (100, 230)
    )
    others = [0.1 * low.astype(np.float32), 0.1 * high.astype(np.float32)]
    assert voices.nearest_voice(0.05 * high[: 2 * RATE].astype(np.float32), others, RATE) == 1
    assert not voices.voice_of(np.zeros(RATE, np.float32), RATE).any()


def test_the_syllable_listener_collapses_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    known = syllables.symbols()
    assert len(set(known)) == len(known) and known[syllables.BLANK] == ""
    path = [0, 5, 5, 0, 5, 40, 40, 0]

    def scores(mel: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([path]), len(known)).float()

    heard = syllables.heard_parts(scores, np.zeros(8_000, np.float32), 16_000)  # type: ignore[arg-type]
    assert heard == [known[5], known[5], known[40]]


def test_the_syllable_listener_has_a_score_every_40_ms() -> None:
    listener = syllables.SyllableListener()
    scores = listener(torch.zeros(2, 100, 80))
    assert scores.shape == (2, 25, len(syllables.symbols()))
    with pytest.raises(FileNotFoundError, match="train_syllables"):
        syllables.load_listener(Path("nowhere.safetensors"))


def test_opinions_of_silence_are_the_lowest() -> None:
    assert listeners.opinion(np.zeros(RATE, np.float32), RATE) == 1.0
