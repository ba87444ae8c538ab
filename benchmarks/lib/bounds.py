"""The project's own goals for speed and memory, each for the configuration and device it is for.

Knows: numbers. Does not know: how anything is measured.
The CPU goals were set on two cores of a machine with AMX (bfloat16 products in hardware), where the
published code reached 2.74 (float32) and 0.21 (bfloat16) audio frames/s, 11.6 and 17.5 text
tokens/s, and 10 s for 5 s of sound. They stay what they are on machines without it; the table
names the CPU beside them.
"""

from __future__ import annotations

from benchmarks.lib.rows import Bound

# (configuration, device kind, what else must hold: a dtype or a quantization) -> bounds by row
BOUNDS: dict[tuple[str, str, str], dict[str, Bound]] = {
    ("mid", "cpu", ""): {
        "wave_5s_s": Bound(3.0, at_most=True),
        "first_sound_over_naive": Bound(0.2, at_most=True),
    },
    ("mid", "cpu", "float32"): {
        "audio_frames_per_s": Bound(13),
        "text_tokens_per_s": Bound(15),
    },
    ("mid", "cpu", "bfloat16"): {
        "audio_frames_per_s": Bound(20),
        "text_tokens_per_s": Bound(25),
    },
    ("nano", "cpu", ""): {
        "real_time_factor": Bound(0.5, at_most=True),
        "beside.stall_s": Bound(0.0, at_most=True),
    },
    ("full", "cuda", "bfloat16"): {
        "first_sound_s": Bound(0.25, at_most=True),
        "audio_frames_per_s": Bound(120),
    },
    ("full", "cuda", "4bit"): {"peak_memory_gb": Bound(9.5, at_most=True)},
    ("full", "cuda", "8bit"): {"peak_memory_gb": Bound(14.0, at_most=True)},
}
BESIDE = Bound(0.45)  # of the quiet speed, beside one busy process on two cores
PAGE_READY = Bound(4.0, at_most=True)  # s, whatever the machine


def bounds_for(config: str, device: str, dtype: str, quantization: str) -> dict[str, Bound]:
    """The bounds of every row for this run; ``device`` as torch spells it (``cuda:0``)."""
    kind = device.partition(":")[0]
    # Speed goals are for unquantized weights.
    keys = ["", dtype] if quantization == "none" else [quantization]
    found: dict[str, Bound] = {"page_ready_s": PAGE_READY}
    for key in keys:
        found |= BOUNDS.get((config, kind, key), {})
    return found


# What the embedded model must reach, whatever the machine (the last two: two cores, no GPU).
# Shares and word errors are in percent.
QUALITY: dict[str, Bound] = {
    "speech_retrieval": Bound(95),
    "speech_retrieval_hard": Bound(90),
    "speech_wer": Bound(10, at_most=True),
    "asr_exact": Bound(90),
    "image_qa": Bound(90),
    "video_qa": Bound(85),
    "spoken_qa": Bound(80),
    "clone": Bound(80),
    "style": Bound(95),
    "first_sound_s": Bound(1.5, at_most=True),
    "rtf": Bound(0.7, at_most=True),
    "natural_asr": Bound(75),
    "natural_spoken_qa": Bound(70),
    "natural_zh_asr": Bound(70),
    "natural_intelligibility": Bound(20, at_most=True),
    "any_text": Bound(1.5, at_most=True),  # times the teacher's error
    "any_text_zh": Bound(1.5, at_most=True),
    "pleasant": Bound(0.4, at_most=True),  # opinion points below the teacher
    "outside": Bound(90),
    "wording": Bound(90),
    "clone_natural": Bound(70),
}
CHINESE_BEHIND = 10.0  # points that Chinese may be behind English


def chinese_bound(name: str, english: float | None) -> Bound:
    """The bound of the Chinese row: within ten points of the English row and of its bound.

    Args:
        name: of the English row.
        english: its value; None: not measured.
    """
    bound = QUALITY[name]
    if bound.at_most:
        best = bound.value if english is None else min(english, bound.value)
        return Bound(best + CHINESE_BEHIND, at_most=True)
    best = bound.value if english is None else max(english, bound.value)
    return Bound(best - CHINESE_BEHIND)
