"""What a person does with a chat, in a real browser: ask again, edit, undo, delete, keep, try."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.visit import Visit, until

Come = Callable[..., Visit]


def press(visit: Visit, name: str) -> None:
    """Press the last button of that name in the chat."""
    visit.part("chat").get_by_role("button", name=name, exact=True).last.click()


def test_ask_again_edit_undo_and_delete(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server)
    for number, text in enumerate(("echo one *star*", "echo two"), start=1):
        visit.ask(text)
        visit.answered(number)
    press(visit, "Retry")
    visit.answered(2)
    assert visit.text().count("echo two") == 1
    press(visit, "Undo")
    expect(visit.bubbles("user")).to_have_count(1)
    expect(visit.part("text").locator("textarea")).to_have_value("echo two")
    visit.part("chat").get_by_role("button", name="Edit").first.click()
    visit.part("chat").locator("textarea").fill("echo three <b>")
    press(visit, "Submit")
    expect(visit.bubbles("user")).to_have_text(re.compile("echo three <b>"))
    visit.answered(1)
    visit.ask("echo four")
    visit.answered(2)
    visit.part("chat").get_by_role("button", name=re.compile("Delete this")).first.click()
    expect(visit.bubbles("user")).to_have_count(1)
    expect(visit.bubbles("user")).to_have_text(re.compile("echo four"))
    visit.nothing_wrong()


def test_a_message_is_copied_and_saved(
    visitors: Come, fake_server: Server, media: Path, tmp_path: Path
) -> None:
    visit = visitors(fake_server, "image", permissions=["clipboard-read", "clipboard-write"])
    visit.give("pictures", media / "one.png")
    visit.ask("echo two *stars*")
    visit.answered(1)
    copies = visit.part("chat").get_by_role("button", name="Copy the text")
    expect(copies).to_have_count(2)
    for button, text in ((copies.first, "echo two *stars*"), (copies.last, "two stars")):
        button.click()
        until(visit.page, "navigator.clipboard.readText().then((read) => read.trim())", text)
    saves = visit.part("chat").get_by_role("button", name=re.compile("Save this message"))
    for button, text, name in (
        (saves.first, "echo two *stars*", "one.png"),
        (saves.last, "two *stars*", "answer.wav"),
    ):
        with visit.page.expect_download() as download:
            button.click()
        assert download.value.suggested_filename == "message.zip"
        download.value.save_as(tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert set(archive.namelist()) == {"message.txt", name}
            assert archive.read("message.txt").decode().strip() == text
    visit.nothing_wrong()


def test_a_full_memory_is_told(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server)
    visit.ask("hello")
    visit.answered(1)
    visit.ask("forget")
    visit.answered(2)
    expect(visit.bubbles("bot").last).to_contain_text("longer than the model's memory")
    visit.nothing_wrong()


def test_a_conversation_leaves_and_comes_back(
    visitors: Come, fake_server: Server, media: Path, tmp_path: Path
) -> None:
    visit = visitors(fake_server, "image")
    visit.give("pictures", media / "one.png")
    visit.ask("echo a gradient")
    visit.answered(1)
    visit.conversations()
    visit.part("tools").get_by_role("button").first.click()
    visit.part("write").click()
    transcript = visit.part("transcript").locator("textarea")
    expect(transcript).to_have_value(re.compile(r"You: \[picture: one.png\] echo a gradient"))
    with visit.page.expect_download() as download:
        visit.part("export").click()
    kept = tmp_path / "kept.zip"
    download.value.save_as(kept)
    with zipfile.ZipFile(kept) as archive:
        assert any(name.endswith("one.png") for name in archive.namelist())
    visit.part("clear").click()
    expect(visit.bubbles("user")).to_have_count(0)
    with visit.page.expect_file_chooser() as chooser:
        visit.part("import").click()
    chooser.value.set_files(kept)
    expect(visit.bubbles("bot")).to_have_text(re.compile("a gradient"), timeout=60_000)
    expect(visit.bubbles("user").locator("img")).to_have_count(1)
    visit.ask("echo and now")
    visit.answered(2)
    visit.nothing_wrong()


def test_tasks_and_examples_speak_the_persons_language(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server, "image", locale="zh-CN")
    visit.choose("chip-describe")
    expect(visit.part("text").locator("textarea")).to_have_value("图片里有什么？")
    visit.part("card-count").click()
    visit.answered(1)
    expect(visit.bubbles("user")).to_have_text(re.compile("有几个星形"))
    expect(visit.bubbles("user").locator("img")).to_have_count(1)
    visit.nothing_wrong()


def test_reset_puts_the_parameters_back(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server)
    page = visit.page
    visit.ask("echo hello")  # by its end the panel shows the defaults of what is loaded
    visit.answered(1)
    visit.settings()
    page.locator("#parameters").get_by_role("button").first.click()
    temperature = page.locator("#parameter-text-temperature input[type=number]")
    before = temperature.input_value()
    temperature.fill("1.5")
    temperature.press("Tab")
    page.locator("#parameter-seed").get_by_role("textbox").fill("two cats")
    visit.ask("echo hello")
    visit.answered(2)
    expect(temperature).to_have_value("1.5")
    page.locator("#parameters-reset").click()
    expect(temperature).to_have_value(before)
    expect(page.locator("#parameter-seed").get_by_role("textbox")).to_have_value("")
    visit.nothing_wrong()


def test_the_model_is_loaded_and_unloaded_with_its_numbers(
    visitors: Come, fake_server: Server
) -> None:
    visit = visitors(fake_server)
    page = visit.page
    status, load, unload = (page.locator(f"#model-{name}") for name in ("status", "load", "unload"))
    visit.ask("short")
    visit.answered(1)
    expect(unload).to_be_enabled()
    for number in ("first sound 0.0 s", "than real time"):
        expect(visit.part("status")).to_contain_text(number)
    visit.model()
    unload.click()
    expect(status).to_contain_text("No model is loaded")
    load.click()
    expect(status.locator("progress")).to_be_visible()
    expect(status).to_contain_text("57 MB")
    expect(load).to_be_disabled()
    page.locator("#model-quantization input").click()
    page.get_by_role("option", name="8bit", exact=True).click()
    expect(load).to_be_enabled()  # another plan can be loaded over this one
    page.locator("#model-quantization input").click()
    page.get_by_role("option", name="auto", exact=True).click()
    expect(load).to_be_disabled()
    visit.nothing_wrong()
