"""Examples that run with one click, per tab and language of the prompt.

Knows: the table examples/examples.yaml, how an example becomes a message.
Does not know: how the media were made (finetune/nano/make_examples.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr
import yaml

from demos.base.browser_values import Changes, Values
from demos.base.languages import Words
from demos.base.word_files import PROMPT_LANGUAGES, PromptLanguage
from demos.tabs.actions import Actions
from demos.tabs.spec import TabSpec
from demos.turns.chat import Task
from demos.turns.sessions import Session
from omni.conversation import Audio, Image, Part, SystemPrompt, Text, Video
from omni.shipped import EXAMPLES


@dataclass(frozen=True)
class Variant:
    """An example in one language of the prompt: what it shows, plays and asks."""

    text: str = ""
    images: tuple[str, ...] = ()
    video: str = ""
    audio: str = ""
    task: Task = "chat"

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its media."""
        return (*self.images, *filter(None, (self.video, self.audio)))

    def parts(self, keep: Callable[[str], Path]) -> tuple[Part, ...]:
        """Its message; ``keep`` gives the file of a name."""
        parts: list[Part] = [Image(keep(name)) for name in self.images]
        parts += [Video(keep(self.video))] if self.video else []
        parts += [Audio(keep(self.audio))] if self.audio else []
        parts += [Text(self.text)] if self.text else []
        return tuple(parts)


@dataclass(frozen=True)
class Example:
    """One example; its label is the word ``example-<key>``."""

    key: str
    variants: dict[PromptLanguage, Variant]


def read_examples(folder: Path = EXAMPLES) -> dict[str, tuple[Example, ...]]:
    """The examples of each key."""
    table = yaml.safe_load((folder / "examples.yaml").read_text(encoding="utf-8"))
    return {
        tab: tuple(
            Example(key, {language: _variant(given[language]) for language in PROMPT_LANGUAGES})
            for key, given in examples.items()
        )
        for tab, examples in table.items()
    }


def _variant(given: dict[str, Any]) -> Variant:
    return Variant(**given | {"images": tuple(given.get("images", ()))})


def build_examples(spec: TabSpec, words: Words) -> list[tuple[Example, gr.Button]]:
    """Lay the examples of a tab out where the caller is: a part of the composer's menu."""
    if spec.examples is None:
        return []
    gr.Markdown(words.static("examples"), elem_classes=["hint"])
    with gr.Column(elem_classes=["choices"]):
        return [
            (
                example,
                gr.Button(
                    words.static(f"example-{example.key}"),
                    size="sm",
                    min_width=0,
                    elem_classes=["choice", "runs"],
                    elem_id=f"{spec.name}-example-{example.key}",
                ),
            )
            for example in read_examples()[spec.examples]
        ]


def example_handler(
    actions: Actions, example: Example
) -> Callable[[gr.Request, Values], Iterator[Changes]]:
    """What a click on ``example`` does, with the values of ``actions.inputs``."""
    context = actions.context

    def run(request: gr.Request, values: Values) -> Iterator[Changes]:
        given = actions.given(values)
        words = context.words
        variant = example.variants[words.prompt_language(words.of(request))]
        session = context.sessions.of(request)

        def prepare(_: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            parts = variant.parts(lambda name: _copied(session, name))
            return parts, given.voice.system_prompt()

        ask = replace(actions.ask(request, given, prepare, ""), task=variant.task, anew=True)
        if variant.task == "read":
            ask = replace(ask, speech=True)  # there is nothing else to hear
        yield from actions.run(request, given, ask)

    return run


def _copied(session: Session, name: str) -> Path:
    """A copy that belongs to the session; it is removed with it, the original is not."""
    with session.writing(Path(name).name) as copy:
        shutil.copyfile(EXAMPLES / name, copy)
    return copy
