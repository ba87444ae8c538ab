"""The quality table: a perfect engine gets every point, one that guesses gets chance."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from benchmarks import nano_quality
from benchmarks.lib.bounds import QUALITY, chinese_bound
from benchmarks.lib.rows import Bound, Row, read_json
from benchmarks.quality import listener_error, quality_rows, recognizer, scoring
from benchmarks.quality.held_out import (
    AMONG,
    AMONG_HARD,
    VOICES,
    cloning,
    held_out,
    sentence_sets,
    timed_example,
    with_others,
)
from benchmarks.quality.natural.rows import NATURAL
from benchmarks.quality.quality_rows import ROWS, Bench, first_answer, first_question, measure
from benchmarks.quality.recognizer import (
    written,
)
from benchmarks.quality.talking import Talker, conversation, write_clip
from finetune.nano.domain.languages import Language
from finetune.nano.domain.width import LANGUAGES
from finetune.nano.speech.synthesis import Utterance
from finetune.nano.speech.voices import families
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    Audio,
    Conversation,
    Image,
    Message,
    Text,
    Video,
    VoicePrompt,
)
from omni.events import SPEECH_RATE, EngineEvent, SpeechChunk, TextDelta, TurnEnd, TurnStats
from omni.media.video import iter_frames
from omni.options import GenerationOptions
from omni.requests import (
    ReadAloudRequest,
    Request,
    RequestMethods,
    TranscribeRequest,
    TurnRequest,
    chosen,
)
from tests.support.toy_speech import held_out_sentences, toy_speech

ITEMS = 16  # of a row here


class KnowingEngine(RequestMethods):
    """Answers what it was told to answer next: a text and what it sounds like."""

    report = None

    def __init__(self) -> None:
        self.next: queue.SimpleQueue[tuple[str, Utterance | None]] = queue.SimpleQueue()
        self.asked: list[Conversation] = []
        self.options: list[GenerationOptions] = []

    def run(self, request: Request) -> Iterator[EngineEvent]:
        if isinstance(request, TurnRequest):
            self.asked.append(request.conversation)
            self.options.append(chosen(request.options, GenerationOptions()))
            return self._answer(self.options[-1].speech)
        if isinstance(request, TranscribeRequest):
            assert soundfile.info(request.path).samplerate == 16_000
            return self._answer(False)
        assert isinstance(request, ReadAloudRequest)
        assert request.voice is None or request.voice.path.is_file()
        return self._answer(True)

    def _answer(self, spoken: bool) -> Iterator[EngineEvent]:
        text, said = self.next.get_nowait()
        yield TextDelta(text[:3])
        yield TextDelta(text[3:])
        seconds = 0.0
        if spoken and said is not None:
            wave = (toy_speech(said) * 32767).astype(np.int16)
            seconds = len(wave) / SPEECH_RATE
            for piece in np.array_split(wave, 3):
                yield SpeechChunk(piece)
        stats = TurnStats(
            first_sound_s=0.4 if seconds else None, total_s=0.5 * seconds, speech_s=seconds
        )
        yield TurnEnd(Message("assistant", (Text(text),)), "end", stats)


@pytest.fixture(autouse=True)
def toy_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.nano.speech.synthesis.speak", toy_speech)
    monkeypatch.setattr("finetune.nano.examples.parts.speak", toy_speech)
    monkeypatch.setattr("benchmarks.nano_quality.espeak_version", lambda: "none")
    quality_rows.spoken_cepstra.cache_clear()


@pytest.fixture
def engine() -> KnowingEngine:
    return KnowingEngine()


@pytest.fixture
def bench(engine: KnowingEngine, tmp_path: Path) -> Bench:
    return Bench(Talker(engine, tmp_path), items=ITEMS)  # type: ignore[arg-type]


def shuffled(answers: list[tuple[str, Utterance | None]]) -> list[tuple[str, Utterance | None]]:
    """Every answer to another question."""
    moved = 1 + len(answers) // 2
    return [*answers[moved:], *answers[:moved]]


def right_answers(name: str) -> list[tuple[str, Utterance | None]]:
    """What a perfect engine says in a row, in the order of its questions."""
    language = "zh" if name.startswith("zh_") else "en"
    row = name.removeprefix("zh_")
    if row.startswith("speech"):
        sets = sentence_sets(language, ITEMS, "core")
        return [(s[0], Utterance(s[0], language, quality_rows.DEFAULT_VOICE)) for s in sets]
    if row == "clone":
        drawn = [cloning(number, language, "core") for number in range(ITEMS)]
        return [(one.text, Utterance(one.text, language, one.voices[0])) for one in drawn]
    if row == "style":
        said = [
            Utterance(s[0], language, quality_rows.DEFAULT_VOICE, style)
            for s in sentence_sets(language, ITEMS // 4, "core")
            for style in ("plain", *scoring.MEASURED_STYLES)
        ]
        return [(one.text, one) for one in said]
    task = row.removesuffix("_exact")
    examples = [held_out(task, number, language, "core") for number in range(ITEMS)]
    if row == "asr_exact":  # asked in a voice of training too
        return [(one.answer, None) for one in examples for _ in range(2)]
    return [(first_answer(one), None) for one in examples]


MEASURED = [name for name in ROWS if name.removeprefix("zh_") in quality_rows.MEASURES]
SCORED = [name for name in MEASURED if not name.endswith("wer")]
ENGLISH = [name for name in SCORED if not name.startswith("zh")]


@pytest.mark.parametrize("name", SCORED)
def test_a_perfect_engine_gets_every_point(name: str, bench: Bench, engine: KnowingEngine) -> None:
    for answer in right_answers(name):
        engine.next.put(answer)
    found = measure(bench, name)
    assert engine.next.empty()
    assert found.value == 100 and found.items == ITEMS, found.note
    assert f"{ITEMS} of {ITEMS}" in found.note
    assert all(entry.right for entry in bench.records)


@pytest.mark.parametrize("name", ENGLISH)
def test_an_engine_that_says_the_wrong_things_gets_chance(
    name: str, bench: Bench, engine: KnowingEngine
) -> None:
    for answer in shuffled(right_answers(name)):
        engine.next.put(answer)
    assert measure(bench, name).value <= 40  # yes or no and few colors: some are right by chance


@pytest.mark.parametrize("name", ENGLISH)
def test_silence_is_never_right(name: str, bench: Bench, engine: KnowingEngine) -> None:
    for text, _ in right_answers(name):
        engine.next.put((text if name.endswith(("style", "clone")) else "", None))
    assert measure(bench, name).value == 0


def test_what_strange_voices_cost_is_told_and_not_counted(
    bench: Bench, engine: KnowingEngine
) -> None:
    for index, answer in enumerate(right_answers("asr_exact")):
        engine.next.put(answer if index % 2 else ("", None))
    found = measure(bench, "asr_exact")
    assert found.value == 0 and "in voices of training 100 %" in found.note


def test_word_errors_of_a_perfect_and_a_silent_engine(
    bench: Bench, engine: KnowingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears = {}  # by the length of the sound: the toy's sentences rarely share one

    class Listener:
        def hear(self, wave: np.ndarray, language: str) -> str:
            return hears.get(len(wave), "")

    monkeypatch.setattr(recognizer, "load_recognizer", lambda path: Listener())
    monkeypatch.setattr(listener_error, "own_error", lambda *_: 1.25)
    for name in ("speech_wer", "zh_speech_wer"):
        language = "zh" if name.startswith("zh") else "en"
        sets = [(number, s) for number, s in enumerate(sentence_sets(language, ITEMS, "core"))]
        engine_answers = right_answers(name)
        bench._readings.clear()
        for answer in engine_answers:
            engine.next.put(answer)
        waves = {
            len(quality_rows.at_16_khz(toy_speech(said))): written(text, language)
            for text, said in engine_answers
            if said
        }
        hears.clear()
        assert measure(bench, name).value == 100  # nothing was understood
        hears |= waves
        found = measure(bench, name)
        assert found.value < 60 and len(sets) == ITEMS
        assert "1.2 %" in found.note and ("characters" in found.note) == (language == "zh")


def test_the_readings_of_three_rows_are_spoken_once(bench: Bench, engine: KnowingEngine) -> None:
    for answer in right_answers("speech_retrieval"):
        engine.next.put(answer)
    assert measure(bench, "speech_retrieval").value == 100
    assert measure(bench, "speech_retrieval_hard").value == 100
    requests = [one.messages[-1].parts[0] for one in engine.asked]
    assert len(requests) == ITEMS // 2  # the others were given to the reader
    assert all(isinstance(part, Text) and part.text.startswith("Read this") for part in requests)


def test_times_count_all_turns(bench: Bench, engine: KnowingEngine) -> None:
    said = Utterance("Yes.", "en", quality_rows.DEFAULT_VOICE)
    for _ in range(ITEMS + 1):  # the first one warms up
        engine.next.put(("Yes.", said))
    sound, factor = measure(bench, "first_sound_s"), measure(bench, "rtf")
    assert sound.value == pytest.approx(0.4) and sound.items == factor.items == ITEMS
    assert factor.value == pytest.approx(0.5)
    assert {one.language for one in engine.asked} == {"en", "zh"}
    kinds = {type(part) for one in engine.asked for part in one.messages[0].parts}
    assert kinds == {Text, Audio, Image, Video}
    assert all(options.speech for options in engine.options)


def test_an_engine_without_sound_has_no_speed(bench: Bench, engine: KnowingEngine) -> None:
    for _ in range(ITEMS + 1):
        engine.next.put(("Yes.", None))
    assert measure(bench, "rtf").value is None
    assert measure(bench, "first_sound_s").value is None


def test_word_errors_need_a_recognizer(bench: Bench, engine: KnowingEngine, tmp_path: Path) -> None:
    bench.weights = tmp_path / "nothing.safetensors"
    found = measure(bench, "speech_wer")
    assert found.value is None and "train_recognizer" in found.note
    assert nano_quality.bounded([nano_quality.as_row("speech_wer", found)])[0].ok is None


def test_questions_reach_the_engine_as_files(bench: Bench, engine: KnowingEngine) -> None:
    for answer in right_answers("spoken_qa"):
        engine.next.put(answer)
    measure(bench, "spoken_qa")
    assert len({options.seed for options in engine.options}) == ITEMS
    for options, asked in zip(engine.options, engine.asked, strict=True):
        assert not options.speech  # text rows are answered in text alone
        seen, heard = asked.messages[0].parts
        assert isinstance(heard, Audio) and soundfile.info(heard.path).samplerate == 16_000
        if isinstance(seen, Image):
            with Pillow.open(seen.path) as picture:
                assert picture.mode == "RGB" and picture.format == "PNG"
        else:
            assert isinstance(seen, Video) and 4 <= len(list(iter_frames(seen.path, 32))) <= 8


def test_a_clip_keeps_its_frames(tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (117, 83), (40 * n, 200 - 30 * n, 90)) for n in range(5)]
    seen = list(iter_frames(write_clip(tmp_path / "clip.mp4", frames), 32))
    assert [frame.size for frame in seen] == [(116, 82)] * 5
    for frame, other in zip(seen, frames, strict=True):
        close = np.abs(np.asarray(frame, int) - np.asarray(other, int)[:82, :116])
        assert close.mean() < 4


def test_answers_of_the_assistant_are_not_given(tmp_path: Path, engine: KnowingEngine) -> None:
    talker = Talker(engine, tmp_path)  # type: ignore[arg-type]
    drawn = held_out("image_qa", 0, "en", "core")
    with pytest.raises(TypeError):
        talker.given(drawn.turns[1].parts[0])


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_is_asked_is_held_out(language: Language) -> None:
    sets = sentence_sets(language, 60, "core")
    test_side = held_out_sentences(language)
    assert len({texts[0] for texts in sets}) == 60
    assert {texts[0] for texts in sets} <= test_side
    assert all(len(set(texts)) == AMONG_HARD for texts in sets)
    for texts in sets[:5]:
        others = with_others(texts[0], language, "core")
        assert len(set(others)) == AMONG and others[0] == texts[0]
        assert set(others) <= test_side
    ours = {variant for family in families("test") for variant in family}
    for number in range(20):
        drawn = cloning(number, language, "core")
        variants = [voice.variant for voice in drawn.voices]
        assert set(variants) <= ours and len(set(variants)) == VOICES
        assert drawn.prompt.utterance.voice == drawn.voices[0] and drawn.text in test_side
        for task in ("asr", "image_qa", "video_qa", "spoken_qa"):
            assert held_out(task, number, language, "core").split == "test"
        assert timed_example(number, "core").split == "test"


def test_settings_are_chosen_by_another_side() -> None:
    sets = sentence_sets("en", 60, "core", "validation")
    assert not {texts[0] for texts in sets} & held_out_sentences("en")
    assert not set(with_others(sets[0][0], "en", "core", "validation")) & held_out_sentences("en")
    chosen = {variant for family in families("validation") for variant in family}
    for number in range(20):
        drawn = cloning(number, "en", "core", "validation")
        assert drawn.voices[0].variant in chosen
        assert len({voice.variant for voice in drawn.voices}) == VOICES
        assert held_out("asr", number, "en", "core", "validation").split == "validation"
    assert list(nano_quality.SIDED) == MEASURED
    with pytest.raises(SystemExit):  # turns are timed on the test side alone
        nano_quality.main(["--split", "validation", "--rows", "rtf"])


def test_a_first_question_and_its_answer() -> None:
    longer = [held_out("image_qa", n, "en", "core") for n in range(40)]
    drawn = next(one for one in longer if len(one.turns) > 2)
    assert first_question(drawn) != drawn.question and first_answer(drawn)
    assert first_answer(drawn) == "".join(part.text for part in drawn.turns[1].parts)


def test_chinese_is_bound_to_english() -> None:
    assert chinese_bound("image_qa", None) == Bound(80)
    assert chinese_bound("image_qa", 97.0) == Bound(87)
    assert chinese_bound("image_qa", 60.0) == Bound(80)  # a bad English row lowers nothing
    assert chinese_bound("speech_wer", 4.0) == Bound(14, at_most=True)
    assert chinese_bound("speech_wer", 40.0) == Bound(20, at_most=True)
    assert {name.removeprefix("zh_") for name in ROWS} == set(QUALITY) - set(NATURAL)
    rows = nano_quality.bounded([Row("zh_clone", 75.0), Row("clone", 84.0), Row("rtf", 0.5)])
    assert [(row.name, row.ok) for row in rows] == [
        ("clone", True),
        ("zh_clone", True),
        ("rtf", True),
    ]


def test_rows_of_several_runs_come_together(
    tmp_path: Path, engine: KnowingEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    file, log = tmp_path / "quality.json", tmp_path / "answers.jsonl"
    flags = ["--items", "3", "--json", str(file)]
    for _ in range(3):
        engine.next.put(("nonsense", None))
    assert nano_quality.main([*flags, "--rows", "zh_image_qa"], engine) == 1  # type: ignore[arg-type]
    examples = [held_out("image_qa", number, "en", "core") for number in range(3)]
    for drawn in examples:
        engine.next.put((first_answer(drawn), None))
    more = [*flags, "--rows", "image_qa", "--answers", str(log)]
    assert nano_quality.main(more, engine) == 1  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert "FEWER THAN 200" in printed and "width core" in printed and "only 3 items" in printed
    rows, about = read_json(file)
    assert [row.name for row in rows] == ["image_qa", "zh_image_qa"]
    assert rows[0].value == 100 and rows[0].ok and about["width"] == "core"
    assert rows[1].bound == Bound(90) and rows[1].ok is False
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert {entry["row"] for entry in entries} == {"image_qa"}
    assert [entry["found"] for entry in entries] == [first_answer(one) for one in examples]
    with pytest.raises(SystemExit):  # another width would be another table
        nano_quality.main([*flags, "--width", "full"], engine)  # type: ignore[arg-type]
    with pytest.raises(SystemExit):  # and so would be another side
        nano_quality.main([*flags, "--split", "validation", "--rows", "style"], engine)  # type: ignore[arg-type]
    for wrong in (["--rows", "nothing"], ["--items", "0"]):
        with pytest.raises(SystemExit):
            nano_quality.main(wrong, engine)  # type: ignore[arg-type]


def test_conversations_keep_their_system_text() -> None:
    asked = conversation([Text("Hello!")], "zh", "说慢一点。", Path("voice.wav"))
    assert asked.system.text == "说慢一点。" and asked.language == "zh"
    assert asked.system.voice == VoicePrompt(Path("voice.wav"))
    assert conversation([Text("Hi")], "en").system.text == DEFAULT_SYSTEM_TEXT
