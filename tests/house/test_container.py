"""The container: its files are in order, and what its last stage says works as any user."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from gradio_client import Client

from demos.hosting import health
from tests.browser.server import free_port
from tests.support import container
from tests.support.root import ROOT

START_S = 120.0
END_S = 20.0  # compose.yaml's grace


def test_the_dockerfile_is_as_its_linter_wants_it() -> None:
    command = [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_image_holds_the_program_and_nothing_else() -> None:
    names = {path.parts[0] for path in container.context()}
    assert {"app.py", "omni", "demos", "assets", "examples", "requirements.txt"} <= names
    assert not names & {"tests", "benchmarks", "finetune", "docs", ".git", "node_modules"}
    assert not [path for path in container.context() if path.suffix == ".pyc"]
    size = sum((ROOT / path).stat().st_size for path in container.context())
    assert size < 60e6


def test_nobody_in_the_image_is_root_and_what_it_keeps_is_in_the_volume() -> None:
    assert container.only("USER") == "1000:1000"
    kept = container.variables()
    assert container.only("VOLUME") == "/data"
    for name in ("HOME", "HF_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        assert kept[name].startswith("/data")
    assert container.only("EXPOSE") == kept["GRADIO_SERVER_PORT"]


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.gpu.yaml"]])
def test_the_compose_files_start_the_same_image(files: list[str]) -> None:
    services = [yaml.safe_load((ROOT / file).read_text())["services"]["omni"] for file in files]
    first, last = services[0], services[-1]
    assert first["read_only"] and first["tmpfs"] == ["/tmp"]
    assert any(volume.startswith("data:/data") for volume in first["volumes"])
    assert first["ports"][0].endswith(":7860")
    assert f"ARG {next(iter(last['build']['args']))}=" in container.DOCKERFILE.read_text()
    known = subprocess.run(
        [sys.executable, ROOT / "app.py", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for flag in (word for word in first["command"] if word.startswith("--")):
        assert flag in known
    if len(files) == 2:
        (device,) = last["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@dataclass(frozen=True)
class Container:
    """A running stand-in of a container."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Container]:
    """The image's command in a root file system that nothing can write to, as any user."""
    port, log = free_port(), tmp_path / "log"
    given = container.variables() | {
        "GRADIO_SERVER_PORT": str(port),
        "OMNI_AUTH": "me:secret",
    }
    arguments = [*container.command("ENTRYPOINT"), "--model", "nano", "--device", "cpu"]
    process = container.start(arguments, tmp_path, given, log)
    try:
        yield Container(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()


@container.ROOTED
def test_it_answers_as_any_user_with_a_file_system_to_read_alone_and_ends_when_told(
    running: Container,
) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            # nano is loaded ahead: it depends on the machine how far that has come
            assert health.ask(running.address) in ("idle", "loading", "ready")
            break
        except OSError:
            assert running.process.poll() is None, running.log.read_text()
            assert time.monotonic() < deadline, running.log.read_text()
            time.sleep(0.2)
    client = Client(running.address, auth=("me", "secret"), verbose=False)
    text, wav, _ = client.predict(text="Hello, who are you?", api_name="/chat")
    assert text and Path(wav).stat().st_size > 10_000
    assert health.ask(running.address) == "ready"
    container.terminate(running.process)
    assert running.process.wait(END_S) == 0, running.log.read_text()
    said = running.log.read_text()
    assert not re.search("Traceback|[Rr]ead-only|Permission", said), said
