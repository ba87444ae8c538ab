"""What a person does in a tab's chat: send, ask again, edit, undo, delete, stop, clear.

Knows: Gradio's requests and event data, how a turn's views become the values of components.
Does not know: layout, how a turn runs (demos.turns.turn).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.components import Component

from demos.base.browser_values import Changes, Inputs, Values
from demos.base.word_files import PageLanguage
from demos.panels.parameters import Change
from demos.playback.player import VOICE_LINE, chunk
from demos.tabs.spec import Keep, Media, Tab, TabContext
from demos.turns.chat import Task, Thread, retyped
from demos.turns.given_media import MediumKind, check_given
from demos.turns.sessions import Session
from demos.turns.turn import Ask, Prepare, View, run_turn, until_over
from demos.voices.panel import VoiceChoice
from omni.conversation import Part, SystemPrompt, Text
from omni.errors import ConversationError, MediaError
from omni.media.limits import DecodingStopped


@dataclass(frozen=True)
class TurnInputs:
    """What stands in the inputs of a tab and in the panels when a turn begins."""

    thread: Thread  # the chat so far
    text: str  # as typed, without spaces around it
    speak: bool  # whether the answer is to be spoken
    plays_voice_line: bool  # whether the page can play a voice line
    clears: int  # how often the chat had been cleared
    change: Change  # of the checkpoint's own options, by the parameters panel
    voice: VoiceChoice  # what the voice panel says
    media: Media


@dataclass(frozen=True, eq=False)
class Actions:
    """The event handlers of one tab."""

    tab: Tab
    context: TabContext
    # How often each session's page has cleared the chat: what was asked for before is outdated.
    cleared: WeakKeyDictionary[Session, int] = field(default_factory=WeakKeyDictionary)

    @property
    def inputs(self) -> Inputs:
        """What every turn gets."""
        tab, context = self.tab, self.context
        own: Inputs = {tab.thread, tab.text, tab.speak, tab.playback_support, tab.clears}
        own |= set(tab.media.values())
        return own | context.parameters.inputs | context.voice.inputs

    @property
    def outputs(self) -> list[Component]:
        """What a turn may change."""
        tab = self.tab
        shown = [tab.chat, tab.player, tab.status, tab.thread, tab.send, tab.stop, tab.text]
        return [*shown, *tab.media.values(), tab.ticket]

    def given(self, values: Values) -> TurnInputs:
        """The values of :attr:`inputs` by their meaning."""
        tab, context = self.tab, self.context
        return TurnInputs(
            thread=values[tab.thread],
            text=(values[tab.text] or "").strip(),
            speak=values[tab.speak],
            plays_voice_line=values[tab.playback_support] == VOICE_LINE,
            clears=values[tab.clears] or 0,
            change=context.parameters.change(values),
            voice=context.voice.chosen(values),
            media={name: values[component] for name, component in tab.media.items()},
        )

    def send(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Answer what stands in the inputs; the page has emptied the text box as it was sent."""
        given = self.given(values)
        yield from self.answer(request, given, given.text, emptied=emptied_media(self.tab))

    def answer(
        self,
        request: gr.Request,
        given: TurnInputs,
        text: str,
        task: Task = "chat",
        *,
        emptied: Changes,
    ) -> Iterator[Changes]:
        """Answer the media in the inputs and ``text``.

        ``emptied``: inputs whose contents are in the chat with the first view, emptied.
        """
        prepare = self._prepare_inputs(request, given, text)
        ask = replace(self.ask(request, given, prepare, text), task=task, names=_names(given.media))
        yield from self.run(request, given, ask, emptied=emptied)

    def fill(self, text: str) -> Changes:
        """Nothing happens, but ``text`` goes into the text box."""
        return {self.tab.text: text}

    def nothing(self) -> Changes:
        """Nothing changes."""
        return {self.tab.text: gr.skip()}

    def retry(self, request: gr.Request, event: gr.RetryData, values: Values) -> Iterator[Changes]:
        """Answer a question of the chat again."""
        yield from self._again(request, self.given(values), entry_index(event.index), None)

    def edit(self, request: gr.Request, event: gr.EditData, values: Values) -> Iterator[Changes]:
        """Put a question differently, and answer that; what came after it goes."""
        text = retyped(str(event.value)).strip()
        yield from self._again(request, self.given(values), entry_index(event.index), text)

    def undo(self, request: gr.Request, event: gr.UndoData, thread: Thread) -> Changes:
        """Take the last question and its answer back; its text returns to the text box."""
        index = entry_index(event.index)
        if not self._free(request) or index >= len(thread.entries):
            return self._unchanged(thread)
        text = thread.entries[index].text
        return self._changed(request, thread, thread.before(index), text)

    def delete(self, request: gr.Request, event: gr.EventData, thread: Thread) -> Changes:
        """Take one question and its answer out of the middle of the chat."""
        if not self._free(request):
            self._tell_busy(request)
            return self._unchanged(thread)
        return self._changed(request, thread, thread.without_row(int(event.row)), None)

    def stop(self, request: gr.Request) -> None:
        """End the running turn."""
        self._session(request).stop(self.tab.spec.name)

    def clear(self, request: gr.Request, thread: Thread, clears: int | None) -> Changes:
        """Empty the chat and the inputs, and remove the files, once the running turn is over.

        ``clears``: how often the chat has been cleared, this time included.
        """
        session, tab = self._session(request), self.tab
        self.cleared[session] = max(clears or 0, self.cleared.get(session, 0))
        session.end(tab.spec.name)
        session.forget(thread.files())
        self.context.engine.forget(session.key(tab.spec.name))
        return {
            tab.chat: [],
            tab.player: None,
            tab.status: "",
            tab.thread: Thread(),
            tab.send: gr.update(interactive=True),
            tab.stop: gr.update(interactive=False),
            tab.text: "",
            tab.ticket: "",
            **emptied_media(tab),
        }

    def run(
        self,
        request: gr.Request,
        given: TurnInputs,
        ask: Ask,
        emptied: Changes | None = None,
        before: Thread | None = None,
    ) -> Iterator[Changes]:
        """Run a turn in ``given.thread``.

        Args:
            emptied: see :meth:`answer`.
            before: the chat that is shown so far, if it is another one.
        """
        session, name = self._session(request), self.tab.spec.name
        thread, lost = still_there(given.thread)
        if lost:
            gr.Info(self._say(request, "session-over"))
        context = self.context
        wanted = given.plays_voice_line and ask.speech
        with context.voice_lines.line(wanted, request.headers.get("origin")) as line:
            first = True
            for view in run_turn(context.engine, session, name, thread, ask, context.words, line):
                if given.clears < self.cleared.get(session, 0):
                    if view.thread is not None:
                        self._forget(session, view.thread, Thread())
                    yield self.nothing()
                    return
                if view.notice:
                    gr.Warning(view.notice)
                if view.thread is not None:
                    self._forget(session, before or given.thread, view.thread)
                changes = self._shown(view, first, emptied if first else None)
                if first and not view.notice:
                    changes[self.tab.ticket] = line.ticket if line else ""
                yield changes
                first = False

    def show(self, request: gr.Request, before: Thread, now: Thread) -> Changes:
        """Another thread takes the place of ``before``."""
        return self._changed(request, before, now, None)

    def _tell_busy(self, request: gr.Request) -> None:
        """Say what runs in the tab."""
        key = self._session(request).busy_word(self.tab.spec.name)
        gr.Warning(self._say(request, key))

    def ask(self, request: gr.Request, given: TurnInputs, prepare: Prepare, text: str) -> Ask:
        """A turn with the settings of the panels."""
        return Ask(prepare, given.speak, self._language(request), text, change=given.change)

    def _again(
        self, request: gr.Request, given: TurnInputs, index: int, text: str | None
    ) -> Iterator[Changes]:
        entries = given.thread.entries
        if index >= len(entries) or not self._free(request):
            self._tell_busy(request)
            yield self._unchanged(given.thread)
            return
        asked = entries[index].message.parts
        if text is not None:
            media = tuple(part for part in asked if not isinstance(part, Text))
            asked = (*media, Text(text)) if text else media
        if not asked:
            yield self._unchanged(given.thread)
            return

        def prepare(_: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            return asked, given.voice.system_prompt()

        shorter = replace(given, thread=given.thread.before(index))
        ask = replace(self.ask(request, given, prepare, ""), parts=asked)
        if entries[index].task != "chat":  # the same again; reading makes nothing but speech
            task = entries[index].task
            ask = replace(ask, task=task, speech=ask.speech or task == "read")
        if ask.task == "read":
            said = "".join(part.text for part in asked if isinstance(part, Text))
            ask = replace(ask, lines=self.context.voices.actions.lines(request, said, given.voice))
        yield from self.run(request, shorter, ask, before=given.thread)

    def _prepare_inputs(self, request: gr.Request, given: TurnInputs, text: str) -> Prepare:
        """Makes the message's parts and the system prompt; runs in the turn's own thread."""
        session = self._session(request)

        def prepare(stop: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            parts = tuple(self.tab.spec.parts(given.media, keeper(session, stop), stop))
            if text:
                parts += (Text(text),)
            if not parts:
                raise ConversationError(
                    "nothing-given",
                    "There is nothing to answer: type, record or add something first.",
                )
            return parts, given.voice.system_prompt()

        return prepare

    def _changed(
        self, request: gr.Request, before: Thread, now: Thread, text: str | None
    ) -> Changes:
        self._forget(self._session(request), before, now)
        shown = self._shown(View(now.bubbles(), "", thread=now, text=text), first=False)
        return {**shown, self.tab.ticket: ""}

    def _unchanged(self, thread: Thread) -> Changes:
        """The chat as it is (the page may have shown a change that did not happen)."""
        return {self.tab.chat: thread.bubbles()}

    def _shown(self, view: View, first: bool, emptied: Changes | None = None) -> Changes:
        """A view on the components.

        Args:
            first: it is the turn's first one.
            emptied: inputs whose contents are in the chat now.
        """
        tab, over = self.tab, view.thread is not None
        changes: Changes = {
            tab.chat: view.bubbles,
            tab.player: chunk(view.sound),
            tab.status: view.status,
        }
        if over:
            changes[tab.thread] = view.thread
        if first or over:
            changes[tab.send] = gr.update(interactive=over)
            changes[tab.stop] = gr.update(interactive=not over)
        changes |= emptied or {}
        if view.text is not None:
            changes[tab.text] = view.text
        return changes

    def _forget(self, session: Session, before: Thread, now: Thread) -> None:
        """Remove the files that no bubble shows any more."""
        kept = set(now.files())
        session.forget([path for path in before.files() if path not in kept])

    def _free(self, request: gr.Request) -> bool:
        """Whether no turn of the tab runs."""
        return until_over(self._session(request), self.tab.spec.name)

    def _session(self, request: gr.Request) -> Session:
        return self.context.sessions.of(request)

    def _language(self, request: gr.Request) -> PageLanguage:
        return self.context.words.of(request)

    def _say(self, request: gr.Request, key: str) -> str:
        return self.context.words.say(self._language(request), key)


def _names(media: Media) -> str:
    """What the files in the media inputs are called."""
    held = [
        one for value in media.values() for one in (value if isinstance(value, list) else [value])
    ]
    paths = [one[0] if isinstance(one, (list, tuple)) else one for one in held]
    return ", ".join(Path(path).name for path in paths if isinstance(path, str) and path)


def entry_index(index: int | Sequence[int]) -> int:
    """The entry that an event of the chat is about."""
    return index if isinstance(index, int) else index[0]


def keeper(session: Session, stop: Event | None = None) -> Keep:
    """Copies uploads into the session, if they are what they have to be.

    The function raises MediaError ``upload-gone`` when the upload is not there any more, those of
    :func:`demos.turns.given_media.check_given`, and DecodingStopped when ``stop`` is set.
    """

    def keep(upload: str, kind: MediumKind) -> Path:
        if stop is not None and stop.is_set():
            raise DecodingStopped
        try:
            return session.keep(Path(upload), partial(check_given, kind=kind, stop=stop))
        except FileNotFoundError as error:
            raise MediaError(
                "upload-gone",
                "{name} is no longer on the server: add the file again.",
                name=Path(upload).name,
            ) from error

    return keep


def emptied_media(tab: Tab) -> Changes:
    """What the media inputs hold after sending: nothing, but switches stay."""
    return {part: None for part in tab.media.values() if not isinstance(part, gr.Checkbox)}


def still_there(thread: Thread) -> tuple[Thread, bool]:
    """The thread, or a new one (and True) when its files were removed in the meantime."""
    lost = not all(path.exists() for path in thread.files())
    return (Thread(), True) if lost else (thread, False)
