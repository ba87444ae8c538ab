"""The numbers of a turn, in words that say what they are good for.

Knows: what is told of a turn. Does not know: how it was measured, where it is shown.
"""

from __future__ import annotations

import html

from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from omni.events import TurnEnd, TurnStats

EVEN = 1.05  # up to so many times faster or slower than real time is real time


def stats_sentence(words: Words, language: PageLanguage, end: TurnEnd) -> str:
    """How soon and how fast a turn was answered, as HTML, the numbers behind it as its tooltip;
    nothing where there are none.
    """
    stats = end.stats
    told = [*_told(words, language, stats)]
    if not told:
        return ""
    behind = []
    if stats.text_tokens_per_s is not None:
        behind.append(words.say(language, "stat-tokens", rate=stats.text_tokens_per_s))
    if stats.real_time_factor is not None:
        behind.append(words.say(language, "stat-rtf", factor=stats.real_time_factor))
    title = html.escape(" · ".join(behind), quote=True)
    pieces = "".join(f'<span class="stat">{html.escape(piece)}</span>' for piece in told)
    return f'<span title="{title}">{pieces}</span>' if title else pieces


def _told(words: Words, language: PageLanguage, stats: TurnStats) -> list[str]:
    pieces = []
    if stats.first_sound_s is not None:
        pieces.append(words.say(language, "stat-first-sound", seconds=stats.first_sound_s))
    factor = stats.real_time_factor
    if factor:
        pace = "faster" if factor < 1 / EVEN else "slower" if factor > EVEN else "even"
        times = 1 / factor if factor < 1 else factor
        pieces.append(words.say(language, f"stat-{pace}", times=times))
    if not pieces and stats.text_tokens:
        pieces.append(words.say(language, "stat-answered", seconds=stats.total_s))
    return pieces
