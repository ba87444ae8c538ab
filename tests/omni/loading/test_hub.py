"""Fetching from the Hub, with stand-ins for its client, and once with the client itself."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from omni.errors import CheckpointError, ResourceError
from omni.events import Progress
from omni.loading import hub, places
from omni.loading.progress.background import Cancelled
from tests.support.root import ROOT

NAME = "somebody/model"


@dataclass
class Client:
    """Stands for huggingface_hub.snapshot_download, with three chunks to fetch."""

    folder: Path
    total: int = 30
    error: BaseException | None = None
    dry_error: BaseException | None = None
    cancelled: bool = False
    files: int = 0

    def __call__(self, repository: str, **options: Any) -> Any:
        assert repository == NAME and "*.safetensors" in options["allow_patterns"]
        bars = options["tqdm_class"]
        if options.get("dry_run"):
            if self.dry_error is not None:
                raise self.dry_error
            cached = SimpleNamespace(file_size=999, will_download=False)
            return [SimpleNamespace(file_size=self.total, will_download=True), cached]
        if self.error is not None:
            raise self.error
        received, written = bars(unit="B", total=0), bars(unit="B", total=0)
        with bars(total=1, desc="Fetching 1 files") as files:
            for _ in range(3):
                try:
                    received.update(10)
                    written.update(10)
                except Cancelled:
                    self.cancelled = True
                    raise
            files.update(1)
            self.files = files.n
        return str(self.folder)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client(tmp_path)
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", client)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "not" / "there"))
    return client


def drain(work: Iterator[Progress]) -> tuple[Path, list[Progress]]:
    seen = []
    while True:
        try:
            seen.append(next(work))
        except StopIteration as end:
            return end.value, seen


def refused(kind: type[Exception] = CheckpointError) -> Any:
    with pytest.raises(kind) as caught:
        drain(hub.fetch(NAME))
    return caught.value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAME, True),
        ("nano", False),
        ("a/b/c", False),
        ("/a/b", False),
        ("./a", False),
        ("a b/c", False),
        (f"{NAME}@v1.0", True),
        (f"{NAME}@refs/pr/1", True),
        (f"{NAME}@", False),
        (f"{NAME}@a b", False),
    ],
)
def test_names(name: str, expected: bool) -> None:
    assert hub.is_repository(name) is expected


def test_a_revision_stands_behind_an_at() -> None:
    assert hub.parted(NAME) == (NAME, "main")
    assert hub.parted(f"{NAME}@v1.0") == (NAME, "v1.0")
    assert hub.parted(f"{NAME}@refs/pr/1") == (NAME, "refs/pr/1")


def test_bytes_are_reported_in_order(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    folder, seen = drain(hub.fetch(NAME))
    assert folder == client.folder and client.files == 1
    seen = [progress for progress in seen if progress.stage != "check"]
    assert all(progress.stage == "download" and progress.unit == "bytes" for progress in seen)
    done = [progress.done for progress in seen]
    assert done == sorted(done) and done[-1] == 30
    assert {progress.total for progress in seen} == {30}
    assert capfd.readouterr().err == "", "the client's own bars stay silent"


def test_closing_cancels(client: Client) -> None:
    client.total = 1_000_000
    work = hub.fetch(NAME)
    while next(work).stage != "download":
        pass
    work.close()  # returns when the client's thread is done
    # It was told at its next report, unless it was through already.
    assert client.cancelled or client.files
    assert not [t for t in threading.enumerate() if t.name == "omni-background"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RepositoryNotFoundError, 404, "hub-not-found"),
        (GatedRepoError, 403, "hub-forbidden"),
        (HfHubHTTPError, 403, "hub-forbidden"),
        (HfHubHTTPError, 401, "hub-not-found"),
        (HfHubHTTPError, 503, "hub-unreachable"),
    ],
)
def test_what_the_hub_refuses(
    client: Client, error: type[HfHubHTTPError], status: int, code: str
) -> None:
    client.error = error("no", response=MagicMock(headers={}, status_code=status))
    raised = refused()
    assert raised.code == code and NAME in str(raised)


def test_offline_mode_is_told_as_such(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    client.dry_error, client.error = DryRunError("no"), LocalEntryNotFoundError("no")
    raised = refused()
    assert raised.code == "hub-offline" and "HF_HUB_OFFLINE" in str(raised)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written(client: Client, number: int) -> None:
    client.error = OSError(number, os.strerror(number))
    raised = refused(ResourceError)
    assert raised.code == "hub-folder" and hub.constants.HF_HUB_CACHE in str(raised)


def test_an_error_of_our_own_stays_one(client: Client) -> None:
    client.error = RuntimeError("a mistake")
    assert str(refused(RuntimeError)) == "a mistake"


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("no"),
        ConnectionError("no"),
        OSError("odd"),
        httpx.ReadError("in the middle"),
    ],
)
def test_no_network_and_nothing_cached(client: Client, error: Exception) -> None:
    client.dry_error, client.error = DryRunError("no"), error
    assert refused().code == "hub-unreachable"


def test_no_network_and_a_cached_copy(client: Client) -> None:
    client.dry_error = DryRunError("no")
    folder, seen = drain(hub.fetch(NAME))
    assert folder == client.folder and {progress.total for progress in seen} == {0}


def test_a_disk_that_is_too_small(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        places.shutil, "disk_usage", lambda path: SimpleNamespace(free=29_000_000_000)
    )
    client.total = 30_000_000_000
    error = refused(ResourceError)
    assert error.code == "disk-short" and "30.0 GB" in str(error) and "29.0 GB" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Data processing error: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_disk_that_fills_up(client: Client, error: Exception) -> None:
    client.error = error
    raised = refused(ResourceError)
    assert raised.code == "disk-full" and hub.constants.HF_HUB_CACHE in str(raised)


FILES = {
    "config.json": b"{}",
    "model.safetensors": bytes(3_000_000),
    "third_party/cosy24k_vocoder/hift.pt": bytes(100_000),
    "modeling.py": b"raise SystemExit",
    "pytorch_model.bin": b"x",
}
COMMIT = "a" * 40
TAG, TAGGED = "v1.0", "b" * 40  # a revision, and its commit


class LittleHub(BaseHTTPRequestHandler):
    """What the client asks a Hub for, for one repository."""

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        revision = path.partition(f"/api/models/{NAME}/revision/")[2]
        commit = TAGGED if TAGGED in path or revision == TAG else COMMIT
        if revision not in ("", "main", TAG, COMMIT, TAGGED):
            self.answer(b"{}", 404, "RevisionNotFound")
        elif path.startswith(f"/api/models/{NAME}/tree"):
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": digest(data)}
                for name, data in FILES.items()
            ]
            self.answer(json.dumps(entries).encode())
        elif path.startswith(f"/api/models/{NAME}"):
            self.answer(json.dumps({"id": NAME, "sha": commit, "siblings": []}).encode())
        elif path.startswith(f"/{NAME}/resolve/{commit}/"):
            self.answer(FILES[path.partition(f"{commit}/")[2]], commit=commit)
        else:
            self.answer(b"{}", 404, "RepoNotFound")

    def answer(self, body: bytes, status: int = 200, error: str = "", commit: str = COMMIT) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{digest(body)}"')
        self.send_header("X-Repo-Commit", commit)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


FETCH = """
import sys
from omni.loading import hub
from omni.errors import CheckpointError
from omni.loading.checkpoint import Checkpoint

repository, revision = hub.parted(sys.argv[1])
work = hub.fetch(repository, revision=revision)
try:
    while True:
        progress = next(work)
        print(progress.done, progress.total)
except StopIteration as end:
    files = [path for path in end.value.rglob("*") if path.is_file()]
    print(Checkpoint(end.value, "").revision)
    print(*sorted(path.relative_to(end.value).as_posix() for path in files))
except CheckpointError as error:
    print(error)
    print(error.code)
"""


def test_with_the_real_client(tmp_path: Path) -> None:
    def fetch(name: str, port: int) -> list[str]:
        environment = os.environ | {
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }
        root = ROOT
        command = [sys.executable, "-c", FETCH, name]
        done = subprocess.run(
            command, env=environment, cwd=root, check=True, capture_output=True, text=True
        )
        assert "%|" not in done.stderr, "no bars but ours"
        return list(dict.fromkeys(done.stdout.splitlines()))  # a slow machine repeats them

    wanted = "config.json model.safetensors third_party/cosy24k_vocoder/hift.pt"
    total = sum(len(FILES[name]) for name in wanted.split())
    with ThreadingHTTPServer(("127.0.0.1", 0), LittleHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        lines = fetch(NAME, port)
        assert lines[:2] == ["0 0", f"0 {total}"] and lines[-3] == f"{total} {total}"
        assert lines[-2] == COMMIT
        assert lines[-1] == wanted
        assert fetch(NAME, port) == ["0 0", COMMIT, wanted], "nothing is fetched twice"
        assert fetch("nobody/nothing", port)[-1] == "hub-not-found"
        tagged = f"{NAME}@{TAG}"
        assert fetch(tagged, port)[-2:] == [TAGGED, wanted]
        sentence, code = fetch(f"{NAME}@v9", port)[-2:]
        assert code == "hub-revision"
        assert sentence.startswith(f"The model {NAME} on the Hugging Face Hub has no version v9")
        server.shutdown()
    assert fetch(tagged, port)[-2:] == [TAGGED, wanted]
    assert fetch(f"{NAME}@{TAGGED}", port)[-2:] == [TAGGED, wanted]
    assert fetch(NAME, port) == ["0 0", COMMIT, wanted], "without a network the cached copy will do"
    assert fetch("nobody/nothing", port)[-1] == "hub-unreachable"
