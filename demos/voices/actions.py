"""What happens when a person uses the voice panel.

Knows: the handlers and which components they change; sentences in the person's language.
Does not know: layout, how a reference recording is checked (omni.listening.reference_check), how
voices are kept (demos.voices.library).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from demos.base.browser_values import Changes, Values
from demos.base.languages import Words
from demos.base.owner import OWNER, Owner
from demos.base.word_files import PageLanguage, PromptLanguage, in_language
from demos.panels.model_state import untrained_key
from demos.turns.given_media import check_given
from demos.turns.sessions import Session, Sessions, TurnBusy
from demos.turns.turn import progress_sentence
from demos.voices.archive import check_archive, export_voices, import_voices
from demos.voices.by_name import has_lines, library_of, lines_of
from demos.voices.catalog import Catalog, Role
from demos.voices.gallery import as_wav, cards, ready_voice
from demos.voices.library import SavedVoice, Use, VoiceLibrary
from demos.voices.marks import marked_choices
from demos.voices.notes import note, refusal, warning
from demos.voices.panel import NONE, VoiceChoice, VoicePanel
from demos.voices.truth import truth_of
from omni.errors import OmniError
from omni.events import Progress, TextDelta
from omni.listening.reference_check import check_voice, trust
from omni.prompting.system_text import VOICE_SENTENCE, system_text
from omni.requests import ReadLine
from omni.settings import NANO

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

TASK = "voice"  # the name under which a session's transcription runs
SHOWN_TRANSCRIPT = 60  # characters of it in the note below the system prompt
SAMPLE_NAME = "voice.wav"


@dataclass(frozen=True, eq=False)
class VoiceActions:
    """The event handlers of the panel.

    ``library``: where the machine's owner keeps voices, for nobody but them; None: nobody has it.
    Whoever else comes has a library of their session's, for a while.
    """

    panel: VoicePanel
    engine: Engine
    sessions: Sessions
    words: Words
    catalog: Catalog
    library: VoiceLibrary | None = None
    owner: Owner = OWNER

    def render(self, request: gr.Request) -> Changes:
        """What a page that was just opened shows, in the person's language."""
        language = self.words.of(request)
        own = self._kept_for(request) is not None
        key = "voice-library-owner" if own else "voice-library-session"
        problems = self.catalog.problems if own else ()  # they name the owner's folders
        sentences = [self.words.error(language, problem) for problem in problems]
        return {
            **self.marked(language),
            self.panel.gallery: cards(self.words, language),
            self.panel.named_voice: gr.update(choices=self._named(language)),
            self.panel.saved_voice: gr.update(choices=self._saved(request)),
            self.panel.library_note: note(self.words.say(language, key)),
            self.panel.problems: refusal("\n".join(sentences)),
        }

    def write_system_text(self, request: gr.Request, values: Values) -> Changes:
        """The system prompt from the controls, unless it is edited by hand."""
        panel, language = self.panel, self.words.of(request)
        by_hand, reference = values[panel.by_hand], values[panel.used_reference]
        if by_hand:
            box = gr.update(interactive=True)
        else:
            spoken = self.words.prompt_language(language)
            chosen = panel.system_choices(values, lambda role: self._role_text(role, spoken))
            natural = truth_of(self.engine).name != NANO
            box = gr.update(value=system_text(chosen, spoken, natural), interactive=False)
        return {
            panel.system_text: box,
            panel.named_voice: gr.update(interactive=not reference),
            panel.system_note: self._system_note(language, values),
        }

    def choose_role(self, request: gr.Request, role_id: str) -> Changes:
        """A role may bring a voice; its style the browser has set already (demos.voices.build)."""
        role = self.catalog.roles.get(role_id)
        if role and role.saved_voice:
            return self.choose_saved(request, role.saved_voice)
        if role and role.named_voice:
            self.forget_reference(request)
        return {self.panel.reference_note: gr.skip()}

    def choose_saved(self, request: gr.Request, name: str) -> Changes:
        """A saved voice takes the place of the reference; none: no reference."""
        panel = self.panel
        self.forget_reference(request)
        gone: Changes = {panel.reference: None, **panel.no_reference}
        if not name:
            return gone
        return self._chosen(request, gone, name)

    def _chosen(self, request: gr.Request, gone: Changes, name: str) -> Changes:
        panel, language = self.panel, self.words.of(request)
        session = self._session(request)
        try:
            voice, wav = self._library_of(request).get(name)
            with session.writing(f"{voice.name}.wav", wav.stat().st_size) as copy:
                copy.write_bytes(wav.read_bytes())
            trust(copy)  # what is in a library was checked
        except (OmniError, OSError) as error:
            names = gr.update(choices=self._saved(request), value=NONE)
            sentence = self._refused(language, error)
            return gone | {panel.saved_voice: names, panel.reference_note: sentence}
        return {
            panel.saved_voice: gr.update(choices=self._saved(request)),
            panel.reference: str(copy),
            panel.transcript: voice.transcript,
            panel.reference_use: voice.use,
            panel.voice_name: voice.name,
            panel.ready_voice: NONE,
            panel.reference_note: note(self.words.say(language, "voice-chosen", name=voice.name)),
        }

    def play_ready(self, request: gr.Request, name: str) -> Changes:
        """A ready voice's recording, for the browser to play."""
        voice = ready_voice(name)
        if voice is None:
            return {self.panel.sample: gr.skip()}
        return {self.panel.sample: str(as_wav(voice, self._session(request)))}

    def use_ready(self, request: gr.Request, name: str) -> Changes:
        """A ready voice takes the place of the reference; used already: it is put away."""
        panel, language = self.panel, self.words.of(request)
        self.forget_reference(request)
        voice = ready_voice(name)
        if voice is None:
            return {panel.reference: None, **panel.no_reference}
        told = self.words.say(language, "voice-chosen", name=in_language(voice.name, language))
        return {
            **panel.no_reference,
            panel.reference: str(as_wav(voice, self._session(request))),
            panel.ready_voice: voice.id,
            panel.transcript: voice.transcript,
            panel.reference_note: note(told),
        }

    def saved_names(self, request: gr.Request) -> list[str]:
        """The names of the voices that the person has saved."""
        return self._library_of(request).names()

    def lines(
        self, request: gr.Request, text: str, rest: VoiceChoice, always: bool = False
    ) -> Callable[[], tuple[ReadLine, ...]] | None:
        """Reads a text with several voices out into its lines; None: no line names a voice.

        Args:
            rest: the voice of lines without a name.
            always: also where no line names one.
        """
        library, language = self._library_of(request), self.words.of(request)
        if not (always or has_lines(text, library)):
            return None
        return lambda: lines_of(text, library, language, rest.system_prompt())

    def marked(self, language: PageLanguage) -> Changes:
        """The choices that the loaded checkpoint may do nothing with, said to be so."""
        return marked_choices(self.panel, self.words, language, self.catalog, truth_of(self.engine))

    def check_reference(self, request: gr.Request, upload: str | None, number: int) -> Changes:
        """Check a new reference; it is shown as it will be used, or a sentence says why not.

        The page shows it if it has that ``number`` still (demos.voices.build).
        """
        panel, language, session = self.panel, self.words.of(request), self._session(request)
        session.stop(TASK)
        numbered: Changes = {panel.checked_number: number}
        if not upload:
            return {**numbered, panel.checked_file: None, panel.checked_note: ""}
        try:
            sample = check_voice(session.keep(Path(upload), partial(check_given, kind="sound")))
            with session.writing(SAMPLE_NAME) as path:
                sample.save(path)
            trust(path)
            usable = note(self.words.say(language, "voice-usable", seconds=sample.seconds))
            for doubt in sample.doubts:
                usable += warning(self.words.say(language, f"voice-doubt-{doubt}"))
        except (OmniError, OSError) as error:
            sentence = self._refused(language, error)
            return {**numbered, panel.checked_file: None, panel.checked_note: sentence}
        return {**numbered, panel.checked_file: str(path), panel.checked_note: usable}

    def use_reference(self, request: gr.Request, shown: str | None) -> Changes:
        """What the player shows is what is used, once it was checked: it is the session's then."""
        own = shown and self._session(request).folder in Path(shown).parents
        return {self.panel.used_reference: shown if own else None}

    def forget_reference(self, request: gr.Request) -> None:
        """The player was emptied; what still runs for its reference is over."""
        self._session(request).stop(TASK)

    def transcribe(self, request: gr.Request, reference: str | None) -> Iterator[Changes]:
        """Let the model write down what the reference says."""
        panel, language, session = self.panel, self.words.of(request), self._session(request)
        say = self.words.say
        if not reference:
            yield {panel.reference_note: refusal(say(language, "voice-save-nothing"))}
            return
        if untrained_key(self.engine):
            yield {panel.reference_note: refusal(say(language, "voice-transcribe-untrained"))}
            return
        try:
            with session.turn(TASK) as stop:
                said = ""
                for event in self.engine.transcribe(Path(reference), stop, owner=session.asker):
                    if stop.is_set():
                        break
                    if isinstance(event, TextDelta):
                        said += event.text
                        yield {panel.transcript: said}
                    elif isinstance(event, Progress):
                        sentence = progress_sentence(self.words, language, event)
                        yield {panel.reference_note: note(sentence)}
            done = "voice-transcribed" if said.strip() else "voice-transcribed-none"
            if not stop.is_set():
                yield {
                    panel.transcript: said.strip(),
                    panel.reference_note: note(say(language, done)),
                }
        except TurnBusy:
            yield {panel.reference_note: note(say(language, "turn-busy"))}
        except Exception as error:
            yield {panel.reference_note: self._refused(language, error)}

    def save(
        self,
        request: gr.Request,
        name: str | None,
        reference: str | None,
        transcript: str | None,
        use: Use,
        chosen: str,
    ) -> Changes:
        """Keep the reference under a name; the name of the ``chosen`` voice saves it anew."""
        panel, language = self.panel, self.words.of(request)
        if not reference:
            return {panel.library_note: refusal(self.words.say(language, "voice-save-nothing"))}
        again = chosen and chosen.casefold() == (name or "").strip().casefold()
        try:
            voice = SavedVoice(name or "", (transcript or "").strip(), use)
            library = self._library_of(request)
            saved = library.save(voice, Path(reference), chosen if again else None).name
        except (OmniError, OSError) as error:
            return {panel.library_note: self._refused(language, error)}
        return self._library_changed(request, saved, "voice-was-saved", name=saved)

    def rename(self, request: gr.Request, chosen: str, name: str | None) -> Changes:
        """Give the chosen voice the typed name."""
        panel, language = self.panel, self.words.of(request)
        if not chosen:
            return {panel.library_note: refusal(self.words.say(language, "voice-choose-first"))}
        try:
            new = self._library_of(request).rename(chosen, name or "")
        except (OmniError, OSError) as error:
            return {panel.library_note: self._refused(language, error)}
        return self._library_changed(request, new, "voice-was-renamed", old=chosen, name=new)

    def delete(self, request: gr.Request, chosen: str) -> Changes:
        """Remove the chosen voice; its reference stays in the panel."""
        panel, language = self.panel, self.words.of(request)
        if not chosen:
            return {panel.library_note: refusal(self.words.say(language, "voice-choose-first"))}
        try:
            self._library_of(request).delete(chosen)
        except (OmniError, OSError) as error:
            return {panel.library_note: self._refused(language, error)}
        return self._library_changed(request, NONE, "voice-was-deleted", name=chosen)

    def export(self, request: gr.Request) -> Changes:
        """All saved voices as a file to download."""
        panel, language, session = self.panel, self.words.of(request), self._session(request)
        name = f"voices-{time.strftime('%Y%m%d-%H%M%S')}.zip"
        try:
            with session.writing(name) as path:
                export_voices(self._library_of(request), path)
        except (OmniError, OSError) as error:
            return {panel.library_note: self._refused(language, error), panel.export_file: None}
        return {panel.export_file: str(path)}

    def import_file(self, request: gr.Request, upload: str, chosen: str) -> Changes:
        """Add the voices of an exported file."""
        language, session = self.words.of(request), self._session(request)
        try:
            names = import_voices(
                self._library_of(request), session.keep(Path(upload), check_archive)
            )
        except (OmniError, OSError) as error:
            return {self.panel.library_note: self._refused(language, error)}
        key = "voice-was-imported" if names else "voices-are-known"
        return self._library_changed(request, chosen, key, names=", ".join(names))

    def _library_changed(
        self, request: gr.Request, chosen: str, key: str, **values: object
    ) -> Changes:
        """The library after a change."""
        panel = self.panel
        changes: Changes = {
            panel.saved_voice: gr.update(choices=self._saved(request), value=chosen),
            panel.library_note: note(self.words.say(self.words.of(request), key, **values)),
        }
        return changes | ({panel.voice_name: chosen} if chosen else {})

    def _system_note(self, language: PageLanguage, values: Values) -> str:
        """What the prompt puts behind the text."""
        say, panel = self.words.say, self.panel
        if not values[panel.used_reference]:
            return ""
        if values[panel.reference_use] == "system":
            sentence = VOICE_SENTENCE[self.words.prompt_language(language)]
            return note(say(language, "system-after-voice", sentence=sentence))
        says = (values[panel.transcript] or "").strip()
        if not says:
            return refusal(say(language, "system-after-missing"))
        if len(says) > SHOWN_TRANSCRIPT:
            says = says[:SHOWN_TRANSCRIPT].rstrip() + "…"
        return note(say(language, "system-after-example", transcript=says))

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
        names = self._library_of(request).names()
        none = self.words.say(self.words.of(request), "voice-saved-none")
        return [(none, NONE), *((name, name) for name in names)]

    def _library_of(self, request: gr.Request) -> VoiceLibrary:
        return library_of(request, self._session(request), self.library, self.owner)

    def _kept_for(self, request: gr.Request) -> VoiceLibrary | None:
        """The owner's library, if it is the owner who asks."""
        return self.library if self.library and self.owner.has_voices(request) else None

    def _session(self, request: gr.Request) -> Session:
        return self.sessions.of(request)

    def _refused(self, language: PageLanguage, error: Exception) -> str:
        if isinstance(error, OmniError):
            return refusal(self.words.error(language, error))
        log.error("the voice panel failed", exc_info=error)
        return refusal(self.words.say(language, "unexpected"))
