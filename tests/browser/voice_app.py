"""The app with an engine that answers what it was told in the system prompt.

Usage: python -m tests.browser.voice_app PORT FOLDER
FOLDER/voices is the owner's library.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from demos import serve
from demos.base.languages import Words
from demos.build import build
from demos.turns.sessions import Sessions, new_root
from demos.voices.library import VoiceLibrary
from omni.conversation import Message, Text
from omni.events import EngineEvent, TextDelta, TurnEnd, TurnStats
from omni.requests import Request, TurnRequest
from tests.support.fake_engine import FakeEngine


class TellingEngine(FakeEngine):
    """Answers with the system prompt."""

    def run(self, request: Request) -> Iterator[EngineEvent]:
        assert isinstance(request, TurnRequest)
        system = request.conversation.system
        said = f"text({system.text})"
        if system.voice:
            voice = system.voice
            said += f" voice({voice.path.name}, {voice.use}, {voice.transcript})"
        yield TextDelta(said)
        yield TurnEnd(Message("assistant", (Text(said),)), "end", TurnStats(text_tokens=1))


def main(port: int, folder: Path) -> None:
    logging.basicConfig(level=logging.INFO)
    sessions = Sessions(new_root(), grace_s=1.0)
    atexit.register(sessions.close)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
    words = Words()
    engine = TellingEngine()
    engine.trained = True
    list(engine.load())
    page = build(engine, sessions, words, VoiceLibrary(folder / "voices"))  # type: ignore[arg-type]
    serve.serve(page, words, serve.ServeOptions(port=port))
    print(f"Ready: http://127.0.0.1:{port}/ {sessions.root}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
