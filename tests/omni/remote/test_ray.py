"""The engine on Ray Serve: two nanos on this machine, asked as from another one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch

from omni.config import OmniConfig
from omni.conversation import Conversation, Message, Text
from omni.errors import CheckpointError, OmniError
from omni.events import SpeechChunk, TextDelta, TurnEnd
from omni.loading.nano import NANO_FOLDER
from omni.model.omni import OmniForCausalLM
from omni.options import GenerationOptions
from omni.remote.client import RemoteEngine
from omni.remote.link import TOKEN_VARIABLE
from omni.replicas.wire import ReplicaLost
from tests.browser.server import free_port
from tests.support.adapters import pairs, write_adapter
from tests.support.root import ROOT

pytest.importorskip("ray", reason="requirements-ray.txt is not installed")
pytestmark = pytest.mark.timeout(600)

START_S, ANSWER_S = 400.0, 200.0
WRITTEN, SPOKEN = GenerationOptions(speech=False, seed=1), GenerationOptions(seed=1)
HELLO = Message("user", (Text("Hello, who are you?"),))


@dataclass(frozen=True)
class Cluster:
    """What ``serve-ray`` serves."""

    process: subprocess.Popen[bytes]
    address: str
    token: str
    adapter: str

    def engine(self) -> RemoteEngine:
        engine = RemoteEngine(self.address, self.token)
        list(engine.load())
        return engine

    def replicas(self) -> dict[int, float]:
        """Their processes, with the seconds that each has computed."""
        found = {}
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith("ray::ServeReplica:omni:engine"):
                    found[process.pid] = sum(process.cpu_times()[:2])
            except psutil.Error:
                continue
        return found


def serve(log: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "omni", "serve-ray", "--device", "cpu", *flags]
    environment = {name: os.environ[name] for name in os.environ if name != TOKEN_VARIABLE}
    with log.open("wb") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env=environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder, port = tmp_path_factory.mktemp("ray"), free_port()
    with torch.device("meta"):
        model = OmniForCausalLM(OmniConfig.from_pretrained(NANO_FOLDER))
    adapter = write_adapter(folder / "persona", pairs(model))
    log = folder / "log"
    process = serve(
        log,
        *("--model", "nano", "--replicas", "2", "--max-replicas", "3", "--add-after", "1"),
        *("--adapter", str(adapter), "--port", str(port)),
    )
    try:
        deadline = time.monotonic() + START_S
        while "Ready:" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        time.sleep(0.2)
        made = re.search(rf"{TOKEN_VARIABLE}=(\S+)", log.read_text())
        assert made is not None, log.read_text()
        yield Cluster(process, f"http://127.0.0.1:{port}", made[1], str(adapter))
    finally:
        process.terminate()
        process.wait(60)


def asked(text: str, *before: Message) -> Conversation:
    return Conversation(messages=(*before, Message("user", (Text(text),))))


def ended(engine: RemoteEngine, conversation: Conversation, session: str) -> TurnEnd:
    *_, end = engine.turn(conversation, WRITTEN, session=session, adapter="")
    assert isinstance(end, TurnEnd)
    return end


def test_an_answer_is_heard_and_its_session_finds_its_context(cluster: Cluster) -> None:
    engine = cluster.engine()
    assert engine.state == "ready" and engine.settings.model == "nano"
    kinds = [type(event) for event in engine.turn(asked("Hello!"), SPOKEN, session="a", adapter="")]
    assert SpeechChunk in kinds and kinds[-1] is TurnEnd
    for session in ("b", "c", "d", "e"):  # whichever replica each comes to
        first = ended(engine, asked("Hello, who are you?"), session)
        more = asked("What can you do?", HELLO, first.message)
        assert ended(engine, more, session).stats.cached_tokens > 0


def test_an_adapter_is_brought_where_it_is_asked_for(cluster: Cluster) -> None:
    engine = cluster.engine()
    assert engine.settings.adapters == (cluster.adapter,)
    assert engine.settings.adapter == cluster.adapter

    def answer(adapter: str | None, session: str) -> tuple[object, ...]:
        *_, end = engine.turn(
            asked("Hello, who are you?"), WRITTEN, session=session, adapter=adapter
        )
        assert isinstance(end, TurnEnd)
        return end.message.parts

    plain = answer("", "f")
    assert answer(None, "g") == answer(cluster.adapter, "f") == answer("persona", "h") != plain
    assert answer("", "h") == plain
    with pytest.raises(CheckpointError, match="does not offer the adapter another"):
        answer("another", "f")


def test_a_replica_that_is_killed_costs_its_turn_and_the_next_is_answered_elsewhere(
    cluster: Cluster,
) -> None:
    engine = cluster.engine()
    first = ended(engine, asked("Hello, who are you?"), "k")
    before = cluster.replicas()
    assert len(before) >= 2
    turn = engine.turn(asked("Count to twenty, please."), SPOKEN, session="k", adapter="")
    while not isinstance(next(turn), (TextDelta, SpeechChunk)):
        pass
    now = cluster.replicas()
    serving = max(before, key=lambda pid: now.get(pid, 0.0) - before[pid])
    os.kill(serving, signal.SIGKILL)
    with pytest.raises(ReplicaLost, match="ask again"):
        list(turn)
    again = ended(engine, asked("What can you do?", HELLO, first.message), "k")
    assert again.reason == "end" and again.message.parts
    assert again.stats.prompt_tokens > first.stats.prompt_tokens  # with its history
    assert again.stats.cached_tokens == 0  # where it was not known
    assert serving not in cluster.replicas()


def test_eight_are_answered_and_a_replica_is_added_for_them(cluster: Cluster) -> None:
    until = time.monotonic() + START_S
    over = threading.Event()
    wrong: list[BaseException] = []
    answered = [0] * 8

    def talk(number: int) -> None:
        engine = cluster.engine()
        try:
            while not over.is_set():
                *_, end = engine.turn(asked("Hello!"), SPOKEN, session=f"p{number}", adapter="")
                assert isinstance(end, TurnEnd) and end.reason == "end", end
                assert end.stats.first_sound_s is not None
                answered[number] += 1
        except (OmniError, AssertionError) as error:
            wrong.append(error)

    people = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for person in people:
        person.start()
    try:
        while len(cluster.replicas()) < 3 or not all(answered):
            assert time.monotonic() < until and not wrong, (wrong, answered, cluster.replicas())
            time.sleep(0.2)
    finally:
        over.set()
        for person in people:
            person.join(ANSWER_S)
    assert not wrong


def test_a_model_that_cannot_be_loaded_is_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = serve(log, "--model", "/no/such/folder", "--port", str(free_port()))
    assert process.wait(START_S) == 1
    assert "A replica cannot be had: /no/such/folder is not a folder" in log.read_text()


def test_arguments_are_those_that_are_known() -> None:
    from pydantic import ValidationError

    from omni.remote.deployment import Arguments, application

    with pytest.raises(ValidationError):
        Arguments(modell="nano")  # type: ignore[call-arg]
    assert Arguments(adapters=" a, b/c ,").offered() == ("a", "b/c")
    assert Arguments(model="nano").settings().model == "nano"
    scaled = application(Arguments(model="nano", replicas=2, max_replicas=4))
    assert scaled._bound_deployment._deployment_config.autoscaling_config.max_replicas == 4
    fixed = application({"model": "nano", "replicas": "2"})  # as serve run gives them
    assert fixed._bound_deployment.num_replicas == 2
