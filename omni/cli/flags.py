"""Flags that several commands have.

Knows: their names, help and values. Does not know: what a command does with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from omni.cli.inputs import clean
from omni.conversation import VoicePrompt
from omni.engine import Engine, EngineSettings
from omni.listening.gallery import gallery, ready_voices
from omni.loading.ending import obey
from omni.settings import QUANTIZATIONS, positive, with_adapter


class Commands(Protocol):
    """What a command adds its parser to (argparse's own class is not public)."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """The parser of the command ``name``."""
        ...


ENGLISH = "en"
Options: TypeAlias = argparse.Namespace
MODEL_FLAGS = ("model", "quantization", "device", "dtype", "max_pixels", "keep_quantized")
OUT_HELP = "the file to write: .wav, .flac, .mp3, .opus or .ogg; - is standard output (WAV)"


def add_engine(command: argparse.ArgumentParser) -> None:
    """Flags about where the engine is, what to load, the seed and logging."""
    command.add_argument(
        "--engine",
        dest="address",
        metavar="ADDRESS",
        help="ask an engine elsewhere (see serve-ray), as http://gpu1:8000; its model is its own",
    )
    add_model(command)
    command.add_argument(
        "--adapter", default="", help="what fine-tuning has learnt: a folder, or a name on the Hub"
    )
    command.add_argument("--seed", type=int, help="the same seed gives the same answer")
    add_verbose(command)


def add_model(command: argparse.ArgumentParser) -> None:
    """Flags about what to load."""
    command.add_argument(
        "--model", default="auto", help="auto, nano, a folder, or a name on the Hugging Face Hub"
    )
    command.add_argument(
        "--quantization", choices=QUANTIZATIONS, default="auto", help="bits of the weights"
    )
    command.add_argument("--device", default="auto", help="auto, cpu, mps, cuda, cuda:N")
    command.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="number format of the weights",
    )
    command.add_argument(
        "--max-pixels",
        type=positive,
        metavar="N",
        help="reduce larger pictures to so many pixels; default: the checkpoint's limit, on a CPU "
        "what it reads in less than half a minute",
    )
    command.add_argument(
        "--keep-quantized",
        action="store_true",
        help="keep weights in 8 or 4 bits on the disk, so that the next start is quick",
    )


def add_verbose(command: argparse.ArgumentParser) -> None:
    """The flag about logging."""
    command.add_argument("--verbose", action="store_true", help="log what happens")


def engine(options: Options) -> Engine:
    """The engine that the flags of :func:`add_engine` ask for; one elsewhere has its model already.

    Raises:
        ResourceError: that is no address, or nobody answers there.
    """
    if options.address is None:
        return Engine(settings(options))
    for name in MODEL_FLAGS:
        if getattr(options, name) != options.command.get_default(name):
            flag = name.replace("_", "-")
            options.command.error(f"--{flag}: the model is chosen where the engine of --engine is")
    from omni.remote.client import RemoteEngine

    remote = RemoteEngine(options.address)
    if options.adapter:
        for _ in remote.load():
            obey()
        remote.settings = with_adapter(remote.settings, options.adapter)
    return remote


def settings(options: Options) -> EngineSettings:
    """What the flags of :func:`add_engine` ask for."""
    plain = EngineSettings(
        options.model,
        options.quantization,
        options.device,
        options.dtype,
        keep_quantized=options.keep_quantized,
        max_pixels=options.max_pixels,
    )
    return with_adapter(plain, options.adapter)


def add_voice(command: argparse.ArgumentParser) -> None:
    """Flags about the voice to speak with."""
    command.add_argument(
        "--voice",
        type=Path,
        metavar="FILE",
        help="a recording of the voice to speak with, or the name of a ready voice: "
        + ", ".join(voice.name[ENGLISH] for voice in gallery()),
    )
    command.add_argument(
        "--voice-text",
        metavar="TEXT",
        help="what that recording says; the model then gets both as an example of reading aloud",
    )


def voice(options: Options) -> VoicePrompt | None:
    """What the flags of :func:`add_voice` ask for; ends the program where they make no sense."""
    if options.voice is None:
        if options.voice_text is not None:
            options.command.error("--voice-text is what the recording of --voice says")
        return None
    ready = {name.casefold(): voice for name, voice in ready_voices().items()}
    named = ready.get(str(options.voice).casefold())
    if named is not None and not options.voice.exists():
        if options.voice_text is not None:
            options.command.error("--voice-text goes with a recording, not with a ready voice")
        return named.prompt()
    use: Literal["system", "example"] = "system" if options.voice_text is None else "example"
    text = None if options.voice_text is None else clean(options.voice_text)
    return VoicePrompt(options.voice, use, text)
