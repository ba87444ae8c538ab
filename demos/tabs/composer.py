"""The composer of a tab: where a person says what they want, always in sight below the chat.

Knows: what stands where in it, which browser code opens what. Does not know: which media a tab
takes, what Send does.

From top to bottom: the tray, which is seen while one of its media inputs is open or holds
something; the text box; a row of buttons. assets/scripts/composer.js opens and closes and waits for
recordings, assets/scripts/files.js brings files to the input that takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words

if TYPE_CHECKING:
    from demos.tabs.spec import TabSpec

Variant: TypeAlias = Literal["primary", "secondary", "stop"]
# What the browser says by itself: the words composer-<name>, in elements word-<name>.
SAID_BY_THE_BROWSER = ("image", "video", "other", "switch", "close", "model", "wrong-file", "lost")


@dataclass(frozen=True)
class Composer:
    """The composer's components."""

    row: gr.Row  # of its buttons: where further ones can be laid out
    media: Mapping[str, Component]
    text: gr.Textbox
    speak: gr.Checkbox
    send: gr.Button
    stop: gr.Button


def build_composer(spec: TabSpec, words: Words, menu: Callable[[], None]) -> Composer:
    """Lay the composer out where the caller is; ``menu`` lays out what its menu offers."""
    name = spec.name
    with gr.Column(elem_classes=["composer"], elem_id=f"{name}-composer"):
        with gr.Row(elem_classes=["tray"], elem_id=f"{name}-tray"):
            media = spec.inputs(words)
        text = gr.Textbox(
            label=words.static("text"),
            show_label=False,
            container=False,
            placeholder=words.static("text-hint"),
            lines=1,  # so that Enter sends and Shift+Enter makes a new line
            max_lines=8,
            elem_id=f"{name}-text",
        )
        with gr.Row(elem_classes=["composer-tools"]) as row:
            _openers(spec, words)
            speak = gr.Checkbox(
                True,
                label=words.static("speak"),
                container=False,
                elem_id=f"{name}-speak",
                elem_classes=["speak"],
            )
            send = _icon(name, "send", words, variant="primary")
            stop = _icon(name, "stop", words, variant="stop", interactive=False)
            # Stop, in the same place, where the answer is ready and something still sounds.
            hush = _icon(name, "hush", words, word="stop", variant="stop")
            hush.click(None, None, None, js="() => { omniSounding.end(); }")
        with gr.Column(elem_classes=["menu"], elem_id=f"{name}-menu"):
            menu()
    return Composer(row, media, text, speak, send, stop)


def lay_words_out(words: Words) -> None:
    """What the browser says by itself, in the person's language; once in the page."""
    for name in SAID_BY_THE_BROWSER:
        gr.HTML(words.static(f"composer-{name}"), elem_id=f"word-{name}", elem_classes=["bridge"])


def _openers(spec: TabSpec, words: Words) -> None:
    """The buttons that open what a person can give, and the menu."""
    name = spec.name
    names = ["attach", "record", *(["camera"] if spec.camera else []), "more"]
    for opened in names:
        button = _icon(name, opened, words, word=f"composer-{opened}")
        owner = "omniFiles" if opened == "attach" else "omniComposer"
        button.click(None, None, None, js=f"() => {{ {owner}.{opened}('{name}'); }}")


def _icon(
    name: str,
    part: str,
    words: Words,
    word: str = "",
    variant: Variant = "secondary",
    interactive: bool = True,
) -> gr.Button:
    """A button that is an icon; its words are for screen readers and appear as its tooltip."""
    return gr.Button(
        words.static(word or part),
        variant=variant,
        interactive=interactive,
        size="sm",
        min_width=0,
        elem_id=f"{name}-{part}",
        elem_classes=["icon-tool", f"icon-{part}"],
    )
