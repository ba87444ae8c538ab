"""The natural teachers: what needs none of their wheels with toys, the rest where they are."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from finetune.nano.speech.synthesis import LEAD_S, SPOKEN_RATE, Sound, sounding_range
from finetune.nano.teachers import files, flite, hibari, kokoro, speakers, speaking
from finetune.nano.teachers.english import english_phones, original_places
from finetune.nano.teachers.mandarin import (
    FINALS,
    INITIALS,
    mandarin_phones,
    syllable_symbols,
)
from finetune.nano.teachers.phones import Phones, timed
from finetune.nano.teachers.speaking import Speaker
from omni.errors import ResourceError


def installed() -> bool:
    """Whether the teachers can speak here."""
    try:
        files.styles(), files.kokoro_model(), files.hibari_model()
        files.package_folder("pypinyin"), files.package_folder("jieba")
        files.package_folder("onnxruntime")
    except ResourceError:
        return False
    return True


needs_teachers = pytest.mark.skipif(not installed(), reason="the natural teachers are not here")


def test_marks_last_with_their_phonemes_and_pauses_are_silent() -> None:
    phones = Phones("ˈa→ b, c", (0, 0, 0, 1, 2, 2, 3, 4))
    lengths = [0.5, 0.1, 0.2, 0.1, 0.1, 0.3, 0.2, 0.1, 0.4, 0.0]
    assert [(round(one.start_s, 3), one.phoneme, one.place) for one in timed(phones, lengths)] == [
        (0.0, "_", 0),
        (0.5, "a", 0),  # with its stress; the tone and the space last on
        (1.0, "b", 2),
        (1.3, "_", 2),
        (1.6, "c", 4),
        (2.0, "_", 4),
    ]


def test_every_symbol_has_a_length_and_a_place() -> None:
    with pytest.raises(ValueError, match="lengths"):
        timed(Phones("ab", (0, 1)), [0.1] * 3)
    with pytest.raises(ValueError, match="places"):
        Phones("ab", (0,))
    assert Phones("a?b", (0, 1, 2)).known("ab") == Phones("ab", (0, 2))


def _fields(content: bytes) -> list[tuple[int, bytes | int]]:
    """The fields of a protocol buffer with short ones alone."""
    found: list[tuple[int, bytes | int]] = []
    place = 0
    while place < len(content):
        key, value = content[place], content[place + 1]
        place += 2
        if key & 7 == 2:
            found.append((key >> 3, content[place : place + value]))
            place += value
        else:
            found.append((key >> 3, value))
    return found


def test_a_model_tells_one_more_value() -> None:
    whole = files.with_output(b"model", "/encoder/lengths")
    assert whole.startswith(b"model")
    ((number, graph),) = _fields(whole.removeprefix(b"model"))
    assert number == 7 and isinstance(graph, bytes)
    ((output, value),) = _fields(graph)
    assert output == 12 and isinstance(value, bytes)
    (_, name), (_, kind) = _fields(value)
    assert name == b"/encoder/lengths"
    assert _fields(dict(_fields(kind))[1]) == [(1, 1)]  # type: ignore[arg-type]


def test_styles_are_read_from_the_archive(tmp_path: Path) -> None:
    vectors = np.arange(2 * files.STYLE_SIZE, dtype="<f4")
    archive = tmp_path / "voices.tgz"
    with tarfile.open(archive, "w:gz") as written:
        for name, content in (("voices/af_a.bin", vectors.tobytes()), ("README.md", b"text")):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    found = files.read_styles(archive)
    assert list(found) == ["af_a"]
    assert found["af_a"].shape == (2, files.STYLE_SIZE)
    assert found["af_a"].flatten().tolist() == vectors.tolist()


def test_what_is_missing_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResourceError, match="no-such-package") as caught:
        files.package_folder("no_such_package")
    assert caught.value.code == "teacher-missing"
    assert "finetune/requirements-natural.txt" in str(caught.value)
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    files.styles.cache_clear()
    with pytest.raises(ResourceError, match="style vectors"):
        files.styles()
    files.styles.cache_clear()


def test_styles_are_mixed() -> None:
    known = {"a": np.zeros((3, 4), np.float32), "b": np.ones((3, 4), np.float32)}
    known["b"][2] = 5
    assert kokoro.mixed(known, (("a", 0.25), ("b", 0.75)), 1).tolist() == [[0.75] * 4]
    assert kokoro.mixed(known, (("b", 1.0),), 99).tolist() == [[5.0] * 4]
    with pytest.raises(ValueError, match="add up"):
        kokoro.mixed(known, (("a", 0.5),), 1)
    with pytest.raises(ValueError, match="no styles c"):
        kokoro.mixed(known, (("c", 1.0),), 1)


def test_flite_tells_where_phonemes_end() -> None:
    told = flite.read_sounds("pau:0.176 dh:0.342 ax:0.401 pau:0.6")
    assert told == (Sound(0.0, "_", 0), Sound(0.176, "dh", 0), Sound(0.342, "ax", 0), told[3])
    assert told[3] == Sound(0.401, "_", 0)


def test_places_survive_what_is_spelled_out() -> None:
    text, said = "On May 3rd, 2 cats.", "On May third, two cats."
    places = original_places(text, said)
    assert len(places) == len(said) + 1
    assert places[said.index("third")] == text.index("3rd")
    assert places[said.index("cats")] == text.index("cats")
    assert original_places("same", "same") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("syllable", "symbols"),
    [
        (("zh", "ong", 1), "ꭧʊ→ŋ"),
        (("", "üan", 2), "ɥɛ↗n"),
        (("sh", "i", 4), "ʂɨ↘"),
        (("x", "i", 3), "ɕi↓"),
        (("d", "e", 5), "tɤ"),
        (("", "o", 2), "ɔ↗"),
        (("b", "o", 2), "pwo↗"),
        (("q", "nonsense", 1), ""),
    ],
)
def test_syllables_in_symbols(syllable: tuple[str, str, int], symbols: str) -> None:
    assert syllable_symbols(*syllable) == symbols


def test_the_tables_of_pinyin_are_whole() -> None:
    assert len(INITIALS) == 22 and all(INITIALS[name] for name in INITIALS if name)
    assert all(vowel for vowel, _ in FINALS.values())


def test_sides_share_no_voice() -> None:
    sides = [
        {name for names in speakers.STYLES[side].values() for name in names}
        for side in ("train", "validation", "test")
    ]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    guests = {name for names in speakers.GUESTS.values() for name in names}
    assert not guests & (sides[1] | sides[2])
    assert set(speakers.FLITE["train"]) & set(speakers.FLITE["test"]) == set()
    assert "rms" in speakers.FLITE["test"]


@pytest.mark.parametrize(
    ("language", "teacher"), [("en", "kokoro"), ("zh", "kokoro"), ("en", "hibari"), ("en", "flite")]
)
def test_drawn_speakers_are_of_training(
    language: speakers.Language, teacher: speaking.TeacherName
) -> None:
    drawn = [speakers.drawn(number, language, teacher) for number in range(600)]
    held = {
        name
        for side in ("validation", "test")
        for name in (*speakers.STYLES[side]["en"], *speakers.STYLES[side]["zh"])
    } | {"rms"}
    for speaker in drawn:
        assert not held & {name for name, _ in (*speaker.mix, *speaker.melody)}
        for mix in filter(None, (speaker.mix, speaker.melody)):
            assert sum(weight for _, weight in mix) == pytest.approx(1, abs=1e-3)
    assert drawn[:20] == [speakers.drawn(number, language, teacher) for number in range(20)]
    if teacher == "kokoro":
        assert len({speaker.name for speaker in drawn}) > 500
    with pytest.raises(ValueError, match="English alone"):
        speakers.drawn(0, "zh", "flite")


def test_held_out_speakers_are_as_they_are() -> None:
    english = speakers.held_out("test", "en")
    assert english[0].name == "flite:rms"
    assert {one.british for one in english} == {True, False}
    assert all(one.throat == 1 and len(one.mix) == 1 for one in english)
    assert len(speakers.held_out("test", "zh")) == 2
    with pytest.raises(ValueError, match="drawn"):
        speakers.held_out("train", "en")


def test_a_moved_voice_is_shorter_and_its_sounds_with_it() -> None:
    rate = SPOKEN_RATE
    wave = np.zeros(rate, np.float32)
    wave[rate // 4 : rate // 2] = np.sin(np.arange(rate // 4) * 0.1)
    sounds = (Sound(0.0, "_", 0), Sound(0.25, "a", 0), Sound(0.5, "_", 0), Sound(0.9, "b", 1))
    plain = speaking.finished(wave, rate, sounds)
    moved = speaking.finished(wave, rate, sounds, throat=1.25)
    assert plain.sounds[1].start_s == pytest.approx(LEAD_S, abs=0.011)
    assert moved.seconds == pytest.approx(0.25 / 1.25 + plain.seconds - 0.25, abs=0.03)
    # What would begin after all is silent has not been heard.
    assert [one.phoneme for one in moved.sounds][-1] == "_"
    assert "b" not in {one.phoneme for one in plain.sounds}
    with pytest.raises(ValueError, match="nothing"):
        speaking.finished(np.zeros(100, np.float32), rate, sounds)


def test_only_kokoro_speaks_mandarin() -> None:
    with pytest.raises(ValueError, match="English alone"):
        speaking.say(Speaker("flite", (("slt", 1.0),)), "你好", "zh")


@needs_teachers
def test_phonemes_know_their_words() -> None:
    text = "On May 3rd, Dr. Smith saw 2 cats."
    phones = english_phones(text)
    words = {text[place : place + 3] for place in phones.places}
    assert {"On ", "May", "3rd", "Dr.", "Smi", "saw", "2 c", "cat"} <= words
    assert "smˈɪθ" in phones.symbols
    mandarin = mandarin_phones("请问，左边呢？")
    assert mandarin.symbols == "ʨʰi↓ŋwə↘n, ʦwo↓pjɛ→n nɤ?"
    assert mandarin.places[mandarin.symbols.index("ʦ")] == 3


@needs_teachers
@pytest.mark.parametrize("teacher", ["kokoro", "hibari"])
def test_lengths_are_those_of_the_sound(teacher: str) -> None:
    phones = speaking.phones("The green circle is above the red square.", "en")
    say = hibari.say if teacher == "hibari" else lambda p: kokoro.say(p, (("af_heart", 1.0),))
    wave, lengths = say(phones)
    assert sum(lengths) == pytest.approx(len(wave) / SPOKEN_RATE, abs=0.03)
    first, last = (place / SPOKEN_RATE for place in sounding_range(wave, SPOKEN_RATE))
    assert first == pytest.approx(lengths[0], abs=0.08)
    assert last < sum(lengths[:-1])
    assert np.array_equal(say(phones)[0], wave)  # the same every time


def test_sounds_by_lengths_are_moved_to_where_they_are_heard() -> None:
    sounds = (Sound(0.0, "_", 0), Sound(0.1, "a", 0), Sound(0.02, "b", 0))
    moved = speaking.earlier(sounds)
    assert [one.start_s for one in moved] == pytest.approx([0.0, 0.1 - speaking.LATE_S, 0.0])
    assert [one.phoneme for one in moved] == ["_", "a", "b"]
