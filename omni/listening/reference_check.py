"""A recording whose voice is to be taken: checked, trimmed and levelled before it is used.

Knows: what makes a recording usable.
Does not know: how a model uses it, where it is kept. Importing this module does not import torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from omni.errors import MediaError, VoiceError
from omni.listening.reference_doubts import Doubt, doubts
from omni.listening.settings import FRAME, FRAME_S, RATE  # RATE is also what the model hears
from omni.listening.speech_found import has_speech
from omni.media.files import readable_file
from omni.media.limits import DecodingStopped
from omni.media.wav import write_wav

MIN_SECONDS = 3.0  # after trimming: shorter ones hold too little of a voice
MAX_SECONDS = 30.0  # one piece of the audio encoder
MIN_SPEECH_S = 2.0
KNOWN = 256  # references that are not looked at again with every turn
PLACES = 8  # checks at once in this process, one of them under way
LONGEST_LOOKED_AT_S = 300.0  # more is not even decoded
SPEECH_PROBABILITY = 0.5
BURST_FRAMES = 3  # speech for at least so long (0.1 s) counts, less is a noise
MARGIN_S = 0.2  # kept around the speech: soft consonants
FADE_S = 0.01
# Levels in dB of full scale; of speech: root mean square over the frames that are speech.
QUIET_DB = -42.0  # lifting less would lift the noise of the microphone
SPEECH_DB = -20.0
PEAK = 0.95
# A clipped wave spends much time near its highest value, natural speech next to none.
CLIPPED_NEAR = 0.9  # of the highest value
CLIPPED_SHARE = 0.008  # of the samples of speech; unclipped: 0.003, by 6 dB: 0.009 and more

# A check takes a core for seconds and holds the recording several times over: visitors wait for
# one another, but just so many that the threads of the page are left to others.
_one_at_a_time = threading.Lock()
_places = threading.BoundedSemaphore(PLACES)

# float32 (frames * FRAME,) at RATE to the probability of speech in each frame, (frames,)
SpeechDetector: TypeAlias = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Slack:
    """How far from the bounds a recording may be."""

    seconds: float = 0.0  # shorter or longer, and with so much less speech
    db: float = 0.0  # quieter
    clipped: float = 1.0  # times as many samples near the highest


NONE, AGAIN = Slack(), Slack(seconds=0.5, db=3.0, clipped=1.5)


@dataclass(frozen=True, eq=False)
class VoiceSample:
    """A usable recording of a voice, trimmed and levelled."""

    samples: np.ndarray  # float32 (samples,) at RATE
    speech_s: float  # seconds in which somebody speaks
    doubts: tuple[Doubt, ...] = ()  # what may be wrong with it all the same

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples.size / RATE

    def save(self, path: Path) -> None:
        """Write it as wav, 16 bits.

        Raises:
            OSError: it cannot be written.
        """
        write_wav(path, self.samples, RATE)


@dataclass(frozen=True)
class _Known:
    """A file as it was when its voice was found to be usable."""

    path: Path
    changed: int  # nanoseconds
    size: int

    @classmethod
    def of(cls, path: Path) -> _Known:
        """What the file at ``path`` is now.

        Raises:
            MediaError: it is missing or empty.
        """
        file = readable_file(path)
        state = file.stat()
        return cls(file, state.st_mtime_ns, state.st_size)


_usable: dict[_Known, tuple[Doubt, ...]] = {}  # and what may be wrong with each


def check_voice(path: Path, detector: SpeechDetector | None = None) -> VoiceSample:
    """Read a recording and make it a reference.

    Args:
        detector: tells which frames are speech; None: silero-vad.

    Raises:
        MediaError: the file cannot be read as sound, or is silent.
        VoiceError: ``voice-no-speech``, ``voice-little-speech``, ``voice-short``,
            ``voice-long``, ``voice-much-longer``, ``voice-quiet``, ``voice-clipped``,
            ``voice-busy``.
    """
    with _turn_in_line():
        return _sample(_waveform(path), detector)


def check_reference(path: Path, stop: threading.Event | None = None) -> tuple[Doubt, ...]:
    """Refuse a recording that :func:`check_voice` refuses, whoever gives it to a model; what may
    be wrong with one that is not refused.

    One file is looked at once, and one that was made from a usable recording not at all
    (:func:`trust`).

    Args:
        stop: ends the look.

    Raises:
        MediaError, VoiceError: as of :func:`check_voice`, but for ``voice-busy``.
        DecodingStopped: ``stop`` was set.
    """
    known = _Known.of(path)
    if known not in _usable:
        _keep(known, _sample(_waveform(path, stop), None, stop).doubts)
    return _usable.get(known, ())


def check_again(samples: np.ndarray, detector: SpeechDetector | None = None) -> None:
    """Refuse a reference from elsewhere, cut and levelled there, that never was usable.

    What was just usable when it was cut still is: its ends may be found a little later now.

    Args:
        samples: float32 (samples,) at RATE.
        detector: as of :func:`check_voice`.

    Raises:
        VoiceError: as of :func:`check_voice`.
    """
    with _turn_in_line():
        _sample(samples, detector, slack=AGAIN)


def trust(path: Path) -> None:
    """A file is a reference that was checked: it need not be looked at (again)."""
    _keep(_Known.of(path), ())


def _keep(known: _Known, found: tuple[Doubt, ...]) -> None:
    if len(_usable) >= KNOWN:
        _usable.clear()
    _usable[known] = found


def _waveform(path: Path, stop: threading.Event | None = None) -> np.ndarray:
    """What is heard in a recording; no more of it is decoded than can be looked at."""
    from omni.media.audio import check_audible, read_sound

    try:
        waveform = read_sound(path, RATE, stop, most_s=LONGEST_LOOKED_AT_S).samples
    except MediaError as error:
        if error.code != "audio-too-long":
            raise
        raise VoiceError(
            "voice-much-longer",
            "This recording is longer than {minutes} minutes, and at most {most} s can be "
            "used: cut out a part with clear speech.",
            minutes=round(LONGEST_LOOKED_AT_S / 60),
            most=round(MAX_SECONDS),
        ) from error
    check_audible(waveform, path.name)
    return waveform


def _sample(
    waveform: np.ndarray,
    detector: SpeechDetector | None,
    stop: threading.Event | None = None,
    slack: Slack = NONE,
) -> VoiceSample:
    """:func:`usable_voice`; where no detector is given, by what tells speech from music, too."""
    if detector is None:
        if not has_speech(waveform, stop):
            raise _no_speech()
        detector = partial(speech_probabilities, stop=stop)
    return usable_voice(waveform, detector, slack)


@contextmanager
def _turn_in_line() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise VoiceError(
            "voice-busy", "Many recordings are being checked just now: try again in a minute."
        )
    try:
        with _one_at_a_time:
            yield
    finally:
        _places.release()


def usable_voice(
    waveform: np.ndarray, detector: SpeechDetector, slack: Slack = NONE
) -> VoiceSample:
    """See :func:`check_voice`; ``waveform``: float32 (samples,) at RATE."""
    waveform = waveform - waveform.mean()
    speech = _speech_frames(waveform, detector)
    if not speech.any():
        raise _no_speech()
    first, last = np.flatnonzero(speech)[[0, -1]]
    margin = round(MARGIN_S * RATE)
    start = max(0, int(first) * FRAME - margin)
    end = min(waveform.size, (int(last) + 1) * FRAME + margin)
    _check_length((end - start) / RATE, float(speech.sum()) * FRAME_S, slack)
    talking = waveform[np.repeat(speech, FRAME)[: waveform.size]]
    level = _check_level(talking, slack)
    trimmed = waveform[start:end]
    gain = min(10 ** (SPEECH_DB / 20) / level, PEAK / float(np.abs(trimmed).max()))
    samples = _faded(trimmed * np.float32(gain))
    return VoiceSample(samples, float(speech.sum()) * FRAME_S, doubts(trimmed, talking))


def speech_probabilities(frames: np.ndarray, stop: threading.Event | None = None) -> np.ndarray:
    """The probability of speech, (frames,), for float32 (frames * FRAME,); by silero-vad.

    Raises:
        DecodingStopped: ``stop`` was set.
    """
    from omni.listening.voice_activity import SileroVoiceActivity

    activity = SileroVoiceActivity()
    found = []
    for frame in frames.reshape(-1, FRAME):
        if stop is not None and stop.is_set():
            raise DecodingStopped
        found.append(activity(frame))
    return np.array(found)


def _speech_frames(waveform: np.ndarray, detector: SpeechDetector) -> np.ndarray:
    """Which frames are speech, bool (frames,). The detector gets all recordings equally loud."""
    padded = np.pad(waveform, (0, -waveform.size % FRAME))
    probabilities = detector((0.5 * padded / np.abs(padded).max()).astype(np.float32))
    likely = np.concatenate([[0], (probabilities >= SPEECH_PROBABILITY).astype(int), [0]])
    begins, ends = np.flatnonzero(np.diff(likely) == 1), np.flatnonzero(np.diff(likely) == -1)
    speech = np.zeros(probabilities.size, bool)
    for begin, end in zip(begins, ends, strict=True):
        speech[begin:end] = end - begin >= BURST_FRAMES
    return speech


def _check_length(seconds: float, speech_s: float, slack: Slack) -> None:
    if seconds > MAX_SECONDS + slack.seconds:
        raise _too_long(seconds)
    if seconds < MIN_SECONDS - slack.seconds:
        raise VoiceError(
            "voice-short",
            "Without the silence around it this recording has {seconds} s of speech, and a voice "
            "needs {least} s: record a longer one.",
            seconds=round(seconds, 1),
            least=round(MIN_SECONDS),
        )
    if speech_s < MIN_SPEECH_S - slack.seconds:
        raise VoiceError(
            "voice-little-speech",
            "There is just {seconds} s of speech in this recording: record one with fewer pauses.",
            seconds=round(speech_s, 1),
        )


def _check_level(talking: np.ndarray, slack: Slack) -> float:
    """The root mean square of the speech, float32 (samples,)."""
    level = float(np.sqrt(np.mean(talking**2)))
    if 20 * np.log10(level) < QUIET_DB - slack.db:
        raise VoiceError(
            "voice-quiet",
            "This recording is too quiet: go closer to the microphone or turn it up, then record "
            "again.",
        )
    # The extreme itself may be an overshoot of resampling or of a codec: a few samples more.
    height = np.quantile(np.abs(talking), 0.999)
    if np.mean(np.abs(talking) > CLIPPED_NEAR * height) > slack.clipped * CLIPPED_SHARE:
        raise VoiceError(
            "voice-clipped",
            "This recording is distorted: it was too loud for the microphone. Turn it down or "
            "go further away, then record again.",
        )
    return level


def _no_speech() -> VoiceError:
    return VoiceError(
        "voice-no-speech",
        "No speech was found in this recording: record one person talking, without music.",
    )


def _too_long(seconds: float) -> VoiceError:
    return VoiceError(
        "voice-long",
        "This recording has {seconds} s, and at most {most} s can be used: cut out a part with "
        "clear speech.",
        seconds=round(seconds),
        most=round(MAX_SECONDS),
    )


def _faded(samples: np.ndarray) -> np.ndarray:
    """Without a click at its ends."""
    count = round(FADE_S * RATE)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    samples = samples.copy()
    samples[:count] *= ramp
    samples[-count:] *= ramp[::-1]
    return samples
