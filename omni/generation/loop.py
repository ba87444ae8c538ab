"""The two-phase loop: text until a pause, speech for it, text again; a generator of events.

Knows: the model's methods, which ids start and end a phase, where the loop ends.
Does not know: how a prompt is written, how codes become sound, user interfaces.

A text call draws ids until the model asks for speech, the text ends, a pause
(:mod:`omni.generation.stopping`) or the limit. The speech call puts the mark of speech behind that
text and draws one frame of codes a step until the end class of the first codebook; each frame
stands in the context as one pad id whose embedding is the sum of its codes'. An end of text with
text before it gets speech and ends the turn; alone it ends the turn.

With :data:`omni.options.PUBLISHED` all of it is as published: the last id of a call is overwritten
by the mark that follows, whatever it was. By default nothing that was shown or spoken is lost from
the context. The text head is never evaluated for a frame, and the end frame is never fed.
"""

from __future__ import annotations

import threading
from collections.abc import Generator as Steps
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from omni.events import (
    AudioFrame,
    Finished,
    FinishReason,
    GenerationEvent,
    SegmentEnd,
    TextDelta,
)
from omni.generation.answer_parts import Pieces
from omni.generation.captured_steps import Recordings
from omni.generation.decoding import Context, Decoder, Phase, RecordedDecoder, Timings
from omni.generation.inputs import PromptInputs, embed_id
from omni.generation.sampling import fresh_seed
from omni.generation.session_cache import Key, Past, SessionMemory
from omni.generation.steps import Draws, Frames, SpeechSteps, TextSteps
from omni.generation.stopping import pause_rule
from omni.options import READING, TRANSCRIBING, GenerationOptions, Sampling
from omni.prompting.slots import Prompt

StopSignal = threading.Event
Events = Steps[GenerationEvent, None, FinishReason]
PAST = "past"  # under which a session's context is kept
CONTEXT_TAIL = 32  # ids before a text call in which a published stop text may begin


class _Halt(Exception):
    """Ends a turn from inside a call."""

    def __init__(self, reason: FinishReason) -> None:
        self.reason = reason


class Generator:
    """Starts turns on one model; of a turn with a session it keeps what the next one can use."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        max_context: int | None = None,
        memory: SessionMemory | None = None,
        recorded: bool = False,
    ) -> None:
        """
        Args:
            model: :class:`omni.model.omni.OmniForCausalLM`, or what has its methods.
            tokenizer: :class:`omni.prompting.tokenizer.OmniTokenizer`, or what has its methods.
            max_context: ids that a turn may have fed, prompt included; None: the config's. A turn
                that reaches it ends with the reason "limit".
            memory: what sessions keep from turn to turn; None: of the default size.
            recorded: whether steps are recorded as CUDA graphs, where that is possible.
        """
        self.memory = memory or SessionMemory()
        self.recordings = Recordings(model) if recorded and Recordings.possible(model) else None
        self.model = model
        self.tokenizer = tokenizer
        self.max_context = max_context or model.config.max_position_embeddings
        self.end_code: int = model.config.audio.codebook_sizes[0]
        self.codebooks: int = model.config.audio.num_codebooks

    def run(
        self,
        prompt: Prompt,
        options: GenerationOptions | None = None,
        stop: StopSignal | None = None,
        session: str | None = None,
    ) -> Generation:
        """Answers ``prompt`` in text and speech, or in text alone (``options.speech`` False).

        Where ``session`` is given, what its last turn's context and this prompt have in common is
        not computed again, and media that it has shown before are not encoded again.
        """
        turn = Generation(self, options or GenerationOptions(), stop, session)
        return turn.start(turn.answer(prompt), prompt)

    def prepare(self, prompt: Prompt, stop: StopSignal | None, session: str) -> Generation:
        """Reads ``prompt`` for the next turn of ``session`` and says nothing."""
        turn = Generation(self, GenerationOptions(), stop, session)
        return turn.start(turn.listen(prompt), prompt)

    def transcribe(
        self,
        prompt: Prompt,
        options: GenerationOptions = TRANSCRIBING,
        stop: StopSignal | None = None,
    ) -> Generation:
        """Writes down what is said in ``prompt``, in one text call (``options.text_only``)."""
        turn = Generation(self, replace(options, speech=False), stop)
        return turn.start(turn.answer(prompt), prompt)

    def read_aloud(
        self,
        prompts: Sequence[Prompt],
        options: GenerationOptions = READING,
        stop: StopSignal | None = None,
    ) -> Generation:
        """Speaks the given pieces of text one after the other (``options.audio`` for each).

        Each prompt's ids end with the mark that starts speech; the context goes on from piece to
        piece. The turn's reason is "limit" where a piece ran into the limit of frames.
        """
        turn = Generation(self, options, stop)
        return turn.start(turn.read(prompts), *prompts)

    def banned(self, speech: bool, mask_specials: bool) -> Tensor:
        """Ids that a text call cannot draw: bool (vocabulary rows,), on the CPU.

        Always rows without a token, and the pads that stand for media, for which there is none.
        With ``mask_specials`` every special token but the end of text and, where speech is wanted,
        the mark that starts it.
        """
        special = self.tokenizer.special
        wanted = {special.end_of_text} | ({special.audiogen_start} if speech else set())
        banned = torch.zeros(self.model.config.vocab_size, dtype=torch.bool)
        banned[self.tokenizer.size :] = True
        banned[sorted(self.tokenizer.added_ids - wanted if mask_specials else special.pads)] = True
        return banned


class Generation(Iterator[GenerationEvent]):
    """One turn under way: iterate for its events; the last one is :class:`Finished`.

    ``timings`` fill while it runs. ``seed`` repeats its draws. ``ids`` are the context so far,
    which a history with the parts of ``Finished`` gives again.
    """

    def __init__(
        self,
        generator: Generator,
        options: GenerationOptions,
        stop: StopSignal | None,
        session: str | None = None,
    ) -> None:
        self.timings = Timings()
        self.seed = fresh_seed() if options.seed is None else options.seed
        self._generator = generator
        self._model = generator.model
        self._tokenizer = generator.tokenizer
        self._special = generator.tokenizer.special
        self._options = options
        self._stop = stop
        self._session = session
        self._recordings: Recordings | None = None
        self._decoder = Decoder(self._model)
        self._context = Context(self._decoder, self._check)
        self._draws = Draws(self.seed)
        self._pieces = Pieces(self._tokenizer, generator.codebooks)
        self._events: Steps[GenerationEvent, None, None] | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of the prompt and of what was generated; the end of text is never among them."""
        return tuple(self._context.ids)

    def __next__(self) -> GenerationEvent:
        if self._events is None:
            raise StopIteration
        return next(self._events)

    def close(self) -> None:
        """Ends the turn where it is, without a last event."""
        if self._events is not None:
            self._events.close()

    def start(self, body: Events, *prompts: Prompt) -> Generation:
        """Sets what the iteration will do."""
        self.timings.prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
        self._events = self._whole(body)
        return self

    def _whole(self, body: Events) -> Steps[GenerationEvent, None, None]:
        with self._memory():
            try:
                reason = yield from body
            except _Halt as halt:
                reason = halt.reason
                self._close_speech(halted=True)
            self._pieces.close_text()
        yield Finished(reason, self._pieces.parts)

    @contextmanager
    def _memory(self) -> Iterator[None]:
        """Borrows recorded steps, if they are free, and leaves the past for the next turn."""
        session, memory = self._session, self._generator.memory
        recordings = self._generator.recordings
        if recordings is not None and recordings.acquire():
            self._recordings = recordings
            self._decoder = RecordedDecoder(recordings)
            self._context = Context(self._decoder, self._check)
            self._draws = Draws(self.seed, recordings.source)
        if session is not None:
            memory.begin(session)
        try:
            try:
                yield
            except GeneratorExit:
                self._keep_past()
                raise
            self._keep_past()
        finally:
            if session is not None:
                memory.end(session)
            if self._recordings is not None:
                self._recordings.release()

    def _keep_past(self) -> None:
        """Not after an error: what a broken pass has left is worth nothing."""
        length = self._decoder.length
        if self._session is None or not length:
            return
        values = self._decoder.result()
        if values is not None:
            past = Past(values, self._context.keys[:length])
            self._generator.memory.put(self._session, PAST, past, values.bytes)

    def answer(self, prompt: Prompt) -> Events:
        """Text and speech in turn, or text alone."""
        options = self._options
        self._feed(prompt)
        if not options.speech:
            ended = yield from self._write(options.text_only, ())
            return "end" if ended else "limit"
        for turn in range(options.max_rounds):
            sampling = options.next_text if turn else options.first_text
            stops = options.next_stops if turn else options.first_stops
            taken = self.timings.text_tokens
            ended = yield from self._write(sampling, stops)
            if ended and self.timings.text_tokens == taken:
                return "end"
            yield from self._speak()
            if ended:
                return "end"
        return "limit"

    def listen(self, prompt: Prompt) -> Events:
        """The prompt goes into the context, and that is all."""
        self._feed(prompt)
        with self._step("prefill_s"):
            self._context.hidden()
        yield from ()
        return "end"

    def read(self, prompts: Sequence[Prompt]) -> Events:
        """A speech call for each prompt."""
        cut = False
        for prompt in prompts:
            self._feed(prompt)
            cut = (yield from self._speak()) or cut
        return "limit" if cut else "end"

    def _feed(self, prompt: Prompt) -> None:
        if len(self._context.ids) + len(prompt.ids) > self._generator.max_context:
            raise _Halt("limit")
        with self.timings.measure("encode_s"):
            if self._session is None:
                inputs = PromptInputs(self._model, prompt, self._check)
                self._context.extend(prompt.ids, inputs.embed())
                return
            special, memory = self._special, self._generator.memory
            pads = special.audio_pad, special.image_pad, special.video_place
            inputs = PromptInputs(self._model, prompt, self._check, pads, memory, self._session)
            keys = inputs.keys()
            start = 0 if self._context.ids else self._resume(prompt.ids, keys)
            embeds = inputs.embed(start)
            self._context.extend(prompt.ids[start:], embeds, keys[start:])

    def _resume(self, ids: Sequence[int], keys: list[Key]) -> int:
        """How many positions of the prompt need not be computed: never the last."""
        assert self._session is not None
        past: Past | None = self._generator.memory.take(self._session, PAST)
        if past is None:
            return 0
        common = min(past.common(keys), len(ids) - 1)
        past.values.crop(common)
        if common <= 0:
            return 0
        self._decoder.resume(past.values)
        self._context.resume(ids[:common], keys[:common])
        self.timings.reused_tokens = common
        return common

    def _check(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise _Halt("stopped")
        if len(self._context.ids) > self._generator.max_context:
            raise _Halt("limit")

    def _step(self, phase: Phase) -> AbstractContextManager[None]:
        return self.timings.measure(phase if self._context.started else "prefill_s")

    def _write(
        self, sampling: Sampling, stops: Sequence[str]
    ) -> Steps[GenerationEvent, None, bool]:
        """A text call; whether the text has ended."""
        options, special = self._options, self._special
        banned = self._generator.banned(options.speech, options.mask_specials)
        steps = TextSteps(self._model, self._context, sampling, banned, self._draws)
        if (
            options.stop_inside_words and options.speech
        ):  # the published loop knows the mark by its text
            stops = (self._tokenizer.piece(special.audiogen_start), *stops)
        rule = pause_rule(stops, options.stop_inside_words)
        rule.begin("".join(map(self._tokenizer.piece, self._context.ids[-CONTEXT_TAIL:])))
        for _ in range(sampling.max_new):
            with self._step("text_s"):
                token = steps.next()
            if token == special.end_of_text:
                return True
            if options.speech and token == special.audiogen_start:
                return False
            piece = self._tokenizer.piece(token)
            if rule.before(piece):
                break
            steps.take(token)
            self.timings.text_tokens += 1
            text = self._pieces.show(token)
            if text:
                yield TextDelta(text)
            if rule.after(piece, text):
                break
        if options.speech and not options.keep_cut_token and self._pieces.drop_id():
            self._context.drop()
        return False

    def _speak(self) -> Steps[GenerationEvent, None, bool]:
        """A speech call; whether it ran into the limit of frames."""
        sampling, special = self._options.audio, self._special
        self._pieces.close_text()
        self._append(special.audiogen_start)
        self._pieces.speak()
        frames = (
            self._recordings.frames(sampling)
            if self._recordings
            else Frames(self._model, sampling, self._draws)
        )
        steps = SpeechSteps(self._context, frames, special.audio_pad)
        cut = True
        for _ in range(sampling.max_new):
            with self._step("audio_s"):
                codes = steps.next()
            if codes[0] == self._generator.end_code:
                cut = False
                break
            steps.take()
            self._pieces.add(codes)
            self.timings.audio_frames += 1
            yield AudioFrame(codes)
        if cut and not self._options.keep_cut_token:
            self._context.drop()
            self._pieces.drop_frame()
        spoken = bool(self._pieces.frames)
        self._close_speech()
        if spoken:
            yield SegmentEnd()
        return cut

    def _append(self, token: int) -> None:
        """Puts a mark into the context, unless it stands there already."""
        if self._context.ids[-1:] != [token]:
            self._context.extend([token], embed_id(self._model, token))

    def _close_speech(self, halted: bool = False) -> None:
        """Ends the spoken piece, if there is one; one halted before its first frame never was."""
        frames = self._pieces.frames
        if frames is None:
            return
        if halted and not frames:
            self._context.drop()
        else:
            self._append(self._special.audiogen_end)
        self._pieces.close_speech(keep=not halted or frames > 0)
