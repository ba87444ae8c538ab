"""What happens when a person uses the voice panel.

Knows: the handlers and which components they change; sentences in the person's language.
Does not know: layout, how a recording is judged (omni.listening.reference_check), how voices are
kept (demos.voices).
"""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.base.word_files import PageLanguage, PromptLanguage, in_language
from demos.panels.model_bar import untrained_key
from demos.turns.sessions import Session, Sessions, TurnBusy
from demos.turns.turn import progress_sentence
from demos.voices.archive import export_voices, import_voices
from demos.voices.catalog import Catalog, Role
from demos.voices.library import SavedVoice, VoiceLibrary
from demos.voices.panel import NONE, VoicePanel, choices
from omni.errors import OmniError
from omni.events import Progress, TextDelta
from omni.listening.reference_check import check_voice
from omni.prompting.system_text import VOICE_SENTENCE, system_text

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

TASK = "voice"  # the name under which a session's transcription runs
SHOWN_TRANSCRIPT = 60  # characters of it in the note below the system prompt
SAMPLE_NAME = "voice.wav"

Changes: TypeAlias = dict[Component, Any]


@dataclass(frozen=True, eq=False)
class VoiceActions:
    """The event handlers of the panel. ``library`` None: each session has its own, for a while."""

    panel: VoicePanel
    engine: Engine
    sessions: Sessions
    words: Words
    catalog: Catalog
    library: VoiceLibrary | None = None

    def render(self, request: gr.Request) -> Changes:
        """What a page that was just opened shows, in the person's language."""
        language = self.words.of(request)
        key = "voice-library-owner" if self.library else "voice-library-session"
        problems = self.catalog.problems if self.library else ()  # they name the owner's folders
        sentences = [self.words.error(language, problem) for problem in problems]
        return {
            self.panel.role: gr.update(choices=self._roles(language)),
            self.panel.named: gr.update(choices=self._named(language)),
            self.panel.saved: gr.update(choices=self._saved(request)),
            self.panel.shelf: note(self.words.say(language, key)),
            self.panel.problems: refusal("\n".join(sentences)),
        }

    def compile(self, request: gr.Request, *values: Any) -> Changes:
        """The system prompt from the controls, unless it is edited by hand.

        Args:
            values: of by_hand, transcript, use, and the panel's controls.
        """
        by_hand, transcript, use, *controls = values
        panel, language = self.panel, self.words.of(request)
        spoken = self.words.prompt_language(language)
        chosen = choices(controls, lambda role: self._role_text(role, spoken))
        sample = controls[2]
        text = gr.skip() if by_hand else system_text(chosen, spoken)
        return {
            panel.system: gr.update(interactive=by_hand)
            if by_hand
            else gr.update(value=text, interactive=False),
            panel.named: gr.update(interactive=not sample),
            panel.after: self._after(language, sample, use, transcript),
        }

    def choose_role(self, request: gr.Request, role_id: str) -> Changes:
        """A role may bring a voice; its style the browser has set already (demos.voices.build)."""
        role = self.catalog.roles.get(role_id)
        if role and role.recording:
            return self.choose_saved(request, role.recording)
        if role and role.voice:
            self.forget(request)
        return {self.panel.check: gr.skip()}

    def choose_saved(self, request: gr.Request, name: str) -> Changes:
        """A saved voice takes the place of the recording; none: no recording."""
        panel, language = self.panel, self.words.of(request)
        self.forget(request)
        gone = {panel.reference: None, **panel.no_recording}
        if not name:
            return gone
        session = self._session(request)
        try:
            voice, wav = self._shelf(session).get(name)
            copy = session.new_file(f"{voice.name}.wav")
            copy.write_bytes(wav.read_bytes())
        except (OmniError, OSError) as error:
            names = gr.update(choices=self._saved(request), value=NONE)
            sentence = self._refused(language, error)
            return gone | {panel.saved: names, panel.check: sentence}
        return {
            panel.saved: gr.update(choices=self._saved(request)),
            panel.reference: str(copy),
            panel.transcript: voice.transcript,
            panel.use: voice.use,
            panel.name: voice.name,
            panel.check: note(self.words.say(language, "voice-chosen", name=voice.name)),
        }

    def hear(self, request: gr.Request, upload: str | None, number: int) -> Changes:
        """Judge a new recording; it is shown as it will be used, or a sentence says why not.

        The page shows it if it has that ``number`` still (demos.voices.build).
        """
        panel, language, session = self.panel, self.words.of(request), self._session(request)
        session.stop(TASK)
        judged: Changes = {panel.judged_number: number}
        if not upload:
            return {**judged, panel.judged: None, panel.verdict: ""}
        try:
            sample = check_voice(session.keep(Path(upload)))
            path = session.new_file(SAMPLE_NAME)
            sample.save(path)
            usable = self.words.say(language, "voice-usable", seconds=sample.seconds)
            shown, sentence = str(path), note(usable)
        except (OmniError, OSError) as error:
            shown, sentence = None, self._refused(language, error)
        return {**judged, panel.judged: shown, panel.verdict: sentence}

    def adopt(self, request: gr.Request, shown: str | None) -> Changes:
        """What the player shows is what is used, once it was checked: it is the session's then."""
        own = shown and self._session(request).folder in Path(shown).parents
        return {self.panel.sample: shown if own else None}

    def forget(self, request: gr.Request) -> None:
        """The player was emptied; what still runs for its recording is over."""
        self._session(request).stop(TASK)

    def transcribe(self, request: gr.Request, sample: str | None) -> Iterator[Changes]:
        """Let the model write down what the recording says."""
        panel, language, session = self.panel, self.words.of(request), self._session(request)
        say = self.words.say
        if not sample:
            yield {panel.check: refusal(say(language, "voice-save-nothing"))}
            return
        if untrained_key(self.engine):
            yield {panel.check: refusal(say(language, "voice-transcribe-untrained"))}
            return
        try:
            with session.turn(TASK) as stop:
                said = ""
                for event in self.engine.transcribe(Path(sample), stop):
                    if stop.is_set():
                        break
                    if isinstance(event, TextDelta):
                        said += event.text
                        yield {panel.transcript: said}
                    elif isinstance(event, Progress):
                        sentence = progress_sentence(self.words, language, event)
                        yield {panel.check: note(sentence)}
            done = "voice-transcribed" if said.strip() else "voice-transcribed-none"
            if not stop.is_set():
                yield {panel.transcript: said.strip(), panel.check: note(say(language, done))}
        except TurnBusy:
            yield {panel.check: note(say(language, "turn-busy"))}
        except Exception as error:
            yield {panel.check: self._refused(language, error)}

    def save(
        self, request: gr.Request, name: str, sample: str | None, words: str, use: Any, old: str
    ) -> Changes:
        """Keep the recording under a name; the name of the chosen voice saves it anew."""
        panel, language = self.panel, self.words.of(request)
        if not sample:
            return {panel.shelf: refusal(self.words.say(language, "voice-save-nothing"))}
        again = old if old and old.casefold() == (name or "").strip().casefold() else None
        try:
            voice = SavedVoice(name or "", (words or "").strip(), use)
            shelf = self._shelf(self._session(request))
            saved = shelf.save(voice, Path(sample), again).name
        except (OmniError, OSError) as error:
            return {panel.shelf: self._refused(language, error)}
        return self._shelved(request, saved, "voice-was-saved", name=saved)

    def rename(self, request: gr.Request, old: str, name: str) -> Changes:
        """Give the chosen voice the typed name."""
        panel, language = self.panel, self.words.of(request)
        if not old:
            return {panel.shelf: refusal(self.words.say(language, "voice-choose-first"))}
        try:
            new = self._shelf(self._session(request)).rename(old, name or "")
        except (OmniError, OSError) as error:
            return {panel.shelf: self._refused(language, error)}
        return self._shelved(request, new, "voice-was-renamed", old=old, name=new)

    def delete(self, request: gr.Request, name: str) -> Changes:
        """Remove the chosen voice; its recording stays in the panel."""
        panel, language = self.panel, self.words.of(request)
        if not name:
            return {panel.shelf: refusal(self.words.say(language, "voice-choose-first"))}
        try:
            self._shelf(self._session(request)).delete(name)
        except (OmniError, OSError) as error:
            return {panel.shelf: self._refused(language, error)}
        return self._shelved(request, NONE, "voice-was-deleted", name=name)

    def export(self, request: gr.Request) -> Changes:
        """All saved voices as a file to download."""
        panel, language, session = self.panel, self.words.of(request), self._session(request)
        path = session.new_file(f"voices-{time.strftime('%Y%m%d-%H%M%S')}.zip")
        try:
            export_voices(self._shelf(session), path)
        except (OmniError, OSError) as error:
            return {panel.shelf: self._refused(language, error), panel.export_file: None}
        return {panel.export_file: str(path)}

    def load(self, request: gr.Request, upload: str, chosen: str) -> Changes:
        """Add the voices of an exported file."""
        language, session = self.words.of(request), self._session(request)
        try:
            names = import_voices(self._shelf(session), session.keep(Path(upload)))
        except (OmniError, OSError) as error:
            return {self.panel.shelf: self._refused(language, error)}
        return self._shelved(request, chosen, "voice-was-imported", names=", ".join(names))

    def _shelved(self, request: gr.Request, chosen: str, key: str, **values: object) -> Changes:
        """The library after a change."""
        panel = self.panel
        changes: Changes = {
            panel.saved: gr.update(choices=self._saved(request), value=chosen),
            panel.shelf: note(self.words.say(self.words.of(request), key, **values)),
        }
        return changes | ({panel.name: chosen} if chosen else {})

    def _after(self, language: PageLanguage, sample: Any, use: Any, transcript: Any) -> str:
        """What the prompt puts behind the text."""
        say = self.words.say
        if not sample:
            return ""
        if use == "system":
            sentence = VOICE_SENTENCE[self.words.prompt_language(language)]
            return note(say(language, "system-after-voice", sentence=sentence))
        heard = (transcript or "").strip()
        if not heard:
            return refusal(say(language, "system-after-missing"))
        if len(heard) > SHOWN_TRANSCRIPT:
            heard = heard[:SHOWN_TRANSCRIPT].rstrip() + "…"
        return note(say(language, "system-after-example", transcript=heard))

    def _roles(self, language: PageLanguage) -> list[tuple[str, str]]:
        known = self.catalog.roles.values()
        roles = [(in_language(role.label, language), role.id) for role in known]
        return [(self.words.say(language, "voice-role-none"), NONE), *roles]

    def _role_text(self, role_id: str, language: PromptLanguage) -> str:
        role: Role | None = self.catalog.roles.get(role_id)
        return in_language(role.text, language) if role else ""

    def _named(self, language: PageLanguage) -> list[tuple[str, str]]:
        found = []
        for voice in self.catalog.voices.values():
            label = in_language(voice.label, language)
            if voice.documented:
                label = self.words.say(language, "voice-documented", label=label)
            found.append((label, voice.name))
        return [*found, (self.words.say(language, "voice-named-none"), NONE)]

    def _saved(self, request: gr.Request) -> list[tuple[str, str]]:
        names = self._shelf(self._session(request)).names()
        none = self.words.say(self.words.of(request), "voice-saved-none")
        return [(none, NONE), *((name, name) for name in names)]

    def _shelf(self, session: Session) -> VoiceLibrary:
        return self.library or VoiceLibrary(session.folder / "voices")

    def _session(self, request: gr.Request) -> Session:
        return self.sessions.get(request.session_hash)

    def _refused(self, language: PageLanguage, error: Exception) -> str:
        if isinstance(error, OmniError):
            return refusal(self.words.error(language, error))
        log.error("the voice panel failed", exc_info=error)
        return refusal(self.words.say(language, "unexpected"))


def note(sentence: str) -> str:
    """A sentence as HTML that a screen reader says when it has time."""
    return f'<div role="status">{_lines(sentence)}</div>' if sentence else ""


def refusal(sentence: str) -> str:
    """A sentence that says what does not work, as HTML."""
    return f'<div role="alert" class="refusal">{_lines(sentence)}</div>' if sentence else ""


def _lines(sentence: str) -> str:
    return html.escape(sentence).replace("\n", "<br>")
