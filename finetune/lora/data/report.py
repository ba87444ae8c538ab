"""What a data file comes to, in sentences.

Knows: how counts and lengths are said. Does not know: how they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from finetune.lora.data.check import FRAMES_PER_S, Checked, Note, RowSize

MOST_NAMES = 10  # of rows in a sentence about several
SHARE = 0.95  # of the rows, below the length that is told beside the longest


def report(checked: Checked, max_tokens: int) -> Iterator[str]:
    """The lines that ``python -m finetune check`` prints."""
    sizes, bad = checked.sizes, checked.bad
    yield (
        f"{checked.path.name}: {count(len(sizes) + len(bad), 'row')}; "
        f"{len(sizes)} can be learnt from, {len(bad)} cannot."
    )
    if sizes:
        yield from _held(sizes)
    yield from _cut(checked.cut, max_tokens)
    yield from _twice(checked.twice)
    for note in checked.notes:
        yield f"Note ({_names(note)}): {note.sentence}"
    for key, rows in sorted(checked.ignored.items()):
        yield f'Not read: "{key}", in {count(rows, "row")}.'
    if bad:
        yield "These rows cannot be used:"
        yield from (f"  {each}" for each in bad)


def _held(sizes: Sequence[RowSize]) -> Iterator[str]:
    spoken = sum(size.said > 0 for size in sizes)
    yield (
        f"To learn: {count(_sum(sizes, lambda s: s.learnt), 'token')} of text and "
        f"{seconds(_sum(sizes, lambda s: s.said))} of speech; "
        f"{count(spoken, 'row')} of {len(sizes)} are answered in speech."
    )
    pictures, frames = _sum(sizes, lambda s: s.pictures), _sum(sizes, lambda s: s.frames)
    yield (
        f"To read: {seconds(_sum(sizes, lambda s: s.heard))} of sound, "
        f"{count(pictures, 'picture')}, {count(frames, 'frame')} of clips."
    )
    lengths = sorted(size.tokens for size in sizes)
    yield (
        f"A row has {lengths[0]:,} tokens at least, {at(lengths, 0.5):,} in the middle, "
        f"{at(lengths, SHARE):,} or fewer in {SHARE:.0%} of the rows, {lengths[-1]:,} at most."
    )


def _cut(cut: Mapping[str, int], max_tokens: int) -> Iterator[str]:
    if cut:
        yield (
            f"Longer than {max_tokens:,} tokens: {count(len(cut), 'row')}, "
            "whose first exchanges are left out, as the engine does with a long conversation:"
        )
        for name, messages in cut.items():
            yield f"  {name}: without its first {count(messages, 'message')}"


def _twice(twice: Mapping[str, str]) -> Iterator[str]:
    if twice:
        yield f"The same as an earlier row, and learnt as often: {count(len(twice), 'row')}."
        for name, first in list(twice.items())[:MOST_NAMES]:
            yield f"  {name} is {first}"
        if len(twice) > MOST_NAMES:
            yield f"  and {len(twice) - MOST_NAMES} more"


def _names(note: Note) -> str:
    more = len(note.rows) - MOST_NAMES
    return ", ".join(note.rows[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def at(ordered: Sequence[int], share: float) -> int:
    """The value of ``ordered`` that this share of them does not exceed."""
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.4999) - 1))]


def count(number: int, thing: str) -> str:
    """``3 rows``, ``1 row``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def seconds(frames: int) -> str:
    """How long frames of codes sound."""
    whole = frames / FRAMES_PER_S
    if whole < 60:
        return f"{whole:.1f} s"
    minutes, rest = divmod(round(whole), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _sum(sizes: Sequence[RowSize], what: Callable[[RowSize], int]) -> int:
    return sum(map(what, sizes))
