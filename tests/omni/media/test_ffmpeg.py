"""The ffmpeg program is found, or made reachable."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import imageio_ffmpeg
import pytest

from omni.errors import ResourceError
from omni.media.ffmpeg import find_ffmpeg


def test_the_ffmpeg_of_the_system_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg(tmp_path / "cache") == program
    assert not (tmp_path / "cache").exists()


def test_ffmpeg_without_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "ffmpeg-linux-v7"
    binary.write_text("#!/bin/sh\n", encoding="utf-8")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(binary))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = find_ffmpeg(tmp_path / "cache")
    assert found.name in ("ffmpeg", "ffmpeg.exe")
    assert found.resolve() == binary
    assert str(tmp_path / "cache") in os.environ["PATH"].split(os.pathsep)
    assert find_ffmpeg(tmp_path / "cache") == found
    os.environ["PATH"] = str(tmp_path / "bin")
    assert find_ffmpeg(tmp_path / "cache") == found  # a new process, an old link


def test_no_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", nothing)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError) as caught:
        find_ffmpeg(tmp_path / "cache")
    assert caught.value.code == "ffmpeg-missing"


def test_a_folder_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    found = find_ffmpeg(in_the_way / "cache")
    assert found.exists() and shutil.which("ffmpeg") == str(found)
