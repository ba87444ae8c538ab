"""Makes the sounds of docs/gallery.md, and the page itself: python docs/gallery.py

Each sound is what one line of the command line has made with the nano checkpoint, with a seed, so
that everybody gets the same.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOUNDS = ROOT / "docs" / "sounds"
PAGE = ROOT / "docs" / "gallery.md"
HEAD = """# Sounds to hear

What the small model that ships inside answers, just as it came: no sound was chosen from several
(every seed is 1) or worked on. "Listen" is the file (Opus, a few kilobytes), for any player.
`python docs/gallery.py` makes all of them and this page.

**None of this is the 7B model**, which was not at hand: nano's voice is a machine's, and its world
is small ([nano.md](nano.md)). The page looks and sounds the same with either.
"""


@dataclass(frozen=True)
class Sound:
    """One row: a line of the command line, and what it shows."""

    name: str
    says: str  # what it shows
    line: str  # after "python -m omni"
    shows: str = ""  # a file of examples/ that can be seen or heard


CHAPTERS: dict[str, tuple[Sound, ...]] = {
    "Answers": (
        Sound("greeting", "a greeting", 'chat "Hello, who are you?"'),
        Sound("sum", "a sum", 'chat "What is two plus three?"'),
        Sound("capital", "a spoken question", "chat --audio examples/capital_en.flac"),
        Sound(
            "picture",
            "a picture",
            'chat --image examples/shapes.png "What do you see?"',
            "shapes.png",
        ),
        Sound("clip", "a clip", 'chat --video examples/moves.mp4 "What happens?"'),
        Sound("zh", "in Chinese", 'chat --image examples/stars.png "有几个星形？"', "stars.png"),
    ),
    "Reading aloud": (
        Sound("read", "as it is", 'tts "The big red star is on the left."'),
        Sound("slow", "slowly", 'tts "The big red star is on the left." --system "Speak slowly."'),
        Sound("read_zh", "in Chinese", 'tts "大的红色星形在左边。"'),
    ),
}


def main() -> None:
    """Make all sounds and write the page."""
    SOUNDS.mkdir(parents=True, exist_ok=True)
    page = [HEAD]
    for chapter, sounds in CHAPTERS.items():
        page += [f"## {chapter}\n", "| | `python -m omni ...` | says | |", "|---|---|---|---|"]
        for sound in sounds:
            said = make(sound)
            seen = f"![{sound.shows}](../examples/{sound.shows})" if sound.shows else sound.says
            listen = f"[listen](sounds/{sound.name}.opus)"
            page.append(f"| {seen} | `{sound.line} --seed 1` | {said} | {listen} |")
        page.append("")
    PAGE.write_text("\n".join(page), encoding="utf-8")


def make(sound: Sound) -> str:
    """Run the line; what it printed."""
    out = SOUNDS / f"{sound.name}.opus"
    command = [sys.executable, "-m", "omni", *shlex.split(sound.line)]
    command += ["--model", "nano", "--seed", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return " ".join(done.stdout.split()) or "(just sound)"


if __name__ == "__main__":
    main()
