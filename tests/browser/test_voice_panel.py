"""The voice panel in a real browser: what it shows is what the next turn gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Locator, expect

from tests.browser.server import Server
from tests.browser.visit import Visit
from tests.support.root import DATA

SPEECH = DATA / "speech.ogg"
CHECKED_MS = 60_000  # the first check loads the detector
NARROW, ROOMY = 900, {"width": 1920, "height": 1080}  # pixels
DEFAULT = "请用【邻家女声】这个声音回答问题。"


@pytest.fixture
def server(voice_server: Server) -> Server:
    return voice_server


class Panel:
    """What a person does in the panel."""

    def __init__(self, visit: Visit) -> None:
        self.visit, self.page = visit, visit.page
        size = self.page.viewport_size
        if size and size["width"] > NARROW:
            self.page.set_viewport_size(ROOMY)  # the panel stands beside the chat
        expect(self.box("system")).to_be_attached()
        # A page that became wider opens its sidebars by itself, maybe in the moment of the click.
        self.page.wait_for_timeout(500)
        if not self.page.locator("#settings.open").count():
            self.page.locator("#settings .toggle-button").click()
        expect(self.box("role")).to_be_visible()
        self.page.wait_for_timeout(500)  # the sidebar slides in

    def part(self, name: str) -> Locator:
        return self.page.locator(f"#{'system-prompt' if name == 'system' else f'voice-{name}'}")

    def box(self, name: str) -> Locator:
        return self.part(name).locator("textarea, input").first

    def open(self, *names: str) -> None:
        for name in names:
            self.part(name).locator("button.label-wrap").first.click()

    def choose(self, name: str, label: str) -> None:
        self.box(name).click()
        # what the model does nothing with has a mark behind its name
        marked = re.compile(rf"^{re.escape(label)}( \(not with .*\)|（.*）)?$")
        self.page.get_by_role("option", name=marked).click()

    def step(self, name: str, label: str) -> None:
        self.part(name).get_by_role("radio", name=label).check()

    def give(self, file: Path) -> None:
        chooser = self.part("prompt").locator("input[type=file]")
        chooser.set_input_files(str(file))

    def told(self, name: str, sentence: str) -> None:
        expect(self.part(name)).to_contain_text(sentence, timeout=CHECKED_MS)

    def shows(self, text: str) -> None:
        expect(self.box("system")).to_have_value(text)

    def click(self, name: str) -> None:
        self.part(name).click()


Come = Callable[..., Visit]


def test_what_the_panel_shows_is_what_every_tab_sends(server: Server, visitors: Come) -> None:
    visit = visitors(server)
    panel = Panel(visit)
    panel.shows(DEFAULT)
    panel.open("style")
    panel.choose("role", "Pirate")
    panel.step("speed", "Slow")
    panel.choose("emotion", "Happy")
    shown = f"You are a pirate. {DEFAULT} Speak in a happy tone. Speak slowly."
    panel.shows(shown)
    visit.ask("hello")
    visit.answered(1)
    assert f"text({shown})" in visit.text()
    visit.go("image")
    visit.ask("hello")
    visit.answered(1)
    assert f"text({shown})" in visit.text()
    panel.choose("role", "Bedtime storyteller")  # brings its own style
    panel.shows(
        "You tell bedtime stories to a small child: short sentences, kind pictures, a quiet end. "
        f"{DEFAULT} Speak in a gentle tone. Speak slowly. Speak softly."
    )
    other = Panel(visitors(server))
    other.shows(DEFAULT)
    panel.click("reset")
    panel.shows(DEFAULT)
    visit.nothing_wrong()


def test_text_that_is_written_by_hand_stays(server: Server, visitors: Come) -> None:
    visit = visitors(server)
    panel = Panel(visit)
    panel.open("style")
    expect(panel.box("system")).not_to_be_editable()
    by_hand = panel.page.locator("#system-by-hand input")
    by_hand.check()
    expect(panel.box("system")).to_be_editable()
    panel.box("system").fill("My own words.")
    panel.step("pitch", "High")
    panel.page.wait_for_timeout(1500)
    panel.shows("My own words.")
    visit.ask("hello")
    visit.answered(1)
    assert "text(My own words.)" in visit.text()
    by_hand.uncheck()
    panel.shows(f"{DEFAULT} Speak in a high voice.")
    visit.nothing_wrong()


def test_a_recording_is_checked_shown_and_used_in_both_ways(server: Server, visitors: Come) -> None:
    visit = visitors(server)
    panel = Panel(visit)
    panel.open("recording")
    panel.give(SPEECH)
    panel.told("check", "Ready: 7.9 s")
    expect(panel.part("prompt").locator("[data-testid^=waveform]").first).to_be_visible()
    panel.shows("")
    expect(panel.box("named")).to_be_disabled()
    expect(panel.page.locator("#system-after")).to_contain_text("Answer in the voice of this")
    visit.ask("hello")
    visit.answered(1)
    assert "text() voice(voice.wav, system, None)" in visit.text()
    panel.step("use", "As an example of the assistant speaking")
    expect(panel.page.locator("#system-after")).to_contain_text("fill in what it says")
    panel.click("transcribe")
    expect(panel.box("transcript")).to_have_value("This is voice.wav")
    panel.box("transcript").fill("Hello, my name is Anna.")
    panel.box("transcript").blur()
    expect(panel.page.locator("#system-after")).to_contain_text("“Hello, my name is Anna.”")
    visit.ask("hello")
    visit.answered(2)
    assert "voice(voice.wav, example, Hello, my name is Anna.)" in visit.text()
    panel.part("prompt").get_by_role("button", name=re.compile("Clear|Remove")).first.click()
    panel.shows(DEFAULT)
    expect(panel.box("transcript")).to_have_value("")
    visit.ask("hello")
    visit.answered(3)
    assert visit.text().count("voice(") == 2


@pytest.mark.parametrize(
    ("language", "name", "sentence"),
    [
        ("en-US", "silence.wav", "could not hear anything"),
        ("en-US", "text.wav", "could not be read as sound"),
        ("zh-CN", "voice.wav", "听不到人说话"),
        ("zh-CN", "short.wav", "声音样本需要 3 秒"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused_in_a_sentence(
    server: Server, visitors: Come, media: Path, language: str, name: str, sentence: str
) -> None:
    samples, rate = soundfile.read(SPEECH)
    soundfile.write(media / "short.wav", samples[rate : 3 * rate], rate)
    visit = visitors(server, locale=language)
    panel = Panel(visit)
    panel.open("recording")
    panel.give(media / name)
    panel.told("check", sentence)
    expect(panel.part("prompt").locator("input[type=file]")).to_be_attached()  # empty again
    panel.shows(DEFAULT)


def test_the_microphone_is_checked_too(server: Server, visitors: Come) -> None:
    visit = visitors(server, permissions=["microphone"])
    panel = Panel(visit)
    panel.open("recording")
    panel.part("prompt").get_by_role("button", name="Record audio").click()
    panel.part("prompt").get_by_role("button", name="Record", exact=True).click()
    panel.page.wait_for_timeout(2500)
    panel.part("prompt").get_by_role("button", name="Stop").first.click()
    panel.told("check", "No speech was found")  # the microphone hears a tone


def test_voices_are_saved_found_renamed_exported_deleted_and_imported(
    server: Server, visitors: Come, tmp_path: Path
) -> None:
    first = Panel(visitors(server))
    first.open("recording", "library")
    first.told("shelf", "stay on this computer")
    first.click("save")
    first.told("shelf", "There is no recording to save")
    first.give(SPEECH)
    first.told("check", "Ready:")
    first.box("transcript").fill("Hello.")
    first.box("name").fill("Anna")
    first.click("save")
    first.told("shelf", "Saved as Anna.")
    visit = visitors(server)  # another day
    panel = Panel(visit)
    panel.open("recording", "library")
    panel.choose("saved", "Anna")
    panel.told("check", "Anna is the voice now.")
    expect(panel.box("transcript")).to_have_value("Hello.")
    visit.ask("hello")
    visit.answered(1)
    assert "voice(Anna.wav, system, Hello.)" in visit.text()
    panel.box("name").fill("小安")
    panel.click("rename")
    panel.told("shelf", "Anna is now called 小安.")
    with panel.page.expect_download() as download:
        panel.click("export")
    archive = tmp_path / download.value.suggested_filename
    assert archive.suffix == ".zip"
    download.value.save_as(archive)
    panel.click("delete")
    panel.told("shelf", "小安 was deleted")
    with panel.page.expect_file_chooser() as chooser:
        panel.click("import")
    chooser.value.set_files(str(archive))
    panel.told("shelf", "Added: 小安.")
    panel.choose("saved", "小安")
    panel.told("check", "小安 is the voice now.")


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_everything_has_a_name_and_fits_on_a_phone(
    server: Server, visitors: Come, language: str
) -> None:
    visit = visitors(server, locale=language, viewport={"width": 375, "height": 812})
    panel = Panel(visit)
    panel.open("recording", "library", "style")
    nameless = panel.page.evaluate(
        """() => [...document.querySelectorAll(
            '#settings :is(input, textarea, button):not([type=file])')]
          .filter((e) => e.checkVisibility() && !e.closest('#parameters') && !(
            e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title ||
            e.innerText?.trim() || e.closest('label')?.innerText.trim() ||
            (e.id && document.querySelector(`label[for="${e.id}"]`))))
          .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    too_wide = panel.page.evaluate(
        """() => [...document.querySelectorAll('#settings [id^=voice-], #system-prompt')]
          .filter((e) => e.checkVisibility() &&
            (e.getBoundingClientRect().right > innerWidth || e.scrollWidth > e.clientWidth + 1))
          .map((e) => e.id)"""
    )
    assert too_wide == []
    assert not re.search(r"__i18n__|omni\.", panel.page.locator("#settings").inner_text())
