"""Voices on disk and in archives; archives of people who mean no good."""

from __future__ import annotations

import io
import json
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demos.base.languages import Words
from demos.voices import archive
from demos.voices.archive import export_voices, import_voices
from demos.voices.library import MAX_NAME, SavedVoice, VoiceLibrary, clean_name, owner_library
from omni.errors import VoiceError
from omni.listening import reference_check
from omni.listening.reference_check import FRAME, RATE


def sound(seconds: float = 3.5, rate: int = RATE, level: float = 0.3) -> bytes:
    file = io.BytesIO()
    time_s = np.arange(round(seconds * rate)) / rate
    soundfile.write(file, level * np.sin(2 * np.pi * 220 * time_s), rate, "PCM_16", format="WAV")
    return file.getvalue()


@pytest.fixture(autouse=True)
def loud_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not silent is speech; the tones of these tests are voices then."""

    def loud(frames: np.ndarray, stop: object = None) -> np.ndarray:
        return (np.abs(frames.reshape(-1, FRAME)).max(axis=1) > 1e-3).astype(float)

    monkeypatch.setattr(reference_check, "has_speech", lambda *_: True)
    monkeypatch.setattr(reference_check, "speech_probabilities", loud)
    monkeypatch.setattr(reference_check, "CLIPPED_SHARE", 1.0)  # a tone is often near its highest


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "sample.wav"
    path.write_bytes(sound())
    return path


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(tmp_path / "library" / "voices")


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(VoiceError) as raised:
        call(*arguments)
    return raised.value.code


def test_a_voice_is_found_again_with_all_that_was_said_about_it(
    library: VoiceLibrary, wav: Path
) -> None:
    library.save(SavedVoice("  Anna  \n Bell ", "你好 hello", "example"), wav)
    again = VoiceLibrary(library.folder)
    assert again.names() == ["Anna Bell"]
    voice, path = again.get("anna bell")
    assert voice == SavedVoice("Anna Bell", "你好 hello", "example")
    assert path.read_bytes() == wav.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no mode there")
def test_nobody_else_on_the_machine_may_read_it(library: VoiceLibrary, wav: Path) -> None:
    library.save(SavedVoice("Anna"), wav)
    _, path = library.get("Anna")
    for folder in (library.folder, path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_names_never_become_paths(library: VoiceLibrary, wav: Path) -> None:
    for name in ("../../etc/passwd", "a/b", "..", "C:\\x", ".hidden", "CON"):
        library.save(SavedVoice(name), wav)
        _, path = library.get(name)
        assert path.resolve().parent.parent == library.folder.resolve()
    assert len(list(library.folder.iterdir())) == 6


def test_names_are_cleaned_and_checked(library: VoiceLibrary, wav: Path) -> None:
    assert clean_name("  a\tb\u200b\x00c\u202e ") == "a bc"
    assert code_of(clean_name, " \u200b ") == "voice-name-empty"
    assert code_of(clean_name, "x" * (MAX_NAME + 1)) == "voice-name-long"
    library.save(SavedVoice("Anna"), wav)
    assert code_of(library.save, SavedVoice("ANNA"), wav) == "voice-name-taken"
    library.save(SavedVoice("Bert"), wav)
    assert code_of(library.rename, "Bert", "anna") == "voice-name-taken"
    assert code_of(library.rename, "Carl", "Dora") == "voice-gone"
    assert library.names() == ["Anna", "Bert"]


def test_rename_save_anew_and_delete(library: VoiceLibrary, wav: Path, tmp_path: Path) -> None:
    library.save(SavedVoice("anna", "one"), wav)
    assert library.rename("anna", "Anna") == "Anna"
    assert library.rename("Anna", "Bert") == "Bert"
    other = tmp_path / "other.wav"
    other.write_bytes(sound(4))
    library.save(SavedVoice("Bert", "two"), other, replaces="bert")
    voice, path = library.get("Bert")
    assert (voice.transcript, path.read_bytes()) == ("two", other.read_bytes())
    assert len(list(library.folder.iterdir())) == 1
    library.delete("Bert")
    assert library.names() == []
    assert code_of(library.delete, "Bert") == "voice-gone"
    assert list(library.folder.iterdir()) == []


def test_there_is_a_limit(
    library: VoiceLibrary, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demos.voices.library.MAX_VOICES", 1)
    library.save(SavedVoice("Anna"), wav)
    assert code_of(library.save, SavedVoice("Bert"), wav) == "voice-library-full"
    library.save(SavedVoice("Anna", "new"), wav, "Anna")


def test_a_broken_voice_does_not_hide_the_others(library: VoiceLibrary, wav: Path) -> None:
    for name in ("Anna", "Bert", "Carl"):
        library.save(SavedVoice(name), wav)
    library.get("Anna")[1].with_name("voice.json").write_text("{")
    library.get("Bert")[1].unlink()
    assert library.names() == ["Carl"]


def test_a_failed_save_leaves_nothing(library: VoiceLibrary, tmp_path: Path) -> None:
    assert code_of(library.save, SavedVoice("Anna"), tmp_path / "absent.wav") == "voice-disk"
    assert list(library.folder.iterdir()) == []


def test_the_owners_library_is_in_their_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *args, **kwargs: "/somewhere")
    assert owner_library().folder == Path("/somewhere/voices")


def test_an_archive_brings_voices_elsewhere(
    library: VoiceLibrary, wav: Path, tmp_path: Path
) -> None:
    library.save(SavedVoice("Anna", "Hello.", "example"), wav)
    library.save(SavedVoice("小明"), wav)
    path = tmp_path / "voices.zip"
    export_voices(library, path)
    other = VoiceLibrary(tmp_path / "other")
    other.save(SavedVoice("anna"), wav)
    assert import_voices(other, path) == ["Anna (2)", "小明"]
    voice, copy = other.get("Anna (2)")
    assert (voice.transcript, voice.use) == ("Hello.", "example")
    np.testing.assert_allclose(soundfile.read(copy)[0], soundfile.read(wav)[0], atol=1e-4)
    assert import_voices(other, path) == []  # they are there already
    assert len(other.names()) == 3


@pytest.mark.parametrize(
    ("seconds", "level", "reason"),
    [(3.5, 0.001, "No speech"), (3.5, 0.004, "too quiet"), (3.5, 0.3, "distorted")],
)
def test_an_archive_is_held_to_the_rules_for_new_recordings(
    library: VoiceLibrary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    level: float,
    reason: str,
) -> None:
    if reason == "distorted":
        monkeypatch.setattr(reference_check, "CLIPPED_SHARE", 0.008)
    if reason == "No speech":
        monkeypatch.setattr(reference_check, "has_speech", lambda *_: False)
    files = {"voice-001.wav": sound(), "voice-002.wav": sound(seconds, level=level)}
    content = table(row("Anna"), row("Bert", "voice-002.wav"))
    with pytest.raises(VoiceError) as caught:
        import_voices(library, packed(tmp_path / "x.zip", content, files))
    if reason == "too quiet":
        assert "The voice Bert of this file cannot be used" in str(caught.value)
    assert caught.value.code == "voice-archive-refused"
    assert reason in str(caught.value)
    assert "添加任何内容。" in Words().error("zh", caught.value)
    assert str(caught.value.params["reason"]) not in Words().error("zh", caught.value)
    assert library.names() == []


def test_an_empty_library_has_no_archive(library: VoiceLibrary, tmp_path: Path) -> None:
    assert code_of(export_voices, library, tmp_path / "x.zip") == "voice-library-empty"


def packed(path: Path, table: Any, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        if table is not None:
            text = table if isinstance(table, str) else json.dumps(table)
            zipped.writestr(archive.TABLE, text)
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def table(*voices: dict[str, Any]) -> dict[str, Any]:
    return {"format": archive.FORM, "version": archive.VERSION, "voices": list(voices)}


def row(name: str = "Anna", file: Any = "voice-001.wav", **more: Any) -> dict[str, Any]:
    return {"name": name, "transcript": "", "use": "system", "file": file} | more


GOOD = {"voice-001.wav": sound()}


@pytest.mark.parametrize(
    ("content", "files"),
    [
        (None, GOOD),
        ("{", GOOD),
        ("[" * 100_000, GOOD),
        ([], GOOD),
        ({"format": "other"}, GOOD),
        (table(), GOOD),
        (table(row()) | {"version": 99}, GOOD),
        (table(*[row(str(number)) for number in range(201)]), GOOD),
        (table(row(name="")), GOOD),
        (table(row(name=7)), GOOD),
        (table(row(use="other")), GOOD),
        (table(row(transcript="x" * 9999)), GOOD),
        (table(row(file="../voice-001.wav")), GOOD | {"../voice-001.wav": sound()}),
        (table(row(file="/etc/passwd")), GOOD),
        (table(row(file=["voice-001.wav"])), GOOD),
        (table(row(file="voice-002.wav")), GOOD),
        (table(row()), {"voice-001.wav": b"no sound"}),
        (table(row()), {"voice-001.wav": sound(1)}),
        (table(row()), {"voice-001.wav": sound(31)}),
        (table(row()), {"voice-001.wav": sound(4, 44_100)}),
        (table(row()), {"voice-001.wav": bytes(50_000_000)}),  # 50 kB packed
        (table(row()) | {"more": " " * 3_000_000}, GOOD),
        (table(row(), row("Bert", "voice-002.wav")), GOOD),
    ],
)
def test_a_wrong_archive_changes_nothing(
    library: VoiceLibrary, tmp_path: Path, content: Any, files: dict[str, bytes]
) -> None:
    path = packed(tmp_path / "x.zip", content, files)
    before = sorted(tmp_path.rglob("*"))
    assert code_of(import_voices, library, path) == "voice-archive"
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_zip_file_is_refused(library: VoiceLibrary, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    assert code_of(import_voices, library, tmp_path / "x.zip") == "voice-archive"
    whole = packed(tmp_path / "y.zip", table(row()), GOOD).read_bytes()
    (tmp_path / "y.zip").write_bytes(whole[: len(whole) // 2])
    assert code_of(import_voices, library, tmp_path / "y.zip") == "voice-archive"


def test_an_archive_of_zeros_or_of_very_many_names_is_not_unpacked(
    library: VoiceLibrary, tmp_path: Path
) -> None:
    rows = [row(str(number)) for number in range(40)]
    zeros = sound(29, level=0)
    path = packed(tmp_path / "x.zip", table(*rows), {"voice-001.wav": zeros})
    assert path.stat().st_size < 10_000
    assert code_of(import_voices, library, path) == "voice-archive"
    path = packed(tmp_path / "y.zip", table(row()), {str(n): b"" for n in range(20_000)} | GOOD)
    assert code_of(import_voices, library, path) == "voice-archive"
    assert library.names() == []


def test_other_members_of_an_archive_are_left_alone(library: VoiceLibrary, tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", table(row()), GOOD | {"../../evil.txt": b"evil"})
    assert import_voices(library, path) == ["Anna"]
    assert not list(tmp_path.parent.rglob("evil.txt"))


def test_an_import_that_does_not_fit_is_refused_whole(
    library: VoiceLibrary, tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.save(SavedVoice("Anna"), wav)
    monkeypatch.setattr("demos.voices.archive.MAX_VOICES", 2)
    content = table(row("B"), row("C"))
    path = packed(tmp_path / "x.zip", content, GOOD)
    assert code_of(import_voices, library, path) == "voice-library-full"
    assert library.names() == ["Anna"]
