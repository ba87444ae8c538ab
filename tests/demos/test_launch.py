"""Starting the page: flags, and one clear sentence when one cannot be followed."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demos import launch, serve
from demos.base import gradio_internals
from demos.base.languages import Words
from tests.support.root import ROOT

NO_MICROPHONE = Words().say("en", "no-microphone")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What would have been served; nothing is."""
    seen: dict[str, Any] = {}

    def fake_serve(page: Any, words: Any, options: serve.ServeOptions) -> str:
        seen.update(page=page, words=words, options=options)
        return "http://nowhere/"

    monkeypatch.setattr(serve, "serve", fake_serve)
    monkeypatch.setattr(launch, "wait", lambda: None)
    monkeypatch.setattr(launch, "meanwhile", lambda engine, after: seen.update(after=after))
    monkeypatch.setattr(launch.atexit, "register", lambda close: seen.update(close=close))
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv(
        "GRADIO_TEMP_DIR", str(tmp_path)
    )  # changed by the app, restored after the test
    return seen


def test_defaults_serve_this_machine_alone(served: dict[str, Any]) -> None:
    assert launch.main([]) == 0
    options = served["options"]
    assert options.host == "127.0.0.1"
    assert not options.share
    assert options.auth == ()
    assert served["words"].choice == "auto"
    served["close"]()


def test_flags_arrive(served: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--host", "0.0.0.0", "--share", "--lang", "zh", "--auth", "a:b", "--auth", "c:d:e"]
    arguments += ["--unload-after", "30"]
    assert launch.main(arguments) == 0
    options = served["options"]
    assert options.host == "0.0.0.0"
    assert options.share
    assert options.auth == (("a", "b"), ("c", "d:e"))
    assert served["words"].choice == "zh" and served["after"] == 30
    assert NO_MICROPHONE not in capsys.readouterr().out  # the shared link is https
    served["close"]()


@pytest.mark.parametrize(
    ("flags", "address"),
    [
        ([], None),
        (["--auth", "a:b"], "192.0.2.1"),
        (["--host", "0.0.0.0"], "192.0.2.1"),
        (["--allow-host", "omni.example"], "198.51.100.7"),
        (["--share"], "198.51.100.7"),
    ],
)
def test_addresses_tell_people_apart_where_others_come(
    served: dict[str, Any], flags: list[str], address: str | None
) -> None:
    assert launch.main([*flags, "--wait-per-address", "5"]) == 0
    headers = {"x-forwarded-for": "198.51.100.7"}
    asked = SimpleNamespace(client=SimpleNamespace(host="192.0.2.1"), headers=headers)
    assert served["options"].visitors.asks(asked) == address
    served["close"]()


@pytest.mark.parametrize("number", ["0", "-1", "few"])
def test_a_bound_is_a_number(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launch.parse(["--wait-per-address", number])
    assert "--wait-per-address" in capsys.readouterr().err


def test_the_environment_names_hosts_and_asks_for_a_link(
    served: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OMNI_ALLOW_HOST", "omni.example, other.example ,")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    assert launch.main(["--allow-host", "first.example"]) == 0
    options = served["options"]
    assert options.allow_hosts == ("first.example", "omni.example", "other.example")
    assert not options.private
    assert options.share and options.made_up
    said = capsys.readouterr().out
    assert "There is no public link" in said  # none was made here
    assert options.auth[0][1] in said
    served["close"]()


def test_an_open_page_gets_a_password_that_is_told_once(
    served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = set()
    for opened in (["--host", "0.0.0.0"], ["--share"]):
        assert launch.main(opened) == 0
        ((user, password),) = served["options"].auth
        said = capsys.readouterr().out
        assert said.count(password) == 1
        assert f"the user {user} " in said
        seen.add(password)
        served["close"]()
    assert len(seen) == 2
    assert min(map(len, seen)) >= 12


def test_an_open_page_without_a_password_is_warned_of(
    served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    warning = Words().say("en", "open-to-all")
    assert launch.main(["--share", "--no-auth"]) == 0
    assert served["options"].auth == ()
    assert warning in capsys.readouterr().out
    served["close"]()
    assert launch.main(["--no-auth"]) == 0
    assert warning not in capsys.readouterr().out
    served["close"]()


def test_a_page_on_the_network_without_https_is_warned_of(
    served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main(["--host", "0.0.0.0"]) == 0
    assert NO_MICROPHONE in capsys.readouterr().out
    served["close"]()


def test_a_space_is_reached_from_outside(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "owner/space")
    assert launch.main([]) == 0
    assert served["options"].host == "0.0.0.0"
    assert served["options"].auth == ()
    served["close"]()


@pytest.mark.parametrize(("version", "warnings"), [("99.0", 1), (None, 0)])
def test_another_gradio_is_warned_of_once_at_the_start(
    served: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: str | None,
    warnings: int,
) -> None:
    if version:
        monkeypatch.setattr(gradio_internals, "version", lambda name: version)
    with caplog.at_level(logging.WARNING):
        assert launch.main([]) == 0
    assert sum("Gradio" in message for message in caplog.messages) == warnings
    served["close"]()


def test_uploads_go_to_a_private_folder_that_goes_away(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launch.main([]) == 0
    folder = Path(launch.os.environ["GRADIO_TEMP_DIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    served["close"]()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "/no/such/folder"], "/no/such/folder is not a folder"),
        (["--model", "tests"], "has no config.json"),
        (["--auth", "nobody"], "user:password"),
        (["--lang", "zh", "--model", "/no/such/folder"], "不是文件夹"),
    ],
)
def test_a_flag_that_cannot_be_followed_is_one_sentence(
    served: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    assert launch.main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not served


def test_a_port_in_use_is_one_sentence(
    served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert launch.main(["--port", str(port)]) == 2
    assert f"Port {port} is in use" in capsys.readouterr().err


def test_the_file_that_a_space_runs_starts_the_same_program() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "app.py", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "--share" in run("--help").stdout
    refused = run("--auth", "nobody")
    assert refused.returncode == 2
    assert "user:password" in refused.stderr


@pytest.mark.parametrize(("arguments", "shown"), [(["--share"], 1), (["--host", "0.0.0.0"], 0)])
def test_a_shared_page_says_so_to_its_visitors(
    served: dict[str, Any], arguments: list[str], shown: int
) -> None:
    assert launch.main([*arguments, "--lang", "en"]) == 0
    told = [block.value for block in served["page"].blocks.values() if block.elem_id == "page-note"]
    assert told == [Words("en").say("en", "shared-note")] * shown
    served["close"]()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ssl-certfile", "a.pem"], "are needed together"),
        (["--ssl-certfile", "none.pem", "--ssl-keyfile", "none.pem"], "cannot be used"),
        (["--root-path", "omni"], "must look like /omni"),
    ],
)
def test_https_and_paths_that_cannot_be_served_are_one_sentence(
    served: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    assert launch.main(arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not served
