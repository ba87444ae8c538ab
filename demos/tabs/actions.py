"""What a person does in a tab's chat: send, ask again, edit, undo, delete, stop, clear.

Knows: Gradio's requests and event data, how a turn's views become the values of components.
Does not know: layout, how a turn runs (demos.turns.turn).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.word_files import PageLanguage
from demos.playback.player import EAR, chunk
from demos.tabs.spec import Shared, Tab
from demos.turns.chat import Thread, retyped
from demos.turns.sessions import Session
from demos.turns.turn import Ask, Task, View, run_turn
from omni.conversation import Part, SystemPrompt, Text
from omni.errors import ConversationError, MediaError

Values: TypeAlias = tuple[Any, ...]  # of Actions.outputs
Prepare: TypeAlias = Callable[[], tuple[tuple[Part, ...], SystemPrompt]]


@dataclass(frozen=True)
class Given:
    """The values of :attr:`Actions.inputs`."""

    thread: Thread
    text: str
    speak: bool
    ear: str
    parameters: Sequence[Any]
    voice: Sequence[Any]
    media: Sequence[Any]


@dataclass(frozen=True, eq=False)
class Actions:
    """The event handlers of one tab."""

    tab: Tab
    shared: Shared

    @property
    def inputs(self) -> list[Component]:
        """What every turn gets."""
        tab, shared = self.tab, self.shared
        settings = [*shared.parameters.inputs, *shared.voice.inputs]
        return [tab.thread, tab.text, tab.speak, tab.ear, *settings, *tab.media]

    @property
    def outputs(self) -> list[Component]:
        """What every turn changes."""
        tab = self.tab
        shown = [tab.chat, tab.player, tab.status, tab.thread, tab.send, tab.stop, tab.text]
        return [*shown, *tab.media, tab.ticket]

    def given(self, values: Sequence[Any]) -> Given:
        """The values of :attr:`inputs`, taken apart."""
        thread, text, speak, ear, *rest = values
        first = len(self.shared.parameters.inputs)
        second = first + len(self.shared.voice.inputs)
        panels = rest[:first], rest[first:second], rest[second:]
        return Given(thread, (text or "").strip(), speak, ear, *panels)

    def send(self, request: gr.Request, *values: Any) -> Iterator[Values]:
        """Answer what stands in the inputs."""
        given = self.given(values)
        yield from self.answer(request, given, given.text)

    def answer(
        self, request: gr.Request, given: Given, text: str, task: Task = "chat"
    ) -> Iterator[Values]:
        """Answer the media in the inputs and ``text``; both are in the chat then."""
        prepare = self._prepare_inputs(request, given, text)
        ask = replace(self.ask(request, given, prepare, text), task=task)
        yield from self.run(request, given, ask, sent=True)

    def fill(self, text: str | None) -> Values:
        """Nothing happens, but ``text`` (if any) goes into the text box."""
        components = self.outputs
        values = [gr.skip()] * len(components)
        if text is not None:
            values[components.index(self.tab.text)] = text
        return tuple(values)

    def system_prompt(self, request: gr.Request, given: Given) -> SystemPrompt:
        """What the voice panel says."""
        return self.shared.voice.system_prompt(given.voice, keeper(self._session(request)))

    def retry(self, request: gr.Request, event: gr.RetryData, *values: Any) -> Iterator[Values]:
        """Answer a question of the chat again."""
        yield from self._again(request, self.given(values), place(event.index), None)

    def edit(self, request: gr.Request, event: gr.EditData, *values: Any) -> Iterator[Values]:
        """Put a question differently, and answer that; what came after it goes."""
        yield from self._again(
            request, self.given(values), place(event.index), retyped(str(event.value)).strip()
        )

    def undo(self, request: gr.Request, event: gr.UndoData, thread: Thread) -> Values:
        """Take the last question and its answer back; its text returns to the text box."""
        index = place(event.index)
        if self._session(request).running(self.tab.spec.name) or index >= len(thread.entries):
            return self._unchanged(thread)
        text = thread.entries[index].text
        return self._changed(request, thread, thread.before(index), text)

    def delete(self, request: gr.Request, event: gr.EventData, thread: Thread) -> Values:
        """Take one question and its answer out of the middle of the chat."""
        if self._session(request).running(self.tab.spec.name):
            gr.Warning(self._say(request, "turn-busy"))
            return self._unchanged(thread)
        return self._changed(request, thread, thread.without_row(int(event.row)), None)

    def stop(self, request: gr.Request) -> None:
        """End the running turn."""
        self._session(request).stop(self.tab.spec.name)

    def clear(self, request: gr.Request, thread: Thread) -> Values:
        """Empty the chat and the inputs, and remove the files, once the running turn is over."""
        session = self._session(request)
        session.end(self.tab.spec.name)
        session.forget(thread.files())
        self.shared.engine.forget(session.key(self.tab.spec.name))
        media = [emptied(component) for component in self.tab.media]
        send, stop = gr.update(interactive=True), gr.update(interactive=False)
        return ([], None, "", Thread(), send, stop, "", *media, "")

    def run(
        self,
        request: gr.Request,
        given: Given,
        ask: Ask,
        sent: bool = False,
        before: Thread | None = None,
    ) -> Iterator[Values]:
        """Run a turn in ``given.thread``.

        Args:
            sent: the inputs are emptied with the first view.
            before: the chat that is shown so far, if it is another one.
        """
        session, name = self._session(request), self.tab.spec.name
        thread, lost = still_there(given.thread)
        if lost:
            gr.Info(self._say(request, "session-over"))
        shared = self.shared
        heard = given.ear == EAR and ask.speech
        with shared.desk.line(heard, request.headers.get("origin")) as line:
            ticket = line.ticket if line else ""
            first = True
            for view in run_turn(shared.engine, session, name, thread, ask, shared.words, line):
                if view.notice:
                    gr.Warning(view.notice)
                if view.thread is not None:
                    self._forget(session, before or given.thread, view.thread)
                begun = first and not view.notice
                yield (*self._outputs(view, first, first and sent), ticket if begun else gr.skip())
                first = False

    def show(self, request: gr.Request, before: Thread, now: Thread) -> Values:
        """Another thread takes the place of ``before``."""
        return self._changed(request, before, now, None)

    def _again(
        self, request: gr.Request, given: Given, index: int, text: str | None
    ) -> Iterator[Values]:
        entries = given.thread.entries
        if index >= len(entries) or self._session(request).running(self.tab.spec.name):
            gr.Warning(self._say(request, "turn-busy"))
            yield self._unchanged(given.thread)
            return
        asked = entries[index].message.parts
        if text is not None:
            media = tuple(part for part in asked if not isinstance(part, Text))
            asked = (*media, Text(text)) if text else media
        if not asked:
            yield self._unchanged(given.thread)
            return

        def prepare() -> tuple[tuple[Part, ...], SystemPrompt]:
            return asked, self.system_prompt(request, given)

        shorter = replace(given, thread=given.thread.before(index))
        ask = replace(self.ask(request, given, prepare, ""), parts=asked)
        yield from self.run(request, shorter, ask, before=given.thread)

    def ask(self, request: gr.Request, given: Given, prepare: Prepare, text: str) -> Ask:
        """A turn with the settings of the panels."""
        change = self.shared.parameters.change(given.parameters)
        return Ask(prepare, given.speak, self._language(request), text, change=change)

    def _prepare_inputs(self, request: gr.Request, given: Given, text: str) -> Prepare:
        """Makes the message's parts and the system prompt; runs in the turn's own thread."""
        keep = keeper(self._session(request))

        def prepare() -> tuple[tuple[Part, ...], SystemPrompt]:
            parts = tuple(self.tab.spec.parts(given.media, keep))
            if text:
                parts += (Text(text),)
            if not parts:
                raise ConversationError(
                    "nothing-given",
                    "There is nothing to answer: type, record or add something first.",
                )
            return parts, self.system_prompt(request, given)

        return prepare

    def _changed(
        self, request: gr.Request, before: Thread, now: Thread, text: str | None
    ) -> Values:
        self._forget(self._session(request), before, now)
        return (*self._outputs(View(now.bubbles(), "", thread=now, text=text), False), "")

    def _unchanged(self, thread: Thread) -> Values:
        """The chat as it is (the page may have shown a change that did not happen)."""
        skipped = [gr.skip()] * (len(self.outputs) - 1)
        return (thread.bubbles(), *skipped)

    def _outputs(self, view: View, first: bool, sent: bool = False) -> Values:
        """A view as the values of :attr:`outputs`, without the last one, the ticket."""
        over = view.thread is not None
        media: list[Any] = [gr.skip()] * len(self.tab.media)
        text: Any = gr.skip() if view.text is None else view.text
        if sent:  # what was sent is in the chat now
            media = [emptied(component) for component in self.tab.media]
            text = "" if view.text is None else view.text
        return (
            view.bubbles,
            chunk(view.sound),
            view.status,
            view.thread if over else gr.skip(),
            gr.update(interactive=over) if first or over else gr.skip(),
            gr.update(interactive=not over) if first or over else gr.skip(),
            text,
            *media,
        )

    def _forget(self, session: Session, before: Thread, now: Thread) -> None:
        """Remove the files that no bubble shows any more."""
        kept = set(now.files())
        session.forget([path for path in before.files() if path not in kept])

    def _session(self, request: gr.Request) -> Session:
        return self.shared.sessions.get(request.session_hash)

    def _language(self, request: gr.Request) -> PageLanguage:
        return self.shared.words.of(request)

    def _say(self, request: gr.Request, key: str) -> str:
        return self.shared.words.say(self._language(request), key)


def place(index: int | Sequence[int]) -> int:
    """The entry that an event of the chat is about."""
    return index if isinstance(index, int) else index[0]


def keeper(session: Session) -> Callable[[str], Path]:
    """Copies uploads into the session.

    The function raises MediaError ``upload-gone`` when the upload is not there any more.
    """

    def keep(upload: str) -> Path:
        try:
            return session.keep(Path(upload))
        except FileNotFoundError as error:
            raise MediaError(
                "upload-gone",
                "{name} is no longer on the server: add the file again.",
                name=Path(upload).name,
            ) from error

    return keep


def emptied(component: Component) -> Any:
    """The value after sending: media inputs are emptied, switches stay."""
    return gr.skip() if isinstance(component, gr.Checkbox) else None


def still_there(thread: Thread) -> tuple[Thread, bool]:
    """The thread, or a new one (and True) when its files were removed in the meantime."""
    lost = not all(path.exists() for path in thread.files())
    return (Thread(), True) if lost else (thread, False)
