"""Task chips: what people often want, one click each.

Knows: what a click on a chip does. Does not know: which chips a tab has (its spec says so), how a
turn runs.

With the media there, a chip runs at once; else its prompt goes into the text box. Transcribing and
reading aloud use the model's own forms for that, which also checkpoints follow that do not chat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import Event

import gradio as gr

from demos.base.browser_values import Changes, Values
from demos.base.debounce import debounced
from demos.base.events import QUIET, Listener
from demos.base.languages import Words
from demos.tabs.actions import Actions, TurnInputs, emptied_media
from demos.tabs.spec import Chip, Media, Tab, TabContext, TabSpec
from demos.voices.truth import truth_of
from omni.conversation import Part, SystemPrompt, Text


def build_chips(spec: TabSpec, words: Words) -> list[tuple[Chip, gr.Button]]:
    """Lay the chips of a tab out where the caller is: a part of the composer's menu."""
    if not spec.chips:
        return []
    gr.Markdown(words.static("chips"), elem_classes=["hint"])
    with gr.Column(elem_classes=["choices"]):
        return [
            (
                chip,
                gr.Button(
                    words.static(f"chip-{chip.key}"),
                    size="sm",
                    min_width=0,
                    elem_classes=["choice"],
                    elem_id=f"{spec.name}-chip-{chip.key}",
                ),
            )
            for chip in spec.chips
        ]


def connect_marks(
    tabs: Sequence[Tab], context: TabContext, status: gr.HTML, *further: Listener
) -> None:
    """Says on chips and in the voice panel what the loaded checkpoint can't do.

    Whenever ``status``, which tells what is loaded, changes; and with each event of ``further``.
    """
    panel = context.voices.actions
    changed = [button for tab in tabs for button in tab.chips.values()]
    outputs = [*changed, *context.voice.all]

    def mark(request: gr.Request) -> Changes:
        words, truth = context.words, truth_of(context.engine)
        language = words.of(request)

        def label(tab: Tab, key: str) -> str:
            said = words.say(language, f"chip-{key}")
            return truth.marked(words, language, "chips", f"{tab.spec.name}-{key}", said)

        chips: Changes = {
            button: gr.update(value=label(tab, key))
            for tab in tabs
            for key, button in tab.chips.items()
        }
        return chips | panel.marked(language)

    for listen in (debounced("truth", [status]), *further):
        listen(mark, None, outputs, queue=False, **QUIET)


def chip_handler(actions: Actions, chip: Chip) -> Callable[[gr.Request, Values], Iterator[Changes]]:
    """What a click on ``chip`` does, with the values of ``actions.inputs``."""
    words = actions.context.words

    def run(request: gr.Request, values: Values) -> Iterator[Changes]:
        given, language = actions.given(values), words.of(request)
        if chip.task == "read":
            if not given.text:
                gr.Info(words.say(language, "chip-type-first"))
                yield actions.nothing()
                return
            yield from _read(actions, request, given)
            return
        prompt, emptied = words.prompt(language, chip.key), emptied_media(actions.tab)
        if chip.takes_text and given.text:
            emptied[actions.tab.text] = ""
            prompt = words.prompt(language, f"{chip.key}-text", text=given.text)
            if not files(given.media):
                yield from actions.answer(request, given, prompt, emptied=emptied)
                return
        if files(given.media) < chip.needs:
            gr.Info(words.say(language, "chip-add-first", count=chip.needs))
            yield actions.fill(prompt)
            return
        yield from actions.answer(request, given, prompt, chip.task, emptied=emptied)

    return run


def _read(actions: Actions, request: gr.Request, given: TurnInputs) -> Iterator[Changes]:
    """Read aloud what stood in the text box, which the page has emptied."""

    def prepare(_: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
        return (Text(given.text),), given.voice.system_prompt()

    ask = actions.ask(request, given, prepare, given.text)
    lines = actions.context.voices.actions.lines(request, given.text, given.voice)
    ask = replace(ask, task="read", speech=True, lines=lines)
    yield from actions.run(request, given, ask)


def files(media: Media) -> int:
    """How many files the media inputs hold; switches are none."""
    held = [value for value in media.values() if value and value is not True]
    return sum(len(value) if isinstance(value, list) else 1 for value in held)
