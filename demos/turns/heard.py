"""What the model heard of a question: written down behind everything that anybody waits for.

Knows: which sound is worth it, when it is given up. Does not know: Gradio, where it is shown.

The engine serves one request at a time, so a question is written down once its answer is made. The
request stands behind everybody in the line and ends as soon as anybody comes (omni.fair_queue): it
delays no answer, no next question and nobody else. Live uses :func:`begin` as the tabs do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from demos.turns.chat import Entry
from omni.conversation import Audio, Part
from omni.errors import OmniError
from omni.events import TextDelta, TurnEnd
from omni.media.limits import DecodingStopped
from omni.requests import TranscribeRequest

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

LONGEST_S = 30.0  # a longer sound is no question, but a recording that a question is about
WAIT_S = 60.0  # so long after its question nobody reads it any more
AGAIN_S = 0.1  # between two looks whether the model is free
TRIES = 20  # how often it may have to give way


def can_hear(engine: Engine) -> bool:
    """Whether the model that is loaded can write down what it hears: it has learnt something."""
    report = engine.report
    return report is not None and report.trained


def sound_of(entry: Entry) -> Path | None:
    """The sound in which a question was asked; None: there is none, or it is known what it says.

    Of several sounds the last: before it stands the sound of a clip that the question is about.
    """
    if entry.message.role != "user" or entry.failed or entry.task != "chat" or entry.heard:
        return None
    return asked_by(entry.message.parts)


def asked_by(parts: Sequence[Part]) -> Path | None:
    """The last sound among a question's parts."""
    sounds = [part.path for part in parts if isinstance(part, Audio)]
    return sounds[-1] if sounds else None


def sentence(words: Words, language: PageLanguage, text: str) -> str:
    """What stands below the question."""
    return words.say(language, "heard", text=text)


def begin(
    engine: Engine, sound: Path, gone: Callable[[], bool], adapter: str | None = None
) -> Future[str]:
    """Have ``sound`` written down, in a thread of its own; never raises, and the result is "" where
    nothing comes of it: nobody speaks in it, it is too long, the model was not free in time, or
    ``gone``.

    Args:
        gone: whether nobody wants it any more: the next question was asked, its page or its file
            is gone. Called from the thread, now and then.
        adapter: which of the loaded ones has answered; None: the one that is chosen.
    """
    result: Future[str] = Future()

    def work() -> None:
        try:
            result.set_result(_written_down(engine, sound, gone, adapter))
        except (OmniError, DecodingStopped) as error:  # nobody speaks in it, or it is gone
            log.info("%s was not written down: %s", sound.name, error)
            result.set_result("")
        except Exception:
            log.exception("%s could not be written down", sound.name)
            result.set_result("")

    threading.Thread(target=work, name="omni-heard", daemon=True).start()
    return result


def _written_down(
    engine: Engine, sound: Path, gone: Callable[[], bool], adapter: str | None
) -> str:
    deadline = time.monotonic() + WAIT_S
    fits = False
    for _ in range(TRIES):
        while engine.busy and not gone() and time.monotonic() < deadline:
            time.sleep(AGAIN_S)
        if gone() or engine.busy or not can_hear(engine):
            return ""
        stop = threading.Event()
        fits = fits or _is_short(sound, stop)
        if not fits:
            return ""
        said = ""
        request = TranscribeRequest(sound, stop=stop, adapter=adapter, behind=True)
        for event in engine.run(request):
            if isinstance(event, TextDelta):
                said += event.text
            elif isinstance(event, TurnEnd) and event.reason != "stopped":
                return " ".join(said.split())
            if gone():
                stop.set()
        if not stop.is_set():  # the model is not there, or not lent for this
            return ""
        time.sleep(AGAIN_S)  # it gave way
    return ""


def _is_short(sound: Path, stop: threading.Event) -> bool:
    """Whether it lasts at most LONGEST_S.

    Raises:
        MediaError: it cannot be read, or is longer.
    """
    from omni.media.audio import read_sound

    read_sound(sound, stop=stop, most_s=LONGEST_S)
    return True
