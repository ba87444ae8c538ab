"""The known forms of a row, brought to one: who said which pieces, and which are to be learnt.

Knows: the keys and roles of ms-swift's messages, ShareGPT, OpenAI's content parts, alpaca and
query/response; that tags in a text stand for the files of the row's lists, in order.
Does not know: files, :mod:`omni.conversation`.

Sources: the dataset documents of ms-swift 4 and LLaMA-Factory 0.9, OpenAI's chat API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from finetune.lora.data.refused import RefusedError

Kind: TypeAlias = Literal["image", "video", "audio"]
Role: TypeAlias = Literal["system", "user", "assistant"]
KINDS: tuple[Kind, ...] = ("image", "video", "audio")
TAG = re.compile("<(image|video|audio)>")
_GROUNDING = re.compile("<(ref-object|bbox)>")
_MESSAGES = ("messages", "conversations", "conversation")
_SYSTEM = ("system", "system_prompt")
_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_QUESTIONS = ("query", "prompt", "instruction", "question", "problem")
_ANSWERS = ("response", "answer", "output")
_LISTS: Mapping[Kind, tuple[str, str]] = {kind: (f"{kind}s", kind) for kind in KINDS}
# What a row may have besides, which teaches nothing and changes nothing.
_KNOWN_BESIDES = frozenset({"id", "uuid", "channel", "source"})


@dataclass(frozen=True)
class Medium:
    """A file, as the row names it."""

    kind: Kind
    # A path, an address or a data URI; base64 with its format; or a mapping with bytes or a path.
    source: Any
    format: str | None = None  # of base64 without a head of its own


Piece: TypeAlias = str | Medium
# How a row's prompt is written: with roles, or one of the two published forms without.
Form: TypeAlias = Literal["conversation", "transcription", "reading"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True)
class Said:
    """A message in the one form."""

    role: Role
    pieces: tuple[Piece, ...]
    learnt: bool = True  # an assistant's message that is a target


@dataclass(frozen=True)
class Record:
    """A row in the one form."""

    said: tuple[Said, ...]
    ignored: tuple[str, ...] = ()  # keys of the row that nothing here reads
    form: Form = "conversation"


@dataclass
class _Files:
    """The files of the row's lists, taken in the order of the tags."""

    listed: dict[Kind, list[Any]]
    tags: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def medium(self, kind: Kind) -> Medium | None:
        """What the next tag stands for; None where the list has no more."""
        place = self.tags[kind]
        self.tags[kind] += 1
        files = self.listed[kind]
        return Medium(kind, files[place]) if place < len(files) else None

    def check(self) -> None:
        """Refuse a row with more or fewer tags than files."""
        for kind in KINDS:
            tags, files = self.tags[kind], len(self.listed[kind])
            if tags != files:
                raise RefusedError(
                    f"It has {_count(tags, f'<{kind}> tag')} and {_count(files, 'file')} in "
                    f'"{kind}s": put one tag where each file stands.'
                )


def record(row: object) -> Record:
    """A row of any of the forms, in the one form.

    Raises:
        RefusedError: it has none of them, or contradicts itself.
    """
    if not isinstance(row, dict):
        raise RefusedError(f"It is {_name(row)}, not an object with messages.")
    files = _Files({kind: _listed(row, kind) for kind in KINDS})
    used = {key for keys in _LISTS.values() for key in keys}
    messages, keys = _messages(row)
    used |= keys
    said = [_said(message, files) for message in messages]
    files.check()
    if row.get("objects") and any(
        isinstance(piece, str) and _GROUNDING.search(piece)
        for message in said
        for piece in message.pieces
    ):
        raise RefusedError(
            "It has <bbox> or <ref-object> tags: write the names and numbers into the text."
        )
    form = row.get("form") or "conversation"
    if form not in FORMS:
        raise RefusedError(f'Its "form" is {json.dumps(form)}: the forms are {", ".join(FORMS)}.')
    used.add("form")
    besides = (key for key, value in row.items() if key not in used and value is not None)
    ignored = tuple(key for key in besides if key not in _KNOWN_BESIDES)
    return Record(tuple(said), ignored, form)


def _messages(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], set[str]]:
    """The row's messages as role and content, and the keys that they came from."""
    found = [key for key in _MESSAGES if row.get(key) is not None]
    if len(found) > 1:
        raise RefusedError(f'It has both "{found[0]}" and "{found[1]}": keep one of them.')
    if found:
        messages, keys = _list_of_messages(row[found[0]], found[0]), {found[0]}
    else:
        messages, keys = _question_and_answer(row)
    system = next((key for key in _SYSTEM if row.get(key) is not None), None)
    if system is not None:
        keys.add(system)
        if messages and _role(messages[0]) == "system":
            raise RefusedError(f'It has a system message and "{system}": keep one of them.')
        messages.insert(0, {"role": "system", "content": row[system]})
    return messages, keys


def _list_of_messages(value: object, key: str) -> list[dict[str, Any]]:
    if isinstance(value, str):  # a list that a table of texts has turned into text
        try:
            value = json.loads(value)
        except ValueError:
            raise RefusedError(f'"{key}" is a text, not a list of messages.') from None
    if not isinstance(value, list) or not value:
        raise RefusedError(f'"{key}" is {_name(value)}, not a list of messages.')
    messages: list[dict[str, Any]] = []
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict):
            raise RefusedError(f"Message {number} is {_name(message)}, not an object.")
        messages += _pair(message) if _is_pair(message) else [message]
    return messages


def _is_pair(message: Mapping[str, Any]) -> bool:
    """A question and its answer under the names of who said them."""
    return not message.keys() & {"role", "from", "content", "value"}


def _pair(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    pair = [{"role": key, "content": value} for key, value in message.items() if key in _ROLES]
    if not pair:
        raise RefusedError(f"A message has neither a role nor a content: {_listing(message)}.")
    return pair


def _question_and_answer(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], set[str]]:
    """Alpaca (instruction, input, output) and query/response with a history."""
    asked = next((key for key in _QUESTIONS if row.get(key) is not None), None)
    answered = next((key for key in _ANSWERS if row.get(key) is not None), None)
    if asked is None or answered is None:
        raise RefusedError(
            'It has neither "messages" nor "conversations", nor a question and an answer: its '
            f"keys are {_listing(row)}."
        )
    question, keys = row[asked], {asked, answered, "history"}
    if row.get("input") is not None:
        keys.add("input")
        if not isinstance(question, str) or not isinstance(row["input"], str):
            raise RefusedError(f'"{asked}" and "input" are not both text.')
        question = f"{question}\n{row['input']}" if row["input"] else question
    messages: list[dict[str, Any]] = []
    history = row.get("history") or []
    if not isinstance(history, list):
        raise RefusedError('"history" is not a list of questions and answers.')
    for exchange in [*history, [question, row[answered]]]:
        if not isinstance(exchange, list) or len(exchange) != 2:
            raise RefusedError('"history" has something that is not a question with its answer.')
        messages.append({"role": "user", "content": exchange[0]})
        messages.append({"role": "assistant", "content": exchange[1]})
    return messages, keys


def _role(message: Mapping[str, Any]) -> Role:
    name = message.get("role", message.get("from"))
    role = _ROLES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        known = "system, user (human) and assistant (gpt)"
        raise RefusedError(f"A message is of {json.dumps(name)}: the known roles are {known}.")
    return role


def _said(message: Mapping[str, Any], files: _Files) -> Said:
    role = _role(message)
    if message.get("tool_calls"):
        raise RefusedError("A message calls tools, which this model was not trained to do.")
    content = message.get("content", message.get("value"))
    if isinstance(content, str):
        pieces = _tagged(content, files)
    elif isinstance(content, list):
        pieces = [piece for part in content for piece in _part(part, files)]
    else:
        raise RefusedError(f"A message of the {role} says {_name(content)}, not text or parts.")
    return Said(role, tuple(pieces), _learnt(message))


def _learnt(message: Mapping[str, Any]) -> bool:
    loss = message.get("loss", message.get("loss_scale", message.get("weight")))
    if loss is None or loss in (0, 1):  # also False and True
        return loss is None or bool(loss)
    raise RefusedError(f'A message has the loss {json.dumps(loss)}: use true or false for "loss".')


def _tagged(text: str, files: _Files) -> list[Piece]:
    """Text and the files that its tags stand for; of a tag without a file :meth:`check` tells."""
    pieces: list[Piece] = []
    end = 0
    for tag in TAG.finditer(text):
        medium = files.medium(tag[1])  # type: ignore[arg-type]
        pieces += [text[end : tag.start()], *([medium] if medium else [])]
        end = tag.end()
    return [piece for piece in [*pieces, text[end:]] if piece != ""]


def _part(part: object, files: _Files) -> list[Piece]:
    """A content part, as OpenAI's API, vLLM and ms-swift write them."""
    if isinstance(part, str):
        return [part]
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise RefusedError(f"A content part is {_name(part)}, not an object with a type.")
    if kind in ("text", "input_text", "output_text"):
        text = part.get("text")
        if not isinstance(text, str):
            raise RefusedError("A content part of text has no text.")
        # Parts are typed, so a tag in their text is text, unless the row keeps its files in lists.
        return _tagged(text, files) if any(files.listed.values()) else [text]
    if kind == "input_audio":
        sound = part.get("input_audio")
        if not isinstance(sound, dict) or not isinstance(sound.get("data"), str):
            raise RefusedError("A content part of input_audio has no data.")
        return [Medium("audio", {"base64": sound["data"]}, sound.get("format"))]
    plain = kind.removeprefix("input_").removesuffix("_url")
    if plain not in KINDS:
        raise RefusedError(f"A content part is of the type {json.dumps(kind)}, which is not known.")
    source = next(
        (part[key] for key in (kind, f"{plain}_url", plain, "url", "path") if part.get(key)), None
    )
    if isinstance(source, dict) and isinstance(source.get("url"), str):
        source = source["url"]
    if source is not None:
        return [Medium(plain, source)]
    medium = files.medium(plain)
    return [medium] if medium else []


def _listed(row: Mapping[str, Any], kind: Kind) -> list[Any]:
    many, one = _LISTS[kind]
    given = [row[key] for key in (many, one) if row.get(key) is not None]
    if len(given) > 1:
        raise RefusedError(f'It has both "{many}" and "{one}": keep one of them.')
    value = given[0] if given else []
    return value if isinstance(value, list) else [value]


def _name(value: object) -> str:
    """What kind of JSON value it is, in words."""
    if value is None:
        return "nothing"
    names = {bool: "a truth value", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _listing(row: Mapping[str, Any]) -> str:
    return ", ".join(sorted(row)) or "none"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
