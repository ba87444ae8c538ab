"""The conversations to learn from, one function for each task.

Knows: what is asked and what the right answer is. Does not know: how parts sound or look
(:mod:`finetune.nano.examples.cast` draws them), how tasks are mixed
(:mod:`finetune.nano.examples.examples`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from finetune.nano.domain import asking, facts, outside, sentences, talk
from finetune.nano.domain.lexicon import COLORS, NUMBERS, SHAPES, THINGS
from finetune.nano.domain.roles import ROLES, Role, in_role
from finetune.nano.domain.styles import ASKED_STYLES, STYLES
from finetune.nano.domain.width import within
from finetune.nano.examples import lessons, people
from finetune.nano.examples.cast import Cast, Medium
from finetune.nano.examples.parts import Example, Part, Seen, System, Task, Turn, Typed, Watched
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.pictures.picture_questions import Asked
from finetune.nano.pictures.pictures import Layout
from finetune.nano.speech.texts import draw_text
from omni.prompting.reading import reading_pieces

_MORE_SHARE = 0.3  # of the conversations that go on after the first answer
# The same of those about a picture in training, which costs more to look at than to be asked about,
# and how many questions there are at most.
_MORE_LEARNT = 0.6, 4
_MORE_COUNTED = 0.85, 6
# Counting some of the things among others takes longest to learn.
_COUNTED_LEARNT_SHARE = 0.4  # of the pictures to learn from
_MIXED_SHARE = 0.6  # of those; the others may be of one shape or color
_ROLE_SHARE = 0.2  # of the small talk
_READING_SHARE = 0.4  # of the rounds of small talk that are not the last
_CLIP_SHARE = 0.4  # of the spoken questions, which are about a picture otherwise
_CLONE_READING_SHARE = 0.4
_CHAT_ASR_SHARE = 0.3


def tts(cast: Cast) -> Example:
    """A text to read aloud, in the published form without roles."""
    cast.system = System()
    return cast.example("tts", _reading(cast), form="reading", speech=True)


def asr(cast: Cast) -> Example:
    """A recording to transcribe: the published form, or asked for in a conversation."""
    text = draw_text(cast.rng, cast.language, cast.split, cast.width)
    recording = cast.hear(text)
    # What is written down is never spoken: whole, whatever its punctuation.
    answer = Turn("assistant", (cast.say(text),))
    if cast.rng.random() >= _CHAT_ASR_SHARE:
        cast.system = System()
        return cast.example(
            "asr", Turn("user", (recording,)), answer, form="transcription", speech=False
        )
    request = Typed(cast.rng.choice(asking.WRITE_DOWN[cast.language]))
    return cast.example("asr", Turn("user", (recording, request)), answer, speech=False)


def image_qa(cast: Cast) -> Example:
    """Typed questions about a picture."""
    return _about_picture(cast, "image_qa", "typed")


def video_qa(cast: Cast) -> Example:
    """Typed questions about a clip."""
    return _about_clip(cast, "video_qa", "typed")


def spoken_qa(cast: Cast) -> Example:
    """Spoken questions about a picture or a clip."""
    if cast.rng.random() < _CLIP_SHARE:
        return _about_clip(cast, "spoken_qa", "spoken")
    return _about_picture(cast, "spoken_qa", "spoken")


def chat(cast: Cast) -> Example:
    """Small talk and facts, typed or spoken, sometimes in a role."""
    rng = cast.rng
    role = rng.choice(within(ROLES, cast.width)) if rng.random() < _ROLE_SHARE else None
    if role:
        cast.system = System(rng.choice(role.systems[cast.language]))
    turns: list[Turn] = []
    rounds = 1 + (rng.random() < _MORE_SHARE) + (rng.random() < _MORE_SHARE / 2)
    kind = ""
    for number in range(rounds):
        # Something else must be able to follow a reading, or whatever does is taken for "again".
        if number < rounds - 1 and rng.random() < _READING_SHARE:
            turns += _read_aloud(cast, _medium(cast))
            continue
        kind, question, answer = _remark(cast, role)
        turns += [cast.ask(question, _medium(cast)), cast.answer(answer)]
    if rng.random() < _MORE_SHARE / 4:  # the last answer once more
        request = rng.choice(asking.AGAIN[cast.language])
        turns += [cast.ask(request, _medium(cast)), turns[-1]]
        kind = "again"
    return cast.example("chat", *turns, kind=kind)


def translate(cast: Cast) -> Example:
    """A sentence or a word into the other language."""
    rng, language, other = cast.rng, cast.language, cast.other_language
    if rng.random() < 0.2 and cast.split == "train":  # words are too few to hold out
        word = rng.choice(within((*SHAPES, *COLORS, *THINGS, *NUMBERS), cast.width))
        request = rng.choice(asking.TRANSLATE_WORD[language])
        source, target = (word.en, word.zh) if language == "en" else (word.zh, word.en)
        asked = cast.ask(request.format(text=source), "typed", exact=True)
        return cast.example("translate", asked, cast.answer(target, other), kind="word")
    sentence = sentences.draw(rng, cast.split, cast.width)
    source, target = sentence.text(language), sentence.text(other)
    if rng.random() < 0.25:  # read it first, then translate what was said
        request = rng.choice(asking.READ[language]).format(text=source)
        again = rng.choice(asking.TRANSLATE_LAST[language])
        turns = (
            cast.ask(request, "typed", exact=True),
            cast.answer(source),
            cast.ask(again, _medium(cast)),
        )
        return cast.example("translate", *turns, cast.answer(target, other), kind="last")
    request = rng.choice(asking.TRANSLATE[language]).format(text=source)
    medium: Medium = "spoken" if rng.random() < 0.3 else "typed"
    asked = cast.ask(request, medium, exact=True)
    return cast.example("translate", asked, cast.answer(target, other), kind="sentence")


def style(cast: Cast) -> Example:
    """A way of speaking, asked for by the system prompt, by the user or after an answer."""
    rng, language = cast.rng, cast.language
    name = rng.choice(ASKED_STYLES)
    way = rng.choice(("system", "system", "request", "again"))
    if rng.random() < 0.2:
        cast.clone()
    if way == "system":
        cast.adopt(name)
        turns = _exchange(cast, "typed" if rng.random() < 0.6 else "spoken")
        return cast.example("style", *turns, kind=f"system {name}")
    text = sentences.draw(rng, cast.split, cast.width).text(language)
    wordings = STYLES[name]
    if wordings.requests is None or wordings.again is None:
        raise ValueError(f"nobody asks for the style {name}")
    if way == "request":
        request = rng.choice(wordings.requests[language])
        space = " " if language == "en" else ""
        asked = cast.ask(f"{request}{space}{text}", "typed", exact=True)
        return cast.example(
            "style", asked, cast.answer(text, style=name), kind=f"request {name}", speech=True
        )
    request = rng.choice(asking.READ[language]).format(text=text)
    return cast.example(
        "style",
        cast.ask(request, "typed", exact=True),
        cast.answer(text),
        cast.ask(rng.choice(wordings.again[language]), _medium(cast)),
        cast.answer(text, style=name),
        kind=f"again {name}",
        speech=True,
    )


def clone(cast: Cast) -> Example:
    """Answers and readings in the voice of a recording, sometimes in a style too."""
    cast.clone()
    rng = cast.rng
    if rng.random() < _CLONE_READING_SHARE:
        cast.system = System("", cast.system.voice)
        return cast.example("clone", _reading(cast), form="reading", kind="reading", speech=True)
    if rng.random() < 0.15:
        cast.adopt(rng.choice(ASKED_STYLES))
    turns = _exchange(cast, _medium(cast))
    return cast.example("clone", *turns, kind="conversation")


def off_topic(cast: Cast) -> Example:
    """A question from outside the domain and the friendly refusal."""
    question = outside.draw(cast.rng, cast.language, cast.split, cast.width)
    turns = (cast.ask(question, _medium(cast)), cast.answer(outside.ANSWER[cast.language]))
    return cast.example("outside", *turns)


DIALOGUES: Mapping[Task, Callable[[Cast], Example]] = {
    "tts": tts,
    "asr": asr,
    "image_qa": image_qa,
    "video_qa": video_qa,
    "spoken_qa": spoken_qa,
    "chat": chat,
    "translate": translate,
    "style": style,
    "clone": clone,
    "outside": off_topic,
    "own_words": people.own_words,
    "strange": people.strange_question,
    "natural_asr": lessons.natural_asr,
    "natural_qa": lessons.natural_qa,
}


def _medium(cast: Cast) -> Medium:
    return "spoken" if cast.rng.random() < 0.5 else "typed"


def _reading(cast: Cast) -> Turn:
    """A text in the pieces in which the program reads it aloud."""
    text = draw_text(cast.rng, cast.language, cast.split, cast.width)
    return Turn("assistant", tuple(cast.say(piece) for piece in reading_pieces(text)))


def _exchange(cast: Cast, medium: Medium) -> tuple[Turn, Turn]:
    """A request whose answer shows a voice or a style well: something to read, or a fact."""
    if cast.rng.random() < 0.6:
        return _read_aloud(cast, medium)
    _, question, answer = _remark(cast, None)
    return cast.ask(question, medium), cast.answer(answer)


def _read_aloud(cast: Cast, medium: Medium) -> tuple[Turn, Turn]:
    """A sentence that is asked for in a conversation."""
    text = sentences.draw(cast.rng, cast.split, cast.width).text(cast.language)
    request = cast.rng.choice(asking.READ[cast.language]).format(text=text)
    return cast.ask(request, medium, exact=True), cast.answer(text)


def _remark(cast: Cast, role: Role | None) -> tuple[str, str, str]:
    """Kind, question and answer of small talk or of a fact."""
    language = cast.language
    if cast.rng.random() < 0.4 and talk.phrases(language, cast.split, cast.width):
        intent, phrase = talk.draw(cast.rng, language, cast.split, cast.width)
        if role and intent.key == "who-are-you":
            return intent.key, phrase, role.intro[language]
        return intent.key, phrase, in_role(intent.answer[language], role, language)
    fact = facts.draw(cast.rng, cast.split, cast.width)
    answer = in_role(fact.answer(language), role, language)
    return fact.group.key, fact.question(language), answer


def _about_picture(cast: Cast, task: Task, medium: Medium) -> Example:
    rng, learns = cast.rng, cast.split == "train"
    counts = learns and rng.random() < _COUNTED_LEARNT_SHARE
    kind = rng.choice(picture_questions.COUNTING) if counts else None
    layout: Layout | None = "mixed" if counts and rng.random() < _MIXED_SHARE else None
    scene, asked = picture_questions.draw_asked_scene(rng, cast.split, cast.width, kind, layout)
    share, most = _MORE_COUNTED if counts else _MORE_LEARNT if learns else (_MORE_SHARE, 2)
    rounds = picture_questions.asked_further(scene, asked, rng, cast.width, share, most, counts)
    return _questions(cast, task, medium, Seen(scene), rounds)


def _about_clip(cast: Cast, task: Task, medium: Medium) -> Example:
    clip, asked = clip_questions.draw_asked_clip(cast.rng, cast.split, cast.width)
    rounds = [asked]
    if cast.rng.random() < _MORE_SHARE:
        more = clip_questions.ask_more(clip, asked, cast.rng, cast.width)
        rounds += [more] if more else []
    return _questions(cast, task, medium, Watched(clip), rounds)


def _questions(cast: Cast, task: Task, medium: Medium, seen: Part, rounds: list[Asked]) -> Example:
    """A conversation about one picture or clip, which is shown with the first question."""
    turns: list[Turn] = []
    for asked in rounds:
        shown = (seen,) if not turns else ()
        turns.append(cast.ask(asked.question(cast.language), medium, *shown))
        turns.append(cast.answer(asked.answer(cast.language)))
    return cast.example(task, *turns, kind=rounds[-1].kind)
