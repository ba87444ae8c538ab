"""What an empty chat shows: cards of the examples, each runs with one click.

Knows: which examples a tab has, a picture for each. Does not know: how an example runs (the button
of the same example in the composer's menu does that).
"""

from __future__ import annotations

import base64
import io

import gradio as gr
from PIL import Image as Pillow
from PIL import ImageStat

from demos.base.languages import Words
from demos.tabs.examples import Example, Variant, read_examples
from demos.tabs.spec import TabSpec
from omni.media.video import iter_frames
from omni.shipped import EXAMPLES

CARDS = 4  # at most; all examples are in the composer's menu
CARD_PIXELS = 320  # the longer side of its picture
LOOKED_AT = 5  # frames of a clip, of which the one that shows most is taken


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
    name = spec.name
    card = gr.Button(
        words.static(f"example-{example.key}"),
        icon=_picture(variant),  # type: ignore[arg-type]
        min_width=0,
        elem_id=f"{name}-card-{example.key}",
        elem_classes=_looks(variant),
    )
    runs = f"document.getElementById('{name}-example-{example.key}').click()"
    card.click(None, None, None, js=f"() => {{ {runs}; }}")


def _looks(variant: Variant) -> list[str]:
    """The classes of its card: one without a picture has a sign of what the example is about."""
    if variant.images or variant.video:
        return ["card"]
    task = {"transcribe": "write", "read": "read"}.get(variant.task)
    return ["card", f"sign-{task or ('audio' if variant.audio else 'text')}"]


def _picture(variant: Variant) -> dict[str, str] | None:
    """What a card shows, small and inside the page: a picture, or the fullest moment of a clip.

    In the form in which Gradio hands files to the browser.
    """
    if variant.images:
        picture = Pillow.open(EXAMPLES / variant.images[0]).convert("RGB")
    elif variant.video:
        frames = iter_frames(EXAMPLES / variant.video, LOOKED_AT)
        picture = max(frames, key=lambda frame: ImageStat.Stat(frame.convert("L")).var[0])
    else:
        return None
    picture.thumbnail((CARD_PIXELS, CARD_PIXELS))
    data = io.BytesIO()
    picture.save(data, "WEBP", quality=80)
    address = "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()
    return {"path": f"{variant.files[0]}.webp", "url": address}
