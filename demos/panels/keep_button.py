"""The button that keeps quantized weights on the disk.

Knows: the size before, the progress, who may. Does not know: how weights are kept, the rest of the
model card.
"""

from __future__ import annotations

import html
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from demos.base.browser_values import Changes, Values
from demos.base.languages import Words
from demos.base.owner import Owner
from demos.base.word_files import PageLanguage
from demos.panels.model_state import memory_size
from demos.turns.turn import progress_sentence
from omni.errors import OmniError
from omni.events import Progress

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class KeepButton:
    """The button, and what it does."""

    engine: Engine
    words: Words
    owner: Owner  # who may
    button: gr.Button
    stop: threading.Event = field(default_factory=threading.Event)  # ends what is under way

    def view(self, language: PageLanguage) -> Any:
        """With the size on the disk; hidden where there is nothing to keep."""
        report = self.engine.report
        fixed = self.engine.elsewhere or not self.owner.somebody
        if report is None or report.kept or not report.keep_bytes or fixed:
            return gr.update(visible=False)
        size = memory_size(report.keep_bytes)
        label = self.words.say(language, "model-keep", bits=report.quantization, size=size)
        return gr.update(value=label, visible=True, interactive=True)

    def handler(
        self,
        under_way: Callable[[gr.Request, Progress], Changes],
        over: Callable[[gr.Request], Changes],
    ) -> Callable[[gr.Request, Values], Iterator[Changes]]:
        """What a click does.

        Args:
            under_way: the model card while it is done.
            over: the model card as it is afterwards.
        """

        def keep(request: gr.Request, values: Values) -> Iterator[Changes]:
            language = self.words.of(request)
            if not self.owner.asks(request):
                gr.Warning(self.words.say(language, "model-fixed"))
                yield over(request)
                return
            try:
                self.stop.clear()
                with closing(self.engine.keep()) as steps:
                    for progress in steps:
                        if self.stop.is_set():
                            break
                        yield under_way(request, progress)
                self._tell(language)
            except OmniError as error:
                gr.Warning(self.words.error(language, error))
            except Exception:
                log.exception("keeping failed")
                gr.Warning(self.words.say(language, "unexpected"))
            yield over(request)

        return keep

    def _tell(self, language: PageLanguage) -> None:
        report = self.engine.report
        if report is not None and report.kept:
            size = memory_size(report.keep_bytes)
            gr.Info(self.words.say(language, "model-kept", size=size))


def progress_html(words: Words, language: PageLanguage, progress: Progress) -> str:
    """What long work is under way, with a bar."""
    sentence = html.escape(progress_sentence(words, language, progress))
    if not progress.total or progress.stage == "wait":
        return sentence
    share = min(progress.done / progress.total, 1)
    return f'{sentence} <progress max="1" value="{share:.3f}" aria-label="{sentence}"></progress>'
