"""What is used of Gradio's insides is still there; a sentence says what is missing if not."""

from __future__ import annotations

import inspect
import io
import logging
import re
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest
from gradio.data_classes import FileData

from demos.base import gradio_internals
from demos.base.gradio_internals import (
    ENCODER_STARTUP_S,
    MISSING_WORD,
    TESTED_GRADIO,
    check_version,
    encode_whole_chunks,
    in_browser_order,
    keep_uploads_apart,
    light_sessions,
    rest_queue,
    tell_few,
)
from tests.support.root import ROOT

IMPORT = """
import ast, inspect, sys
parse, parsed, find = ast.parse, [], inspect.getfile
def counting(source, *arguments, **options):
    parsed.append(source)
    return parse(source, *arguments, **options)
ast.parse = counting
from demos.base.gradio_internals import import_gradio
assert "gradio" not in sys.modules, "the file that imports Gradio quickly has imported it"
import_gradio()
import gradio
assert inspect.getfile is find
assert not any("class Textbox" in str(text) for text in parsed), (
    "Gradio makes its type stubs in another way: import_gradio no longer leaves them out")
assert gradio.Textbox.submit and gradio.Button.click and gradio.Audio.stream
inspect.getfile(gradio.Textbox)
import_gradio()
with gradio.Blocks() as page:
    gradio.Button().click(lambda: None)
assert page.fns
"""


def test_gradio_is_whole_without_its_stubs() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, check=True)


def test_the_tested_version_is_the_pinned_one() -> None:
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^gradio==(\S+)$", pins, re.MULTILINE)
    assert pinned
    assert pinned[1] == TESTED_GRADIO, "try the page with the pinned Gradio, then say so here"


def test_another_version_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_version(TESTED_GRADIO)
        assert not caplog.messages
        check_version("99.0")
    (warning,) = caplog.messages
    assert "Gradio 99.0" in warning
    assert TESTED_GRADIO in warning


def test_the_encoder_of_the_streaming_player_waits_for_whole_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gradio import audio_stream_encoder
    from gradio.audio_stream_encoder import AacStreamEncoder

    assert hasattr(audio_stream_encoder, "STARTUP_WAIT"), (
        "the streaming encoder has no STARTUP_WAIT any more: see encode_whole_chunks"
    )
    assert hasattr(AacStreamEncoder, "take"), (
        "the streaming encoder gives its frames in another way: see encode_whole_chunks"
    )
    frames = [[b"one"], [b"two"], [], [b"late"]]
    waits: list[float | None] = []

    def take(encoder: object, timeout: float | None = None) -> list[bytes]:
        waits.append(timeout)
        return frames.pop(0)

    monkeypatch.setattr(AacStreamEncoder, "take", take)
    monkeypatch.setattr(audio_stream_encoder, "STARTUP_WAIT", 0.1)
    for _ in range(2):  # the second time changes nothing
        encode_whole_chunks()
    encoder = AacStreamEncoder.__new__(AacStreamEncoder)
    assert encoder.take() == [b"one", b"two"]
    assert waits == [None, gradio_internals.ENCODER_SETTLE_S, gradio_internals.ENCODER_SETTLE_S]
    assert audio_stream_encoder.STARTUP_WAIT == ENCODER_STARTUP_S


def test_the_queue_can_be_told_to_rest() -> None:
    with gr.Blocks() as page:
        gr.Button()
    page.queue()
    assert hasattr(page._queue, "sleep_when_free"), (
        "the queue looks for work in another way: see rest_queue"
    )
    rest_queue(page, 0.5)
    assert page._queue.sleep_when_free == 0.5


def test_the_same_file_of_two_visitors_gets_two_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import route_utils

    assert hasattr(route_utils.GradioUploadFile(io.BytesIO()), "sha"), (
        "uploads get their folders in another way: see keep_uploads_apart"
    )
    monkeypatch.setattr(route_utils, "GradioUploadFile", route_utils.GradioUploadFile)
    keep_uploads_apart()
    keep_uploads_apart()
    kinds = route_utils.GradioUploadFile
    assert kinds.__mro__[1].__name__ == "GradioUploadFile"
    names = {kinds(io.BytesIO()).sha.hexdigest() for _ in range(2)}
    assert len(names) == 2
    source = inspect.getsource(route_utils)
    assert "temp_file.sha.hexdigest()" in source


def test_sets_of_inputs_reach_the_browser_in_the_order_that_we_count_on() -> None:
    with gr.Blocks() as page:
        parts = [gr.Textbox(), gr.Number(), gr.State(1), gr.Checkbox()]
        gr.Button().click(lambda values: values, set(parts), None)
    (function,) = page.fns.values()
    assert in_browser_order(reversed(parts)) == list(function.inputs), (
        "Gradio orders the inputs of a set in another way: see in_browser_order"
    )


def test_events_tell_chats_alone_how_far_they_are() -> None:
    with gr.Blocks() as page:
        chat, box, other = gr.Chatbot(), gr.Textbox(), gr.Textbox()
        box.submit(lambda: ([], ""), None, [chat, box])
        box.change(lambda: "", None, box)
        box.input(lambda: "", None, box, show_progress_on=other)
    tell_few(page)
    told = [event["show_progress_on"] for event in page.get_config_file()["dependencies"]]
    assert told == [[chat._id], [], [other._id]]


def test_the_gallery_asks_for_a_word_that_gradio_does_not_have() -> None:
    folder = gradio_folder() / "templates" / "frontend" / "assets"
    asks = [file.name for file in folder.glob("Gallery-*.js") if MISSING_WORD in file.read_text()]
    assert asks, f"the gallery no longer asks for {MISSING_WORD}: our word for it can go"


def test_a_label_is_translated_in_the_browser_by_a_type_of_its_own() -> None:
    from gradio.i18n import I18nData

    assert isinstance(gr.I18n(en={"a": "b"})("a"), I18nData)


def test_an_html_component_has_events_of_our_own() -> None:
    with gr.Blocks() as page:
        bridge = gr.HTML(js_on_load='trigger("discard", {row: 1});')
        bridge.discard(lambda: None, None, None)
    (function,) = page.fns.values()
    assert [target[1] for target in function.targets] == ["discard"]
    assert gr.EventData(bridge, {"row": 1}).row == 1


def test_a_file_has_the_address_and_the_name_that_a_download_needs() -> None:
    fields = FileData.model_fields
    assert {"url", "orig_name"} <= set(fields), "files have other fields: see download_js"


def gradio_folder() -> Path:
    return Path(gr.__file__).parent


def test_a_session_keeps_no_description_of_the_page() -> None:
    from gradio import state_holder

    before = state_holder.SessionState
    try:
        light_sessions()
        light_sessions()
        with gr.Blocks() as page:
            box, state = gr.Textbox("a"), gr.State(5)
        session = state_holder.SessionState(page)
        assert not session.config_values, "Gradio describes its components for each session again"
        session[box._id] = gr.Textbox("b")
        session[state._id] = 6
        assert session[box._id].value == "b" and session[state._id] == 6
        assert not session.config_values
    finally:
        vars(state_holder)["SessionState"] = before


def test_sound_and_clips_are_handed_out_where_no_ffprobe_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gradio import processing_utils
    from gradio._vendor.ffmpy import FFExecutableNotFoundError, FFprobe

    gradio_internals.believe_files_without_ffprobe()
    gradio_internals.believe_files_without_ffprobe()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FFExecutableNotFoundError):
        FFprobe(inputs={"answer.wav": None}).run()
    assert processing_utils.audio_is_playable("answer.wav")
    assert processing_utils.video_is_playable("clip.mp4")
