"""Data files: every known form is read, and every row that cannot be used is told by its line."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from finetune.lora.data.refused import DataError
from finetune.lora.data.rows import Row, Rows, read_rows
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    Audio,
    Image,
    Message,
    Part,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)

ASKED = {"role": "user", "content": "Hi"}
SAID = {"role": "assistant", "content": "Hello."}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With files that stand for media; nothing here is decoded."""
    for name in ("a.png", "b.png", "c.mp4", "one.wav", "two.wav"):
        (tmp_path / name).write_bytes(b"content of " + name.encode())
    return tmp_path


def read(folder: Path, *rows: object, name: str = "data.jsonl") -> Rows:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / name).write_text(text, encoding="utf-8")
    return read_rows(folder / name, folder / "inline")


def only(folder: Path, row: object) -> Row:
    found = read(folder, row)
    assert not found.bad, found.bad
    return found.rows[0]


def refused(folder: Path, row: object) -> str:
    found = read(folder, row)
    assert not found.rows
    return found.bad[0].reason


def parts(row: Row) -> list[tuple[str, list[object]]]:
    """Who said which texts and files."""
    return [(m.role, [_plain(part) for part in m.parts]) for m in row.conversation.messages]


def _plain(part: Part) -> object:
    if isinstance(part, Text):
        return part.text
    assert part.path is not None
    return type(part), part.path.name


def test_ms_swifts_messages(folder: Path) -> None:
    row = only(
        folder,
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "<image><image>What differs? <video>\n<audio>"},
                {"role": "assistant", "content": "A cat, and a dog."},
            ],
            "images": ["a.png", str(folder / "b.png")],
            "videos": ["c.mp4"],
            "audios": ["one.wav"],
        },
    )
    assert row.conversation.system == SystemPrompt("Be brief.")
    assert parts(row) == [
        (
            "user",
            [
                (Image, "a.png"),
                (Image, "b.png"),
                "What differs?",
                (Video, "c.mp4"),
                (Audio, "one.wav"),
            ],
        ),
        ("assistant", ["A cat, and a dog."]),
    ]
    assert (row.line, row.name, row.speech) == (1, "data.jsonl:1", False)


def test_speech_stands_behind_the_text_that_it_says(folder: Path) -> None:
    content = "Good morning. <audio> How are you?<audio>\n"
    row = only(
        folder,
        {
            "messages": [ASKED, {"role": "assistant", "content": content}],
            "audios": ["one.wav", "two.wav"],
        },
    )
    first, last = (folder / name for name in ("one.wav", "two.wav"))
    said = row.conversation.messages[-1]
    assert row.speech and said.spoken
    assert [part.path if isinstance(part, Speech) else part for part in said.parts] == [
        Text("Good morning."),
        first,
        Text(" How are you?"),
        last,
    ]


def test_a_voice_prompt_in_the_system_message(folder: Path) -> None:
    system = "You are Ann. <audio>Answer in the voice of this recording."
    row = only(
        folder,
        {
            "messages": [{"role": "system", "content": system}, ASKED, SAID],
            "audios": ["one.wav"],
        },
    )
    voice = VoicePrompt(folder / "one.wav")
    assert row.conversation.system == SystemPrompt("You are Ann.", voice)


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
        {"conversation": [{"human": "Hi", "assistant": "Hello."}]},
        {"messages": json.dumps([ASKED, SAID])},
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            ]
        },
        {"query": "Hi", "response": "Hello."},
        {"instruction": "Hi", "input": "", "output": "Hello."},
        {"messages": [ASKED, {**SAID, "content": "Hel"}, {**SAID, "content": "lo."}]},
    ],
    ids=["sharegpt", "pairs", "text", "parts", "query", "alpaca", "two answers"],
)
def test_other_forms_are_the_same_conversation(folder: Path, row: object) -> None:
    assert parts(only(folder, row)) == [("user", ["Hi"]), ("assistant", ["Hello."])]
    assert only(folder, row).conversation.system.text == DEFAULT_SYSTEM_TEXT


def test_a_system_text_beside_the_messages_and_a_history(folder: Path) -> None:
    row = only(
        folder,
        {"system": "", "query": "And?", "response": "Yes.", "history": [["Hi", "Hello."]]},
    )
    assert row.conversation.system.text == ""
    assert parts(row)[2:] == [("user", ["And?"]), ("assistant", ["Yes."])]


def test_openais_parts(folder: Path) -> None:
    picture = base64.b64encode(b"picture").decode()
    content = [
        {"type": "text", "text": "Is <image> a tag? "},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "image_url", "image_url": {"url": "a.png"}},
        {"type": "image", "image": (folder / "b.png").as_uri()},
        {"type": "input_audio", "input_audio": {"data": picture, "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": "one.wav"}},
        {"type": "video_url", "video_url": {"url": "c.mp4"}},
    ]
    row = only(folder, {"messages": [{"role": "user", "content": content}, SAID]})
    text, inline, *others = row.conversation.messages[0].parts
    assert text == Text("Is <image> a tag?"), "typed parts are not searched for tags"
    assert isinstance(inline, Image) and inline.path.read_bytes() == b"picture"
    assert inline.path.suffix == ".png" and inline.path.parent == folder / "inline"
    assert [type(part) for part in others] == [Image, Image, Audio, Audio, Video]
    read(folder, {"messages": [{"role": "user", "content": content}, SAID]})
    assert len(list((folder / "inline").iterdir())) == 2, "kept under the hash of the content"


def test_parts_take_their_files_from_the_lists(folder: Path) -> None:
    content = [{"type": "image"}, {"type": "text", "text": "<image>What?"}]
    row = only(
        folder,
        {"messages": [{"role": "user", "content": content}, SAID], "images": ["a.png", "b.png"]},
    )
    assert parts(row)[0][1] == [(Image, "a.png"), (Image, "b.png"), "What?"]


def test_answers_that_are_context_alone(folder: Path) -> None:
    row = only(folder, {"messages": [ASKED, {**SAID, "loss": False}, ASKED, SAID]})
    assert row.silent == {1}


def test_the_language_of_a_row_is_that_of_its_questions(folder: Path) -> None:
    chinese = {"messages": [{"role": "user", "content": "你好"}, SAID]}
    assert only(folder, chinese).conversation.language == "zh"
    other = {"messages": [ASKED, {"role": "assistant", "content": "你好。"}]}
    assert only(folder, other).conversation.language == "en"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (7, "is a number"),
        ({"text": "x"}, 'neither "messages" nor'),
        ({"messages": []}, "not a list of messages"),
        ({"messages": [ASKED]}, "no answer"),
        ({"messages": [ASKED, SAID, ASKED]}, "ends with a question"),
        ({"messages": [ASKED, {**SAID, "content": " "}]}, "is empty"),
        ({"messages": [ASKED, {**SAID, "content": None}]}, "says nothing"),
        ({"messages": [ASKED, {**SAID, "loss": False}]}, "no answer"),
        ({"messages": [ASKED, {**SAID, "loss": 0.5}]}, "true or false"),
        ({"messages": [ASKED, {"role": "tool", "content": "x"}, SAID]}, '"tool"'),
        ({"messages": [ASKED, SAID], "conversations": [ASKED]}, "keep one"),
        (
            {"messages": [{"role": "system", "content": "x"}, ASKED, SAID], "system": "y"},
            "keep one",
        ),
        ({"messages": [ASKED, SAID], "images": ["a.png"]}, "0 <image> tags and 1 file"),
        (
            {"messages": [{**ASKED, "content": "<audio>"}, SAID]},
            '1 <audio> tag and 0 files in "audios"',
        ),
        (
            {"messages": [{**ASKED, "content": "<image>"}, SAID], "images": ["gone.png"]},
            "not found",
        ),
        (
            {"messages": [{**ASKED, "content": "<image>"}, SAID], "images": ["https://x.y/a.png"]},
            "web address",
        ),
        (
            {
                "messages": [{**ASKED, "content": "<image>"}, SAID],
                "images": ["data:image/png;base64,?"],
            },
            "base64",
        ),
        (
            {"messages": [{**ASKED, "content": "<video>"}, SAID], "videos": [["a.png", "b.png"]]},
            "list of files",
        ),
        (
            {"messages": [ASKED, {**SAID, "content": "<image>"}], "images": ["a.png"]},
            "text and speech",
        ),
        (
            {"messages": [ASKED, {**SAID, "content": "<audio>Hello."}], "audios": ["one.wav"]},
            "behind its last",
        ),
        (
            {
                "messages": [{"role": "system", "content": "<image>"}, ASKED, SAID],
                "images": ["a.png"],
            },
            "system",
        ),
        (
            {"messages": [ASKED, SAID, {"role": "system", "content": "x"}, SAID]},
            "must be the first",
        ),
        ({"messages": [{**ASKED, "content": [{"type": "file"}]}, SAID]}, '"file"'),
        ({"messages": [ASKED, {**SAID, "tool_calls": [{}]}]}, "tools"),
        ("{broken", "no JSON"),
    ],
)
def test_what_cannot_be_used_is_told(folder: Path, row: object, words: str) -> None:
    reason = refused(folder, row)
    assert words in reason and reason.endswith(".")


def test_lines_are_those_of_the_file(folder: Path) -> None:
    good = {"messages": [ASKED, SAID]}
    found = read(folder, good, "", "nonsense", good, {"messages": [ASKED]})
    assert [row.line for row in found.rows] == [1, 4]
    assert [str(row).split(":")[1] for row in found.bad] == ["3", "5"]


def test_keys_that_nothing_reads_are_counted(folder: Path) -> None:
    good = {"messages": [ASKED, SAID]}
    found = read(folder, good, good | {"tools": "[]", "id": 3}, good | {"tools": "x", "label": 1})
    assert found.ignored == {"tools": 2, "label": 1}


def array(*rows: object) -> str:
    return json.dumps(rows, indent=2)


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_arrays_have_lines_too(folder: Path, name: str) -> None:
    found = read(
        folder, array({"messages": [ASKED, SAID]}, 7, {"query": "a", "response": "b"}), name=name
    )
    assert [row.line for row in found.rows] == [2, 15]
    assert [row.line for row in found.bad] == [14]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"query": "a", "response": "b"} {"query"', "No comma"),
        ('[{"query": "a", "response": "b"},\n{"query": }]', "those behind it"),
        ('[{"query": "a", "response": "b"}] [', "behind the end"),
    ],
)
def test_a_broken_array_keeps_what_stands_before(folder: Path, text: str, words: str) -> None:
    found = read(folder, text, name="data.json")
    assert len(found.rows) == 1 and words in found.bad[0].reason


def test_one_object_over_several_lines(folder: Path) -> None:
    text = "\n" + json.dumps({"messages": [ASKED, SAID]}, indent=1)
    assert [row.line for row in read(folder, text, name="data.json").rows] == [2]


def test_marks_and_line_ends_of_other_systems(folder: Path) -> None:
    line = json.dumps(
        {"messages": [ASKED, {**SAID, "content": "line\u2028end"}]}, ensure_ascii=False
    )
    path = folder / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n{line}\r\n".encode())
    assert [row.line for row in read_rows(path).rows] == [1, 2]


def test_bytes_that_are_no_utf8_are_told_by_line(folder: Path) -> None:
    path = folder / "latin.jsonl"
    good = json.dumps({"messages": [ASKED, SAID]}).encode()
    path.write_bytes(good + b'\n{"query": "caf\xe9", "response": "x"}\n' + good)
    found = read_rows(path)
    assert [row.line for row in found.rows] == [1, 3]
    assert found.bad[0].line == 2 and "not UTF-8 (byte 15 is 0xe9)" in found.bad[0].reason


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "data-missing"), (b" \n", "data-empty"), ("{}".encode("utf-16"), "data-utf16")],
)
def test_files_that_hold_no_rows(folder: Path, content: bytes | None, code: str) -> None:
    path = folder / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_rows(path)
    assert error.value.code == code


def test_a_folder_is_no_file(folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(folder)


def test_a_message_stays_a_message(folder: Path) -> None:
    said: Any = only(folder, {"messages": [ASKED, SAID]}).conversation.messages
    assert said == (Message("user", (Text("Hi"),)), Message("assistant", (Text("Hello."),)))
