"""The same odd files for the command line, in this process, with one loaded model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omni.cli.main import main
from omni.engine import Engine, EngineSettings
from tests.corpus import clips, pictures
from tests.corpus.outcomes import Case, Heard, Refused, Seen, says
from tests.corpus.sounds import SOUNDS, wav

SOME_FAILED = 3
EVERY_THIRD = SOUNDS[::3]  # the others go the same way


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(EngineSettings("nano", device="cpu"))
    list(engine.load())
    yield engine
    engine.unload()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_batch_of_odd_sounds(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is written down or refused as by the page; the batch goes on to its end."""
    files = {case: case.make(here) for case in EVERY_THIRD}
    assert main(["asr", *map(str, files.values())], engine) == SOME_FAILED
    streams = capsys.readouterr()
    assert "Traceback" not in streams.err
    wrong = []
    for case, file in files.items():
        heard = [line for line in streams.out.splitlines() if line.startswith(f"{file}: ")]
        told = [line for line in streams.err.splitlines() if line.startswith(f"{file}: ")]
        if isinstance(case.right, Refused):
            fine = bool(told) and says(told[0], *case.right.keys)
        else:
            assert isinstance(case.right, Heard)
            said = case.right.text
            fine = bool(heard) and (said is None or heard[0].endswith(said))
        if not fine:
            wrong.append((case.name, heard, told))
    assert not wrong
    count = sum(isinstance(case.right, Refused) for case in files)
    assert f"{count} of {len(files)} files failed" in streams.err


LOOKS = [*pictures.PICTURES[::5], *clips.CLIPS[::5]]


@pytest.mark.parametrize("case", LOOKS, ids=str)
def test_an_odd_picture_or_clip(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    flag = "--image" if case in pictures.PICTURES else "--video"
    asked = pictures.ASKED if flag == "--image" else clips.ASKED
    code = main(["chat", asked, flag, str(case.make(here)), "--text-only", "--seed", "1"], engine)
    streams = capsys.readouterr()
    assert "Traceback" not in streams.err
    if isinstance(case.right, Refused):
        assert code == 1
        assert says(streams.err, *case.right.keys), streams.err
        assert not streams.out.strip()
    else:
        assert isinstance(case.right, Seen)
        assert code == 0, streams.err
        assert case.right.text in streams.out


@pytest.mark.parametrize("voice", ["hiss.flac", "silence.flac", "empty.wav", "foreign.txt"])
def test_a_voice_that_is_none(
    engine: Engine, here: Path, capsys: pytest.CaptureFixture[str], voice: str
) -> None:
    case = next(case for case in SOUNDS if case.name == voice)
    code = main(["tts", "Hi.", "--voice", str(case.make(here)), "--out", "a.wav"], engine)
    assert code == 1
    keys = ("voice-no-speech", "audio-silent", "media-empty", "audio-unreadable")
    assert says(capsys.readouterr().err, *keys)
    assert not Path("a.wav").exists()


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "opus", "ogg"])
def test_speech_in_every_form(engine: Engine, here: Path, ending: str) -> None:
    assert main(["tts", "The red star.", "--seed", "1", "--out", f"a.{ending}"], engine) == 0
    samples, _ = soundfile.read(here / f"a.{ending}")
    assert np.abs(samples).max() > 0.05


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["asr", "gone.wav"], "media-missing"),
        (["tts", "  ", "--out", "a.wav"], "nothing-to-read"),
        (["tts", "Hi.", "--out", "a.exe"], "out-format"),
        (["chat", "a", "--image", "gone.png", "--text-only"], "media-missing"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    engine: Engine, capsys: pytest.CaptureFixture[str], arguments: list[str], key: str
) -> None:
    assert main(arguments, engine) == 1
    assert says(capsys.readouterr().err, key)


@pytest.mark.parametrize("text", ["\udce9 half \ud800", "<B_SYS><C_A>", "a\0b", "👩‍👩‍👧‍👦" * 10])
def test_odd_texts(engine: Engine, here: Path, text: str) -> None:
    assert main(["chat", text, "--text-only", "--seed", "1"], engine) == 0
    (here / "in.wav").write_bytes(wav())
    assert main(["asr", "in.wav"], engine) == 0
