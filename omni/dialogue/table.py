"""Every transition of :mod:`omni.dialogue.machine`, as rows to read.

Knows: which state follows which, on what, with which commands.
Does not know: how a step is made. Tests hold the machine to these rows and docs/live.md to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from omni.dialogue.events import Event, Verdict
from omni.dialogue.states import AnswerState, ConversationState, Dialogue

Both: TypeAlias = tuple[ConversationState, AnswerState]

_PREPARING, _LISTENING = ConversationState.PREPARING, ConversationState.LISTENING
_HEARING, _THINKING = ConversationState.HEARING, ConversationState.THINKING
_SPEAKING, _CLOSING = ConversationState.SPEAKING, ConversationState.CLOSING
_CLOSED = ConversationState.CLOSED
_NONE, _HELD, _AWAITED = AnswerState.NONE, AnswerState.HELD, AnswerState.AWAITED
_PLAYING, _SILENCED = AnswerState.PLAYING, AnswerState.SILENCED

_SETTLING = ("PlaybackReport", "AnswerItem", "Listened")  # what can settle a silenced answer
_ANY_EVENT = ("any",)


@dataclass(frozen=True)
class Row:
    """One transition, or one that asks for something and changes no state.

    ``before`` and ``then``: states of the conversation and of the answer, several ``before`` where
    all go the same way; ``then`` None: they stay. ``given``: the condition, "" for none.
    ``commands``: names, in order; "Name?": where there is a reason, "Name*": once or more often.
    """

    name: str
    before: tuple[Both, ...]
    events: tuple[str, ...]
    given: str = ""
    then: Both | None = None
    commands: tuple[str, ...] = field(default=())


_HEARD_OR_FAILED = "the engine has ended, what was heard is known, and it was something"
_NOTHING_HEARD = "the engine has ended, and nothing was heard"
_RELEASED: tuple[Both, ...] = (
    (_THINKING, _AWAITED),
    (_SPEAKING, _PLAYING),
    (_HEARING, _SILENCED),
    (_THINKING, _SILENCED),
)
_INTERRUPT = ("StopAnswer", "Flush", "ShowState")
_NEXT = ("BeginAnswer", "Release")

TABLE: tuple[Row, ...] = (
    Row("loaded", ((_PREPARING, _NONE),), ("Loaded",), "", (_LISTENING, _NONE), ("ShowState",)),
    Row(
        "not-loaded",
        ((_PREPARING, _NONE),),
        ("LoadFailed",),
        "",
        (_CLOSED, _NONE),
        ("TellError", "Goodbye"),
    ),
    Row("voice", ((_LISTENING, _NONE),), ("Began",), "", (_HEARING, _NONE), ("ShowState",)),
    Row(
        "begin-early",
        ((_HEARING, _NONE),),
        ("Listened",),
        "the person pauses, and the engine is free",
        (_HEARING, _HELD),
        ("BeginAnswer",),
    ),
    Row(
        "begin-late",
        ((_HEARING, _NONE),),
        ("Ended",),
        "",
        (_THINKING, _AWAITED),
        (*_NEXT, "ShowState"),
    ),
    Row(
        "no-end",
        ((_HEARING, _HELD),),
        ("Resumed",),
        "",
        (_HEARING, _NONE),
        ("ThrowAway", "ForgetFiles?"),
    ),
    Row(
        "release",
        ((_HEARING, _HELD),),
        ("Ended",),
        "it has no sound yet",
        (_THINKING, _AWAITED),
        ("Release", "ShowState"),
    ),
    Row(
        "release-sound",
        ((_HEARING, _HELD),),
        ("Ended",),
        "it has sound",
        (_SPEAKING, _PLAYING),
        ("Release", "SendSound*", "TellLatency", "AllSent?", "ShowState"),
    ),
    Row(
        "release-silent",
        ((_HEARING, _HELD),),
        ("Ended",),
        "the engine has ended, without sound to wait for",
        (_LISTENING, _NONE),
        ("Release", "SendSound*?", "TellLatency?", "AllSent", "CloseAnswer", "ShowState"),
    ),
    Row(
        "first-sound",
        ((_THINKING, _AWAITED),),
        ("AnswerItem",),
        "its first sound",
        (_SPEAKING, _PLAYING),
        ("SendSound", "TellLatency", "ShowState"),
    ),
    Row(
        "silent-end",
        ((_THINKING, _AWAITED),),
        ("AnswerItem",),
        "its last, without any sound",
        (_LISTENING, _NONE),
        ("AllSent", "CloseAnswer", "ShowState"),
    ),
    Row(
        "interrupt",
        ((_THINKING, _AWAITED), (_SPEAKING, _PLAYING), (_THINKING, _SILENCED)),
        ("Began",),
        "",
        (_HEARING, _SILENCED),
        _INTERRUPT,
    ),
    Row("sound", ((_SPEAKING, _PLAYING),), ("AnswerItem",), "sound", None, ("SendSound",)),
    Row("sent", ((_SPEAKING, _PLAYING),), ("AnswerItem",), "its last", None, ("AllSent",)),
    Row(
        "sent-and-heard",
        ((_SPEAKING, _PLAYING),),
        ("AnswerItem",),
        "its last, and all was heard",
        (_LISTENING, _NONE),
        ("AllSent", "CloseAnswer", "ShowState"),
    ),
    Row(
        "played",
        ((_SPEAKING, _PLAYING), (_HEARING, _SILENCED), (_THINKING, _SILENCED)),
        ("PlaybackReport",),
        "not yet all is heard, or made",
        None,
        ("FollowPlayback",),
    ),
    Row(
        "heard",
        ((_SPEAKING, _PLAYING),),
        ("PlaybackReport",),
        "the engine has ended, and all was heard",
        (_LISTENING, _NONE),
        ("FollowPlayback", "CloseAnswer", "ShowState"),
    ),
    Row("asked", ((_HEARING, _SILENCED),), ("Ended",), "", (_THINKING, _SILENCED), ("ShowState",)),
    Row(
        "settled",
        ((_HEARING, _SILENCED),),
        _SETTLING,
        _HEARD_OR_FAILED,
        (_HEARING, _NONE),
        ("FollowPlayback?", "CloseAnswer"),
    ),
    Row(
        "unheard",
        ((_HEARING, _SILENCED),),
        _SETTLING,
        _NOTHING_HEARD,
        (_HEARING, _NONE),
        ("FollowPlayback?", "ThrowAway"),
    ),
    Row(
        "settled-next",
        ((_THINKING, _SILENCED),),
        _SETTLING,
        _HEARD_OR_FAILED,
        (_THINKING, _AWAITED),
        ("FollowPlayback?", "CloseAnswer", *_NEXT),
    ),
    Row(
        "unheard-next",
        ((_THINKING, _SILENCED),),
        _SETTLING,
        _NOTHING_HEARD,
        (_THINKING, _AWAITED),
        ("FollowPlayback?", "ThrowAway", *_NEXT),
    ),
    Row(
        "discarded",
        tuple(
            (conversation, answer)
            for conversation in (_LISTENING, _HEARING, _THINKING, _SPEAKING)
            for answer in AnswerState
        ),
        ("AnswerItem",),
        "the last of an answer that was thrown away, whose files nothing needs",
        None,
        ("ForgetFiles",),
    ),
    Row(
        "end",
        ((_PREPARING, _NONE), (_LISTENING, _NONE), (_HEARING, _NONE)),
        ("End",),
        "",
        (_CLOSED, _NONE),
        ("Goodbye",),
    ),
    Row(
        "end-held",
        ((_HEARING, _HELD),),
        ("End",),
        "",
        (_CLOSED, _NONE),
        ("ThrowAway", "ForgetFiles?", "Goodbye"),
    ),
    Row(
        "end-answer",
        _RELEASED,
        ("End",),
        "the engine has not ended",
        (_CLOSING, _SILENCED),
        ("StopAnswer",),
    ),
    Row(
        "end-made",
        _RELEASED,
        ("End",),
        "the engine has ended",
        (_CLOSED, _NONE),
        ("StopAnswer", "CloseAnswer", "Goodbye"),
    ),
    Row(
        "stopped",
        ((_CLOSING, _SILENCED),),
        ("AnswerItem",),
        "its last",
        (_CLOSED, _NONE),
        ("CloseAnswer", "Goodbye"),
    ),
    Row(
        "not-stopped",
        ((_CLOSING, _SILENCED),),
        _ANY_EVENT,
        "the engine has not ended within 2 s",
        (_CLOSED, _NONE),
        ("CloseAnswer", "Goodbye"),
    ),
)

HEADER = (
    "conversation, answer",
    "event",
    "if",
    "conversation, answer then",
    "commands",
)


def event_name(event: Event) -> str:
    """As the rows name it: a verdict by its kind."""
    return type(event.turn if isinstance(event, Verdict) else event).__name__


def row_of(
    before: Dialogue, event: Event, then: Dialogue, commands: tuple[object, ...]
) -> Row | None:
    """The row that allows a step; None: no row does."""
    states = (before.state, before.answer_state)
    after = (then.state, then.answer_state)
    names = [type(command).__name__ for command in commands]
    for row in TABLE:
        named = row.events == _ANY_EVENT or event_name(event) in row.events
        known = states in row.before and named
        if known and after == (row.then or states) and _allowed(names, row.commands):
            return row
    return None


def _allowed(names: list[str], commands: tuple[str, ...]) -> bool:
    """Whether ``names`` are what a row's ``commands`` say."""
    left = list(names)
    for command in commands:
        name = command.rstrip("*?")
        if not left or left[0] != name:
            if command.endswith("?"):
                continue
            return False
        left.pop(0)
        while command.rstrip("?").endswith("*") and left and left[0] == name:
            left.pop(0)
    return not left


def as_markdown() -> str:
    """The table for docs/live.md."""
    lines = [f"| {' | '.join(HEADER)} |", "|---" * len(HEADER) + "|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in TABLE]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    everywhere = len({answer for _, answer in row.before}) == len(AnswerState)
    before = "any" if everywhere else "<br>".join(map(_both, row.before))
    events = "any" if row.events == _ANY_EVENT else ", ".join(f"`{name}`" for name in row.events)
    then = _both(row.then) if row.then else "as before"
    return [before, events, row.given, then, ", ".join(map(_command, row.commands))]


def _both(states: Both) -> str:
    return f"{states[0]}, {states[1]}"


def _command(command: str) -> str:
    name = f"`{command.rstrip('*?')}`" + (" …" if "*" in command else "")
    return f"({name})" if command.endswith("?") else name
