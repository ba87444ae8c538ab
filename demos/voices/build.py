"""The voice panel on the page: built and connected.

Knows: which event of which component calls which handler. Does not know: what handlers do.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradio.components import Component

from demos.base.browser_values import (
    BrowserCode,
    Changes,
    Inputs,
    chosen_js,
    constants_js,
    download_js,
)
from demos.base.debounce import debounced
from demos.base.events import QUIET, Event, Listener
from demos.base.languages import Words
from demos.base.owner import OWNER, Owner
from demos.playback.voice_line import VoiceDesk
from demos.turns.sessions import Sessions
from demos.voices.actions import VoiceActions
from demos.voices.catalog import Catalog, Role, read_catalog
from demos.voices.gallery import PRESSED_JS
from demos.voices.hearing import Hearing
from demos.voices.library import VoiceLibrary
from demos.voices.panel import NONE, VoicePanel, lay_out_voice_panel
from demos.voices.remembering import Remembering

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

REFERENCE = "voice-recording"  # the name in the page of the reference that was chosen last
BEGIN_JS = f"omniNewest.begin('{REFERENCE}');"
NUMBERED_JS = f"(file) => [file, omniNewest.number('{REFERENCE}')]"
# A check whose answer comes after another choice changes nothing.
WANTED_JS = f"""(number, file, note) =>
  number === omniNewest.number("{REFERENCE}") ? [file, note] : [undefined, undefined]"""
AT_ONCE: dict[str, Any] = {**QUIET, "queue": False}


@dataclass(frozen=True, eq=False)
class BuiltVoice:
    """The panel, and how it is told whom it speaks to."""

    panel: VoicePanel
    actions: VoiceActions

    def greet(self, listen: Listener) -> Event:
        """Say everything in the person's language when the page comes (the event of ``listen``),
        and bring back what was chosen before.
        """
        said = self._say(listen)
        Remembering(self.panel, self.actions).restore_after(said)
        return said

    def speak_through(self, lines: VoiceDesk) -> None:
        """Have "Hear this voice" speak, by the page's voice lines."""
        actions = self.actions
        Hearing(
            self.panel.hearing, self.panel, actions.engine, actions.sessions, actions.words, lines
        ).connect()

    def _say(self, listen: Listener) -> Event:
        return listen(self.actions.render, None, self.panel.all, **AT_ONCE)

    def translate(self, event: Event) -> None:
        """The same after ``event``, which changed the language; so does the system prompt."""
        write = self.actions.write_system_text
        panel = self.panel
        self._say(event.then).then(write, made_from(panel), made(panel), **AT_ONCE)


def made_from(panel: VoicePanel) -> Inputs:
    """What the system prompt is made from."""
    return {panel.by_hand, panel.transcript, panel.reference_use, *panel.controls}


def made(panel: VoicePanel) -> list[Component]:
    """What shows the system prompt."""
    return [panel.system_text, panel.named_voice, panel.system_note]


def build_voice_panel(
    engine: Engine,
    sessions: Sessions,
    words: Words,
    library: VoiceLibrary | None = None,
    owner: Owner = OWNER,
) -> BuiltVoice:
    """Lay the panel out where the caller is, and connect it.

    Args:
        library: where voices are kept for good; None (others than the machine's owner can reach
            the page): each session keeps its own until it ends.
        owner: whose the library is.
    """
    catalog = read_catalog()
    for problem in catalog.problems:
        log.warning("%s", problem)
    panel = lay_out_voice_panel(words)
    actions = VoiceActions(panel, engine, sessions, words, catalog, library, owner)
    _connect(panel, actions)
    _connect_gallery(panel, actions)
    Remembering(panel, actions).connect()
    return BuiltVoice(panel, actions)


def _connect(panel: VoicePanel, actions: VoiceActions) -> None:
    from_these = made_from(panel)
    debounced("voice-panel", from_these)(
        actions.write_system_text, from_these, made(panel), **AT_ONCE
    )
    # Queued: just those answers tell the page that a State has changed.
    debounced("voice-recording", [panel.reference])(
        actions.use_reference, panel.reference, panel.used_reference, **QUIET, queue=True
    )
    _connect_reference(panel, actions)
    brought = role_js(panel, actions.catalog)
    _in_browser(panel.role.input, panel.role, brought).then(
        actions.choose_role, panel.role, panel.all, trigger_mode="always_last", **AT_ONCE
    )
    panel.saved_voice.input(
        actions.choose_saved,
        panel.saved_voice,
        panel.all,
        js=f"(name) => {{ {BEGIN_JS} return [name]; }}",
        trigger_mode="always_last",
        **AT_ONCE,
    )
    _connect_library(panel, actions)
    first = constants_js(panel.first_values, BEGIN_JS)
    _in_browser(panel.reset.click, None, first).then(
        actions.forget_reference, None, None, **AT_ONCE
    )


def _connect_gallery(panel: VoicePanel, actions: VoiceActions) -> None:
    gallery = panel.gallery
    gallery.play(
        actions.play_ready,
        panel.ready_voice,
        panel.sample,
        js=f"() => [{PRESSED_JS}]",
        trigger_mode="always_last",
        **AT_ONCE,
    ).then(None, panel.sample, None, js="(file) => { omniVoices.play(file); }", **AT_ONCE)
    gallery.use(
        actions.use_ready,
        panel.ready_voice,
        panel.all,
        js=f"() => {{ {BEGIN_JS} return [omniVoices.wanted()]; }}",
        trigger_mode="always_last",
        **AT_ONCE,
    )
    panel.ready_voice.change(
        None, panel.ready_voice, None, js="(id) => { omniVoices.use(id); }", **AT_ONCE
    )


def _connect_reference(panel: VoicePanel, actions: VoiceActions) -> None:
    empty = constants_js(panel.no_reference, BEGIN_JS)
    found = [panel.checked_number, panel.checked_file, panel.checked_note]
    for event in (panel.reference.upload, panel.reference.stop_recording):
        _in_browser(event, None, empty).then(
            actions.check_reference,
            None,
            found,
            inputs_kwargs={"upload": panel.reference, "number": panel.checked_number},
            js=NUMBERED_JS,
            trigger_mode="multiple",  # a newer reference does not wait for the check of an older
            **(AT_ONCE | {"show_progress": "full", "show_progress_on": panel.reference}),
        ).then(None, found, [panel.reference, panel.reference_note], js=WANTED_JS, **AT_ONCE)
    transcribing = panel.transcribe.click(
        actions.transcribe,
        panel.used_reference,
        [panel.transcript, panel.reference_note],
        queue=True,
        **QUIET,
    )
    _in_browser(panel.reference.clear, None, empty).then(
        actions.forget_reference, None, None, cancels=transcribing, **AT_ONCE
    )


def _connect_library(panel: VoicePanel, actions: VoiceActions) -> None:
    everything = panel.all
    panel.save.click(
        actions.save,
        None,
        everything,
        inputs_kwargs={
            "name": panel.voice_name,
            "reference": panel.used_reference,
            "transcript": panel.transcript,
            "use": panel.reference_use,
            "chosen": panel.saved_voice,
        },
        **AT_ONCE,
    )
    panel.rename.click(
        actions.rename,
        None,
        everything,
        inputs_kwargs={"chosen": panel.saved_voice, "name": panel.voice_name},
        **AT_ONCE,
    )
    panel.delete.click(actions.delete, panel.saved_voice, everything, **AT_ONCE)
    panel.import_file.upload(
        actions.import_file,
        None,
        everything,
        inputs_kwargs={"upload": panel.import_file, "chosen": panel.saved_voice},
        trigger_mode="multiple",  # two files one after another are both added
        queue=True,
        **QUIET,
    )
    exported = [panel.library_note, panel.export_file]
    panel.export.click(actions.export, None, exported, **AT_ONCE).then(
        None, panel.export_file, None, js=download_js("voices.zip"), **AT_ONCE
    )


def _in_browser(event: Listener, inputs: Component | None, code: BrowserCode) -> Event:
    """Set what the browser knows in the browser: no late answer undoes what comes after.

    What the server has to do follows by ``then``: a second function of the same event would bring
    this one back when it is called again for an event that had to wait.
    """
    return event(None, inputs, code.outputs, js=code.js, **AT_ONCE)


def role_js(panel: VoicePanel, catalog: Catalog) -> BrowserCode:
    """Browser code for what a role changes at once."""
    roles = catalog.roles.values()
    table = {role.id: brought_by(role, panel) for role in (*roles, Role(NONE, {}, {}))}
    bring = [role.id for role in roles if role.named_voice or role.saved_voice]
    return chosen_js(table, f"if ({json.dumps(bring)}.includes(choice)) {BEGIN_JS}")


def brought_by(role: Role, panel: VoicePanel) -> Changes:
    """What a role changes at once: its style always, the voice if it has a named one."""
    changes: Changes = dict.fromkeys(panel.style, NONE)
    changes |= {panel.emotion: role.emotion or NONE}
    changes |= {getattr(panel, key): value for key, value in role.style.items()}
    if role.named_voice:
        changes |= {
            **panel.no_reference,
            panel.reference: None,
            panel.named_voice: role.named_voice,
        }
    return changes
