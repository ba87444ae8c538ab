"""The head of the page: logo, name, links, the switches for language and for light and dark.

Knows: where they stand. Does not know: what has to be said again in another language.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from demos.base.languages import AUTO, Words
from demos.base.theme import logo_svg

CHOOSE_JS = "(language) => { omniHeader.choose(language); return language; }"
SHADE_JS = "() => { omniHeader.shade(); }"
SKIP_JS = "() => { omniHeader.skip(); }"
# What the page is about: the words link-<name>.
LINKS = {
    "model": "https://huggingface.co/baichuan-inc/Baichuan-Omni-1d5",
    "paper": "https://arxiv.org/abs/2501.15368",
    "licence": "https://github.com/baichuan-inc/Baichuan-Omni-1.5",  # where its makers tell of it
}


def skip_link(words: Words) -> None:
    """The first thing that the keyboard reaches: past the panel and the tabs, to the text box."""
    skip = gr.Button(words.static("skip"), size="sm", elem_id="skip", elem_classes=["skip"])
    skip.click(None, None, None, js=SKIP_JS, api_visibility="private")


@dataclass(frozen=True)
class Head:
    """What others need of the head."""

    language: gr.Radio  # the switch; without a value until the visitor's language is known
    tools: gr.Row  # the right end, where more can be laid out


def build_links(words: Words) -> None:
    """Lay out where the caller is what the page is about."""
    with gr.Row(elem_classes=["links"]):
        for name, address in LINKS.items():
            gr.Button(
                words.static(f"link-{name}"),
                link=address,
                link_target="_blank",
                size="sm",
                min_width=0,
                elem_classes=["link"],
            )


def build_header(words: Words) -> Head:
    """Lay the head out where the caller is; a fixed language has no switch to be seen."""
    with gr.Row(elem_classes=["page-header"]):
        with gr.Row(elem_classes=["brand"]):
            gr.HTML(logo_svg(), elem_classes=["logo"])
            gr.Markdown(words.static("title"), elem_classes=["page-title"])
            build_links(words)
        with gr.Row(elem_classes=["head-tools"]) as tools:
            switch = gr.Radio(
                [(file.label, language) for language, file in words.files.items()],
                label=words.static("language"),
                container=False,
                visible=words.choice == AUTO,
                min_width=0,
                interactive=True,
                elem_id="language",
                elem_classes=["steps", "language"],
            )
            shade = gr.Button(
                words.static("shade"),
                size="sm",
                min_width=0,
                elem_id="shade",
                elem_classes=["icon-tool", "icon-shade"],
            )
    shade.click(None, None, None, js=SHADE_JS, api_visibility="private")
    return Head(switch, tools)
