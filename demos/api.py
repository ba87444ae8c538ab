"""The named endpoints for scripts: chat, transcribe, read aloud, and the model.

Knows: names, types and meaning of what scripts give and get; they stay as they are from release
to release. Does not know: the page (its own events are private).

A script is a session like a browser page: what it said before belongs to the next ``/chat`` of
the same ``gradio_client.Client``, and to nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demos.base.events import refusal
from demos.base.languages import Words
from demos.base.owner import Owner, without_folder
from demos.base.word_files import ENGLISH, PageLanguage
from demos.panels.parameters import seed_of
from demos.tabs.actions import keeper, still_there
from demos.tabs.scripted import given_message, given_voice
from demos.tabs.tab import MAX_TURNS_AT_ONCE
from demos.turns.chat import Entry, Thread
from demos.turns.sessions import Session, Sessions
from demos.turns.turn import Ask, View, run_turn
from demos.voices.by_name import library_of, lines_of
from demos.voices.library import VoiceLibrary
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    Part,
    SystemPrompt,
    Text,
)
from omni.errors import OmniError
from omni.events import TurnEnd
from omni.options import GenerationOptions
from omni.requests import ReadLine
from omni.settings import (
    NO_ADAPTER,
    QUANTIZATIONS,
    QuantizationChoice,
    with_adapter,
)

if TYPE_CHECKING:
    from omni.engine import Engine

TAB = "api"  # the name of a script's turns within its session
# What waits together, and how many of it run at once: what needs no engine waits behind no turn.
TURNS, QUICK, LOADS = ("turn", MAX_TURNS_AT_ONCE), ("quick", 8), ("load", 4)


@dataclass(frozen=True, eq=False)
class Api:
    """The functions behind the endpoints."""

    engine: Engine
    sessions: Sessions
    words: Words
    owner: Owner
    library: VoiceLibrary | None = None  # of the machine's owner

    def chat(
        self,
        request: gr.Request,
        thread: Thread,
        text: str = "",
        audio: str | None = None,
        images: list[str] | None = None,
        video: str | None = None,
        voice: str | None = None,
        voice_text: str = "",
        system: str = "",
        speech: bool = True,
        language: PageLanguage = ENGLISH,
        seed: float | None = None,
        adapter: str = "",
    ) -> Iterator[tuple[Any, ...]]:
        """Answer a message; what was said before in this session belongs to it.

        text: the message. audio: a sound file that the model hears. images: picture files.
        video: a clip that the model sees and hears. voice: a recording to sound like; voice_text:
        what it says (it is then given as an example of speaking). system: the system prompt, ""
        for the default one. speech: whether to answer in speech. language: of messages and
        errors (en, zh, or another one of the page). seed: the same seed gives the same answer,
        None for a fresh one. adapter: which of the loaded adapters answers, none for the model
        alone, "" for the one that is chosen.

        Returns the answer's text (as far as it has come, while it is produced), the spoken answer
        as a WAV file (at the end), and the statistics of the turn (at the end).
        """
        session = self._session(request)

        def prepare(stop: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            keep = keeper(session, stop)
            parts = given_message(keep, text, audio, images, video, stop)
            prompt = SystemPrompt(system.strip() or DEFAULT_SYSTEM_TEXT)
            return parts, replace(prompt, voice=given_voice(keep, voice, voice_text))

        named = self._adapter(adapter)
        ask = Ask(prepare, speech, language, change=_seeded(seed), adapter=named)
        known, _ = still_there(thread)
        for view in self._run(request, known, ask):
            if view.end is None or view.thread is None:
                yield view.said, None, {}, gr.skip()
                continue
            answer = view.thread.entries[-1]
            yield view.said, _path(answer.sound), _told(view.end, answer), view.thread

    def new_conversation(self, request: gr.Request, thread: Thread) -> Thread:
        """Forget what was said in this session, and remove its files."""
        self._session(request).forget(thread.files())
        return Thread()

    def transcribe(
        self, request: gr.Request, audio: str | None = None, language: PageLanguage = ENGLISH
    ) -> Iterator[tuple[Any, ...]]:
        """Write down what a sound file says.

        audio: the file. language: of errors, as in /chat. Returns the text and the statistics.
        """
        session = self._session(request)

        def prepare(stop: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            keep = keeper(session, stop)
            return given_message(keep, "", audio, None, None, stop), SystemPrompt()

        for view in self._run(request, Thread(), Ask(prepare, False, language, task="transcribe")):
            yield view.said, statistics(view.end) if view.end else {}

    def read_aloud(
        self,
        request: gr.Request,
        text: str,
        voice: str | None = None,
        voice_text: str = "",
        language: PageLanguage = ENGLISH,
        seed: float | None = None,
        system: str = "",
        several: bool = False,
    ) -> tuple[Any, ...]:
        """Speak a text.

        text: what to say. voice, voice_text: see /chat. language: of errors, likewise. seed: the
        same seed gives the same speech. system: how to say it, as in a system prompt ("Speak
        slowly."). several: whether lines that begin with a voice's name and a colon ("Anna:
        Hello!") are read in that voice: a ready one, or one that you saved; lines before the first
        name are read in the voice of voice. Returns a WAV file and the statistics.
        """
        session = self._session(request)

        def prepare(stop: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            spoken = given_voice(keeper(session, stop), voice, voice_text)
            prompt = SystemPrompt(system.strip() or DEFAULT_SYSTEM_TEXT)
            return (Text(text),), replace(prompt, voice=spoken)

        def lines() -> tuple[ReadLine, ...]:
            own = library_of(request, session, self.library, self.owner)
            spoken = given_voice(keeper(session, Event()), voice, voice_text)
            return lines_of(text, own, language, SystemPrompt(system.strip(), spoken))

        ask = Ask(prepare, True, language, change=_seeded(seed), task="read")
        ask = replace(ask, lines=lines if several else None)
        *_, last = self._run(request, Thread(), ask)
        if last.thread is None or last.end is None:
            return None, {}
        answer = last.thread.entries[-1]
        if answer.sound is None and last.end.stats.speech_s:
            raise gr.Error(answer.note)  # all that was asked for is lost
        return _path(answer.sound), _told(last.end, answer)

    def model(self, request: gr.Request) -> dict[str, Any]:
        """What is loaded, and what the next request runs with (it is loaded then)."""
        report, settings = self.engine.report, self.engine.settings
        loaded = asdict(report) if report else None
        if loaded:
            loaded["checkpoint"] = self.owner.shown(loaded["checkpoint"], request)
        return {
            "loaded": loaded,
            "settings": asdict(settings)
            | {
                "model": self.owner.shown(settings.model, request),
                "adapter": self.owner.shown(settings.adapter, request) or NO_ADAPTER,
                "adapters": [self.owner.shown(name, request) for name in settings.adapters],
            },
            "busy": self.engine.busy,
        }

    def load_model(
        self,
        request: gr.Request,
        model: str = "",
        quantization: QuantizationChoice | Literal[""] = "",
        device: str = "",
    ) -> dict[str, Any]:
        """Load a model now, for everybody.

        model: auto, nano, a folder of the server, or a name on the Hugging Face Hub.
        quantization: auto, none, 8bit or 4bit. device: auto, cpu, mps, cuda, cuda:N. "": as it is.
        Returns what /model does.
        """
        self._owner_alone(request)
        model, device, own = model.strip(), device.strip(), self.engine.settings
        settings = replace(
            own,
            model=model or own.model,
            quantization=quantization or own.quantization,
            device=device or own.device,
        )
        return self._done(request, lambda: list(self.engine.load(settings)))

    def use_adapter(self, request: gr.Request, adapter: str = "") -> dict[str, Any]:
        """Have an adapter answer from now on, for everybody; the model is not loaded again for it.

        adapter: one of those that are loaded, a folder of the server or a name on the Hugging Face
        Hub (it is then loaded beside the others), "" or none for the model alone. Answers that
        were asked for before are not changed by it. Returns what /model does.
        """
        self._owner_alone(request)
        chosen = with_adapter(self.engine.settings, self._adapter(adapter) or "")
        return self._done(request, lambda: list(self.engine.load(chosen)))

    def _done(self, request: gr.Request, work: Callable[[], object]) -> dict[str, Any]:
        try:
            work()
        except OmniError as error:
            raise refusal(self.words.error(self.words.of(request), error)) from error
        return self.model(request)

    def _adapter(self, given: str) -> str | None:
        """The name that the engine has for the one that a script calls ``given``; None: none."""
        name = given.strip()
        if name == NO_ADAPTER:
            return ""
        known = {without_folder(full): full for full in self.engine.settings.adapters}
        return known.get(name, name) or None

    def unload_model(self, request: gr.Request) -> dict[str, Any]:
        """Free the memory of the model, for everybody; the next request loads it again."""
        self._owner_alone(request)
        if self.engine.busy:
            raise refusal(self.words.say(self.words.of(request), "model-busy"))
        return self._done(request, self.engine.unload)

    def _owner_alone(self, request: gr.Request) -> None:
        """Refuse before anything of what is asked for is looked at."""
        if not self.owner.asks(request):
            raise refusal(self.words.say(self.words.of(request), "model-fixed"))

    def _run(self, request: gr.Request, thread: Thread, ask: Ask) -> Iterator[View]:
        """The views of a turn; what goes wrong is raised with its sentence."""
        session = self._session(request)
        for view in run_turn(self.engine, session, TAB, thread, ask, self.words):
            if view.notice:
                raise refusal(view.notice)
            yield view

    def _session(self, request: gr.Request) -> Session:
        return self.sessions.of(request)


def statistics(end: TurnEnd) -> dict[str, Any]:
    """A turn's numbers; see TurnStats for their units."""
    stats = end.stats
    return asdict(stats) | {
        "real_time_factor": stats.real_time_factor,
        "text_tokens_per_s": stats.text_tokens_per_s,
        "reason": end.reason,
        "forgotten": end.forgotten,
        "media_notes": [asdict(note) for note in end.media_notes],
    }


def _told(end: TurnEnd, answer: Entry) -> dict[str, Any]:
    """:func:`statistics`, and what the page would say below the answer."""
    return statistics(end) | {"note": answer.note}


def build_api(
    engine: Engine,
    sessions: Sessions,
    words: Words,
    owner: Owner,
    library: VoiceLibrary | None = None,
) -> Api:
    """Add the endpoints to the page; nothing of them is shown.

    Args:
        owner: who may load another model and unload it.
        library: where their voices are; None: nobody's are kept.
    """
    api = Api(engine, sessions, words, owner, library)
    with gr.Row(visible=False):
        thread = gr.State(Thread())
        text = gr.Textbox("", label="text")
        audio, video = gr.File(label="audio"), gr.File(label="video")
        images = gr.File(label="images", file_count="multiple")
        voice, voice_text = gr.File(label="voice"), gr.Textbox("", label="voice_text")
        system = gr.Textbox("", label="system")
        speech = gr.Checkbox(True, label="speech")
        language = gr.Radio(list(words.languages), value=ENGLISH, label="language")
        seed = gr.Number(None, label="seed", precision=0)
        model = gr.Textbox("", label="model")
        quantization = gr.Dropdown(["", *QUANTIZATIONS], value="", label="quantization")
        device = gr.Textbox("", label="device")
        adapter = gr.Textbox("", label="adapter")
        several = gr.Checkbox(False, label="several")
        said, spoken = gr.Textbox(label="text"), gr.Audio(label="speech", type="filepath")
        stats, state = gr.JSON(label="statistics"), gr.JSON(label="model")
        given = {
            "text": text,
            "audio": audio,
            "images": images,
            "video": video,
            "voice": voice,
            "voice_text": voice_text,
            "system": system,
            "speech": speech,
            "language": language,
            "seed": seed,
        }
        how = ("text", "voice", "voice_text", "language", "seed", "system")
        read = {name: given[name] for name in how} | {"several": several}
        heard = {name: given[name] for name in ("audio", "language")}
        choices = {"model": model, "quantization": quantization, "device": device}
        _endpoint(
            api.chat, {"thread": thread, **given, "adapter": adapter}, [said, spoken, stats, thread]
        )
        _endpoint(api.new_conversation, {"thread": thread}, [thread], QUICK)
        _endpoint(api.transcribe, heard, [said, stats])
        _endpoint(api.read_aloud, read, [spoken, stats])
        _endpoint(api.model, {}, [state], QUICK)
        _endpoint(api.load_model, choices, [state], LOADS)
        _endpoint(api.unload_model, {}, [state], LOADS)
        _endpoint(api.use_adapter, {"adapter": adapter}, [state], LOADS)
    return api


def _endpoint(
    function: Callable[..., Any],
    inputs: Mapping[str, Block],
    outputs: list[Component],
    line: tuple[str, int] = TURNS,
) -> None:
    """Publish a function.

    Args:
        inputs: the component of each parameter, in the order that scripts rely on.
        outputs: in the order in which the function returns their values.
        line: what it waits with, and how many of these run at once.
    """
    name: str = function.__name__
    gr.Button().click(
        function,
        None,
        outputs,
        inputs_kwargs=dict(inputs),
        api_name=name,
        api_description=" ".join((function.__doc__ or "").split()),
        api_visibility="public",
        show_progress="hidden",
        concurrency_limit=line[1],
        concurrency_id=line[0],
    )


def _seeded(seed: float | None) -> Callable[[GenerationOptions], GenerationOptions]:
    return lambda own: replace(own, seed=seed_of(seed))


def _path(sound: Path | None) -> str | None:
    return None if sound is None else str(sound)
