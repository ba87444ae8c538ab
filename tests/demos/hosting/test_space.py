"""A Space's folder: what it is told, and that it starts as the Hub starts it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client

from demos.hosting import health, space
from tests.browser.server import free_port
from tests.support import container

START_S = 120.0
HOST = "somebody-omni.hf.space"
# What the Hub's proxy adds to a visitor's request.
PROXIED = {
    "host": HOST,
    "x-forwarded-host": HOST,
    "x-forwarded-proto": "https",
    "x-forwarded-for": "198.51.100.7, 10.16.2.1",
}


@pytest.mark.parametrize("hardware", space.HARDWARE)
def test_a_space_is_told_what_its_hardware_needs(tmp_path: Path, hardware: space.Hardware) -> None:
    assert space.main([str(tmp_path), "--hardware", hardware, "--title", "Mine"]) == 0
    kind = space.KINDS[hardware]
    _, head, text = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["title"] == "Mine"
    assert told["sdk"] == "gradio" and told["app_file"] == "app.py"
    assert told["suggested_hardware"] == kind.hardware
    pins = (tmp_path / "requirements.txt").read_text().splitlines()
    assert f"gradio=={told['sdk_version']}" in pins
    assert ("spaces" in pins) == (hardware == "zero")
    assert told.get("preload_from_hub", []) == list(kind.preload)
    assert f"`{kind.model}` unless set" in text
    assert kind.model in (tmp_path / "app.py").read_text()


def test_a_space_can_be_duplicated(tmp_path: Path) -> None:
    space.main([str(tmp_path)])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("README.md", "app.py", "requirements.txt", ".gitattributes", "LICENSE", "NOTICE"),
        *("omni", "demos", "assets", "examples"),
    }
    assert sum(path.stat().st_size for path in files) < 60e6
    kept = (tmp_path / ".gitattributes").read_text()
    for path in files:  # the Hub takes files above 10 MB, and those that are no text, by LFS alone
        large = path.stat().st_size > 10e6 or space.binary(path)
        assert not large or f"*{path.suffix} filter=lfs" in kept, path
    secrets = re.compile(rb"hf_[A-Za-z]{20,}|[\w.]+:[\w]{8,}@")
    assert not [path for path in files if secrets.search(path.read_bytes()) and path.suffix]


def test_a_clone_is_written_anew_and_other_folders_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone, other = tmp_path / "clone", tmp_path / "other"
    (clone / ".git").mkdir(parents=True)
    (clone / ".git" / "HEAD").write_text("ref")
    assert space.main([str(clone)]) == 0
    (clone / "demos" / "gone.py").write_text("")
    assert space.main([str(clone), "--hardware", "gpu"]) == 0
    assert (clone / ".git" / "HEAD").read_text() == "ref"
    assert not (clone / "demos" / "gone.py").exists()
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    assert space.main([str(other)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


@dataclass(frozen=True)
class Running:
    """A Space that has started."""

    address: str
    log: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A CPU Space in a root file system of its own, as user 1000, with the Hub's variables."""
    folder, port = tmp_path_factory.mktemp("space"), free_port()
    app, log = folder / "app", folder / "log"
    assert space.main([str(app)]) == 0
    given = {
        "HOME": "/data",
        "SYSTEM": "spaces",
        "SPACE_ID": "somebody/omni",
        "SPACE_HOST": HOST,
        "SPACE_AUTHOR_NAME": "somebody",
        "SPACE_REPO_NAME": "omni",
        "SPACE_TITLE": "Baichuan-Omni-1.5",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ALLOW_FLAGGING": "never",
        "GRADIO_NUM_PORTS": "1",
        "GRADIO_THEME": "huggingface",
        "PYTHONUNBUFFERED": "1",
    }
    process = container.start(
        ["/opt/omni/bin/python", "app.py"], folder, given, log, app=app, user=1000
    )
    try:
        deadline = time.monotonic() + START_S
        while "Ready:" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Running(f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()


@container.ROOTED
def test_it_answers_where_the_hub_starts_it(running: Running) -> None:
    client = Client(running.address, verbose=False)
    text, wav, _ = client.predict(text="Hello, who are you?", api_name="/chat")
    assert "nano" in text.lower() and Path(wav).stat().st_size > 10_000
    assert health.ask(running.address) == "ready"
    said = running.log.read_text()
    assert not re.search("[Rr]ead-only|Permission denied", said), said


@container.ROOTED
def test_visitors_come_by_the_hubs_proxy(running: Running) -> None:
    page = httpx.get(running.address, headers=PROXIED)
    assert page.status_code == 200
    assert f'"root":"https://{HOST}"' in page.text.replace(" ", "")
    assert (
        "frame-ancestors 'self' https://huggingface.co" in page.headers["content-security-policy"]
    )
    foreign = httpx.get(running.address, headers=PROXIED | {"host": "evil.example"})
    assert foreign.status_code == 403


@container.ROOTED
def test_visitors_cannot_change_the_model(running: Running) -> None:
    client = Client(running.address, verbose=False)
    with pytest.raises(Exception, match=r"(?i)owner|not allowed|cannot"):
        client.predict(model="nano", api_name="/load_model")
