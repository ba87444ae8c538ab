"""The page's scripts: all of them are served, and the checkers of JavaScript have no complaint."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from demos.base.theme import FRAME, SCRIPTS, STYLES, WORKLET, head
from demos.conversations.replay import STYLE
from omni.shipped import ASSETS
from tests.support.root import ROOT

LONGEST_FILE = 400  # lines


def test_every_script_and_style_sheet_is_served() -> None:
    assert sorted([*SCRIPTS, WORKLET]) == sorted((ASSETS / "scripts").rglob("*.js"))
    assert sorted([*STYLES, FRAME, STYLE]) == sorted(ASSETS.glob("*.css"))


def test_the_head_has_the_scripts_in_their_order() -> None:
    text = head({"en": "en"}, choice="zh")
    assert 'id="omni-locales" data-choice="zh">{"en": "en"}</script>' in text
    places = [text.index(script.read_text(encoding="utf-8")) for script in (*SCRIPTS, WORKLET)]
    assert places == sorted(places)
    assert text.count("</script>") == len(SCRIPTS) + 2  # none ends inside its own text


def test_scripts_are_short() -> None:
    lines = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in SCRIPTS}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}


def test_the_lock_names_no_host() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, one in lock["packages"].items() if "resolved" in one] == []


@pytest.mark.parametrize("check", ["lint", "types"])
def test_the_checkers_have_no_complaint(check: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the page's scripts are not checked")
    if not (ROOT / "node_modules").is_dir():
        pytest.skip("run `npm ci` first: the checkers of the page's scripts are not installed")
    done = subprocess.run(
        [npm, "run", "--silent", check], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
