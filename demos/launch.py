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
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from demos.base.word_files import page_languages, read_words
from omni.engine import Engine, EngineSettings
from omni.errors import OmniError, ResourceError
from omni.loading import ending
from omni.loading.network import prepare_network
from omni.loading.places import prepare_places
from omni.settings import QUANTIZATIONS

if TYPE_CHECKING:
    import gradio as gr

    from demos.base.languages import Words
    from demos.serve import ServeOptions
    from demos.turns.sessions import Sessions

log = logging.getLogger(__name__)
STARTS_AT_ONCE = 5  # programs that may be after the same port
INTERRUPTED = 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description="A web UI that hears, sees, reads and speaks.")
    add = parser.add_argument
    add("--model", default="auto", help="auto, nano, a folder, or a model on the Hugging Face Hub")
    add("--quantization", choices=QUANTIZATIONS, default="auto", help="bits of the weights")
    add("--device", default="auto", help="auto, cpu, mps, cuda (all GPUs), cuda:N")
    add(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME_OR_FOLDER",
        help="what fine-tuning has learnt; may be repeated, the first one answers",
    )
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


def program() -> int:
    """:func:`main` as the program: its end is an end also in the middle of turns."""
    return ending.run_program(main)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the end.

    Returns 0, 130 when interrupted, or 2 with one sentence when the page cannot be served.
    """
    flags = parse(arguments)
    level = logging.INFO if flags.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1" if name.startswith("HF") else "False")
    served = None
    try:
        served = start(flags)
        wait()
    except OmniError as error:
        return refuse(sentence(flags.lang, error))
    except KeyboardInterrupt:
        print("Bye.")
        return INTERRUPTED
    except Exception as error:  # whatever it is, a person reads a sentence
        log.info("the page could not be started", exc_info=True)
        return refuse(sentence(flags.lang, not_started(error)))
    finally:
        if served is not None:
            end(*served)
    return 0


def start(flags: argparse.Namespace) -> tuple[Engine, Sessions]:
    """Serve the page and say where; what is to be ended at the end.

    Raises:
        OmniError: a flag, or a variable of the environment, that cannot be followed.
    """
    named = os.environ.pop("GRADIO_SERVER_NAME", "")  # Gradio itself tries it as IPv4 alone
    host = flags.host or named
    host = host.strip().removeprefix("[").removesuffix("]")
    port = environment_port()
    port = port if flags.port is None else flags.port
    prepare_places()
    prepare_network(own=[host] if host else ())

    from demos.base.gradio_internals import check_version, import_gradio, unheard

    import_gradio()
    check_version()
    from demos import serve
    from demos.base.languages import Words
    from demos.build import build
    from demos.turns.listeners import Listeners
    from demos.turns.room import SHARED_QUOTA
    from demos.turns.sessions import PAGE_LAG_S, Sessions, new_root, script_idle_s
    from demos.voices.library import owner_library
    from omni.media.ffmpeg import find_ffmpeg
    from omni.media.limits import SHARED, set_limits

    words = Words(flags.lang)
    serve.check_files(flags.model, flags.adapter)
    find_ffmpeg()
    host = host or (serve.EVERYWHERE if serve.on_space() else serve.LOOPBACK)
    shown = f"[{host}]" if ":" in host else host  # as addresses of pages spell it
    options = serve.options_of(flags, shown, serve.free_port(host, port))

    idle_s = script_idle_s(options.private)
    sessions = Sessions(new_root(upload_folder()), lag_s=PAGE_LAG_S, script_idle_s=idle_s)
    if not options.private:  # nobody's file may keep the machine from the others
        set_limits(SHARED)
        sessions.quota = SHARED_QUOTA
    atexit.register(sessions.close)
    signal.signal(signal.SIGTERM, terminated)
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
    engine = Engine(settings(flags))
    library = owner_library() if options.private else None
    page = build(engine, sessions, words, library, owner=options.owner)
    address = served_at(page, words, options, port)
    Listeners(partial(unheard, page), sessions.leave).watch()
    print(f"Ready: {address}", flush=True)
    if warning := serve.warning(options, words):
        print(warning, flush=True)
    if not (serve.is_loopback(host) or options.share or serve.on_space()):
        print(words.say(words.of(None), "no-microphone"))
    return engine, sessions


def settings(flags: argparse.Namespace) -> EngineSettings:
    """What to load; of several adapters the first one answers."""
    return EngineSettings(
        flags.model,
        flags.quantization,
        flags.device,
        adapters=tuple(flags.adapter),
        adapter=next(iter(flags.adapter), ""),
    )


def served_at(page: gr.Blocks, words: Words, options: ServeOptions, port: int | None) -> str:
    """Serve the page at the first address that is free, and return it.

    Args:
        port: the only one that will do; None: any.
    """
    from demos import serve

    for left in reversed(range(STARTS_AT_ONCE)):
        try:
            return serve.serve(page, words, options)
        except OSError:  # Gradio's word for a port that another program took meanwhile
            # Says so where only this port will do.
            taken = serve.free_port(options.host.strip("[]"), port)
            if taken == options.port or not left:
                raise
            options = replace(options, port=taken)
    raise AssertionError("the last try returns or raises")


def environment_port() -> int | None:
    """The port that GRADIO_SERVER_PORT asks for.

    Raises:
        ResourceError: ``variable-number``.
    """
    value = os.environ.get("GRADIO_SERVER_PORT", "").strip()
    if not value:
        os.environ.pop("GRADIO_SERVER_PORT", None)  # Gradio reads it as a number
        return None
    if not value.isdecimal():
        raise ResourceError(
            "variable-number",
            "The environment variable {name} must be a whole number, not {value}.",
            name="GRADIO_SERVER_PORT",
            value=value,
        )
    return int(value)


def upload_folder() -> Path | None:
    """Where GRADIO_TEMP_DIR wants uploads and answers; None: with the other temporary files.

    Raises:
        ResourceError: ``variable-folder``.
    """
    value = os.environ.get("GRADIO_TEMP_DIR")
    if not value:
        return None
    folder = Path(value).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ResourceError(
            "variable-folder",
            "The environment variable {name} names {path}, which cannot be written ({reason}): "
            "correct it or unset it.",
            name="GRADIO_TEMP_DIR",
            path=folder,
            reason=error.strerror,
        ) from error
    return folder


def not_started(error: Exception) -> OmniError:
    """What nobody has foreseen, as a sentence."""
    return ResourceError(
        "start-failed",
        "The page could not be started ({kind}: {reason}): --verbose shows where.",
        kind=type(error).__name__,
        reason=" ".join(str(error).split()),
    )


def sentence(language: str, error: OmniError) -> str:
    """An error as the page's words say it; Gradio need not be there for that."""
    said = read_words()[language].errors.get(error.code) if language != "auto" else None
    return said.format(**error.params) if said else str(error)


def terminated(*_: object) -> None:
    """End the program, once: what follows while it tidies up is not heard."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def end(engine: Engine, sessions: Sessions) -> None:
    """Whatever is under way stops; no new turn begins."""
    if threading.current_thread() is threading.main_thread():
        ending.undisturbed()
    engine.close()
    sessions.stop()


def wait() -> None:
    """Until the program is interrupted or told to end."""
    never = threading.Event()
    while not never.wait(ending.SIGNAL_S):
        pass


def refuse(sentence: str) -> int:
    """Say why the program does not start."""
    print(sentence, file=sys.stderr)
    return 2
