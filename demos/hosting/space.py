"""Writes the folder of a Hugging Face Space.

Usage: python -m demos.hosting.space FOLDER [--hardware cpu|gpu|zero]

Knows: what a Space of each hardware is told (README.md's head, requirements.txt, app.py).
Does not know: the Hub; nothing is sent anywhere.

What the folder holds is the program and three files of its own. No secret and no name is written
into it, so that whoever duplicates the Space has one that works: what differs is set in the Space's
settings (docs/spaces.md).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import yaml

from omni.errors import OmniError
from omni.settings import NANO, PUBLISHED_MODEL, QuantizationChoice
from omni.shipped import ASSETS, EXAMPLES

Hardware: TypeAlias = Literal["cpu", "gpu", "zero"]
HARDWARE: tuple[Hardware, ...] = get_args(Hardware)
CODE = Path(__file__).resolve().parents[2]  # of a checkout
PROGRAM = ("app.py", "omni", "demos", "LICENSE", "NOTICE")
LEFT_OUT = ("__pycache__", "*.pyc", "_shipped")
GRADIO = "gradio=="
VOCODER = "FunAudioLLM/CosyVoice2-0.5B hift.pt"

START = '''"""The page as this Space starts it; its variables are told in README.md."""

from __future__ import annotations

import os
import sys

FLAGS = {{"OMNI_MODEL": ("--model", "{model}"), "OMNI_QUANTIZATION": ("--quantization", "{bits}")}}
for name, (flag, value) in FLAGS.items():
    sys.argv += [flag, os.environ.get(name, "").strip() or value]

from demos.launch import program  # noqa: E402

if __name__ == "__main__":
    sys.exit(program())
'''

README = """---
{head}---

# {title}

Speak to it, show it a picture or a clip, or type; it answers in text and speech, in English and
Chinese. {says}

Duplicate this Space and it is yours: it holds no secret and keeps nothing of its visitors. In its
settings you may add

| variable or secret | |
|---|---|
| `OMNI_MODEL` | `{model}` unless set: `nano`, or a model on the Hub |
| `OMNI_QUANTIZATION` | `{bits}` unless set: `none`, `8bit`, `4bit`, `auto` |
| `OMNI_AUTH` (secret) | `user:password`: the page asks for it |
| `OMNI_DAILY_MINUTES` | minutes of answering that a visitor has in a day; none: no bound |
| `HF_TOKEN` (secret) | for a model that needs one |
"""


class SpaceError(OmniError):
    """A folder that no Space can be written to."""


@dataclass(frozen=True)
class Kind:
    """What differs from hardware to hardware."""

    hardware: str  # as the Hub names it, suggested to who duplicates the Space
    model: str  # that it starts with
    bits: QuantizationChoice
    says: str  # what its README says of it
    preload: tuple[str, ...] = ()  # fetched when the Space is built, not at every start
    packages: tuple[str, ...] = ()  # besides requirements.txt


PUBLISHED = (PUBLISHED_MODEL, VOCODER)
KINDS: dict[Hardware, Kind] = {
    "cpu": Kind(
        "cpu-basic",
        NANO,
        "auto",
        "The model is `nano`, of 16 M parameters: it knows a small world of shapes, colours and "
        "numbers.",
    ),
    "gpu": Kind(
        "l4x1",
        PUBLISHED_MODEL,
        "auto",
        "The model is Baichuan-Omni-1.5, with as few bits as the GPU needs.",
        PUBLISHED,
    ),
    "zero": Kind(
        "zero-a10g",
        PUBLISHED_MODEL,
        "none",
        "The model is Baichuan-Omni-1.5; a GPU is borrowed for each answer, on your own quota.",
        PUBLISHED,
        ("spaces",),
    ),
}


def write(folder: Path, hardware: Hardware, title: str) -> None:
    """Write a Space's folder; a git repository that is there stays one.

    Raises:
        SpaceError: the folder has something else in it, or this is no checkout.
    """
    if not (CODE / "requirements.txt").is_file():
        raise SpaceError("space-checkout", "Run this in a checkout of the program.")
    folder.mkdir(parents=True, exist_ok=True)
    old = [path for path in folder.iterdir() if path.name != ".git"]
    if old and not (folder / "omni" / "engine.py").is_file():
        raise SpaceError(
            "space-taken",
            "{folder} is not empty and no Space of ours: choose another.",
            folder=folder,
        )
    for path in old:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    for source in (*(CODE / name for name in PROGRAM), ASSETS, EXAMPLES):
        target = folder / source.name
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copyfile(source, target)
    kind, pins = KINDS[hardware], requirements()
    texts = {
        "README.md": readme(kind, title, pins),
        "app.py": START.format(model=kind.model, bits=kind.bits),
        "requirements.txt": "\n".join([*pins, *kind.packages]) + "\n",
        # Files of the Hub's that are large go by its own way.
        ".gitattributes": large(folder),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def requirements() -> list[str]:
    """The pins; the Hub installs Gradio itself, in the version that the README's head names."""
    lines = (CODE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def readme(kind: Kind, title: str, pins: Sequence[str]) -> str:
    """README.md, with the head that the Hub reads."""
    (gradio,) = [pin.removeprefix(GRADIO) for pin in pins if pin.startswith(GRADIO)]
    head: dict[str, object] = {
        "title": title,
        "emoji": "🗣️",
        "colorFrom": "indigo",
        "colorTo": "pink",
        "sdk": "gradio",
        "sdk_version": gradio,
        "python_version": "3.12",
        "app_file": "app.py",
        "license": "apache-2.0",
        "short_description": "Speak, show or type, and hear the answer",
        "suggested_hardware": kind.hardware,
    }
    if kind.preload:
        head |= {"preload_from_hub": list(kind.preload), "startup_duration_timeout": "1h"}
        head |= {"models": [PUBLISHED_MODEL]}
    told = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return README.format(head=told, title=title, says=kind.says, model=kind.model, bits=kind.bits)


def large(folder: Path) -> str:
    """Which files the Hub wants as large ones: those that are no text."""
    endings = {path.suffix for path in folder.rglob("*") if path.is_file() and binary(path)}
    kept = "filter=lfs diff=lfs merge=lfs -text"
    return "".join(f"*{ending} {kept}\n" for ending in sorted(endings) if ending)


def binary(path: Path) -> bool:
    """Whether a file is no text."""
    with path.open("rb") as file:
        return b"\0" in file.read(8192)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write the folder of a Hugging Face Space.")
    parser.add_argument("folder", type=Path, help="a new folder, or the clone of a Space")
    parser.add_argument("--hardware", choices=HARDWARE, default="cpu", help="default: cpu")
    parser.add_argument("--title", default="Baichuan-Omni-1.5", help="of the Space")
    options = parser.parse_args(arguments)
    try:
        write(options.folder, options.hardware, options.title)
    except (SpaceError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.folder} holds the Space: commit it there and push{os.linesep}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
