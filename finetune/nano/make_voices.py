"""Makes the gallery's ready voices: assets/voices/*.opus, by the teachers of nano.

Knows: who speaks them and what is said. Does not know: their names on the page
(assets/voices/gallery.yaml has them, and what is said again).
Usage: python -m finetune.nano.make_voices (needs what docs/voices.md says)

Sources whose licences let their sound be shipped: Kokoro-82M (Apache-2.0) and flite's slt (CMU
Arctic, free for any use).
"""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile

from finetune.nano.domain.languages import Language
from finetune.nano.speech.synthesis import SPOKEN_RATE
from finetune.nano.teachers.speaking import Speaker, say
from omni.errors import OmniError
from omni.listening.gallery import gallery
from omni.listening.reference_check import check_voice

# libsndfile's, from 0 (256 kbit/s) to 1 (6 kbit/s): 24 kbit/s, speech as one knows it from calls
COMPRESSION = 0.93
SPEAKERS: dict[str, Speaker] = {
    "anna": Speaker("flite", (("slt", 1.0),)),
    "emma": Speaker("kokoro", (("bf_emma", 1.0),), british=True),
    "ben": Speaker("kokoro", (("am_onyx", 1.0),)),
    "george": Speaker("kokoro", (("bm_george", 1.0),), british=True),
    "mei": Speaker("kokoro", (("zf_xiaoyi", 1.0),)),
    "wei": Speaker("kokoro", (("zm_yunjian", 1.0),)),
}


def main() -> int:
    """Make all of them, say how long and how large they are."""
    try:
        for voice in gallery():
            print(voice.id, *make(voice.id, voice.transcript, voice.language, voice.path))
    except OmniError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def make(name: str, text: str, language: Language, path: Path) -> tuple[str, str]:
    """Speak ``text`` into ``path``; its length and its size.

    Raises:
        ResourceError: a teacher is missing.
        VoiceError: it cannot be used as a voice.
        ValueError: the look at it has a doubt.
    """
    spoken = say(SPEAKERS[name], text, language)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(
        path,
        spoken.wave,
        SPOKEN_RATE,
        format="OGG",
        subtype="OPUS",
        compression_level=COMPRESSION,
    )
    if found := check_voice(path).doubts:
        raise ValueError(f"{name} is not good enough: {', '.join(found)}")
    return f"{spoken.seconds:.1f} s", f"{path.stat().st_size:,} bytes"


if __name__ == "__main__":
    sys.exit(main())
