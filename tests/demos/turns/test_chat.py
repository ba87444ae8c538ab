"""Threads: what the model gets and what the eyes see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demos.turns.chat import Entry, Thread, as_markdown, as_typed, bubble, retyped
from omni.conversation import Audio, Image, Message, Speech, SystemPrompt, Text, Video

ASKED = Entry(Message("user", (Image(Path("/s/1/cat.png")), Text("What is *this*?"))))
ANSWERED = Entry(
    Message("assistant", (Text("A **cat**."), Speech(np.zeros((3, 8), np.int32))), spoken=True),
    sound=Path("/s/2/answer.wav"),
)
FAILED = Entry(Message("user", (Audio(Path("/s/3/broken.wav")),)), failed=True)
SORRY = Entry(Message("assistant", ()), note="broken.wav is empty.", failed=True)


def test_the_model_gets_everything_but_what_failed() -> None:
    thread = Thread().plus(ASKED, ANSWERED, FAILED, SORRY)
    system = SystemPrompt("Be kind.")
    conversation = thread.conversation(system, "zh")
    assert conversation.messages == (ASKED.message, ANSWERED.message)
    assert conversation.system is system
    assert conversation.language == "zh"


def test_everything_is_shown() -> None:
    bubbles = Thread().plus(ASKED, ANSWERED, FAILED, SORRY).bubbles()
    assert [item["role"] for item in bubbles] == ["user", "assistant", "user", "assistant"]
    picture, text = bubbles[0]["content"]
    assert picture["file"] == {
        "path": "/s/1/cat.png",
        "orig_name": "cat.png",
        "mime_type": "image/png",
    }
    assert text == r"What is \*this\*?"
    text, sound = bubbles[1]["content"]
    assert text == "A **cat**."
    assert sound["file"]["mime_type"].startswith("audio/")
    assert "broken" in bubbles[3]["content"][0]


def test_a_clip_that_is_seen_and_heard_is_shown_once() -> None:
    clip = Path("/s/1/clip.mp4")
    entry = Entry(Message("user", (Video(clip), Audio(clip))))
    assert len(bubble(entry)["content"]) == 1
    assert Thread((entry,)).files() == [clip]


def test_no_bubble_is_empty() -> None:
    assert bubble(Entry(Message("assistant", ())))["content"] == [" "]


def test_files_are_the_media_and_the_sounds() -> None:
    files = Thread().plus(ASKED, ANSWERED).files()
    assert files == [Path("/s/2/answer.wav"), Path("/s/1/cat.png")]


TYPED = [
    ("<img src=x> **a** [l](http://x)", r"&lt;img src=x> \*\*a\*\* \[l\](http://x)"),
    ("Hello. How are you? 2 + 2 = 4!", "Hello. How are you? 2 + 2 = 4!"),
    ("- no list\n 1. none\n# no title\n> none", "\\- no list\n 1\\. none\n\\# no title\n\\> none"),
    ("&lt; & &amp;", "&amp;lt; & &amp;amp;"),
    (r"a\b \* `c`", r"a\\b \\\* \`c\`"),
]


@pytest.mark.parametrize(("typed", "shown"), TYPED)
def test_what_a_person_types_is_shown_letter_by_letter(typed: str, shown: str) -> None:
    assert as_typed(typed) == shown
    assert retyped(shown) == typed


def test_an_exchange_is_taken_out_by_the_row_in_which_the_chat_shows_it() -> None:
    later = Entry(Message("user", (Text("And now?"),)))
    thread = Thread().plus(ASKED, ANSWERED, SORRY, later, ANSWERED)  # two answers stand in a row
    assert thread.without_row(1).entries == (later, ANSWERED)
    assert thread.without_row(0).entries == (later, ANSWERED)
    assert thread.without_row(3).entries == (ASKED, ANSWERED, SORRY)
    assert thread.without_row(4) == thread.without_row(-1) == thread
    assert Thread((SORRY, later)).without_row(0).entries == (later,)


def test_forgotten_messages_are_shown_but_the_model_does_not_get_them() -> None:
    thread = Thread().plus(FAILED, SORRY, ASKED, ANSWERED, ASKED).forget(2)
    assert [entry.forgotten for entry in thread.entries] == [True] * 4 + [False]
    assert thread.conversation(SystemPrompt(), "en").messages == (ASKED.message,)
    assert len(thread.bubbles()) == 5
    assert thread.forget(0) == thread


def test_generated_text_keeps_its_lists_but_fetches_nothing() -> None:
    text = "- **one**\n<img src='http://x'> ![p](http://x/p.png) `a<b`\n```\n<p>\n```"
    shown = as_markdown(text)
    assert shown.startswith("- **one**")
    assert "<img" not in shown
    assert "![p]" not in shown
    assert "`a<b`" in shown
    assert "<p>" in shown


PICTURE = "![p](http://x/p.png) <img src=http://x/p.png>"


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "text ``` {}",  # no fence, where a line does not begin with it
        "a \\`b {} c`",  # an escaped mark opens nothing
        "a ` b\n`{}` c",  # the first one is closed by the second
        "``` a ` {} `",
        "| ` | {} ` |\n|-|-|",
        "~~~\n```\n~~~\n{}\n```",
        " ```\n```\n{}\n```",
        "- ```\n```\n{}\n```",
        "````\n```\n````\n{}\n```",
        "$$\n```\n$$\n{}\n```",
        '[a]: b "\n```\n"\n{}\n```',
        "```\ncode\n```\n{}",
    ],
)
def test_no_picture_of_another_host_is_shown_by_what_looks_like_code(around: str) -> None:
    shown = as_markdown(around.format(PICTURE))
    assert "![" not in shown
    assert "<img" not in shown


def test_code_is_shown_as_it_is() -> None:
    for code in (f"```python\n{PICTURE}\n```", f"so:\n\n```\n{PICTURE}\n```\nand `a<b` \n"):
        assert as_markdown(code) == code
    assert as_markdown('```mermaid\nA@{img: "http://x"}\n```').startswith("```text\n")
