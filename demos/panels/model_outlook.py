"""What can be loaded here, as a table: download, memory, whether it fits, what would instead.

Knows: how the estimate is put into words. Does not know: how it is made (omni.loading.outlook).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from demos.panels.model_state import called, memory_size
from omni.settings import NANO, PUBLISHED_BASE, PUBLISHED_MODEL, EngineSettings

if TYPE_CHECKING:
    from omni.engine import Engine
    from omni.loading.outlook.fits import Fit, Outlook

Say: TypeAlias = Callable[..., str]
ALWAYS = (NANO, PUBLISHED_MODEL, PUBLISHED_BASE)
BITS = ("none", "8bit", "4bit")


def outlook_html(
    engine: Engine, chosen: EngineSettings, words: Words, language: PageLanguage
) -> tuple[str, str]:
    """A sentence about what is chosen, and the table of all that can be.

    The first time it takes as long as importing torch does.
    """
    from omni.loading.outlook.fits import outlook
    from omni.replicas.engine import Replicas

    if engine.elsewhere or isinstance(engine, Replicas):  # another process's: nobody knows here
        return "", ""
    freed = room_made(engine)
    mine = outlook(chosen, freed)
    names = dict.fromkeys((*ALWAYS, mine.model))
    looks = [
        mine if name == mine.model else outlook(replace(chosen, model=name, adapters=()), freed)
        for name in names
    ]
    say = partial(words.say, language)

    def told(error: Exception) -> str:
        return words.error(language, error)  # type: ignore[arg-type]

    return _verdict(mine, chosen, say, told), _table(looks, mine, say, told)


def room_made(engine: Engine) -> int:
    """Bytes that the loaded model gives back before another one is loaded."""
    report = engine.report
    if report is None:
        return 0
    return min(report.memory_bytes, report.planned_bytes or report.memory_bytes)


def _verdict(
    look: Outlook, chosen: EngineSettings, say: Say, told: Callable[[Exception], str]
) -> str:
    """Whether what is chosen fits, and what would instead."""
    if look.problem is not None:
        return _line("no", told(look.problem))
    name, free = called(look.model), memory_size(look.free)
    if not look.fits:
        return _line("unknown", say("outlook-unknown", name=name))
    wanted = next((fit for fit in look.fits if fit.bits == chosen.quantization), None)
    if wanted is not None and wanted.refused is not None:
        return _line("no", told(wanted.refused))
    fit = wanted if wanted is not None and wanted.fits else look.best
    given = {"name": name, "free": free}
    if fit is not None and fit is (wanted or fit):
        way = say(f"outlook-in-{fit.bits}")
        return _line("yes", say("outlook-fits", way=way, need=memory_size(fit.need), **given))
    needs = [one for one in look.fits if one.need]
    if not needs:
        return _line("no", " ".join(dict.fromkeys(map(told, _refusals(look)))))
    least = wanted or min(needs, key=lambda one: one.need)
    short = say("outlook-short", need=memory_size(least.need), **given)
    if fit is None:
        return _line("no", f"{short} {say('outlook-nano')}")
    way = say(f"outlook-in-{fit.bits}")
    return _line("no", f"{short} {say('outlook-instead', way=way, need=memory_size(fit.need))}")


def _refusals(look: Outlook) -> list[Exception]:
    return [fit.refused for fit in look.fits if fit.refused is not None]


def _line(state: str, sentence: str) -> str:
    return f'<p class="outlook-verdict" data-fits="{state}">{html.escape(sentence)}</p>'


def _table(
    looks: Sequence[Outlook], mine: Outlook, say: Say, told: Callable[[Exception], str]
) -> str:
    heads = "".join(f'<th scope="col">{bits}</th>' for bits in BITS)
    known = [look for look in looks if look.device]
    rows = "".join(_row(look, look is mine, say, told) for look in known)
    caption = html.escape(say("outlook-caption"))
    first = html.escape(say("model"))
    return (
        f'<table class="outlook"><caption>{caption}</caption><thead><tr>'
        f'<th scope="col">{first}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(look: Outlook, chosen: bool, say: Say, told: Callable[[Exception], str]) -> str:
    if look.fetch is None:
        size = say("outlook-size-unknown")
    elif look.fetch:
        size = say("outlook-fetch", size=memory_size(look.fetch))
    else:
        size = say("outlook-here")
    name = f"<b>{html.escape(called(look.model))}</b><small>{html.escape(size)}</small>"
    cells = "".join(_cell(fit, say, told) for fit in look.fits) or "<td>?</td>" * len(BITS)
    mark = ' aria-current="true"' if chosen else ""
    return f'<tr{mark}><th scope="row">{name}</th>{cells}</tr>'


def _cell(fit: Fit, say: Say, told: Callable[[Exception], str]) -> str:
    if fit.refused is not None:
        reason = html.escape(told(fit.refused), quote=True)
        return (
            f'<td data-fits="refused" title="{reason}">{html.escape(say("outlook-refused"))}</td>'
        )
    word = html.escape(say("outlook-yes" if fit.fits else "outlook-no"))
    state = "yes" if fit.fits else "no"
    return f'<td data-fits="{state}">{memory_size(fit.need)}<small>{word}</small></td>'
