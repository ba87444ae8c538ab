"""The natural voices: which there are, and which of them training never hears.

Knows: the sides of Kokoro's styles and of flite's voices, mixing and moving those of training into
many more. Does not know: how speech is made (:mod:`finetune.nano.teachers.speaking`).

As in :mod:`finetune.nano.speech.voices`, what is held out is so for good. A voice of training is a
style or a mixture of two or three, sometimes with the melody of others, sometimes moved by its
throat; all of these are styles of training. ``af_heart`` speaks the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.teachers.kokoro import Mix
from finetune.nano.teachers.speaking import Speaker, TeacherName


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Kokoro's styles that speak the language as their own.
STYLES: Mapping[Split, Mapping[Language, tuple[str, ...]]] = {
    "train": {
        "en": _names("""
af_heart af_bella af_aoede af_alloy af_nova af_sky af_jessica af_river am_fenrir am_puck am_echo
am_liam am_onyx am_adam bf_isabella bf_alice bf_lily bm_george bm_daniel
"""),
        "zh": ("zf_xiaobei", "zf_xiaoxiao", "zm_yunjian", "zm_yunxi"),
    },
    "validation": {"en": ("af_kore", "am_eric", "bm_lewis"), "zh": ("zf_xiaoni", "zm_yunxia")},
    "test": {
        "en": ("af_sarah", "am_michael", "bf_emma", "bm_fable"),
        "zh": ("zf_xiaoyi", "zm_yunyang"),
    },
}
# Who speaks another language at home: strange accents, for listening alone.
GUESTS: Mapping[Language, tuple[str, ...]] = {
    "en": ("jf_alpha", "jm_kumo", "em_alex", "if_sara", "im_nicola", "pf_dora", "ff_siwis"),
    "zh": ("af_heart", "af_bella", "am_fenrir", "am_puck", "jf_alpha", "jm_kumo"),
}
FLITE: Mapping[Split, tuple[str, ...]] = {
    "train": ("slt", "awb", "kal16"),
    "validation": (),
    "test": ("rms",),
}
THROATS = (0.84, 1.2)
TEMPOS = (0.85, 1.2)
# The same voice of the answers as ``ANSWERS["en"]``, a hundred times as fast.
QUICK_ANSWER = Speaker("hibari", (("af_heart", 1.0),))
_PLAIN_SHARE, _MIXED_SHARE = 0.3, 0.55  # of Kokoro's voices of training; the rest are guests
_LENT_SHARE: Mapping[Language, float] = {"en": 0.25, "zh": 0.6}  # whose melody is another's
_MOVED_SHARE = 0.6
_MOST_MIXED = 3
_AWAY_SHARE = 0.35
_AWAY = 0.2  # how far a mixture may point away from its last style


ANSWERS: Mapping[Language, Speaker] = {
    "en": Speaker("kokoro", (("af_heart", 1.0),)),
    # Her timbre, and lengths and pitch by somebody whose mother tongue it is.
    "zh": Speaker("kokoro", (("af_heart", 1.0),), melody=(("zf_xiaoxiao", 1.0),)),
}


def held_out(split: Split, language: Language) -> tuple[Speaker, ...]:
    """The speakers of the validation or the test side, as they are.

    Raises:
        ValueError: ``split`` is training's: those are drawn.
    """
    if split == "train":
        raise ValueError("voices of training are drawn")
    styles = [
        Speaker("kokoro", ((name, 1.0),), british=name.startswith("b"))
        for name in STYLES[split][language]
    ]
    recorded = FLITE[split] if language == "en" else ()
    return (*(Speaker("flite", ((name, 1.0),)) for name in recorded), *styles)


def drawn(number: int, language: Language, teacher: TeacherName) -> Speaker:
    """The ``number``-th speaker of training by a teacher: a function of the arguments.

    Raises:
        ValueError: the teacher doesn't speak the language.
    """
    if language == "zh" and teacher != "kokoro":
        raise ValueError(f"{teacher} speaks English alone")
    rng = Random(stable_hash("natural-speaker", number, language, teacher))
    if teacher == "kokoro" and rng.random() < _LENT_SHARE[language]:
        timbre: Language = "en" if rng.random() < 0.7 else language
        speaker = Speaker("kokoro", _mix(rng, timbre), melody=_mix(rng, language, guests=False))
    elif teacher == "kokoro":
        speaker = Speaker("kokoro", _mix(rng, language))
        speaker = replace(speaker, british=speaker.mix[0][0].startswith("b"))
    else:
        voice = "af_heart" if teacher == "hibari" else rng.choice(FLITE["train"])
        speaker = Speaker(teacher, ((voice, 1.0),))
    moved = rng.random() < _MOVED_SHARE
    throat = round(rng.uniform(*THROATS), 2) if moved else 1.0
    return replace(speaker, throat=throat, tempo=round(rng.uniform(*TEMPOS), 2))


def _mix(rng: Random, language: Language, guests: bool = True) -> Mix:
    """Styles of training and weights that add up to 1."""
    own, share = STYLES["train"][language], rng.random()
    if not guests:
        share *= _PLAIN_SHARE + _MIXED_SHARE
    if share < _PLAIN_SHARE:
        return ((rng.choice(own), 1.0),)
    if share >= _PLAIN_SHARE + _MIXED_SHARE:
        return ((rng.choice(GUESTS[language]), 1.0),)
    names = rng.sample(own, rng.randint(2, _MOST_MIXED))
    weights = [rng.random() + 0.1 for _ in names]
    if rng.random() < _AWAY_SHARE:
        weights[-1] = -_AWAY * rng.random() * sum(weights[:-1])
    total = sum(weights)
    rounded = [round(weight / total, 3) for weight in weights[1:]]
    return ((names[0], round(1 - sum(rounded), 3)), *zip(names[1:], rounded, strict=True))
