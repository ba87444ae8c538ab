"""The web UI as a program: flags -> settings -> build -> launch.

Knows: the flags, the order in which things start and end. Does not know: what is on the page.

Usage: python app.py [--model nano] [--port 7860] ...; python app.py --help lists all flags.
"""

from __future__ import annotations

import argparse
import atexit
import logging
import math
import os
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
from omni.fair_queue import LineLimits
from omni.libraries import heap
from omni.loading import ending
from omni.loading.network import prepare_network
from omni.loading.places import prepare_places
from omni.settings import QUANTIZATIONS, positive

if TYPE_CHECKING:
    import gradio as gr

    from demos.base.languages import Words
    from demos.serve import ServeOptions
    from demos.turns.sessions import Sessions

log = logging.getLogger(__name__)
STARTS_AT_ONCE = 5  # programs that may be after the same port
INTERRUPTED, TERMINATED = 130, 0  # exit codes


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description="A web UI that hears, sees, reads and speaks.")
    add = parser.add_argument
    add("--model", default="auto", help="auto, nano, a folder, or a model on the Hugging Face Hub")
    add("--quantization", choices=QUANTIZATIONS, default="auto", help="bits of the weights")
    add("--device", default="auto", help="auto, cpu, mps, cuda (all GPUs), cuda:N")
    add("--engine", metavar="ADDRESS", help="ask an engine elsewhere, as http://gpu1:8000")
    add(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME_OR_FOLDER",
        help="what fine-tuning has learnt; may be repeated, the first one answers",
    )
    add(
        "--max-pixels",
        type=positive,
        metavar="N",
        help="reduce larger pictures to so many pixels; default: the checkpoint's limit, on a CPU "
        "what it reads in less than half a minute",
    )
    add("--keep-quantized", action="store_true", help="keep 8 or 4 bits on the disk when they load")
    add("--host", help="address to serve on (127.0.0.1: this machine alone; 0.0.0.0: the network)")
    add("--port", type=int, help="default: the first free one from 7860 on")
    add("--https", action="store_true", help="serve https with a self-made certificate")
    add("--ssl-certfile", metavar="FILE", help="serve https with this certificate (PEM)")
    add("--ssl-keyfile", metavar="FILE", help="the key of the certificate (PEM)")
    add("--root-path", default="", metavar="PATH", help="where a proxy serves the page, as /omni")
    add("--share", action="store_true", help="also make a public https link through gradio.live")
    add("--auth", action="append", default=[], metavar="USER:PASSWORD", help="ask for a login")
    add("--no-auth", action="store_true", help="no password, though the page is open to others")
    add("--let-visitors-load", action="store_true", help="visitors may change the model, too")
    add("--keep-voices", action="store_true", help="keep saved voices, for all who reach the page")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which a proxy serves this page; may be repeated; *: any",
    )
    add(
        "--wait-per-address",
        type=_count,
        default=LineLimits.address,
        metavar="N",
        help="requests that may wait from one address where others reach the page",
    )
    add("--unload-after", type=positive_minutes, metavar="MINUTES", help="unload an unused model")
    add("--replicas", type=_count, default=1, metavar="N", help="models side by side, a GPU each")
    add(
        "--daily-minutes",
        type=_count,
        metavar="N",
        help="minutes of answering that an address has in 24 hours where others reach the page",
    )
    languages = ("auto", *page_languages())
    add("--lang", choices=languages, default="auto", help="auto: the browser's language")
    add("--verbose", action="store_true", help="log what happens")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    """A flag's value that counts something.

    Raises:
        ValueError: it is no whole number above zero.
    """
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def positive_minutes(text: str) -> float:
    """A flag's value in minutes, also half a one.

    Raises:
        ValueError: it is no number above zero.
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def program() -> int:
    """:func:`main` as the program: its end is an end also in the middle of turns."""
    ending.heed(TERMINATED)
    return ending.run_program(main)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the end.

    Returns 0, 130 when interrupted, or 2 with one sentence when the page cannot be served.
    """
    heap.own_process()
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
    port = whole_number("GRADIO_SERVER_PORT") if flags.port is None else flags.port
    flags.share = flags.share or environment_share()
    prepare_places()
    prepare_network(own=[host] if host else ())

    from demos.base.gradio_internals import check_version, import_gradio, unheard

    import_gradio()
    check_version()
    from demos import serve
    from demos.base.languages import Words
    from demos.build import TABS, build
    from demos.hosting import zero
    from demos.turns.listeners import Listeners
    from demos.turns.room import SHARED_QUOTA
    from demos.turns.sessions import PAGE_LAG_S, Sessions, new_root, script_idle_s
    from demos.voices.library import owner_library
    from omni.media.ffmpeg import find_ffmpeg
    from omni.media.limits import SHARED, set_limits

    words = Words(flags.lang)
    if zero.lent():
        zero.begin()  # before anything looks for a GPU
    serve.check_files(flags.model, () if flags.engine else flags.adapter)
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
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
    sessions.address_of = options.visitors.asks
    engine = engine_of(flags)
    library = owner_library() if options.private or options.keep_voices else None
    tabs = [replace(tab, live=None) for tab in TABS] if zero.lent() else TABS
    note = "shared-note" if options.share else None
    page = build(engine, sessions, words, library, tabs, options.owner, note)
    address = served_at(page, words, options, port)
    Listeners(partial(unheard, page), sessions.leave).watch()
    announce(address, host, options, words, bool(page.share_url))
    if not (zero.lent() or flags.engine):
        meanwhile(engine, flags.unload_after)
    return engine, sessions


def meanwhile(engine: Engine, unload_after: float | None) -> None:
    """What is done where the page is served and nobody asks.

    Args:
        unload_after: minutes.
    """
    from demos.hosting import idle

    idle.in_background(partial(idle.load_ahead, engine, engine.settings), "load-ahead")
    if unload_after is not None:
        unloading = idle.Unloading(engine, unload_after * idle.MINUTE_S)
        idle.in_background(unloading.watch, "unload-idle")


def announce(address: str, host: str, options: ServeOptions, words: Words, linked: bool) -> None:
    """Say where the page is, who reaches it, and what its visitors will miss.

    Args:
        linked: whether there is a public link.
    """
    from demos import serve

    language = words.of(None)
    print(f"Ready: {address}", flush=True)
    if options.share and not linked:
        print(words.say(language, "share-failed"), flush=True)
    if warning := serve.warning(options, words):
        print(warning, flush=True)
    https = options.certificate
    if https is not None and https.made_here:
        print(words.say(language, "own-certificate", fingerprint=https.fingerprint))
    elif not (https or serve.is_loopback(host) or options.share or serve.on_space()):
        print(words.say(language, "no-microphone"))


def engine_of(flags: argparse.Namespace) -> Engine:
    """The engine that the flags ask for; on a ZeroGPU Space with its model.

    Raises:
        OmniError: a variable, or there a model, that cannot be followed.
    """
    from demos.hosting import elsewhere, zero
    from demos.hosting.allowance import Allowance, MeteredEngine, MeteredReplicas
    from omni.replicas.engine import Replicas

    settings = EngineSettings(
        flags.model,
        flags.quantization,
        flags.device,
        keep_quantized=flags.keep_quantized,
        max_pixels=flags.max_pixels,
        adapters=tuple(flags.adapter),
        adapter=next(iter(flags.adapter), ""),
    )
    line = LineLimits(address=flags.wait_per_address)
    minutes = flags.daily_minutes or whole_number("OMNI_DAILY_MINUTES")
    if flags.engine:
        return elsewhere.engine(flags, minutes)
    if zero.lent():
        return zero.engine(settings, line)
    count = flags.replicas
    if minutes and count > 1:
        return MeteredReplicas(Allowance(minutes), settings, count, line)
    if minutes:
        return MeteredEngine(Allowance(minutes), settings, line=line)
    return Replicas(settings, count, line) if count > 1 else Engine(settings, line=line)


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


def whole_number(name: str) -> int | None:
    """The number that a variable of the environment holds; None: it is not set.

    Raises:
        ResourceError: ``variable-number``.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        os.environ.pop(name, None)  # Gradio reads some of them as numbers
        return None
    if not value.isdecimal():
        raise ResourceError(
            "variable-number",
            "The environment variable {name} must be a whole number, not {value}.",
            name=name,
            value=value,
        )
    return int(value)


def environment_share() -> bool:
    """Whether GRADIO_SHARE asks for a public link; Gradio itself looks at it where nobody says."""
    return os.environ.get("GRADIO_SHARE", "").strip().lower() in ("true", "1", "yes")


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
        ending.obey(TERMINATED)


def refuse(sentence: str) -> int:
    """Say why the program does not start."""
    print(sentence, file=sys.stderr)
    return 2
