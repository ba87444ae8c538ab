"""Makes the example media from nothing: speech by espeak-ng, pictures and clips by the painter of
nano's lessons (other pictures than in its lessons: tests/demos/tabs/test_examples.py checks that).

Knows: what each example shows or says. Does not know: where the page shows it.
Usage: python -m finetune.nano.make_examples (needs espeak-ng; the files land in examples/)
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from functools import partial

import av
import numpy as np
import soundfile
import soxr
from PIL import Image

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import word
from finetune.nano.pictures.canvas import PALETTE, Canvas, Look
from finetune.nano.pictures.clips import ClipScene
from finetune.nano.pictures.pictures import Scene, Thing, Writing
from finetune.nano.speech.synthesis import LANGUAGE_VOICES, USUAL_RATE
from omni.shipped import EXAMPLES

RATE = 16_000  # Hz
SIDE, CLIP_SIDE = 252, 154  # pixels; nano has learnt with pictures and clips of these sizes
PAPER = (245, 245, 240)
RADIUS = 0.135  # of the side
FRAMES_A_SECOND = 8
CLIP_S = 5

SPOKEN: dict[str, tuple[Language, str, str]] = {
    "capital_en": ("en", "f2", "What is the capital of France?"),
    "capital_zh": ("zh", "f3", "法国的首都是哪里？"),
    "sentence_en": ("en", "m3", "The red star is above the yellow heart."),
    "sentence_zh": ("zh", "m3", "红色的星形在黄色的心形上面。"),
    "asked_en": ("en", "f2", "What color is the circle?"),
    "asked_zh": ("zh", "f2", "圆形是什么颜色的？"),
    "changes_en": ("en", "m3", "What color does the star turn?"),
    "changes_zh": ("zh", "m3", "星形变成了什么颜色？"),
}
PICTURES = {
    "shapes": Scene(
        (Thing("star", "red", "big", "on the left"), Thing("circle", "blue", "big", "on the right"))
    ),
    "stars": Scene(
        tuple(
            Thing("star", "green", "big", place)
            for place in ("at the top", "on the right", "in the middle")
        )
    ),
    "places": Scene(
        (
            Thing("heart", "red", "big", "at the top"),
            Thing("star", "yellow", "big", "in the middle"),
            Thing("circle", "blue", "big", "at the bottom"),
        )
    ),
    "number": Scene(writing=Writing(word("number", "7"), "7", "red")),
}
CLIPS = {
    "moves": ClipScene("moves", Thing("heart", "red", "big", "at the top"), "to the right"),
    "appears": ClipScene("appears", Thing("star", "green", "big", "in the middle")),
    "vanishes": ClipScene("disappears", Thing("circle", "blue", "big", "in the middle")),
    "changes": ClipScene(
        "changes", Thing("star", "green", "big", "in the middle"), new_color="blue"
    ),
}
DARK = (45, 50, 65)  # yellow shows on it


def main() -> None:
    """Make all files."""
    for name, (language, variant, text) in SPOKEN.items():
        speak(name, language, variant, text)
    for name, scene in PICTURES.items():
        picture(scene).save(EXAMPLES / f"{name}.png", optimize=True)
    for name, clip in CLIPS.items():
        film(name, partial(frame, clip))


def speak(name: str, language: Language, variant: str, text: str) -> None:
    """``text`` as 16 kHz mono speech."""
    voice = f"{LANGUAGE_VOICES[language]}+{variant}"
    rate = str(USUAL_RATE[language])
    command = ["espeak-ng", "-v", voice, "-s", rate, "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    samples, own_rate = soundfile.read(io.BytesIO(spoken), dtype="float32")
    samples = soxr.resample(samples, own_rate, RATE, quality="HQ")
    samples = 0.6 * samples / np.abs(samples).max()
    soundfile.write(
        EXAMPLES / f"{name}.flac", samples, RATE, subtype="PCM_16", compression_level=1.0
    )


def paper(side: int, color: tuple[int, int, int]) -> Canvas:
    """An empty square to paint on."""
    return Canvas(Look(side, side, (color, color), "plain", 0.0, 0.0, False, seed=0))


def picture(scene: Scene) -> Image.Image:
    """A scene, painted plainly."""
    colors = {thing.color for thing in scene.things}
    canvas = paper(SIDE, DARK if "yellow" in colors else PAPER)
    for thing in scene.things:
        paint(canvas, thing, thing.color)
    if scene.writing:
        canvas.writing(scene.writing.text, PALETTE[scene.writing.color], 0.5)
    return canvas.finish()


def frame(clip: ClipScene, share: float) -> Image.Image:
    """The clip when ``share`` of it is over; moves are smooth, all else happens in the middle."""
    thing, happened = clip.thing, share >= 0.5
    canvas = paper(CLIP_SIDE, DARK if thing.color == "yellow" else PAPER)
    if clip.event == "moves":
        paint(canvas, thing, thing.color, x=0.2 + share * 0.6)
    elif (clip.event == "appears") <= happened and not (clip.event == "disappears" and happened):
        paint(canvas, thing, clip.new_color if clip.new_color and happened else thing.color)
    return canvas.finish()


def paint(canvas: Canvas, thing: Thing, color: str, x: float | None = None) -> None:
    """Paint a thing at its place, or at ``x`` (of the width)."""
    side = canvas.look.width
    column, row = thing.cell
    across = (2 * column + 1) / 6 if x is None else x
    center = (across * side, (2 * row + 1) / 6 * side)
    canvas.shape(thing.shape, center, RADIUS * side, 0.0, PALETTE[color])


def film(name: str, draw: Callable[[float], Image.Image]) -> None:
    """A clip without sound."""
    count = FRAMES_A_SECOND * CLIP_S
    with av.open(str(EXAMPLES / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_A_SECOND)
        stream.width = stream.height = CLIP_SIDE
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            shot = av.VideoFrame.from_image(draw(index / (count - 1)))
            container.mux(stream.encode(shot))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
