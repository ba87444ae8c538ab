"""The conversations beside the chat: their list, what is made of the one that is shown, keeping.

Knows: its components and events. Does not know: what the browser does with them
(assets/scripts/conversations), how a chat is brought back (demos.conversations.kept).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.base.events import QUIET, Event, Listener
from demos.base.languages import Words
from demos.conversations.kept import bring_handler, keep_handler
from demos.conversations.shelf import Shelf
from demos.conversations.tools import build_tools, connect_tools
from demos.tabs.actions import Actions
from demos.tabs.spec import Tab, TabContext

# What the browser says itself: the words conversations-<key>.
SAID = (
    *("empty", "none-found", "rename", "name", "delete", "deleted", "undo", "delete-all-ask"),
    *(
        "all-deleted",
        "no",
        "limit",
        "refused",
        "full",
        "large",
        "lost",
        "back",
        "failed",
        "elsewhere",
    ),
    *("picture", "clip", "sound", "untitled", "delete-all"),
)
HOLES = {key: f"{{{key}}}" for key in ("title", "megabytes")}  # that the browser fills
AT_ONCE: dict[str, Any] = {**QUIET, "queue": False}


@dataclass(frozen=True, eq=False)
class Conversations:
    """The built panel, and how it is told which language it speaks."""

    words: Words
    spoken: gr.Textbox  # written by the server: what the browser says, as JSON

    def greet(self, listen: Listener) -> Event:
        """Say everything in the person's language when the event of ``listen`` comes."""

        def speak(request: gr.Request) -> str:
            return sentences(self.words, request)

        spoken = listen(speak, None, self.spoken, api_name="conversations_words", **AT_ONCE)
        return spoken.then(
            None, self.spoken, None, js="(text) => { omniConversations.speak(text); }", **QUIET
        )

    def translate(self, event: Event) -> None:
        """The same after ``event``, which changed the language."""
        self.greet(event.then)


def sentences(words: Words, request: gr.Request) -> str:
    """What the browser says, in the language of whoever asks, as JSON."""
    language = words.of(request)
    table = {key: words.say(language, f"conversations-{key}", **HOLES) for key in SAID}
    return json.dumps({"locale": words.locales()[language], "words": table}, ensure_ascii=False)


def build_conversations(page: gr.Blocks, tabs: Sequence[Tab], context: TabContext) -> Conversations:
    """Lay the panel out where the caller is, and connect it to the chats of ``tabs``."""
    words = context.words
    gr.Textbox(
        show_label=False,
        label=words.static("conversations-search"),
        placeholder=words.static("conversations-search"),
        container=False,
        max_lines=1,
        elem_id="conversations-search",
    )
    gr.HTML(elem_id="conversations-list", elem_classes=["conversations"])
    spoken = gr.Textbox(visible="hidden", elem_id="conversations-words")
    shelf = Shelf()
    for tab in tabs:
        actions = Actions(tab, context)
        tools = build_tools(tab.spec.name, words)
        connect_tools(tools, actions)
        _connect(actions, shelf, tools.transcript)
    _settings(page, words)
    built = Conversations(words, spoken)
    built.greet(page.load)
    return built


def _settings(page: gr.Blocks, words: Words) -> None:
    """Whether the browser keeps anything, and all of it gone."""
    keep = gr.Checkbox(
        True,
        label=words.static("conversations-keep"),
        container=False,
        elem_id="conversations-keep",
    )
    page.load(None, None, keep, js="() => omniConversations.keeps()", **AT_ONCE)
    keep.input(None, keep, None, js="(on) => { omniConversations.keep(on); }", **QUIET)
    delete = gr.Button(
        words.static("conversations-delete-all"), size="sm", elem_id="conversations-delete-all"
    )
    delete.click(None, None, None, js="() => { omniConversations.deleteAll(); }", **QUIET)
    gr.Markdown(words.static("conversations-server"), elem_classes=["hint"])


def _connect(actions: Actions, shelf: Shelf, transcript: gr.Textbox) -> None:
    """The chat goes to the browser after each change, and comes back when the browser wishes."""
    tab, name = actions.tab, actions.tab.spec.name
    told = gr.Textbox(visible="hidden", elem_id=f"{name}-told")
    wish = gr.Textbox(visible="hidden", elem_id=f"{name}-wish")
    zipped = gr.File(visible="hidden", elem_id=f"{name}-zipped")
    answer = gr.Textbox(visible="hidden", elem_id=f"{name}-answer")
    bridge = gr.HTML(
        elem_id=f"{name}-bring",
        elem_classes=["bridge"],
        js_on_load=f'omniConversations.watch("{name}", () => trigger("bring"));',
    )
    tab.thread.change(
        keep_handler(actions, shelf, told, transcript),
        tab.thread,
        [told, transcript],
        api_name=f"{name}_told",
        trigger_mode="always_last",
        **AT_ONCE,
    ).then(None, told, None, js=f'(text) => {{ omniConversations.told("{name}", text); }}', **QUIET)
    bridge.bring(
        bring_handler(actions, shelf, answer),
        None,
        [*actions.outputs, answer],
        inputs_kwargs={"upload": zipped, "wish": wish, "thread": tab.thread},
        js=f'(...values) => omniConversations.wish("{name}", values)',
        api_name=f"{name}_bring",
        trigger_mode="multiple",
        concurrency_limit=None,
        **QUIET,  # in the queue: its answer comes after that of a turn which it ends
    ).then(None, answer, None, js="(text) => { omniConversations.came(text); }", **QUIET)
