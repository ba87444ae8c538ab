"""The voice panel: one for all tabs.

Knows: its components, where they stand, and how their values become a system prompt.
Does not know: what happens when a person uses them (demos.voices.actions), how a voice prompt
reaches the model.

What the panel shows is what a turn gets: the text in the system prompt's box, and the reference
recording in the player (trimmed and levelled), if there is one.

The words: a *reference* is a recording of the voice that answers are to sound like; a *saved voice*
is a reference that was kept under a name; a *named voice* is one that the model knows by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from demos.base.browser_values import Changes, Inputs, Values
from demos.base.languages import Words
from demos.voices.catalog import LOUDNESSES, PITCHES, SPEEDS
from demos.voices.gallery import lay_out_gallery
from demos.voices.hearing_parts import HearParts, lay_out_hearing
from demos.voices.library import MAX_NAME, MAX_TRANSCRIPT, USES, Use
from omni.conversation import DEFAULT_SYSTEM_TEXT, SystemPrompt, VoicePrompt
from omni.errors import MediaError
from omni.prompting.styles import EMOTION_NAMES
from omni.prompting.system_text import DEFAULT_VOICE, SystemChoices

if TYPE_CHECKING:
    from demos.base.gradio_internals import Label

NONE = ""  # the value of a choice that chooses nothing
MAX_WISH = 500  # characters
MAX_SYSTEM = 8000  # characters


@dataclass(frozen=True)
class VoiceChoice:
    """What the panel says for one turn."""

    text: str  # of the system prompt
    reference: Path | None = None  # the checked recording, in the session's folder
    use: Use = "system"  # of the reference
    transcript: str = ""  # what the reference says

    def system_prompt(self) -> SystemPrompt:
        """The same as a prompt.

        Raises:
            MediaError: ``upload-gone``, the session was away for too long.
        """
        if self.reference is None:
            return SystemPrompt(self.text)
        if not self.reference.exists():
            raise MediaError(
                "upload-gone",
                "{name} is no longer on the server: add the file again.",
                name=self.reference.name,
            )
        return SystemPrompt(
            self.text, VoicePrompt(self.reference, self.use, self.transcript or None)
        )


@dataclass(frozen=True)
class VoicePanel:
    """The panel's components."""

    gallery: gr.HTML  # the cards of the ready voices
    ready_voice: gr.Textbox  # the id of the ready voice that is used, invisible
    sample: gr.File  # a ready voice's recording, for the browser to play, invisible
    kept_choices: gr.Textbox  # what the browser remembers, as JSON, invisible
    role: gr.Dropdown
    named_voice: gr.Dropdown
    saved_voice: gr.Dropdown
    reference: gr.Audio  # the player of the reference
    used_reference: gr.State  # the path of the reference that is used, or None
    # What came of a reference's check, invisible, until the page knows that it is still wanted.
    checked_file: gr.File
    checked_note: gr.HTML
    checked_number: gr.Number
    reference_note: gr.HTML
    transcript: gr.Textbox  # what the reference says
    transcribe: gr.Button
    reference_use: gr.Radio
    voice_name: gr.Textbox  # under which the reference is saved
    save: gr.Button
    rename: gr.Button
    delete: gr.Button
    export: gr.Button
    export_file: gr.DownloadButton
    import_file: gr.UploadButton
    library_note: gr.HTML
    emotion: gr.Dropdown
    speed: gr.Radio
    pitch: gr.Radio
    loudness: gr.Radio
    wish: gr.Textbox
    system_text: gr.Textbox
    system_note: gr.HTML  # what the prompt puts behind the text
    by_hand: gr.Checkbox
    problems: gr.HTML
    reset: gr.Button
    hearing: HearParts

    @property
    def inputs(self) -> Inputs:
        """What a turn gets."""
        return {self.used_reference, self.transcript, self.reference_use, self.system_text}

    @property
    def controls(self) -> Inputs:
        """What the text of the system prompt is made from."""
        return {self.role, self.named_voice, self.used_reference, *self.style, self.wish}

    @property
    def all(self) -> list[Component]:
        """Every component, but for those by which a voice is heard."""
        names = [field.name for field in fields(self) if field.name != "hearing"]
        return [getattr(self, name) for name in names]

    @property
    def style(self) -> list[Component]:
        """What a role always brings."""
        return [self.emotion, self.speed, self.pitch, self.loudness]

    @property
    def no_reference(self) -> Changes:
        """What is shown around the player when no reference was checked."""
        empty = (
            *(self.saved_voice, self.ready_voice, self.transcript),
            *(self.voice_name, self.reference_note),
        )
        return {**dict.fromkeys(empty, NONE), self.reference_use: USES[0]}

    @property
    def remembered(self) -> dict[str, Component]:
        """What the browser keeps over a reload, by the names under which it does."""
        return {
            "role": self.role,
            "named": self.named_voice,
            "saved": self.saved_voice,
            "ready": self.ready_voice,
            "emotion": self.emotion,
            "speed": self.speed,
            "pitch": self.pitch,
            "loudness": self.loudness,
            "wish": self.wish,
            "by_hand": self.by_hand,
            "system": self.system_text,
        }

    @property
    def first_values(self) -> Changes:
        """What a new page shows, but for the library."""
        return {
            **dict.fromkeys((self.role, *self.style, self.wish), NONE),
            **self.no_reference,
            self.reference: None,
            self.named_voice: DEFAULT_VOICE,
            self.by_hand: False,
        }

    def chosen(self, values: Values) -> VoiceChoice:
        """What the values of :attr:`inputs` say."""
        reference: str | None = values[self.used_reference]
        return VoiceChoice(
            (values[self.system_text] or "").strip(),
            Path(reference) if reference else None,
            values[self.reference_use],
            (values[self.transcript] or "").strip(),
        )

    def system_choices(self, values: Values, role_text: Callable[[str], str]) -> SystemChoices:
        """The values of :attr:`controls` as choices; a reference replaces a named voice."""
        role, styles = values[self.role], (self.speed, self.pitch, self.loudness)
        return SystemChoices(
            voice=None if values[self.used_reference] else (values[self.named_voice] or None),
            role=role_text(role) if role else "",
            emotion=values[self.emotion] or None,
            styles=tuple(values[style] for style in styles if values[style]),
            wish=values[self.wish] or "",
        )


def lay_out_voice_panel(words: Words) -> VoicePanel:
    """Make the components where the caller is."""
    parts: dict[str, Any] = {"used_reference": gr.State(None)}
    gr.Markdown(words.static("voice-help"), elem_classes=["hint"])
    parts["problems"] = _note("voice-problems")
    gr.Markdown(words.static("voice-gallery-title"), elem_classes=["voice-heading"])
    parts["gallery"] = lay_out_gallery()
    parts["ready_voice"] = gr.Textbox(visible="hidden", elem_id="voice-ready")
    parts["sample"] = gr.File(elem_classes=["bridge"])
    parts["kept_choices"] = gr.Textbox(visible="hidden", elem_id="voice-kept")
    hearing = lay_out_hearing(words)
    gr.Markdown(words.static("voice-several-help"), elem_classes=["hint"])
    parts["role"] = _dropdown(words, "voice-role", info=True)
    parts["named_voice"] = _dropdown(words, "voice-named", info=True)
    with gr.Accordion(words.static("voice-recording"), open=False, elem_id="voice-recording"):
        parts |= _reference(words)
        with gr.Accordion(words.static("voice-library"), open=False, elem_id="voice-library"):
            parts |= _library(words)
    with gr.Accordion(words.static("voice-style"), open=False, elem_id="voice-style"):
        parts |= _style(words)
    parts |= _system(words)
    parts["reset"] = gr.Button(words.static("voice-reset"), size="sm", elem_id="voice-reset")
    return VoicePanel(**parts, hearing=hearing)


def _reference(words: Words) -> dict[str, Component]:
    gr.Markdown(words.static("voice-recording-help"), elem_classes=["hint"])
    return {
        "saved_voice": _dropdown(words, "voice-saved"),
        "reference": gr.Audio(
            label=words.static("voice-prompt"),
            sources=["upload", "microphone"],
            type="filepath",
            editable=False,
            buttons=[],
            elem_id="voice-prompt",
        ),
        "checked_file": gr.File(elem_classes=["bridge"]),
        "checked_note": gr.HTML("", elem_classes=["bridge"]),
        "checked_number": gr.Number(0, elem_classes=["bridge"]),
        "reference_note": _note("voice-check"),
        "reference_use": gr.Radio(
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
        "voice_name": gr.Textbox(
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
        parts["import_file"] = gr.UploadButton(
            str(words.static("voice-import")),
            file_types=[".zip"],
            size="sm",
            elem_id="voice-import",
        )
    parts["library_note"] = _note("voice-shelf")
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
        "system_text": gr.Textbox(
            DEFAULT_SYSTEM_TEXT,
            label=words.static("system-prompt"),
            info=words.static("system-help"),
            lines=3,
            max_lines=10,
            max_length=MAX_SYSTEM,
            interactive=False,
            elem_id="system-prompt",
        ),
        "system_note": _note("system-after"),
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
    label: Label = start or words.static(f"{key}-none")
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
