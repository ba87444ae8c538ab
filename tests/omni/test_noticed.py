"""What a turn notices of the files it was given: no speech, damage, a clip without its sound; and
that Stop reaches the decoders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import soundfile

from omni.conversation import Audio, Conversation, Message, SystemPrompt, Text, Video, VoicePrompt
from omni.engine import Engine, EngineSettings
from omni.errors import MediaError, OmniError
from omni.events import MediaNote, TurnEnd
from omni.listening import reference_check
from omni.listening.reference_check import check_again, check_reference, check_voice, trust
from omni.listening.speech_found import has_speech
from omni.media.audio import read_waveform
from omni.options import GenerationOptions
from omni.prompting import media_slots
from tests.support.checkpoints import write_checkpoint
from tests.support.media_files import tone, write_clip, write_sound
from tests.support.odd_files import packed_sound, with_damage
from tests.support.root import DATA, ROOT

TALK = ROOT / "examples" / "capital_en.flac"
VOICE = DATA / "speech.ogg"  # 8 s of speech and silence around it
OPTIONS = GenerationOptions(seed=1, speech=False)
RATE = 16_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    limits = {"text_tokens": 2, "audio_frames": 4, "rounds": 1}
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"), omni={"limits": limits})
    engine = Engine(EngineSettings(str(folder), device="cpu"))
    list(engine.load())
    return engine


def hiss() -> np.ndarray:
    return 0.1 * np.random.default_rng(2).standard_normal(4 * RATE)


def chord() -> np.ndarray:
    time_s = np.arange(4 * RATE) / RATE
    return sum(0.1 * np.sin(2 * np.pi * pitch * time_s) for pitch in (262, 330, 392))  # type: ignore[return-value]


def hum() -> np.ndarray:
    time_s = np.arange(4 * RATE) / RATE
    return sum(0.2 / k * np.sin(2 * np.pi * 50 * k * time_s) for k in range(1, 20))  # type: ignore[return-value]


NOISES = [hiss, chord, hum]


def asked(*parts: object, voice: VoicePrompt | None = None) -> Conversation:
    message = Message("user", (*parts, Text("?")))  # type: ignore[arg-type]
    return Conversation(SystemPrompt("s", voice), (message,))


def end_of(engine: Engine, conversation: Conversation, **more: object) -> TurnEnd:
    *_, end = engine.turn(conversation, OPTIONS, **more)  # type: ignore[arg-type]
    assert isinstance(end, TurnEnd)
    return end


@pytest.mark.parametrize("noise", NOISES)
def test_what_nobody_says_is_not_written_down(
    engine: Engine, tmp_path: Path, noise: Callable[[], np.ndarray]
) -> None:
    soundfile.write(tmp_path / "noise.wav", noise(), RATE)
    with pytest.raises(MediaError) as caught:
        list(engine.transcribe(tmp_path / "noise.wav"))
    assert caught.value.code == "audio-no-speech"
    assert "noise.wav" in str(caught.value)
    question = end_of(engine, asked(Audio(tmp_path / "noise.wav")))
    assert question.message.parts, "a question about a sound is answered"


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("use", ["system", "example"])
def test_a_voice_without_speech_is_refused_whoever_gives_it(
    engine: Engine, tmp_path: Path, noise: Callable[[], np.ndarray], use: str
) -> None:
    soundfile.write(tmp_path / "noise.wav", noise(), RATE)
    voice = VoicePrompt(tmp_path / "noise.wav", use, "words")  # type: ignore[arg-type]
    for ask in (
        lambda: engine.turn(asked(voice=voice), GenerationOptions(seed=1)),
        lambda: engine.read_aloud("Hello there.", voice=voice),
        lambda: engine.prepare(asked(voice=voice), threading.Event(), "session"),
    ):
        with pytest.raises(OmniError) as caught:
            list(ask())
        assert caught.value.code == "voice-no-speech"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda talk: talk[: 3 * RATE], "voice-short"),
        (lambda talk: np.tile(talk, 4), "voice-long"),
        (lambda talk: 0.004 * talk, "voice-quiet"),
        (lambda talk: np.clip(9 * talk, -1, 1), "voice-clipped"),
    ],
)
def test_a_voice_is_held_to_the_same_rules_whoever_gives_it(
    engine: Engine, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], code: str
) -> None:
    path = tmp_path / "voice.wav"
    soundfile.write(path, change(read_waveform(VOICE)), RATE, "FLOAT")
    with pytest.raises(OmniError) as panel:
        check_voice(path)
    assert panel.value.code == code
    voice = VoicePrompt(path)
    for ask in (
        lambda: engine.turn(asked(voice=voice), GenerationOptions(seed=1)),
        lambda: engine.read_aloud("Hello there.", voice=voice),
        lambda: engine.prepare(asked(voice=voice), threading.Event(), "session"),
    ):
        with pytest.raises(OmniError) as caught:
            list(ask())
        assert str(caught.value) == str(panel.value)


def test_what_the_panel_made_of_a_recording_is_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "voice.wav"
    sample = check_voice(VOICE)
    sample.save(path)
    check_again(sample.samples)
    trust(path)
    monkeypatch.setattr(reference_check, "usable_voice", None)
    check_reference(path)


def test_a_voice_is_looked_at_once_and_again_when_it_changed(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def counted(waveform: np.ndarray, stop: threading.Event | None = None) -> bool:
        looked.append(waveform.size)
        return has_speech(waveform, stop)

    monkeypatch.setattr(reference_check, "has_speech", counted)
    voice = VoicePrompt(tmp_path / "voice.wav")
    copyfile(VOICE, voice.path)
    for _ in range(2):
        list(engine.turn(asked(voice=voice), GenerationOptions(seed=1)))
    assert len(looked) == 1
    soundfile.write(voice.path, hiss(), RATE)
    with pytest.raises(OmniError, match="No speech"):
        list(engine.turn(asked(voice=voice), GenerationOptions(seed=1)))


def test_speech_is_found_quiet_late_whispered_and_beside_a_knock() -> None:
    talk = read_waveform(TALK)
    assert has_speech(talk)
    assert has_speech(0.003 * talk)
    late = np.concatenate([0.001 * hiss()] * 4 + [talk]).astype(np.float32)
    late[100] = 1.0
    assert has_speech(late)
    assert has_speech(whispered(talk))
    for example in ("asked_zh.flac", "sentence_zh.flac", "changes_en.flac"):
        assert has_speech(read_waveform(ROOT / "examples" / example))
    assert not has_speech(np.zeros(RATE, np.float32))


def whispered(samples: np.ndarray) -> np.ndarray:
    """Noise in the place of the voice: the loudness over time and frequency stays."""
    width, step = 400, 100
    window = np.hanning(width)
    starts = range(0, samples.size - width, step)
    noise = np.random.default_rng(0).standard_normal(samples.size)
    result = np.zeros(samples.size)
    tilt = np.clip((np.linspace(0, 8000, width // 2 + 1) - 200) / 800, 0.1, 1)
    for start in starts:
        piece = slice(start, start + width)
        loud = np.abs(np.fft.rfft(window * samples[piece]))
        loud = np.convolve(loud, np.ones(15) / 15, "same") * tilt
        result[piece] += window * np.fft.irfft(loud * np.fft.rfft(window * noise[piece]))
    return (result / np.abs(result).max()).astype(np.float32)


def test_damage_is_told_with_the_turn_that_brings_it(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "glitch.mp3"
    path.write_bytes(with_damage(packed_sound("mp3", 6.0), 0.5))
    first = asked(Audio(path))
    end = end_of(engine, first)
    assert end.media_notes == (MediaNote("damaged", "glitch.mp3"),)
    later = first.plus(end.message, Message("user", (Text("and?"),)))
    assert end_of(engine, later).media_notes == ()


def test_a_clip_whose_sound_cannot_be_read_says_so(engine: Engine, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, [0, 0.5, 1.0])  # without sound: nothing of it can be decoded
    end = end_of(engine, asked(Video(clip), Audio(clip)))
    assert end.media_notes == (MediaNote("unheard", "clip.mp4"),)
    assert end.message.parts
    write_sound(tmp_path / "a.wav", tone(1.0))
    assert end_of(engine, asked(Video(clip), Audio(tmp_path / "a.wav"))).media_notes == ()


@pytest.mark.parametrize("kind", ["turn", "transcribe"])
def test_stop_ends_the_decoding_of_a_long_file(
    engine: Engine, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, path = threading.Event(), tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(60 * RATE), RATE)
    read = media_slots.read_sound

    def stopped_meanwhile(*arguments: object) -> object:
        stop.set()
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(media_slots, "read_sound", stopped_meanwhile)
    began = time.monotonic()
    if kind == "turn":
        *_, end = engine.turn(asked(Audio(path)), OPTIONS, stop)
    else:
        *_, end = engine.transcribe(path, stop)
    assert isinstance(end, TurnEnd)
    assert (end.reason, end.message.parts) == ("stopped", ())
    assert time.monotonic() - began < 5
