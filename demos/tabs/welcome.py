"""What an empty chat shows: cards of the examples, each runs with one click.

Knows: which examples a tab has, a picture for each. Does not know: how an example runs (the button
of the same example in the composer's menu does that).
"""

from __future__ import annotations

import gradio as gr

from demos.base.languages import Words
from demos.tabs.examples import Example, read_examples
from demos.tabs.spec import TabSpec
from omni.shipped import EXAMPLES

CARDS = 4  # at most; all examples are in the composer's menu


def build_welcome(spec: TabSpec, words: Words) -> gr.Column:
    """Lay the cards out where the caller is."""
    with gr.Column(elem_classes=["welcome"], elem_id=f"{spec.name}-welcome") as column:
        if spec.examples is not None:
            with gr.Row(elem_classes=["cards"]):
                for example in read_examples()[spec.examples][:CARDS]:
                    _card(spec, example, words)
    return column


def _card(spec: TabSpec, example: Example, words: Words) -> None:
    variant = example.variants["en"]
    picture = EXAMPLES / variant.images[0] if variant.images else None
    kind = (
        "video" if variant.video else "image" if picture else "audio" if variant.audio else "text"
    )
    name = spec.name
    card = gr.Button(
        words.static(f"example-{example.key}"),
        icon=picture,
        min_width=0,
        elem_id=f"{name}-card-{example.key}",
        elem_classes=["card", f"card-{kind}"],
    )
    runs = f"document.getElementById('{name}-example-{example.key}').click()"
    card.click(None, None, None, js=f"() => {{ {runs}; }}")
