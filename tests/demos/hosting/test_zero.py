"""A ZeroGPU Space: turns in processes of ``spaces``' own, with a stand-in for the card alone."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from demos.hosting import zero
from omni.conversation import Audio, Conversation, Image, Message, Text
from omni.errors import BusyError, MediaError
from omni.events import FinishReason, Progress, TextDelta, TurnEnd, TurnStats
from omni.options import GenerationOptions
from omni.requests import ReadAloudRequest, TranscribeRequest, TurnRequest
from tests.browser.server import free_port
from tests.support.root import ROOT
from tests.support.zero_host import ZeroHost

START_S = 120.0
TOKEN = "e30.e30.e30"  # of a visitor, as the Hub's proxy adds it


def turn(*parts: Any, speech: bool = True) -> TurnRequest:
    conversation = Conversation(messages=(Message("user", (*parts, Text("What is it?"))),))
    return TurnRequest(conversation, GenerationOptions(speech=speech))


def test_the_time_that_is_booked_follows_what_is_asked() -> None:
    written, spoken = turn(speech=False), turn()
    assert zero.SHORTEST_S <= zero.seconds(written) < zero.seconds(spoken) <= zero.LONGEST_S
    seen = turn(Image(Path("a.png")), Audio(Path("a.wav")))
    assert zero.seconds(seen) == zero.seconds(spoken) + 2 * zero.MEDIUM_S
    assert zero.seconds(turn(*[Image(Path("a.png"))] * 100)) == zero.LONGEST_S
    assert zero.seconds(ReadAloudRequest("Hello.")) == zero.seconds(spoken)
    assert zero.seconds(TranscribeRequest(Path("a.wav"))) < zero.seconds(spoken)


def test_a_stop_signal_is_one_for_two_processes(tmp_path: Path) -> None:
    signal = zero.Signal(tmp_path / "stop", 60.0)
    other = pickle.loads(pickle.dumps(signal))
    other.begin()
    assert not other.is_set()
    signal.set()
    assert other.is_set()


def test_a_turn_comes_to_its_end_before_its_time_is_over(tmp_path: Path) -> None:
    signal = zero.Signal(tmp_path / "stop", 0.05)
    time.sleep(0.1)
    assert not signal.is_set()  # it waits for a GPU yet
    signal.begin()
    time.sleep(0.1)
    assert signal.is_set()


def test_an_error_travels_with_its_sentence() -> None:
    error = MediaError("media-empty", "{name} is empty: record or choose it again.", name="{x}.wav")
    again = pickle.loads(pickle.dumps(zero.Refused.of(error))).error()
    assert type(again) is MediaError
    assert (str(again), again.code, again.params) == (str(error), error.code, error.params)


def told(*events: Any, stopped: bool = False) -> list[Any]:
    """What a page hears of a turn of which the GPU's process says this."""
    request = turn()
    if stopped:
        request.stop.set()
    return list(zero._whole(iter(events), request))


def end(reason: FinishReason) -> TurnEnd:
    return TurnEnd(Message("assistant", ()), reason, TurnStats())


def test_no_answer_is_empty_without_a_word() -> None:
    with pytest.raises(BusyError, match="was over before the answer began"):
        told(Progress("encode", 0, 1), end("stopped"))
    with pytest.raises(BusyError, match="taken back before the answer was whole"):
        told()
    with pytest.raises(BusyError, match="taken back before the answer was whole"):
        told(TextDelta("Hello"))
    *_, cut = told(TextDelta("Hello"), end("stopped"))
    assert cut.reason == "limit"  # nobody stopped it
    assert told(end("stopped"), stopped=True) == [end("stopped")]
    assert told(TextDelta("Hello"), end("end")) == [TextDelta("Hello"), end("end")]


def test_a_turn_whose_time_is_over_at_once_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the process that has the GPU gets no CPU for all of its time."""
    monkeypatch.setattr(zero, "seconds", lambda request: zero.END_S)

    def late(request: TurnRequest) -> Iterator[TurnEnd]:
        time.sleep(0.05)
        yield end("stopped" if request.stop.is_set() else "end")

    class Runner:
        default_options, run = GenerationOptions(), staticmethod(late)

    lent = zero.Lent(Runner())  # type: ignore[arg-type]
    with pytest.raises(BusyError, match="was over before the answer began"):
        list(lent.run(turn()))


@dataclass(frozen=True)
class Space:
    """A running page."""

    address: str
    host: ZeroHost
    log: Path

    def client(self) -> Client:
        return Client(self.address, headers={"X-IP-Token": TOKEN}, verbose=False)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The page as such a Space starts it."""
    if importlib.util.find_spec("spaces") is None:
        pytest.skip("the package spaces is not installed")
    folder, port, host = tmp_path_factory.mktemp("space"), free_port(), ZeroHost()
    (folder / "cgroup").write_text("0::/kubepods/space\n")
    environment = os.environ | {
        "SPACE_ID": "somebody/omni",
        "SPACE_HOST": "somebody-omni.hf.space",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": host.address,
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(folder / "cgroup"),
        "PYTHONUNBUFFERED": "1",
    }
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zero_space", "--model", "nano"],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_S
        while "Ready:" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Space(f"http://127.0.0.1:{port}", host, log)
    finally:
        process.terminate()
        process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its forks that wait for another turn
        host.close()


def test_a_turn_borrows_the_gpu_for_its_visitor(space: Space) -> None:
    client, before = space.client(), len(space.host.asked)
    text, wav, told = client.predict(text="Hello, who are you?", seed=1, api_name="/chat")
    assert text and told["reason"] == "end", (told, space.log.read_text())
    assert Path(wav).stat().st_size > 10_000
    steps = [path for path, _ in space.host.asked[before:]]
    assert steps == ["/schedule", "/allow", "/release"]
    booked = space.host.calls("/schedule")[-1]
    assert booked["token"] == TOKEN
    assert booked["durationSeconds"] == str(zero.seconds(turn()))
    more, none, statistics = client.predict(text="What can you do?", speech=False, api_name="/chat")
    assert more and none is None
    assert statistics["prompt_tokens"] > 50  # the conversation goes on, in another process
    assert statistics["cached_tokens"] == 0


def test_a_refusal_of_the_gpu_is_a_sentence(space: Space) -> None:
    space.host.left_s = 7
    try:
        with pytest.raises(
            AppError, match=r"did not take this question: .*73s requested.* 7s left"
        ):
            space.client().predict(text="Hello!", api_name="/chat")
    finally:
        space.host.left_s = None


def test_what_goes_wrong_there_is_told_here(space: Space, tmp_path: Path) -> None:
    from gradio_client import handle_file

    silent = tmp_path / "empty.wav"
    silent.write_bytes(b"")
    with pytest.raises(AppError, match=r"empty\.wav is empty"):
        space.client().predict(handle_file(str(silent)), api_name="/transcribe")


def test_a_turn_that_is_cancelled_gives_the_gpu_back(space: Space) -> None:
    lent, before = len(space.host.calls("/schedule")), len(space.host.calls("/release"))
    job = space.client().submit(
        text="Count from one to twenty, please, and then back to one.", api_name="/chat"
    )
    deadline = time.monotonic() + 60
    while len(space.host.calls("/schedule")) == lent:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.cancel()
    while len(space.host.calls("/release")) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_live_is_not_there(space: Space) -> None:
    ids = {component["props"].get("elem_id") for component in space.client().config["components"]}
    assert "audio-send" in ids
    assert not [name for name in ids if name and "live" in name]
