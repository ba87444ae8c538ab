"""A hands-free conversation as a machine: who speaks when, and what follows from it.

Knows: the states of the conversation and of its answer; when an answer is begun, released, thrown
away, silenced and closed. Does not know: threads, clocks, files, connections, user interfaces; how
turns are found (:mod:`omni.dialogue.turn_listener`), how answers are made.

An answer is begun at every pause of the person and held back until the pause is long enough to be
the end of the turn; if the person goes on, it is thrown away. Speaking into an answer silences it;
what had been heard stays. :mod:`omni.dialogue.table` lists every transition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from omni.conversation import Part
from omni.dialogue import commands as do
from omni.dialogue import events as on
from omni.dialogue.answer_so_far import Prepared
from omni.dialogue.camera import MAX_FRAMES
from omni.dialogue.exchange import exchange
from omni.dialogue.latency import Latency, Moments
from omni.dialogue.question import Question
from omni.dialogue.states import (
    Answer,
    AnswerState,
    Asked,
    ConversationState,
    Dialogue,
    Discarded,
    EndReason,
    Kept,
    Person,
)
from omni.events import SpeechChunk, TextDelta, TurnEnd
from omni.listening.settings import RATE
from omni.listening.turn_detection import Began, Ended, Paused, Resumed

PIECE = 8 * RATE  # samples of speech before a pause, from which on they are a piece of their own
CAMERA_BEFORE = RATE  # samples: what was shown in the second before a turn belongs to it

_RELEASED = (AnswerState.AWAITED, AnswerState.PLAYING, AnswerState.SILENCED)
_SENT = (AnswerState.PLAYING, AnswerState.SILENCED)
_OVER = (ConversationState.CLOSING, ConversationState.CLOSED)


def step(dialogue: Dialogue, event: on.Event) -> tuple[Dialogue, tuple[do.Command, ...]]:
    """What the conversation is after ``event``, and what is to be done.

    Total: an event that means nothing in a state changes nothing.
    """
    if dialogue.state is ConversationState.CLOSED:
        return dialogue, ()
    work = _Step(dialogue, event.now)
    if dialogue.state is ConversationState.CLOSING:
        work.wait_for_engine(event)
        return work.dialogue, tuple(work.commands)
    _HANDLERS[type(event)](work, event)
    work.watch_microphone()
    work.show()
    return work.dialogue, tuple(work.commands)


class _Step:
    """One step under way: the conversation so far, and the commands so far."""

    def __init__(self, dialogue: Dialogue, now: float) -> None:
        self.dialogue = dialogue
        self.now = now
        self.commands: list[do.Command] = []
        self._shown = dialogue.state

    def set(self, **changes: Any) -> None:
        """Change fields of the conversation."""
        self.dialogue = replace(self.dialogue, **changes)

    def set_answer(self, **changes: Any) -> None:
        """Change fields of the answer, of which there must be one."""
        assert self.dialogue.answer is not None
        self.set(answer=replace(self.dialogue.answer, **changes))

    def tell(self, command: do.Command) -> None:
        """Give a command."""
        self.commands.append(command)

    @property
    def preparing(self) -> bool:
        """Whether the model is still being loaded."""
        return self.dialogue.state is ConversationState.PREPARING

    # Loading

    def loaded(self, event: on.Loaded) -> None:
        """The model is there: from now on the person is listened to."""
        if self.preparing:
            self.set(state=ConversationState.LISTENING)

    def load_failed(self, event: on.LoadFailed) -> None:
        """There is no model: the person is told, and the conversation ends."""
        if self.preparing:
            self.tell(do.TellError(event.error))
            self._end("failed")

    # What the person says and shows

    def verdict(self, event: on.Verdict) -> None:
        """The person began to speak, paused, went on or has ended."""
        if self.preparing:  # it would be answered much too late
            return
        turn = event.turn
        if isinstance(turn, Began):
            self.set(person=Person.SPEAKING, pause=None)
            if self.dialogue.due is not None:  # it was not asked yet: the person goes on with it
                self.set(due=None, unasked=self.dialogue.due.question)
            if self.dialogue.answer_state in _RELEASED:
                self._silence()
        elif isinstance(turn, Paused):
            self.set(person=Person.PAUSING, pause=turn)
        elif isinstance(turn, Resumed):
            self.set(person=Person.SPEAKING, pause=None)
            self._resumed(turn)
        else:
            self.set(person=Person.SILENT, pause=None)
            self._ended(turn)

    def _resumed(self, turn: Resumed) -> None:
        """It was no end: what was begun for it is thrown away."""
        answer = self.dialogue.answer
        if answer is None or answer.state is not AnswerState.HELD:
            return
        read, length = answer.so_far.question, len(answer.question.sound)
        if read and length >= PIECE:  # a long part of a turn: what was read of it stays read
            unasked, kept = self.dialogue.unasked, self.dialogue.kept.samples
            kept += length - (len(unasked.sound) if unasked else 0)
            self.set(carried=read, kept=Kept(kept, turn.at), unasked=None)
        self._throw_away(answer)

    def _ended(self, turn: Ended) -> None:
        question = self._question(turn)
        asked = Asked(question, self.now - (turn.at - turn.voice_end) / RATE, self.now)
        if self.dialogue.answer_state in (AnswerState.AWAITED, AnswerState.PLAYING):
            self._silence()  # a turn that nobody saw begin
        if self.dialogue.answer_state is AnswerState.SILENCED:
            self.set(due=asked)
        else:
            if self.dialogue.answer is None:
                self._begin(question)
            self._release(asked)
        camera = self.dialogue.camera
        self.set(kept=Kept(), unasked=None, camera=camera and camera.since(turn.at))

    def listened(self, event: on.Listened) -> None:
        """A piece of sound was listened to: what waits for a pause may happen now."""
        self.set(sound_at=self.now)
        if self.preparing:
            return
        pause, answer = self.dialogue.pause, self.dialogue.answer
        if pause is not None and answer is None and event.engine_free:
            self._begin(self._question(pause))
        elif answer is not None and self._unreported(answer):
            self.set_answer(flushed=True)
            self._close_if_over()
        camera = self.dialogue.camera
        if camera is not None and self.dialogue.answer is None and event.quiet:
            self.set(camera=camera.since(event.at - CAMERA_BEFORE))  # of no use to any turn

    def _unreported(self, answer: Answer) -> bool:
        """Whether nobody has said in time what was heard of the silenced answer."""
        waited = self.now - answer.silenced_at
        return answer.state is AnswerState.SILENCED and waited > self.dialogue.limits.flush_s

    def pictured(self, event: on.Pictured) -> None:
        """The camera's next picture."""
        if self.dialogue.camera is not None:
            self.set(camera=self.dialogue.camera.plus(event.jpeg, event.at))

    def _question(self, turn: Paused | Ended) -> Question:
        """What a turn asks, if it is over now; behind what was carried from before."""
        kept, camera = self.dialogue.kept, self.dialogue.camera
        frames: tuple[bytes, ...] = ()
        if camera is not None:
            begin = kept.at if kept.samples else turn.voice_begin - CAMERA_BEFORE
            frames = camera.between(begin, turn.voice_end)
        sound, before = turn.sound[kept.samples :], self.dialogue.unasked
        if before is not None:
            sound = np.concatenate([before.sound, sound])
            frames = (*before.frames, *frames)[-MAX_FRAMES:]
        return Question(sound, frames, self.dialogue.carried)

    # The answer

    def _begin(self, question: Question) -> None:
        number = self.dialogue.begun + 1
        answer = Answer(number, question, moments=Moments(begun=self.now))
        self.set(begun=number, answer=answer, pause=None)
        self.tell(do.BeginAnswer(number, question))

    def _release(self, asked: Asked) -> None:
        """The person's turn is over: the answer may be heard."""
        answer = self.dialogue.answer
        assert answer is not None
        moments = replace(answer.moments, voice_end=asked.voice_end, known_end=asked.known_end)
        self.set(carried=())
        self.set_answer(state=AnswerState.AWAITED, moments=moments)
        self.tell(do.Release(answer.number))
        self._send_sound()
        self._close_if_over()

    def _silence(self) -> None:
        """The person speaks while the answer is made or heard."""
        answer = self.dialogue.answer
        assert answer is not None
        self.set_answer(state=AnswerState.SILENCED, silenced_at=self.now)
        self.tell(do.StopAnswer(answer.number))
        self.tell(do.Flush(answer.number))

    def answer_item(self, event: on.AnswerItem) -> None:
        """The engine has made a piece of an answer, or its end."""
        answer = self.dialogue.answer
        if answer is None or event.number != answer.number:
            self._discarded_item(event)
            return
        moments = _noted(answer.moments, event)
        self.set_answer(so_far=answer.so_far.plus(event.item), moments=moments)
        if answer.state in (AnswerState.AWAITED, AnswerState.PLAYING):
            self._send_sound()
        self._close_if_over()

    def playback_report(self, event: on.PlaybackReport) -> None:
        """The page tells how much of an answer was heard."""
        answer = self.dialogue.answer
        if answer is None or event.number != answer.number or answer.state not in _SENT:
            return
        played = min(event.samples, answer.sent)
        self.set_answer(played=played, flushed=answer.flushed or event.flushed)
        self.tell(do.FollowPlayback(played))
        self._close_if_over()

    def _send_sound(self) -> None:
        """Send what was not sent yet."""
        answer = self.dialogue.answer
        assert answer is not None
        sounds, sent = answer.so_far.sounds, answer.so_far.samples
        for samples in sounds[answer.chunks_sent :]:
            self.tell(do.SendSound(answer.number, samples))
        self.set_answer(chunks_sent=len(sounds), sent=sent)
        if sent and not answer.sent:
            moments = replace(answer.moments, sent=self.now)
            self.set_answer(state=AnswerState.PLAYING, moments=moments)
            self.tell(do.TellLatency(Latency.of(moments)))
        if answer.so_far.made:
            self.tell(do.AllSent(answer.number))

    def _close_if_over(self) -> None:
        answer, due = self.dialogue.answer, self.dialogue.due
        if answer is None or answer.state is AnswerState.HELD or not answer.over:
            return
        over = exchange(answer)
        if over.outcome == "cut" and not over.answered:
            # Nothing had been heard: what the person says now belongs to the question.
            self.set(carried=answer.so_far.question)
            self.tell(do.ThrowAway(answer.number))
        else:
            self.tell(do.CloseAnswer(answer.number, over))
        self.set(answer=None, due=None)
        if due is not None:
            self._begin(replace(due.question, carried=self.dialogue.carried))
            self._release(due)

    def _throw_away(self, answer: Answer) -> None:
        self.set(answer=None)
        self.tell(do.ThrowAway(answer.number))
        if answer.so_far.made:
            self._forget(answer.so_far.question)
        else:
            left = Discarded(answer.number, answer.so_far.question)
            self.set(discarded=(*self.dialogue.discarded, left))

    def _discarded_item(self, event: on.AnswerItem) -> None:
        """Of an answer that was thrown away: its files go once nobody reads them any more."""
        for left in self.dialogue.discarded:
            if left.number != event.number:
                continue
            others = tuple(one for one in self.dialogue.discarded if one is not left)
            if isinstance(event.item, Prepared):
                self.set(discarded=(*others, replace(left, question=event.item.parts)))
            elif isinstance(event.item, (TurnEnd, Exception)):
                self.set(discarded=others)
                self._forget(left.question)

    def _forget(self, parts: tuple[Part, ...]) -> None:
        answer = self.dialogue.answer
        needed = (*self.dialogue.carried, *(answer.so_far.question if answer else ()))
        if unneeded := tuple(part for part in parts if part not in needed):
            self.tell(do.ForgetFiles(unneeded))

    # The end

    def end(self, event: on.End) -> None:
        """The person, the page or the server ends it."""
        self._end(event.reason)

    def tick(self, event: on.Tick) -> None:
        """What waits for a time is looked at after every event."""

    def watch_microphone(self) -> None:
        """Without its sound nothing more can happen."""
        over = self.dialogue.state in _OVER
        if not over and self.now - self.dialogue.sound_at > self.dialogue.limits.sound_s:
            self._end("microphone")

    def _end(self, reason: EndReason) -> None:
        self.set(ending=reason, closing_at=self.now, pause=None, due=None, camera=None)
        answer = self.dialogue.answer
        if answer is not None and answer.state is AnswerState.HELD:
            self._throw_away(answer)
            answer = None
        if answer is not None:
            self.set_answer(state=AnswerState.SILENCED)
            self.tell(do.StopAnswer(answer.number))
        if answer is None or answer.so_far.made:
            self._close()
        else:
            self.set(state=ConversationState.CLOSING)

    def wait_for_engine(self, event: on.Event) -> None:
        """Until the engine has ended the answer, which takes a step of it."""
        answer = self.dialogue.answer
        assert answer is not None
        if isinstance(event, on.AnswerItem) and event.number == answer.number:
            self.set_answer(so_far=answer.so_far.plus(event.item))
            answer = self.dialogue.answer
        late = self.now - self.dialogue.closing_at > self.dialogue.limits.stop_s
        if late or (answer and answer.so_far.made):
            self._close()

    def _close(self) -> None:
        answer, reason = self.dialogue.answer, self.dialogue.ending
        assert reason is not None
        if answer is not None:  # the end is the person's doing, whatever the engine made of it
            over = replace(exchange(answer), outcome="cut", error=None)
            self.tell(do.CloseAnswer(answer.number, over))
        self.set(state=ConversationState.CLOSED, answer=None, discarded=(), carried=())
        self.tell(do.Goodbye(reason))

    # What is shown

    def show(self) -> None:
        """Name the state, and tell it if it is a new one."""
        if self.dialogue.state in _OVER:
            return
        state = ConversationState.PREPARING if self.preparing else _state(self.dialogue)
        self.set(state=state)
        if state is not self._shown:
            self.tell(do.ShowState(state))


def _state(dialogue: Dialogue) -> ConversationState:
    """The state's name, once the model is there."""
    if dialogue.answer_state is AnswerState.AWAITED:
        return ConversationState.THINKING
    if dialogue.answer_state is AnswerState.PLAYING:
        return ConversationState.SPEAKING
    if dialogue.person is not Person.SILENT:
        return ConversationState.HEARING
    return ConversationState.THINKING if dialogue.due else ConversationState.LISTENING


def _noted(moments: Moments, event: on.AnswerItem) -> Moments:
    """With the moment of an item that is the first of its kind."""
    if isinstance(event.item, Prepared):
        return replace(moments, written=event.now)
    if isinstance(event.item, TextDelta) and not moments.text:
        return replace(moments, text=event.now)
    if isinstance(event.item, SpeechChunk) and not moments.sound:
        return replace(moments, sound=event.now)
    return moments


_HANDLERS: Mapping[type[on.Event], Callable[[_Step, Any], None]] = {
    on.Tick: _Step.tick,
    on.Loaded: _Step.loaded,
    on.LoadFailed: _Step.load_failed,
    on.Verdict: _Step.verdict,
    on.Listened: _Step.listened,
    on.Pictured: _Step.pictured,
    on.AnswerItem: _Step.answer_item,
    on.PlaybackReport: _Step.playback_report,
    on.End: _Step.end,
}
