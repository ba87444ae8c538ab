"""Ready voices in the panel, what the browser remembers of it, and voices by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from demos.base.languages import Words
from demos.turns.sessions import Session
from demos.voices.by_name import has_lines, lines_of
from demos.voices.gallery import as_wav, cards, ready_voice
from demos.voices.library import SavedVoice, VoiceLibrary
from omni.conversation import SystemPrompt
from omni.errors import VoiceError
from omni.listening.gallery import gallery
from omni.listening.reference_check import MIN_SECONDS, check_reference
from omni.shipped import ASSETS
from tests.support.root import DATA

MOST_BYTES = 200_000


def test_the_gallery_is_small_and_each_of_it_can_be_used() -> None:
    assert len(gallery()) == 6
    assert sum(file.stat().st_size for file in (ASSETS / "voices").iterdir()) < MOST_BYTES
    for voice in gallery():
        info = soundfile.info(voice.path)
        assert info.channels == 1
        assert MIN_SECONDS + 2 <= info.frames / info.samplerate <= 8
        assert voice.transcript
        assert check_reference(voice.path) == ()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_card_says_who_it_is(language: str) -> None:
    shown = cards(Words(), language)
    for voice in gallery():
        assert voice.name[language] in shown
        assert voice.about[language] in shown


def test_a_ready_voice_is_played_as_wav(tmp_path: Path) -> None:
    voice = ready_voice("anna")
    assert voice
    path = as_wav(voice, Session(tmp_path / "sessions"))
    assert soundfile.info(path).format == "WAV"
    assert ready_voice("../anna") is None


def test_lines_take_saved_voices_before_ready_ones(tmp_path: Path) -> None:
    library = VoiceLibrary(tmp_path / "voices")
    library.save(SavedVoice("Anna", "Hello.", "example"), DATA / "speech.ogg")
    library.save(SavedVoice("奶奶"), DATA / "speech.ogg")
    text = "So it begins.\nAnna: Hello!\n奶奶：你好。\nben: Hi."
    assert has_lines(text, library)
    rest = SystemPrompt("Speak slowly.")
    first, anna, granny, ben = lines_of(text, library, "zh", rest)
    assert (first.name, first.voice) == ("", None)
    assert anna.voice
    assert (anna.voice.use, anna.voice.transcript) == ("example", "Hello.")
    assert granny.voice
    assert granny.voice.path.parent.parent == library.folder
    assert ben.voice
    assert ben.voice.path.name == "ben.opus"
    assert {line.manner for line in (first, anna, granny, ben)} == {"Speak slowly."}
    with pytest.raises(VoiceError, match="Anna, 奶奶, 安娜, 艾玛"):
        lines_of("Anna: a\nBob: b", library, "zh", rest)


def test_what_the_browser_remembers_is_looked_at() -> None:
    from demos.voices.remembering import _told

    assert _told(json.dumps({"role": "pirate"})) == {"role": "pirate"}
    for nonsense in (None, "", "[1]", "{", "[" * 5000, json.dumps({"wish": "x" * 30_000})):
        assert _told(nonsense) == {}
