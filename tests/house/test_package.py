"""The package: what pip builds from this tree is installed alone, in an empty folder, and works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import omni
from demos.build import TITLE
from omni.shipped import ASSETS
from tests.browser.server import free_port
from tests.support.root import ROOT

SOURCES = ("omni", "demos", "finetune", "assets", "examples", "LICENSE", "NOTICE", "README.md")
START_S = 60
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves files in the tree that it builds."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for path in [*(ROOT / name for name in SOURCES), *ROOT.glob("requirements*.txt")]:
        if path.is_dir():
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, copy)
    shutil.copy(ROOT / "pyproject.toml", copy)
    shutil.copy(ROOT / "setup.py", copy)
    offline = ["--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*PIP, "wheel", *offline, "--wheel-dir", str(out), str(copy)], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder)
    places = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    libraries = {sysconfig.get_paths()[kind] for kind in ("purelib", "platlib")}
    Path(places["purelib"], "libraries.pth").write_text("\n".join(libraries), encoding="utf-8")
    python = Path(places["scripts"], "python")
    install = [*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    return python.parent


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing in it to run in."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def environment() -> dict[str, str]:
    """This process's, without a way back to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_wheel_holds_the_packages_and_what_ships_with_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"omni", "demos", "finetune"}
    for folder in ("omni", "demos", "finetune"):
        modules = {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob("*.py")}
        assert modules - set(names) == set()
    for folder in ("assets", "examples"):
        files = [file for file in (ROOT / folder).rglob("*") if file.is_file()]
        shipped = {f"omni/_shipped/{f.relative_to(ROOT).as_posix()}" for f in files}
        assert {name for name in shipped - set(names) if "__pycache__" not in name} == set()
    assert "omni/py.typed" in names


def test_its_description_comes_from_the_tree(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = archive.read(name).decode("utf-8")
    assert f"\nVersion: {omni.__version__}\n" in metadata
    needs = re.findall(r"^Requires-Dist: ([\w.-]+)", metadata, re.MULTILINE)
    pinned = re.findall(
        r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert needs[: len(pinned)] == pinned
    assert set(re.findall(r"^Provides-Extra: (\w+)", metadata, re.MULTILINE)) == {
        "dev",
        "ray",
        "train",
    }


def test_the_installed_packages_are_those_of_the_wheel(programs: Path, empty: Path) -> None:
    code = "import omni, demos, finetune; print(omni.__file__, demos.__file__, finetune.__file__)"
    run = subprocess.run(
        [programs / "python", "-c", code],
        cwd=empty, env=environment(), check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert all(Path(file).is_relative_to(programs.parent) for file in run.stdout.split())


def test_the_command_line_speaks(programs: Path, empty: Path) -> None:
    subprocess.run(
        [programs / "omni", "tts", "--model", "nano", "The red star.", "--out", "x.wav"],
        cwd=empty, env=environment(), check=True, timeout=120,
    )  # fmt: skip
    samples, rate = soundfile.read(empty / "x.wav")
    assert rate == 24_000
    assert len(samples) > rate // 2
    assert float(np.sqrt(np.mean(samples**2))) > 0.01
    assert [file.name for file in empty.iterdir()] == ["x.wav"]


@pytest.fixture
def address(programs: Path, empty: Path) -> Iterator[str]:
    """Where ``omni-web`` serves."""
    port = free_port()
    log = empty.parent / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [programs / "omni-web", "--model", "nano", "--port", str(port)],
            cwd=empty, env=environment() | {"PYTHONUNBUFFERED": "1"}, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        end = time.monotonic() + START_S
        while "Ready:" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < end, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)


def test_the_page_is_served_with_its_browser_code(address: str) -> None:
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.status == 200
        assert f'"title":"{TITLE}"' in answer.read().decode("utf-8")
    with urllib.request.urlopen(f"{address}config", timeout=30) as answer:
        config = json.load(answer)
    assert (ASSETS / "scripts" / "header.js").read_text(encoding="utf-8") in config["head"]
