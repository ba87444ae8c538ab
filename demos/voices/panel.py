"""The voice panel: one for the three tabs.

Knows: its components, where they stand, and how their values become a system prompt.
Does not know: what happens when a person uses them (demos.voices.actions), how a voice prompt
reaches the model.

What the panel shows is what a turn gets: the text in the system prompt's box, and the recording
in the player (trimmed and levelled), if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.i18n import I18nData

from demos.base.languages import Words
from demos.voices.catalog import LOUDNESSES, PITCHES, SPEEDS
from demos.voices.library import MAX_NAME, MAX_TRANSCRIPT, USES
from omni.conversation import DEFAULT_SYSTEM_TEXT, SystemPrompt, VoicePrompt
from omni.errors import MediaError
from omni.prompting.styles import EMOTION_NAMES
from omni.prompting.system_text import DEFAULT_VOICE, SystemChoices

NONE = ""  # the value of a choice that chooses nothing
MAX_WISH = 500  # characters
MAX_SYSTEM = 8000  # characters


@dataclass(frozen=True)
class VoicePanel:
    """The panel's components.

    ``sample``: the path of the recording that is used, or None. ``judged``, ``verdict``,
    ``judged_number``: what came of a recording's check, invisible, until the page knows that it is
    still wanted.
    """

    role: gr.Dropdown
    named: gr.Dropdown
    saved: gr.Dropdown
    reference: gr.Audio
    sample: gr.State
    judged: gr.File
    verdict: gr.HTML
    judged_number: gr.Number
    check: gr.HTML
    transcript: gr.Textbox
    transcribe: gr.Button
    use: gr.Radio
    name: gr.Textbox
    save: gr.Button
    rename: gr.Button
    delete: gr.Button
    export: gr.Button
    export_file: gr.DownloadButton
    load: gr.UploadButton
    shelf: gr.HTML
    emotion: gr.Dropdown
    speed: gr.Radio
    pitch: gr.Radio
    loudness: gr.Radio
    wish: gr.Textbox
    system: gr.Textbox
    after: gr.HTML
    by_hand: gr.Checkbox
    problems: gr.HTML
    reset: gr.Button

    @property
    def inputs(self) -> list[Component]:
        """What a turn gets."""
        return [self.sample, self.transcript, self.use, self.system]

    @property
    def controls(self) -> list[Component]:
        """What the text of the system prompt is made from, in the order of :func:`choices`."""
        return [self.role, self.named, self.sample, *self.style, self.wish]

    @property
    def all(self) -> list[Component]:
        """Every component."""
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def style(self) -> list[Component]:
        """What a role always brings: emotion, speed, pitch, loudness."""
        return [self.emotion, self.speed, self.pitch, self.loudness]

    @property
    def no_recording(self) -> dict[Component, Any]:
        """What is shown around the player when no recording was checked."""
        empty = dict.fromkeys((self.saved, self.transcript, self.name, self.check), NONE)
        return {**empty, self.use: USES[0]}

    @property
    def first_values(self) -> dict[Component, Any]:
        """What a new page shows, but for the library."""
        return {
            **dict.fromkeys((self.role, *self.style, self.wish), NONE),
            **self.no_recording,
            self.reference: None,
            self.named: DEFAULT_VOICE,
            self.by_hand: False,
        }

    @staticmethod
    def system_prompt(values: Sequence[Any], keep: Callable[[str], Path]) -> SystemPrompt:
        """What the values of :attr:`inputs` say.

        Args:
            keep: not needed: the recording lies in the session's folder since it was checked.

        Raises:
            MediaError: ``upload-gone``, the session was away for too long.
        """
        del keep
        sample, transcript, use, text = values
        text = (text or "").strip()
        if not sample:
            return SystemPrompt(text)
        path = Path(sample)
        if not path.exists():
            raise MediaError(
                "upload-gone",
                "{name} is no longer on the server: add the file again.",
                name=path.name,
            )
        return SystemPrompt(text, VoicePrompt(path, use, (transcript or "").strip() or None))


def choices(values: Sequence[Any], role_text: Callable[[str], str]) -> SystemChoices:
    """The values of :attr:`VoicePanel.controls` as choices; a recording replaces a named voice."""
    role, named, sample, emotion, speed, pitch, loudness, wish = values
    return SystemChoices(
        voice=None if sample else (named or None),
        role=role_text(role) if role else "",
        emotion=emotion or None,
        styles=tuple(style for style in (speed, pitch, loudness) if style),
        wish=wish or "",
    )


def lay_out_voice_panel(words: Words) -> VoicePanel:
    """Make the components where the caller is."""
    parts: dict[str, Any] = {"sample": gr.State(None)}
    gr.Markdown(words.static("voice-help"), elem_classes=["hint"])
    parts["problems"] = _note("voice-problems")
    parts["role"] = _dropdown(words, "voice-role", info=True)
    parts["named"] = _dropdown(words, "voice-named", info=True)
    with gr.Accordion(words.static("voice-recording"), open=False, elem_id="voice-recording"):
        parts |= _recording(words)
        with gr.Accordion(words.static("voice-library"), open=False, elem_id="voice-library"):
            parts |= _library(words)
    with gr.Accordion(words.static("voice-style"), open=False, elem_id="voice-style"):
        parts |= _style(words)
    parts |= _system(words)
    parts["reset"] = gr.Button(words.static("voice-reset"), size="sm", elem_id="voice-reset")
    return VoicePanel(**parts)


def _recording(words: Words) -> dict[str, Component]:
    gr.Markdown(words.static("voice-recording-help"), elem_classes=["hint"])
    return {
        "saved": _dropdown(words, "voice-saved"),
        "reference": gr.Audio(
            label=words.static("voice-prompt"),
            sources=["upload", "microphone"],
            type="filepath",
            editable=False,
            buttons=[],
            elem_id="voice-prompt",
        ),
        "judged": gr.File(elem_classes=["bridge"]),
        "verdict": gr.HTML("", elem_classes=["bridge"]),
        "judged_number": gr.Number(0, elem_classes=["bridge"]),
        "check": _note("voice-check"),
        "use": gr.Radio(
            [(words.static(f"voice-use-{use}"), use) for use in USES],
            value=USES[0],
            label=words.static("voice-use"),
            info=words.static("voice-use-help"),
            elem_id="voice-use",
        ),
        "transcript": gr.Textbox(
            label=words.static("voice-transcript"),
            info=words.static("voice-transcript-help"),
            lines=2,
            max_lines=6,
            max_length=MAX_TRANSCRIPT,
            elem_id="voice-transcript",
        ),
        "transcribe": _button(words, "voice-transcribe"),
    }


def _library(words: Words) -> dict[str, Component]:
    parts: dict[str, Component] = {
        "name": gr.Textbox(
            label=words.static("voice-name"), max_length=MAX_NAME, elem_id="voice-name"
        )
    }
    with gr.Row(elem_classes=["small-buttons"]):
        for key in ("save", "rename", "delete"):
            parts[key] = _button(words, f"voice-{key}")
    with gr.Row(elem_classes=["small-buttons"]):
        parts["export"] = _button(words, "voice-export")
        parts["export_file"] = gr.DownloadButton(
            str(words.static("voice-export")), visible="hidden", elem_id="voice-export-file"
        )
        parts["load"] = gr.UploadButton(
            str(words.static("voice-import")),
            file_types=[".zip"],
            size="sm",
            elem_id="voice-import",
        )
    parts["shelf"] = _note("voice-shelf")
    return parts


def _style(words: Words) -> dict[str, Component]:
    emotions = [(words.static(f"voice-emotion-{name}"), name) for name in EMOTION_NAMES]
    parts: dict[str, Component] = {
        "emotion": gr.Dropdown(
            [(words.static("voice-emotion-none"), NONE), *emotions],
            value=NONE,
            label=words.static("voice-emotion"),
            elem_id="voice-emotion",
        )
    }
    for key, (less, more) in {
        "speed": SPEEDS,
        "pitch": PITCHES,
        "loudness": LOUDNESSES,
    }.items():
        steps = [(f"voice-{less}", less), ("voice-normal", NONE), (f"voice-{more}", more)]
        parts[key] = gr.Radio(
            [(words.static(word), value) for word, value in steps],
            value=NONE,
            label=words.static(f"voice-{key}"),
            elem_id=f"voice-{key}",
            elem_classes=["steps"],
        )
    parts["wish"] = gr.Textbox(
        label=words.static("voice-wish"),
        placeholder=words.static("voice-wish-hint"),
        max_lines=4,
        max_length=MAX_WISH,
        elem_id="voice-wish",
    )
    return parts


def _system(words: Words) -> dict[str, Component]:
    return {
        "system": gr.Textbox(
            DEFAULT_SYSTEM_TEXT,
            label=words.static("system-prompt"),
            info=words.static("system-help"),
            lines=3,
            max_lines=10,
            max_length=MAX_SYSTEM,
            interactive=False,
            elem_id="system-prompt",
        ),
        "after": _note("system-after"),
        "by_hand": gr.Checkbox(
            False,
            label=words.static("system-by-hand"),
            info=words.static("system-by-hand-help"),
            elem_id="system-by-hand",
        ),
    }


def _dropdown(words: Words, key: str, info: bool = False) -> gr.Dropdown:
    """Its choices come with the page, in the person's language."""
    start = DEFAULT_VOICE if key == "voice-named" else NONE
    label: str | I18nData = start or words.static(f"{key}-none")
    return gr.Dropdown(
        [(label, start)],
        value=start,
        label=words.static(key),
        info=words.static(f"{key}-help") if info else None,
        elem_id=key,
    )


def _button(words: Words, key: str) -> gr.Button:
    return gr.Button(words.static(key), size="sm", min_width=60, elem_id=key)


def _note(name: str) -> gr.HTML:
    """A place for sentences that screen readers say when they come."""
    return gr.HTML("", elem_id=name, elem_classes=["note"])
