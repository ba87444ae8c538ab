"""The web UI as a program: flags -> settings -> build -> launch.

Knows: the flags, the order in which things start and end. Does not know: what is on the page.

Usage: python app.py [--model nano] [--port 7860] ...; python app.py --help lists all flags.
"""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from demos.base.word_files import page_languages
from omni.engine import Engine, EngineSettings
from omni.errors import OmniError
from omni.settings import QUANTIZATIONS


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description="A web UI that hears, sees, reads and speaks.")
    add = parser.add_argument
    add("--model", default="auto", help="auto, nano, a folder, or a model on the Hugging Face Hub")
    add("--quantization", choices=QUANTIZATIONS, default="auto", help="bits of the weights")
    add("--device", default="auto", help="auto, cpu, mps, cuda (all GPUs), cuda:N")
    add("--host", help="address to serve on (127.0.0.1: this machine alone; 0.0.0.0: the network)")
    add("--port", type=int, help="default: the first free one from 7860 on")
    add("--share", action="store_true", help="also make a public https link through gradio.live")
    add("--auth", action="append", default=[], metavar="USER:PASSWORD", help="ask for a login")
    add("--no-auth", action="store_true", help="no password, though the page is open to others")
    add("--let-visitors-load", action="store_true", help="visitors may change the model, too")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which a proxy serves this page; may be repeated; *: any",
    )
    languages = ("auto", *page_languages())
    add("--lang", choices=languages, default="auto", help="auto: the browser's language")
    add("--verbose", action="store_true", help="log what happens")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; 0, or 2 with one sentence when a flag cannot be followed."""
    flags = parse(arguments)
    level = logging.INFO if flags.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1" if name.startswith("HF") else "False")

    from demos.base.gradio_internals import check_version, import_gradio

    import_gradio()
    check_version()
    from demos import serve
    from demos.base.languages import Words
    from demos.build import build
    from demos.turns.sessions import PAGE_LAG_S, Sessions, new_root
    from demos.voices.library import owner_library
    from omni.media.ffmpeg import find_ffmpeg

    words = Words(flags.lang)
    try:
        serve.check_model(flags.model)
        find_ffmpeg()
        host = flags.host or (serve.EVERYWHERE if serve.on_space() else serve.LOOPBACK)
        port = serve.free_port(host, flags.port)
        options = serve.options_of(flags, host, port)
    except OmniError as error:
        return refuse(words.error(words.of(None), error))

    sessions = Sessions(new_root(), lag_s=PAGE_LAG_S)
    atexit.register(sessions.close)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
    engine = Engine(EngineSettings(flags.model, flags.quantization, flags.device))
    library = owner_library() if options.private else None
    page = build(engine, sessions, words, library, owner=options.owner)
    address = serve.serve(page, words, options)
    print(f"Ready: {address}", flush=True)
    if warning := serve.warning(options, words):
        print(warning, flush=True)
    if not (serve.is_loopback(host) or options.share or serve.on_space()):
        print(words.say(words.of(None), "no-microphone"))
    try:
        wait()
    except KeyboardInterrupt:
        print("Bye.")
    return 0


def wait() -> None:
    """Until the program is interrupted or told to end."""
    threading.Event().wait()


def refuse(sentence: str) -> int:
    """Say why the program does not start."""
    print(sentence, file=sys.stderr)
    return 2
