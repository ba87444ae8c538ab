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
from omni.generation.answer_parts import AnswerParts
from omni.generation.captured_steps import CapturedSteps
from omni.generation.decoding import CapturedRunner, Context, ModelRunner, Phase, Timings
from omni.generation.inputs import PromptInputs, embed_id
from omni.generation.protocols import Tokenizer
from omni.generation.sampling import fresh_seed
from omni.generation.session_cache import CachedContext, Key, SessionCache
from omni.generation.steps import DepthLoop, Draws, SpeechSteps, TextSteps
from omni.generation.stopping import pause_rule
from omni.model.protocols import SpeakingModel
from omni.options import READING, TRANSCRIBING, GenerationOptions, Sampling
from omni.prompting.slots import Prompt

StopSignal = threading.Event
Events = Steps[GenerationEvent, None, FinishReason]
CONTEXT = "context"  # the name under which a session's context is kept
CONTEXT_TAIL = 32  # ids before a text call in which a published stop text may begin


class _Halt(Exception):
    """Ends a turn from inside a call."""

    def __init__(self, reason: FinishReason) -> None:
        self.reason = reason


class GenerationLoop:
    """Starts turns on one model; of a turn with a session it keeps what the next one can use."""

    def __init__(
        self,
        model: SpeakingModel,
        tokenizer: Tokenizer,
        max_context: int | None = None,
        session_cache: SessionCache | None = None,
        capture: bool = False,
    ) -> None:
        """
        Args:
            model: :class:`omni.model.omni.OmniForCausalLM`, as a rule.
            tokenizer: :class:`omni.prompting.tokenizer.OmniTokenizer`, as a rule.
            max_context: ids that a turn may have fed, prompt included; None: the config's. A turn
                that reaches it ends with the reason "limit".
            session_cache: what sessions keep from turn to turn; None: of the default size.
            capture: whether steps are captured as CUDA graphs, where that is possible.
        """
        self.session_cache = session_cache or SessionCache()
        self.captured = CapturedSteps(model) if capture and CapturedSteps.possible(model) else None
        self.model = model
        self.tokenizer = tokenizer
        self.max_context = max_context or model.config.max_position_embeddings
        self.end_code = model.config.audio.codebook_sizes[0]
        self.codebooks = model.config.audio.num_codebooks

    def run(
        self,
        prompt: Prompt,
        options: GenerationOptions | None = None,
        stop: StopSignal | None = None,
        session: str | None = None,
    ) -> GenerationRun:
        """Answers ``prompt`` in text and speech, or in text alone (``options.speech`` False).

        Where ``session`` is given, what its last turn's context and this prompt have in common is
        not computed again, and media that it has shown before are not encoded again.
        """
        run = GenerationRun(self, options or GenerationOptions(), stop, session)
        return run.start(run.answer(prompt), prompt)

    def prepare(self, prompt: Prompt, stop: StopSignal | None, session: str) -> GenerationRun:
        """Reads ``prompt`` for the next turn of ``session`` and says nothing."""
        run = GenerationRun(self, GenerationOptions(), stop, session)
        return run.start(run.listen(prompt), prompt)

    def transcribe(
        self,
        prompt: Prompt,
        options: GenerationOptions = TRANSCRIBING,
        stop: StopSignal | None = None,
    ) -> GenerationRun:
        """Writes down what is said in ``prompt``, in one text call (``options.text_only``)."""
        run = GenerationRun(self, replace(options, speech=False), stop)
        return run.start(run.answer(prompt), prompt)

    def read_aloud(
        self,
        prompts: Sequence[Prompt],
        options: GenerationOptions = READING,
        stop: StopSignal | None = None,
    ) -> GenerationRun:
        """Speaks the given pieces of text one after the other (``options.audio`` for each).

        Each prompt's ids end with the mark that starts speech; the context goes on from piece to
        piece. The turn's reason is "limit" where a piece ran into the limit of frames.
        """
        run = GenerationRun(self, options, stop)
        return run.start(run.read(prompts), *prompts)

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


class GenerationRun(Iterator[GenerationEvent]):
    """One run of the loop: iterate for its events; the last one is :class:`Finished`.

    ``timings`` fill while it runs. ``seed`` repeats its draws. ``ids`` are the context so far,
    which a history with the parts of ``Finished`` gives again.
    """

    def __init__(
        self,
        loop: GenerationLoop,
        options: GenerationOptions,
        stop: StopSignal | None,
        session: str | None = None,
    ) -> None:
        self.timings = Timings()
        self.seed = fresh_seed() if options.seed is None else options.seed
        self._loop = loop
        self._model = loop.model
        self._tokenizer = loop.tokenizer
        self._special = loop.tokenizer.special
        self._options = options
        self._stop = stop
        self._session = session
        self._captured: CapturedSteps | None = None
        self._runner = ModelRunner(self._model)
        self._context = Context(self._runner, self._check)
        self._draws = Draws(self.seed)
        self._parts = AnswerParts(self._tokenizer, loop.codebooks)
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

    def start(self, body: Events, *prompts: Prompt) -> GenerationRun:
        """Sets what the iteration will do."""
        self.timings.prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
        self._events = self._whole(body)
        return self

    def _whole(self, body: Events) -> Steps[GenerationEvent, None, None]:
        with self._borrowing():
            try:
                reason = yield from body
            except _Halt as halt:
                reason = halt.reason
                self._close_speech(halted=True)
            self._parts.close_text()
        yield Finished(reason, self._parts.parts)

    @contextmanager
    def _borrowing(self) -> Iterator[None]:
        """Borrows captured steps, if they are free, and keeps the context for the next turn."""
        session, cache = self._session, self._loop.session_cache
        captured = self._loop.captured
        if captured is not None and captured.acquire():
            self._captured = captured
            self._runner = CapturedRunner(captured)
            self._context = Context(self._runner, self._check)
            self._draws = Draws(self.seed, captured.source)
        if session is not None:
            cache.begin(session)
        try:
            try:
                yield
            except GeneratorExit:
                self._keep_context()
                raise
            self._keep_context()
        finally:
            if session is not None:
                cache.end(session)
            if self._captured is not None:
                self._captured.release()

    def _keep_context(self) -> None:
        """Not after an error: what a broken pass has left is worth nothing."""
        length = self._runner.length
        if self._session is None or not length:
            return
        values = self._runner.result()
        if values is not None:
            kept = CachedContext(values, self._context.keys[:length])
            self._loop.session_cache.put(self._session, CONTEXT, kept, values.bytes)

    def answer(self, prompt: Prompt) -> Events:
        """Text and speech in turn, or text alone."""
        options = self._options
        self._feed(prompt)
        if not options.speech:
            ended = yield from self._write(options.text_only, ())
            return "end" if ended else "limit"
        unsaid = unwritten = False  # whether a limit cut speech off, and text that does not go on
        for done in range(options.max_rounds):
            sampling = options.next_text if done else options.first_text
            before = self.timings.text_tokens
            ended = yield from self._write(sampling, options.stops(done))
            written = self.timings.text_tokens - before
            if not (ended and not written):
                unwritten = not ended and written == sampling.max_new
                unsaid = (yield from self._speak()) or unsaid
            if ended:
                return "limit" if unsaid or unwritten else "end"
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
        if len(self._context.ids) + len(prompt.ids) > self._loop.max_context:
            raise _Halt("limit")
        with self.timings.measure("encode_s"):
            if self._session is None:
                inputs = PromptInputs(self._model, prompt, self._check)
                self._context.extend(prompt.ids, inputs.embed())
                return
            special, cache = self._special, self._loop.session_cache
            pads = special.audio_pad, special.image_pad, special.video_place
            inputs = PromptInputs(self._model, prompt, self._check, pads, cache, self._session)
            keys = inputs.keys()
            start = 0 if self._context.ids else self._resume(prompt.ids, keys)
            embeds = inputs.embed(start)
            self._context.extend(prompt.ids[start:], embeds, keys[start:])

    def _resume(self, ids: Sequence[int], keys: list[Key]) -> int:
        """How many positions of the prompt need not be computed: never the last."""
        assert self._session is not None
        kept = self._loop.session_cache.take(self._session, CONTEXT)
        if not isinstance(kept, CachedContext):
            return 0
        common = min(kept.common(keys), len(ids) - 1)
        kept.values.crop(common)
        if common <= 0:
            return 0
        self._runner.resume(kept.values)
        self._context.resume(ids[:common], keys[:common])
        self.timings.cached_tokens = common
        return common

    def _check(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise _Halt("stopped")
        if len(self._context.ids) > self._loop.max_context:
            raise _Halt("limit")

    def _step(self, phase: Phase) -> AbstractContextManager[None]:
        return self.timings.measure(phase if self._context.started else "prefill_s")

    def _write(
        self, sampling: Sampling, stops: Sequence[str]
    ) -> Steps[GenerationEvent, None, bool]:
        """A text call; whether the text has ended."""
        options, special = self._options, self._special
        banned = self._loop.banned(options.speech, options.mask_specials)
        steps = TextSteps(self._model, self._context, sampling, banned, self._draws)
        if options.stop_inside_words and options.speech:
            # The published loop knows the mark by its text.
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
            text = self._parts.show(token)
            if text:
                yield TextDelta(text)
            if rule.after(piece, text):
                break
        if options.speech and not options.keep_cut_token and self._parts.drop_id():
            self._context.drop()
        return False

    def _speak(self) -> Steps[GenerationEvent, None, bool]:
        """A speech call; whether it ran into the limit of frames."""
        sampling, special = self._options.audio, self._special
        self._parts.close_text()
        self._append(special.audiogen_start)
        self._parts.speak()
        depth_loop = (
            self._captured.depth_loop(sampling)
            if self._captured
            else DepthLoop(self._model, sampling, self._draws)
        )
        steps = SpeechSteps(self._context, depth_loop, special.audio_pad)
        cut = True
        for _ in range(sampling.max_new):
            with self._step("audio_s"):
                codes = steps.next()
            if codes[0] == self._loop.end_code:
                cut = False
                break
            steps.take()
            self._parts.add(codes)
            self.timings.audio_frames += 1
            yield AudioFrame(codes)
        if cut and not self._options.keep_cut_token:
            self._context.drop()
            self._parts.drop_frame()
        spoken = bool(self._parts.frames)
        self._close_speech()
        if spoken:
            yield SegmentEnd()
        return cut

    def _append(self, token: int) -> None:
        """Puts a mark into the context, unless it stands there already."""
        if self._context.ids[-1:] != [token]:
            self._context.extend([token], embed_id(self._model, token))

    def _close_speech(self, halted: bool = False) -> None:
        """Ends the speech, if there is any; what is halted before its first frame is forgotten."""
        frames = self._parts.frames
        if frames is None:
            return
        if halted and not frames:
            self._context.drop()
        else:
            self._append(self._special.audiogen_end)
        self._parts.close_speech(keep=not halted or frames > 0)
