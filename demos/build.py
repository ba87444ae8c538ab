"""The whole page: header, voice panel, model bar, three tabs.

Knows: what stands where, and what happens when a page comes and goes.
Does not know: what is inside the panels and tabs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from demos.api import build_api
from demos.base.languages import Words
from demos.base.page import Page
from demos.live.panel import build_live
from demos.live.route import LiveDesk
from demos.panels.header import CHOOSE_JS, build_header
from demos.panels.model_bar import build_model_bar, connect_model_bar
from demos.panels.parameters import build_parameters
from demos.playback.voice_line import VoiceDesk
from demos.serve import on_space
from demos.tabs.audio import AUDIO
from demos.tabs.image import IMAGE
from demos.tabs.tab import Shared, build_tab
from demos.tabs.video import VIDEO
from demos.turns.sessions import Sessions
from demos.voices.build import build_voice_panel
from demos.voices.library import VoiceLibrary

if TYPE_CHECKING:
    from omni.engine import Engine

TITLE = "Omni"


def build(
    engine: Engine, sessions: Sessions, words: Words, library: VoiceLibrary | None = None
) -> gr.Blocks:
    """The page around one engine; every visitor gets a session of ``sessions``.

    ``library``: where voices are kept, None: each session's own (see build_voice_panel).
    """
    with Page(title=TITLE, analytics_enabled=False) as page:
        build_api(engine, sessions, words, fixed=on_space())  # first: so its names are its own
        with gr.Sidebar(label=words.static("voice-panel"), open=False, width=340):
            gr.Markdown(words.static("voice-title"), elem_classes=["panel-title"])
            voice = build_voice_panel(engine, sessions, words, library)
            parameters = build_parameters(engine, words)
        language = build_header(words)
        bar = build_model_bar(engine, words, fixed=on_space())
        connect_model_bar(bar, parameters.follow)
        shared = Shared(engine, sessions, words, voice.panel, parameters, VoiceDesk())
        desk = LiveDesk()

        def changed(turn: Any) -> None:  # a turn may have loaded the model
            bar.follow(turn)
            parameters.follow(turn)

        with gr.Tabs(elem_id="tabs"):
            for spec in (AUDIO, VIDEO, IMAGE):
                tab = build_tab(spec, shared, changed)
                if spec is not IMAGE:
                    build_live(tab, shared, desk, bar.follow, camera=spec is VIDEO)
        page.beside += [desk.route(), *shared.desk.routes()]
        gr.Markdown(words.static("keys-help"), elem_classes=["hint", "keys"])

        def speaks(request: gr.Request) -> Any:
            return words.of(request)

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        page.load(speaks, None, language, queue=False, **quiet)
        page.load(bar.render_all, None, bar.all_outputs, api_name="model_status", **quiet)
        voice.greet(page.load)
        # What the server has said in one language is said again in the other.
        said_again = language.input(None, language, None, js=CHOOSE_JS, **quiet).then(
            bar.render_all, None, bar.all_outputs, **quiet
        )
        voice.translate(said_again)
        tabs = [block for block in page.blocks.values() if isinstance(block, gr.Tab)]

        def labels(request: gr.Request) -> list[Any]:  # Gradio keeps those of tabs not yet seen
            names = [words.say(words.of(request), f"tab-{tab.id}") for tab in tabs]
            return [gr.update(label=name) for name in names]

        said_again.then(labels, None, tabs, **quiet)

        def leave(request: gr.Request) -> None:
            sessions.leave(request.session_hash)

        page.unload(leave)
    return page
