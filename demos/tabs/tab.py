"""What the three tabs share: layout, and which button or event does what.

Knows: Gradio components and events. Does not know: which media a tab takes (its spec says so),
what the handlers do (demos.tabs.actions).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import gradio as gr

from demos.base.languages import Words
from demos.playback.player import (
    blocked_note,
    empty_js,
    listen_js,
    silence_js,
    speech_player,
    voice_line,
)
from demos.tabs.actions import Actions
from demos.tabs.chips import build_chips, chip_handler
from demos.tabs.examples import build_examples, example_handler
from demos.tabs.spec import Keep, Shared, Tab, TabSpec
from demos.tabs.tools import Tools, build_tools, connect_tools
from demos.turns.chat import Thread

__all__ = ["Keep", "Shared", "Tab", "TabSpec", "build_tab"]

MAX_TURNS_AT_ONCE = 16  # waiting ones included; each holds one of the server's 40 threads
# Buttons that run a turn, and what makes their handlers from the tab's actions.
Shortcuts: TypeAlias = list[tuple[gr.Button, Callable[[Actions], Callable[..., Any]]]]
CHAT_HEIGHT = "clamp(18rem, calc(100vh - 31rem), 48rem)"


def build_tab(spec: TabSpec, shared: Shared, changed: Callable[[Any], Any]) -> Tab:
    """Lay out one tab and connect it; ``changed`` is called with the turn's event (to chain)."""
    with gr.Tab(shared.words.static(f"tab-{spec.name}"), id=spec.name, elem_id=f"{spec.name}-tab"):
        tab, tools, shortcuts = _layout(spec, shared.words)
    actions = Actions(tab, shared)
    _connect(tab, actions, shortcuts, changed)
    connect_tools(tools, actions)
    return tab


def _layout(spec: TabSpec, words: Words) -> tuple[Tab, Tools, Shortcuts]:
    name = spec.name
    with gr.Row(elem_classes=["tab-columns"]):
        with gr.Column(scale=4, min_width=320):
            media = spec.inputs(words)
            chips, examples = build_chips(name, words), build_examples(name, words)
        with gr.Column(scale=8, min_width=320, elem_classes=["talk"]):
            chat = gr.Chatbot(
                label=words.static("chat"),
                placeholder=str(words.static(f"chat-empty-{name}")),
                height=CHAT_HEIGHT,
                buttons=["copy"],
                editable="user",
                feedback_options=None,
                latex_delimiters=[],
                allow_tags=False,
                elem_id=f"{name}-chat",
            )
            player = speech_player(name, words.static("player"))
            ear, ticket = voice_line(name, words)
            blocked_note(name, words)
            status = gr.HTML("", elem_id=f"{name}-status", elem_classes=["status"])
            text = gr.Textbox(
                label=words.static("text"),
                show_label=False,
                container=False,
                placeholder=words.static("text-hint"),
                lines=1,  # so that Enter sends and Shift+Enter makes a new line
                max_lines=8,
                elem_id=f"{name}-text",
            )
            with gr.Row(elem_classes=["buttons"]):
                speak = gr.Checkbox(
                    True, label=words.static("speak"), container=False, elem_id=f"{name}-speak"
                )
                send = gr.Button(words.static("send"), variant="primary", elem_id=f"{name}-send")
                stop = gr.Button(
                    words.static("stop"), variant="stop", interactive=False, elem_id=f"{name}-stop"
                )
                clear = gr.Button(words.static("clear"), elem_id=f"{name}-clear")
            tools = build_tools(name, words)
    thread = gr.State(Thread())
    talk = speak, send, stop, clear, chat, player, ear, ticket, status, thread
    tab = Tab(spec, media, text, *talk)
    shortcuts: Shortcuts = [(button, partial(chip_handler, chip=chip)) for chip, button in chips]
    shortcuts += [(button, partial(example_handler, example=one)) for one, button in examples]
    return tab, tools, shortcuts


def _connect(
    tab: Tab, actions: Actions, shortcuts: Shortcuts, changed: Callable[[Any], Any]
) -> None:
    name, inputs, outputs = tab.spec.name, actions.inputs, actions.outputs
    running: dict[str, Any] = {
        "js": listen_js(name, actions.inputs.index(tab.ear)),
        "show_progress": "hidden",
        "concurrency_limit": MAX_TURNS_AT_ONCE,
        "concurrency_id": "turn",
        "api_visibility": "private",
    }
    turns = [
        gr.on(
            [tab.send.click, tab.text.submit],
            actions.send,
            inputs,
            outputs,
            api_name=f"{name}_turn",
            **running,
        ),
        tab.chat.retry(actions.retry, inputs, outputs, api_name=f"{name}_retry", **running),
        tab.chat.edit(actions.edit, inputs, outputs, api_name=f"{name}_edit", **running),
    ]
    turns += [
        button.click(handler(actions), inputs, outputs, api_name=button.elem_id, **running)
        for button, handler in shortcuts
    ]
    for turn in turns:
        changed(turn)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.chat.undo(actions.undo, tab.thread, outputs, api_name=f"{name}_undo", **quiet)
    now: dict[str, Any] = {**quiet, "js": silence_js(name), "queue": False}
    tab.stop.click(actions.stop, None, None, api_name=f"{name}_stop", **now)
    # The page is empty at once; then the server answers, after all that was still on its way.
    media = [part for part in tab.media if not isinstance(part, gr.Checkbox)]
    empty: dict[Any, Any] = {tab.chat: [], tab.status: "", tab.text: "", **dict.fromkeys(media)}
    gr.on(
        [tab.clear.click, tab.chat.clear],
        None,
        None,
        list(empty),
        cancels=turns,
        **(now | {"js": empty_js(name, list(empty.values()))}),
    ).then(
        actions.clear,
        tab.thread,
        outputs,
        api_name=f"{name}_clear",
        **(now | {"js": None}),
    )
