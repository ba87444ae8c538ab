"""A slow server: what a person did last is what stays, however late answers come."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.test_voice_panel import CHECKED_MS, DEFAULT, SPEECH, Panel
from tests.browser.visit import Visit

Come = Callable[..., Visit]
LATE_MS = 1500
OVER_MS = 4 * LATE_MS  # everything that was asked for has come


def slow(visit: Visit, *times: int) -> None:
    visit.late(*(times or (LATE_MS,)))


def test_a_choice_outlives_the_late_answer_of_the_one_before(
    voice_server: Server, visitors: Come
) -> None:
    visit = visitors(voice_server)
    panel = Panel(visit)
    panel.shows(DEFAULT)
    panel.open("style")
    slow(visit)
    panel.choose("role", "Bedtime storyteller")
    panel.choose("role", "Pirate")
    panel.step("speed", "Slow")
    panel.choose("emotion", "Happy")
    visit.page.wait_for_timeout(OVER_MS)
    panel.shows(f"You are a pirate. {DEFAULT} Speak in a happy tone. Speak slowly.")
    panel.click("reset")
    panel.choose("role", "Robot")
    visit.page.wait_for_timeout(OVER_MS)
    panel.shows(f"You are a robot. {DEFAULT}")


def test_answers_in_the_wrong_order_change_nothing(voice_server: Server, visitors: Come) -> None:
    visit = visitors(voice_server)
    panel = Panel(visit)
    panel.shows(DEFAULT)
    panel.open("style")
    slow(visit, 2500, 2000, 1500, 1000, 500, 0)
    panel.choose("role", "Bedtime storyteller")  # changes four more choices
    panel.step("loudness", "Loud")
    visit.page.wait_for_timeout(OVER_MS)
    panel.shows(
        "You tell bedtime stories to a small child: short sentences, kind pictures, a quiet end. "
        f"{DEFAULT} Speak in a gentle tone. Speak slowly. Speak loudly."
    )


def test_a_recording_that_was_removed_does_not_come_back(
    voice_server: Server, visitors: Come
) -> None:
    visit = visitors(voice_server)
    panel = Panel(visit)
    panel.open("recording")
    panel.give(SPEECH)
    panel.told("check", "Ready:")  # from now on the check is quick
    panel.shows("")  # the recording has taken the named voice's place
    panel.part("prompt").get_by_role("button", name=re.compile("Clear|Remove")).first.click()
    panel.shows(DEFAULT)
    slow(visit)
    panel.give(SPEECH)
    remove = panel.part("prompt").get_by_role("button", name=re.compile("Clear|Remove")).first
    remove.click(timeout=CHECKED_MS)
    visit.page.wait_for_timeout(OVER_MS)
    expect(panel.part("prompt").locator("input[type=file]")).to_be_attached()
    panel.shows(DEFAULT)
    visit.ask("hello")
    visit.answered(1)
    assert "voice(" not in visit.text()


def test_the_newest_recording_stays(voice_server: Server, visitors: Come, tmp_path: Path) -> None:
    samples, rate = soundfile.read(SPEECH)
    longer = tmp_path / "longer.wav"
    soundfile.write(longer, np.concatenate([samples, samples]), rate)
    visit = visitors(voice_server)
    panel = Panel(visit)
    panel.open("recording")
    slow(visit, 5000, 0)  # the answer about the first comes last
    panel.give(longer)
    panel.part("prompt").get_by_role("button", name=re.compile("Clear|Remove")).first.click()
    panel.give(SPEECH)
    visit.page.wait_for_timeout(OVER_MS)
    panel.told("check", "Ready: 7.9 s")
    visit.page.wait_for_timeout(OVER_MS)
    panel.told("check", "Ready: 7.9 s")


def test_load_is_offered_for_the_last_choice(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page = visit.page
    load, unload = page.locator("#model-load"), page.locator("#model-unload")
    visit.model()
    if unload.is_disabled():
        load.click()
    expect(unload).to_be_enabled()
    expect(load).to_be_disabled()
    before = page.locator("#model-quantization input").input_value()

    def choose(label: str) -> None:
        page.locator("#model-quantization input").click()
        page.get_by_role("option", name=label, exact=True).click()

    slow(visit, 2500, 0)
    choose("8bit")
    choose(before)
    page.wait_for_timeout(OVER_MS)
    expect(load).to_be_disabled()
    choose("8bit")
    expect(load).to_be_enabled()
    visit.ask("hello")
    visit.answered(1)
    page.wait_for_timeout(1000)
    expect(load).to_be_enabled()  # the other choice still waits to be loaded
