"""The app with the fake engine, for the browser tests that need exact answers.

Usage: python -m tests.browser.fake_app PORT [LANGUAGE [FOLDER OF WORDS [shared]]]
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from demos import serve
from demos.base.languages import AUTO, Words
from demos.base.owner import Owner
from demos.build import build
from demos.turns.sessions import Sessions, new_root
from tests.support.fake_engine import FakeEngine

GRACE_S = 1.0


def main(port: int, language: str = AUTO, folder: str = "", shared: str = "") -> None:
    logging.basicConfig(level=logging.INFO)
    sessions = Sessions(new_root(), grace_s=GRACE_S, lag_s=GRACE_S)
    atexit.register(sessions.close)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
    words = Words(language, Path(folder) if folder else None)
    engine = FakeEngine(load_s=0.9)  # its progress can be seen
    page = build(engine, sessions, words, owner=Owner(private=not shared))  # type: ignore[arg-type]
    serve.serve(page, words, serve.ServeOptions(port=port))
    print(f"Ready: http://127.0.0.1:{port}/ {sessions.root}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
