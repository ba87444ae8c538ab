"""Beside talking: export, import, a page to share, a transcript to copy; copying, saving, deleting
a message.

Knows: the folded tools of a tab, the buttons that the browser adds to messages.
Does not know: the zip's form (demos.turns.export), that of the page (demos.conversations.replay).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from demos.base.browser_values import Changes, download_js
from demos.base.events import QUIET
from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from demos.conversations.replay import MOST_BYTES, replay_bytes, write_replay
from demos.tabs.actions import Actions
from demos.tabs.imported import check_medium
from demos.tabs.spec import TabContext
from demos.tabs.video import is_audible
from demos.turns.chat import Thread
from demos.turns.export import read_conversation, write_conversation, write_message
from demos.turns.kept_files import remove_upload
from demos.turns.room import told
from demos.turns.turn import until_over
from omni.conversation import Audio, Image, Video
from omni.errors import OmniError

if TYPE_CHECKING:
    from demos.base.gradio_internals import Label


@dataclass(frozen=True)
class Tools:
    """The components of one tab's tools."""

    export: gr.Button
    file: gr.DownloadButton
    load: gr.UploadButton
    replay: gr.Button
    write: gr.Button
    transcript: gr.Textbox
    save_message: gr.HTML  # what a person does to one message, from the browser
    delete_exchange: gr.HTML


def build_tools(name: str, words: Words) -> Tools:
    """Lay the folded tools out where the caller is."""
    with gr.Accordion(
        words.static("tools"), open=False, elem_id=f"{name}-tools", elem_classes=["tools"]
    ):
        with gr.Row(elem_classes=["buttons"]):
            export = gr.Button(words.static("export"), size="sm", elem_id=f"{name}-export")
            file = gr.DownloadButton(
                str(words.static("export")), visible="hidden", elem_id=f"{name}-export-file"
            )
            load = gr.UploadButton(
                str(words.static("import")),
                file_types=[".zip"],
                size="sm",
                elem_id=f"{name}-import",
            )
            replay = gr.Button(words.static("replay"), size="sm", elem_id=f"{name}-replay")
            write = gr.Button(words.static("transcript"), size="sm", elem_id=f"{name}-write")
        transcript = gr.Textbox(
            label=words.static("transcript"),
            visible=False,
            lines=6,
            max_lines=16,
            buttons=["copy"],
            elem_id=f"{name}-transcript",
        )
    _bridge(name, "copy", words.static("copy-message"))
    save = _bridge(name, "keep", words.static("keep-message"))
    delete = _bridge(name, "discard", words.static("delete-exchange"))
    return Tools(export, file, load, replay, write, transcript, save, delete)


def connect_tools(tools: Tools, actions: Actions) -> None:
    """Let the tools act on the chat of ``actions``."""
    thread = actions.tab.thread
    name = actions.tab.spec.name
    saved = tools.export.click(
        export_handler(actions), thread, tools.file, api_name=f"{name}_export", **QUIET
    )
    saved.then(None, tools.file, None, js=download_js(f"{name}.zip"), **QUIET)
    page = tools.replay.click(
        replay_handler(actions), thread, tools.file, api_name=f"{name}_replay", **QUIET
    )
    page.then(None, tools.file, None, js=download_js(f"{name}.html"), **QUIET)
    tools.load.upload(
        import_handler(actions),
        None,
        actions.outputs,
        inputs_kwargs={"upload": tools.load, "thread": thread},
        api_name=f"{name}_import",
        **QUIET,
    )
    kept = tools.save_message.keep(
        save_handler(actions), thread, tools.file, api_name=f"{name}_keep", **QUIET
    )
    kept.then(None, tools.file, None, js=download_js(f"{name}.zip"), **QUIET)
    tools.delete_exchange.discard(
        actions.delete, thread, actions.outputs, api_name=f"{name}_delete", **QUIET
    )
    tools.write.click(transcript_handler(actions, tools), thread, tools.transcript, **QUIET)


def export_handler(actions: Actions) -> Callable[[gr.Request, Thread], str | None]:
    """Writes the conversation into a file of the session."""
    context = actions.context

    def export(request: gr.Request, thread: Thread) -> str | None:
        if not thread.entries:
            gr.Info(context.words.say(context.words.of(request), "chat-is-empty"))
            return None
        session = context.sessions.of(request)
        name = f"conversation-{time.strftime('%Y%m%d-%H%M%S')}.zip"
        try:
            with session.writing(name, sizes(thread.files())) as path:
                write_conversation(thread, path)
        except (OmniError, FileNotFoundError) as error:
            warned(context, request, error)
            return None
        return str(path)

    return export


def replay_handler(actions: Actions) -> Callable[[gr.Request, Thread], str | None]:
    """Writes the conversation as one page into a file of the session."""
    context = actions.context

    def replay(request: gr.Request, thread: Thread) -> str | None:
        words, language = context.words, context.words.of(request)
        if not thread.entries:
            gr.Info(words.say(language, "chat-is-empty"))
            return None
        session, day = context.sessions.of(request), time.strftime("%Y-%m-%d")
        try:
            with session.writing(f"conversation-{day}.html", replay_bytes(thread)) as path:
                left_out = write_replay(thread, path, words, language, day)
        except (OmniError, FileNotFoundError) as error:
            warned(context, request, error)
            return None
        if left_out:
            megabytes = MOST_BYTES // 1_000_000
            told = words.say(language, "replay-short", count=len(left_out), megabytes=megabytes)
            gr.Info(told)
        return str(path)

    return replay


def save_handler(actions: Actions) -> Callable[[gr.Request, gr.EventData, Thread], str | None]:
    """Writes one message into a file of the session."""
    context = actions.context

    def save(request: gr.Request, event: gr.EventData, thread: Thread) -> str | None:
        rows, row = thread.rows(), int(event.row)
        if not 0 <= row < len(rows):
            return None
        session = context.sessions.of(request)
        made: list[Path] = []

        def place(name: str) -> Path:
            made.append(session.new_file(name))
            return made[-1]

        try:
            path = write_message(rows[row], place)
        except (OmniError, OSError) as error:
            for unfinished in made:
                shutil.rmtree(unfinished.parent, ignore_errors=True)
            warned(context, request, error)
            return None
        return str(path) if path else None

    return save


def import_handler(actions: Actions) -> Callable[[gr.Request, str, Thread], Changes]:
    """Puts an exported conversation in the place of the one that is shown."""
    context = actions.context

    def load(request: gr.Request, upload: str, thread: Thread) -> Changes:
        session, language = context.sessions.of(request), context.words.of(request)
        if not until_over(session, actions.tab.spec.name):
            gr.Warning(context.words.say(language, session.busy_word(actions.tab.spec.name)))
            return actions.show(request, thread, thread)
        try:
            now = read_conversation(Path(upload), session.new_file, is_audible, check_medium)
        except (OmniError, OSError) as error:
            warned(context, request, error)
            return actions.show(request, thread, thread)
        finally:
            if session.folder not in Path(upload).parents:  # nothing of ours: it was unpacked
                remove_upload(Path(upload))
        return actions.show(request, thread, now)

    return load


def warned(context: TabContext, request: gr.Request, error: OmniError | OSError) -> None:
    """Say on the page what went wrong with a file."""
    if isinstance(error, FileNotFoundError):
        sentence = context.words.say(context.words.of(request), "session-over")
    else:
        known = error if isinstance(error, OmniError) else told(error)
        sentence = context.words.error(context.words.of(request), known)
    gr.Warning(sentence)


def sizes(files: Iterable[Path]) -> int:
    """Bytes of all ``files``."""
    return sum(file.stat().st_size for file in files if file.exists())


def transcript_handler(actions: Actions, tools: Tools) -> Callable[[gr.Request, Thread], Changes]:
    """Shows the conversation as text."""
    words = actions.context.words

    def write(request: gr.Request, thread: Thread) -> Changes:
        text = transcript(thread, words, words.of(request))
        return {tools.transcript: gr.update(value=text, visible=True)}

    return write


def transcript(thread: Thread, words: Words, language: PageLanguage) -> str:
    """Who said what, media by their names."""
    lines = []
    for entry in thread.entries:
        seen = [part for part in entry.message.parts if isinstance(part, Image | Audio | Video)]
        kinds = {part.path: _kind(part) for part in reversed(seen)}
        shown = [words.say(language, kinds[path], name=path.name) for path in entry.media]
        said = " ".join([*shown, entry.text.strip()]).strip()
        if not said and entry.sound is not None:
            said = words.say(language, "transcript-sound", name=entry.sound.name)
        note = f" ({entry.note})" if entry.note else ""
        who = words.say(language, f"transcript-{entry.message.role}")
        lines.append(f"{who}{said}{note}")
    return "\n\n".join(lines)


def _kind(part: object) -> str:
    if isinstance(part, Image):
        return "transcript-picture"
    return "transcript-sound" if isinstance(part, Audio) else "transcript-clip"


def _bridge(name: str, action: str, label: Label) -> gr.HTML:
    """Brings what a person does to one message from the browser: Gradio's chat has no such buttons.

    assets/scripts/chat.js puts the buttons there; the text inside is their label.
    """
    return gr.HTML(
        label,
        elem_id=f"{name}-{action}",
        elem_classes=["bridge"],
        js_on_load=f"""
          const label = () => element.textContent.trim();
          omniChat.watch("{name}", "{action}", label, (row) => trigger("{action}", {{row}}));
        """,
    )
