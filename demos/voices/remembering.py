"""The panel's choices are there again after a reload.

Knows: what the browser remembers, and in which form. Does not know: how it keeps it
(assets/scripts/voices.js).

What comes from the browser is looked at like everything that a request gives: a role that is gone,
a voice that was deleted, or nonsense leaves things as they are on a new page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.base.browser_values import Changes
from demos.base.events import QUIET, Event
from demos.voices.actions import VoiceActions
from demos.voices.catalog import LOUDNESSES, PITCHES, SPEEDS
from demos.voices.gallery import ready_voice
from demos.voices.panel import MAX_SYSTEM, MAX_WISH, NONE, VoicePanel
from omni.prompting.styles import EMOTION_NAMES

MOST = 20_000  # characters of what is remembered
LENGTHS = {"wish": MAX_WISH, "system": MAX_SYSTEM}


@dataclass(frozen=True, eq=False)
class Remembering:
    """What is kept and how it comes back."""

    panel: VoicePanel
    actions: VoiceActions

    def connect(self) -> None:
        """Have every change written down in the browser."""
        parts = self.panel.remembered
        names = json.dumps(list(parts))
        gr.on(
            [part.change for part in parts.values()],  # type: ignore[attr-defined]
            None,
            list(parts.values()),
            None,
            js=f"(...values) => {{ const names = {names}; omniVoices.keep("
            "Object.fromEntries(values.map((value, place) => [names[place], value]))); }",
            queue=False,
            **QUIET,
        )

    def restore_after(self, event: Event) -> None:
        """Bring back what was remembered once the page shows its choices."""
        panel = self.panel
        restored = event.then(
            self.restore,
            panel.kept_choices,
            panel.all,
            js="() => [omniVoices.kept()]",
            queue=False,
            **QUIET,
        )
        restored.then(None, None, None, js="() => { omniVoices.begin(); }", queue=False, **QUIET)

    def restore(self, request: gr.Request, kept: str | None) -> Changes:
        """The choices that ``kept`` tells, as far as they still make sense."""
        panel, told = self.panel, _told(kept)
        parts = panel.remembered
        possible = self._possible()
        changes: Changes = {panel.kept_choices: NONE}
        for name, values in possible.items():
            if told.get(name) in values:
                changes[parts[name]] = told[name]
        for name, most in LENGTHS.items():
            text = told.get(name)
            wanted = name == "wish" or told.get("by_hand") is True
            if wanted and isinstance(text, str) and text and len(text) <= most:
                changes[parts[name]] = text
        if told.get("by_hand") is True:
            changes[panel.by_hand] = True
        return changes | self._reference(request, told)

    def _reference(self, request: gr.Request, told: dict[str, Any]) -> Changes:
        """The recording that was used, if it was a ready voice or one that is still saved."""
        saved, ready = told.get("saved"), told.get("ready")
        if isinstance(ready, str) and ready_voice(ready) is not None:
            return self.actions.use_ready(request, ready)
        if isinstance(saved, str) and saved in self.actions.saved_names(request):
            return self.actions.choose_saved(request, saved)
        return {}

    def _possible(self) -> dict[str, list[str]]:
        catalog = self.actions.catalog
        return {
            "role": [NONE, *catalog.roles],
            "named": [NONE, *catalog.voices],
            "emotion": [NONE, *EMOTION_NAMES],
            "speed": [NONE, *SPEEDS],
            "pitch": [NONE, *PITCHES],
            "loudness": [NONE, *LOUDNESSES],
        }


def _told(kept: str | None) -> dict[str, Any]:
    """What the browser remembered; nothing where it is no such thing."""
    if not kept or len(kept) > MOST:
        return {}
    try:
        told = json.loads(kept)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
