"""What the tabs share: layout, and which button or event does what.

Knows: Gradio components and events. Does not know: which media a tab takes (its spec says so),
what the handlers do (demos.tabs.actions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import gradio as gr

from demos.base.browser_values import Changes, Values, constants_js, place_of
from demos.base.events import QUIET, Event
from demos.base.languages import Words
from demos.playback.player import (
    blocked_note,
    build_page_player,
    cleared_js,
    clears_js,
    listen_js,
    silence,
    silence_js,
    speech_player,
)
from demos.tabs.actions import Actions, emptied_media
from demos.tabs.chips import build_chips, chip_handler
from demos.tabs.composer import build_composer
from demos.tabs.examples import build_examples, example_handler
from demos.tabs.hearing import Hearing
from demos.tabs.spec import Tab, TabContext, TabSpec
from demos.tabs.welcome import build_welcome
from demos.turns.chat import Thread
from omni.fair_queue import LineLimits

if TYPE_CHECKING:
    from gradio.events import Dependency

# All that may wait in the engine's line, and some that are told at once that it is full. Each holds
# one of the server's threads (demos.serve.MAX_THREADS).
MAX_TURNS_AT_ONCE = LineLimits().waiting + 16

Handler: TypeAlias = Callable[[gr.Request, Values], Iterator[Changes]]


@dataclass(frozen=True)
class Shortcut:
    """A button that runs a turn. ``handler`` makes what it does from the tab's actions."""

    button: gr.Button
    handler: Callable[[Actions], Handler]
    sends: bool = False  # it takes what stands in the text box, whatever that is


def build_tab(spec: TabSpec, context: TabContext, changed: Callable[[Event], None]) -> Tab:
    """Lay out one tab and connect it; ``changed`` is called with the turn's event (to chain)."""
    words, name = context.words, spec.name
    shortcuts: list[Shortcut] = []
    chips: dict[str, gr.Button] = {}
    with (
        gr.Tab(words.static(f"tab-{name}"), id=name, elem_id=f"{name}-tab") as page,
        gr.Column(elem_classes=["talk"]),
    ):
        clear = gr.Button(
            words.static("clear"), size="sm", elem_id=f"{name}-clear", elem_classes=["new-chat"]
        )
        chat = _chat(name, words)
        welcome = build_welcome(spec, words)
        sounding = _sounding(name, words)
        with gr.Column(elem_classes=["between"]) as between:
            pass
        composer = build_composer(
            spec, words, lambda: shortcuts.extend(_shortcuts(spec, words, chips))
        )
        clears = gr.Number(0, visible="hidden", precision=0, elem_id=f"{name}-clears")
        thread = gr.State(Thread())
    tab = Tab(
        spec,
        page,
        media_column=between,
        composer=composer.row,
        welcome=welcome,
        media=composer.media,
        text=composer.text,
        speak=composer.speak,
        send=composer.send,
        stop=composer.stop,
        clear=clear,
        chat=chat,
        clears=clears,
        thread=thread,
        chips=chips,
        **sounding,
    )
    actions = Actions(tab, context)
    _connect(tab, actions, shortcuts, changed)
    return tab


def _shortcuts(spec: TabSpec, words: Words, buttons: dict[str, gr.Button]) -> list[Shortcut]:
    """Lay the buttons of chips and examples out; those of chips are noted by their keys."""
    chips = []
    for chip, button in build_chips(spec, words):
        handler = partial(chip_handler, chip=chip)
        chips.append(Shortcut(button, handler, sends=chip.task == "read"))
        buttons[chip.key] = button
    examples = [
        Shortcut(button, partial(example_handler, example=example))
        for example, button in build_examples(spec, words)
    ]
    return chips + examples


def _chat(name: str, words: Words) -> gr.Chatbot:
    """Lay the chat out; assets/gradio.css makes it as high as there is room."""
    return gr.Chatbot(
        label=words.static("chat"),
        show_label=False,
        container=False,
        placeholder=str(words.static(f"chat-empty-{name}")),
        height="100%",
        autoscroll=False,  # assets/scripts/follow.js does it
        buttons=["copy"],
        editable="user",
        feedback_options=None,
        latex_delimiters=[],
        allow_tags=False,
        elem_id=f"{name}-chat",
    )


def _sounding(name: str, words: Words) -> dict[str, Any]:
    """Lay the line out that tells how a turn goes and how it sounds; by the names in Tab."""
    player = speech_player(name, words.static("player"))
    blocked_note(name, words)
    with gr.Row(elem_classes=["status-line"]):
        status = gr.HTML("", elem_id=f"{name}-status", elem_classes=["status"])
        page_player = build_page_player(name, words)
    return {
        "player": player,
        "playback_support": page_player.support,
        "ticket": page_player.ticket,
        "status": status,
    }


def _connect(
    tab: Tab, actions: Actions, shortcuts: list[Shortcut], changed: Callable[[Event], None]
) -> None:
    name, inputs, outputs = tab.spec.name, actions.inputs, actions.outputs
    places = place_of(tab.playback_support, inputs), place_of(tab.clears, inputs)
    running: dict[str, Any] = {
        **QUIET,
        "js": listen_js(name, *places),
        "concurrency_limit": MAX_TURNS_AT_ONCE,
        "concurrency_id": "turn",
    }
    sending = running | {"js": listen_js(name, *places, sends=True)}
    turns: list[Dependency] = [
        gr.on(
            [tab.send.click, tab.text.submit],
            actions.send,
            inputs,
            outputs,
            api_name=f"{name}_turn",
            **sending,
        ),
        tab.chat.retry(actions.retry, inputs, outputs, api_name=f"{name}_retry", **running),
        tab.chat.edit(actions.edit, inputs, outputs, api_name=f"{name}_edit", **running),
    ]
    turns += [
        shortcut.button.click(
            shortcut.handler(actions),
            inputs,
            outputs,
            api_name=shortcut.button.elem_id,
            **(sending if shortcut.sends else running),
        )
        for shortcut in shortcuts
    ]
    hearing = Hearing(tab, actions.context)
    for turn in turns:
        changed(turn)
        hearing.connect(turn)
    tab.chat.undo(actions.undo, tab.thread, outputs, api_name=f"{name}_undo", **QUIET)
    now: dict[str, Any] = {**QUIET, "queue": False}
    tab.stop.click(actions.stop, None, None, api_name=f"{name}_stop", js=silence_js(name), **now)
    _connect_clear(tab, actions)


def _connect_clear(tab: Tab, actions: Actions) -> None:
    """The page is empty at once; then the server answers, after all that was still on its way.

    Gradio's own way to cancel an event is not used: where it comes before the event's first answer,
    the page shows an error. A turn that was asked for before Clear ends by itself (Actions.run).
    """
    name = tab.spec.name
    empty: Changes = {tab.chat: [], tab.status: "", tab.text: "", **emptied_media(tab)}
    code = constants_js(empty, f"{silence(name)} {cleared_js(name)}")
    cleared = tab.clear.click(None, None, code.outputs, js=code.js, **QUIET)
    cleared.then(
        actions.clear,
        [tab.thread, tab.clears],
        actions.outputs,
        js=f"(thread) => [thread, {clears_js(name)}]",
        api_name=f"{name}_clear",
        concurrency_limit=None,
        trigger_mode="multiple",  # also while the one before has not been answered
        **QUIET,  # in the queue: its answer comes after the turn's last one
    )
