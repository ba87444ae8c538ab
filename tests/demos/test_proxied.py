"""A page for this machine alone, and a real nginx before it of which nobody told the page."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from demos import serve
from demos.base.languages import Words
from demos.build import build
from demos.turns.sessions import Sessions
from demos.voices.library import SavedVoice, VoiceLibrary
from omni.listening.settings import RATE
from omni.media.wav import write_wav
from omni.settings import EngineSettings
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

OWN = "The owner's voice"
FOLDER = "/home/me/models/mine"
NAME = "omni.example"
OF_A_BROWSER = {"origin": f"https://{NAME}", "sec-fetch-site": "same-origin"}
# What stands in nginx's location; what the browser adds.
PROXIES: dict[str, tuple[str, dict[str, str]]] = {
    "as it comes": ("", {}),
    "newer HTTP, asked by a browser": ("proxy_http_version 1.1;", OF_A_BROWSER),
    "newer HTTP, followed a link": (
        "proxy_http_version 1.1;",
        {"referer": f"https://{NAME}/", "sec-fetch-site": "same-origin"},
    ),
    "says for whom": (
        "proxy_http_version 1.1; proxy_set_header X-Forwarded-For $remote_addr;",
        {},
    ),
    "says who it is": ('proxy_http_version 1.1; proxy_set_header Via "1.1 here";', {}),
}
CONFIG = """
daemon off; worker_processes 1; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{page}; {more} }} }}
}}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, FakeEngine]]:
    """The port of a page whose owner has kept a voice, and its engine."""
    folder = tmp_path_factory.mktemp("proxied")
    sound = folder / "voice.wav"
    write_wav(sound, np.zeros(4 * RATE, np.float32), RATE)
    library = VoiceLibrary(folder / "voices")
    library.save(SavedVoice(OWN), sound)
    sessions, words, engine = Sessions(folder / "root"), Words(), FakeEngine()
    engine.settings = EngineSettings(FOLDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        patch.delenv("SPACE_ID", raising=False)
        built = build(engine, sessions, words, library)  # type: ignore[arg-type]
        port = serve.free_port(serve.LOOPBACK, None)
        serve.serve(built, words, serve.ServeOptions(port=port))
        yield port, engine
        built.close()
        sessions.close()


@pytest.fixture(params=PROXIES, scope="module")
def visitor(
    page: tuple[int, FakeEngine],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """Somebody who comes through nginx."""
    more, headers = PROXIES[request.param]
    folder, port = tmp_path_factory.mktemp("nginx"), serve.free_port(serve.LOOPBACK, None)
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, page=page[0], more=more))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config)])
    address = f"http://{serve.LOOPBACK}:{port}"
    try:
        with httpx.Client(base_url=address, headers={"host": NAME} | headers, timeout=30) as client:
            wait_for(client)
            yield client
    finally:
        process.terminate()
        process.wait(10)


def wait_for(client: httpx.Client) -> None:
    """Until the server listens."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert client.get("/config").status_code == 200
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("nginx did not start")


def shown(client: httpx.Client) -> str:
    """All that the page's own events tell whoever opens it."""
    config = client.get("/config").json()
    said = [json.dumps(config["components"])]
    for event in config["dependencies"]:
        if any(kind == "load" for _, kind in event["targets"]) and not event["inputs"]:
            asked = {"fn_index": event["id"], "data": [], "session_hash": "abc"}
            said.append(client.post("/gradio_api/run/predict", json=asked).text)
    return "\n".join(said)


def called(client: httpx.Client, name: str, *given: Any) -> str:
    """What an endpoint for scripts answers."""
    begun = client.post(f"/gradio_api/call/{name}", json={"data": given}).json()
    return client.get(f"/gradio_api/call/{name}/{begun['event_id']}").text


def test_the_owners_voices_and_folders_are_not_shown_through_it(visitor: httpx.Client) -> None:
    said = shown(visitor)
    assert "voice-saved" in said
    assert OWN not in said
    assert FOLDER not in said and FOLDER not in called(visitor, "model")


def test_the_model_is_not_changed_through_it(
    visitor: httpx.Client, page: tuple[int, FakeEngine]
) -> None:
    for name, given in (("load_model", ("nano", "", "")), ("unload_model", ())):
        assert "error" in called(visitor, name, *given)
    assert page[1].settings == EngineSettings(FOLDER) and page[1].report is None


def test_the_owner_sees_all_of_it(page: tuple[int, FakeEngine]) -> None:
    with httpx.Client(base_url=f"http://{serve.LOOPBACK}:{page[0]}", timeout=30) as owner:
        assert OWN in shown(owner)
        assert FOLDER in called(owner, "model")
