"""Task chips: what people often want, one click each.

Knows: which tasks a tab offers, and what each needs. Does not know: how a turn runs.

With the media there, a chip runs at once; else its prompt goes into the text box. Transcribing and
reading aloud use the model's own forms for that, which also checkpoints follow that do not chat.
Translating takes what was said, or what stands in the text box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from demos.base.languages import Words
from demos.tabs.actions import Actions, Given, Values
from demos.turns.turn import Task
from omni.conversation import Part, SystemPrompt, Text


@dataclass(frozen=True)
class Chip:
    """One task. ``needs``: how many files at least (0: just what stands in the text box)."""

    key: str
    needs: int = 1
    task: Task = "chat"


CHIPS: Mapping[str, tuple[Chip, ...]] = {
    "audio": (
        Chip("transcribe", task="transcribe"),
        Chip("translate"),
        Chip("summarize-speech"),
        Chip("read-aloud", needs=0, task="read"),
    ),
    "video": (Chip("summarize-clip"), Chip("what-changed"), Chip("describe-clip")),
    "image": (Chip("describe"), Chip("read-text"), Chip("compare", needs=2)),
}


def build_chips(tab: str, words: Words) -> list[tuple[Chip, gr.Button]]:
    """Lay the chips of a tab out where the caller is."""
    gr.Markdown(words.static("chips"), elem_classes=["hint"])
    with gr.Row(elem_classes=["chips"]):
        return [
            (
                chip,
                gr.Button(
                    words.static(f"chip-{chip.key}"),
                    size="sm",
                    min_width=0,
                    elem_classes=["chip"],
                    elem_id=f"{tab}-chip-{chip.key}",
                ),
            )
            for chip in CHIPS[tab]
        ]


def chip_handler(actions: Actions, chip: Chip) -> Callable[..., Iterator[Values]]:
    """What a click on ``chip`` does, with the values of ``actions.inputs``."""
    words = actions.shared.words

    def run(request: gr.Request, *values: Any) -> Iterator[Values]:
        given, language = actions.given(values), words.of(request)
        if chip.task == "read":
            if not given.text:
                gr.Info(words.say(language, "chip-type-first"))
                yield actions.fill(None)
                return
            yield from _read(actions, request, given)
            return
        prompt = words.prompt(language, chip.key)
        if chip.key == "translate" and given.text:
            prompt = words.prompt(language, "translate-text", text=given.text)
            if not files(given.media):
                yield from actions.answer(request, given, prompt)
                return
        if files(given.media) < chip.needs:
            gr.Info(words.say(language, "chip-add-first", count=chip.needs))
            yield actions.fill(prompt)
            return
        yield from actions.answer(request, given, prompt, chip.task)

    return run


def _read(actions: Actions, request: gr.Request, given: Given) -> Iterator[Values]:
    """Read what stands in the text box aloud."""

    def prepare() -> tuple[tuple[Part, ...], SystemPrompt]:
        return (Text(given.text),), actions.system_prompt(request, given)

    ask = actions.ask(request, given, prepare, given.text)
    yield from actions.run(request, given, replace(ask, task="read", speech=True), sent=True)


def files(media: Sequence[Any]) -> int:
    """How many files the media inputs hold; switches are none."""
    counts = [len(value) if isinstance(value, list) else 1 for value in media if value]
    switches = sum(value is True for value in media)
    return sum(counts) - switches
