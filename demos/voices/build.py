"""The voice panel on the page: built and connected.

Knows: which event of which component calls which handler. Does not know: what handlers do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradio.components import Component

from demos.base.debounce import settled
from demos.base.languages import Words
from demos.turns.sessions import Sessions
from demos.voices.actions import VoiceActions
from demos.voices.catalog import Catalog, Role, read_catalog
from demos.voices.library import VoiceLibrary
from demos.voices.panel import NONE, VoicePanel, lay_out_voice_panel

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

RECORDING = "voice-recording"  # the name of the recording that is chosen last, in the page
BEGIN_JS = f"omniNewest.begin('{RECORDING}');"
NUMBERED_JS = f"(file) => [file, omniNewest.number('{RECORDING}')]"
# A check whose answer comes after another choice changes nothing.
WANTED_JS = f"""(number, ...found) =>
  number === omniNewest.number("{RECORDING}") ? found : found.map(() => undefined)"""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
# Saves the file that the hidden download button got, if it got one.
DOWNLOAD_JS = """(file) => {
  if (!file?.url) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name ?? "voices.zip";
  link.click();
}"""


@dataclass(frozen=True, eq=False)
class BuiltVoice:
    """The panel, and how it is told whom it speaks to."""

    panel: VoicePanel
    actions: VoiceActions

    def greet(self, listen: Callable[..., Any]) -> Any:
        """Say everything in the person's language when the event of ``listen`` comes."""
        return listen(self.actions.render, None, self.panel.all, **QUIET)

    def translate(self, event: Any) -> None:
        """The same after ``event``, which changed the language; so does the system prompt."""
        panel = self.panel
        self.greet(event.then).then(self.actions.compile, made_from(panel), made(panel), **QUIET)


def made_from(panel: VoicePanel) -> list[Component]:
    """What the system prompt is made from."""
    return [panel.by_hand, panel.transcript, panel.use, *panel.controls]


def made(panel: VoicePanel) -> list[Component]:
    """What shows the system prompt."""
    return [panel.system, panel.named, panel.after]


def build_voice_panel(
    engine: Engine, sessions: Sessions, words: Words, library: VoiceLibrary | None = None
) -> BuiltVoice:
    """Lay the panel out where the caller is, and connect it.

    Args:
        library: where voices are kept for good; None (others than the machine's owner can reach
            the page): each session keeps its own until it ends.
    """
    catalog = read_catalog()
    for problem in catalog.problems:
        log.warning("%s", problem)
    panel = lay_out_voice_panel(words)
    actions = VoiceActions(panel, engine, sessions, words, catalog, library)
    _connect(panel, actions)
    return BuiltVoice(panel, actions)


def _connect(panel: VoicePanel, actions: VoiceActions) -> None:
    from_these = made_from(panel)
    settled("voice-panel", from_these)(actions.compile, from_these, made(panel), **QUIET)
    queued = QUIET | {"queue": True}  # just those answers tell the page that a State has changed
    settled("voice-recording", [panel.reference])(
        actions.adopt, panel.reference, panel.sample, **queued
    )
    _connect_recording(panel, actions)
    brought, js = role_js(panel, actions.catalog)
    _at_once(panel.role.input, panel.role, brought, js).then(
        actions.choose_role, panel.role, panel.all, trigger_mode="always_last", **QUIET
    )
    panel.saved.input(
        actions.choose_saved,
        panel.saved,
        panel.all,
        js=f"(name) => {{ {BEGIN_JS} return [name]; }}",
        trigger_mode="always_last",
        **QUIET,
    )
    _connect_library(panel, actions)
    first = panel.first_values
    _at_once(panel.reset.click, None, list(first), constants_js(first.values(), BEGIN_JS)).then(
        actions.forget, None, None, **QUIET
    )


def _connect_recording(panel: VoicePanel, actions: VoiceActions) -> None:
    empty = panel.no_recording
    js = constants_js(empty.values(), BEGIN_JS)
    found = [panel.judged_number, panel.judged, panel.verdict]
    for event in (panel.reference.upload, panel.reference.stop_recording):
        _at_once(event, None, list(empty), js).then(
            actions.hear,
            [panel.reference, panel.judged_number],
            found,
            js=NUMBERED_JS,
            trigger_mode="multiple",  # a newer recording does not wait for the check of an older
            **(QUIET | {"show_progress": "full", "show_progress_on": panel.reference}),
        ).then(None, found, [panel.reference, panel.check], js=WANTED_JS, **QUIET)
    transcribing = panel.transcribe.click(
        actions.transcribe,
        panel.sample,
        [panel.transcript, panel.check],
        **(QUIET | {"queue": True}),
    )
    _at_once(panel.reference.clear, None, list(empty), js).then(
        actions.forget, None, None, cancels=transcribing, **QUIET
    )


def _connect_library(panel: VoicePanel, actions: VoiceActions) -> None:
    everything = panel.all
    given = [panel.name, panel.sample, panel.transcript, panel.use, panel.saved]
    panel.save.click(actions.save, given, everything, **QUIET)
    panel.rename.click(actions.rename, [panel.saved, panel.name], everything, **QUIET)
    panel.delete.click(actions.delete, panel.saved, everything, **QUIET)
    panel.load.upload(
        actions.load,
        [panel.load, panel.saved],
        everything,
        trigger_mode="multiple",  # two files one after another are both added
        **(QUIET | {"queue": True}),
    )
    panel.export.click(actions.export, None, [panel.shelf, panel.export_file], **QUIET).then(
        None, panel.export_file, None, js=DOWNLOAD_JS, **QUIET
    )


def _at_once(event: Any, inputs: Any, outputs: list[Component], js: str) -> Any:
    """Set what the browser knows in the browser: no late answer undoes what comes after.

    What the server has to do follows by ``then``: a second function of the same event would bring
    this one back when it is called again for an event that had to wait.
    """
    return event(None, inputs, outputs, js=js, **QUIET)


def role_js(panel: VoicePanel, catalog: Catalog) -> tuple[list[Component], str]:
    """What a role may change at once, and browser code that gives the values (undefined: none)."""
    outputs = [*panel.style, panel.named, panel.reference, *panel.no_recording]
    table: dict[str, dict[int, Any]] = {}
    for role in (*catalog.roles.values(), Role(NONE, {}, {})):
        changes: dict[Component, Any] = dict.fromkeys(panel.style, NONE)
        changes |= {panel.emotion: role.emotion or NONE}
        changes |= {getattr(panel, key): value for key, value in role.style.items()}
        if role.voice:
            changes |= {**panel.no_recording, panel.reference: None, panel.named: role.voice}
        table[role.id] = {outputs.index(component): value for component, value in changes.items()}
    bring = [role.id for role in catalog.roles.values() if role.voice or role.recording]
    found = f"({json.dumps(table)})[role]?.[index]"
    return outputs, (
        f"(role) => {{ if ({json.dumps(bring)}.includes(role)) {BEGIN_JS}"
        f" return Array.from({{length: {len(outputs)}}}, (_, index) => {found}); }}"
    )


def constants_js(values: Iterable[Any], first: str = "") -> str:
    """Browser code that gives ``values``, whatever it gets, after the statements of ``first``."""
    return f"() => {{ {first} return {json.dumps(list(values))}; }}"
