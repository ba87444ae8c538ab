"""Training examples as rows of a data file, with their media as files beside it.

Knows: the form that ``python -m finetune lora`` reads (docs/finetune.md), which file an example's
part becomes. Does not know: what is asked and answered.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from finetune.nano.examples.parts import Example, Heard, Said, Seen, System, Turn, Typed, Watched
from finetune.nano.speech.synthesis import HEARD_RATE
from omni.media.wav import write_wav

CLIP_QUALITY = "18"  # x264's constant rate factor: what cameras and editors write


class RowFile:
    """A data file under construction in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        """Begin ``folder/name.jsonl``; media go to ``folder/name/``."""
        self.path = folder / f"{name}.jsonl"
        self._media = folder / name
        self._media.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")
        self.rows = 0
        self._files = 0

    def add(self, example: Example) -> None:
        """An example as a row."""
        row = _Row(self)
        if example.form != "reading" or example.system.voice is not None:
            row.system(example.system)
        for turn in example.turns:
            row.turn(turn, example.speech)
        values = row.values()
        if example.form != "conversation":
            values["form"] = example.form
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
        self.rows += 1

    def sound(self, wave: np.ndarray) -> str:
        """A recording at 16 kHz as a file; its path, from the data file's folder."""
        path = self._file("wav")
        write_wav(path, wave, HEARD_RATE)
        return self._named(path)

    def picture(self, image: Image.Image) -> str:
        """A picture as a file."""
        path = self._file("png")
        image.save(path)
        return self._named(path)

    def clip(self, frames: list[Image.Image]) -> str:
        """Frames, one a second, as H.264 with halved chroma; odd sizes lose a line."""
        path = self._file("mp4")
        width, height = (side // 2 * 2 for side in frames[0].size)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=1, options={"crf": CLIP_QUALITY})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for frame in frames:
                shot = av.VideoFrame.from_image(frame.crop((0, 0, width, height)))
                container.mux(stream.encode(shot))
            container.mux(stream.encode())
        return self._named(path)

    def _file(self, kind: str) -> Path:
        self._files += 1
        return self._media / f"{self._files:05d}.{kind}"

    def _named(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()


class _Row:
    """One row while it is written: texts with a tag where a file stands."""

    def __init__(self, file: RowFile) -> None:
        self._file = file
        self._messages: list[dict[str, str]] = []
        self._lists: dict[str, list[str]] = {"images": [], "videos": [], "audios": []}

    def system(self, system: System) -> None:
        """The system text, with the voice prompt."""
        content = system.text + (self._heard(system.voice) if system.voice else "")
        # Said also where it is empty: without it the program's own system text would stand there.
        self._messages.append({"role": "system", "content": content})

    def turn(self, turn: Turn, speech: bool) -> None:
        """A message; an answer's pieces each with its speech behind it."""
        content = ""
        for part in turn.parts:
            if isinstance(part, Typed):
                content += part.text
            elif isinstance(part, Heard):
                content += self._heard(part)
            elif isinstance(part, Seen):
                content += self._tag("image", self._file.picture(part.scene.image()))
            elif isinstance(part, Watched):
                content += self._tag("video", self._file.clip(part.clip.frames()))
            elif isinstance(part, Said):
                content += part.text
                if speech:
                    content += self._tag("audio", self._file.sound(part.heard()))
        self._messages.append({"role": turn.role, "content": content})

    def values(self) -> dict[str, Any]:
        """The row."""
        lists = {name: files for name, files in self._lists.items() if files}
        return {"messages": self._messages, **lists}

    def _heard(self, heard: Heard) -> str:
        return self._tag("audio", self._file.sound(heard.waveform()))

    def _tag(self, kind: str, path: str) -> str:
        self._lists[f"{kind}s"].append(path)
        return f"<{kind}>"
