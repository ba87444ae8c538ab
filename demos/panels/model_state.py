"""How it stands with the one model, in words and in few: what is loaded, what it cannot do.

Knows: the engine's report, settings and progress. Does not know: components, how loading works.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from demos.base.languages import Words
from demos.base.owner import Owner, without_folder
from demos.base.word_files import PageLanguage
from omni.events import Progress
from omni.loading import nano
from omni.settings import NANO, PUBLISHED_BASE, PUBLISHED_MODEL

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from omni.engine import Engine, LoadReport

NEWS_PATH = "/model-news"
# What people call them.
NAMES = {PUBLISHED_MODEL: "Baichuan-Omni-1.5", PUBLISHED_BASE: "Baichuan-Omni-1.5-Base"}


def version(engine: Engine) -> str:
    """Another one when something new is to be told of the model; progress of a load is not."""
    told = (engine.settings, engine.report, engine.loading is not None, engine.state)
    return f"{zlib.crc32(repr(told).encode()):08x}"


def news_route(engine: Engine) -> BaseRoute:
    """Tells the :func:`version` to whoever asks: pages ask often, and nothing else is looked at."""
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(version(engine), headers={"cache-control": "no-store"})

    return Route(NEWS_PATH, answer)


def called(model: str) -> str:
    """A checkpoint as people call it; of a folder its last part."""
    return NAMES.get(model, without_folder(model))


def chip_sentence(
    words: Words, language: PageLanguage, engine: Engine, progress: Progress | None = None
) -> str:
    """The state in three words; ``progress``: of a load that this page has asked for."""
    progress = engine.loading or progress
    if progress is not None:
        if not progress.total or progress.stage == "wait":
            return words.say(language, "chip-model-begins")
        percent = round(100 * min(progress.done / progress.total, 1))
        return words.say(language, "chip-model-loading", percent=percent)
    report = engine.report
    if report is not None:
        return words.say(language, "chip-model-ready", name=called(report.checkpoint))
    return words.say(language, "chip-model-broken" if failed(engine) else "chip-model-none")


def failed(engine: Engine) -> bool:
    """Whether the last load failed, so that nobody is answered."""
    return engine.state == "broken"


def state_name(engine: Engine, loads: bool = False) -> str:
    """For the browser: loading, ready, broken or idle."""
    return "loading" if loads or engine.loading is not None else engine.state


def sentence(
    words: Words, language: PageLanguage, engine: Engine, owner: Owner, request: Any
) -> str:
    """What is loaded, or what will be."""
    say, report = words.say, engine.report
    if report is None:
        model = owner.shown(engine.settings.model, request)
        name = say(language, "model-auto") if model == "auto" else model
        return say(language, "model-none", model=name)
    said = say(
        language,
        "model-loaded",
        checkpoint=owner.shown(report.checkpoint, request),
        parameters=parameter_count(report.parameters),
        dtype=_dtype(report),
        device=report.device,
        memory=memory_size(report.memory_bytes),
        seconds=report.load_s,
    )
    if not (adapter := engine.settings.adapter):
        return said
    return say(language, "model-adapter", model=said, adapter=owner.shown(adapter, request))


def _dtype(report: LoadReport) -> str:
    dtype = report.dtype.removeprefix("torch.")
    return dtype if report.quantization == "none" else f"{dtype}, {report.quantization}"


def notice(words: Words, language: PageLanguage, engine: Engine) -> str:
    """What a person should know before they believe an answer or wait for one; else nothing."""
    if key := untrained_key(engine) or small_key(engine):
        return words.say(language, key)
    report = engine.report
    if report is None or not speaks_slowly(engine):
        return ""
    megapixels = report.max_pixels / 1e6
    return words.say(language, "slow", times=report.speech_s, megapixels=megapixels)


def untrained_key(engine: Engine) -> str | None:
    """The key of the sentence about random answers, from the model that is loaded or will be."""
    if engine.report is not None:
        return None if engine.report.trained else "untrained"
    if (nano.NANO_FOLDER / nano.WEIGHTS_FILE).is_file():
        return None
    return {NANO: "untrained", "auto": "untrained-without-gpu"}.get(engine.settings.model)


def small_key(engine: Engine) -> str | None:
    """The key of the sentence about what the embedded model can do, where that one answers."""
    name = engine.report.checkpoint if engine.report else engine.settings.model
    return {NANO: "small", "auto": "small-without-gpu"}.get(name)


def speaks_slowly(engine: Engine) -> bool:
    """Whether the loaded model was measured to speak slower than it is heard."""
    return engine.report is not None and engine.report.speech_s > 1.0


def parameter_count(number: int) -> str:
    """8,300,000,000 as 8.3 B, 14,200,000 as 14.2 M."""
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"


def memory_size(number: int) -> str:
    """Bytes as GB or MB."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
